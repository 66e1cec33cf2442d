//! The certificates of a listener while they are in use: exchanged as a whole, never missing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificates::{self, CertificateStore};
use crate::watch::{FromFiles, Look};

/// Shows clients the certificates that are current when they ask.
#[derive(Debug)]
pub(super) struct Resolver {
    current: ArcSwap<CertificateStore>,
    first_seen: Look,
}

impl Resolver {
    pub(super) fn new(store: CertificateStore) -> Self {
        Self { first_seen: store.look().clone(), current: ArcSwap::from_pointee(store) }
    }

    /// The certificates that are current.
    pub(super) fn current(&self) -> Arc<CertificateStore> {
        self.current.load_full()
    }

    /// Asks the certificates that are current.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&CertificateStore) -> T) -> T {
        question(&self.current.load())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.ask(|store| store.choose(hello.server_name(), hello.signature_schemes()))
    }
}

impl FromFiles for Resolver {
    fn paths(&self) -> Vec<PathBuf> {
        self.ask(|store| store.sources().paths())
    }

    fn seen(&self) -> Look {
        self.first_seen.clone()
    }

    fn read_again(&self, now: SystemTime) -> Result<Vec<String>, Vec<String>> {
        let sources = self.ask(|store| store.sources().clone());
        let store = certificates::load(&sources, now)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let warnings = store.warnings().to_vec();
        self.current.store(Arc::new(store));
        Ok(warnings)
    }
}
