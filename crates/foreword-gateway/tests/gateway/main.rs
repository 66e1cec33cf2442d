//! The gateway with real sockets: a file per behaviour.

mod access_log;
mod admin;
mod identify;
mod metrics;
mod support;
mod tcp;
mod tls;
mod trust;
