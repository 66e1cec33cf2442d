//! Every vector, whole, cut at each place, and in front of other bytes; built again where it is canonical.

use std::net::SocketAddr;

use foreword::spp::Spp;
use foreword::{
    Addresses, Builder, Command, Family, Header, MAX_LEN, Malformed, Parse, Parser, Transport, UnixPath,
    Version,
};
use foreword_vectors::{Address, Answer, Expected, Vector, vectors};

/// The parser that the vector's options describe.
fn parser(vector: &Vector) -> Parser {
    match vector.opts.max_header_len {
        Some(max) => Parser::new().max_len(max),
        None => Parser::new(),
    }
}

fn streams() -> impl Iterator<Item = &'static Vector> {
    vectors().iter().filter(|vector| !vector.opts.datagram && !vector.opts.spp)
}

/// Long headers are cut where something happens, not at each of 65,551 places: their cost is in the square.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    const EACH: usize = 600;
    (0..len).filter(move |&cut| cut < EACH || len - cut < EACH || cut % 997 == 0)
}

#[test]
fn every_vector_is_answered_as_it_says() {
    for vector in streams() {
        match (&vector.answer, parser(vector).parse(&vector.input)) {
            (Answer::Accept(expected), Ok(Parse::Complete { header, len })) => {
                assert_eq!(len, expected.header_len, "{}", vector.id);
                assert_says(&header, expected, vector);
            }
            (Answer::Reject { .. }, Err(malformed)) => {
                assert!(malformed.offset() <= vector.input.len(), "{}: {malformed}", vector.id);
            }
            (Answer::NeedMore, Ok(Parse::Incomplete { .. })) => {}
            (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", vector.id),
        }
        assert_eq!(announced(&vector.input), vector.version, "{}", vector.id);
    }
}

#[test]
fn every_datagram_is_answered_as_it_says() {
    for vector in vectors().iter().filter(|vector| vector.opts.datagram && !vector.opts.spp) {
        match (&vector.answer, parser(vector).parse_datagram(&vector.input)) {
            (Answer::Accept(expected), Ok((header, len))) => {
                assert_eq!(len, expected.header_len, "{}", vector.id);
                assert_says(&header, expected, vector);
            }
            (Answer::Reject { .. }, Err(_)) => {}
            (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", vector.id),
        }
    }
}

#[test]
fn every_simple_header_is_answered_as_it_says_and_encodes_the_same() {
    for vector in vectors().iter().filter(|vector| vector.opts.spp) {
        match (&vector.answer, Spp::parse(&vector.input)) {
            (Answer::Accept(expected), Ok((spp, len))) => {
                let inet = |address: SocketAddr| Some(Address::Inet(address));
                assert_eq!(
                    (inet(spp.client), inet(spp.proxy)),
                    (expected.source.clone(), expected.destination.clone())
                );
                assert_eq!(spp.encode(), vector.input[..len], "{}", vector.id);
            }
            (Answer::Reject { .. }, Err(_)) => {}
            (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", vector.id),
        }
    }
}

#[test]
fn every_cut_of_a_good_header_is_incomplete_and_needs_no_byte_that_follows_it() {
    for vector in streams() {
        let Answer::Accept(expected) = &vector.answer else { continue };
        for cut in cuts(expected.header_len) {
            match parser(vector).parse(&vector.input[..cut]) {
                Ok(Parse::Incomplete { needed }) => {
                    assert!(cut + needed.get() <= expected.header_len, "{} cut at {cut}", vector.id);
                }
                found => panic!("{} cut at {cut}: {found:?}", vector.id),
            }
        }
    }
}

#[test]
fn a_good_header_is_the_same_whatever_follows_it() {
    for vector in streams() {
        let Answer::Accept(expected) = &vector.answer else { continue };
        let header = &vector.input[..expected.header_len];
        for payload in
            [&b"\r\n"[..], b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", &[0; 300], &[0xff; 300]]
        {
            let input = [header, payload].concat();
            match parser(vector).parse(&input) {
                Ok(Parse::Complete { header, len }) => {
                    assert_eq!(&input[len..], payload, "{}", vector.id);
                    assert_says(&header, expected, vector);
                }
                found => panic!("{}: {found:?}", vector.id),
            }
        }
    }
}

/// A reader may meet any prefix first, so what is refused at one cut is refused at all that come after, for one reason.
#[test]
fn a_bad_header_is_refused_for_the_same_reason_wherever_it_is_cut() {
    for vector in streams() {
        let Answer::Reject { .. } = &vector.answer else { continue };
        let whole = parser(vector).parse(&vector.input).expect_err("it is a bad one");
        let mut refused: Option<Malformed> = None;
        for cut in cuts(vector.input.len() + 1) {
            match (parser(vector).parse(&vector.input[..cut]), &refused) {
                (Ok(Parse::Incomplete { needed }), None) => {
                    assert!(needed.get() <= MAX_LEN, "{} cut at {cut}", vector.id);
                }
                (Err(malformed), None) => refused = Some(malformed),
                (Err(malformed), Some(before)) => {
                    assert_eq!(cause(&malformed), cause(before), "{} cut at {cut}", vector.id)
                }
                (found, _) => panic!("{} cut at {cut}: {found:?}", vector.id),
            }
        }
        assert_eq!(refused.as_ref().map(cause), Some(cause(&whole)), "{}", vector.id);
    }
}

fn cause(malformed: &Malformed) -> (usize, &'static str) {
    (malformed.offset(), malformed.requirement())
}

/// A line is refused at the byte that no header can have there, not later (R-V1-16); of v2, so are the first 16 bytes.
#[test]
fn a_bad_line_is_refused_as_soon_as_its_bad_byte_is_there() {
    for vector in streams() {
        let Answer::Reject { .. } = &vector.answer else { continue };
        let whole = parser(vector).parse(&vector.input).expect_err("it is a bad one");
        let framing = vector.version == Some(foreword_vectors::Version::Two) && whole.offset() >= 14;
        if framing || whole.requirement() == "R-V1-11" {
            continue;
        }
        let at_the_byte = parser(vector).parse(&vector.input[..=whole.offset()]);
        assert_eq!(at_the_byte.expect_err("the byte is there"), whole, "{}", vector.id);
        let before = parser(vector).parse(&vector.input[..whole.offset()]);
        assert!(matches!(before, Ok(Parse::Incomplete { .. })), "{}: {before:?}", vector.id);
    }
}

#[test]
fn the_requirement_that_a_refusal_names_is_a_requirement() {
    for vector in streams() {
        if let Err(malformed) = parser(vector).parse(&vector.input) {
            let named =
                foreword_vectors::requirements().iter().any(|known| known.id == malformed.requirement());
            assert!(named, "{}: {}", vector.id, malformed.requirement());
        }
    }
}

#[test]
fn every_canonical_header_is_built_again_byte_for_byte_and_no_other_is() {
    for vector in vectors().iter().filter(|vector| !vector.opts.spp) {
        let Answer::Accept(expected) = &vector.answer else { continue };
        let Some(canonical) = expected.canonical else { continue };
        let header = &vector.input[..expected.header_len];
        assert_eq!(built(expected, vector) == header, canonical, "{}", vector.id);
        let Ok(Parse::Complete { header: parsed, .. }) = parser(vector).parse(header) else {
            panic!("{} is a good one", vector.id);
        };
        let mut encoded = vec![0; MAX_LEN];
        let len = parsed.encode(&mut encoded).expect("there is room");
        assert_eq!(encoded[..len] == *header, canonical, "{}", vector.id);
    }
}

fn assert_says(header: &Header<'_>, expected: &Expected, vector: &Vector) {
    let id = &vector.id;
    assert_eq!(header.command == Command::Local, expected.local, "{id}");
    assert_eq!(Some(version(header.version)), vector.version, "{id}");
    assert_eq!(header.addresses, addresses(expected), "{id}");
    assert_eq!(header.transport, transport(expected), "{id}");
    let tlvs: Vec<_> = header.tlvs.raw().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect();
    assert_eq!(tlvs, expected.tlvs, "{id}");
    let kinds: Vec<_> = header.tlvs.map(|tlv| tlv.kind()).collect();
    assert_eq!(kinds, expected.tlvs.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), "{id}");
}

/// A header built from nothing but the values that the vector lists.
fn built(expected: &Expected, vector: &Vector) -> Vec<u8> {
    let builder = match vector.version {
        Some(foreword_vectors::Version::One) => Builder::v1(),
        _ => Builder::v2(),
    };
    let builder = builder.max_len(MAX_LEN).addresses(addresses(expected)).transport(transport(expected));
    let builder = if expected.local { builder.local() } else { builder };
    let tlvs = expected.tlvs.iter().fold(builder, |builder, (kind, value)| builder.raw_tlv(*kind, value));
    tlvs.build().expect("the values are good")
}

fn addresses(expected: &Expected) -> Addresses<'_> {
    let (Some(source), Some(destination)) = (&expected.source, &expected.destination) else {
        assert_eq!(expected.family, foreword_vectors::Family::Unspecified);
        return Addresses::Unspecified;
    };
    match (source, destination) {
        (Address::Inet(SocketAddr::V4(source)), Address::Inet(SocketAddr::V4(destination))) => {
            Addresses::Inet { source: *source, destination: *destination }
        }
        (Address::Inet(SocketAddr::V6(source)), Address::Inet(SocketAddr::V6(destination))) => {
            Addresses::Inet6 { source: *source, destination: *destination }
        }
        (Address::Unix(source), Address::Unix(destination)) => Addresses::Unix {
            source: UnixPath::new(source).expect("a path"),
            destination: UnixPath::new(destination).expect("a path"),
        },
        _ => panic!("addresses of two families"),
    }
}

fn transport(expected: &Expected) -> Transport {
    match expected.transport {
        foreword_vectors::Transport::Unspecified => Transport::Unspecified,
        foreword_vectors::Transport::Stream => Transport::Stream,
        foreword_vectors::Transport::Datagram => Transport::Datagram,
    }
}

fn version(version: Version) -> foreword_vectors::Version {
    match version {
        Version::One => foreword_vectors::Version::One,
        Version::Two => foreword_vectors::Version::Two,
    }
}

fn announced(input: &[u8]) -> Option<foreword_vectors::Version> {
    Version::announced(input).map(version)
}

#[test]
fn the_vectors_cover_every_family() {
    for family in [Family::Unspecified, Family::Inet, Family::Inet6, Family::Unix] {
        let covered = streams().any(|vector| match &vector.answer {
            Answer::Accept(expected) => addresses(expected).family() == family,
            _ => false,
        });
        assert!(covered, "{family:?}");
    }
}
