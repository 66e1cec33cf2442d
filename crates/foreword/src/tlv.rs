//! What a v2 header says besides addresses, §2.2.3: known kinds have names, unknown ones pass through whole.

use core::fmt;

use crate::error::{Fault, Field, Malformed};
use crate::header::Parser;
use crate::reader::Reader;

pub(crate) mod ssl;

use ssl::Ssl;

/// The kinds of TLV that have a meaning, §2.2.
pub mod kind {
    /// The agreed application protocol.
    pub const ALPN: u8 = 0x01;
    /// The name that the client asked for.
    pub const AUTHORITY: u8 = 0x02;
    /// CRC32C of the header.
    pub const CHECKSUM: u8 = 0x03;
    /// Padding.
    pub const NOOP: u8 = 0x04;
    /// An id of the connection.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What the sender knows of the client's TLS.
    pub const SSL: u8 = 0x20;
    /// A network namespace.
    pub const NETNS: u8 = 0x30;
    /// Google Cloud Private Service Connect.
    pub const GCP: u8 = 0xe0;
    /// Alibaba Cloud.
    pub const ALIBABA: u8 = 0xe1;
    /// Amazon Web Services.
    pub const AWS: u8 = 0xea;
    /// Microsoft Azure Private Link.
    pub const AZURE: u8 = 0xee;
}

/// A TLV by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tlv<'a> {
    /// The agreed application protocol, as an opaque byte string.
    Alpn(&'a [u8]),
    /// The name that the client asked for, as in SNI.
    Authority(Authority<'a>),
    /// CRC32C of the header.
    Checksum(u32),
    /// Padding, whatever it holds.
    Noop(&'a [u8]),
    /// An id of the connection, up to 128 bytes.
    UniqueId(&'a [u8]),
    /// What the sender knows of the client's TLS.
    Ssl(Ssl<'a>),
    /// The name of a network namespace: to be shown, never entered.
    NetNs(&'a [u8]),
    /// Any other kind, whole.
    Other {
        /// Its kind.
        kind: u8,
        /// Its value.
        value: &'a [u8],
    },
}

impl<'a> Tlv<'a> {
    /// Gives a kind its name. A value that its kind does not allow stays [`Tlv::Other`]; parsed headers hold none.
    #[must_use]
    #[inline]
    pub fn new(kind: u8, value: &'a [u8]) -> Self {
        let other = Self::Other { kind, value };
        match kind {
            kind::ALPN => Self::Alpn(value),
            kind::AUTHORITY => Self::Authority(Authority(value)),
            kind::CHECKSUM => value.try_into().map_or(other, |sum| Self::Checksum(u32::from_be_bytes(sum))),
            kind::NOOP => Self::Noop(value),
            kind::UNIQUE_ID => Self::UniqueId(value),
            kind::SSL => Ssl::read(Reader::new(value, 0)).map_or(other, Self::Ssl),
            kind::NETNS => Self::NetNs(value),
            _ => other,
        }
    }

    /// The number that the header has for this kind.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Alpn(_) => kind::ALPN,
            Self::Authority(_) => kind::AUTHORITY,
            Self::Checksum(_) => kind::CHECKSUM,
            Self::Noop(_) => kind::NOOP,
            Self::UniqueId(_) => kind::UNIQUE_ID,
            Self::Ssl(_) => kind::SSL,
            Self::NetNs(_) => kind::NETNS,
            Self::Other { kind, .. } => *kind,
        }
    }
}

/// A TLV as the header has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTlv<'a> {
    /// Its kind.
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// The name that the client asked for. The bytes are kept; whether they are text is asked of [`Authority::as_str`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Authority<'a>(&'a [u8]);

impl<'a> Authority<'a> {
    /// The longest that is taken for a name (R-TLV-10).
    pub const MAX_LEN: usize = 255;

    /// These bytes as an authority, for building.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, whatever they are.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The name.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8, holds control characters, or is longer than 255 bytes (R-TLV-10).
    pub fn as_str(&self) -> Result<&'a str, ViewError> {
        if self.0.len() > Self::MAX_LEN {
            return Err(ViewError::Length { expected: "at most 255 bytes", found: self.0.len() });
        }
        text(self.0)
    }
}

impl fmt::Debug for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority(\"{}\")", self.0.escape_ascii())
    }
}

