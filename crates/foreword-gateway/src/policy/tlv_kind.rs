//! Kinds of TLV as a file names them, and what may stand in each.

use std::fmt;
use std::ops::RangeInclusive;

use foreword::kind;

/// A kind of TLV: by its number alone, or as the part of a vendor's kind that its first byte tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvKind {
    /// What the header calls it.
    pub number: u8,
    /// The first byte of the value, where a vendor has several under one number.
    pub tag: Option<u8>,
    form: Form,
}

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Any bytes.
    Bytes,
    /// The name of a protocol, RFC 7301 §3.1.
    Protocol,
    /// A host name (R-SEND-13).
    Name,
    /// An id (R-SEND-13).
    Id,
    /// An ASCII text, behind its tag.
    Ascii,
    /// A number of four bytes, little endian, behind its tag.
    Little,
    /// A number of eight bytes, big endian.
    Big,
    /// Made by us alone: the statement about TLS, the checksum, padding.
    Ours,
}

impl TlvKind {
    /// The kind of this number, whatever stands in it.
    pub const fn numbered(number: u8) -> Self {
        Self { number, tag: None, form: Form::Bytes }
    }

    /// The kind that the file calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Every name, in the order of the numbers.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The names of the kinds whose value can be given.
    pub fn given_names() -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().filter(|(_, kind)| kind.form != Form::Ours).map(|(name, _)| *name)
    }

    /// The name of a number for which the file has exactly one.
    pub fn name_of(number: u8) -> Option<&'static str> {
        let mut names = NAMES.iter().filter(|(_, kind)| kind.number == number && kind.tag.is_none());
        names.next().map(|(name, _)| *name)
    }

    /// Whether its value can be given; else it is made by us alone.
    pub fn is_given(&self) -> bool {
        self.form != Form::Ours
    }

    /// Whether it was known by a name.
    pub fn has_name(&self) -> bool {
        self.form != Form::Bytes || self.number == kind::NETNS
    }

    /// Whether a header holds no more than one of it (R-TLV-06, R-TLV-07).
    pub fn is_said_once(&self) -> bool {
        self.number < *FREE.start()
    }

    /// Whether a TLV of a header is of this kind.
    pub(crate) fn holds(&self, number: u8, value: &[u8]) -> bool {
        self.number == number && (self.tag.is_none() || value.first().copied() == self.tag)
    }

    /// Whether the number has no meaning of its own, and may be given one: R-SEND-15 and §2.2.8.
    pub const fn is_free(number: u8) -> bool {
        *FREE.start() <= number && number <= *FREE.end()
    }

    /// Makes the value from what was `said`, behind what `out` holds.
    ///
    /// # Errors
    ///
    /// What was expected of it.
    pub fn write(&self, said: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
        let number = || str::from_utf8(said).ok().and_then(|text| text.parse::<u64>().ok());
        let is_text = || str::from_utf8(said).is_ok_and(|text| !text.contains(char::is_control));
        let tag = self.tag.as_slice();
        let fits = match self.form {
            Form::Bytes => said.len() <= usize::from(u16::MAX),
            Form::Protocol => (1..=MAX_NAME).contains(&said.len()),
            Form::Name => (1..=MAX_NAME).contains(&said.len()) && is_text(),
            Form::Id => (1..=MAX_ID).contains(&said.len()),
            Form::Ascii => (1..=MAX_NAME).contains(&said.len()) && said.is_ascii() && is_text(),
            Form::Little => {
                let Some(number) = number().and_then(|number| u32::try_from(number).ok()) else {
                    return Err(self.unfit());
                };
                out.extend_from_slice(tag);
                out.extend_from_slice(&number.to_le_bytes());
                return Ok(());
            }
            Form::Big => {
                out.extend_from_slice(&number().ok_or_else(|| self.unfit())?.to_be_bytes());
                return Ok(());
            }
            Form::Ours => false,
        };
        if !fits {
            return Err(self.unfit());
        }
        out.extend_from_slice(tag);
        out.extend_from_slice(said);
        Ok(())
    }

    const fn unfit(&self) -> Unfit {
        Unfit(match self.form {
            Form::Bytes => "at most 65535 bytes",
            Form::Protocol => "1 to 255 bytes",
            Form::Name => "a name of 1 to 255 bytes, in UTF-8 without control characters",
            Form::Id => "1 to 128 bytes",
            Form::Ascii => "1 to 255 letters of printable ASCII",
            Form::Little => "a number from 0 to 4294967295",
            Form::Big => "a number from 0 to 18446744073709551615",
            Form::Ours => "no value of its own",
        })
    }
}

/// As a file writes it: the name, else the number.
impl fmt::Display for TlvKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = |(_, known): &&(&str, Self)| known.number == self.number && known.tag == self.tag;
        match NAMES.iter().find(same) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{:#04X}", self.number),
        }
    }
}

