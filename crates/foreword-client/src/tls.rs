//! TLS as the client speaks it: whom to believe, who we are, and what a failed handshake means.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, KeyLogFile,
    RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::target::Host;

/// Whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub enum Verify {
    /// Those that the operating system believes.
    #[default]
    Platform,
    /// Those that lead to one of these.
    Bundle(Vec<CertificateDer<'static>>),
    /// Any: nobody is authenticated.
    Nothing,
}

/// All that is settled about TLS before a connection.
#[derive(Debug, Default)]
pub struct TlsSettings {
    /// Whose certificates are believed.
    pub verify: Verify,
    /// Our own certificate chain and its key, for servers that ask.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Write the session's secrets to the file that `SSLKEYLOGFILE` names, for a packet analyser.
    pub key_log: bool,
}

impl TlsSettings {
    fn client_config(&self) -> Result<ClientConfig, TlsSetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsSetupError::Provider)?
            .dangerous()
            .with_custom_certificate_verifier(verifier(&self.verify, provider)?);
        let mut config = match &self.identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(TlsSetupError::Identity)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(config)
    }
}

/// What was agreed in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The protocol version, as in `TLSv1.3`.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// The protocol agreed by ALPN.
    pub alpn: Option<String>,
    /// How many certificates the server showed.
    pub certificates: usize,
    /// Whether anybody checked them.
    pub verified: bool,
}

/// Settings, made ready when TLS is first spoken: reading the system's certificates takes its time.
#[derive(Clone)]
pub struct Tls {
    settings: Arc<TlsSettings>,
    connector: OnceLock<TlsConnector>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tls {
    /// Keeps settings for when they are needed.
    pub fn new(settings: TlsSettings) -> Self {
        Self { settings: Arc::new(settings), connector: OnceLock::new() }
    }

    /// Makes the settings ready; later calls cost nothing.
    ///
    /// # Errors
    ///
    /// A bundle without a usable certificate, no certificates of the system, or a key that does not fit.
    pub fn prepare(&self) -> Result<&TlsConnector, TlsSetupError> {
        match self.connector.get() {
            Some(connector) => Ok(connector),
            None => {
                let connector = TlsConnector::from(Arc::new(self.settings.client_config()?));
                Ok(self.connector.get_or_init(|| connector))
            }
        }
    }

    /// Shakes hands over a stream.
    ///
    /// # Errors
    ///
    /// What the handshake failed with; and the stream below, which knows what came.
    pub(crate) async fn connect<S>(&self, host: &Host, stream: S) -> Result<TlsStream<S>, (TlsError, S)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match server_name(host) {
            Ok(name) => name,
            Err(error) => return Err((error, stream)),
        };
        let connector = match self.prepare() {
            Ok(connector) => connector,
            Err(error) => return Err((TlsError::Setup(error), stream)),
        };
        let shaken = connector.connect(name, stream).into_fallible().await;
        shaken.map_err(|(error, stream)| (TlsError::from(error), stream))
    }

