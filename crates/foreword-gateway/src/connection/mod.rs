//! The story of a connection: accepted, identified, handed to its mode, recorded once.

pub(crate) mod record;
pub(crate) mod stream;
