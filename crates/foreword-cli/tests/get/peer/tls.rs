//! TLS for raw servers: a certificate made on the spot, and a handshake on a plain socket.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// A certificate for `localhost` and 127.0.0.1, that signed itself.
pub(crate) struct Certificate {
    folder: TempDir,
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let folder = TempDir::new().expect("a folder");
        let key_pem = made.signing_key.serialize_pem();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("written");
        std::fs::write(folder.path().join("key.pem"), &key_pem).expect("written");
        std::fs::write(folder.path().join("both.pem"), format!("{}{key_pem}", made.cert.pem()))
            .expect("written");
        Self { folder, der: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    }

    /// `cert.pem`, `key.pem`, or `both.pem`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Shakes hands as the server.
    pub(crate) fn accept(&self, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
        StreamOwned::new(ServerConnection::new(self.config()).expect("a session"), stream)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::new(self.config_with(WebPkiClientVerifier::no_client_auth()))
    }

    /// A configuration that asks clients for what the verifier wants.
    pub(crate) fn config_with(&self, clients: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![self.der.clone()], key)
            .expect("a certificate with its key")
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.der.clone()
    }
}
