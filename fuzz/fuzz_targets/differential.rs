//! Where foreword and another crate both find a header that names a client, they find the same client and the same payload.

#![no_main]

use std::net::SocketAddr;

use foreword::{Command, Header, Parse, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(Parse::Complete { header, len }) = Header::parse(data) else { return };
    // The others take addresses from LOCAL (§2.2 forbids it) or leave them out: there is nothing to compare.
    let (Some(source), Some(destination), Command::Proxy) =
        (header.source(), header.destination(), header.command)
    else {
        return;
    };
    let ours = (source, destination, len);
    if let Some(theirs) = proxy_header(data) {
        assert_eq!(ours, theirs, "proxy-header");
    }
    if let Some(theirs) = ppp(data, header.version) {
        assert_eq!(ours, theirs, "ppp");
    }
});

fn proxy_header(data: &[u8]) -> Option<(SocketAddr, SocketAddr, usize)> {
    let (header, len) = proxy_header::ProxyHeader::parse(data, proxy_header::ParseConfig::default()).ok()?;
    let address = header.proxied_address()?;
    Some((address.source, address.destination, len))
}

fn ppp(data: &[u8], version: Version) -> Option<(SocketAddr, SocketAddr, usize)> {
    match version {
        Version::One => {
            let header = ppp::v1::Header::try_from(data).ok()?;
            let len = header.header.len();
            match header.addresses {
                ppp::v1::Addresses::Tcp4(v4) => Some((
                    (v4.source_address, v4.source_port).into(),
                    (v4.destination_address, v4.destination_port).into(),
                    len,
                )),
                ppp::v1::Addresses::Tcp6(v6) => Some((
                    (v6.source_address, v6.source_port).into(),
                    (v6.destination_address, v6.destination_port).into(),
                    len,
                )),
                ppp::v1::Addresses::Unknown => None,
            }
        }
        Version::Two => {
            let header = ppp::v2::Header::try_from(data).ok()?;
            let len = header.len();
            match header.addresses {
                ppp::v2::Addresses::IPv4(v4) => Some((
                    (v4.source_address, v4.source_port).into(),
                    (v4.destination_address, v4.destination_port).into(),
                    len,
                )),
                ppp::v2::Addresses::IPv6(v6) => Some((
                    (v6.source_address, v6.source_port).into(),
                    (v6.destination_address, v6.destination_port).into(),
                    len,
                )),
                ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_) => None,
            }
        }
    }
}
