//! A test client that connects as a proxy would: header, TLS, one exchange, and what went wrong.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod connect;
pub mod connection;
pub mod diagnosis;
pub mod exchange;
pub mod introduction;
pub mod target;
pub mod tls;
pub mod transcript;
