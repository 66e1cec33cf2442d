//! Whose certificates are believed of clients, which of them are revoked, and what one says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificates::{CertificateProblem, broken_pem, read, read_chain, time};
use super::connector::sha256;
use super::provider;
use crate::policy::facts::ClientCertificateFacts;
use crate::watch::Look;

/// What an operator says of the certificates of clients.
#[derive(Clone, Debug)]
pub struct ClientsSource {
    /// A file of certificates that sign those of clients.
    pub ca: PathBuf,
    /// Whether a client may come without one.
    pub optional: bool,
    /// Files of revocation lists.
    pub crl: Vec<PathBuf>,
}

impl ClientsSource {
    /// The files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        std::iter::once(&self.ca).chain(&self.crl).cloned().collect()
    }
}

/// How certificates of clients are asked for: settled before anyone connects.
#[derive(Debug)]
pub struct Clients {
    pub(super) source: ClientsSource,
    /// How its files looked before they were read.
    pub(super) look: Look,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// What an operator should see to soon.
    pub warnings: Vec<String>,
}

impl Clients {
    /// Who verifies, and what that was made of.
    pub(super) fn into_parts(self) -> (Arc<dyn ClientCertVerifier>, (ClientsSource, Look)) {
        (self.verifier, (self.source, self.look))
    }
}

/// Loads what `source` names. `now` settles which lists are too old.
///
/// # Errors
///
/// Every problem at once: files that cannot be read, that hold no certificate or no list.
pub fn load(source: &ClientsSource, now: SystemTime) -> Result<Clients, Vec<CertificateProblem>> {
    let look = Look::at(&source.paths());
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let roots = roots(&source.ca).map_err(|problem| vec![problem])?;
    let mut lists = Vec::new();
    for file in &source.crl {
        match read_lists(file, &roots) {
            Ok(read) => {
                warnings.extend(read.iter().filter_map(|list| warn_of_age(file, list, now)));
                lists.extend(read);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    // A list that is too old may not name what was revoked since: as OpenSSL has it, it says nothing any more.
    let builder = builder.with_crls(lists).enforce_revocation_expiration();
    let builder = if source.optional { builder.allow_unauthenticated() } else { builder };
    let verifier = builder.build();
    let verifier = verifier
        .map_err(|error| vec![CertificateProblem::new(&source.ca, format!("cannot be used: {error}"))])?;
    Ok(Clients { source: source.clone(), look, verifier, warnings })
}

fn roots(file: &Path) -> Result<Arc<RootCertStore>, CertificateProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(file)? {
        roots.add(certificate).map_err(|error| {
            CertificateProblem::new(file, format!("expected certificates that can sign others: {error}"))
        })?;
    }
    Ok(Arc::new(roots))
}

/// The revocation lists of a file, each looked at: which of them is broken the verifier would not tell.
fn read_lists(
    file: &Path,
    roots: &Arc<RootCertStore>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateProblem> {
    let bytes = read(file)?;
    let mut lists = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
        let list = list.map_err(|error| broken_pem(file, &error))?;
        let place = lists.len() + 1;
        let alone = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
        if let Err(error) = alone.with_crls([list.clone()]).build() {
            let what = format!("revocation list {place} cannot be used: {error}");
            return Err(CertificateProblem::new(file, what));
        }
        lists.push(list);
    }
    if lists.is_empty() {
        return Err(CertificateProblem::new(file, "expected a revocation list, found none").hint(
            "a list in PEM begins with `-----BEGIN X509 CRL-----`; `openssl crl -inform der -in FILE -out NEWFILE` writes it",
        ));
    }
    Ok(lists)
}

fn warn_of_age(file: &Path, list: &[u8], now: SystemTime) -> Option<String> {
    let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
    let next = time(parsed.next_update()?.timestamp());
    (next < now).then(|| {
        format!(
            "revocation list `{}` of `{}` should have been replaced by now: certificates of whom it is about are refused",
            file.display(),
            parsed.issuer()
        )
    })
}

/// What is known of a client by its certificate.
pub(super) fn facts(certificate: &[u8], resumed: bool) -> ClientCertificateFacts {
    let parsed = X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed);
    let cn = parsed.as_ref().and_then(|parsed| {
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        Some(name.into())
    });
    ClientCertificateFacts {
        cn,
        serial: hexadecimal(parsed.as_ref().map(serial).unwrap_or_default()),
        fingerprint: hexadecimal(&sha256(certificate)),
        der: certificate.into(),
        resumed,
    }
}

/// Without the zero that keeps a large one from being negative, as tools show it.
fn serial<'c>(certificate: &'c X509Certificate<'_>) -> &'c [u8] {
    match certificate.raw_serial() {
        [0, rest @ ..] if !rest.is_empty() => rest,
        whole => whole,
    }
}

fn hexadecimal(bytes: &[u8]) -> Box<str> {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect::<String>().into()
}
