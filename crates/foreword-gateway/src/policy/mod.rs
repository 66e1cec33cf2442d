//! Decisions without awaits: rules in order, and where a connection may go.

pub mod balance;
pub mod bound;
pub mod cluster;
pub mod compress;
pub mod facts;
pub(crate) mod forwarded;
pub mod health;
pub mod key;
pub mod pages;
pub mod rate;
pub mod rules;
pub mod seats;
pub mod send_tlv;
pub mod sticky;
pub mod terms;
pub mod tlv_kind;
