//! PROXY headers written by hand: a mistake in foreword's own codec must not hide itself here.

use std::net::SocketAddr;

/// The client that the headers of these tests speak of. Nobody on this machine has its address.
pub(crate) const CLIENT: &str = "203.0.113.7";
pub(crate) const CLIENT_PORT: u16 = 50001;

/// A client of IPv6.
pub(crate) const CLIENT6: &str = "2001:db8::7";

/// A v1 line for a client that called `destination`.
pub(crate) fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// A v2 header with PROXY over a stream, and the TLVs given.
pub(crate) fn v2(source: SocketAddr, destination: SocketAddr, tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    let family = match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            block.extend(source.ip().octets());
            block.extend(destination.ip().octets());
            0x11
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            block.extend(source.ip().octets());
            block.extend(destination.ip().octets());
            0x21
        }
        _ => panic!("expected one family, found {source} and {destination}"),
    };
    block.extend(source.port().to_be_bytes());
    block.extend(destination.port().to_be_bytes());
    for (kind, value) in tlvs {
        block.push(*kind);
        block.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
        block.extend(*value);
    }
    let mut header = SIGNATURE.to_vec();
    header.extend([0x21, family]);
    header.extend(u16::try_from(block.len()).expect("a short block").to_be_bytes());
    header.extend(block);
    header
}

/// The client `203.0.113.7:50001` in front of `198.51.100.20:443`.
pub(crate) fn client_v1() -> Vec<u8> {
    v1(client(), destination())
}

/// The same client as `client_v1`, in the binary format.
pub(crate) fn client_v2() -> Vec<u8> {
    v2(client(), destination(), &[])
}

pub(crate) fn client() -> SocketAddr {
    SocketAddr::new(CLIENT.parse().expect("an address"), CLIENT_PORT)
}

pub(crate) fn client6() -> SocketAddr {
    SocketAddr::new(CLIENT6.parse().expect("an address"), CLIENT_PORT)
}

pub(crate) fn destination() -> SocketAddr {
    SocketAddr::new("198.51.100.20".parse().expect("an address"), 443)
}

pub(crate) fn destination6() -> SocketAddr {
    SocketAddr::new("2001:db8::20".parse().expect("an address"), 443)
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