/// The TLVs of a header, in the order they came. Iterates over them by meaning; [`Tlvs::raw`] as they are.
///
/// ```
/// use foreword::{Builder, Header, Parse, Tlv};
///
/// let bytes = Builder::v2().tlv(Tlv::UniqueId(b"a1")).raw_tlv(0xea, b"\x01vpce-08d2").build()?;
/// let Ok(Parse::Complete { header, .. }) = Header::parse(&bytes) else { panic!("whole and sound") };
/// assert_eq!(header.tlvs.unique_id(), Some(&b"a1"[..]));
/// assert_eq!(header.tlvs.aws_vpce(), Some(Ok("vpce-08d2")));
/// assert_eq!(header.tlvs.count(), 2);
/// # Ok::<(), foreword::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(RawTlvs<'a>);

impl<'a> Tlvs<'a> {
    /// A list that [`Tlvs::check`] has found sound.
    pub(crate) const fn of_checked(bytes: &'a [u8]) -> Self {
        Self(RawTlvs(bytes))
    }

    /// The list as it stands in the header.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The TLVs as they are.
    #[must_use]
    #[inline]
    pub const fn raw(&self) -> RawTlvs<'a> {
        self.0
    }

    /// The value of the first TLV of this kind.
    #[must_use]
    #[inline]
    pub fn get(&self, kind: u8) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    /// The agreed application protocol.
    #[must_use]
    pub fn alpn(&self) -> Option<&'a [u8]> {
        self.get(kind::ALPN)
    }

    /// The name that the client asked for.
    #[must_use]
    pub fn authority(&self) -> Option<Authority<'a>> {
        self.get(kind::AUTHORITY).map(Authority)
    }

    /// The id of the connection.
    #[must_use]
    pub fn unique_id(&self) -> Option<&'a [u8]> {
        self.get(kind::UNIQUE_ID)
    }

    /// What the sender knows of the client's TLS.
    #[must_use]
    #[inline]
    pub fn ssl(&self) -> Option<Ssl<'a>> {
        self.get(kind::SSL).and_then(Ssl::of_checked)
    }

    /// The name of a network namespace.
    #[must_use]
    pub fn netns(&self) -> Option<&'a [u8]> {
        self.get(kind::NETNS)
    }

    /// The id of the AWS VPC endpoint that the client came through. For listeners behind AWS: elsewhere the kind may mean
    /// anything (R-TLV-16).
    #[must_use]
    pub fn aws_vpce(&self) -> Option<Result<&'a str, ViewError>> {
        self.all(kind::AWS).find_map(|value| match value.split_first() {
            Some((0x01, id)) => Some(ascii(id)),
            Some(_) => None,
            None => Some(Err(ViewError::Length { expected: "a kind and an id", found: 0 })),
        })
    }

    /// The link id of the Azure private endpoint that the client came through. For listeners behind Azure (R-TLV-16).
    #[must_use]
    pub fn azure_link_id(&self) -> Option<Result<u32, ViewError>> {
        self.all(kind::AZURE).find_map(|value| match *value {
            [0x01, a, b, c, d] => Some(Ok(u32::from_le_bytes([a, b, c, d]))),
            [0x01, ..] | [] => Some(Err(ViewError::Length { expected: "5 bytes", found: value.len() })),
            _ => None,
        })
    }

    /// The id of the Google Private Service Connect connection. For listeners behind Google Cloud (R-TLV-16).
    #[must_use]
    pub fn gcp_psc_id(&self) -> Option<Result<u64, ViewError>> {
        let value = self.get(kind::GCP)?;
        let id = value.try_into().map(u64::from_be_bytes);
        Some(id.map_err(|_| ViewError::Length { expected: "8 bytes", found: value.len() }))
    }

    /// What Alibaba Cloud says of the way the client came: any number of ids. For listeners behind Alibaba (R-TLV-16).
    pub fn alibaba(&self) -> impl Iterator<Item = Result<(AlibabaKind, &'a str), ViewError>> + use<'a> {
        self.all(kind::ALIBABA).map(|value| {
            let Some((&kind, id)) = value.split_first() else {
                return Err(ViewError::Length { expected: "a kind and an id", found: 0 });
            };
            let kind = match kind {
                1 => AlibabaKind::Vpc,
                2 => AlibabaKind::Endpoint,
                3 => AlibabaKind::EndpointService,
                kind => return Err(ViewError::Kind(kind)),
            };
            Ok((kind, ascii(id)?))
        })
    }

    #[inline]
    fn all(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.filter(move |tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// Whether the list is to be looked at, or dropped for not ending where the header ends (R-TLV-01, R-TLV-02).
    #[inline]
    pub(crate) fn are_to_be_read(block: Reader<'a>, parser: &Parser) -> bool {
        !parser.ignore_malformed_tlvs || RawTlvs::new(block.rest()).fill_their_room()
    }

    /// Checks the TLVs that fill the rest of a header: each is held to what its kind allows. Gives their
    /// checksum, if there is one.
    #[inline]
    pub(crate) fn check(block: Reader<'a>, parser: &Parser) -> Result<Option<Sum>, Malformed> {
        let mut reader = block;
        let mut named = Named { seen: 0, checksum: None };
        while !reader.is_empty() {
            let [kind, high, low] = reader.array(Field::TlvHeader)?;
            let value = reader.sub(u16::from_be_bytes([high, low]).into(), Field::TlvValue)?;
            if kind <= kind::NETNS {
                named.check(kind, value, parser)?;
            }
        }
        Ok(named.checksum)
    }
}

/// `Header::parse` has walked the TLVs once already, so this walk cannot fail.
impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let RawTlv { kind, value } = self.0.next()?;
        Some(match kind {
            kind::SSL => Ssl::of_checked(value).map_or(Tlv::Other { kind, value }, Tlv::Ssl),
            _ => Tlv::new(kind, value),
        })
    }
}

