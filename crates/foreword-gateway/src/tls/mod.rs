//! TLS: certificates and their choice by SNI, the acceptor, the hello that passes through, the connectors to endpoints.

pub(crate) mod acceptor;
mod algorithms;
pub mod certificates;
pub mod connector;
mod directory;
pub(crate) mod hello;

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

use self::certificates::CertificateStore;

/// What a listener needs to end TLS: settled before anyone connects.
pub struct TlsPlan {
    config: Arc<ServerConfig>,
    store: Arc<CertificateStore>,
}

impl TlsPlan {
    /// Makes the plan of a listener from its certificates and the protocols that it offers by ALPN.
    ///
    /// # Errors
    ///
    /// When rustls has no common ground between provider and versions, which no configuration can cause.
    pub fn new(store: CertificateStore, alpn: &[&str]) -> Result<Self, rustls::Error> {
        let store = Arc::new(store);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&store) as Arc<_>);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.ticketer = ticketer()?;
        // Two tickets are what browsers use at most for one host at a time.
        config.send_tls13_tickets = 2;
        Ok(Self { config: Arc::new(config), store })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificates of this listener, for start-up lines and warnings.
    pub fn certificates(&self) -> &CertificateStore {
        &self.store
    }
}

impl fmt::Debug for TlsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPlan").field("certificates", &self.store).finish_non_exhaustive()
    }
}

/// The provider of every handshake. It is named here and nowhere chosen by feature.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

/// The session tickets of this process: one for all workers and every plan, so that a client resumes wherever the kernel
/// sends it and whatever was reloaded meanwhile. rustls rotates the keys, and resumes only under the same SNI.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    static TICKETER: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(ticketer) = TICKETER.get() {
        return Ok(Arc::clone(ticketer));
    }
    let made = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::clone(TICKETER.get_or_init(|| made)))
}
