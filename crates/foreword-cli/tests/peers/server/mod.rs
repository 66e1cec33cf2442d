//! The real servers, each started with the shortest configuration that works.

pub(crate) mod apache;
pub(crate) mod haproxy;
pub(crate) mod hitch;
pub(crate) mod nginx;
pub(crate) mod postfix;
pub(crate) mod varnish;
