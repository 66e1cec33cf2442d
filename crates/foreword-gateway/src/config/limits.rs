//! `rate_limit` and `limit_connections`, of rules and of listeners: how often, and how many at once.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreword_rule::{Scope, Variable};

use super::document::{Table, shown};
use super::keys::{ARRIVAL_LIMIT, ARRIVAL_RATE, LIMIT_CONNECTIONS, RATE_LIMIT};
use super::room::{Room, known};
use super::source::At;
use crate::plan::Mode;
use crate::policy::bound::Bound;
use crate::policy::key::Key;
use crate::policy::rate::{Rate, RateLimit};
use crate::policy::rules::{Ending, Limit};
use crate::policy::seats::SeatLimit;

/// Reads the limits of a rule.
pub(crate) fn of_rule(then: &Table<'_, '_>, room: &Room<'_>) -> Vec<Limit> {
    let known = |name: &str| known(name, room);
    let rate = then.table("rate_limit", &RATE_LIMIT);
    let rate = rate.map(|table| (read_rate(&table, "requests", known), table));
    let seats = then.table("limit_connections", &LIMIT_CONNECTIONS);
    let seats = seats.map(|table| (read_seats(&table, known), table));
    // Seats first: whoever finds none has used nothing up.
    [seats, rate]
        .into_iter()
        .flatten()
        .filter_map(|(bound, table)| {
            let ending = Ending::Limited { status: read_status(&table, room) };
            Some(Limit { bound: bound?, ending })
        })
        .collect()
}

/// Reads the limits of a listener, which are asked before TLS and before any request.
pub(crate) fn of_listener(listener: &Table<'_, '_>, room: &Room<'_>) -> Vec<Bound> {
    let seats = listener.table("limit_connections", &ARRIVAL_LIMIT);
    let rate = listener.table("rate_limit", &ARRIVAL_RATE);
    let known = |name: &str| known_on_arrival(name, room);
    let seats = seats.and_then(|table| read_seats(&table, known));
    let rate = rate.and_then(|table| read_rate(&table, "connections", known));
    [seats, rate].into_iter().flatten().collect()
}

/// The variable of this name, if it has a value as soon as the client is known.
fn known_on_arrival(name: &str, room: &Room<'_>) -> Result<Variable, String> {
    let variable = known(name, room)?;
    let arrival = Scope {
        http: false,
        tls: false,
        client_certificate: false,
        hello: false,
        passwords: false,
        ..room.scope
    };
    match arrival.why_missing(&variable) {
        Some(_) => Err(format!(
            "expected a value that is known before TLS and the first request, found {}",
            shown(name)
        )),
        None => Ok(variable),
    }
}

fn read_seats(table: &Table<'_, '_>, known: impl Fn(&str) -> Result<Variable, String>) -> Option<Bound> {
    let most = require_number(table, "max");
    let per = read_key(table, known)?;
    Some(Bound::Seats(SeatLimit::new(per, most?)))
}

fn read_rate(
    table: &Table<'_, '_>,
    what: &'static str,
    known: impl Fn(&str) -> Result<Variable, String>,
) -> Option<Bound> {
    let count = require_number(table, what);
    let every = table.read("every", |value| match value.duration()? {
        Duration::ZERO => Err(value.expected("some time")),
        every => Ok(every),
    });
    let every = every.map_or(Duration::from_secs(1), |at| at.value);
    let burst = number(table, "burst");
    let keys = number(table, "keys").and_then(|keys| NonZeroUsize::new(keys.get() as usize));
    let per = read_key(table, known)?;
    let count = count?;
    let keys = keys.or(NonZeroUsize::new(KEYS))?;
    let rate = Rate { per, count, every, burst: burst.unwrap_or(count), keys };
    Some(Bound::Rate(Arc::new(RateLimit::new(rate, Instant::now()))))
}

fn require_number(table: &Table<'_, '_>, name: &'static str) -> Option<NonZeroU32> {
    if table.get(name).is_none() {
        table.notes().problem(table.place.expected(format_args!("the key `{name}`"), "none"));
    }
    number(table, name)
}

fn number(table: &Table<'_, '_>, name: &'static str) -> Option<NonZeroU32> {
    table.number(name).and_then(|at| NonZeroU32::new(u32::try_from(at.value).ok()?))
}

fn read_key(table: &Table<'_, '_>, known: impl Fn(&str) -> Result<Variable, String>) -> Option<Key> {
    let per = table.read("per", |value| value.text());
    let per = per.unwrap_or_else(|| At::new("client.ip", table.place.clone()));
    let key = Key::parse(per.value, known).map_err(|error| per.place.in_rule(&error));
    table.notes().keep(key)
}

fn read_status(table: &Table<'_, '_>, room: &Room<'_>) -> u16 {
    for (_, place) in table.present(&["status"]).into_iter().filter(|_| room.mode != Mode::Http) {
        let why = "`status` has no effect: only a listener in http mode has answers";
        table.notes().problem(place.problem(why));
    }
    table.number("status").map_or(429, |at| at.value as u16)
}

/// A mebibyte.
const KEYS: usize = 65_536;
