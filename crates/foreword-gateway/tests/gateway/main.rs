//! The gateway with real sockets: a file per behaviour.

mod identify;
mod support;
mod tcp;
mod tls;
mod trust;
