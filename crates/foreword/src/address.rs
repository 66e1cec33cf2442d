//! What a header says besides its TLVs: version, command, family, transport, addresses.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use crate::error::{Field, Malformed};
use crate::reader::Reader;

/// Which of the two formats a header is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// The text format, §2.1: one line.
    One,
    /// The binary format, §2.2.
    Two,
}

impl Version {
    /// The version that these first bytes of a connection can only be, if any.
    ///
    /// One byte settles it, for the two signatures share none. It says nothing about whether a header follows.
    #[must_use]
    pub const fn announced(input: &[u8]) -> Option<Self> {
        match input.first() {
            Some(b'P') => Some(Self::One),
            Some(b'\r') => Some(Self::Two),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "v1",
            Self::Two => "v2",
        })
    }
}

/// For whom the sender made the connection, §2.2, numbered as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// For itself, as in a health check: the receiver keeps the socket's own addresses.
    Local = 0,
    /// For a client.
    Proxy = 1,
}

/// The address family of a header, numbered as in §2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// No address is given.
    Unspecified = 0,
    /// IPv4.
    Inet = 1,
    /// IPv6.
    Inet6 = 2,
    /// Unix sockets.
    Unix = 3,
}

/// How the client reached the sender, numbered as in §2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Not said.
    Unspecified = 0,
    /// TCP, or a Unix stream socket.
    Stream = 1,
    /// UDP, or a Unix datagram socket.
    Datagram = 2,
}

/// The two addresses of a header: who called, and whom.
///
/// ```
/// use foreword::{Addresses, Family};
///
/// let addresses = Addresses::Inet {
///     source: "192.0.2.10:56324".parse().unwrap(),
///     destination: "198.51.100.20:443".parse().unwrap(),
/// };
/// assert_eq!(addresses.family(), Family::Inet);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses<'a> {
    /// Neither is given; the receiver keeps the socket's own.
    Unspecified,
    /// IPv4.
    Inet {
        /// Who called.
        source: SocketAddrV4,
        /// Whom.
        destination: SocketAddrV4,
    },
    /// IPv6. A mapped IPv4 address stays as it was sent (R-V2-16).
    Inet6 {
        /// Who called.
        source: SocketAddrV6,
        /// Whom.
        destination: SocketAddrV6,
    },
    /// Unix sockets.
    Unix {
        /// Who called.
        source: UnixPath<'a>,
        /// Whom.
        destination: UnixPath<'a>,
    },
}

impl<'a> Addresses<'a> {
    /// The family that both addresses belong to.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Unspecified => Family::Unspecified,
            Self::Inet { .. } => Family::Inet,
            Self::Inet6 { .. } => Family::Inet6,
            Self::Unix { .. } => Family::Unix,
        }
    }

    /// Reads the address block of a binary header, §2.2.
    #[inline]
    pub(crate) fn read(family: Family, block: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match family {
            Family::Unspecified => Self::Unspecified,
            Family::Inet => {
                let [a, b, c, d, e, f, g, h, sp, sq, dp, dq] =
                    block.array::<INET_LEN>(Field::AddressBlock)?;
                Self::Inet {
                    source: SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([sp, sq])),
                    destination: SocketAddrV4::new(Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([dp, dq])),
                }
            }
            Family::Inet6 => {
                let source: [u8; 16] = block.array(Field::AddressBlock)?;
                let destination: [u8; 16] = block.array(Field::AddressBlock)?;
                let [sp, sq, dp, dq] = block.array(Field::AddressBlock)?;
                Self::Inet6 {
                    source: inet6(Ipv6Addr::from(source), u16::from_be_bytes([sp, sq])),
                    destination: inet6(Ipv6Addr::from(destination), u16::from_be_bytes([dp, dq])),
                }
            }
            Family::Unix => Self::Unix {
                source: UnixPath::of_field(block.slice(UnixPath::MAX_LEN, Field::AddressBlock)?),
                destination: UnixPath::of_field(block.slice(UnixPath::MAX_LEN, Field::AddressBlock)?),
            },
        })
    }
}

