//! TLS with endpoints: whose certificates are believed, which one is shown, and the handshake.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::{CertificatePair, CertificateProblem, load_pair, read_chain};
use super::provider;
use crate::policy::cluster::{EndpointTerms, EndpointTls};
use crate::watch::{FromFiles, Look};

/// What an operator says of the TLS with a cluster's endpoints.
#[derive(Clone, Debug, Default)]
pub struct EndpointTlsSource {
    /// A file of certificates that sign those of the endpoints; without one, those that the system believes do.
    pub ca: Option<PathBuf>,
    /// Whether nobody need have signed them.
    pub anyone: bool,
    /// SHA-256 of the keys of which an endpoint must have one; empty where any will do.
    pub pins: Vec<[u8; 32]>,
    /// What the gateway shows when an endpoint asks who it is.
    pub certificate: Option<CertificatePair>,
    /// Whom endpoints are asked for, and what their certificates must name; without one, their own addresses.
    pub name: Option<ServerName<'static>>,
    /// Whether the PROXY header goes inside.
    pub header_inside: bool,
    /// Whether HTTP/2 is asked for.
    pub http2: bool,
}

impl EndpointTlsSource {
    fn paths(&self) -> Vec<PathBuf> {
        let shown = self.certificate.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        self.ca.iter().chain(shown).cloned().collect()
    }
}

/// Why no TLS can be spoken with a cluster's endpoints.
#[derive(Debug, thiserror::Error)]
pub enum EndpointTlsProblem {
    /// A file cannot be used.
    #[error("{0}")]
    Certificate(CertificateProblem),
    /// The system believes nobody.
    #[error("expected certificates that the system believes, found none: {0}")]
    NoRoots(rustls::Error),
    /// The file of those who sign holds none that can.
    #[error("{}: expected certificates that can sign others, found none: {why}", .file.display())]
    NoAuthorities {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        why: String,
    },
    /// Provider, versions and certificate have no common ground.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

impl From<CertificateProblem> for EndpointTlsProblem {
    fn from(problem: CertificateProblem) -> Self {
        Self::Certificate(problem)
    }
}

/// How TLS is spoken with servers that nobody here configures further: believed by `ca`, or else as the system does.
///
/// # Errors
///
/// When the file cannot be used, or the system has no certificates to believe.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<ClientConfig, EndpointTlsProblem> {
    let source = EndpointTlsSource { ca: ca.map(Path::to_owned), ..EndpointTlsSource::default() };
    terms(&source).map(|terms| ClientConfig::clone(&terms.config))
}

/// Settles how TLS is spoken with a cluster's endpoints.
///
/// # Errors
///
/// When a file cannot be used, or the system has no certificates to believe.
pub fn settle(source: EndpointTlsSource) -> Result<EndpointTls, EndpointTlsProblem> {
    let seen = Look::at(&source.paths());
    let terms = Arc::new(ArcSwap::from_pointee(terms(&source)?));
    let (name, header_inside) = (source.name.clone(), source.header_inside);
    let is_of_files = !source.paths().is_empty();
    let files = TermsFile { source, seen, terms: Arc::clone(&terms) };
    let files = is_of_files.then(|| Arc::new(files) as Arc<dyn FromFiles>);
    Ok(EndpointTls { terms, files, name, header_inside })
}

/// What the terms of a cluster's TLS are made of.
#[derive(Debug)]
struct TermsFile {
    source: EndpointTlsSource,
    seen: Look,
    terms: Arc<ArcSwap<EndpointTerms>>,
}

impl FromFiles for TermsFile {
    fn paths(&self) -> Vec<PathBuf> {
        self.source.paths()
    }

    fn seen(&self) -> Look {
        self.seen.clone()
    }

    fn read_again(&self, _: SystemTime) -> Result<Vec<String>, Vec<String>> {
        let terms = terms(&self.source).map_err(|problem| vec![problem.to_string()])?;
        self.terms.store(Arc::new(terms));
        Ok(Vec::new())
    }
}

