//! How the client introduces itself: which header it sends, built once the socket's own addresses are known.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use foreword::{Addresses, BuildError, Builder, Header, Malformed, Parse, Transport, UnixPath, Version};

/// A header to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Which format it is written in.
    pub version: Version,
    /// For whom it speaks.
    pub speaks_for: SpeaksFor,
    /// Stream, or datagram where a header for UDP is made.
    pub datagram: bool,
    /// The TLVs, in order: kind and value. Only v2 can carry them.
    pub tlvs: Vec<(u8, Vec<u8>)>,
    /// Whether a CRC32C of the whole header goes along. Only v2 can carry one.
    pub checksum: bool,
}

/// For whom a header speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeaksFor {
    /// A client; what is not given is taken from the socket.
    Client {
        /// The client's address.
        source: Option<End>,
        /// The address that it connected to.
        destination: Option<End>,
    },
    /// The sender itself: LOCAL.
    Itself,
    /// A client that it cannot name: UNKNOWN in v1, unspecified in v2.
    Unknown,
}

/// One end of a connection, as far as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// An address, and a port unless the socket's own is meant.
    Inet(IpAddr, Option<u16>),
    /// The path of a unix socket.
    Unix(Vec<u8>),
}

impl End {
    /// The address, if it is not a unix path.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address, _) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, EndError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.as_bytes().to_vec()));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Inet(address.ip(), Some(address.port())));
        }
        let bare = text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text);
        match bare.parse() {
            Ok(address) => Ok(Self::Inet(address, None)),
            Err(_) => Err(EndError(text.to_owned())),
        }
    }
}

/// A text that names no end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `IP`, `IP:PORT`, `[IPV6]:PORT` or `unix:PATH`, found `{0}`")]
pub struct EndError(String);

impl Introduction {
    /// Builds the header. `own` are the socket's ends, ours first, and stand in for what was not given.
    ///
    /// # Errors
    ///
    /// When an address is neither given nor known, the two do not go together, or the format cannot say it.
    pub fn encode(&self, own: Option<(SocketAddr, SocketAddr)>) -> Result<Vec<u8>, IntroductionError> {
        let mut builder = Builder::new(self.version).max_len(foreword::MAX_LEN);
        let addresses;
        builder = match &self.speaks_for {
            SpeaksFor::Itself => builder.local(),
            SpeaksFor::Unknown => builder.unknown(),
            SpeaksFor::Client { source, destination } => {
                addresses = Pair::of(source.as_ref(), destination.as_ref(), own)?;
                // What v1 has no words for would silently become UNKNOWN.
                addresses.put_into(builder)?.refuse_unknown()
            }
        };
        builder = match (&self.speaks_for, self.datagram) {
            // An unspecified header says nothing of the transport either.
            (SpeaksFor::Itself | SpeaksFor::Unknown, _) => builder.transport(Transport::Unspecified),
            (SpeaksFor::Client { .. }, true) => builder.transport(Transport::Datagram),
            (SpeaksFor::Client { .. }, false) => builder.transport(Transport::Stream),
        };
        for (kind, value) in &self.tlvs {
            builder = builder.raw_tlv(*kind, value);
        }
        let bytes = builder.checksum(self.checksum).build()?;
        // A value that its kind does not allow shows only now (R-SEND-18: nothing malformed leaves by accident).
        match Header::parse(&bytes) {
            Ok(Parse::Complete { len, .. }) if len == bytes.len() => Ok(bytes),
            Ok(_) => Err(IntroductionError::NotWhole),
            Err(malformed) => Err(IntroductionError::Malformed(malformed)),
        }
    }
}

/// Two ends that a header can name together.
enum Pair<'a> {
    Inet(SocketAddr, SocketAddr),
    Unix(&'a [u8], &'a [u8]),
}

impl<'a> Pair<'a> {
    fn of(
        source: Option<&'a End>,
        destination: Option<&'a End>,
        own: Option<(SocketAddr, SocketAddr)>,
    ) -> Result<Self, IntroductionError> {
        match (source, destination) {
            (Some(End::Unix(source)), Some(End::Unix(destination))) => Ok(Self::Unix(source, destination)),
            (Some(End::Unix(_)), _) | (_, Some(End::Unix(_))) => Err(IntroductionError::OneUnix),
            (source, destination) => Ok(Self::Inet(
                inet(source, own.map(|(local, _)| local))
                    .ok_or(IntroductionError::NoAddress { side: "source" })?,
                inet(destination, own.map(|(_, peer)| peer))
                    .ok_or(IntroductionError::NoAddress { side: "destination" })?,
            )),
        }
    }

