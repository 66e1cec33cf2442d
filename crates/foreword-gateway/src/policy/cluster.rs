//! What we connect to: interchangeable endpoints, and how each is introduced to the client.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::health::HealthCheck;
use super::send_tlv::{PassTlvs, SendTlv};

/// Interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the file.
    pub name: Box<str>,
    /// Its place in `Plan::clusters`, so that workers can keep what is theirs beside it.
    pub index: usize,
    /// Never empty.
    pub endpoints: Vec<Endpoint>,
    /// Which endpoint is next.
    pub balance: Balance,
    /// The header that an endpoint is sent.
    pub send_header: SendHeader,
    /// The TLVs that the header carries; only with [`SendHeader::V2`].
    pub send_tlvs: Vec<SendTlv>,
    /// When an endpoint is sent the header.
    pub header_placement: HeaderPlacement,
    /// What bytes are that look like another header behind ours.
    pub inner_header: InnerHeader,
    /// How endpoints are asked whether they are still there.
    pub keepalive: Keepalive,
    /// The TLVs of a received header that go on in it.
    pub pass_tlvs: PassTlvs,
    /// How long a v2 header may be.
    pub max_header: usize,
    /// Its timeouts.
    pub timeout: ClusterTimeouts,
    /// How endpoints are asked whether they are up.
    pub health: Option<Arc<HealthCheck>>,
    /// How it is noticed that an endpoint fails those who come.
    pub ejection: Option<Ejection>,
    /// What happens when no endpoint is up.
    pub when_all_down: WhenAllDown,
}

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was written.
    pub text: Box<str>,
    /// What that means.
    pub target: Target,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `10.0.1.10:443`.
    Address(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
    /// `name:port`, resolved while the gateway runs.
    Name {
        /// The name, in lower case, without a dot at its end.
        host: Box<str>,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How the next endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest connections of this worker.
    LeastConnections,
}

/// Which header an endpoint is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendHeader {
    /// None.
    #[default]
    None,
    /// The text format.
    V1,
    /// The binary format.
    V2,
}

/// When an endpoint is sent the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderPlacement {
    /// At once, with the client's first bytes if they are there already.
    #[default]
    Connect,
    /// With the client's first bytes, however long they take; never, if there are none.
    FirstPayload,
}

/// What bytes of a client are that look like a header, where the endpoint is sent ours before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InnerHeader {
    /// Payload: the endpoint reads one header and no more.
    #[default]
    Payload,
    /// A reason to refuse the connection: the endpoint might believe them.
    Reject,
}

/// How the kernel asks whether the other end is still there, when nothing was heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// For how long nothing was heard before the first question.
    pub idle: Duration,
    /// Between questions.
    pub interval: Duration,
    /// How many go unanswered before the connection is given up; with 0 nothing is asked.
    pub count: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(15), count: 4 }
    }
}

impl Keepalive {
    /// The same, if it can ask anything before a connection that is idle for so long is closed anyway.
    pub(crate) fn within(self, idle: Duration) -> Option<Self> {
        (self.count > 0 && self.idle < idle).then_some(self)
    }
}

/// When an endpoint that fails is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many failures in a row.
    pub failures: u32,
    /// Whether answers from 500 on are failures.
    pub server_errors: bool,
    /// For how long the first time; twice as long each time after.
    pub time: Duration,
    /// For how long at most.
    pub max_time: Duration,
    /// The most endpoints that may be left alone at once, in percent.
    pub max_share: u8,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 5,
            server_errors: false,
            time: Duration::from_secs(10),
            max_time: Duration::from_secs(300),
            max_share: 50,
        }
    }
}

/// What happens when no endpoint is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAllDown {
    /// All are tried all the same: a check that is wrong takes nobody offline.
    #[default]
    TryAll,
    /// Whoever comes is refused at once.
    Refuse,
}

/// The timeouts of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterTimeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the head of a response, after the request was sent.
    pub response: Duration,
    /// For which a kept connection may be unused.
    pub idle: Duration,
}

impl Default for ClusterTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
        }
    }
}
