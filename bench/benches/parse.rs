//! From the bytes of a header, payload behind it, to the address of the client: by foreword and by others.

use std::net::SocketAddr;

use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const HEADERS: [(&str, &[u8]); 5] = [
    ("v1 TCP4", b"PROXY TCP4 203.0.113.117 198.51.100.20 56324 443\r\nGET / HTTP/1.1\r\n"),
    ("v1 TCP6", b"PROXY TCP6 2001:db8:85a3::8a2e:370:7334 2001:db8::20 56324 443\r\nGET / HTTP/1.1\r\n"),
    (
        "v2 INET",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x14\xdc\x04\x01\xbbGET / HTTP/1.1\r\n",
    ),
    (
        "v2 INET, TLVs",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x36\xcb\0\x71\x07\xc6\x33\x64\x14\xdc\x04\x01\xbb\
          \x02\0\x0fwww.example.com\x05\0\x08a1b2c3d4\xea\0\x0a\x01vpce-08d2GET / HTTP/1.1\r\n",
    ),
    ("v2 LOCAL", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\n"),
];

fn names() -> impl Iterator<Item = &'static str> {
    HEADERS.iter().map(|(name, _)| *name)
}

fn header(name: &str) -> &'static [u8] {
    HEADERS.iter().find(|(known, _)| *known == name).expect("a name from the list").1
}

#[divan::bench(args = names())]
fn foreword(bencher: Bencher<'_, '_>, name: &str) {
    let input = header(name);
    let source = |input| match foreword::Header::parse(input) {
        Ok(foreword::Parse::Complete { header, .. }) => header.source(),
        other => panic!("{other:?}"),
    };
    bencher.bench(|| source(black_box(input)));
}

#[divan::bench(args = names())]
fn proxy_header(bencher: Bencher<'_, '_>, name: &str) {
    let input = header(name);
    let config = proxy_header::ParseConfig::default();
    let source = |input| match proxy_header::ProxyHeader::parse(input, config) {
        Ok((header, _)) => header.proxied_address().map(|address| address.source),
        other => panic!("{other:?}"),
    };
    bencher.bench(|| source(black_box(input)));
}

#[divan::bench(args = names())]
fn ppp(bencher: Bencher<'_, '_>, name: &str) {
    use ppp::{HeaderResult, v1, v2};
    let input = header(name);
    let source = |input| match HeaderResult::parse(input) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(v4) => Some(SocketAddr::from((v4.source_address, v4.source_port))),
            v1::Addresses::Tcp6(v6) => Some(SocketAddr::from((v6.source_address, v6.source_port))),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(header)) => match header.addresses {
            v2::Addresses::IPv4(v4) => Some(SocketAddr::from((v4.source_address, v4.source_port))),
            v2::Addresses::IPv6(v6) => Some(SocketAddr::from((v6.source_address, v6.source_port))),
            v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
        },
        other => panic!("{other:?}"),
    };
    bencher.bench(|| source(black_box(input)));
}

#[divan::bench(args = names())]
fn proxy_protocol(bencher: Bencher<'_, '_>, name: &str) {
    use proxy_protocol::{ProxyHeader, parse, version1, version2};
    let input = header(name);
    let source = |mut input: &[u8]| match parse(&mut input) {
        Ok(ProxyHeader::Version1 { addresses }) => match addresses {
            version1::ProxyAddresses::Ipv4 { source, .. } => Some(SocketAddr::V4(source)),
            version1::ProxyAddresses::Ipv6 { source, .. } => Some(SocketAddr::V6(source)),
            version1::ProxyAddresses::Unknown => None,
        },
        Ok(ProxyHeader::Version2 { addresses, .. }) => match addresses {
            version2::ProxyAddresses::Ipv4 { source, .. } => Some(SocketAddr::V4(source)),
            version2::ProxyAddresses::Ipv6 { source, .. } => Some(SocketAddr::V6(source)),
            _ => None,
        },
        other => panic!("{other:?}"),
    };
    bencher.bench(|| source(black_box(input)));
}