    fn put_into(&self, builder: Builder<'a>) -> Result<Builder<'a>, IntroductionError> {
        match self {
            Self::Inet(source, destination) => Ok(builder.proxy(*source, *destination)),
            Self::Unix(source, destination) => {
                let path = |bytes| UnixPath::new(bytes).ok_or(IntroductionError::UnixPath);
                Ok(builder
                    .addresses(Addresses::Unix { source: path(source)?, destination: path(destination)? }))
            }
        }
    }
}

/// What is given, filled up with what the socket has; a port that nobody knows is 0.
fn inet(given: Option<&End>, own: Option<SocketAddr>) -> Option<SocketAddr> {
    match given {
        Some(End::Inet(ip, port)) => {
            Some(SocketAddr::new(*ip, port.unwrap_or_else(|| own.map_or(0, |own| own.port()))))
        }
        Some(End::Unix(_)) => None,
        None => own,
    }
}

/// Why a header cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntroductionError {
    /// An address is neither given nor known.
    #[error("expected a {side} address")]
    NoAddress {
        /// Whose.
        side: &'static str,
    },
    /// A unix socket on one side, and an address on the other or nothing.
    #[error("expected a unix path on both sides or on neither")]
    OneUnix,
    /// A unix path that the format has no room for, or that would be read back as another.
    #[error("expected a unix path of at most {} bytes without NUL", UnixPath::MAX_LEN)]
    UnixPath,
    /// The format cannot say it.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A TLV's value is none that its kind allows.
    #[error("the header would be malformed")]
    Malformed(#[source] Malformed),
    /// The header would be read as a shorter or longer one.
    #[error("the header would not be read back whole")]
    NotWhole,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(source: &str, destination: &str) -> SpeaksFor {
        let end = |text: &str| (!text.is_empty()).then(|| text.parse().expect(text));
        SpeaksFor::Client { source: end(source), destination: end(destination) }
    }

    fn v1(speaks_for: SpeaksFor) -> Introduction {
        Introduction { version: Version::One, speaks_for, datagram: false, tlvs: Vec::new(), checksum: false }
    }

    fn line(speaks_for: SpeaksFor) -> String {
        let own = Some(("127.0.0.1:4000".parse().expect("ours"), "127.0.0.1:443".parse().expect("theirs")));
        String::from_utf8(v1(speaks_for).encode(own).expect("a header")).expect("text")
    }

    #[test]
    fn what_is_not_given_is_the_sockets_own() {
        assert_eq!(line(client("", "")), "PROXY TCP4 127.0.0.1 127.0.0.1 4000 443\r\n");
        assert_eq!(line(client("203.0.113.7", "")), "PROXY TCP4 203.0.113.7 127.0.0.1 4000 443\r\n");
        assert_eq!(line(client("203.0.113.7:9", "192.0.2.1:8")), "PROXY TCP4 203.0.113.7 192.0.2.1 9 8\r\n");
        assert_eq!(line(SpeaksFor::Unknown), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn a_missing_address_is_named() {
        let missing = v1(client("192.0.2.1", "")).encode(None);
        assert_eq!(missing, Err(IntroductionError::NoAddress { side: "destination" }));
    }

    #[test]
    fn a_unix_path_needs_v2_and_another_unix_path() {
        let unix = client("unix:/a", "unix:/b");
        assert_eq!(v1(unix.clone()).encode(None), Err(IntroductionError::Build(BuildError::NotInVersionOne)));
        let v2 = Introduction { version: Version::Two, ..v1(unix) };
        assert_eq!(v2.encode(None).map(|bytes| bytes.len()), Ok(232));
        assert_eq!(v1(client("unix:/a", "192.0.2.1")).encode(None), Err(IntroductionError::OneUnix));
    }

    #[test]
    fn local_is_sent_in_its_shortest_form() {
        let local = Introduction { version: Version::Two, ..v1(SpeaksFor::Itself) };
        assert_eq!(local.encode(None).expect("a header"), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    #[test]
    fn a_malformed_header_is_never_made_by_accident() {
        let twice = vec![(2, b"a".to_vec()), (2, b"b".to_vec())];
        let header =
            Introduction { version: Version::Two, tlvs: twice, ..v1(client("192.0.2.1", "192.0.2.2")) };
        assert!(matches!(header.encode(None), Err(IntroductionError::Malformed(_))));
    }
}
