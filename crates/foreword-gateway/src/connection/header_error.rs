//! What can be wrong with a header that a trusted proxy sent, or should have sent.

use std::fmt;
use std::io;
use std::time::Duration;

use foreword::{ClaimRefused, Command, Fault, Group, Looks, Malformed, PeerAddr, Version};

use crate::refusal::{Code, Hex, largest_tlv, server_name};

/// What is wrong with a header, and whose it was.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub(crate) struct HeaderError {
    pub(super) fault: HeaderFault,
    /// The trust group of the peer.
    pub(super) group: Box<str>,
}

#[derive(Debug)]
pub(super) enum HeaderFault {
    /// The bytes are something else.
    NoHeader { looks: Looks, server_name: Option<Box<str>>, bytes: Box<[u8]> },
    /// A header that went wrong.
    Malformed { malformed: Malformed, version: Version, bytes: Box<[u8]>, largest: Option<(u8, usize)> },
    /// Nothing came.
    Silence { deadline: Duration },
    /// It came too slowly.
    Unfinished { deadline: Duration, bytes: Box<[u8]> },
    /// The peer left inside it.
    CutShort { bytes: Box<[u8]> },
    /// The connection broke before it.
    Broken(io::Error),
    /// Too many others wait, and this one longest.
    Evicted { waiting: usize },
    /// It claims what nobody can be.
    Claim(ClaimRefused),
    /// It names no client, and the listener wants one.
    Unknown { command: Command },
    /// The next header of the chain would come from a stranger.
    Chain { link: usize, claimed: PeerAddr },
}

impl HeaderFault {
    /// Bytes that begin like no header.
    pub(super) fn no_header(bytes: &[u8]) -> Self {
        Self::NoHeader {
            looks: foreword::looks_like(bytes),
            server_name: server_name(bytes).map(Into::into),
            bytes: bytes.iter().copied().take(SHOWN_OF_OTHERS).collect(),
        }
    }

    /// Bytes that begin like a header and go on otherwise.
    pub(super) fn malformed(malformed: Malformed, bytes: &[u8]) -> Self {
        let version = Version::announced(bytes).unwrap_or(Version::One);
        let is_too_long = version == Version::Two && matches!(malformed.fault(), Fault::HeaderTooLong { .. });
        let largest = is_too_long.then(|| largest_tlv(bytes)).flatten();
        Self::Malformed { malformed, version, bytes: shown(header_of(bytes)), largest }
    }

    pub(super) fn of(self, group: &Group) -> Box<HeaderError> {
        Box::new(HeaderError { fault: self, group: group.name.clone() })
    }
}

impl HeaderError {
    pub(crate) fn code(&self) -> Code {
        match &self.fault {
            HeaderFault::NoHeader { looks: Looks::TlsClientHello, .. } => Code::TlsForHeader,
            HeaderFault::NoHeader { looks: Looks::Http | Looks::Http2Preface, .. } => Code::HttpForHeader,
            HeaderFault::NoHeader { .. } => Code::BytesForHeader,
            HeaderFault::Malformed { malformed, version, .. } => match (malformed.fault(), version) {
                (Fault::HeaderTooLong { .. }, _) => Code::HeaderTooLong,
                (Fault::Checksum { .. } | Fault::ChecksumMissing, _) => Code::HeaderChecksum,
                (_, Version::One) => Code::MalformedV1,
                (_, Version::Two) => Code::MalformedV2,
            },
            HeaderFault::Silence { .. } => Code::HeaderSilence,
            HeaderFault::Unfinished { .. } => Code::HeaderUnfinished,
            HeaderFault::CutShort { .. } | HeaderFault::Broken(_) => Code::HeaderCutShort,
            HeaderFault::Evicted { .. } => Code::HeadersWaiting,
            HeaderFault::Claim(_) => Code::ClaimRefused,
            HeaderFault::Unknown { .. } => Code::HeaderUnknown,
            HeaderFault::Chain { .. } => Code::HeaderChain,
        }
    }

    /// The requirement that a malformed header breaks; the other codes know theirs.
    pub(crate) fn requirement(&self) -> Option<&'static str> {
        match &self.fault {
            HeaderFault::Malformed { malformed, .. } => Some(malformed.requirement()),
            _ => None,
        }
    }

    /// The trust group of the peer.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader { looks, server_name, bytes } => match (looks, server_name) {
                (Looks::Other | Looks::Nothing, _) => {
                    write!(f, "expected a PROXY header, found `{}`", bytes.escape_ascii())
                }
                (looks, Some(name)) => write!(f, "expected a PROXY header, found {looks} (SNI {name})"),
                (looks, None) => write!(f, "expected a PROXY header, found {looks}"),
            },
            Self::Malformed { malformed, version: Version::One, bytes, .. } => {
                write!(f, "v1 header, {malformed}, in `{}`", bytes.escape_ascii())
            }
            Self::Malformed { malformed, version: Version::Two, bytes, largest } => {
                write!(f, "v2 header, {malformed}")?;
                if let Some((kind, len)) = largest {
                    write!(f, ", {len} of them in TLV {kind:#04x}")?;
                }
                write!(f, ", in {}", Hex(bytes))
            }
            Self::Silence { deadline } => {
                write!(f, "expected a PROXY header, found nothing for {} s", deadline.as_secs_f32())
            }
            Self::Unfinished { deadline, bytes } => {
                write!(
                    f,
                    "expected a whole PROXY header within {} s, found {}",
                    deadline.as_secs_f32(),
                    Came(bytes)
                )
            }
            Self::CutShort { bytes } => {
                write!(f, "expected a whole PROXY header, found the end after {}", Came(bytes))
            }
            Self::Broken(error) => write!(f, "expected a PROXY header, found a broken connection: {error}"),
            Self::Evicted { waiting } => write!(
                f,
                "expected a PROXY header, found nothing yet while {waiting} others are awaited: the oldest makes room"
            ),
            Self::Claim(claim) => claim.fmt(f),
            Self::Unknown { command: Command::Local } => {
                f.write_str("expected a header that names a client (unknown = \"reject\"), found LOCAL")
            }
            Self::Unknown { command: Command::Proxy } => {
                f.write_str("expected a header that names a client (unknown = \"reject\"), found one without")
            }
            Self::Chain { link, claimed } => write!(
                f,
                "expected header {link} of the chain from a trusted proxy, found that {claimed}, which the header \
                 before it names, is in no trust group of the listener"
            ),
        }
    }
}

/// How many bytes came, and which.
struct Came<'b>(&'b [u8]);

impl fmt::Display for Came<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of it, `{}`", self.0.len(), self.0.escape_ascii())
    }
}

/// The bytes of a bad header itself: what follows it may be nobody's business.
fn header_of(bytes: &[u8]) -> &[u8] {
    foreword::announced_len(bytes).and_then(|len| bytes.get(..len)).unwrap_or(bytes)
}

/// What of a bad header goes into the line that refuses it.
pub(super) fn shown(bytes: &[u8]) -> Box<[u8]> {
    bytes.iter().copied().take(SHOWN).collect()
}

/// R-SEC-14 allows 256 bytes of a bad header; a v1 line is whole with 107, and a v2 header says most in its beginning.
const SHOWN: usize = 128;

/// Enough to recognise a protocol by.
const SHOWN_OF_OTHERS: usize = 32;
