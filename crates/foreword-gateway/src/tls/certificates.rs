//! Certificates and keys, from files to the choice by SNI.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::InconsistentKeys;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::directory;
use super::staple::Staple;
pub use super::store::{CertificateStore, LoadedCertificate};
use crate::watch::Look;

/// Where the certificates of a listener are.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Each `*.pem` in it holds chain and key; each `NAME.crt` goes with `NAME.key`; each `NAME.ocsp` is stapled to either.
    Directory(PathBuf),
    /// Certificate chain and key, file by file.
    Pairs(Vec<CertificatePair>),
}

impl CertificateSource {
    /// The files, as many as there are now.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Directory(directory) => directory::files_in(directory),
            Self::Pairs(pairs) => {
                let files = |pair: &CertificatePair| {
                    [Some(pair.certificate.clone()), Some(pair.key.clone()), pair.ocsp.clone()]
                };
                pairs.iter().flat_map(files).flatten().collect()
            }
        }
    }
}

/// All certificates of a listener: those that it is given, and those that a CA issues to us.
#[derive(Clone, Debug, Default)]
pub struct CertificateSources {
    /// Those that it is given.
    pub given: Option<CertificateSource>,
    /// Names, and the files in which certificates for them are, once they are issued.
    pub issued: Vec<(Box<str>, PathBuf)>,
}

impl From<CertificateSource> for CertificateSources {
    fn from(given: CertificateSource) -> Self {
        Self { given: Some(given), issued: Vec::new() }
    }
}

impl CertificateSources {
    /// The files, as many as there are now.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let given = self.given.iter().flat_map(CertificateSource::paths);
        given.chain(self.issued.iter().map(|(_, file)| file.clone())).collect()
    }
}

/// A chain and its key; both may be in the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePair {
    /// The certificate that names the server first, then those that vouch for it.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
    /// What its CA says of it, for clients that ask.
    pub ocsp: Option<PathBuf>,
}

/// What is wrong with a certificate, a key, or the place where they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {what}", file.display())]
pub struct CertificateProblem {
    /// The file or directory.
    pub file: PathBuf,
    /// What was expected and what was found.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl CertificateProblem {
    pub(super) fn new(file: &Path, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), what: what.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Loads what `sources` name and checks it as a whole. `now` settles what is expired.
///
/// # Errors
///
/// Every problem at once: files that cannot be read, that hold no certificate or no key, keys of other certificates.
pub fn load(
    sources: &CertificateSources,
    now: SystemTime,
) -> Result<CertificateStore, Vec<CertificateProblem>> {
    let look = Look::at(&sources.paths());
    let pairs = match &sources.given {
        None => Vec::new(),
        Some(CertificateSource::Directory(directory)) => directory::pairs_in(directory)?,
        Some(CertificateSource::Pairs(pairs)) => pairs.clone(),
    };
    let mut store = CertificateStore::empty(sources.clone(), look);
    let mut problems = Vec::new();
    for pair in &pairs {
        match load_stapled(pair) {
            Ok((certificate, staple)) => store.add(certificate, staple, pair, now),
            Err(problem) => problems.push(problem),
        }
    }
    for (name, file) in &sources.issued {
        store.add_issued(name, file);
    }
    if problems.is_empty() { Ok(store) } else { Err(problems) }
}

fn load_stapled(pair: &CertificatePair) -> Result<(CertifiedKey, Option<Staple>), CertificateProblem> {
    let certificate = load_pair(pair)?;
    let staple = pair.ocsp.as_deref().map(|file| Staple::read(file, &certificate.cert)).transpose()?;
    Ok((certificate, staple))
}

pub(super) fn load_pair(pair: &CertificatePair) -> Result<CertifiedKey, CertificateProblem> {
    let chain = read_chain(&pair.certificate)?;
    let key = read_key(&pair.key)?;
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &super::provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => mismatch(pair, &chain, &key),
        rustls::Error::InvalidCertificate(why) => {
            CertificateProblem::new(&pair.certificate, format!("the certificate cannot be used: {why}"))
        }
        other => CertificateProblem::new(&pair.key, format!("the key cannot be used: {other}"))
            .hint("RSA of at least 2048 bits, ECDSA P-256, P-384 and P-521, and Ed25519 can be"),
    })
}

pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let bytes = read(file)?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        chain.push(certificate.map_err(|error| broken_pem(file, &error))?);
    }
    let Some(first) = chain.first() else {
        return Err(CertificateProblem::new(file, "expected a certificate, found none")
            .hint("a certificate in PEM begins with `-----BEGIN CERTIFICATE-----`"));
    };
    let parsed = parse(first)
        .ok_or_else(|| CertificateProblem::new(file, "the first certificate is not valid X.509"))?;
    match parsed.version() {
        X509Version::V3 => Ok(chain),
        X509Version(older) => {
            // Their numbers begin at 0, RFC 5280 §4.1.2.1.
            let what = format!(
                "expected a certificate of X.509 version 3, found version {}",
                older.saturating_add(1)
            );
            Err(CertificateProblem::new(file, what)
                .hint("`openssl x509 -req` makes version 3 of it when `-extfile` gives it a subjectAltName"))
        }
    }
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, CertificateProblem> {
    let bytes = read(file)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if bytes.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) => {
            Err(CertificateProblem::new(
                file,
                "the private key is encrypted, and there is nobody to ask for its password",
            )
            .hint(
                "`openssl pkey -in FILE -out NEWFILE` writes it in the clear; let only the gateway read it",
            ))
        }
        Err(pem::Error::NoItemsFound) => Err(CertificateProblem::new(
            file,
            "expected a private key, found none",
        )
        .hint(
            "a key in PEM begins with `-----BEGIN PRIVATE KEY-----`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`",
        )),
        Err(error) => Err(broken_pem(file, &error)),
    }
}

/// Reads a regular file. Whoever opens a named pipe may wait for ever, and a device may have no end.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, CertificateProblem> {
    let unreadable = |error| CertificateProblem::new(file, format!("cannot be read: {error}"));
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(CertificateProblem::new(file, "expected a regular file, found something else")
            .hint("pipes, sockets and devices are not read: put the PEM into a file"));
    }
    fs::read(file).map_err(unreadable)
}

pub(super) fn broken_pem(file: &Path, error: &pem::Error) -> CertificateProblem {
    CertificateProblem::new(file, format!("not valid PEM: {error}"))
}

/// Says whose key it is, if it is the key of a later certificate in the chain.
fn mismatch(
    pair: &CertificatePair,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> CertificateProblem {
    let fits = |certificate: &CertificateDer<'static>| {
        CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &super::provider()).is_ok()
    };
    let problem = |what: String| CertificateProblem::new(&pair.certificate, what);
    match chain.iter().position(fits) {
        Some(place) => {
            problem(format!("the key belongs to certificate {} of the chain, not to the first", place + 1))
                .hint("put the server's own certificate first, then those that vouch for it")
        }
        None if pair.key == pair.certificate => {
            problem("its private key does not belong to its certificate".to_owned())
        }
        None => problem(format!(
            "the private key in `{}` does not belong to this certificate",
            pair.key.display()
        )),
    }
}

pub(super) fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Option<X509Certificate<'c>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

