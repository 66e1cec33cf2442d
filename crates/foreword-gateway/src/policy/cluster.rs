//! What we connect to: interchangeable endpoints, and how each is introduced to the client.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foreword_rule::Facts;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::balance;
use super::health::HealthCheck;
use super::key::Key;
use super::send_tlv::{DEFAULT_MAX_HEADER, PassTlvs, SendTlv};
use super::sticky::Sticky;
use crate::watch::FromFiles;

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
    /// What endpoints of http listeners speak.
    pub protocol: Protocol,
    /// The header that an endpoint is sent.
    pub send_header: SendHeader,
    /// The TLVs that the header carries; only with [`SendHeader::V2`] and [`SendHeader::V2First`].
    pub send_tlvs: Vec<SendTlv>,
    /// When an endpoint is sent the header.
    pub header_placement: HeaderPlacement,
    /// What bytes are that look like another header behind ours.
    pub inner_header: InnerHeader,
    /// How TLS is spoken with endpoints, if it is.
    pub tls: Option<EndpointTls>,
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
    /// Its limits.
    pub max: ClusterLimits,
    /// How many more attempts a request may have after the first.
    pub retries: u8,
    /// For how long an endpoint that became usable gets less than its weight.
    pub slow_start: Option<Duration>,
    /// The zone that this gateway is in, if endpoints of the same one are preferred.
    pub zone: Option<OwnZone>,
    /// By which cookie clients come back to their endpoint, if they do; in http mode alone.
    pub sticky: Option<Sticky>,
}

impl Cluster {
    /// A cluster of these endpoints with nothing set otherwise.
    pub fn new(name: &str, index: usize, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            index,
            endpoints,
            balance: Balance::default(),
            protocol: Protocol::default(),
            send_header: SendHeader::default(),
            send_tlvs: Vec::new(),
            header_placement: HeaderPlacement::default(),
            inner_header: InnerHeader::default(),
            tls: None,
            keepalive: Keepalive::default(),
            pass_tlvs: PassTlvs::default(),
            max_header: DEFAULT_MAX_HEADER,
            timeout: ClusterTimeouts::default(),
            max: ClusterLimits::default(),
            retries: RETRIES,
            slow_start: None,
            zone: None,
            sticky: None,
            health: None,
            ejection: None,
            when_all_down: WhenAllDown::default(),
        }
    }
}

/// What is spoken with endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request after the other.
    #[default]
    Http1,
    /// HTTP/2, many requests at once. The endpoint is known to speak it.
    Http2,
}

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was written.
    pub text: Box<str>,
    /// What that means.
    pub target: Target,
    /// How much of everything it gets, against the others; at least 1.
    pub weight: u32,
    /// Whether it is used only where no other endpoint is usable.
    pub backup: bool,
    /// The most connections at once.
    pub max_connections: Option<usize>,
    /// The zone that it is in.
    pub zone: Option<Box<str>>,
    /// Whether it gets no new connections, and the old ones are to end.
    pub drain: bool,
}

impl Endpoint {
    /// An endpoint with nothing set otherwise.
    pub fn new(text: &str, target: Target) -> Self {
        Self {
            text: text.into(),
            target,
            weight: 1,
            backup: false,
            max_connections: None,
            zone: None,
            drain: false,
        }
    }
}

/// The greatest weight of an endpoint.
pub(crate) const MOST_WEIGHT: u32 = 1000;

/// The zone that this gateway is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnZone {
    /// Its name, as endpoints have it.
    pub name: Box<str>,
    /// How many hundredths of its endpoints' weight must be usable for it to take everything.
    pub needs: u8,
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
    /// `srv:_http._tcp.example.com`, whose SRV records name hosts and ports.
    Service {
        /// The name, in lower case, without a dot at its end.
        name: Box<str>,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How the next endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn, as often as it weighs.
    #[default]
    RoundRobin,
    /// The one with the fewest connections of this worker for its weight.
    LeastConnections,
    /// Of two drawn at random, the one with fewer connections of this worker for its weight.
    RandomOfTwo,
    /// The first of the file that has room.
    First,
    /// The same one for the same key.
    Hash(Arc<Key>),
}

impl Balance {
    /// What a hash is of, for whom the facts are about; `None` where nothing is hashed, or no value is there.
    pub(crate) fn key(&self, facts: &impl Facts) -> Option<u64> {
        match self {
            Self::Hash(key) => balance::number(key, facts),
            _ => None,
        }
    }
}

/// Which header an endpoint is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendHeader {
    /// None.
    #[default]
    None,
    /// The text format.
    V1,
    /// The binary format. Datagrams carry it each.
    V2,
    /// The binary format in front of the first datagram of a flow alone.
    V2First,
    /// The Simple Proxy Protocol in front of each datagram; the endpoint's answers carry it back.
    Spp,
}

impl SendHeader {
    /// Whether only datagrams can carry it.
    #[must_use]
    pub const fn is_for_datagrams(self) -> bool {
        matches!(self, Self::V2First | Self::Spp)
    }
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

/// How TLS is spoken with endpoints: settled before anyone connects.
#[derive(Clone)]
pub struct EndpointTls {
    pub(crate) terms: Arc<ArcSwap<EndpointTerms>>,
    /// The files that the terms are made of, if there are any.
    pub(crate) files: Option<Arc<dyn FromFiles>>,
    /// Whom to ask for; without one, the endpoint's own address.
    pub name: Option<ServerName<'static>>,
    /// Whether the PROXY header goes inside; otherwise it goes before the handshake.
    pub header_inside: bool,
}

/// Whom to believe, and what to show: as the files say that are current.
#[derive(Debug)]
pub(crate) struct EndpointTerms {
    pub(crate) config: Arc<ClientConfig>,
    /// No two have the same: a kept connection is used again only under the terms that it began with.
    pub(crate) number: u64,
}

impl EndpointTls {
    /// The number of the terms that hold now.
    pub(crate) fn number(&self) -> u64 {
        self.terms.load().number
    }
}

impl PartialEq for EndpointTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.terms, &other.terms)
    }
}

impl Eq for EndpointTls {}

impl fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointTls").field("name", &self.name).finish_non_exhaustive()
    }
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
    /// For which a connection may wait for its turn where there are as many as there may be.
    pub queue: Duration,
    /// For which connections to an endpoint that drains may last.
    pub drain: Duration,
}

impl Default for ClusterTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            queue: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}

/// The limits of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterLimits {
    /// The most connections to all its endpoints at once.
    pub connections: Option<usize>,
    /// How many may wait for one to end.
    pub queue: usize,
}

impl Default for ClusterLimits {
    fn default() -> Self {
        // As many as a busy endpoint serves in the few seconds for which they may wait.
        Self { connections: None, queue: 1024 }
    }
}

/// One endpoint that dies with the request, and one that is found dead after it.
const RETRIES: u8 = 2;
