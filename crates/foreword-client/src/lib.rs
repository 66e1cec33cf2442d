//! A test client that connects as a proxy would: header, TLS, one exchange, and what went wrong.
//!
//! ```
//! use foreword::Version;
//! use foreword_client::introduction::{Introduction, SpeaksFor};
//! use foreword_client::target::{Dots, Target};
//!
//! let target = Target::parse("https://www.example.com/a/../admin", Dots::Resolve)?;
//! assert_eq!((target.port, target.path.as_str()), (443, "/admin"));
//!
//! // The client's address is given; the rest will be the socket's own.
//! let client = SpeaksFor::Client { source: Some("203.0.113.7".parse()?), destination: None };
//! let introduction =
//!     Introduction { version: Version::One, speaks_for: client, datagram: false, tlvs: Vec::new(), checksum: false };
//! let socket = ("10.0.0.5:40000".parse()?, "10.0.1.10:443".parse()?);
//! assert_eq!(introduction.encode(Some(socket))?, b"PROXY TCP4 203.0.113.7 10.0.1.10 40000 443\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod connect;
pub mod connection;
pub mod diagnosis;
pub mod exchange;
pub mod introduction;
pub mod patience;
pub mod target;
pub mod tls;
pub mod transcript;
