//! `Header` and `Parse`: the model, whichever version wrote it.

use core::net::SocketAddr;
use core::num::NonZeroUsize;

use crate::address::{Addresses, Command, Family, Transport, Version};
use crate::error::{BuildError, Fault, Malformed};
use crate::tlv::Tlvs;
use crate::writer::Writer;
use crate::{v1, v2};

/// The longest header that the format allows: 16 bytes, and all that their length field can say.
pub const MAX_LEN: usize = v2::FIXED_LEN + u16::MAX as usize;

/// How many bytes the header that `input` begins with takes by its own word, be it right or wrong: up to the end of its
/// line, §2.1, or as its length field says, §2.2. `None` while that has not come.
///
/// It tells what belongs to a header that is refused, as for a log line; what is accepted, [`Parse`] says.
///
/// ```
/// use foreword::announced_len;
///
/// assert_eq!(announced_len(b"PROXY TCP9 nonsense\r\nGET /"), Some(21));
/// assert_eq!(announced_len(b"\r\n\r\n\0\r\nQUIT\n\x29\xff\x01\x00"), Some(16 + 256));
/// assert_eq!(announced_len(b"PROXY TCP4 192"), None);
/// ```
#[must_use]
pub fn announced_len(input: &[u8]) -> Option<usize> {
    match Version::announced(input)? {
        Version::One => input.iter().position(|byte| *byte == b'\n').map(|end| end + 1),
        Version::Two => v2::announced_len(input),
    }
}

/// A PROXY header, borrowed from the bytes it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'a> {
    /// The format it is written in.
    pub version: Version,
    /// For whom the sender made the connection.
    pub command: Command,
    /// How the client reached the sender.
    pub transport: Transport,
    /// Who called, and whom. Always unspecified under [`Command::Local`].
    pub addresses: Addresses<'a>,
    /// What else the sender says; nothing in v1.
    pub tlvs: Tlvs<'a>,
}

impl<'a> Header<'a> {
    /// Parses the header that `input` begins with, as strictly as the specification allows.
    ///
    /// # Errors
    ///
    /// When no header begins like this.
    #[inline]
    pub fn parse(input: &'a [u8]) -> Result<Parse<'a>, Malformed> {
        Parser::new().parse(input)
    }

    /// A binary header that says nothing but its command.
    #[inline]
    pub(crate) fn of_nobody(command: Command) -> Self {
        Self {
            version: Version::Two,
            command,
            transport: Transport::Unspecified,
            addresses: Addresses::Unspecified,
            tlvs: Tlvs::default(),
        }
    }

    /// The address that called, if the header gives one that belongs to IP.
    #[must_use]
    #[inline]
    pub const fn source(&self) -> Option<SocketAddr> {
        match self.addresses {
            Addresses::Inet { source, .. } => Some(SocketAddr::V4(source)),
            Addresses::Inet6 { source, .. } => Some(SocketAddr::V6(source)),
            Addresses::Unspecified | Addresses::Unix { .. } => None,
        }
    }

    /// The address that was called, if the header gives one that belongs to IP.
    #[must_use]
    #[inline]
    pub const fn destination(&self) -> Option<SocketAddr> {
        match self.addresses {
            Addresses::Inet { destination, .. } => Some(SocketAddr::V4(destination)),
            Addresses::Inet6 { destination, .. } => Some(SocketAddr::V6(destination)),
            Addresses::Unspecified | Addresses::Unix { .. } => None,
        }
    }

    /// The family of both addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.addresses.family()
    }

    /// Whether the header names no client: LOCAL, UNKNOWN, or an unspecified family or transport.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self.addresses, Addresses::Unspecified)
    }

    /// Encodes exactly what the header says into `buffer`, and returns how many bytes that took. A checksum among the
    /// TLVs is made anew.
    ///
    /// A relay says less (R-SEND-10): see [`Builder`](crate::Builder).
    ///
    /// ```
    /// use foreword::{Header, Parse};
    ///
    /// let input = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    /// let Parse::Complete { header, .. } = Header::parse(input)? else { panic!("whole") };
    /// let mut buffer = [0; 64];
    /// let len = header.encode(&mut buffer).unwrap();
    /// assert_eq!(&buffer[..len], input);
    /// # Ok::<(), foreword::Malformed>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When `buffer` is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BuildError> {
        let mut writer = Writer::new(buffer);
        match self.version {
            Version::One => v1::encode(&self.addresses, self.transport, &mut writer)?,
            Version::Two => {
                let tlvs = self.tlvs.as_bytes();
                v2::encode(self.command, &self.addresses, self.transport, tlvs, &mut writer)?;
            }
        }
        Ok(writer.at())
    }
}

/// What a parser says to bytes that a header may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parse<'a> {
    /// A whole header, and how many bytes of the input it took. What follows is payload.
    Complete {
        /// The header.
        header: Header<'a>,
        /// How long it is.
        len: usize,
    },
    /// Nothing wrong so far. At least `needed` more bytes belong to the header.
    Incomplete {
        /// A lower bound: a reader that takes so many more never eats into what follows the header.
        needed: NonZeroUsize,
    },
}

