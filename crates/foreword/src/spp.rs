//! The Simple Proxy Protocol for datagrams: 38 bytes in front of each payload (R-UDP-08).

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::error::{Fault, Field, Malformed};
use crate::reader::Reader;

/// How long the header is, always.
pub const LEN: usize = 38;

const MAGIC: [u8; 2] = [0x56, 0xec];

/// A Simple Proxy Protocol header. IPv4 addresses travel mapped, and are shown as IPv4.
///
/// ```
/// use foreword::spp::Spp;
///
/// let spp = Spp { client: "192.0.2.10:5353".parse().unwrap(), proxy: "[2001:db8::20]:53".parse().unwrap() };
/// let mut datagram = spp.encode().to_vec();
/// datagram.extend_from_slice(b"payload");
/// let (parsed, len) = Spp::parse(&datagram)?;
/// assert_eq!(parsed, spp);
/// assert_eq!(&datagram[len..], b"payload");
/// # Ok::<(), foreword::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spp {
    /// Who sent the payload.
    pub client: SocketAddr,
    /// The address of the proxy that it was sent to.
    pub proxy: SocketAddr,
}

impl Spp {
    /// Parses the header that `datagram` begins with, and says how long it is; the payload follows.
    ///
    /// # Errors
    ///
    /// When the datagram is shorter than the header or begins otherwise.
    pub fn parse(datagram: &[u8]) -> Result<(Self, usize), Malformed> {
        for (at, (&found, expected)) in datagram.iter().zip(MAGIC).enumerate() {
            if found != expected {
                let fault = Fault::Byte { expected: "the simple proxy protocol's `V` 0xec", found };
                return Err(Malformed::new(at, fault, "R-UDP-08"));
            }
        }
        let mut reader = Reader::new(datagram, 0);
        let [_, _, rest @ ..] = reader.array::<LEN>(Field::Spp)?;
        let mut fields = Reader::new(&rest, MAGIC.len());
        let client: [u8; 16] = fields.array(Field::Spp)?;
        let proxy: [u8; 16] = fields.array(Field::Spp)?;
        let [cp, cq, pp, pq] = fields.array(Field::Spp)?;
        let spp = Self {
            client: address(client, u16::from_be_bytes([cp, cq])),
            proxy: address(proxy, u16::from_be_bytes([pp, pq])),
        };
        Ok((spp, LEN))
    }

    /// Encodes the header.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let mut header = [0; LEN];
        let client = mapped(self.client.ip());
        let proxy = mapped(self.proxy.ip());
        let ports = [self.client.port().to_be_bytes(), self.proxy.port().to_be_bytes()];
        let bytes = MAGIC.iter().chain(&client).chain(&proxy).chain(ports.as_flattened());
        for (to, from) in header.iter_mut().zip(bytes) {
            *to = *from;
        }
        header
    }
}

fn address(octets: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), port)
}

const fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_magic_is_refused_at_its_first_wrong_byte() {
        assert_eq!(Spp::parse(b"\x56\xed").unwrap_err().offset(), 1);
        assert_eq!(Spp::parse(b"\xec\x56").unwrap_err().offset(), 0);
    }

    #[test]
    fn a_cut_datagram_is_refused() {
        let spp = Spp { client: ([192, 0, 2, 1], 1).into(), proxy: ([192, 0, 2, 2], 2).into() };
        let whole = spp.encode();
        assert_eq!(Spp::parse(&whole), Ok((spp, LEN)));
        for len in 0..LEN {
            assert!(Spp::parse(&whole[..len]).is_err());
        }
    }
}
