//! From the bytes of a header to what a server wants of it, by foreword and by others.
//!
//! The same is asked of all: both addresses, the length of the header, a walk over its TLVs, the client's version of TLS,
//! and that a checksum is right. What a crate does not do of this is done with what it offers, as whoever uses it would.
//! What one does besides is its own affair: foreword refuses whatever the specification forbids. What is parsed is looked at
//! where it lies; to move it elsewhere would be a good part of the work.

use std::net::SocketAddr;

/// What was found in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The client, if it has an IP address.
    pub source: Option<SocketAddr>,
    /// Whom it called.
    pub destination: Option<SocketAddr>,
    /// How long the header is.
    pub len: usize,
    /// How many bytes its TLVs' values have. Not compared: some crates give them as other types.
    pub bytes: usize,
}

/// Reads a header; `None` if the crate takes it for none.
pub type Subject = fn(&[u8]) -> Option<Seen>;

/// The crates, ours first.
pub const SUBJECTS: [(&str, Subject); 5] = [
    ("foreword", foreword),
    ("ppp", ppp),
    ("proxy-header", proxy_header),
    ("proxy-protocol", proxy_protocol),
    ("proxy-protocol-rs", proxy_protocol_rs),
];

/// Reads `inputs` so many times over. It stays a function of its own, whose beginning and end a profiler sees.
#[inline(never)]
pub fn measured(subject: Subject, inputs: &[&[u8]], rounds: u32) {
    use std::hint::black_box;
    for _ in 0..rounds {
        for input in inputs {
            black_box(subject(black_box(input)));
        }
    }
}

fn foreword(input: &[u8]) -> Option<Seen> {
    use foreword::{Header, Parse, Tlv};
    let parsed = Header::parse(input);
    let Ok(Parse::Complete { header, len }) = &parsed else { return None };
    let mut bytes = 0;
    for tlv in header.tlvs {
        bytes += match tlv {
            Tlv::Alpn(value) | Tlv::Noop(value) | Tlv::UniqueId(value) | Tlv::NetNs(value) => value.len(),
            Tlv::Authority(name) => name.as_bytes().len(),
            Tlv::Checksum(_) => 4,
            Tlv::Ssl(ssl) => ssl.version().and_then(Result::ok).map_or(0, str::len),
            Tlv::Other { value, .. } => value.len(),
            _ => 0,
        };
    }
    Some(Seen { source: header.source(), destination: header.destination(), len: *len, bytes })
}

/// Its TLVs are kinds and bytes: what they mean is left to its user.
fn ppp(input: &[u8]) -> Option<Seen> {
    use ppp::{HeaderResult, v1, v2};
    let v4 = |ip, port| Some(SocketAddr::from((ip, port)));
    let v6 = |ip, port| Some(SocketAddr::from((ip, port)));
    match &HeaderResult::parse(input) {
        HeaderResult::V1(Ok(header)) => {
            let (source, destination) = match &header.addresses {
                v1::Addresses::Tcp4(ip) => {
                    (v4(ip.source_address, ip.source_port), v4(ip.destination_address, ip.destination_port))
                }
                v1::Addresses::Tcp6(ip) => {
                    (v6(ip.source_address, ip.source_port), v6(ip.destination_address, ip.destination_port))
                }
                v1::Addresses::Unknown => (None, None),
            };
            Some(Seen { source, destination, len: header.header.len(), bytes: 0 })
        }
        HeaderResult::V2(Ok(header)) => {
            let (source, destination) = match &header.addresses {
                // Under LOCAL the addresses mean nothing, §2.2: whoever asks for the client has to look.
                _ if header.command == v2::Command::Local => (None, None),
                v2::Addresses::IPv4(ip) => {
                    (v4(ip.source_address, ip.source_port), v4(ip.destination_address, ip.destination_port))
                }
                v2::Addresses::IPv6(ip) => {
                    (v6(ip.source_address, ip.source_port), v6(ip.destination_address, ip.destination_port))
                }
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => (None, None),
            };
            let mut bytes = 0;
            let mut at = header.len() - header.tlv_bytes().len();
            for tlv in header.tlvs() {
                let tlv = tlv.ok()?;
                at += 3 + tlv.value.len();
                bytes += match tlv.kind {
                    CRC32C => checksum_is_right(header.as_bytes(), at - 4).then_some(4)?,
                    SSL => version(v2::TypeLengthValues::from(tlv.value.get(SSL_FIXED..)?)),
                    _ => tlv.value.len(),
                };
            }
            Some(Seen { source, destination, len: header.len(), bytes })
        }
        _ => None,
    }
}

