//! What `then` says of how somebody is served: `max_body`, `timeout` and `log`.

use std::num::NonZeroU32;

use super::document::{Table, Value};
use super::keys::{LOG_SHARE, RULE_TIMEOUT};
use super::problem::Problem;
use super::room::{Room, no_requests};
use crate::plan::Mode;
use crate::policy::rules::Change;
use crate::policy::terms::{LogShare, Terms};

/// Reads what a rule says of how somebody is served, if it says anything.
pub(crate) fn read(then: &Table<'_, '_>, room: &Room<'_>) -> Option<Change> {
    note_what_has_no_effect(then, room);
    let mut terms = Terms {
        max_body: then.size("max_body").map(|at| at.value as u64),
        log: read_log(then),
        ..Terms::default()
    };
    if let Some(table) = then.table("timeout", &RULE_TIMEOUT) {
        if table.all_present().is_empty() {
            table.notes().problem(table.place.expected("at least one time", "none, which has no effect"));
        }
        let read = |name| table.read(name, |value| value.duration()).map(|at| at.value);
        (terms.idle, terms.response, terms.total) = (read("idle"), read("response"), read("total"));
    }
    (terms != Terms::default()).then_some(Change::Terms(terms))
}

fn note_what_has_no_effect(then: &Table<'_, '_>, room: &Room<'_>) {
    let http = room.mode == Mode::Http;
    let note = |table: &Table<'_, '_>, keys: &'static [&'static str], works: bool, why: &str| {
        for (name, place) in table.present(keys).into_iter().filter(|_| !works) {
            table.notes().problem(place.problem(format!("`{name}` has no effect: {why}")));
        }
    };
    note(then, &["max_body"], http, no_requests(room.mode));
    if let Some(timeout) = then.peek_table("timeout", &RULE_TIMEOUT) {
        note(&timeout, &["response"], http, no_requests(room.mode));
        let per_request = "in http mode `idle` and `response` bound each request";
        note(&timeout, &["total"], !http, per_request);
        note(
            &timeout,
            &["total"],
            room.mode != Mode::Udp,
            "a listener in udp mode has flows, not connections",
        );
    }
}

/// `true`, `false`, `"1/100"`, or a table that says more.
fn read_log(then: &Table<'_, '_>) -> Option<LogShare> {
    let value = then.get("log")?;
    if value.is_table() {
        let table = then.table("log", &LOG_SHARE)?;
        let one_in = table.read("sample", sample).map(|at| at.value);
        let errors = table.read("errors", |value| value.boolean()).is_none_or(|at| at.value);
        return Some(LogShare { one_in, errors });
    }
    let share = then.read("log", |value| match value.boolean() {
        Ok(true) => Ok(LogShare::ALL),
        Ok(false) => Ok(LogShare::NONE),
        Err(_) if value.is_text() => Ok(LogShare { one_in: Some(sample(value)?), errors: true }),
        Err(_) => Err(value.expected("`true`, `false`, a share such as `\"1/100\"`, or a table")),
    });
    share.map(|at| at.value)
}

/// `1/100`: one line in a hundred.
fn sample(value: &Value<'_>) -> Result<NonZeroU32, Problem> {
    let one_in = value.text()?.strip_prefix("1/").and_then(|one_in| {
        match one_in.bytes().all(|byte| byte.is_ascii_digit()) {
            true => one_in.parse().ok(),
            false => None,
        }
    });
    one_in.ok_or_else(|| value.expected("a share such as `\"1/100\"`"))
}
