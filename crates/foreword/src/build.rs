//! Building headers: what a sender may say, and no more (R-SEND).

mod ssl;

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::address::{Addresses, Command, Transport, Version, block_len, inet6};
use crate::checksum;
use crate::error::BuildError;
use crate::header::{Header, MAX_LEN};
use crate::tlv::{Authority, Tlv, UNIQUE_ID_MAX_LEN, kind};
use crate::writer::Writer;
use crate::{v1, v2};

pub use ssl::{ClientCertificate, SslStatement};

/// Builds a header: canonical, checked, its checksum made last. It says UNKNOWN until it is told more.
///
/// ```
/// use foreword::{Builder, Header, Parse, Tlv};
///
/// let bytes = Builder::v2()
///     .proxy("192.0.2.10:56324".parse().unwrap(), "198.51.100.20:443".parse().unwrap())
///     .tlv(Tlv::UniqueId(b"a1b2"))
///     .checksum(true)
///     .build()?;
/// assert!(matches!(Header::parse(&bytes), Ok(Parse::Complete { len: 42, .. })));
///
/// let line = Builder::v1().proxy("[::1]:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()).build()?;
/// assert_eq!(line, b"PROXY TCP6 ::1 ::ffff:7f00:1 1 2\r\n");
/// # Ok::<(), foreword::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Builder<'a> {
    version: Version,
    command: Command,
    transport: Transport,
    addresses: Addresses<'a>,
    tlvs: Vec<u8>,
    has_checksum: bool,
    add_checksum: bool,
    refuse_unknown: bool,
    max_len: usize,
    /// The first thing that went wrong; said by [`Builder::build`].
    error: Option<BuildError>,
}

impl<'a> Builder<'a> {
    /// The longest header that is built unless [`Builder::max_len`] says otherwise: receivers with larger limits are
    /// few (R-SEND-12).
    pub const DEFAULT_MAX_LEN: usize = 4096;

    /// Begins a text header.
    #[must_use]
    pub const fn v1() -> Self {
        Self::new(Version::One)
    }

    /// Begins a binary header.
    #[must_use]
    pub const fn v2() -> Self {
        Self::new(Version::Two)
    }

