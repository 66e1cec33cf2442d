//! The certificates of one listener: their choice by SNI, and what an operator should see to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::algorithms;
use super::certificates::{CertificatePair, CertificateSources, load_pair, parse, time};
use super::staple::Staple;
use crate::policy::facts::CertificateFacts;
use crate::watch::Look;

/// A certificate as it was loaded.
#[derive(Clone, Debug)]
pub struct LoadedCertificate {
    /// The file that the chain came from.
    pub file: PathBuf,
    /// The names that it answers for, `*.` included, lower case.
    pub names: Vec<Box<str>>,
    /// When it stops being valid.
    pub not_after: SystemTime,
}

/// The certificates of one listener, found by SNI: the exact name, else its wildcard, else the first certificate.
pub struct CertificateStore {
    sources: CertificateSources,
    /// How its files looked before they were read.
    look: Look,
    exact: HashMap<Box<str>, Vec<Offered>>,
    wildcard: HashMap<Box<str>, Vec<Offered>>,
    default: Vec<Offered>,
    loaded: Vec<LoadedCertificate>,
    /// Names whose certificates were not issued yet.
    awaited: HashSet<Box<str>>,
    warnings: Vec<String>,
}

/// A certificate as it is offered, and what receivers are told of it.
#[derive(Clone)]
struct Offered {
    certificate: Arc<CertifiedKey>,
    staple: Option<Stapled>,
    facts: Arc<CertificateFacts>,
}

/// The same certificate with what its CA says of it, and how long that may be said.
#[derive(Clone)]
struct Stapled {
    certificate: Arc<CertifiedKey>,
    until: SystemTime,
}

