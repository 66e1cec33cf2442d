//! What the sender knows of the client's TLS, §2.2.6: flags, the certificate's verification, and TLVs one level deep.

use crate::error::{Field, Malformed};
use crate::reader::Reader;
use crate::tlv::{RawTlvs, ViewError, ascii, text};

/// The SSL TLV.
///
/// ```
/// use foreword::{Ssl, Tlv, kind};
///
/// let value = b"\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice";
/// let Tlv::Ssl(ssl) = Tlv::new(kind::SSL, value) else { panic!("it is sound") };
/// assert_eq!(ssl.version(), Some(Ok("TLSv1.3")));
/// assert!(ssl.client_verified());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl<'a> {
    value: &'a [u8],
    client: u8,
    verify: u32,
}

impl<'a> Ssl<'a> {
    /// Reads a value, whose TLVs must fill it exactly (R-TLV-12).
    #[inline]
    pub(crate) fn read(value: Reader<'a>) -> Result<Self, Malformed> {
        match Self::of_checked(value.rest()) {
            Some(ssl) if ssl.tlvs().fill_their_room() => Ok(ssl),
            _ => Err(first_fault(value)),
        }
    }

    /// The parts of a value that was found sound before.
    #[inline]
    pub(super) fn of_checked(value: &'a [u8]) -> Option<Self> {
        let &[client, a, b, c, d] = value.first_chunk()?;
        Some(Self { value, client, verify: u32::from_be_bytes([a, b, c, d]) })
    }

    /// The whole value.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.value
    }

    /// The flags of the first byte, as they came.
    #[must_use]
    pub const fn client(&self) -> u8 {
        self.client
    }

    /// The result of verifying the client's certificate: zero is success. It says nothing where no certificate was
    /// presented; ask [`Ssl::client_verified`].
    #[must_use]
    pub const fn verify(&self) -> u32 {
        self.verify
    }

    /// Whether the client came over TLS.
    #[must_use]
    pub const fn over_tls(&self) -> bool {
        self.client & CLIENT_SSL != 0
    }

    /// Whether the client presented a certificate, on this connection or in the TLS session that it resumes.
    #[must_use]
    pub const fn has_certificate(&self) -> bool {
        self.client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS) != 0
    }

    /// Whether the client presented a certificate and it was verified. Neither half is enough: senders write a zero
    /// `verify` for clients without a certificate (R-TLV-13).
    #[must_use]
    pub const fn client_verified(&self) -> bool {
        self.has_certificate() && self.verify == 0
    }

    /// The TLVs inside.
    #[must_use]
    #[inline]
    pub fn tlvs(&self) -> RawTlvs<'a> {
        RawTlvs::new(self.value.get(FIXED_LEN..).unwrap_or_default())
    }

    /// The version of TLS, as in `TLSv1.3`.
    #[must_use]
    #[inline]
    pub fn version(&self) -> Option<Result<&'a str, ViewError>> {
        self.ascii(VERSION)
    }

    /// The common name in the client's certificate. It is worth something only with [`Ssl::client_verified`].
    #[must_use]
    pub fn cn(&self) -> Option<Result<&'a str, ViewError>> {
        self.only(CN).map(|value| value.and_then(text))
    }

    /// The cipher in use.
    #[must_use]
    pub fn cipher(&self) -> Option<Result<&'a str, ViewError>> {
        self.ascii(CIPHER)
    }

    /// The algorithm that signed the certificate that the sender presented.
    #[must_use]
    pub fn sig_alg(&self) -> Option<Result<&'a str, ViewError>> {
        self.ascii(SIG_ALG)
    }

    /// The algorithm of that certificate's key.
    #[must_use]
    pub fn key_alg(&self) -> Option<Result<&'a str, ViewError>> {
        self.ascii(KEY_ALG)
    }

    /// The group of the key exchange.
    #[must_use]
    pub fn group(&self) -> Option<Result<&'a str, ViewError>> {
        self.ascii(GROUP)
    }

    /// The signature scheme of the handshake.
    #[must_use]
    pub fn sig_scheme(&self) -> Option<Result<&'a str, ViewError>> {
        self.ascii(SIG_SCHEME)
    }

    /// The client's certificate, in DER. Opaque here.
    #[must_use]
    pub fn client_cert(&self) -> Option<Result<&'a [u8], ViewError>> {
        self.only(CLIENT_CERT)
    }

    #[inline]
    fn ascii(&self, kind: u8) -> Option<Result<&'a str, ViewError>> {
        self.only(kind).map(|value| value.and_then(ascii))
    }

    /// The one value of this kind; where there are two, neither is taken (R-TLV-14).
    #[inline]
    fn only(&self, kind: u8) -> Option<Result<&'a [u8], ViewError>> {
        let mut values = self.tlvs().filter(|tlv| tlv.kind == kind);
        let first = values.next()?;
        Some(if values.next().is_some() { Err(ViewError::Repeated) } else { Ok(first.value) })
    }
}

