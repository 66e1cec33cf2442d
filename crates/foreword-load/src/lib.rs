//! Load on servers that read PROXY headers, counted to the unit, and the origin behind them.
//!
//! What is measured is the server in between, so both ends do as little as they can: one thread, one buffer per
//! connection, requests written from bytes made once. And both count: [`run()`] says how many units were done and how
//! each of the others failed, [`Origin`] how many connections, headers and requests it saw. A run with a failure is no
//! measurement.
//!
//! Everything here runs on a [`tokio::runtime::LocalRuntime`] or in a [`tokio::task::LocalSet`].

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod answer;
mod connection;
mod datagrams;
mod failure;
mod histogram;
mod hold;
mod load;
mod multiplexed;
mod origin;
mod outcome;
mod run;
mod stream;
mod tls;

pub use failure::Failure;
pub use histogram::Histogram;
pub use hold::{Held, hold};
pub use load::{Datagrams, Load, Multiplexed, Requests, Streams, Until, Way, Work};
pub use origin::{Origin, OriginAddresses, OriginSettings, Tally};
pub use outcome::Outcome;
pub use run::run;
pub use tls::{Suite, Tls, TlsSetupError};
