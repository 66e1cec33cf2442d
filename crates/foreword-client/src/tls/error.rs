//! Why TLS cannot be prepared, why a handshake failed, and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

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
    fn plain_text_in_place_of_tls_is_told_apart_from_a_failed_handshake() {
        let wrap = |error| TlsError::from(io::Error::new(io::ErrorKind::InvalidData, error));
        let text = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert!(matches!(wrap(text), TlsError::NotTls));
        let alert = wrap(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure));
        assert!(!alert.is_about_bytes());
        assert_eq!(alert.to_string(), "the peer ended the TLS handshake with the alert `handshake_failure`");
    }
}
