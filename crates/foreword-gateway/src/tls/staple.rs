//! What a CA says of a certificate, RFC 6960: read from a file, held against the certificate, and stapled while it is current.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use der::Decode;
use rustls_pki_types::CertificateDer;
use x509_ocsp::{BasicOcspResponse, CertId, CertStatus, OcspResponse, OcspResponseStatus, SingleResponse};

use super::certificates::{CertificateProblem, parse, read};

/// An answer of a CA about a certificate.
#[derive(Debug)]
pub(super) struct Staple {
    file: PathBuf,
    bytes: Vec<u8>,
    said: Said,
}

/// What the answer says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// The certificate is not revoked; the answer counts until then.
    Good { until: SystemTime },
    /// It is revoked, or its CA does not know it.
    Bad(&'static str),
    /// The answer is about another certificate.
    OfAnother,
    /// It does not say how long it counts, so nobody can tell whether it still does.
    Endless,
}

impl Staple {
    /// Reads what is stapled to the first certificate of a chain.
    pub(super) fn read(file: &Path, chain: &[CertificateDer<'_>]) -> Result<Self, CertificateProblem> {
        let bytes = read(file)?;
        let broken = |what: String| {
            CertificateProblem::new(file, what).hint(
                "`openssl ocsp … -respout FILE` writes an answer in the form that is expected, which is DER",
            )
        };
        let response = OcspResponse::from_der(&bytes)
            .map_err(|error| broken(format!("expected an OCSP response, found none: {error}")))?;
        if response.response_status != OcspResponseStatus::Successful {
            return Err(broken(format!(
                "expected an OCSP response that says something, found the status {:?}",
                response.response_status
            )));
        }
        let content = response.response_bytes.as_ref().map(|content| content.response.as_bytes());
        let basic = BasicOcspResponse::from_der(content.unwrap_or_default())
            .map_err(|error| broken(format!("expected an OCSP response of the basic kind: {error}")))?;
        let said = said(&basic, chain);
        Ok(Self { file: file.to_owned(), bytes, said })
    }

    /// What an operator should see to. A staple that clients would refuse is left out, for they would refuse the connection.
    pub(super) fn warning(&self, now: SystemTime) -> Option<String> {
        let why = match &self.said {
            Said::Good { until } if *until > now => return None,
            Said::Good { .. } => "should have been replaced by now",
            Said::Bad(status) => status,
            Said::OfAnother => "is about another certificate",
            Said::Endless => "does not say until when it counts",
        };
        Some(format!("OCSP response `{}` {why}: it is not stapled", self.file.display()))
    }

    /// Until when it may be stapled, if at all.
    pub(super) fn good_until(&self) -> Option<SystemTime> {
        match self.said {
            Said::Good { until } => Some(until),
            _ => None,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn said(basic: &BasicOcspResponse, chain: &[CertificateDer<'_>]) -> Said {
    let about = |single: &&SingleResponse| is_about(&single.cert_id, chain);
    let Some(single) = basic.tbs_response_data.responses.iter().find(about) else {
        return Said::OfAnother;
    };
    match single.cert_status {
        CertStatus::Good(_) => {}
        CertStatus::Revoked(_) => return Said::Bad("says that the certificate is revoked"),
        CertStatus::Unknown(_) => return Said::Bad("says that its CA does not know the certificate"),
    }
    match &single.next_update {
        Some(next) => Said::Good { until: next.0.to_system_time() },
        None => Said::Endless,
    }
}

/// Whether an answer is about the first certificate of a chain: its number, who signed it, and with which key if the chain
/// has it. Who signed the answer is for clients to judge.
fn is_about(id: &CertId, chain: &[CertificateDer<'_>]) -> bool {
    let Some(leaf) = chain.first().and_then(parse) else { return false };
    let hash = match id.hash_algorithm.oid.to_string().as_str() {
        SHA_1 => |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes),
        SHA_256 => |bytes: &[u8]| digest(&SHA256, bytes),
        // Nobody uses others; the number must do.
        _ => return id.serial_number.as_bytes() == leaf.raw_serial(),
    };
    let issuer = chain.get(1).and_then(parse);
    let key_fits = issuer.is_none_or(|issuer| {
        hash(&issuer.public_key().subject_public_key.data).as_ref() == id.issuer_key_hash.as_bytes()
    });
    key_fits
        && id.serial_number.as_bytes() == leaf.raw_serial()
        && hash(leaf.issuer().as_raw()).as_ref() == id.issuer_name_hash.as_bytes()
}

const SHA_1: &str = "1.3.14.3.2.26";
const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