/// What is expected of a value that does not fit its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

/// What a TLV of a header is called: a vendor's by the name of its part, if that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called<'v> {
    pub(crate) number: u8,
    pub(crate) value: &'v [u8],
}

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, kind)| kind.holds(self.number, self.value)) {
            Some((name, _)) => write!(f, "{name} ({} bytes)", self.value.len()),
            None => write!(f, "{:#04X} ({} bytes)", self.number, self.value.len()),
        }
    }
}

/// The longest host name, SNI and protocol name.
const MAX_NAME: usize = 255;
/// The longest unique id, §2.2.5.
const MAX_ID: usize = 128;
/// Kinds left to applications and experiments, §2.2.8.
const FREE: RangeInclusive<u8> = 0xe0..=0xf7;

const fn plain(number: u8, form: Form) -> TlvKind {
    TlvKind { number, tag: None, form }
}

const fn tagged(number: u8, tag: u8, form: Form) -> TlvKind {
    TlvKind { number, tag: Some(tag), form }
}

/// Named as rules name them behind `tlv.`.
const NAMES: [(&str, TlvKind); 13] = [
    ("alpn", plain(kind::ALPN, Form::Protocol)),
    ("authority", plain(kind::AUTHORITY, Form::Name)),
    ("crc32c", plain(kind::CHECKSUM, Form::Ours)),
    ("noop", plain(kind::NOOP, Form::Ours)),
    ("unique_id", plain(kind::UNIQUE_ID, Form::Id)),
    ("ssl", plain(kind::SSL, Form::Ours)),
    ("netns", plain(kind::NETNS, Form::Bytes)),
    ("gcp.psc_id", plain(kind::GCP, Form::Big)),
    ("alibaba.vpc", tagged(kind::ALIBABA, 1, Form::Ascii)),
    ("alibaba.endpoint", tagged(kind::ALIBABA, 2, Form::Ascii)),
    ("alibaba.service", tagged(kind::ALIBABA, 3, Form::Ascii)),
    ("aws.vpce", tagged(kind::AWS, 1, Form::Ascii)),
    ("azure.link_id", tagged(kind::AZURE, 1, Form::Little)),
];

#[cfg(test)]
mod tests {
    use foreword::{Builder, HeaderBuf};

    use super::*;

    fn value(name: &str, said: &str) -> Result<Vec<u8>, Unfit> {
        let mut value = Vec::new();
        TlvKind::named(name).unwrap().write(said.as_bytes(), &mut value).map(|()| value)
    }

    #[test]
    fn what_is_written_by_name_is_read_by_name() {
        let mut builder = Builder::v2();
        for (name, said) in [
            ("aws.vpce", "vpce-08d2"),
            ("azure.link_id", "4294967295"),
            ("gcp.psc_id", "18446744073709551615"),
            ("alibaba.vpc", "vpc-1"),
        ] {
            builder = builder.raw_tlv(TlvKind::named(name).unwrap().number, &value(name, said).unwrap());
        }
        let header = HeaderBuf::from_bytes(&builder.build().unwrap()).unwrap();
        let tlvs = header.tlvs();
        assert_eq!(tlvs.aws_vpce(), Some(Ok("vpce-08d2")));
        assert_eq!(tlvs.azure_link_id(), Some(Ok(u32::MAX)));
        assert_eq!(tlvs.gcp_psc_id(), Some(Ok(u64::MAX)));
        assert_eq!(tlvs.alibaba().next(), Some(Ok((foreword::AlibabaKind::Vpc, "vpc-1"))));
    }

    #[test]
    fn what_a_kind_cannot_hold_is_not_written() {
        for (name, said) in [
            ("aws.vpce", ""),
            ("aws.vpce", "vpce-ü"),
            ("azure.link_id", "4294967296"),
            ("azure.link_id", "x"),
            ("gcp.psc_id", "-1"),
            ("unique_id", &"i".repeat(129)),
            ("authority", &"a".repeat(256)),
            ("authority", "a\nb"),
            ("alpn", ""),
            ("ssl", "x"),
        ] {
            assert!(value(name, said).is_err(), "{name} {said}");
        }
    }

    #[test]
    fn a_kind_is_called_by_its_name_or_its_number() {
        assert_eq!(TlvKind::named("aws.vpce").unwrap().to_string(), "aws.vpce");
        assert_eq!(TlvKind::numbered(0xea).to_string(), "0xEA");
        assert_eq!(TlvKind::numbered(0x02).to_string(), "authority");
        assert_eq!(Called { number: 0xea, value: b"\x01x" }.to_string(), "aws.vpce (2 bytes)");
        assert_eq!(Called { number: 0xea, value: b"\x02" }.to_string(), "0xEA (1 bytes)");
    }
}
