//! The side that we connect to.

pub(crate) mod connect;
pub(crate) mod endpoints;
pub(crate) mod names;
pub(crate) mod pool;
pub(crate) mod reach;
