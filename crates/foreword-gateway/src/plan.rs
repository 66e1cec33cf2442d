//! Everything that is settled before a connection comes.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foreword::{Parser, PeerAddr, Trust, Verdict};
use foreword_http1::path::PathPolicy;

pub use crate::observe::{AccessLogPlan, LogFormat, LogTarget, LogTemplate, Redact};
use crate::policy::bound::Bound;
pub use crate::policy::cluster::{
    Balance, Cluster, ClusterLimits, ClusterTimeouts, Ejection, Endpoint, EndpointTls, HeaderPlacement,
    InnerHeader, Keepalive, OwnZone, Protocol, SendHeader, Target, WhenAllDown,
};
pub use crate::policy::health::{Body, Check, CheckHeader, HealthCheck, HttpCheck, Statuses};
use crate::policy::pages::ErrorPages;
use crate::policy::rules::Rules;
pub use crate::policy::send_tlv::{DEFAULT_MAX_HEADER, MAX_TLVS, PassTlvs, SendTlv, SslParts, TlvValue};
pub use crate::policy::tlv_kind::{TlvKind, Unfit};
pub use crate::tls::TlsPlan;
use crate::watch::Watched;

/// What the gateway runs. It does not change: a reload makes another.
#[derive(Debug)]
pub struct Plan {
    /// How many workers; one per core unless the file says otherwise.
    pub workers: NonZeroUsize,
    /// Who is asked for names; without any, those that the machine asks.
    pub name_servers: Vec<SocketAddr>,
    /// How long connections may take to end once a drain begins.
    pub drain: Duration,
    /// How many bytes of memory may be in use before new connections are refused; what follows from the cgroup unless the file
    /// says otherwise.
    pub max_memory: Option<u64>,
    /// Whether files are read again when they change.
    pub watch: bool,
    /// From whom certificates are obtained.
    pub acme: Option<AcmePlan>,
    /// The lists of rules that follow their files.
    pub(crate) lists: Vec<Watched>,
    /// In the order of the files.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order of the files; [`Cluster::index`] is a place in it.
    pub clusters: Vec<Arc<Cluster>>,
    /// Where and how requests are recorded.
    pub access_log: Option<AccessLogPlan>,
    /// Where the gateway answers for itself.
    pub admin: Option<AdminPlan>,
    /// What is allowed but probably not meant, ready to print.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// Goes on counting where the plan before did, so that a reload forgives nobody.
    pub(crate) fn take_over(&mut self, before: &Self) {
        for listener in self.listeners.iter_mut().filter_map(Arc::get_mut) {
            if let Some(before) = before.listener(&listener.name) {
                listener.rules.take_over(&before.rules);
                listener.bounds.iter_mut().for_each(|bound| bound.take_over(&before.bounds));
            }
        }
    }

    /// What of it follows its files while it is in force.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        if !self.watch {
            return Vec::new();
        }
        let mut watched = self.lists.clone();
        for listener in &self.listeners {
            let files = listener.tls.iter().flat_map(TlsPlan::files);
            watched.extend(
                files.map(|(what, made)| Watched {
                    name: format!("listener {}: {what}", listener.name),
                    made,
                }),
            );
        }
        for cluster in &self.clusters {
            let files = cluster.tls.iter().filter_map(|tls| tls.files.clone());
            watched
                .extend(files.map(|made| Watched { name: format!("cluster {}: tls", cluster.name), made }));
        }
        watched
    }

    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.iter().find(|cluster| &*cluster.name == name)
    }
}

/// From whom certificates are obtained, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmePlan {
    /// The address of the CA's directory.
    pub directory: String,
    /// A file of certificates that sign that of the directory; without one, those that the system believes do.
    pub directory_ca: Option<PathBuf>,
    /// Where account and certificates of this CA are kept.
    pub folder: PathBuf,
    /// Whom the CA may write to.
    pub contact: Vec<String>,
    /// How names are proven, in the order in which it is tried.
    pub challenges: Vec<AcmeChallenge>,
    /// Which kind of certificates is ordered.
    pub profile: Option<String>,
}

/// How a name is proven to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By what is answered at its port 80, RFC 8555 §8.3.
    Http01,
    /// By what is shown in a handshake at its port 443, RFC 8737.
    TlsAlpn01,
}

impl fmt::Display for AcmeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

/// A bound socket, or several, and what it expects of those who come.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the file.
    pub name: Box<str>,
    /// Never empty.
    pub binds: Vec<Bind>,
    /// What is spoken on it.
    pub mode: Mode,
    /// Whose headers are believed. Without groups everyone is direct and no header is believed.
    pub trust: Option<Trust>,
    /// How headers are read.
    pub header: HeaderPlan,
    /// How TLS is ended here, if it is.
    pub tls: Option<Arc<TlsPlan>>,
    /// How often connections are let in, and how many at once: asked before anything is read behind the header.
    pub bounds: Vec<Bound>,
    /// Its rules; `cluster = "…"` is the last of them.
    pub rules: Rules,
    /// Its timeouts.
    pub timeout: Timeouts,
    /// How those who come are asked whether they are still there.
    pub keepalive: Keepalive,
    /// Its limits.
    pub max: Limits,
    /// How little is taken.
    pub min: Least,
    /// Where HTTP/2 is spoken.
    pub http2: Http2,
    /// What is shown where a request is refused, unless a rule says otherwise.
    pub error_pages: Arc<ErrorPages>,
    /// How paths are normalised.
    pub path: PathPolicy,
    /// How requests are numbered.
    pub request_id: RequestId,
}

