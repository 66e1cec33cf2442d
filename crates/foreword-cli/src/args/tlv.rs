//! `--tlv KIND=VALUE`: names for those who know them, numbers and bytes for the rest.

use std::str::FromStr;

/// A TLV as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlvArg {
    pub(crate) kind: u8,
    pub(crate) value: Vec<u8>,
}

/// How the text of a value becomes its bytes.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// As it is.
    Text,
    /// Behind a byte that says what it is.
    Tagged(u8),
    /// A number in four bytes, little endian, behind a byte that says what it is.
    TaggedLittle(u8),
    /// A number in eight bytes, big endian.
    Big,
    /// Nothing that text could say.
    Bytes,
}

/// The names: §2.2 of the specification, and the documents of those who registered the kinds from 0xE0 on.
const NAMES: [(&str, u8, Form); 12] = [
    ("alpn", 0x01, Form::Text),
    ("authority", 0x02, Form::Text),
    ("noop", 0x04, Form::Text),
    ("unique-id", 0x05, Form::Text),
    ("ssl", 0x20, Form::Bytes),
    ("netns", 0x30, Form::Text),
    ("gcp-psc", 0xE0, Form::Big),
    ("alibaba-vpc", 0xE1, Form::Tagged(1)),
    ("alibaba-endpoint", 0xE1, Form::Tagged(2)),
    ("alibaba-service", 0xE1, Form::Tagged(3)),
    ("aws-vpce", 0xEA, Form::Tagged(1)),
    ("azure-link", 0xEE, Form::TaggedLittle(1)),
];

/// The kind of the checksum, which only the finished header can give.
const CHECKSUM: u8 = 0x03;

impl FromStr for TlvArg {
    type Err = TlvArgError;

    fn from_str(text: &str) -> Result<Self, TlvArgError> {
        let (name, value) = text.split_once('=').ok_or(TlvArgError::Shape)?;
        let named = NAMES.iter().find(|(known, _, _)| name.eq_ignore_ascii_case(known));
        let (kind, form) = match named {
            Some((_, kind, form)) => (*kind, *form),
            None => (number(name)?, Form::Text),
        };
        if kind == CHECKSUM {
            return Err(TlvArgError::Checksum);
        }
        let value = match value.strip_prefix("hex:") {
            Some(digits) => super::hex::bytes(digits).map_err(TlvArgError::Hex)?,
            None => form.bytes(name, value)?,
        };
        Ok(Self { kind, value })
    }
}

impl Form {
    fn bytes(self, name: &str, text: &str) -> Result<Vec<u8>, TlvArgError> {
        let tagged = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
        let wrong = |_| TlvArgError::Number { name: name.to_owned(), found: text.to_owned() };
        Ok(match self {
            Self::Text => text.as_bytes().to_vec(),
            Self::Tagged(tag) => tagged(tag, text.as_bytes()),
            Self::TaggedLittle(tag) => tagged(tag, &text.parse::<u32>().map_err(wrong)?.to_le_bytes()),
            Self::Big => text.parse::<u64>().map_err(wrong)?.to_be_bytes().to_vec(),
            Self::Bytes => return Err(TlvArgError::Bytes(name.to_owned())),
        })
    }
}

/// A kind by number: `225` or `0xE1`.
fn number(text: &str) -> Result<u8, TlvArgError> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match hex {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| TlvArgError::Kind(text.to_owned()))
}

/// Why a `--tlv` cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlvArgError {
    #[error("expected `KIND=VALUE`")]
    Shape,
    #[error("expected a kind from 0 to 255, as in `0xE1`, or one of {names}; found `{0}`", names = names())]
    Kind(String),
    #[error("expected a number for `{name}`, found `{found}`")]
    Number { name: String, found: String },
    #[error("expected `{0}=hex:` and bytes: its value is no text")]
    Bytes(String),
    #[error("a checksum is computed from the finished header: use --crc32c")]
    Checksum,
    #[error(transparent)]
    Hex(super::hex::HexError),
}

fn names() -> String {
    NAMES.map(|(name, _, _)| format!("`{name}`")).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u8, Vec<u8>) {
        let tlv: TlvArg = text.parse().expect(text);
        (tlv.kind, tlv.value)
    }

    #[test]
    fn names_and_numbers_mean_the_same_kind() {
        assert_eq!(read("authority=example.com"), (2, b"example.com".to_vec()));
        assert_eq!(read("0x02=example.com"), (2, b"example.com".to_vec()));
        assert_eq!(read("225=hex:01ff"), (0xE1, vec![1, 0xff]));
        assert_eq!(read("netns="), (0x30, Vec::new()));
    }

    #[test]
    fn vendors_values_are_written_as_the_vendors_write_them() {
        assert_eq!(read("aws-vpce=vpce-08d2"), (0xEA, b"\x01vpce-08d2".to_vec()));
        assert_eq!(read("azure-link=16777218"), (0xEE, vec![1, 2, 0, 0, 1]));
        assert_eq!(read("gcp-psc=258"), (0xE0, vec![0, 0, 0, 0, 0, 0, 1, 2]));
        assert_eq!(read("alibaba-service=eps"), (0xE1, b"\x03eps".to_vec()));
    }

    #[test]
    fn what_is_no_tlv_says_what_was_expected() {
        let wrong = |text: &str| text.parse::<TlvArg>().expect_err(text);
        assert_eq!(wrong("authority"), TlvArgError::Shape);
        assert_eq!(wrong("256=x"), TlvArgError::Kind("256".into()));
        assert!(wrong("autority=x").to_string().contains("`authority`"));
        assert_eq!(wrong("3=x"), TlvArgError::Checksum);
        assert_eq!(wrong("ssl=x"), TlvArgError::Bytes("ssl".into()));
        assert!(matches!(wrong("gcp-psc=-1"), TlvArgError::Number { .. }));
        assert!(matches!(wrong("1=hex:0"), TlvArgError::Hex(_)));
    }
}
