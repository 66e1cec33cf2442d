//! Decisions without awaits: rules in order, and where a connection may go.

pub mod cluster;
pub mod rules;
