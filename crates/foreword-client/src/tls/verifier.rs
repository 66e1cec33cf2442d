//! Whose certificates are believed: the system's, a bundle's, or anybody's.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{TlsSetupError, Verify};

/// The verifier that the settings ask for.
pub(super) fn verifier(
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