/// A checksum as it was sent.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    /// Where in the header its value stands.
    pub(crate) at: usize,
    pub(crate) sum: u32,
}

/// What is known of the TLVs that have a meaning of their own while a list is checked. Their kinds are all below 64.
struct Named {
    /// A bit for each kind that should be there once, and was.
    seen: u64,
    checksum: Option<Sum>,
}

impl Named {
    /// Refuses a value that its kind does not allow, and a kind that should be there once and is there again.
    #[inline]
    fn check(&mut self, kind: u8, value: Reader<'_>, parser: &Parser) -> Result<(), Malformed> {
        const ONCE: u64 = 1 << kind::ALPN
            | 1 << kind::AUTHORITY
            | 1 << kind::CHECKSUM
            | 1 << kind::UNIQUE_ID
            | 1 << kind::SSL
            | 1 << kind::NETNS;
        let bit = 1_u64 << (kind & 63);
        if self.seen & bit != 0 {
            check_repeat(kind, value, parser)?;
        }
        self.seen |= bit & ONCE;
        match kind {
            kind::CHECKSUM => {
                let Ok(sum) = value.rest().try_into() else { return Err(wrong_len(kind, value)) };
                self.checksum = Some(Sum { at: value.at(), sum: u32::from_be_bytes(sum) });
                Ok(())
            }
            kind::UNIQUE_ID if value.rest().len() > UNIQUE_ID_MAX_LEN => Err(wrong_len(kind, value)),
            kind::SSL => Ssl::read(value).map(drop),
            _ => Ok(()),
        }
    }
}

