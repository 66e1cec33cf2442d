//! What people write for bytes: hex digits, and TLVs by name.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::tlv::kind;

/// Reads a TLV as people write it: its kind by name or number, and its value as text, a number, or `hex:` and bytes.
///
/// In names `-` and `_` are one, and so are capital and small letters.
///
/// ```
/// use foreword::text;
///
/// assert_eq!(text::tlv("aws_vpce", "vpce-08d2"), Ok((0xea, b"\x01vpce-08d2".to_vec())));
/// assert_eq!(text::tlv("0xE1", "hex:01 ff"), Ok((0xe1, vec![1, 0xff])));
/// ```
///
/// # Errors
///
/// What was expected.
pub fn tlv(name: &str, value: &str) -> Result<(u8, Vec<u8>), TlvTextError> {
    let named = NAMES.iter().find(|(known, _, _)| is_name(known, name));
    let (kind, form) = match named {
        Some((_, kind, form)) => (*kind, *form),
        None => (number(name)?, Form::Text),
    };
    if kind == kind::CHECKSUM {
        return Err(TlvTextError::Checksum);
    }
    let value = match value.strip_prefix("hex:") {
        Some(digits) => hex(digits).map_err(TlvTextError::Hex)?,
        None => form.bytes(name, value)?,
    };
    Ok((kind, value))
}

/// Reads bytes from hex digits; what commonly stands between them is passed over: `0x`, blanks, colons, line ends.
///
/// # Errors
///
/// Where something else stands, or a digit is left over.
pub fn hex(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if let Some(digit) = letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            let next_is_x = letters.peek().is_some_and(|(_, next)| matches!(next, 'x' | 'X'));
            match high.take() {
                None if letter == '0' && next_is_x => drop(letters.next()),
                None => high = Some(digit),
                Some(high) => bytes.push(high << 4 | digit),
            }
        } else if !(letter.is_ascii_whitespace() || matches!(letter, ':' | '-' | ',' | '_')) {
            return Err(HexError::Letter { at, letter });
        }
    }
    match high {
        None => Ok(bytes),
        Some(_) => Err(HexError::Odd),
    }
}

fn is_name(known: &str, name: &str) -> bool {
    let same = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    known.bytes().eq(name.bytes().map(same))
}

/// A kind by number: `225` or `0xE1`.
fn number(text: &str) -> Result<u8, TlvTextError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match digits {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| TlvTextError::Kind(text.to_owned()))
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

impl Form {
    fn bytes(self, name: &str, text: &str) -> Result<Vec<u8>, TlvTextError> {
        let tagged = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
        let wrong = |_| TlvTextError::Number { name: name.to_owned(), found: text.to_owned() };
        Ok(match self {
            Self::Text => text.as_bytes().to_vec(),
            Self::Tagged(tag) => tagged(tag, text.as_bytes()),
            Self::TaggedLittle(tag) => tagged(tag, &text.parse::<u32>().map_err(wrong)?.to_le_bytes()),
            Self::Big => text.parse::<u64>().map_err(wrong)?.to_be_bytes().to_vec(),
            Self::Bytes => return Err(TlvTextError::Bytes(name.to_owned())),
        })
    }
}

/// The names: §2.2 of the specification, and the documents of those who registered the kinds from 0xE0 on.
const NAMES: [(&str, u8, Form); 12] = [
    ("alpn", kind::ALPN, Form::Text),
    ("authority", kind::AUTHORITY, Form::Text),
    ("noop", kind::NOOP, Form::Text),
    ("unique_id", kind::UNIQUE_ID, Form::Text),
    ("ssl", kind::SSL, Form::Bytes),
    ("netns", kind::NETNS, Form::Text),
    ("gcp_psc", kind::GCP, Form::Big),
    ("alibaba_vpc", kind::ALIBABA, Form::Tagged(1)),
    ("alibaba_endpoint", kind::ALIBABA, Form::Tagged(2)),
    ("alibaba_service", kind::ALIBABA, Form::Tagged(3)),
    ("aws_vpce", kind::AWS, Form::Tagged(1)),
    ("azure_link", kind::AZURE, Form::TaggedLittle(1)),
];

