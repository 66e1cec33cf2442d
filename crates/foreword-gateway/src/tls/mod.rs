//! TLS: certificates and their choice by SNI, the acceptor, the hello that passes through, the connectors to endpoints.

pub(crate) mod acceptor;
mod algorithms;
pub mod certificates;
pub mod clients;
pub mod connector;
mod directory;
pub(crate) mod hello;

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use self::certificates::CertificateStore;
use self::clients::Clients;

/// What a listener needs to end TLS: settled before anyone connects.
pub struct TlsPlan {
    config: Arc<ServerConfig>,
    store: Arc<CertificateStore>,
    strict_sni: bool,
}

/// How a listener speaks TLS, whatever its certificates.
#[derive(Debug, Default)]
pub struct Terms {
    /// What is spoken.
    pub profile: Profile,
    /// Whether a client must ask for a name that a certificate has.
    pub strict_sni: bool,
    /// Whether clients are given no tickets.
    pub no_resumption: bool,
    /// Whose certificates clients are asked for, if they are.
    pub clients: Option<Clients>,
}

/// What is spoken, as Mozilla recommends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.2 and 1.3: every client that is still looked after.
    #[default]
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

impl TlsPlan {
    /// Makes the plan of a listener from its certificates, the protocols that it offers by ALPN, and its terms.
    ///
    /// # Errors
    ///
    /// When rustls has no common ground between provider and versions, which no configuration can cause.
    pub fn new(store: CertificateStore, alpn: &[&str], terms: Terms) -> Result<Self, rustls::Error> {
        let store = Arc::new(store);
        let versions: &[_] = match terms.profile {
            Profile::Intermediate => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Profile::Modern => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let asks = terms.clients.is_some();
        let builder = match terms.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&store) as Arc<_>);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        if terms.no_resumption {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // A ticket holds the client's certificate, or that there was none, and nobody verifies it again. So where clients
            // are asked for one, no ticket of another listener counts, nor one from before a reload that revoked it.
            config.ticketer = if asks { rustls::crypto::aws_lc_rs::Ticketer::new()? } else { ticketer()? };
            // Two tickets are what browsers use at most for one host at a time.
            config.send_tls13_tickets = 2;
        }
        Ok(Self { config: Arc::new(config), store, strict_sni: terms.strict_sni })
    }

    /// Whether a client that asked for this name is served at all.
    pub(crate) fn takes(&self, sni: Option<&str>) -> bool {
        !self.strict_sni || sni.is_some_and(|name| self.store.has(name))
    }

    /// Whether a request for `host` came over a connection that was made for another certificate's name.
    pub(crate) fn misdirects(&self, sni: &str, host: &str) -> bool {
        self.store.parts(sni, host)
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
