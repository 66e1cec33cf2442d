//! The PROXY protocol: bytes to header and header to bytes, and whose headers to believe.
//!
//! A load balancer puts a PROXY header in front of a connection to say who is really calling. This crate parses
//! both versions of it and builds both, without sockets, clocks, `unsafe` or allocation while parsing.
//!
//! ```
//! use foreword::{Header, Parse};
//!
//! let input = b"PROXY TCP4 192.0.2.10 198.51.100.20 56324 443\r\nGET / HTTP/1.1\r\n";
//! let Parse::Complete { header, len } = Header::parse(input)? else {
//!     panic!("the line is whole");
//! };
//! assert_eq!(header.source(), Some("192.0.2.10:56324".parse().unwrap()));
//! assert_eq!(&input[len..], b"GET / HTTP/1.1\r\n");
//! # Ok::<(), foreword::Malformed>(())
//! ```
//!
//! There are three answers: [`Parse::Complete`]; [`Parse::Incomplete`], with a number of bytes that a reader may
//! wait for without ever taking one that belongs to what follows; and [`Malformed`], said at the first byte that no
//! header can have there.
//!
//! # Features
//!
//! - `alloc` (default): [`HeaderBuf`], which owns its bytes, and [`Builder`].
//! - `trust`: trust groups. Only they turn a header's claim into a client. Brings `ipnet` and `prefix-trie`.
//!
//! Sections cited as §2.1 are those of the [specification]; ids such as `R-V1-05` those of this repository's
//! `docs/spec.md`.
//!
//! [specification]: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
#[cfg(feature = "alloc")]
mod buf;
#[cfg(feature = "alloc")]
pub mod build;
mod checksum;
mod error;
mod header;
mod looks;
mod reader;
pub mod spp;
#[cfg(feature = "alloc")]
pub mod text;
mod tlv;
#[cfg(feature = "trust")]
mod trust;
mod v1;
mod v2;
mod writer;

pub use address::{Addresses, Command, Family, Transport, UnixPath, Version};
#[cfg(feature = "alloc")]
pub use buf::{HeaderBuf, ParseBuf};
#[cfg(feature = "alloc")]
pub use build::Builder;
pub use error::{BuildError, Fault, Field, Malformed};
pub use header::{Header, MAX_LEN, Parse, Parser, announced_len};
pub use looks::{Looks, Signature, looks_like, signature};
pub use tlv::kind;
pub use tlv::ssl::Ssl;
pub use tlv::{AlibabaKind, Authority, RawTlv, RawTlvs, Tlv, Tlvs, ViewError};
#[cfg(feature = "trust")]
pub use trust::{
    ClaimPolicy, ClaimRefused, Client, ClientAddr, Group, HeaderPolicy, PeerAddr, Trust, TrustError,
    TrustedProxy, Verdict,
};
