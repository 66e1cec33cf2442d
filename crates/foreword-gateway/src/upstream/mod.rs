//! The side that we connect to.

pub(crate) mod connect;
mod connecting;
mod ejection;
pub(crate) mod endpoints;
mod handshake;
pub(crate) mod header;
pub(crate) mod health;
mod line;
mod load;
pub(crate) mod membership;
pub(crate) mod names;
pub(crate) mod opening;
pub(crate) mod pool;
pub(crate) mod reach;
mod resolved;
mod standing;
pub(crate) mod state;
pub(crate) mod streams;
mod view;
mod witness;
