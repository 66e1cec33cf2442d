//! What ends a connection against its will.

use std::io;
use std::time::Duration;

use foreword::PeerAddr;

use super::header_error::HeaderError;
use super::record::{Outcome, Record, Side};
use crate::admission::Full;
use crate::plan::Listener;
use crate::policy::bound::Over;
use crate::policy::cluster::Cluster;
use crate::refusal::{Code, Refusal};
use crate::tls::acceptor::TlsRefusal;
use crate::upstream::connect::ConnectError;

/// Why a connection ended otherwise than by both sides being done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// A peer that no trust group of the listener holds. Nothing of it was read.
    #[error("expected a peer in trust {groups}, found {peer}: closed unread")]
    Stranger {
        /// Who came.
        peer: PeerAddr,
        /// The listener's groups, as they are written in its `trust`.
        groups: String,
    },
    /// No header where one was due, or one that is not taken.
    #[error(transparent)]
    Header(#[from] Box<HeaderError>),
    /// A header in the payload of a listener that refuses it: behind another one, or from a peer that is not believed.
    #[error("expected payload, found a PROXY header")]
    HeaderAsPayload {
        /// Whether one had been read before.
        second: bool,
    },
    /// No TLS where it was due.
    #[error(transparent)]
    Tls(#[from] TlsRefusal),
    /// A rule closed the connection, or denied it in tcp mode.
    #[error("refused by rule `{rule}`")]
    Rule {
        /// Its name.
        rule: Box<str>,
    },
    /// A rule lets no more of the client's connections pass.
    #[error("rule `{rule}` {over}")]
    Limited {
        /// Its name.
        rule: Box<str>,
        /// The bound that was met.
        over: Over,
    },
    /// The listener lets in no more of the client's connections.
    #[error("the listener {0}")]
    NotLetIn(Over),
    /// No rule took the connection.
    #[error("no rule of the listener takes this connection")]
    NoRule,
    /// What is said on an HTTP/2 connection is not HTTP/2.
    #[error("expected HTTP/2, found what ends the connection: {reason} (RFC 9113 §5.4.1)")]
    Http2 {
        /// The reason of the GOAWAY that we sent.
        reason: h2::Reason,
    },
    /// Frames that carry nothing, and more of them than the connection may send.
    #[error(
        "expected requests, found an HTTP/2 connection that spends its frames on nothing: closed after {frames}"
    )]
    Flood {
        /// How many frames had come.
        frames: u64,
    },
    /// No endpoint could be reached.
    #[error("{error}")]
    Connect {
        /// The name of its cluster.
        cluster: Box<str>,
        /// Why not.
        #[source]
        error: ConnectError,
    },
    /// Nothing moved for too long.
    #[error("nothing moved for {} s", .0.as_secs())]
    Idle(Duration),
    /// It lasted for too long.
    #[error("the connection lasted for {} s, as long as `timeout.total` lets it", .0.as_secs())]
    TooLong(Duration),
    /// The downstream side broke.
    #[error("the downstream connection broke")]
    Downstream(#[source] io::Error),
    /// The upstream side broke.
    #[error("the upstream connection broke")]
    Upstream(#[source] io::Error),
    /// Memory is short, and it asked for more than others.
    #[error("expected fewer requests without an answer while memory is short, found {unanswered}")]
    Shed {
        /// How many requests had none.
        unanswered: usize,
    },
    /// Memory is short, and it had not said who it is.
    #[error("expected a header or a handshake while memory is short, found none after {} ms", .after.as_millis())]
    ShedUnknown {
        /// How long that was waited for.
        after: Duration,
    },
    /// There is no room for another connection.
    #[error(transparent)]
    Full(#[from] Full),
    /// The peer connected and left without a byte, as a TCP health check does.
    #[error("the peer left without a byte")]
    Probe,
    /// The endpoint was drained, and the time for that is over.
    #[error("cut off: its endpoint drains")]
    EndpointDrained,
    /// The drain ended before the connection did.
    #[error("cut off at the end of the drain")]
    CutOff,
}

impl ServeError {
    /// For a connection of which `cluster` took nothing.
    pub(crate) fn at(cluster: &Cluster) -> impl Fn(ConnectError) -> Self {
        |error| Self::Connect { cluster: cluster.name.as_ref().into(), error }
    }

    /// The code of the refusal; `None` where nobody was refused: people leave, networks break, drains end.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Stranger { .. } => Some(Code::Stranger),
            Self::Header(error) => Some(error.code()),
            Self::HeaderAsPayload { second: true } => Some(Code::SecondHeader),
            Self::HeaderAsPayload { second: false } => Some(Code::HeaderForbidden),
            Self::Tls(refusal) => refusal.code(),
            Self::Rule { .. } => Some(Code::RefusedByRule),
            Self::Limited { over: Over::Rate(_), .. } | Self::NotLetIn(Over::Rate(_)) => {
                Some(Code::RateLimited)
            }
            Self::Limited { over: Over::Seats(_), .. } | Self::NotLetIn(Over::Seats(_)) => {
                Some(Code::TooManyAtOnce)
            }
            Self::NoRule => Some(Code::NoRule),
            Self::Http2 { .. } => Some(Code::BrokenHttp2),
            Self::Flood { .. } => Some(Code::Http2Flood),
            Self::Connect { error, .. } => Some(error.code()),
            Self::Shed { .. } | Self::ShedUnknown { .. } => Some(Code::MemoryShort),
            Self::Full(full) => Some(full.code(Code::ConnectionLimit)),
            Self::Idle(_)
            | Self::TooLong(_)
            | Self::Downstream(_)
            | Self::Upstream(_)
            | Self::Probe
            | Self::CutOff
            | Self::EndpointDrained => None,
        }
    }

    /// Whether a header came from a peer that is not believed, in place of something else.
    fn is_a_forbidden_header(&self) -> bool {
        matches!(
            self,
            Self::HeaderAsPayload { second: false } | Self::Tls(TlsRefusal::Header { second: false })
        )
    }

    /// How the record of the connection is closed.
    pub(crate) fn outcome(&self) -> Outcome<'_> {
        let refusal = |code| match self {
            Self::Header(error) => Refusal {
                requirement: error.requirement(),
                trust: Some(error.group()),
                ..Refusal::new(code, self)
            },
            Self::Connect { cluster, error } => {
                let cluster = (!error.names_its_cluster()).then_some(&**cluster);
                Refusal { cluster, ..Refusal::new(code, self) }
            }
            _ => Refusal::new(code, self),
        };
        match (self, self.code()) {
            (_, Some(code)) => Outcome::Refused(refusal(code)),
            (Self::Probe, None) => Outcome::Probe,
            (Self::Idle(_) | Self::TooLong(_), None) => Outcome::TimedOut(Side::Downstream),
            (Self::Upstream(_), None) => Outcome::Aborted(Side::Upstream),
            (Self::CutOff | Self::EndpointDrained, None) => Outcome::CutOff,
            (_, None) => Outcome::Aborted(Side::Downstream),
        }
    }
}

/// Closes the record of a connection to `listener` with what became of it.
pub(crate) fn close(record: Record, listener: &Listener, outcome: &Result<(), ServeError>) {
    let peer = *record.peer();
    match outcome {
        Ok(()) => record.close(Outcome::Complete),
        Err(error) => record.close(match error.outcome() {
            Outcome::Refused(refusal) if error.is_a_forbidden_header() => {
                Outcome::Refused(Refusal { trust: listener.forbidding_group(&peer), ..refusal })
            }
            outcome => outcome,
        }),
    }
}
