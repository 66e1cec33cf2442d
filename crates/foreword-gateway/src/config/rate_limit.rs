//! `then = { rate_limit = { … } }`: how often a rule lets somebody pass.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::document::Table;
use super::keys::RATE_LIMIT;
use super::rules::{Room, known};
use super::source::At;
use crate::plan::Mode;
use crate::policy::key::Key;
use crate::policy::rate::{Rate, RateLimit};
use crate::policy::rules::{Ending, Limit};

/// Reads the limit of a rule, if it has one.
pub(crate) fn read(then: &Table<'_, '_>, room: &Room<'_>) -> Option<Limit> {
    let table = then.table("rate_limit", &RATE_LIMIT)?;
    let notes = table.notes();
    let number = |name| table.number(name).and_then(|at| NonZeroU32::new(u32::try_from(at.value).ok()?));
    if table.get("requests").is_none() {
        notes.problem(table.place.expected("the key `requests`", "none"));
    }
    let count = number("requests");
    let every = table.read("every", |value| match value.duration()? {
        Duration::ZERO => Err(value.expected("some time")),
        every => Ok(every),
    });
    let every = every.map_or(Duration::from_secs(1), |at| at.value);
    let burst = number("burst");
    let keys = number("keys").and_then(|keys| NonZeroUsize::new(keys.get() as usize));
    for (_, place) in table.present(&["status"]).into_iter().filter(|_| room.mode == Mode::Tcp) {
        notes.problem(place.problem("`status` has no effect: a listener in tcp mode has no answers"));
    }
    let status = table.number("status").map_or(429, |at| at.value as u16);
    let per = table.read("per", |value| value.text());
    let per = per.unwrap_or_else(|| At::new("client.ip", table.place.clone()));
    let per = Key::parse(per.value, |name| known(name, room)).map_err(|error| per.place.in_rule(&error));
    let per = notes.keep(per)?;
    let count = count?;
    let rate =
        Rate { per, count, every, burst: burst.unwrap_or(count), keys: keys.or(NonZeroUsize::new(KEYS))? };
    let rate = Arc::new(RateLimit::new(rate, Instant::now()));
    Some(Limit { rate, ending: Ending::Limited { status } })
}

/// A mebibyte.
const KEYS: usize = 65_536;
