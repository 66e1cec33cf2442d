//! A test client that connects as a proxy would: header, TLS, one exchange, and what went wrong.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

pub mod connect;
pub mod target;
pub mod tls;
pub mod transcript;
