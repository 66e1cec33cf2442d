//! TLS as the client speaks it: whom to believe, who we are, and what a failed handshake means.

mod error;
mod verifier;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, KeyLogFile};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;

pub use self::error::{TlsError, TlsSetupError};
use self::verifier::verifier;
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
    /// The certificate that the server showed, if it can be read.
    pub certificate: Option<CertificateFacts>,
    /// Whether anybody checked them.
    pub verified: bool,
}

/// What a certificate says of itself, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is for.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// The names that it holds.
    pub names: Vec<String>,
    /// Until when it is valid.
    pub not_after: String,
}

impl CertificateFacts {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        // The server wrote all this: nothing in it may reach a terminal as it is.
        let shown = |text: String| text.escape_debug().to_string();
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name).map(shown).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            subject: shown(parsed.subject().to_string()),
            issuer: shown(parsed.issuer().to_string()),
            names,
            not_after: shown(parsed.validity().not_after.to_string()),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(octets) => Some(IpAddr::from(octets).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
        },
        _ => None,
    }
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
    pub(crate) fn prepare(&self) -> Result<&TlsConnector, TlsSetupError> {
        match self.connector.get() {
            Some(connector) => Ok(connector),
            None => {
                let connector = TlsConnector::from(Arc::new(self.settings.client_config()?));
                Ok(self.connector.get_or_init(|| connector))
            }
        }
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
            certificate: session.peer_certificates().and_then(<[_]>::first).and_then(CertificateFacts::read),
            verified: !matches!(self.settings.verify, Verify::Nothing),
        }
    }
}

/// Shakes hands over a stream.
///
/// # Errors
///
/// What the handshake failed with.
pub(crate) async fn shake_hands<S>(
    connector: &TlsConnector,
    host: &Host,
    stream: S,
) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Ok(connector.connect(server_name(host)?, stream).await?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let settings = TlsSettings { verify: Verify::Bundle(Vec::new()), ..TlsSettings::default() };
        assert!(matches!(Tls::new(settings).prepare(), Err(TlsSetupError::EmptyBundle)));
    }
}