pub(super) fn time(timestamp: i64) -> SystemTime {
    match u64::try_from(timestamp) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

/// The title of a key that needs a password.
const ENCRYPTED: &[u8] = b"ENCRYPTED PRIVATE KEY";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::SignatureScheme;

    use super::super::store;
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    const NAMES: [SignatureScheme; 1] = [SignatureScheme::ECDSA_NISTP256_SHA256];

    fn pem(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn load_directory(directory: &tempfile::TempDir) -> Result<CertificateStore, Vec<CertificateProblem>> {
        load(&CertificateSource::Directory(directory.path().to_owned()).into(), SystemTime::now())
    }

    fn chosen(store: &CertificateStore, sni: Option<&str>) -> PathBuf {
        let found = store.choose(sni, &NAMES).unwrap();
        let place = store.loaded().iter().position(|loaded| {
            let names = store::names(&parse(found.cert.first().unwrap()).unwrap());
            loaded.names == names
        });
        store.loaded()[place.unwrap()].file.file_name().unwrap().into()
    }

    #[test]
    fn the_exact_name_wins_over_the_wildcard_and_the_first_answers_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        for (file, name) in [("a", "default.test"), ("b", "*.example.test"), ("c", "www.example.test")] {
            let (certificate, key) = pem(&[name]);
            write(&directory, &format!("{file}.pem"), &(certificate + &key));
        }
        let store = load_directory(&directory).unwrap();
        assert_eq!(chosen(&store, Some("www.example.test")), Path::new("c.pem"));
        assert_eq!(chosen(&store, Some("WWW.Example.test.")), Path::new("c.pem"));
        assert_eq!(chosen(&store, Some("api.example.test")), Path::new("b.pem"));
        assert_eq!(chosen(&store, Some("a.b.example.test")), Path::new("a.pem"));
        assert_eq!(chosen(&store, Some("example.test")), Path::new("a.pem"));
        assert_eq!(chosen(&store, None), Path::new("a.pem"));
        assert_eq!(store.warnings(), &[] as &[String]);
    }

    #[test]
    fn a_crt_goes_with_its_key_and_a_lonely_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pem(&["a.test"]);
        write(&directory, "a.crt", &certificate);
        write(&directory, "a.key", &key);
        assert_eq!(chosen(&load_directory(&directory).unwrap(), Some("a.test")), Path::new("a.crt"));
        write(&directory, "b.crt", &certificate);
        let problems = load_directory(&directory).unwrap_err();
        assert!(
            matches!(&problems[..], [problem] if problem.to_string().contains("b.crt") && problem.what.contains("b.key"))
        );
    }

    #[test]
    fn every_broken_file_is_named_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pem(&["a.test"]);
        let (_, other_key) = pem(&["b.test"]);
        write(&directory, "1.pem", "");
        write(&directory, "2.pem", &certificate);
        write(&directory, "3.pem", &(certificate.clone() + &other_key));
        write(
            &directory,
            "4.pem",
            &(certificate.clone() + &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
        );
        write(&directory, "5.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
        let problems = load_directory(&directory).unwrap_err();
        let whats: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(whats[0], "expected a certificate, found none");
        assert_eq!(whats[1], "expected a private key, found none");
        assert_eq!(whats[2], "its private key does not belong to its certificate");
        assert!(whats[3].contains("encrypted"), "{}", whats[3]);
        assert!(whats[4].contains("not valid PEM"), "{}", whats[4]);
        assert_eq!(whats.len(), 5);
    }

    #[test]
    fn a_pipe_is_named_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("x.pem");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let problems = load_directory(&directory).unwrap_err();
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!((&problem.file, &*problem.what), (&pipe, "expected a regular file, found something else"));
    }

    #[test]
    fn a_chain_in_the_wrong_order_is_told_apart_from_a_foreign_key() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pem(&["a.test"]);
        let (issuer, _) = pem(&["ca.test"]);
        write(&directory, "a.pem", &(issuer + &certificate + &key));
        let problems = load_directory(&directory).unwrap_err();
        assert_eq!(problems[0].what, "the key belongs to certificate 2 of the chain, not to the first");
    }

    #[test]
    fn an_empty_directory_and_a_missing_one_are_problems() {
        let directory = tempfile::tempdir().unwrap();
        assert!(load_directory(&directory).unwrap_err()[0].what.contains("found none"));
        let missing = CertificateSource::Directory(directory.path().join("nowhere"));
        let problem = load(&missing.clone().into(), SystemTime::now()).unwrap_err().remove(0);
        assert_eq!(problem.what, "expected a folder with certificates, found none");
        assert!(problem.hint.unwrap().contains("openssl req -x509"));
    }

    #[test]
    fn the_layout_of_certbot_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pem(&["a.test"]);
        for name in ["cert.pem", "chain.pem", "fullchain.pem"] {
            write(&directory, name, &certificate);
        }
        write(&directory, "privkey.pem", &key);
        let problems = load_directory(&directory).unwrap_err();
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        let folder = directory.path().display();
        assert_eq!(
            problem.hint.as_deref(),
            Some(&*format!(
                "write `certificates = [{{ certificate = \"{folder}/fullchain.pem\", key = \"{folder}/privkey.pem\" }}]`"
            ))
        );
    }

    #[test]
    fn a_certificate_of_version_1_is_said_to_be_one() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, "old.pem", VERSION_1);
        let problems = load_directory(&directory).unwrap_err();
        assert_eq!(problems[0].what, "expected a certificate of X.509 version 3, found version 1");
    }

    #[test]
    fn a_name_twice_and_no_name_at_all_are_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        for (file, names) in [("a", &["a.test"][..]), ("b", &["b.test", "a.test"]), ("c", &[])] {
            let (certificate, key) = pem(names);
            write(&directory, &format!("{file}.pem"), &(certificate + &key));
        }
        let store = load_directory(&directory).unwrap();
        let [twice, nameless] = store.warnings() else { panic!("{:?}", store.warnings()) };
        assert!(twice.contains("b.pem` is never chosen for `a.test`"), "{twice}");
        assert!(nameless.contains("c.pem` has no subjectAltName"), "{nameless}");
    }

    #[test]
    fn dates_and_readers_are_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pem(&["a.test"]);
        let path = write(&directory, "a.pem", &(certificate + &key));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let source = CertificateSource::Directory(directory.path().to_owned()).into();
        let not_after = load(&source, SystemTime::now()).unwrap().loaded()[0].not_after;

        let soon = load(&source, not_after - Duration::from_secs(3 * DAY + 1)).unwrap();
        assert!(soon.warnings()[0].ends_with("expires in 3 days"), "{:?}", soon.warnings());
        assert!(soon.warnings()[1].contains("mode 644"), "{:?}", soon.warnings());
        let late = load(&source, not_after + Duration::from_secs(2 * DAY)).unwrap();
        assert!(late.warnings()[0].contains("expired 2 days ago"), "{:?}", late.warnings());
        let early = load(&source, UNIX_EPOCH).unwrap();
        assert!(early.warnings()[0].contains("not valid yet"), "{:?}", early.warnings());
    }

    /// Of 2026, for a hundred years; what else it says does not matter.
    const VERSION_1: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBIzCByQIUPPW0QOzwn0RMyCAn0hFCbCA/9vcwCgYIKoZIzj0EAwIwEzERMA8G\n\
        A1UEAwwIb2xkLnRlc3QwIBcNMjYxMTIzMDcyODE0WhgPMjEyNjEwMzAwNzI4MTRa\n\
        MBMxETAPBgNVBAMMCG9sZC50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
        EQxHA6yL+eLq9aumlAlzd0cUDQIRI7POEc6D0sD3mLm7HtjgUg0tMM4NDs4kn+pb\n\
        UD1oVb1ElYetWeto47J84jAKBggqhkjOPQQDAgNJADBGAiEA9kzjdvQ0fFLKNZ9a\n\
        zLCrbi08ZXeY/dx/lxwpkaj6fi0CIQCQjzmOjcGyUo29H+SSJtMJHSxYHIsl6Pwr\n\
        3hpYxYVrzQ==\n\
        -----END CERTIFICATE-----\n";
}
