//! AES-GCM by whichever library has the widest code for the processor.
//!
//! With AVX-512 AWS-LC takes four blocks by one instruction, and without it one; ring takes two where there are VAES and AVX2. So on
//! processors that have those and no AVX-512 records are ring's to seal and to open. All the rest of a suite, and
//! all of a handshake, stays AWS-LC's.

use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::{SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};

/// Whose AES-GCM seals records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealer {
    AwsLc,
    Ring,
}

impl Sealer {
    pub(super) fn of_this_processor() -> Self {
        Self::of(Width::of_this_processor())
    }

    fn of(width: Width) -> Self {
        match width {
            Width::Two => Self::Ring,
            Width::One | Width::Four => Self::AwsLc,
        }
    }

    /// Has the suites of AWS-LC's provider seal so. What they are made of lives as long as the process, so this is for a provider
    /// that does as well.
    pub(super) fn seal_for(self, provider: &mut CryptoProvider) {
        if self == Self::AwsLc {
            return;
        }
        for suite in &mut provider.cipher_suites {
            if let Some(theirs) = RING.iter().find(|theirs| theirs.suite() == suite.suite()) {
                *suite = sealed_as(theirs, suite).unwrap_or(*suite);
            }
        }
    }
}

/// How many blocks of AES the vectors of a processor hold, as far as the libraries make use of that.
#[derive(Clone, Copy, Debug)]
enum Width {
    One,
    Two,
    Four,
}

impl Width {
    #[cfg(target_arch = "x86_64")]
    fn of_this_processor() -> Self {
        let vectors = is_x86_feature_detected!("vaes") && is_x86_feature_detected!("vpclmulqdq");
        let four = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        match (vectors, is_x86_feature_detected!("avx2"), four) {
            (true, _, true) => Self::Four,
            (true, true, false) => Self::Two,
            _ => Self::One,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_this_processor() -> Self {
        Self::One
    }
}

static RING: [SupportedCipherSuite; 6] = [
    TLS13_AES_256_GCM_SHA384,
    TLS13_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// The suite `own`, but for its records, which are as those of `theirs`.
fn sealed_as(theirs: &SupportedCipherSuite, own: &SupportedCipherSuite) -> Option<SupportedCipherSuite> {
    use SupportedCipherSuite::{Tls12, Tls13};
    Some(match (theirs, own) {
        (Tls13(theirs), Tls13(own)) => Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: same(&own.common),
            hkdf_provider: own.hkdf_provider,
            aead_alg: theirs.aead_alg,
            quic: own.quic,
        }))),
        (Tls12(theirs), Tls12(own)) => Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: same(&own.common),
            prf_provider: own.prf_provider,
            kx: own.kx,
            sign: own.sign,
            aead_alg: theirs.aead_alg,
        }))),
        (Tls13(_), Tls12(_)) | (Tls12(_), Tls13(_)) => return None,
    })
}