impl Listener {
    /// The name of the peer's trust group, if that forbids headers.
    pub(crate) fn forbidding_group(&self, peer: &PeerAddr) -> Option<&str> {
        match self.trust.as_ref()?.judge(peer) {
            Verdict::Direct(group) => group.map(|group| &*group.name),
            Verdict::Proxy(_) | Verdict::Either(_) | Verdict::Stranger => None,
        }
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// `0.0.0.0:443`; `[::]:443` takes IPv4 as well.
    Inet(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
    /// The same as [`Bind::Inet`], for datagrams: the port is another one.
    Udp(SocketAddr),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Udp(address) => write!(f, "udp {address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Bytes, forwarded as they come.
    Tcp,
    /// The same, once the beginning of the client's TLS has been looked at.
    TlsPassthrough,
    /// Requests, decided one by one.
    Http,
    /// Datagrams, in flows that are decided once.
    Udp,
}

/// Where HTTP/2 is spoken on a listener in http mode. It is never guessed from what a client says first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http2 {
    /// Under TLS, with clients that offer it by ALPN.
    #[default]
    Alpn,
    /// Without TLS, by every client.
    PriorKnowledge,
    /// Nowhere.
    Off,
}

/// How the headers of a listener are read.
#[derive(Clone, Debug)]
pub struct HeaderPlan {
    /// From the connection's first moment until its headers are whole.
    pub deadline: Duration,
    /// The longest header that is read.
    pub max_len: usize,
    /// How many connections may owe a header at once; beyond it the oldest goes.
    pub waiting: usize,
    /// Knows `max_len` and the switches of the grammar.
    pub parser: Parser,
    /// What a second header is.
    pub second_header: SecondHeader,
    /// How many headers are read, one behind the other.
    pub chain: NonZeroUsize,
    /// What becomes of LOCAL and UNKNOWN headers, which introduce the peer itself.
    pub unknown: UnknownHeader,
    /// Which datagrams carry a header, and which; in udp mode alone.
    pub datagrams: DatagramHeaders,
}

impl Default for HeaderPlan {
    fn default() -> Self {
        // A v1 line has 107 bytes at most, a v2 header with every registered TLV far less than this.
        let max_len = 4096;
        Self {
            deadline: Duration::from_secs(3),
            max_len,
            waiting: 1024,
            parser: Parser::new().max_len(max_len),
            second_header: SecondHeader::default(),
            chain: NonZeroUsize::MIN,
            unknown: UnknownHeader::default(),
            datagrams: DatagramHeaders::default(),
        }
    }
}

/// Where the header of a flow is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatagramHeaders {
    /// A v2 header in front of every datagram.
    #[default]
    Every,
    /// A v2 header in front of the first datagram of a flow; the peer's address and port say whose the others are.
    First,
    /// The Simple Proxy Protocol in front of every datagram, and of every answer.
    Spp,
}

/// What a header behind the last awaited one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondHeader {
    /// The beginning of the payload.
    #[default]
    Payload,
    /// A reason to refuse the connection.
    Reject,
}

/// What becomes of a header that names no client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownHeader {
    /// The peer is its own client.
    #[default]
    Accept,
    /// The connection is refused.
    Reject,
}

/// The timeouts of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub tls: Duration,
    /// For the head of a request, from its first byte; for the first one, from the connection's readiness.
    pub head: Duration,
    /// For which nothing may move: between requests, within a body, in a tcp connection, in a flow.
    pub idle: Duration,
    /// For a whole tcp connection, however busy it is.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tls: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            total: None,
        }
    }
}

/// The limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest request head, in bytes.
    pub head: usize,
    /// The most fields in it.
    pub fields: usize,
    /// The longest content of a request, in bytes; without it any.
    pub body: Option<u64>,
    /// The most requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// The most connections at once; without it only what descriptors allow.
    pub connections: Option<usize>,
    /// The most flows at once.
    pub flows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // With a socket for each, this is well within the ports that one address has to connect from.
        let flows = 16_384;
        Self { head: 16 * 1024, fields: 100, body: None, streams: 100, connections: None, flows }
    }
}

/// The least that a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// Bytes a second that the body of a request must bring until its answer begins, over `timeout.idle` at a time.
    pub body_rate: u64,
}

impl Default for Least {
    fn default() -> Self {
        // The slowest mobile networks bring ten times as much; who holds a connection with a byte now and then, far less.
        Self { body_rate: 64 }
    }
}

/// How requests are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// The field that carries the id to the upstream, and from a trusted peer that may forward fields.
    pub field: Box<str>,
}

impl Default for RequestId {
    fn default() -> Self {
        Self { field: "X-Request-Id".into() }
    }
}

/// Where the gateway answers for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// A unix socket unless the file says otherwise.
    pub bind: Bind,
}