/// The length of the version of TLS among the TLVs inside SSL.
fn version(parts: ppp::v2::TypeLengthValues<'_>) -> usize {
    let parts = parts.filter_map(Result::ok);
    parts
        .filter(|part| part.kind == SSL_VERSION)
        .find_map(|part| std::str::from_utf8(&part.value).ok().map(str::len))
        .unwrap_or(0)
}

/// It reads a checksum and leaves it to its user to compare it. The paths of unix sockets it does not read.
fn proxy_header(input: &[u8]) -> Option<Seen> {
    use proxy_header::{ParseConfig, ProxyHeader, Tlv};
    let parsed = ProxyHeader::parse(input, ParseConfig::default());
    let &(ref header, len) = parsed.as_ref().ok()?;
    let mut bytes = 0;
    for tlv in header.tlvs() {
        bytes += match tlv.ok()? {
            Tlv::Alpn(value) | Tlv::UniqueId(value) | Tlv::Custom(_, value) => value.len(),
            Tlv::Authority(value) | Tlv::Netns(value) => value.len(),
            Tlv::Noop(len) => len,
            Tlv::Crc32c(sum) => {
                let header = input.get(..len)?;
                let [a, b, c, d] = sum.to_be_bytes();
                // It does not say where; in most headers it is the last one, so the search begins there.
                let at = header.windows(7).rposition(|tlv| tlv == [CRC32C, 0, 4, a, b, c, d])?;
                checksum_is_right(header, at + 3).then_some(4)?
            }
            Tlv::Ssl(ssl) => ssl.version().map_or(0, |version| version.len()),
            _ => 0,
        };
    }
    let address = header.proxied_address();
    Some(Seen {
        source: address.map(|address| address.source),
        destination: address.map(|address| address.destination),
        len,
        bytes,
    })
}

/// It reads no TLVs.
fn proxy_protocol(input: &[u8]) -> Option<Seen> {
    use proxy_protocol::{ProxyHeader, parse, version1, version2};
    let mut rest = input;
    // It panics where the input ends early, so it is given whole headers alone.
    let parsed = parse(&mut rest);
    let len = input.len() - rest.len();
    let (source, destination) = match parsed.as_ref().ok()? {
        ProxyHeader::Version1 { addresses } => match addresses {
            version1::ProxyAddresses::Ipv4 { source, destination } => {
                (Some(SocketAddr::V4(*source)), Some(SocketAddr::V4(*destination)))
            }
            version1::ProxyAddresses::Ipv6 { source, destination } => {
                (Some(SocketAddr::V6(*source)), Some(SocketAddr::V6(*destination)))
            }
            version1::ProxyAddresses::Unknown => (None, None),
        },
        ProxyHeader::Version2 { command: version2::ProxyCommand::Local, .. } => (None, None),
        ProxyHeader::Version2 { addresses, .. } => match addresses {
            version2::ProxyAddresses::Ipv4 { source, destination } => {
                (Some(SocketAddr::V4(*source)), Some(SocketAddr::V4(*destination)))
            }
            version2::ProxyAddresses::Ipv6 { source, destination } => {
                (Some(SocketAddr::V6(*source)), Some(SocketAddr::V6(*destination)))
            }
            _ => (None, None),
        },
        _ => return None,
    };
    Some(Seen { source, destination, len, bytes: 0 })
}

/// It checks the checksum, and copies all that it finds.
fn proxy_protocol_rs(input: &[u8]) -> Option<Seen> {
    let parsed = proxy_protocol_rs::parse(input);
    let &(ref info, len) = parsed.as_ref().ok()?;
    let tlvs = &info.tlvs;
    let ssl = tlvs.ssl.as_ref().and_then(|ssl| ssl.version.as_ref());
    let bytes = tlvs.alpn.as_ref().map_or(0, Vec::len)
        + tlvs.authority.as_ref().map_or(0, String::len)
        + tlvs.unique_id.as_ref().map_or(0, Vec::len)
        + tlvs.netns.as_ref().map_or(0, String::len)
        + ssl.map_or(0, String::len)
        + tlvs.raw.iter().map(|(_, value)| value.len()).sum::<usize>();
    Some(Seen { source: info.source_inet(), destination: info.destination_inet(), len, bytes })
}

/// Whether the checksum of a header, whose four bytes are at `at`, is right. The crate uses the processor's instruction.
fn checksum_is_right(header: &[u8], at: usize) -> bool {
    let (before, rest) = header.split_at(at);
    let (found, after) = rest.split_at(4);
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), after);
    found == sum.to_be_bytes()
}

const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
/// The flags and the result of verification.
const SSL_FIXED: usize = 5;
