//! The answer about one header, with the fields that conformance vectors have.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroUsize;

use foreword::spp::{self, Spp};
use foreword::{Addresses, Command, Family, Header, Malformed, Parse, Parser, Transport, UnixPath, Version};
use serde::Serialize;

use crate::args::hex;

/// What is not default about a question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// How long a header may be.
    pub(super) max_header_len: Option<usize>,
    /// Whether the bytes are one datagram.
    pub(super) datagram: bool,
    /// Whether the Simple Proxy Protocol is meant.
    pub(super) spp: bool,
}

/// What came of looking at some bytes.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    pub(super) announced: Option<Format>,
    pub(super) outcome: Outcome<'a>,
}

/// The format that the bytes are in, or begin like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Format {
    Version(u8),
    Spp(&'static str),
}

#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Accepted(Header<'a>, usize),
    AcceptedSpp(Spp),
    NeedMore(NonZeroUsize),
    Rejected(Malformed),
}

impl<'a> Verdict<'a> {
    /// Looks at some bytes.
    pub(super) fn of(bytes: &'a [u8], options: &Options) -> Self {
        if options.spp {
            let outcome = match Spp::parse(bytes) {
                Ok((spp, _)) => Outcome::AcceptedSpp(spp),
                Err(malformed) => Outcome::Rejected(malformed),
            };
            return Self { announced: Some(Format::Spp("spp")), outcome };
        }
        let parser = match options.max_header_len {
            Some(len) => Parser::new().max_len(len),
            None => Parser::new(),
        };
        let outcome = if options.datagram {
            parser.parse_datagram(bytes).map(|(header, len)| Outcome::Accepted(header, len))
        } else {
            parser.parse(bytes).map(|parse| match parse {
                Parse::Complete { header, len } => Outcome::Accepted(header, len),
                Parse::Incomplete { needed } => Outcome::NeedMore(needed),
            })
        };
        let announced = Version::announced(bytes).map(|version| {
            Format::Version(match version {
                Version::One => 1,
                Version::Two => 2,
            })
        });
        Self { announced, outcome: outcome.unwrap_or_else(Outcome::Rejected) }
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.outcome, Outcome::Accepted(..) | Outcome::AcceptedSpp(_))
    }

    /// The answer as the vectors spell it.
    pub(super) fn fields(&self) -> Fields {
        let empty = Fields { version: self.announced, ..Fields::default() };
        match &self.outcome {
            Outcome::Accepted(header, len) => {
                Fields { version: self.announced, ..Fields::of_header(header, *len) }
            }
            Outcome::AcceptedSpp(spp) => Fields { version: self.announced, ..Fields::of_spp(spp) },
            Outcome::NeedMore(_) => Fields { expect: "need_more", ..empty },
            Outcome::Rejected(_) => Fields { expect: "reject", ..empty },
        }
    }
}

/// The fields of an answer; null where there is nothing to say.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Fields {
    expect: &'static str,
    version: Option<Format>,
    command: Option<&'static str>,
    family: Option<&'static str>,
    transport: Option<&'static str>,
    src: Option<String>,
    dst: Option<String>,
    tlvs: Vec<TlvFields>,
    header_len: Option<usize>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct TlvFields {
    #[serde(rename = "type")]
    kind: u8,
    value_hex: String,
}

impl Fields {
    fn of_header(header: &Header<'_>, len: usize) -> Self {
        let (src, dst) = match header.addresses {
            Addresses::Unspecified => (None, None),
            Addresses::Inet { source, destination } => {
                (Some(source.to_string()), Some(destination.to_string()))
            }
            Addresses::Inet6 { source, destination } => (Some(inet6(source)), Some(inet6(destination))),
            Addresses::Unix { source, destination } => (Some(unix(&source)), Some(unix(&destination))),
        };
        let transport = if header.is_unknown() { Transport::Unspecified } else { header.transport };
        let tlvs = header.tlvs.raw().map(|tlv| TlvFields { kind: tlv.kind, value_hex: hex::text(tlv.value) });
        Self {
            expect: "accept",
            version: None,
            command: Some(command_name(header.command)),
            family: Some(family_name(header.family())),
            transport: Some(transport_name(transport)),
            src,
            dst,
            tlvs: tlvs.collect(),
            header_len: Some(len),
        }
    }

    fn of_spp(spp: &Spp) -> Self {
        let family = match (spp.client.ip(), spp.proxy.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => Family::Inet,
            _ => Family::Inet6,
        };
        let text = |address: SocketAddr| Some(address.to_string());
        Self {
            expect: "accept",
            version: None,
            command: Some(command_name(Command::Proxy)),
            family: Some(family_name(family)),
            transport: Some(transport_name(Transport::Datagram)),
            src: text(spp.client),
            dst: text(spp.proxy),
            tlvs: Vec::new(),
            header_len: Some(spp::LEN),
        }
    }
}

/// Hex throughout: the dotted tail that Rust gives mapped addresses is none of the vectors' spellings.
fn inet6(address: SocketAddrV6) -> String {
    match address.ip().segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("[::ffff:{high:x}:{low:x}]:{}", address.port()),
        _ => address.to_string(),
    }
}

fn unix(path: &UnixPath<'_>) -> String {
    format!("unix:{}", hex::text(path.as_bytes()))
}

fn command_name(command: Command) -> &'static str {
    match command {
        Command::Local => "LOCAL",
        Command::Proxy => "PROXY",
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Unspecified => "UNSPEC",
        Family::Inet => "INET",
        Family::Inet6 => "INET6",
        Family::Unix => "UNIX",
    }
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Unspecified => "UNSPEC",
        Transport::Stream => "STREAM",
        Transport::Datagram => "DGRAM",
    }
}

/// A limit on headers, within what the parser can be held to (R-V2-17).
pub(super) fn max_len(text: &str) -> Result<usize, String> {
    let len = text.parse().ok().filter(|len| (Parser::LEAST_MAX_LEN..=foreword::MAX_LEN).contains(len));
    len.ok_or_else(|| {
        format!("expected a number from {} to {}, found `{text}`", Parser::LEAST_MAX_LEN, foreword::MAX_LEN)
    })
}