/// The length of a family's address block, §2.2.
#[inline]
pub(crate) const fn block_len(family: Family) -> usize {
    match family {
        Family::Unspecified => 0,
        Family::Inet => INET_LEN,
        Family::Inet6 => 36,
        Family::Unix => 2 * UnixPath::MAX_LEN,
    }
}

const INET_LEN: usize = 12;

/// An address as a header has it: flow label and zone do not travel.
pub(crate) const fn inet6(ip: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(ip, port, 0, 0)
}

/// The address of a Unix socket: a path, an abstract name (it begins with NUL), or nothing (unnamed). Bytes, not text.
///
/// ```
/// use foreword::UnixPath;
///
/// let path = UnixPath::new(b"/run/app.sock").unwrap();
/// assert_eq!(path.as_bytes(), b"/run/app.sock");
/// assert!(UnixPath::new(b"/run/\0hidden").is_none());
/// ```
#[derive(Clone, Copy, Default)]
pub struct UnixPath<'a>(
    /// With whatever fills the field behind it: most receivers never look at it, so it is cut when it is asked for.
    &'a [u8],
);

impl<'a> UnixPath<'a> {
    /// The longest address that the format carries.
    pub const MAX_LEN: usize = 108;

    /// The address of these bytes, unless they are longer than [`UnixPath::MAX_LEN`] or would not be read back the same:
    /// a path holds no NUL, an abstract name does not end in one.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let path = Self::of_field(bytes);
        (path.as_bytes().len() == bytes.len() && bytes.len() <= Self::MAX_LEN).then_some(path)
    }

    /// What a field of an address block holds.
    #[inline]
    pub(crate) const fn of_field(field: &'a [u8]) -> Self {
        Self(field)
    }

    /// The bytes, without padding: up to the first NUL, or, abstract, up to the NULs that fill the field (R-V2-10).
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        let mut bytes = self.0;
        if let [0, ..] = bytes {
            while let [before @ .., 0] = bytes {
                bytes = before;
            }
            return bytes;
        }
        let (mut len, mut rest) = (0, bytes);
        while let [1..=u8::MAX, behind @ ..] = rest {
            (len, rest) = (len + 1, behind);
        }
        bytes.split_at(len).0
    }

    /// Whether the socket has no name at all.
    #[must_use]
    pub const fn is_unnamed(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Whether this is a name in Linux's abstract namespace.
    #[must_use]
    pub const fn is_abstract(&self) -> bool {
        matches!(self.as_bytes().first(), Some(0))
    }
}

/// Whatever fills the field makes no difference.
impl PartialEq for UnixPath<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for UnixPath<'_> {}

impl Hash for UnixPath<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Printable whatever was sent: an abstract name begins with `@`, odd bytes are escaped.
impl fmt::Display for UnixPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bytes() {
            [0, name @ ..] => write!(f, "@{}", name.escape_ascii()),
            path => write!(f, "{}", path.escape_ascii()),
        }
    }
}

impl fmt::Debug for UnixPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_the_first_nul_and_an_abstract_name_before_its_padding() {
        assert_eq!(UnixPath::of_field(b"/a\0junk").as_bytes(), b"/a");
        assert_eq!(UnixPath::of_field(b"\0name\0\0").as_bytes(), b"\0name");
        assert!(UnixPath::of_field(b"\0\0\0").is_unnamed());
        assert!(UnixPath::of_field(b"\0x").is_abstract());
    }

    #[test]
    fn a_path_that_would_read_back_differently_is_not_made() {
        assert!(UnixPath::new(b"\0name\0").is_none());
        assert!(UnixPath::new(b"/a\0b").is_none());
        assert!(UnixPath::new(&[b'a'; 109]).is_none());
        assert!(UnixPath::new(&[b'a'; 108]).is_some());
    }
}
