//! What is built parses to what it was built from, whatever that was.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use foreword::build::{ClientCertificate, SslStatement};
use foreword::{Addresses, Builder, Header, HeaderBuf, MAX_LEN, Parse, Transport, UnixPath, kind};
use proptest::prelude::*;

fn complete(bytes: &[u8]) -> Header<'_> {
    match Header::parse(bytes) {
        Ok(Parse::Complete { header, len }) if len == bytes.len() => header,
        other => panic!("built as a header, parsed as {other:?}"),
    }
}

fn inet6() -> impl Strategy<Value = SocketAddrV6> {
    (any::<u128>(), any::<u8>(), any::<u16>()).prop_map(|(bits, mask, port)| {
        // Runs of zeros are what the text form is about.
        let mut octets = bits.to_be_bytes();
        for (pair, at) in octets.chunks_mut(2).zip(0..8) {
            pair.iter_mut().for_each(|octet| *octet *= mask >> at & 1);
        }
        SocketAddrV6::new(octets.into(), port, 0, 0)
    })
}

fn inet4() -> impl Strategy<Value = SocketAddrV4> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(octets, port)| SocketAddrV4::new(octets.into(), port))
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::collection::vec(1..=255u8, 0..=107);
    (any::<bool>(), name).prop_map(|(is_abstract, name)| {
        if is_abstract && !name.is_empty() { [&[0], &name[..]].concat() } else { name }
    })
}

fn tlvs() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let repeatable = prop_oneof![Just(kind::NOOP), 0x06..=0x1fu8, 0x31..=0xffu8];
    prop::collection::vec((repeatable, prop::collection::vec(any::<u8>(), 0..60)), 0..6)
}

fn assert_round_trip(addresses: Addresses<'_>, transport: Transport, tlvs: &[(u8, Vec<u8>)], checksum: bool) {
    let builder = Builder::v2().addresses(addresses).transport(transport).checksum(checksum);
    let builder = tlvs.iter().fold(builder, |builder, (kind, value)| builder.raw_tlv(*kind, value));
    let bytes = builder.build().expect("it may be said");
    let header = complete(&bytes);
    assert_eq!((header.addresses, header.transport), (addresses, transport));
    let found: Vec<_> = header.tlvs.raw().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect();
    let (sums, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(kind, _)| *kind == kind::CHECKSUM);
    assert_eq!((sums.len(), &others[..]), (usize::from(checksum), tlvs));

    let mut encoded = vec![0; MAX_LEN];
    let len = header.encode(&mut encoded).expect("there is room");
    assert_eq!(encoded[..len], bytes);
    assert_eq!(HeaderBuf::from_bytes(&bytes).expect("it is one header").header(), header);
    for end in 0..bytes.len() {
        assert!(
            matches!(Header::parse(&bytes[..end]), Ok(Parse::Incomplete { needed }) if end + needed.get() <= bytes.len())
        );
    }
}

proptest! {
    #[test]
    fn ipv4_comes_back(source in inet4(), destination in inet4(), tlvs in tlvs(), checksum: bool) {
        assert_round_trip(Addresses::Inet { source, destination }, Transport::Stream, &tlvs, checksum);
    }

    #[test]
    fn ipv6_comes_back(source in inet6(), destination in inet6(), tlvs in tlvs(), checksum: bool) {
        assert_round_trip(Addresses::Inet6 { source, destination }, Transport::Datagram, &tlvs, checksum);
    }

    #[test]
    fn unix_paths_come_back(source in path(), destination in path(), tlvs in tlvs(), checksum: bool) {
        let addresses = Addresses::Unix {
            source: UnixPath::new(&source).expect("made as one"),
            destination: UnixPath::new(&destination).expect("made as one"),
        };
        assert_round_trip(addresses, Transport::Stream, &tlvs, checksum);
    }

    #[test]
    fn lines_come_back(v4 in (inet4(), inet4()), v6 in (inet6(), inet6())) {
        let four = Addresses::Inet { source: v4.0, destination: v4.1 };
        let six = Addresses::Inet6 { source: v6.0, destination: v6.1 };
        for addresses in [four, six] {
            let line = Builder::v1().addresses(addresses).build().expect("v1 can say it");
            prop_assert!(line.len() <= 107);
            prop_assert_eq!(complete(&line).addresses, addresses);
            for end in 0..line.len() {
                let Ok(Parse::Incomplete { needed }) = Header::parse(&line[..end]) else {
                    panic!("{:?} cut at {end}", line.escape_ascii().to_string());
                };
                prop_assert!(end + needed.get() <= line.len());
            }
        }
    }

    #[test]
    fn two_families_come_back_as_the_same_addresses(source: SocketAddr, destination: SocketAddr) {
        let canonical = |socket: SocketAddr| SocketAddr::new(socket.ip().to_canonical(), socket.port());
        for builder in [Builder::v1(), Builder::v2()] {
            let bytes = builder.proxy(source, destination).build().expect("both versions can say it");
            let header = complete(&bytes);
            prop_assert_eq!(header.source().map(canonical), Some(canonical(source)));
            prop_assert_eq!(header.destination().map(canonical), Some(canonical(destination)));
        }
    }

    #[test]
    fn what_is_known_of_tls_comes_back(version in "[ -~]{0,20}", cn in "\\PC{0,40}", cipher in "[ -~]{0,40}") {
        let certificate = ClientCertificate::Verified { cn: Some(&cn), resumed: false };
        let mut statement = SslStatement::new(&version, certificate);
        statement.cipher = Some(&cipher);
        let bytes = Builder::v2().ssl(&statement).checksum(true).build().expect("it may be said");
        let ssl = complete(&bytes).tlvs.ssl().expect("it was put in");
        prop_assert_eq!(ssl.version(), Some(Ok(&version[..])));
        prop_assert_eq!(ssl.cn(), Some(Ok(&cn[..])));
        prop_assert_eq!(ssl.cipher(), Some(Ok(&cipher[..])));
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_answered(bytes: Vec<u8>, cut: prop::sample::Index) {
        let signed = [b"\r\n\r\n\0\r\nQUIT\n", &bytes[..]].concat();
        for input in [&bytes, &signed] {
            let whole = Header::parse(input);
            if let Ok(Parse::Complete { header, .. }) = whole {
                prop_assert_eq!(header.tlvs.count(), header.tlvs.raw().count());
            }
            if Header::parse(&input[..cut.index(input.len() + 1)]).is_err() {
                prop_assert!(whole.is_err());
            }
        }
    }
}