/// A kind that should be there once, and was (R-TLV-06, R-TLV-07).
#[cold]
fn check_repeat(kind: u8, value: Reader<'_>, parser: &Parser) -> Result<(), Malformed> {
    let requirement = if kind == kind::CHECKSUM { "R-TLV-06" } else { "R-TLV-07" };
    match parser.first_of_duplicate_tlvs && kind != kind::CHECKSUM {
        true => Ok(()),
        false => Err(Malformed::new(value.at() - HEADER_LEN, Fault::Duplicate { kind }, requirement)),
    }
}

#[cold]
fn wrong_len(kind: u8, value: Reader<'_>) -> Malformed {
    let found = value.rest().len();
    match kind {
        kind::CHECKSUM => {
            value.malformed(Fault::Length { field: Field::Checksum, expected: "4 bytes", found }, "R-TLV-05")
        }
        _ => {
            let expected = "at most 128 bytes";
            value.malformed(Fault::Length { field: Field::UniqueId, expected, found }, "R-TLV-09")
        }
    }
}

/// What stands before a value: its kind and its length.
const HEADER_LEN: usize = 3;

/// The longest unique id, §2.2.5.
pub(crate) const UNIQUE_ID_MAX_LEN: usize = 128;

/// TLVs as they are, top-level ones or those inside SSL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RawTlvs<'a>(&'a [u8]);

impl<'a> RawTlvs<'a> {
    /// Walks `bytes` as far as they are TLVs.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes not walked yet.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether the list ends exactly where its room ends.
    #[inline]
    fn fill_their_room(mut self) -> bool {
        self.by_ref().for_each(drop);
        self.0.is_empty()
    }
}

impl<'a> Iterator for RawTlvs<'a> {
    type Item = RawTlv<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, high, low], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        self.0 = rest;
        Some(RawTlv { kind, value })
    }
}

/// What an id from Alibaba Cloud names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlibabaKind {
    /// A VPC.
    Vpc,
    /// A private link endpoint.
    Endpoint,
    /// The endpoint's service.
    EndpointService,
}

/// Why a TLV of a sound header does not hold what its kind is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewError {
    /// Not UTF-8, or not ASCII where that is due, or with control characters.
    NotText,
    /// Longer or shorter than it may be.
    Length {
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: usize,
    },
    /// A kind, inside the value, that nobody described.
    Kind(u8),
    /// There twice, so that neither can be taken.
    Repeated,
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("expected text without control characters, found other bytes"),
            Self::Length { expected, found } => write!(f, "expected {expected}, found {found} bytes"),
            Self::Kind(kind) => write!(f, "expected a kind that the vendor describes, found {kind}"),
            Self::Repeated => f.write_str("expected one value, found two"),
        }
    }
}

impl core::error::Error for ViewError {}

/// Text that may be shown and compared.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, ViewError> {
    match core::str::from_utf8(bytes) {
        Ok(text) if is_printable(bytes) => Ok(text),
        Ok(text) if !text.contains(char::is_control) => Ok(text),
        _ => Err(ViewError::NotText),
    }
}

/// Text of printable ASCII.
pub(crate) fn ascii(bytes: &[u8]) -> Result<&str, ViewError> {
    match core::str::from_utf8(bytes) {
        Ok(text) if is_printable(bytes) => Ok(text),
        _ => Err(ViewError::NotText),
    }
}

