//! TLS: certificates and their choice by SNI, the acceptor, the hello that passes through, the connectors to endpoints.

pub(crate) mod acceptor;
mod algorithms;
pub mod certificates;
pub(crate) mod challenges;
pub mod clients;
pub mod connector;
mod directory;
pub(crate) mod hello;
pub(crate) mod issued;
mod key_log;
mod resolver;
mod schedule;
mod sealing;
mod staple;
mod store;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use self::acceptor::TlsRefusal;
use self::certificates::CertificateStore;
use self::clients::{Clients, ClientsSource};
use self::key_log::KeyLogFile;
use self::resolver::Resolver;
use self::sealing::Sealer;
use crate::watch::{FromFiles, Look};

/// What a listener needs to end TLS: settled before anyone connects, but for what its files hold.
pub struct TlsPlan {
    config: ArcSwap<ServerConfig>,
    resolver: Arc<Resolver>,
    spoken: Spoken,
    /// Whose certificates are asked for, and how the files that say so looked when they were read first.
    clients: Option<(ClientsSource, Look)>,
    strict_sni: bool,
}

/// What stays the same whichever files change.
struct Spoken {
    profile: Profile,
    alpn: Vec<Vec<u8>>,
    no_resumption: bool,
    key_log: Option<Arc<KeyLogFile>>,
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
    /// Where the secrets of sessions are written, if they are.
    pub key_log: Option<PathBuf>,
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
        let spoken = Spoken {
            profile: terms.profile,
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            no_resumption: terms.no_resumption,
            key_log: terms.key_log.map(KeyLogFile::new).map(Arc::new),
        };
        let resolver = Arc::new(Resolver::new(store));
        let (verifier, clients) = terms.clients.map(Clients::into_parts).unzip();
        let config = ArcSwap::from_pointee(spoken.config(&resolver, verifier)?);
        Ok(Self { config, resolver, spoken, clients, strict_sni: terms.strict_sni })
    }

    /// Whether a client's name must be known before the handshake goes on.
    pub(crate) fn must_know_the_name(&self) -> bool {
        self.strict_sni || self.resolver.ask(CertificateStore::awaits_any)
    }

    /// Why a client that asks for this name is not served, if it is not.
    pub(crate) fn refusal(&self, sni: Option<&str>) -> Option<TlsRefusal> {
        self.resolver.ask(|store| {
            if store.awaits(sni) {
                return Some(TlsRefusal::AwaitedName(sni.map(Box::from)));
            }
            let is_taken = !self.strict_sni || sni.is_some_and(|name| store.has(name));
            (!is_taken).then(|| TlsRefusal::UnknownName(sni.map(Box::from)))
        })
    }

    /// The names for which a CA issues certificates to us.
    pub fn issued_names(&self) -> Vec<Box<str>> {
        self.resolver.ask(|store| store.sources().issued.iter().map(|(name, _)| name.clone()).collect())
    }

    /// Reads the certificates again, as when one was issued. What an operator should see to is returned.
    pub(crate) fn read_certificates_again(&self, now: SystemTime) -> Result<Vec<String>, Vec<String>> {
        self.resolver.read_again(now)
    }

    /// Whether a request for `host` came over a connection that was made for another certificate's name.
    pub(crate) fn misdirects(&self, sni: &str, host: &str) -> bool {
        self.resolver.ask(|store| store.parts(sni, host))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// The certificates of this listener as they are now.
    pub fn certificates(&self) -> Arc<CertificateStore> {
        self.resolver.current()
    }

    /// What of it is made of files, with a word for each.
    pub(crate) fn files(self: &Arc<Self>) -> Vec<(&'static str, Arc<dyn FromFiles>)> {
        let mut files = vec![("certificates", Arc::clone(&self.resolver) as Arc<dyn FromFiles>)];
        if self.clients.is_some() {
            files.push(("certificates of clients", Arc::clone(self) as Arc<_>));
        }
        files
    }
}

impl Spoken {
    fn config(
        &self,
        resolver: &Arc<Resolver>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<ServerConfig, rustls::Error> {
        let versions: &[_] = match self.profile {
            Profile::Intermediate => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Profile::Modern => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let asks = clients.is_some();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(resolver) as Arc<_>);
        config.alpn_protocols.clone_from(&self.alpn);
        if let Some(key_log) = &self.key_log {
            config.key_log = Arc::clone(key_log) as Arc<_>;
        }
        if self.no_resumption {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // A ticket holds the client's certificate, or that there was none, and nobody verifies it again. So where clients
            // are asked for one, no ticket of another listener counts, nor one from before the files that revoked it.
            config.ticketer = if asks { rustls::crypto::aws_lc_rs::Ticketer::new()? } else { ticketer()? };
            // Two tickets are what browsers use at most for one host at a time.
            config.send_tls13_tickets = 2;
        }
        Ok(config)
    }
}

/// The files that say whose certificates are believed, and which are revoked. Those of the listener itself are its resolver's.
impl FromFiles for TlsPlan {
    fn paths(&self) -> Vec<PathBuf> {
        self.clients.iter().flat_map(|(source, _)| source.paths()).collect()
    }

    fn seen(&self) -> Look {
        self.clients.as_ref().map(|(_, look)| look.clone()).unwrap_or_default()
    }

    fn read_again(&self, now: SystemTime) -> Result<Vec<String>, Vec<String>> {
        let Some((source, _)) = &self.clients else { return Ok(Vec::new()) };
        let clients = clients::load(source, now)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let config = self.spoken.config(&self.resolver, Some(clients.verifier));
        self.config.store(Arc::new(config.map_err(|error| vec![error.to_string()])?));
        Ok(clients.warnings)
    }
}

impl fmt::Debug for TlsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPlan").field("certificates", &self.resolver).finish_non_exhaustive()
    }
}

/// The provider of every handshake. It is named here and nowhere chosen by feature.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        Sealer::of_this_processor().seal_for(&mut provider);
        schedule::lighten(&mut provider);
        Arc::new(provider)
    }))
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
