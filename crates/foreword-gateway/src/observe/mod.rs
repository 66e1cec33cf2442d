//! What the gateway tells about itself: access log, metrics, the lines of refusals.

pub(crate) mod access_log;
pub(crate) mod cluster;
pub(crate) mod counters;
mod endpoint;
pub(crate) mod entry;
pub(crate) mod exchange;
pub(crate) mod journal;
mod metrics;
pub(crate) mod name;
mod process;
#[cfg(test)]
mod reference;
mod teller;
mod termination;

pub use access_log::{AccessLog, AccessLogPlan, LogFormat, LogTarget, LogTemplate, OpenError, Redact};
pub(crate) use endpoint::{CheckResult, EndpointAccount, EndpointSeries};
pub use journal::Observer;
pub use metrics::{Family, Kind};
pub use name::Name;