/// Where a value that is not sound ceases to be.
#[cold]
fn first_fault(mut value: Reader<'_>) -> Malformed {
    let mut walk = || {
        value.array::<FIXED_LEN>(Field::Ssl)?;
        loop {
            let [_kind, high, low] = value.array(Field::SslTlvHeader)?;
            value.sub(u16::from_be_bytes([high, low]).into(), Field::SslTlvValue)?;
        }
    };
    match walk() {
        Err(malformed) => malformed,
        Ok(never) => never,
    }
}

/// The flags, and the result of verification.
const FIXED_LEN: usize = 5;

/// The client came over TLS.
pub(crate) const CLIENT_SSL: u8 = 0x01;
/// It presented a certificate on this connection.
pub(crate) const CLIENT_CERT_CONN: u8 = 0x02;
/// It presented one in the session.
pub(crate) const CLIENT_CERT_SESS: u8 = 0x04;

pub(crate) const VERSION: u8 = 0x21;
pub(crate) const CN: u8 = 0x22;
pub(crate) const CIPHER: u8 = 0x23;
pub(crate) const SIG_ALG: u8 = 0x24;
pub(crate) const KEY_ALG: u8 = 0x25;
pub(crate) const GROUP: u8 = 0x26;
pub(crate) const SIG_SCHEME: u8 = 0x27;
pub(crate) const CLIENT_CERT: u8 = 0x28;

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl(value: &[u8]) -> Ssl<'_> {
        Ssl::read(Reader::new(value, 0)).expect("it is sound")
    }

    #[test]
    fn a_client_is_verified_only_with_a_certificate_and_a_zero() {
        assert!(!ssl(b"\x01\0\0\0\0").client_verified());
        assert!(!ssl(b"\x03\0\0\0\x01").client_verified());
        assert!(ssl(b"\x03\0\0\0\0").client_verified());
        assert!(ssl(b"\x05\0\0\0\0").client_verified());
    }

    #[test]
    fn a_value_that_is_there_twice_is_not_taken() {
        let ssl = ssl(b"\x07\0\0\0\0\x22\0\x01a\x22\0\x01b\x27\0\x01c\x28\0\x01\xff");
        assert_eq!(ssl.cn(), Some(Err(ViewError::Repeated)));
        assert_eq!(ssl.sig_scheme(), Some(Ok("c")));
        assert_eq!(ssl.client_cert(), Some(Ok(&b"\xff"[..])));
        assert_eq!(ssl.group(), None);
    }

    #[test]
    fn text_that_is_none_is_an_error() {
        let ssl = ssl(b"\x01\0\0\0\0\x21\0\x01\xff\x26\0\x02\xc3\xbc\x22\0\x02\xc3\xbc");
        assert_eq!(ssl.version(), Some(Err(ViewError::NotText)));
        assert_eq!(ssl.group(), Some(Err(ViewError::NotText)));
        assert_eq!(ssl.cn(), Some(Ok("ü")));
    }

    #[test]
    fn what_is_nested_deeper_is_not_looked_at() {
        assert!(Ssl::read(Reader::new(b"\x01\0\0\0\0\x20\0\x01\x01", 0)).is_ok());
        assert!(Ssl::read(Reader::new(b"\x01\0\0\0\0\x21\0\x02\x01", 0)).is_err());
    }
}
