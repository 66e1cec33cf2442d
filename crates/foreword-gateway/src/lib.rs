//! The data plane: listeners, trust, TLS, rules, forwarding and drain.

pub mod policy;
pub mod tls;

mod connection;
mod drain;