impl Parse<'_> {
    /// The header has at least `least` bytes, and `input` does not have them all.
    pub(crate) fn incomplete(least: usize, input: &[u8]) -> Self {
        let needed = NonZeroUsize::new(least.saturating_sub(input.len())).unwrap_or(NonZeroUsize::MIN);
        Self::Incomplete { needed }
    }
}

/// How strictly headers are taken. [`Parser::new`] is as strict as the requirements; each switch is named after what it
/// lets through.
///
/// ```
/// use foreword::Parser;
///
/// let line = b"PROXY TCP6 192.0.2.10 198.51.100.20 56324 443\r\n";
/// assert!(Parser::new().parse(line).is_err());
/// assert!(Parser::new().ipv4_in_tcp6(true).parse(line).is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parser {
    pub(crate) max_len: usize,
    pub(crate) ipv4_in_tcp6: bool,
    pub(crate) ignore_malformed_tlvs: bool,
    pub(crate) first_of_duplicate_tlvs: bool,
    pub(crate) require_checksum: bool,
}

impl Parser {
    /// The least that [`Parser::max_len`] can be set to: what the protocol was designed to stay within.
    pub const LEAST_MAX_LEN: usize = 536;

    /// A parser with every switch off, which takes headers of any length.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_len: MAX_LEN,
            ipv4_in_tcp6: false,
            ignore_malformed_tlvs: false,
            first_of_duplicate_tlvs: false,
            require_checksum: false,
        }
    }

    /// Refuses headers longer than `len`, as soon as they say so (R-V2-17). Kept between [`Parser::LEAST_MAX_LEN`] and
    /// [`MAX_LEN`].
    #[must_use]
    pub const fn max_len(mut self, len: usize) -> Self {
        self.max_len = if len < Self::LEAST_MAX_LEN {
            Self::LEAST_MAX_LEN
        } else if len > MAX_LEN {
            MAX_LEN
        } else {
            len
        };
        self
    }

    /// Reads an IPv4 address in a `TCP6` line as a mapped one (R-V1-08).
    #[must_use]
    pub const fn ipv4_in_tcp6(mut self, on: bool) -> Self {
        self.ipv4_in_tcp6 = on;
        self
    }

    /// Drops all TLVs where their list does not end with the header, in place of refusing it (R-TLV-01, R-TLV-02).
    #[must_use]
    pub const fn ignore_malformed_tlvs(mut self, on: bool) -> Self {
        self.ignore_malformed_tlvs = on;
        self
    }

    /// Takes the first of two TLVs that should be there once, in place of refusing both (R-TLV-07). Two checksums are
    /// always refused.
    #[must_use]
    pub const fn first_of_duplicate_tlvs(mut self, on: bool) -> Self {
        self.first_of_duplicate_tlvs = on;
        self
    }

    /// Refuses every header without a checksum, and so every v1 line (R-TLV-05).
    #[must_use]
    pub const fn require_checksum(mut self, on: bool) -> Self {
        self.require_checksum = on;
        self
    }

    /// The switches that make this parser take what the requirements refuse by default, as the requirements call them.
    pub fn switches(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("ipv4_in_tcp6", self.ipv4_in_tcp6),
            ("tlv_malformed", self.ignore_malformed_tlvs),
            ("tlv_duplicate", self.first_of_duplicate_tlvs),
        ]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
    }

    /// Parses the header that `input`, the first bytes of a connection, begins with.
    ///
    /// # Errors
    ///
    /// When no header begins like this. More bytes would not help, and fewer would have done if the fault lies before
    /// their end, save for TLVs: they are looked at once the header is whole.
    #[inline]
    pub fn parse<'a>(&self, input: &'a [u8]) -> Result<Parse<'a>, Malformed> {
        match input.first() {
            None => Ok(Parse::incomplete(v1::MIN_LEN, input)),
            Some(b'P') if self.require_checksum => Err(Malformed::new(0, Fault::ChecksumMissing, "R-TLV-05")),
            Some(b'P') => v1::parse(input, self),
            Some(b'\r') => v2::parse(input, self),
            Some(&found) => {
                Err(Malformed::new(0, Fault::Byte { expected: "a PROXY header", found }, "R-SEC-02"))
            }
        }
    }

    /// Parses the header that `datagram` begins with, and says how long it is; the payload follows (R-UDP-01).
    ///
    /// # Errors
    ///
    /// When no header begins like this, or the datagram ends inside it: the next one cannot help. v1 has no form for
    /// datagrams.
    pub fn parse_datagram<'a>(&self, datagram: &'a [u8]) -> Result<(Header<'a>, usize), Malformed> {
        if datagram.starts_with(v1::SIGNATURE) {
            return Err(Malformed::new(0, Fault::LineInDatagram, "R-UDP-06"));
        }
        match self.parse(datagram)? {
            Parse::Complete { header, len } => Ok((header, len)),
            Parse::Incomplete { needed } => {
                let fault = Fault::Cut { missing: needed.get() };
                Err(Malformed::new(datagram.len(), fault, "R-UDP-02"))
            }
        }
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}
