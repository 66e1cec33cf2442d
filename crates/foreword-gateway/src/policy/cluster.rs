//! What we connect to: interchangeable endpoints, and how each is introduced to the client.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Its timeouts.
    pub timeout: ClusterTimeouts,
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

/// A TLV that we add to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTlv {
    /// The host name that the client asked for in its TLS handshake.
    Authority,
    /// The connection's id.
    UniqueId,
    /// The checksum over the header.
    Crc32c,
    /// What we know of the client's TLS.
    Ssl,
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
