//! The data plane: listeners, trust, TLS, rules, forwarding and drain.

pub mod observe;
pub mod plan;
pub mod policy;
pub mod refusal;
pub mod tls;

mod connection;
mod drain;