    /// Begins a header of this version.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self {
            version,
            command: Command::Proxy,
            transport: Transport::Stream,
            addresses: Addresses::Unspecified,
            tlvs: Vec::new(),
            has_checksum: false,
            add_checksum: false,
            refuse_unknown: false,
            max_len: Self::DEFAULT_MAX_LEN,
            error: None,
        }
    }

    /// For a connection of the sender's own: LOCAL (R-SEND-08). v1 says `UNKNOWN`.
    #[must_use]
    pub const fn local(mut self) -> Self {
        self.command = Command::Local;
        self.addresses = Addresses::Unspecified;
        self
    }

    /// For a client whose address is not known or cannot be said.
    #[must_use]
    pub const fn unknown(mut self) -> Self {
        self.command = Command::Proxy;
        self.addresses = Addresses::Unspecified;
        self
    }

    /// For a client. Two mapped addresses go out as IPv4; of two families, the IPv4 side goes out mapped (R-SEND-06).
    #[must_use]
    pub const fn proxy(self, source: SocketAddr, destination: SocketAddr) -> Self {
        self.addresses(pair(source, destination))
    }

    /// For a client, with the addresses exactly as given.
    #[must_use]
    pub const fn addresses(mut self, addresses: Addresses<'a>) -> Self {
        self.command = Command::Proxy;
        self.addresses = addresses;
        self
    }

    /// How the client came; as a stream, unless said otherwise.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Says again what another header says of command, addresses and transport (R-SEND-09). Its TLVs stay behind: what
    /// may go on is chosen one by one (R-SEND-11).
    #[must_use]
    pub const fn header(mut self, header: &Header<'a>) -> Self {
        self.command = header.command;
        self.addresses = header.addresses;
        self.transport = header.transport;
        self
    }

    /// Adds a TLV of a known kind, or one of the kinds left to applications (R-SEND-15). The value of a
    /// [`Tlv::Checksum`] is not used: it marks where the checksum goes.
    #[must_use]
    pub fn tlv(self, tlv: Tlv<'_>) -> Self {
        match tlv {
            Tlv::Checksum(_) => self.raw_tlv(kind::CHECKSUM, &[0; checksum::LEN]),
            Tlv::Authority(authority) if authority.as_bytes().len() > Authority::MAX_LEN => {
                let len = authority.as_bytes().len();
                self.fail(BuildError::ValueTooLong { kind: kind::AUTHORITY, len, max: Authority::MAX_LEN })
            }
            Tlv::Authority(authority) if authority.as_str().is_err() => {
                self.fail(BuildError::AuthorityNotText)
            }
            Tlv::Authority(authority) => self.raw_tlv(kind::AUTHORITY, authority.as_bytes()),
            Tlv::Ssl(ssl) => self.raw_tlv(kind::SSL, ssl.as_bytes()),
            Tlv::Alpn(value) | Tlv::Noop(value) | Tlv::UniqueId(value) | Tlv::NetNs(value) => {
                self.raw_tlv(tlv.kind(), value)
            }
            Tlv::Other { kind: kind @ 0xe0..=0xef, value } => self.raw_tlv(kind, value),
            Tlv::Other { kind, .. } => self.fail(BuildError::UnassignedKind { kind }),
        }
    }

    /// Adds a TLV of any kind, as it is: for those who know its number and answer for its value. A checksum's value is
    /// not used.
    #[must_use]
    pub fn raw_tlv(mut self, kind: u8, value: &[u8]) -> Self {
        let max = match kind {
            kind::UNIQUE_ID => UNIQUE_ID_MAX_LEN,
            kind::CHECKSUM => checksum::LEN,
            _ => usize::from(u16::MAX),
        };
        if kind == kind::CHECKSUM && self.has_checksum {
            return self.fail(BuildError::SecondChecksum);
        }
        let (Ok(len), true) = (u16::try_from(value.len()), value.len() <= max) else {
            return self.fail(BuildError::ValueTooLong { kind, len: value.len(), max });
        };
        self.tlvs.push(kind);
        if kind == kind::CHECKSUM {
            self.has_checksum = true;
            self.tlvs.extend_from_slice(&[0, checksum::LEN as u8, 0, 0, 0, 0]);
        } else {
            self.tlvs.extend_from_slice(&len.to_be_bytes());
            self.tlvs.extend_from_slice(value);
        }
        self
    }

    /// Says what the sender knows of the client's TLS (R-SEND-14).
    #[must_use]
    pub fn ssl(self, statement: &SslStatement<'_>) -> Self {
        self.raw_tlv(kind::SSL, &statement.encode())
    }

    /// Whether a checksum goes at the end, unless it has a place already.
    #[must_use]
    pub const fn checksum(mut self, on: bool) -> Self {
        self.add_checksum = on;
        self
    }

    /// Fails where v1 would say `UNKNOWN` because it cannot say more (R-SEND-05).
    #[must_use]
    pub const fn refuse_unknown(mut self) -> Self {
        self.refuse_unknown = true;
        self
    }

    /// How long the header may be; [`Builder::DEFAULT_MAX_LEN`] unless said otherwise.
    #[must_use]
    pub const fn max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// How long the header will be, the checksum that was asked for included: for those who keep within a limit. A line
    /// is as long as the longest can be.
    ///
    /// ```
    /// use foreword::{Builder, Tlv};
    ///
    /// let builder = Builder::v2().checksum(true).tlv(Tlv::UniqueId(b"a1b2"));
    /// assert_eq!(builder.encoded_len(), builder.build()?.len());
    /// # Ok::<(), foreword::BuildError>(())
    /// ```
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self.version {
            Version::One => v1::MAX_LEN,
            Version::Two => {
                let checksum = if self.add_checksum && !self.has_checksum { Self::CHECKSUM_LEN } else { 0 };
                v2::FIXED_LEN + block_len(self.said().family()) + self.tlvs.len() + checksum
            }
        }
    }

    /// A checksum's kind, length and value.
    const CHECKSUM_LEN: usize = 3 + checksum::LEN;

    /// The addresses that go out: none under LOCAL, and none of an unspecified transport.
    const fn said(&self) -> &Addresses<'a> {
        match (self.command, self.transport) {
            (Command::Local, _) | (_, Transport::Unspecified) => &Addresses::Unspecified,
            (Command::Proxy, _) => &self.addresses,
        }
    }

    /// Builds the header.
    ///
    /// # Errors
    ///
    /// When it was told something that it may not say.
    pub fn build(self) -> Result<Vec<u8>, BuildError> {
        let mut header = Vec::new();
        self.write_to(&mut header)?;
        Ok(header)
    }

    /// Builds the header behind what `out` holds, and says how long it is.
    ///
    /// # Errors
    ///
    /// When it was told something that it may not say; `out` is as it was then.
    pub fn write_to(mut self, out: &mut Vec<u8>) -> Result<usize, BuildError> {
        if let (true, false, Version::Two) = (self.add_checksum, self.has_checksum, self.version) {
            self = self.tlv(Tlv::Checksum(0));
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.version {
            Version::One => self.write_line(out),
            Version::Two => self.write_binary(out),
        }
    }

    fn write_line(&self, out: &mut Vec<u8>) -> Result<usize, BuildError> {
        if !self.tlvs.is_empty() || self.add_checksum {
            return Err(BuildError::TlvsInVersionOne);
        }
        if self.refuse_unknown && !v1::can_say(&self.addresses, self.transport) {
            return Err(BuildError::NotInVersionOne);
        }
        let mut line = [0; v1::MAX_LEN];
        let mut writer = Writer::new(&mut line);
        v1::encode(&self.addresses, self.transport, &mut writer)?;
        out.extend_from_slice(writer.written());
        Ok(writer.at())
    }

    fn write_binary(&self, out: &mut Vec<u8>) -> Result<usize, BuildError> {
        let len = self.encoded_len();
        let max = self.max_len.min(MAX_LEN);
        if len > max {
            return Err(BuildError::TooLong { len, max });
        }
        let start = out.len();
        out.resize(start + len, 0);
        let mut writer = Writer::new(out.get_mut(start..).unwrap_or_default());
        let encoded = v2::encode(self.command, &self.addresses, self.transport, &self.tlvs, &mut writer);
        let written = writer.at();
        out.truncate(start + if encoded.is_ok() { written } else { 0 });
        encoded.map(|()| written)
    }

    fn fail(mut self, error: BuildError) -> Self {
        self.error.get_or_insert(error);
        self
    }
}