pub(super) fn same(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    let &CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = common;
    CipherSuiteCommon { suite, hash_provider, confidentiality_limit }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::crypto::aws_lc_rs;
    use rustls::{
        CipherSuite, ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
        ServerConnection, SideData,
    };
    use rustls_pki_types::PrivatePkcs8KeyDer;

    use super::*;

    const GCM: [CipherSuite; 4] = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ];

    fn provider(sealer: Sealer) -> CryptoProvider {
        let mut provider = aws_lc_rs::default_provider();
        sealer.seal_for(&mut provider);
        super::super::schedule::lighten(&mut provider);
        provider
    }

    /// A client and a server that agree on `suite`, and seal as they are told.
    fn shake_hands(
        suite: CipherSuite,
        client: Sealer,
        server: Sealer,
    ) -> (ClientConnection, ServerConnection) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let mut asked = provider(client);
        asked.cipher_suites.retain(|own| own.suite() == suite);
        let client =
            ClientConfig::builder_with_provider(Arc::new(asked)).with_safe_default_protocol_versions();
        let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(Arc::new(provider(server)))
            .with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![cert.der().clone()], key.into()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), "a.test".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            carry(&mut client, &mut server);
            carry(&mut server, &mut client);
        }
        (client, server)
    }

    fn carry<F: SideData, T: SideData>(from: &mut ConnectionCommon<F>, to: &mut ConnectionCommon<T>) {
        let mut wire = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            to.read_tls(&mut wire).unwrap();
            to.process_new_packets().unwrap();
        }
    }

    /// Sends `text`, in pieces that the buffers have room for; it is what arrives.
    fn tell<F: SideData, T: SideData>(
        from: &mut ConnectionCommon<F>,
        to: &mut ConnectionCommon<T>,
        text: &[u8],
    ) {
        for piece in text.chunks(40_000) {
            from.writer().write_all(piece).unwrap();
            let mut wire = Vec::new();
            while from.wants_write() {
                from.write_tls(&mut wire).unwrap();
            }
            let (mut wire, mut arrived) = (wire.as_slice(), Vec::new());
            while !wire.is_empty() {
                to.read_tls(&mut wire).unwrap();
                let plain = to.process_new_packets().unwrap().plaintext_bytes_to_read();
                let mut part = vec![0; plain];
                to.reader().read_exact(&mut part).unwrap();
                arrived.extend(part);
            }
            assert!(
                arrived == piece,
                "{} bytes arrived otherwise than {} were sent",
                arrived.len(),
                piece.len()
            );
        }
    }

    #[test]
    fn what_either_library_seals_the_other_opens() {
        let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        for suite in GCM {
            for (client, server) in [(Sealer::AwsLc, Sealer::Ring), (Sealer::Ring, Sealer::AwsLc)] {
                let (mut client, mut server) = shake_hands(suite, client, server);
                assert_eq!(server.negotiated_cipher_suite().map(|agreed| agreed.suite()), Some(suite));
                for length in [1, 15, 16, 17, 95, 96, 255, 257, 16_383, 16_384, 16_385, 200_000] {
                    let text = text.get(..length).unwrap();
                    tell(&mut client, &mut server, text);
                    tell(&mut server, &mut client, text);
                }
            }
        }
    }

    #[test]
    fn keys_are_updated_across_the_libraries() {
        for suite in [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384] {
            let (mut client, mut server) = shake_hands(suite, Sealer::AwsLc, Sealer::Ring);
            for _ in 0..2 {
                client.refresh_traffic_keys().unwrap();
                tell(&mut client, &mut server, &[7; 100_000]);
                server.refresh_traffic_keys().unwrap();
                tell(&mut server, &mut client, &[8; 100_000]);
            }
        }
    }

    #[test]
    fn a_record_that_was_changed_on_its_way_is_not_opened() {
        for suite in GCM {
            let (mut client, mut server) = shake_hands(suite, Sealer::AwsLc, Sealer::Ring);
            client.writer().write_all(&[7; 1_000]).unwrap();
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            *wire.get_mut(500).unwrap() ^= 1;
            server.read_tls(&mut wire.as_slice()).unwrap();
            assert_eq!(server.process_new_packets().unwrap_err(), rustls::Error::DecryptError, "{suite:?}");
        }
    }

    #[test]
    fn nothing_but_the_records_of_aes_gcm_is_ring_s() {
        let theirs = aws_lc_rs::default_provider();
        let mut ours = theirs.clone();
        Sealer::Ring.seal_for(&mut ours);
        assert_eq!(ours.cipher_suites, theirs.cipher_suites);
        let mut taken = 0;
        for (our, their) in ours.cipher_suites.iter().zip(&theirs.cipher_suites) {
            let (sealed, rest) = match (our, their) {
                (SupportedCipherSuite::Tls13(our), SupportedCipherSuite::Tls13(their)) => (
                    place(our.aead_alg) != place(their.aead_alg),
                    place(our.hkdf_provider) == place(their.hkdf_provider)
                        && place(our.common.hash_provider) == place(their.common.hash_provider),
                ),
                (SupportedCipherSuite::Tls12(our), SupportedCipherSuite::Tls12(their)) => (
                    place(our.aead_alg) != place(their.aead_alg),
                    place(our.prf_provider) == place(their.prf_provider)
                        && place(our.common.hash_provider) == place(their.common.hash_provider)
                        && our.sign == their.sign,
                ),
                _ => panic!("{our:?} stands where {their:?} did"),
            };
            assert!(rest, "{our:?}");
            assert_eq!(sealed, format!("{:?}", our.suite()).contains("_GCM_"), "{our:?}");
            taken += usize::from(sealed);
        }
        assert_eq!(taken, RING.len());
    }

    fn place<T: ?Sized>(what: &'static T) -> *const () {
        std::ptr::from_ref(what).cast()
    }

    #[test]
    fn ring_seals_where_vectors_hold_two_blocks_and_no_more() {
        assert_eq!(Sealer::of(Width::One), Sealer::AwsLc);
        assert_eq!(Sealer::of(Width::Two), Sealer::Ring);
        assert_eq!(Sealer::of(Width::Four), Sealer::AwsLc);
    }
}
