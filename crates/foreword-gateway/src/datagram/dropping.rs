//! Why a datagram is dropped: said without a copy of it, since most of it is never told.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use foreword::{ClaimRefused, Command, Fault, Group, Looks, Malformed, PeerAddr, Trust, Version};

use crate::admission::{Full, FullOfFlows};
use crate::observe::counters::Dropped;
use crate::plan::DatagramHeaders;
use crate::policy::bound::Over;
use crate::refusal::{Code, Hex, server_name};
use crate::upstream::connect::ConnectError;

/// Why a datagram goes no further.
#[derive(Debug)]
pub(crate) enum Dropping<'d> {
    /// A peer that no trust group of the listener holds. Nothing of it was read.
    Stranger { trust: &'d Trust, peer: PeerAddr },
    /// No header where one is due.
    NoHeader { bytes: &'d [u8], group: &'d Group, in_first: DatagramHeaders },
    /// A header that went wrong.
    Malformed { malformed: Malformed, bytes: &'d [u8], group: &'d Group },
    /// Not the Simple Proxy Protocol where that is due.
    NotSimple { malformed: Malformed, bytes: &'d [u8], group: &'d Group },
    /// A header that names no client, and the listener wants one.
    Unknown { command: Command, group: &'d Group },
    /// A header that claims what nobody can be.
    Claim { claim: ClaimRefused, group: &'d Group },
    /// A header of somebody who may send none.
    Forbidden { group: &'d Group },
    /// The same where the endpoint might believe it.
    Inner,
    /// A header that names somebody else, in a flow that has a client.
    SecondHeader,
    /// A rule refuses it.
    Rule { rule: Option<&'d str> },
    /// A rule, or without one the listener, lets no more flows begin.
    Limited { rule: Option<&'d str>, over: Over },
    /// There is no room for another flow.
    Full(Full),
    /// It would begin a flow while the gateway lets go.
    Draining,
    /// No endpoint can be had.
    Connect(ConnectError),
    /// Too large for the way to where it should go.
    TooLarge(TooLarge),
    /// The kernel does not take it.
    Unsent(io::Error),
    /// An endpoint's answer without the header that it should carry back.
    Answer { endpoint: SocketAddr, bytes: usize },
}

/// A datagram that does not fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLarge {
    pub(super) to: SocketAddr,
    pub(super) payload: usize,
    pub(super) header: usize,
    /// What the path takes, IP and UDP headers included, where the kernel knows.
    pub(super) mtu: Option<u32>,
}

impl Dropping<'_> {
    /// Under what it is counted.
    pub(super) fn cause(&self) -> Dropped {
        match self {
            Self::Stranger { .. } => Dropped::Stranger,
            Self::NoHeader { .. }
            | Self::Malformed { .. }
            | Self::NotSimple { .. }
            | Self::Unknown { .. }
            | Self::Claim { .. }
            | Self::Forbidden { .. }
            | Self::Inner
            | Self::SecondHeader => Dropped::Header,
            Self::Rule { .. } | Self::Limited { .. } => Dropped::Rule,
            Self::Full(_) => Dropped::Full,
            Self::Draining => Dropped::Draining,
            Self::Connect(_) => Dropped::Endpoint,
            Self::TooLarge(_) => Dropped::TooLarge,
            Self::Unsent(_) => Dropped::Unsent,
            Self::Answer { .. } => Dropped::Answer,
        }
    }

    /// The code of the refusal; `None` where nobody was refused.
    pub(crate) fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Stranger { .. } => Code::Stranger,
            Self::NoHeader { bytes, .. } => match foreword::looks_like(bytes) {
                Looks::TlsClientHello => Code::TlsForHeader,
                Looks::Http | Looks::Http2Preface => Code::HttpForHeader,
                _ => Code::BytesForHeader,
            },
            Self::Malformed { malformed, bytes, .. } => match (malformed.fault(), version(bytes)) {
                (Fault::HeaderTooLong { .. }, _) => Code::HeaderTooLong,
                (Fault::Checksum { .. } | Fault::ChecksumMissing, _) => Code::HeaderChecksum,
                (_, Version::One) => Code::MalformedV1,
                (_, Version::Two) => Code::MalformedV2,
            },
            Self::NotSimple { .. } => Code::BytesForHeader,
            Self::Unknown { .. } => Code::HeaderUnknown,
            Self::Claim { .. } => Code::ClaimRefused,
            Self::Forbidden { .. } | Self::Inner => Code::HeaderForbidden,
            Self::SecondHeader => Code::SecondHeader,
            Self::Rule { rule: Some(_) } => Code::RefusedByRule,
            Self::Rule { rule: None } => Code::NoRule,
            Self::Limited { over: Over::Rate(_), .. } => Code::RateLimited,
            Self::Limited { over: Over::Seats(_), .. } => Code::TooManyAtOnce,
            Self::Full(full) => full.code(Code::FlowLimit),
            Self::Connect(error) => error.code(),
            Self::TooLarge(_) => Code::DatagramTooLarge,
            Self::Answer { .. } => Code::MalformedAnswer,
            Self::Draining | Self::Unsent(_) => return None,
        })
    }

    /// Whether nothing like a header was there.
    pub(crate) fn is_a_missing_header(&self) -> bool {
        matches!(self, Self::NoHeader { .. } | Self::NotSimple { .. })
    }

    /// The requirement that a header breaks, where its code does not know.
    pub(super) fn requirement(&self) -> Option<&'static str> {
        match self {
            Self::Malformed { malformed, .. } | Self::NotSimple { malformed, .. } => {
                Some(malformed.requirement())
            }
            Self::NoHeader { .. } => Some("R-UDP-02"),
            _ => None,
        }
    }

    /// The trust group of the peer.
    pub(super) fn trust(&self) -> Option<&str> {
        match self {
            Self::NoHeader { group, .. }
            | Self::Malformed { group, .. }
            | Self::NotSimple { group, .. }
            | Self::Unknown { group, .. }
            | Self::Claim { group, .. }
            | Self::Forbidden { group } => Some(&group.name),
            _ => None,
        }
    }
}

