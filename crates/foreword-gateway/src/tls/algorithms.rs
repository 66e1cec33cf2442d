//! What a certificate was made with, in the words of OpenSSL: receivers know those from HAProxy.

use x509_parser::prelude::X509Certificate;

use crate::policy::facts::CertificateFacts;

/// What is told of a certificate of ours.
pub(super) fn of(certificate: &X509Certificate<'_>) -> CertificateFacts {
    let signed_with = certificate.signature_algorithm.algorithm.to_id_string();
    CertificateFacts {
        sig_alg: SIGNATURES.iter().find(|(id, _)| *id == signed_with).map(|(_, name)| *name),
        key_alg: key(certificate),
    }
}

fn key(certificate: &X509Certificate<'_>) -> Option<Box<str>> {
    let info = certificate.public_key();
    let curve = || info.algorithm.parameters.as_ref()?.as_oid().ok().map(|curve| curve.to_id_string());
    match info.algorithm.algorithm.to_id_string().as_str() {
        ED25519 => Some("ED25519".into()),
        EC => {
            let curve = curve()?;
            CURVES.iter().find(|(id, _)| *id == curve).map(|(_, name)| (*name).into())
        }
        RSA => match info.parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(key)) => Some(format!("RSA{}", key.key_size()).into()),
            _ => None,
        },
        _ => None,
    }
}

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";

const CURVES: [(&str, &str); 3] =
    [("1.2.840.10045.3.1.7", "EC256"), ("1.3.132.0.34", "EC384"), ("1.3.132.0.35", "EC521")];

const SIGNATURES: [(&str, &str); 9] = [
    ("1.2.840.113549.1.1.5", "RSA-SHA1"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA-SHA256"),
    ("1.2.840.113549.1.1.12", "RSA-SHA384"),
    ("1.2.840.113549.1.1.13", "RSA-SHA512"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    (ED25519, "ED25519"),
];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
    use x509_parser::prelude::FromDer;

    use super::*;

    fn told(algorithm: &'static SignatureAlgorithm) -> (Option<&'static str>, Option<Box<str>>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        let CertificateFacts { sig_alg, key_alg } = of(&parsed);
        (sig_alg, key_alg)
    }

    #[test]
    fn keys_and_signatures_have_the_names_that_receivers_know() {
        for (algorithm, signature, key) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ecdsa-with-SHA256", "EC256"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ecdsa-with-SHA384", "EC384"),
            (&rcgen::PKCS_ED25519, "ED25519", "ED25519"),
        ] {
            assert_eq!(told(algorithm), (Some(signature), Some(key.into())));
        }
    }
}
