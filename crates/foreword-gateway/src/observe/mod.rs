//! What the gateway tells about itself: access log, metrics, admin socket.

pub(crate) mod access_log;
pub(crate) mod counters;
pub(crate) mod entry;
pub(crate) mod journal;
pub(crate) mod name;
mod teller;
mod termination;

pub use access_log::{AccessLog, AccessLogPlan, LogFormat, LogTarget, LogTemplate, OpenError, Redact};
pub use journal::Observer;
pub use name::Name;
