//! Certificates that a CA issues to us: when they hold, and whether they are what was asked for.

use std::path::Path;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificates::{CertificateProblem, parse, read_chain, time};
use super::store::names;

/// When a certificate holds, and the certificate itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuance {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// The first of the chain.
    pub(crate) leaf: CertificateDer<'static>,
}

/// Reads when the certificate in a file holds; `None` if there is no file.
pub(crate) fn issuance(file: &Path) -> Result<Option<Issuance>, CertificateProblem> {
    if !file.exists() {
        return Ok(None);
    }
    let Some(leaf) = read_chain(file)?.into_iter().next() else { return Ok(None) };
    let Some(validity) = parse(&leaf).map(|parsed| parsed.validity().clone()) else { return Ok(None) };
    let [not_before, not_after] =
        [validity.not_before, validity.not_after].map(|moment| time(moment.timestamp()));
    Ok(Some(Issuance { not_before, not_after, leaf }))
}

/// Makes sure that a chain and its key, in PEM, can be shown to clients who ask for this name.
pub(crate) fn check(pem: &str, name: &str) -> Result<(), String> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain =
        chain.map_err(|error| format!("expected a chain of certificates, found no valid PEM: {error}"))?;
    let parsed = chain.first().and_then(parse).ok_or("expected a certificate, found none")?;
    let found = names(&parsed);
    if !found.iter().any(|found| **found == *name) {
        return Err(format!("expected a certificate for `{name}`, found one for `{}`", found.join("`, `")));
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("no key: {error}"))?;
    let made = CertifiedKey::from_der(chain.clone(), key, &super::provider());
    made.map(drop).map_err(|error| format!("the certificate cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_held_against_name_and_key() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let chain =
            CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let with = |key: &KeyPair| chain.clone() + &key.serialize_pem();
        assert_eq!(check(&with(&key), "a.test"), Ok(()));
        assert!(check(&with(&key), "b.test").unwrap_err().contains("found one for `a.test`"));
        assert!(check(&with(&other), "a.test").unwrap_err().contains("cannot be used"));
        assert!(check(&key.serialize_pem(), "a.test").unwrap_err().contains("found none"));
    }
}