    /// What was agreed on a stream.
    pub(crate) fn facts<S>(&self, stream: &TlsStream<S>) -> TlsFacts {
        let (_, session) = stream.get_ref();
        let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown");
        let cipher =
            session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        TlsFacts {
            version: version.replacen("TLSv1_", "TLSv1.", 1),
            cipher: cipher.to_owned(),
            alpn: session.alpn_protocol().map(|name| name.escape_ascii().to_string()),
            certificates: session.peer_certificates().map_or(0, <[_]>::len),
            verified: !matches!(self.settings.verify, Verify::Nothing),
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, TlsError> {
    match host {
        Host::Address(IpAddr::V4(address)) => Ok(ServerName::IpAddress((*address).into())),
        Host::Address(IpAddr::V6(address)) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => {
            let bare = name.strip_suffix('.').unwrap_or(name).to_owned();
            ServerName::try_from(bare).map_err(|_| TlsError::Name(name.clone()))
        }
    }
}

fn verifier(
    verify: &Verify,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsSetupError> {
    match verify {
        Verify::Nothing => Ok(Arc::new(AnyCertificate(provider))),
        Verify::Platform => {
            let platform =
                rustls_platform_verifier::Verifier::new(provider).map_err(TlsSetupError::Platform)?;
            Ok(Arc::new(platform))
        }
        Verify::Bundle(certificates) => {
            let mut roots = RootCertStore::empty();
            let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
            if usable == 0 {
                return Err(TlsSetupError::EmptyBundle);
            }
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(TlsSetupError::Bundle)?;
            Ok(Arc::new(BundleVerifier { chain, named: certificates.clone() }))
        }
    }
}

/// Believes what leads to a certificate of the bundle, and the bundle's own certificates themselves: one that a server
/// signed for itself, as `openssl req -x509` makes it, claims to be a CA's, which no chain may end in.
#[derive(Debug)]
struct BundleVerifier {
    chain: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for BundleVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chained =
            self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if chained.is_ok() || !self.named.iter().any(|named| named == end_entity) {
            return chained;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        check_validity(end_entity, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match parsed.validity() {
        validity if seconds < validity.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
        validity if seconds > validity.not_after.timestamp() => Err(CertificateError::Expired.into()),
        _ => Ok(()),
    }
}

/// Believes every certificate. The signature under the handshake is not looked at either: whoever stands in between
/// can sign with a key of his own, and old certificates that nothing parses any more are to be reachable too.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// The TLS library refuses its own defaults.
    #[error("could not set up TLS")]
    Provider(#[source] rustls::Error),
    /// The system's certificates cannot be used.
    #[error("could not use the system's certificates")]
    Platform(#[source] rustls::Error),
    /// None of the certificates given can be used.
    #[error("expected at least one usable certificate in the bundle")]
    EmptyBundle,
    /// The bundle cannot be used.
    #[error("could not use the certificate bundle")]
    Bundle(#[source] rustls::client::VerifierBuilderError),
    /// Our own certificate and key cannot be used.
    #[error("could not use the client certificate with its key")]
    Identity(#[source] rustls::Error),
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The settings cannot be used.
    #[error("could not prepare TLS")]
    Setup(#[source] TlsSetupError),
    /// The host is nothing that TLS can name.
    #[error("expected a name that TLS can ask for, found `{0}`")]
    Name(String),
    /// The server's certificate is not believed.
    #[error("could not verify the server's certificate: {}", certificate_fault(.0))]
    Certificate(CertificateError),
    /// The server ended the handshake with an alert.
    #[error("the peer ended the TLS handshake with the alert `{}`", alert_name(*.0))]
    Alert(AlertDescription),
    /// What came was no TLS.
    #[error("expected a TLS ServerHello, found something that is no TLS")]
    NotTls,
    /// The handshake broke a rule of TLS.
    #[error("the TLS handshake failed")]
    Handshake(#[source] rustls::Error),
    /// The connection ended first.
    #[error("the connection ended inside the TLS handshake")]
    Ended(#[source] io::Error),
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::Ended(error);
        };
        match tls {
            rustls::Error::InvalidCertificate(fault) => Self::Certificate(fault.clone()),
            rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => Self::NotTls,
            other => Self::Handshake(other.clone()),
        }
    }
}

impl TlsError {
    /// Whether the peer spoke of bytes that make no sense to TLS, rather than of a handshake that it understood.
    pub(crate) fn is_about_bytes(&self) -> bool {
        use AlertDescription::{
            BadRecordMac, DecodeError, IllegalParameter, ProtocolVersion, RecordOverflow, UnexpectedMessage,
        };
        match self {
            Self::Alert(alert) => matches!(
                alert,
                BadRecordMac
                    | DecodeError
                    | IllegalParameter
                    | ProtocolVersion
                    | RecordOverflow
                    | UnexpectedMessage
            ),
            Self::NotTls => true,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Certificate(fault) => Some(certificate_hint(fault)),
            Self::Alert(AlertDescription::CertificateRequired) => {
                Some("the server asks for a client certificate: give one with --cert and --key")
            }
            Self::Alert(AlertDescription::UnrecognisedName) => Some(
                "the server has no certificate for this name: --resolve or --connect-to keep a name and change the address",
            ),
            _ => None,
        }
    }
}

fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        // Another issuer of the same name is as unknown as one of another name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its issuer is not trusted here".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("it is expired ({fault})")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("it is not valid yet ({fault})")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is for another name ({fault})")
        }
        CertificateError::Other(fault) => format!("it was refused with {fault}"),
        other => other.to_string(),
    }
}

fn certificate_hint(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the certificate, or use -k to go on without checking it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "check this machine's clock, or use -k to go on without checking the certificate"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "ask for a name that the certificate holds, with --resolve NAME:PORT:ADDRESS, or use -k to go on without checking it"
        }
        _ => "name the issuer with --cacert FILE, or use -k to go on without checking the certificate",
    }
}

/// The alert's name as RFC 8446 §6 spells it.
fn alert_name(alert: AlertDescription) -> String {
    let camel = alert.as_str().map_or_else(|| u8::from(alert).to_string(), str::to_owned);
    let mut name = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_named_as_the_standard_names_it() {
        assert_eq!(alert_name(AlertDescription::CertificateRequired), "certificate_required");
        assert_eq!(alert_name(AlertDescription::Unknown(200)), "200");
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let settings = TlsSettings { verify: Verify::Bundle(Vec::new()), ..TlsSettings::default() };
        assert!(matches!(Tls::new(settings).prepare(), Err(TlsSetupError::EmptyBundle)));
    }

    #[test]
    fn plain_text_in_place_of_tls_is_told_apart_from_a_failed_handshake() {
        let wrap = |error| TlsError::from(io::Error::new(io::ErrorKind::InvalidData, error));
        let text = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert!(matches!(wrap(text), TlsError::NotTls));
        let alert = wrap(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure));
        assert!(!alert.is_about_bytes());
        assert_eq!(alert.to_string(), "the peer ended the TLS handshake with the alert `handshake_failure`");
    }
}
