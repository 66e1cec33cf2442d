//! `keepalive`, of a listener and of a cluster.

use std::time::Duration;

use super::document::{Table, Value};
use super::keys::Section;
use super::problem::Problem;
use crate::plan::Keepalive;

/// Reads the `keepalive` of a listener or cluster.
pub(crate) fn read(table: &Table<'_, '_>, section: &'static Section) -> Keepalive {
    let default = Keepalive::default();
    let Some(table) = table.table("keepalive", section) else { return default };
    let read = |name, or: Duration| table.read(name, seconds).map_or(or, |at| at.value);
    Keepalive {
        idle: read("idle", default.idle),
        interval: read("interval", default.interval),
        count: table.number("count").and_then(|at| u32::try_from(at.value).ok()).unwrap_or(default.count),
    }
}

/// The kernel counts in seconds, and no further than this.
fn seconds(value: &Value<'_>) -> Result<Duration, Problem> {
    let duration = value.duration()?;
    if duration.subsec_nanos() == 0 && duration.as_secs() <= MOST {
        Ok(duration)
    } else {
        Err(value.expected("whole seconds, up to `9h`"))
    }
}

/// `MAX_TCP_KEEPIDLE` of Linux is 32767 s.
const MOST: u64 = 9 * 60 * 60;