#[inline]
fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Header, Parse};
    use std::vec::Vec;

    fn header_with(tlvs: &[u8]) -> Vec<u8> {
        let mut header =
            Vec::from(*b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02");
        header.extend_from_slice(tlvs);
        let len = u16::try_from(header.len() - 16).unwrap();
        header[14..16].copy_from_slice(&len.to_be_bytes());
        header
    }

    fn tlvs_of<'a>(parser: &Parser, bytes: &'a [u8]) -> Result<Tlvs<'a>, Malformed> {
        match parser.parse(bytes)? {
            Parse::Complete { header, .. } => Ok(header.tlvs),
            Parse::Incomplete { .. } => panic!("the header is whole"),
        }
    }

    #[test]
    fn a_broken_list_is_dropped_whole_where_the_switch_says_so() {
        let bytes = header_with(b"\x05\0\x01a\x02\0\x09b");
        assert_eq!(Header::parse(&bytes).unwrap_err().requirement(), "R-TLV-02");
        let lenient = Parser::new().ignore_malformed_tlvs(true);
        assert!(tlvs_of(&lenient, &bytes).unwrap().is_empty());
        // What is whole but wrong inside is refused all the same.
        assert!(tlvs_of(&lenient, &header_with(b"\x20\0\x01\x01")).is_err());
    }

    #[test]
    fn the_first_of_two_is_taken_where_the_switch_says_so_but_never_of_two_checksums() {
        let lenient = Parser::new().first_of_duplicate_tlvs(true);
        let bytes = header_with(b"\x02\0\x01a\x02\0\x01b");
        assert_eq!(Header::parse(&bytes).unwrap_err().fault(), &Fault::Duplicate { kind: 2 });
        assert_eq!(tlvs_of(&lenient, &bytes).unwrap().authority(), Some(Authority(b"a")));
        let checksums = header_with(b"\x03\0\x04abcd\x03\0\x04abcd");
        assert_eq!(tlvs_of(&lenient, &checksums).unwrap_err().requirement(), "R-TLV-06");
    }

    #[test]
    fn vendor_values_are_views_that_fail_without_failing_the_header() {
        let bytes = header_with(
            b"\xea\0\x02\x02x\xea\0\x05\x01vpce\xee\0\x05\x01\x01\0\0\0\xe0\0\x08\0\0\0\0\0\0\0\x07\
              \xe1\0\x04\x01vpc\xe1\0\x01\x09\xe1\0\x03\x03\xff\xff",
        );
        let tlvs = tlvs_of(&Parser::new(), &bytes).unwrap();
        assert_eq!(tlvs.aws_vpce(), Some(Ok("vpce")));
        assert_eq!(tlvs.azure_link_id(), Some(Ok(1)));
        assert_eq!(tlvs.gcp_psc_id(), Some(Ok(7)));
        let alibaba: Vec<_> = tlvs.alibaba().collect();
        assert_eq!(
            alibaba,
            [Ok((AlibabaKind::Vpc, "vpc")), Err(ViewError::Kind(9)), Err(ViewError::NotText)]
        );

        let bytes = header_with(b"\xee\0\x02\x01x\xe0\0\x03\x01\x02\x03\xea\0\0");
        let tlvs = tlvs_of(&Parser::new(), &bytes).unwrap();
        assert_eq!(tlvs.azure_link_id(), Some(Err(ViewError::Length { expected: "5 bytes", found: 2 })));
        assert!(matches!(tlvs.gcp_psc_id(), Some(Err(_))));
        assert!(matches!(tlvs.aws_vpce(), Some(Err(_))));
    }

    #[test]
    fn an_authority_is_text_or_an_error_never_something_like_it() {
        assert_eq!(Authority(b"www.example.com").as_str(), Ok("www.example.com"));
        assert_eq!(Authority(b"a\xc3(").as_str(), Err(ViewError::NotText));
        assert_eq!(Authority(b"a\nb").as_str(), Err(ViewError::NotText));
        assert_eq!(Authority("a\u{85}b".as_bytes()).as_str(), Err(ViewError::NotText));
        assert!(matches!(Authority(&[b'a'; 256]).as_str(), Err(ViewError::Length { .. })));
    }

    #[test]
    fn an_unsound_value_of_a_known_kind_stays_whole_and_nameless() {
        assert_eq!(Tlv::new(kind::CHECKSUM, b"abc"), Tlv::Other { kind: 3, value: b"abc" });
        assert_eq!(Tlv::new(kind::SSL, b"abc").kind(), kind::SSL);
    }
}