/// The addresses of a connection in the one family that holds both (R-SEND-06).
const fn pair(source: SocketAddr, destination: SocketAddr) -> Addresses<'static> {
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Addresses::Inet {
            source: core::net::SocketAddrV4::new(from, source.port()),
            destination: core::net::SocketAddrV4::new(to, destination.port()),
        },
        (from, to) => Addresses::Inet6 {
            source: inet6(mapped(from), source.port()),
            destination: inet6(mapped(to), destination.port()),
        },
    }
}

const fn mapped(ip: IpAddr) -> core::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;
    use crate::header::Parse;
    use crate::{Family, HeaderBuf};

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn mixed_families_go_out_as_ipv6_and_two_mapped_addresses_as_ipv4() {
        for (source, destination, family) in [
            ("192.0.2.1:1", "198.51.100.1:2", Family::Inet),
            ("[::ffff:192.0.2.1]:1", "[::ffff:198.51.100.1]:2", Family::Inet),
            ("192.0.2.1:1", "[2001:db8::1]:2", Family::Inet6),
            ("[2001:db8::1]:2", "[::ffff:192.0.2.1]:1", Family::Inet6),
        ] {
            let bytes = Builder::v2().proxy(socket(source), socket(destination)).build().unwrap();
            assert_eq!(
                HeaderBuf::from_bytes(&bytes).unwrap().header().family(),
                family,
                "{source} {destination}"
            );
        }
    }

    #[test]
    fn version_one_says_unknown_for_what_it_cannot_say_unless_told_to_refuse() {
        let source = socket("192.0.2.1:1");
        let datagram = Builder::v1().proxy(source, source).transport(Transport::Datagram);
        assert_eq!(datagram.clone().build().unwrap(), b"PROXY UNKNOWN\r\n");
        assert_eq!(datagram.refuse_unknown().build(), Err(BuildError::NotInVersionOne));
        assert_eq!(Builder::v1().local().build().unwrap(), b"PROXY UNKNOWN\r\n");
        assert_eq!(Builder::v1().tlv(Tlv::Noop(b"")).build(), Err(BuildError::TlvsInVersionOne));
    }

    #[test]
    fn unassigned_kinds_go_out_only_by_number() {
        let other = Tlv::Other { kind: 0x77, value: b"x" };
        assert_eq!(Builder::v2().tlv(other).build(), Err(BuildError::UnassignedKind { kind: 0x77 }));
        assert!(Builder::v2().raw_tlv(0x77, b"x").build().is_ok());
        assert!(Builder::v2().tlv(Tlv::Other { kind: 0xea, value: b"x" }).build().is_ok());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let id = [b'u'; 129];
        let refused = BuildError::ValueTooLong { kind: kind::UNIQUE_ID, len: 129, max: 128 };
        assert_eq!(Builder::v2().tlv(Tlv::UniqueId(&id)).build(), Err(refused));
        let name = [b'a'; 256];
        let authority = Builder::v2().tlv(Tlv::Authority(Authority::new(&name))).build();
        assert!(matches!(authority, Err(BuildError::ValueTooLong { kind: kind::AUTHORITY, .. })));
        let large = Builder::v2().raw_tlv(0xe0, &[0; 5000]);
        assert_eq!(large.clone().build(), Err(BuildError::TooLong { len: 5019, max: 4096 }));
        assert!(large.max_len(MAX_LEN).build().is_ok());
        assert!(matches!(
            Builder::v2().raw_tlv(0xe0, &[0; 70_000]).build(),
            Err(BuildError::ValueTooLong { .. })
        ));
    }

    #[test]
    fn the_checksum_stands_where_it_was_put_and_is_made_last() {
        let bytes =
            Builder::v2().tlv(Tlv::Checksum(7)).tlv(Tlv::UniqueId(b"1")).checksum(true).build().unwrap();
        let header = HeaderBuf::from_bytes(&bytes).unwrap();
        assert!(matches!(header.tlvs().next(), Some(Tlv::Checksum(_))));
        assert_eq!(header.tlvs().count(), 2);
        let twice = Builder::v2().tlv(Tlv::Checksum(0)).tlv(Tlv::Checksum(0)).build();
        assert_eq!(twice, Err(BuildError::SecondChecksum));
    }

    #[test]
    fn a_client_without_a_certificate_is_never_stated_as_verified() {
        for (certificate, verified) in [
            (ClientCertificate::None, false),
            (ClientCertificate::Failed { verify: NonZeroU32::MIN }, false),
            (ClientCertificate::Verified { cn: None, resumed: true }, true),
        ] {
            let bytes = Builder::v2().ssl(&SslStatement::new("TLSv1.2", certificate)).build().unwrap();
            let Ok(Parse::Complete { header, .. }) = Header::parse(&bytes) else { panic!("whole and sound") };
            let ssl = header.tlvs.ssl().unwrap();
            assert_eq!((ssl.client_verified(), ssl.version()), (verified, Some(Ok("TLSv1.2"))));
        }
    }

    #[test]
    fn what_is_said_again_of_a_header_leaves_its_tlvs_behind() {
        let source = socket("192.0.2.1:1");
        let inbound =
            Builder::v2().proxy(source, source).tlv(Tlv::UniqueId(b"1")).checksum(true).build().unwrap();
        let inbound = HeaderBuf::from_bytes(&inbound).unwrap();
        let relayed = Builder::v2().header(&inbound.header()).build().unwrap();
        assert_eq!(relayed, Builder::v2().proxy(source, source).build().unwrap());

        let local = HeaderBuf::from_bytes(&Builder::v2().local().build().unwrap()).unwrap();
        assert_eq!(Builder::v1().header(&local.header()).build().unwrap(), b"PROXY UNKNOWN\r\n");
        assert_eq!(Builder::v2().header(&local.header()).build().unwrap(), local.as_bytes());
    }

    #[test]
    fn how_long_it_will_be_is_known_beforehand() {
        let unix =
            Addresses::Unix { source: crate::UnixPath::default(), destination: crate::UnixPath::default() };
        let source = socket("192.0.2.1:1");
        for builder in [
            Builder::v2().local(),
            Builder::v2().proxy(source, source).local(),
            Builder::v2().proxy(source, source).transport(Transport::Unspecified),
            Builder::v2().proxy(source, socket("[2001:db8::1]:2")).tlv(Tlv::UniqueId(b"1")),
            Builder::v2().addresses(unix).checksum(true),
            Builder::v2().tlv(Tlv::Checksum(0)).checksum(true),
        ] {
            let mut out = Vec::from(*b"before");
            let len = builder.encoded_len();
            assert_eq!(builder.write_to(&mut out), Ok(len));
            assert_eq!(out.len(), 6 + len);
            assert!(HeaderBuf::from_bytes(&out[6..]).is_ok());
        }
    }

    #[test]
    fn an_address_block_is_never_written_under_local() {
        let source = socket("192.0.2.1:1");
        let bytes = Builder::v2().proxy(source, source).local().build().unwrap();
        assert_eq!(bytes, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }
}
