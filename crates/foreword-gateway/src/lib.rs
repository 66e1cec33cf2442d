//! The data plane: listeners, trust, TLS, rules, forwarding and drain.

pub mod observe;
pub mod policy;
pub mod refusal;
pub mod tls;

mod connection;
mod drain;
