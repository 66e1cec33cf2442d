//! The headers that are parsed, and the crates that parse them.

pub mod groups;
pub mod subjects;
