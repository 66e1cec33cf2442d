//! The data plane: listeners, trust, TLS, rules, forwarding and drain.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod config;
pub mod gateway;
pub mod observe;
pub mod passwords;
pub mod plan;
pub mod policy;
pub mod refusal;
pub mod tls;
pub mod trial;

mod acme;
mod admin;
mod admission;
mod alarm;
mod connection;
mod control;
mod datagram;
mod digits;
mod drain;
mod folders;
#[cfg(test)]
mod rooms;
mod sockets;
mod stream;
mod threads;
mod upstream;
mod watch;
mod worker;

pub use gateway::Gateway;
