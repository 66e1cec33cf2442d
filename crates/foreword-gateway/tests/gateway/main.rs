//! The gateway with real sockets: a file per behaviour.

mod access_log;
mod admin;
mod bulk;
mod client_certificates;
mod drain;
mod endpoint_tls;
mod health;
mod identify;
mod killed;
mod limits;
mod lists;
mod metrics;
mod nobody;
mod ocsp;
mod passthrough;
mod reload;
mod sending;
mod support;
mod tcp;
mod tls;
mod tls_terms;
mod trust;
mod udp;
mod watch;
