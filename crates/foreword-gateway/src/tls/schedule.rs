//! The key schedule of TLS 1.3 over keys of HMAC that are set up once for all that is derived from them.
//!
//! A handshake derives some twenty-five secrets from a dozen others. The provider's own way begins each time from the bytes of
//! the key, which is most of the work; that made one part in twenty of a handshake.

use aws_lc_rs::hmac;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::{SupportedCipherSuite, Tls13CipherSuite};

use super::sealing::same;

/// Has the provider's suites of TLS 1.3 derive their secrets so. They live as long as the process, as a provider ought to.
pub(super) fn lighten(provider: &mut CryptoProvider) {
    for suite in &mut provider.cipher_suites {
        if let Some(lighter) = lightened(suite) {
            *suite = SupportedCipherSuite::Tls13(Box::leak(Box::new(lighter)));
        }
    }
}

fn lightened(suite: &SupportedCipherSuite) -> Option<Tls13CipherSuite> {
    let suite = suite.tls13()?;
    let common = same(&suite.common);
    let hkdf_provider = match common.hash_provider.algorithm() {
        HashAlgorithm::SHA256 => &SHA256,
        HashAlgorithm::SHA384 => &SHA384,
        _ => return None,
    };
    Some(Tls13CipherSuite { common, hkdf_provider, aead_alg: suite.aead_alg, quic: suite.quic })
}

static SHA256: Schedule = Schedule(hmac::HMAC_SHA256);
static SHA384: Schedule = Schedule(hmac::HMAC_SHA384);

/// HKDF over one hash, RFC 5869.
#[derive(Debug)]
struct Schedule(hmac::Algorithm);

impl Schedule {
    fn extract(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        let zeroes = [0; OkmBlock::MAX_LEN];
        let salt = salt.unwrap_or_else(|| self.zeroes(&zeroes));
        let pseudorandom = hmac::sign(&hmac::Key::new(self.0, salt), secret);
        Box::new(Expander(hmac::Key::new(self.0, pseudorandom.as_ref())))
    }

    fn zeroes<'z>(&self, zeroes: &'z [u8; OkmBlock::MAX_LEN]) -> &'z [u8] {
        zeroes.get(..self.0.tag_len()).unwrap_or(zeroes)
    }
}

impl Hkdf for Schedule {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract(salt, self.zeroes(&[0; OkmBlock::MAX_LEN]))
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        self.extract(salt, secret)
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Box::new(Expander(hmac::Key::new(self.0, okm.as_ref())))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        Tag::new(hmac::sign(&hmac::Key::new(self.0, key.as_ref()), message).as_ref())
    }
}

/// A pseudorandom key, from which others are derived.
struct Expander(hmac::Key);

impl Expander {
    /// One block of output, §2.3: of what is derived, the one before it, and its number.
    fn block(&self, before: &[u8], info: &[&[u8]], number: u8) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        std::iter::once(&before)
            .chain(info)
            .filter(|piece| !piece.is_empty())
            .for_each(|piece| context.update(piece));
        context.update(&[number]);
        context.sign()
    }
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        let mut before: Option<hmac::Tag> = None;
        for (index, place) in output.chunks_mut(self.hash_len()).enumerate() {
            let number = u8::try_from(index + 1).map_err(|_| OutputLengthError)?;
            let block = self.block(before.as_ref().map_or(&[], AsRef::as_ref), info, number);
            place.copy_from_slice(block.as_ref().get(..place.len()).ok_or(OutputLengthError)?);
            before = Some(block);
        }
        Ok(())
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        OkmBlock::new(self.block(&[], info, 1).as_ref())
    }

    fn hash_len(&self) -> usize {
        self.0.algorithm().tag_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours_and_theirs() -> Vec<(&'static dyn Hkdf, &'static dyn Hkdf)> {
        let theirs = rustls::crypto::aws_lc_rs::default_provider();
        let mut ours = theirs.clone();
        lighten(&mut ours);
        let suites = ours.cipher_suites.iter().zip(&theirs.cipher_suites);
        suites
            .filter_map(|(our, their)| Some((our.tls13()?.hkdf_provider, their.tls13()?.hkdf_provider)))
            .collect()
    }

    #[test]
    fn every_suite_of_tls_1_3_is_lighter_and_all_others_stay() {
        let theirs = rustls::crypto::aws_lc_rs::default_provider();
        let mut ours = theirs.clone();
        lighten(&mut ours);
        assert_eq!(ours.cipher_suites, theirs.cipher_suites);
        for suite in ours.cipher_suites.iter().filter_map(SupportedCipherSuite::tls13) {
            let own = [&SHA256, &SHA384].map(|own| std::ptr::from_ref(own).cast::<()>());
            assert!(own.contains(&std::ptr::from_ref(suite.hkdf_provider).cast()), "{suite:?}");
        }
        assert_eq!(ours_and_theirs().len(), 3);
    }

    #[test]
    fn whatever_is_derived_is_what_the_provider_derives() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (ours, theirs) in ours_and_theirs() {
            for salt in [None, Some(&bytes[..0]), Some(&bytes[..13]), Some(&bytes[..48]), Some(&bytes[..200])]
            {
                for secret in [&bytes[..0], &bytes[..32], &bytes[..48], &bytes[..129]] {
                    let our = ours.extract_from_secret(salt, secret);
                    let their = theirs.extract_from_secret(salt, secret);
                    same(&*our, &*their);
                    let block = our.expand_block(&[b"tls13 derived"]);
                    same(&*ours.expander_for_okm(&block), &*theirs.expander_for_okm(&block));
                    let tags = (ours.hmac_sign(&block, &bytes), theirs.hmac_sign(&block, &bytes));
                    assert_eq!(tags.0.as_ref(), tags.1.as_ref());
                }
                same(&*ours.extract_from_zero_ikm(salt), &*theirs.extract_from_zero_ikm(salt));
            }
        }
    }

    fn same(ours: &dyn HkdfExpander, theirs: &dyn HkdfExpander) {
        assert_eq!(ours.hash_len(), theirs.hash_len());
        for info in [&[][..], &[&b""[..]], &[&b"\0\x20"[..], b"tls13 key", b"", b"\x01"]] {
            assert_eq!(ours.expand_block(info).as_ref(), theirs.expand_block(info).as_ref());
            for len in [0, 1, 12, 16, 32, 33, 48, 96, 97, 255 * ours.hash_len()] {
                let (mut our, mut their) = (vec![0; len], vec![0; len]);
                ours.expand_slice(info, &mut our).unwrap();
                theirs.expand_slice(info, &mut their).unwrap();
                assert_eq!(our, their, "{len} bytes");
            }
        }
        assert!(ours.expand_slice(&[], &mut vec![0; 255 * ours.hash_len() + 1]).is_err());
    }
}