fn version(bytes: &[u8]) -> Version {
    Version::announced(bytes).unwrap_or(Version::One)
}

impl fmt::Display for Dropping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger { trust, peer } => {
                f.write_str("expected a peer in trust ")?;
                for (place, group) in trust.groups().iter().enumerate() {
                    write!(f, "{}\"{}\"", if place == 0 { "" } else { " or " }, group.name)?;
                }
                write!(f, ", found {peer}: dropped unread")
            }
            Self::NoHeader { bytes, in_first, .. } => {
                let first = if *in_first == DatagramHeaders::First { " first" } else { "" };
                write!(f, "expected a v2 header in front of the{first} datagram, found ")?;
                beginning(f, bytes)
            }
            Self::Malformed { malformed, bytes, .. } => match version(bytes) {
                Version::One => write!(f, "v1 header in a datagram, {malformed}, in `{}`", shown(bytes).escape_ascii()),
                Version::Two => write!(f, "v2 header in a datagram, {malformed}, in {}", Hex(shown(bytes))),
            },
            Self::NotSimple { malformed, bytes, .. } => {
                write!(f, "expected a Simple Proxy Protocol header in front of the datagram ({malformed}), found ")?;
                beginning(f, bytes)
            }
            Self::Unknown { command: Command::Local, .. } => {
                f.write_str("expected a header that names a client (unknown = \"reject\"), found LOCAL")
            }
            Self::Unknown { command: Command::Proxy, .. } => {
                f.write_str("expected a header that names a client (unknown = \"reject\"), found one without")
            }
            Self::Claim { claim, .. } => claim.fmt(f),
            Self::Forbidden { .. } => f.write_str("expected payload, found a PROXY header"),
            Self::Inner => {
                f.write_str("expected payload for the cluster (inner_header = \"reject\"), found a PROXY header")
            }
            Self::SecondHeader => f.write_str(
                "expected a datagram of the flow, found a PROXY header that names another client: the flow ends",
            ),
            Self::Rule { rule: Some(rule) } => write!(f, "refused by rule `{rule}`"),
            Self::Rule { rule: None } => f.write_str("no rule of the listener takes this datagram"),
            Self::Limited { rule: Some(rule), over } => write!(f, "rule `{rule}` {over}"),
            Self::Limited { rule: None, over } => write!(f, "the listener {over}"),
            Self::Full(full @ (Full::Memory { .. } | Full::Ration)) => write!(f, "{}", FullOfFlows(full)),
            Self::Full(full) => write!(f, "{} and none that may go", FullOfFlows(full)),
            Self::Draining => f.write_str("no new flows while the gateway lets go"),
            Self::Connect(error) => error.fmt(f),
            Self::TooLarge(too_large) => too_large.fmt(f),
            Self::Unsent(error) => write!(f, "the kernel does not take it: {error}"),
            Self::Answer { endpoint, bytes } => write!(
                f,
                "expected the Simple Proxy Protocol header of the flow in front of the answer of endpoint {endpoint}, \
                 found {bytes} bytes without it"
            ),
        }
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, payload, header, mtu } = self;
        match mtu {
            Some(mtu) => write!(
                f,
                "expected no more than {} bytes to {to} (its path takes packets of {mtu})",
                room(*mtu, to)
            )?,
            None => write!(f, "expected no more than {MAX_PAYLOAD} bytes to {to}")?,
        }
        match header {
            0 => write!(f, ", found {payload}"),
            header => write!(f, ", found {payload} and a header of {header}"),
        }
    }
}

/// What is left of a packet for us.
fn room(mtu: u32, to: &SocketAddr) -> u32 {
    let headers = if to.ip().to_canonical().is_ipv4() { IPV4_AND_UDP } else { IPV6_AND_UDP };
    mtu.saturating_sub(headers).min(MAX_PAYLOAD)
}

/// What a datagram begins with.
fn beginning(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match (foreword::looks_like(bytes), server_name(bytes)) {
        _ if bytes.is_empty() => f.write_str("an empty datagram"),
        (Looks::Other | Looks::Nothing, _) => {
            write!(f, "`{}`", bytes.get(..SHOWN_OF_OTHERS).unwrap_or(bytes).escape_ascii())
        }
        (looks, Some(name)) => write!(f, "{looks} (SNI {name})"),
        (looks, None) => write!(f, "{looks}"),
    }
}

/// What of a bad header is told.
fn shown(bytes: &[u8]) -> &[u8] {
    let header = foreword::announced_len(bytes).and_then(|len| bytes.get(..len)).unwrap_or(bytes);
    header.get(..SHOWN).unwrap_or(header)
}

/// The largest payload that UDP over IPv4 has; the kernel takes 20 more over IPv6.
const MAX_PAYLOAD: u32 = 65_507;
const IPV4_AND_UDP: u32 = 20 + 8;
const IPV6_AND_UDP: u32 = 40 + 8;

/// R-SEC-14 allows 256 bytes of a bad header.
const SHOWN: usize = 128;

/// Enough to recognise a protocol by.
const SHOWN_OF_OTHERS: usize = 32;
