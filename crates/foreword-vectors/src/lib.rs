//! PROXY protocol headers, good and bad, each with the requirement it stands for; and the requirements. Data, no logic.
//!
//! ```
//! use foreword_vectors::{Answer, vectors};
//!
//! let basic = vectors().iter().find(|vector| vector.id == "v1-tcp4-basic").unwrap();
//! let Answer::Accept(expected) = &basic.answer else { panic!("it is a good one") };
//! assert_eq!(expected.header_len, 47);
//! ```

use std::net::SocketAddr;
use std::sync::LazyLock;

mod file;

/// The bytes a receiver sees first, and what it should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    /// A stable name.
    pub id: String,
    /// The requirement that decides.
    pub req: String,
    /// How binding it is.
    pub level: Level,
    /// The bytes, from the first of the connection or the datagram on. Payload may follow the header.
    pub input: Vec<u8>,
    /// The version that the bytes announce.
    pub version: Option<Version>,
    /// What to answer.
    pub answer: Answer,
    /// What is not default about the receiver.
    pub opts: Opts,
    /// What the vector is for, where known receivers differ, and which section decides.
    pub note: String,
}

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Demanded by the specification.
    Must,
    /// Asked for by the specification.
    Should,
    /// Our decision, where the specification is silent or open.
    Choice,
}

/// A header format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// The text format.
    One,
    /// The binary format.
    Two,
    /// The Simple Proxy Protocol.
    Spp,
}

/// What a receiver should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A whole, valid header, with these values.
    Accept(Box<Expected>),
    /// No further bytes can make this valid.
    Reject {
        /// Why, in a few words; not a message to match.
        why: String,
    },
    /// The beginning of some valid header.
    NeedMore,
}

/// The values of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whether the command is LOCAL.
    pub local: bool,
    /// The family that both addresses belong to.
    pub family: Family,
    /// The transport.
    pub transport: Transport,
    /// The source, where one is given.
    pub source: Option<Address>,
    /// The destination, where one is given.
    pub destination: Option<Address>,
    /// All top-level TLVs in order, kind and value.
    pub tlvs: Vec<(u8, Vec<u8>)>,
    /// How many bytes the header takes.
    pub header_len: usize,
    /// Whether building a header from these values gives the same bytes (`true`), must not (`false`), or is not asked.
    pub canonical: Option<bool>,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// No address.
    Unspecified,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// Unix sockets.
    Unix,
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Not said.
    Unspecified,
    /// A stream.
    Stream,
    /// Datagrams.
    Datagram,
}

/// An address in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// The bytes of a Unix socket's address, without padding.
    Unix(Vec<u8>),
}

/// What is not default about the receiver of a vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opts {
    /// The limit on the whole header.
    pub max_header_len: Option<usize>,
    /// Whether the bytes are one datagram.
    pub datagram: bool,
    /// Whether the receiver expects the Simple Proxy Protocol.
    pub spp: bool,
}

/// A requirement on headers, on those who send them, or on those who receive them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Its id, as in `R-V1-05`.
    pub id: String,
    /// What it is about.
    pub area: String,
    /// How binding it is.
    pub level: Level,
    /// The section of the specification; empty where it is not from there.
    pub section: String,
    /// What it says.
    pub text: String,
    /// What we do about it, where that is open.
    pub choice: String,
}

/// All vectors.
#[must_use]
pub fn vectors() -> &'static [Vector] {
    static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(file::vectors);
    &VECTORS
}

/// All requirements.
#[must_use]
pub fn requirements() -> &'static [Requirement] {
    static REQUIREMENTS: LazyLock<Vec<Requirement>> = LazyLock::new(file::requirements);
    &REQUIREMENTS
}
