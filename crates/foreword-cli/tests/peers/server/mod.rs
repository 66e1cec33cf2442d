//! The real servers, each started with the shortest configuration that works.

pub(crate) mod apache;
pub(crate) mod caddy;
pub(crate) mod dns;
pub(crate) mod dovecot;
pub(crate) mod gunicorn;
pub(crate) mod haproxy;
pub(crate) mod hitch;
pub(crate) mod lighttpd;
pub(crate) mod nats;
pub(crate) mod nghttpx;
pub(crate) mod nginx;
pub(crate) mod postfix;
pub(crate) mod unbound;
pub(crate) mod varnish;
