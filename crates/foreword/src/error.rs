//! What is wrong with bytes that are no header, and with values that cannot become one.

use core::fmt;

use crate::address::Family;

/// Bytes that no header can begin with, whatever followed.
///
/// Says where, what was expected, what was found, and which requirement decides.
///
/// ```
/// use foreword::Header;
///
/// let malformed = Header::parse(b"PROXY TCP4 192.0.02.10").unwrap_err();
/// assert_eq!(malformed.offset(), 18);
/// assert_eq!(malformed.requirement(), "R-V1-05");
/// assert_eq!(malformed.to_string(), "byte 18: expected a number without leading zeros, found `2`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    offset: usize,
    requirement: &'static str,
    fault: Fault,
}

impl Malformed {
    #[cold]
    pub(crate) const fn new(offset: usize, fault: Fault, requirement: &'static str) -> Self {
        Self { offset, requirement, fault }
    }

    /// The byte, counted from 0, that no header can have there.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The id, as in `docs/spec.md`, of the requirement that decides.
    #[must_use]
    pub const fn requirement(&self) -> &'static str {
        self.requirement
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.fault)
    }
}

impl core::error::Error for Malformed {}

/// A way for bytes to be no header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// One byte that cannot stand there.
    Byte {
        /// What could.
        expected: &'static str,
        /// What does.
        found: u8,
    },
    /// A v1 line that cannot end in time any more.
    LineTooLong {
        /// How long it may be, line end included.
        max: usize,
    },
    /// A v2 header that declares more than the receiver takes.
    HeaderTooLong {
        /// How long the whole header is, at the least.
        declared: usize,
        /// How long it may be.
        max: usize,
    },
    /// A v2 length that has no room for the family's addresses.
    ShortBlock {
        /// The family that was announced.
        family: Family,
        /// What its addresses take.
        expected: usize,
        /// What the length field leaves them.
        found: usize,
    },
    /// A length that reaches past what holds it.
    Overrun {
        /// What claims it.
        field: Field,
        /// How much it claims.
        claimed: usize,
        /// How much is left.
        left: usize,
    },
    /// Left-over bytes, too few for what should be there.
    Short {
        /// What should be there.
        field: Field,
        /// How many bytes it takes.
        expected: usize,
        /// How many are left.
        left: usize,
    },
    /// A value that is longer or shorter than its kind allows.
    Length {
        /// Whose value.
        field: Field,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: usize,
    },
    /// A TLV that may be there once is there again.
    Duplicate {
        /// Its kind.
        kind: u8,
    },
    /// A checksum that does not fit the header.
    Checksum {
        /// What the header's bytes give.
        expected: u32,
        /// What the header says.
        found: u32,
    },
    /// No checksum, though one is required.
    ChecksumMissing,
    /// A datagram, or a buffer, that ends inside its header.
    Cut {
        /// How many bytes are missing, at the least.
        missing: usize,
    },
    /// A v1 line in a datagram.
    LineInDatagram,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Byte { expected, found } if found.is_ascii_graphic() => {
                write!(f, "expected {expected}, found `{}`", char::from(found))
            }
            Self::Byte { expected, found } => write!(f, "expected {expected}, found {}", ByteName(found)),
            Self::LineTooLong { max } => write!(f, "expected CRLF within {max} bytes, found none"),
            Self::HeaderTooLong { declared, max } => {
                write!(f, "expected a header of at most {max} bytes, found one of {declared}")
            }
            Self::ShortBlock { family, expected, found } => {
                write!(
                    f,
                    "expected {expected} bytes of {} addresses, found a length of {found}",
                    name(family)
                )
            }
            Self::Overrun { field, claimed, left } => {
                write!(f, "expected {field} within {left} bytes, found a claim of {claimed}")
            }
            Self::Short { field, expected, left } => {
                write!(f, "expected {field} of {expected} bytes, found {left} left")
            }
            Self::Length { field, expected, found } => {
                write!(f, "expected {field} of {expected}, found {found}")
            }
            Self::Duplicate { kind } => write!(f, "expected TLV 0x{kind:02x} once, found it again"),
            Self::Checksum { expected, found } => {
                write!(f, "expected checksum 0x{expected:08x}, found 0x{found:08x}")
            }
            Self::ChecksumMissing => f.write_str("expected a checksum, found none"),
            Self::Cut { missing } => {
                write!(f, "expected at least {missing} more bytes of header, found the end")
            }
            Self::LineInDatagram => {
                f.write_str("expected a v2 header, found a v1 line, which no datagram can carry")
            }
        }
    }
}

