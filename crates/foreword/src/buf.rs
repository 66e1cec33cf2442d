//! A header that owns its bytes, for those who keep it longer than the buffer it came in.

use alloc::boxed::Box;
use core::fmt;
use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use core::num::NonZeroUsize;

use crate::address::{Addresses, Command, Transport, UnixPath, Version};
use crate::error::{Fault, Malformed};
use crate::header::{Header, Parse, Parser};
use crate::tlv::Tlvs;
use crate::v2;

/// A header together with the bytes that it was parsed from. Parsed once: [`HeaderBuf::header`] only points into them.
///
/// ```
/// use foreword::HeaderBuf;
///
/// let header = HeaderBuf::from_bytes(b"PROXY TCP4 192.0.2.10 198.51.100.20 56324 443\r\n")?;
/// assert_eq!(header.source(), Some("192.0.2.10:56324".parse().unwrap()));
/// assert_eq!(header.len(), 47);
/// # Ok::<(), foreword::Malformed>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderBuf {
    bytes: Box<[u8]>,
    version: Version,
    command: Command,
    transport: Transport,
    addresses: Place,
    /// How many bytes at the end are TLVs; where they were skipped, none.
    tlvs_len: usize,
}

/// [`Addresses`] without what they borrow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Unspecified,
    Inet {
        source: SocketAddrV4,
        destination: SocketAddrV4,
    },
    Inet6 {
        source: SocketAddrV6,
        destination: SocketAddrV6,
    },
    /// Where the format has them.
    Unix,
}

impl HeaderBuf {
    /// Parses `bytes`, which are one header and nothing else.
    ///
    /// # Errors
    ///
    /// When they are none, end too early, or go on.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        match Parser::new().parse_buf(bytes)? {
            ParseBuf::Complete(header) if header.len() == bytes.len() => Ok(header),
            ParseBuf::Complete(header) => {
                let found = bytes.get(header.len()).copied().unwrap_or_default();
                let fault = Fault::Byte { expected: "the end of the header", found };
                Err(Malformed::new(header.len(), fault, "R-V2-06"))
            }
            ParseBuf::Incomplete { needed } => {
                Err(Malformed::new(bytes.len(), Fault::Cut { missing: needed.get() }, "R-V2-07"))
            }
        }
    }

    fn new(header: &Header<'_>, bytes: &[u8]) -> Self {
        let addresses = match header.addresses {
            Addresses::Unspecified => Place::Unspecified,
            Addresses::Inet { source, destination } => Place::Inet { source, destination },
            Addresses::Inet6 { source, destination } => Place::Inet6 { source, destination },
            Addresses::Unix { .. } => Place::Unix,
        };
        Self {
            bytes: bytes.into(),
            version: header.version,
            command: header.command,
            transport: header.transport,
            addresses,
            tlvs_len: header.tlvs.as_bytes().len(),
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> Header<'_> {
        let addresses = match self.addresses {
            Place::Unspecified => Addresses::Unspecified,
            Place::Inet { source, destination } => Addresses::Inet { source, destination },
            Place::Inet6 { source, destination } => Addresses::Inet6 { source, destination },
            Place::Unix => {
                let (source, destination) = self.unix_fields();
                Addresses::Unix { source, destination }
            }
        };
        Header {
            version: self.version,
            command: self.command,
            transport: self.transport,
            addresses,
            tlvs: self.tlvs(),
        }
    }

    /// Its TLVs.
    #[must_use]
    pub fn tlvs(&self) -> Tlvs<'_> {
        let at = self.bytes.len().saturating_sub(self.tlvs_len);
        Tlvs::of_checked(self.bytes.get(at..).unwrap_or_default())
    }

    /// The address that called, if the header gives one that belongs to IP.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.header().source()
    }

    /// The address that was called, if the header gives one that belongs to IP.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.header().destination()
    }

    /// The bytes of the header, as they came.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes the header takes. Never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no header is empty")]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    fn unix_fields(&self) -> (UnixPath<'_>, UnixPath<'_>) {
        let block = self.bytes.get(v2::FIXED_LEN..).unwrap_or_default();
        let (source, rest) = block.split_at_checked(UnixPath::MAX_LEN).unwrap_or_default();
        let destination = rest.get(..UnixPath::MAX_LEN).unwrap_or_default();
        (UnixPath::of_field(source), UnixPath::of_field(destination))
    }
}

impl fmt::Debug for HeaderBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}

/// [`Parse`] with a header that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseBuf {
    /// A whole header; its length says where the payload begins.
    Complete(HeaderBuf),
    /// Nothing wrong so far. At least `needed` more bytes belong to the header.
    Incomplete {
        /// A lower bound, as in [`Parse::Incomplete`].
        needed: NonZeroUsize,
    },
}

impl Parser {
    /// Parses as [`Parser::parse`] does, and copies the header's bytes once it is whole.
    ///
    /// # Errors
    ///
    /// When no header begins like this.
    pub fn parse_buf(&self, input: &[u8]) -> Result<ParseBuf, Malformed> {
        Ok(match self.parse(input)? {
            Parse::Complete { header, len } => {
                ParseBuf::Complete(HeaderBuf::new(&header, input.get(..len).unwrap_or(input)))
            }
            Parse::Incomplete { needed } => ParseBuf::Incomplete { needed },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Tlv};

    #[test]
    fn a_header_that_owns_its_bytes_says_the_same() {
        let addresses = Addresses::Unix {
            source: UnixPath::new(b"/run/a.sock").unwrap(),
            destination: UnixPath::new(b"\0b").unwrap(),
        };
        for bytes in [
            Builder::v2().addresses(addresses).tlv(Tlv::UniqueId(b"1")).build().unwrap(),
            Builder::v2()
                .proxy(([1, 2, 3, 4], 5).into(), ([6, 7, 8, 9], 10).into())
                .checksum(true)
                .build()
                .unwrap(),
            Builder::v2().local().build().unwrap(),
            Builder::v1().unknown().build().unwrap(),
        ] {
            let Ok(Parse::Complete { header, .. }) = Header::parse(&bytes) else { panic!("whole and sound") };
            assert_eq!(HeaderBuf::from_bytes(&bytes).unwrap().header(), header);
        }
    }

    #[test]
    fn bytes_that_go_on_or_end_too_early_are_not_one_header() {
        assert_eq!(HeaderBuf::from_bytes(b"PROXY UNKNOWN\r\nx").unwrap_err().offset(), 15);
        assert_eq!(HeaderBuf::from_bytes(b"PROXY UNKNOWN\r").unwrap_err().offset(), 14);
    }
}