impl CertificateStore {
    pub(super) fn empty(sources: CertificateSources, look: Look) -> Self {
        Self {
            sources,
            look,
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Vec::new(),
            loaded: Vec::new(),
            awaited: HashSet::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        certificate: CertifiedKey,
        staple: Option<Staple>,
        pair: &CertificatePair,
        now: SystemTime,
    ) {
        let Some(parsed) = certificate.cert.first().and_then(|first| parse(first)) else {
            return;
        };
        self.warn_of_dates(&pair.certificate, &parsed, now);
        self.warn_of_readers(&pair.key);
        self.warn_of_names(&parsed, &pair.certificate);
        let names = names(&parsed);
        let not_after = time(parsed.validity().not_after.timestamp());
        let facts = Arc::new(algorithms::of(&parsed));
        let staple = self.stapled(&certificate, staple, now);
        self.offer(
            names,
            not_after,
            &pair.certificate,
            Offered { certificate: Arc::new(certificate), staple, facts },
        );
    }

    /// Adds what a CA issued for a name. Whoever obtains certificates sees to it that there is a good one, so nobody is warned
    /// of its time; one that cannot be used is as good as none.
    pub(super) fn add_issued(&mut self, name: &str, file: &Path) {
        let pair = CertificatePair { certificate: file.to_owned(), key: file.to_owned(), ocsp: None };
        let loaded = file.exists().then(|| load_pair(&pair)).transpose();
        let certificate = loaded.unwrap_or_else(|problem| {
            self.warnings.push(format!("{problem}: another certificate is obtained"));
            None
        });
        let Some(certificate) = certificate else {
            self.awaited.insert(name.into());
            return;
        };
        let Some(parsed) = certificate.cert.first().and_then(|first| parse(first)) else { return };
        self.warn_of_readers(file);
        let not_after = time(parsed.validity().not_after.timestamp());
        let (names, facts) = (names(&parsed), Arc::new(algorithms::of(&parsed)));
        self.offer(
            names,
            not_after,
            file,
            Offered { certificate: Arc::new(certificate), staple: None, facts },
        );
    }

    fn offer(&mut self, names: Vec<Box<str>>, not_after: SystemTime, file: &Path, offered: Offered) {
        let algorithm = offered.certificate.key.algorithm();
        for name in &names {
            let (map, key) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, &**name),
            };
            let others = map.entry(key.into()).or_default();
            if others.iter().any(|other| other.certificate.key.algorithm() == algorithm) {
                self.warnings.push(format!(
                    "certificate `{}` is never chosen for `{name}`: one before it has the same name and kind of key",
                    file.display()
                ));
            }
            others.push(offered.clone());
        }
        // Two certificates with the same names, as RSA and ECDSA, are both there for who knows no better name.
        if self.loaded.first().is_none_or(|first| first.names == names) {
            self.default.push(offered);
        }
        self.loaded.push(LoadedCertificate { file: file.to_owned(), names, not_after });
    }

    /// The certificate with what is stapled to it, unless that would keep clients away.
    fn stapled(
        &mut self,
        certificate: &CertifiedKey,
        staple: Option<Staple>,
        now: SystemTime,
    ) -> Option<Stapled> {
        let staple = staple?;
        if let Some(warning) = staple.warning(now) {
            self.warnings.push(warning);
        }
        let until = staple.good_until()?;
        let certificate = CertifiedKey { ocsp: Some(staple.into_bytes()), ..certificate.clone() };
        Some(Stapled { certificate: Arc::new(certificate), until })
    }

    fn warn_of_dates(&mut self, file: &Path, certificate: &X509Certificate<'_>, now: SystemTime) {
        let validity = certificate.validity();
        let [not_before, not_after] =
            [validity.not_before, validity.not_after].map(|moment| time(moment.timestamp()));
        let file = file.display();
        let days = |time: Duration| time.as_secs() / DAY;
        match not_after.duration_since(now) {
            Err(ago) => self.warnings.push(format!(
                "certificate `{file}` expired {} days ago: clients will refuse it",
                days(ago.duration())
            )),
            Ok(left) if left < NEAR_EXPIRY => {
                self.warnings.push(format!("certificate `{file}` expires in {} days", days(left)));
            }
            Ok(_) => {}
        }
        if not_before > now {
            self.warnings.push(format!("certificate `{file}` is not valid yet: clients will refuse it"));
        }
    }

    fn warn_of_names(&mut self, certificate: &X509Certificate<'_>, file: &Path) {
        if !matches!(certificate.subject_alternative_name(), Ok(Some(_))) {
            self.warnings.push(format!(
                "certificate `{}` has no subjectAltName: present-day clients refuse it, whatever its common name",
                file.display()
            ));
        }
    }

    fn warn_of_readers(&mut self, key: &Path) {
        let Ok(metadata) = fs::metadata(key) else { return };
        let mode = metadata.permissions().mode();
        if mode & 0o004 != 0 {
            self.warnings.push(format!(
                "private key `{}` can be read by everyone on this machine (mode {:03o}): `chmod o-r` it",
                key.display(),
                mode & 0o777
            ));
        }
    }

    /// The certificates in the order in which they were loaded; the first answers where no name fits.
    pub fn loaded(&self) -> &[LoadedCertificate] {
        &self.loaded
    }

    /// What an operator should see to soon: certificates near their end, keys that others can read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What it was loaded from.
    pub(super) fn sources(&self) -> &CertificateSources {
        &self.sources
    }

    pub(super) fn look(&self) -> &Look {
        &self.look
    }

    /// What is told of the certificate for a name. Of several, the client's signatures decide which one it is shown, and
    /// nobody tells us afterwards.
    pub(super) fn facts(&self, sni: Option<&str>) -> Option<Arc<CertificateFacts>> {
        match self.find(sni) {
            [only] => Some(Arc::clone(&only.facts)),
            _ => None,
        }
    }

    /// Whether a certificate has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find_named(name).is_some()
    }

    /// Whether there are names whose certificates were not issued yet.
    pub(super) fn awaits_any(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Whether the certificate for a name was not issued yet. Until the first one was, that is so for every name.
    pub(super) fn awaits(&self, sni: Option<&str>) -> bool {
        let is_awaited = |name: &str| {
            let lower = name.trim_end_matches('.').to_ascii_lowercase();
            self.awaited.contains(lower.as_str()) && !self.has(name)
        };
        self.loaded.is_empty() || sni.is_some_and(is_awaited)
    }

    /// Whether a client that asked for one of these names would be shown another certificate for the other.
    pub(super) fn parts(&self, one: &str, other: &str) -> bool {
        if self.loaded.len() == 1 || one.eq_ignore_ascii_case(other) {
            return false;
        }
        let shown = |name| self.find(Some(name)).iter().map(|offered| Arc::as_ptr(&offered.certificate));
        !shown(one).eq(shown(other))
    }

    fn find(&self, sni: Option<&str>) -> &[Offered] {
        sni.and_then(|name| self.find_named(name)).unwrap_or(&self.default)
    }

    fn find_named(&self, name: &str) -> Option<&[Offered]> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let under_wildcard = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name.as_str()).or_else(under_wildcard).map(Vec::as_slice)
    }

    /// The certificate for a name that the client can verify, if there is one.
    pub(super) fn choose(&self, sni: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let found = self.find(sni);
        let fitting = found.iter().find(|offered| offered.certificate.key.choose_scheme(schemes).is_some());
        fitting.or_else(|| found.first()).map(Offered::shown)
    }
}

impl Offered {
    /// What is stapled ages while the certificate is in use, and clients refuse one whose time is over.
    fn shown(&self) -> Arc<CertifiedKey> {
        let fresh = self.staple.as_ref().filter(|staple| SystemTime::now() < staple.until);
        Arc::clone(fresh.map_or(&self.certificate, |staple| &staple.certificate))
    }
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.loaded).finish()
    }
}

/// The names of a certificate. Its common name counts only where it has no list of names, as old private CAs leave it.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let lower = |name: &str| name.to_ascii_lowercase().into_boxed_str();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        let dns = alternative.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(lower(name)),
            _ => None,
        });
        return dns.collect();
    }
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(lower).collect()
}

const DAY: u64 = 24 * 60 * 60;

/// Two weeks are enough for a renewal that somebody must do by hand.
const NEAR_EXPIRY: Duration = Duration::from_secs(14 * DAY);