/// A byte that has no glyph of its own, by the name that people know it by.
struct ByteName(u8);

impl fmt::Display for ByteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b' ' => f.write_str("a space"),
            b'\t' => f.write_str("a tab"),
            b'\r' => f.write_str("CR"),
            b'\n' => f.write_str("LF"),
            0 => f.write_str("NUL"),
            byte => write!(f, "0x{byte:02x}"),
        }
    }
}

const fn name(family: Family) -> &'static str {
    match family {
        Family::Unspecified => "unspecified",
        Family::Inet => "IPv4",
        Family::Inet6 => "IPv6",
        Family::Unix => "Unix",
    }
}

/// A part of a header that has a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The addresses of a v2 header.
    AddressBlock,
    /// Kind and length of a TLV.
    TlvHeader,
    /// The value of a TLV.
    TlvValue,
    /// The checksum TLV.
    Checksum,
    /// The unique id TLV.
    UniqueId,
    /// The fixed part of the SSL TLV.
    Ssl,
    /// Kind and length of a TLV inside the SSL TLV.
    SslTlvHeader,
    /// The value of a TLV inside the SSL TLV.
    SslTlvValue,
    /// A Simple Proxy Protocol header.
    Spp,
}

impl Field {
    /// The requirement that is broken when the field claims more than there is.
    pub(crate) const fn overrun_requirement(self) -> &'static str {
        match self {
            Self::AddressBlock => "R-V2-11",
            Self::Ssl | Self::SslTlvHeader | Self::SslTlvValue => "R-TLV-12",
            Self::Spp => "R-UDP-08",
            Self::TlvHeader | Self::TlvValue | Self::Checksum | Self::UniqueId => "R-TLV-02",
        }
    }

    /// The requirement that is broken when there is something, but too little for the field.
    pub(crate) const fn short_requirement(self) -> &'static str {
        match self {
            Self::TlvHeader => "R-TLV-01",
            Self::Checksum => "R-TLV-05",
            _ => self.overrun_requirement(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressBlock => "address block",
            Self::TlvHeader => "TLV header",
            Self::TlvValue => "TLV value",
            Self::Checksum => "checksum",
            Self::UniqueId => "unique id",
            Self::Ssl => "SSL TLV",
            Self::SslTlvHeader => "header of a TLV inside SSL",
            Self::SslTlvValue => "value of a TLV inside SSL",
            Self::Spp => "simple proxy protocol header",
        })
    }
}

/// Why a header cannot be built from what it was told to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffer is too small.
    NoRoom,
    /// The header would be longer than allowed (R-SEND-12).
    TooLong {
        /// How long it would be.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A TLV value longer than its length field can say, or than its kind allows (R-SEND-13).
    ValueTooLong {
        /// The TLV's kind.
        kind: u8,
        /// How long its value is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A kind that nobody assigned, and that was not asked for by number (R-SEND-15).
    UnassignedKind {
        /// The kind.
        kind: u8,
    },
    /// An authority that is not text (R-TLV-10).
    AuthorityNotText,
    /// TLVs in a v1 header, which has none.
    TlvsInVersionOne,
    /// Something that v1 cannot say, where `PROXY UNKNOWN` was ruled out (R-SEND-05).
    NotInVersionOne,
    /// Two checksums (R-TLV-06).
    SecondChecksum,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoRoom => f.write_str("the buffer is too small for the header"),
            Self::TooLong { len, max } => {
                write!(f, "expected a header of at most {max} bytes, found one of {len}")
            }
            Self::ValueTooLong { kind, len, max } => {
                write!(f, "expected a value of at most {max} bytes for TLV 0x{kind:02x}, found {len}")
            }
            Self::UnassignedKind { kind } => write!(f, "TLV kind 0x{kind:02x} is not assigned"),
            Self::AuthorityNotText => {
                f.write_str("expected an authority of UTF-8 without control characters, found other bytes")
            }
            Self::TlvsInVersionOne => f.write_str("a v1 header has no TLVs"),
            Self::NotInVersionOne => f.write_str("a v1 header can only name TCP over IPv4 or IPv6"),
            Self::SecondChecksum => f.write_str("a header has one checksum"),
        }
    }
}

impl core::error::Error for BuildError {}