/// Makes the terms of what the files hold now.
fn terms(source: &EndpointTlsSource) -> Result<EndpointTerms, EndpointTlsProblem> {
    let signed = match (&source.ca, source.anyone) {
        (_, true) => None,
        (Some(file), false) => Some(signed_by(file)?),
        (None, false) => {
            Some(Arc::new(Verifier::new(provider()).map_err(EndpointTlsProblem::NoRoots)?) as Arc<_>)
        }
    };
    let verifier = Arc::new(Believer { signed, pins: source.pins.clone().into(), provider: provider() });
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &source.certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let certificate = load_pair(pair)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate)))
        }
    };
    if source.http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    // Each is an identity of its own: what was agreed on under another plan is not taken over.
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    Ok(EndpointTerms { config: Arc::new(config), number: NUMBER.fetch_add(1, Ordering::Relaxed) })
}

fn signed_by(file: &Path) -> Result<Arc<dyn ServerCertVerifier>, EndpointTlsProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(file)? {
        roots.add(certificate).map_err(|error| EndpointTlsProblem::NoAuthorities {
            file: file.to_owned(),
            why: error.to_string(),
        })?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let verifier = verifier.map_err(|error| EndpointTlsProblem::NoAuthorities {
        file: file.to_owned(),
        why: error.to_string(),
    })?;
    Ok(verifier)
}

/// Makes the handshake with an endpoint at this address, if it has one.
///
/// # Errors
///
/// When there is no agreement, or the connection breaks. What the cause was, [`reason`] says.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    tls: &EndpointTls,
    ip: Option<IpAddr>,
    stream: S,
) -> io::Result<Box<TlsStream<S>>> {
    let name = match (&tls.name, ip) {
        (Some(name), _) => name.clone(),
        (None, Some(ip)) => ServerName::IpAddress(ip.into()),
        (None, None) => {
            return Err(io::Error::other("a unix socket has no name that a certificate could hold"));
        }
    };
    let connector = TlsConnector::from(Arc::clone(&tls.terms.load().config));
    // It is made on the heap: a session is large, and most connections have none.
    Ok(Box::new(Box::pin(connector.connect(name, stream)).await?))
}

/// What webpki says of a certificate like those that `openssl req -x509` makes.
const OF_A_CA: &str = "CaUsedAsEndEntity";

/// Says in words why there was no agreement.
pub(crate) fn reason(error: &io::Error) -> String {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        };
    };
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "nobody that we believe signed its certificate".to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::Other(OtherError(other)) => match other.to_string() {
                text if text == OF_A_CA => "its certificate is that of a CA, which signs others and serves \
                    nobody; give it one that is signed, or believe its key: `verify = false` and `pins`"
                    .to_owned(),
                text => text,
            },
            other => format!("its certificate cannot be believed: {other}"),
        },
        rustls::Error::InvalidMessage(_) => format!("it does not answer with TLS ({error})"),
        rustls::Error::AlertReceived(alert) => format!("it ended the handshake with the alert {alert:?}"),
        other => other.to_string(),
    }
}

/// Believes an endpoint by who signed its certificate, by its key, or by both.
#[derive(Debug)]
struct Believer {
    signed: Option<Arc<dyn ServerCertVerifier>>,
    pins: Box<[[u8; 32]]>,
    provider: Arc<CryptoProvider>,
}

/// The key is not one of those that were pinned.
#[derive(Debug, thiserror::Error)]
#[error("expected one of the keys in `pins`, found sha256/{0}")]
struct OtherKey(String);

impl Believer {
    fn check_pins(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let found = sha256(parsed.public_key().raw);
        if self.pins.iter().any(|pin| found.as_slice() == pin) {
            return Ok(());
        }
        let other = OtherKey(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, found));
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(other)))))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    // The suite is named for its hash, and is one of TLS 1.3's.
    let hash = TLS13_AES_128_GCM_SHA256.tls13().map(|suite| suite.common.hash_provider.hash(bytes));
    hash.map(|hash| hash.as_ref().to_vec()).unwrap_or_default()
}

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(signed) = &self.signed {
            signed.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        }
        self.check_pins(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