/// Why a text is no TLV.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlvTextError {
    /// The kind is neither a name nor a number from 0 to 255.
    Kind(String),
    /// The value of this kind is a number.
    Number {
        /// The kind.
        name: String,
        /// What stands there.
        found: String,
    },
    /// The value of this kind can only be written as bytes.
    Bytes(String),
    /// A checksum can only be computed from the finished header.
    Checksum,
    /// The bytes are no hex.
    Hex(HexError),
}

impl fmt::Display for TlvTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(found) => {
                f.write_str("expected a kind from 0 to 255, as in `0xE1`, or one of ")?;
                for (place, (name, _, _)) in NAMES.iter().enumerate() {
                    write!(f, "{}`{name}`", if place == 0 { "" } else { ", " })?;
                }
                write!(f, "; found `{found}`")
            }
            Self::Number { name, found } => write!(f, "expected a number for `{name}`, found `{found}`"),
            Self::Bytes(name) => write!(f, "expected `hex:` and bytes for `{name}`: its value is no text"),
            Self::Checksum => f.write_str("expected no checksum: it is computed from the finished header"),
            Self::Hex(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TlvTextError {}

/// Why a text is no hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HexError {
    /// Something else stands among the digits.
    Letter {
        /// Where, in bytes.
        at: usize,
        /// What.
        letter: char,
    },
    /// The last byte lacks a digit.
    Odd,
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter { at, letter } => {
                write!(f, "letter {at}: expected hex digits, found `{}`", letter.escape_default())
            }
            Self::Odd => f.write_str("expected two hex digits for each byte, found an odd number of them"),
        }
    }
}

impl core::error::Error for HexError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;

    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same_kind() {
        for name in ["authority", "Authority", "0x02", "0X2", "2"] {
            assert_eq!(tlv(name, "example.com"), Ok((2, b"example.com".to_vec())), "{name}");
        }
        assert_eq!(tlv("225", "hex:01ff"), Ok((0xe1, vec![1, 0xff])));
        assert_eq!(tlv("netns", ""), Ok((0x30, Vec::new())));
    }

    #[test]
    fn a_dash_is_an_underscore() {
        assert_eq!(tlv("unique-id", "a"), tlv("unique_id", "a"));
        assert_eq!(tlv("AWS-vpce", "a"), tlv("aws_vpce", "a"));
    }

    #[test]
    fn hex_is_the_whole_value_whatever_the_kind() {
        assert_eq!(tlv("aws_vpce", "hex:02ff"), Ok((0xea, vec![2, 0xff])));
        assert_eq!(tlv("ssl", "hex:"), Ok((0x20, Vec::new())));
    }

    #[test]
    fn vendors_values_are_written_as_the_vendors_write_them() {
        assert_eq!(tlv("aws_vpce", "vpce-08d2"), Ok((0xea, b"\x01vpce-08d2".to_vec())));
        assert_eq!(tlv("azure_link", "16777218"), Ok((0xee, vec![1, 2, 0, 0, 1])));
        assert_eq!(tlv("gcp_psc", "258"), Ok((0xe0, vec![0, 0, 0, 0, 0, 0, 1, 2])));
        assert_eq!(tlv("alibaba_service", "eps"), Ok((0xe1, b"\x03eps".to_vec())));
    }

    #[test]
    fn what_is_no_tlv_says_what_was_expected() {
        assert_eq!(tlv("256", "x"), Err(TlvTextError::Kind("256".into())));
        assert!(tlv("autority", "x").unwrap_err().to_string().contains("`authority`, `noop`"));
        assert_eq!(tlv("3", "x"), Err(TlvTextError::Checksum));
        assert_eq!(tlv("ssl", "x"), Err(TlvTextError::Bytes("ssl".into())));
        assert!(matches!(tlv("gcp_psc", "-1"), Err(TlvTextError::Number { .. })));
        assert_eq!(tlv("1", "hex:0"), Err(TlvTextError::Hex(HexError::Odd)));
    }

    #[test]
    fn hex_is_read_as_people_paste_it() {
        for pasted in ["0d0aff", "0D:0a:FF", "0x0d 0x0a 0xff", "0d0a\nff\n", "0d, 0a, ff"] {
            assert_eq!(hex(pasted).as_deref(), Ok(&[13, 10, 255][..]), "{pasted}");
        }
        assert_eq!(hex(""), Ok(Vec::new()));
        assert_eq!(hex("0d0"), Err(HexError::Odd));
        assert_eq!(hex("0dzz"), Err(HexError::Letter { at: 2, letter: 'z' }));
    }
}
