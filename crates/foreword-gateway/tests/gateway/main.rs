//! The gateway with real sockets: a file per behaviour.

mod access_log;
mod admin;
mod bulk;
mod drain;
mod health;
mod identify;
mod limits;
mod metrics;
mod reload;
mod support;
mod tcp;
mod tls;
mod trust;
