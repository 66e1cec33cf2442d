//! TLS as a load needs it: one key exchange, one cipher suite, nothing resumed, so that every handshake is the same.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use tokio_rustls::TlsConnector;

/// What every handshake of a load offers.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    tickets: Arc<Tickets>,
}

/// The only cipher suite that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suite {
    /// TLS_AES_128_GCM_SHA256
    #[default]
    Aes128Gcm,
    /// TLS_AES_256_GCM_SHA384
    Aes256Gcm,
    /// TLS_CHACHA20_POLY1305_SHA256
    Chacha20Poly1305,
}

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The name cannot stand in a handshake.
    #[error("`{0}` is no server name")]
    Name(String),
    /// A certificate cannot be believed.
    #[error("not a certificate that can be believed")]
    Certificate(#[source] rustls::Error),
    /// rustls has no common ground between provider and versions.
    #[error("TLS 1.3 with X25519 is not to be had")]
    Provider(#[source] rustls::Error),
}

impl Tls {
    /// TLS 1.3 with X25519 and one suite, towards a server with this name that shows one of `roots` or what they signed.
    ///
    /// # Errors
    ///
    /// When the name or a certificate is none.
    pub fn new(
        name: &str,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        suite: Suite,
        alpn: &[&str],
    ) -> Result<Self, TlsSetupError> {
        let server =
            ServerName::try_from(name.to_owned()).map_err(|_| TlsSetupError::Name(name.to_owned()))?;
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(TlsSetupError::Certificate)?;
        }
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519];
        provider.cipher_suites = vec![match suite {
            Suite::Aes128Gcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
            Suite::Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Suite::Chacha20Poly1305 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        }];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsSetupError::Provider)?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let tickets = Arc::new(Tickets::default());
        config.resumption = Resumption::store(Arc::clone(&tickets) as Arc<_>);
        Ok(Self { config: Arc::new(config), name: server, tickets })
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.config))
    }

    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// Session tickets that came since the load was made.
    pub(crate) fn tickets(&self) -> u64 {
        self.tickets.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Counts the tickets that servers hand out and keeps none: a server that makes them works more per handshake than one
/// that does not, and whoever compares the two must know.
#[derive(Debug, Default)]
struct Tickets(AtomicU64);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
