//! What the commands answer, as JSON.

use std::error::Error;
use std::io::{self, Write as _};
use std::time::Duration;

use foreword_load::{OriginAddresses, Outcome, Tally};
use serde_json::{Value, json};

pub(crate) fn line(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

pub(crate) fn outcome(outcome: &Outcome) -> Value {
    let statuses: serde_json::Map<String, Value> =
        outcome.statuses.iter().map(|(status, count)| (status.to_string(), json!(count))).collect();
    let quantile = |share| outcome.latency.quantile(share).as_ref().map(Duration::as_secs_f64);
    json!({
        "units": outcome.units,
        "failed": outcome.failed(),
        "failures": outcome.failures,
        "first_failure": outcome.first_failure,
        "statuses": statuses,
        "connections": outcome.connections,
        "tickets": outcome.tickets,
        "bytes": outcome.bytes,
        "seconds": outcome.elapsed.as_secs_f64(),
        "latency": { "p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0) },
    })
}

pub(crate) fn addresses(addresses: &OriginAddresses) -> Value {
    json!({
        "http": addresses.http.to_string(),
        "source": addresses.source.to_string(),
        "sink": addresses.sink.to_string(),
        "datagrams": addresses.datagrams.to_string(),
    })
}

pub(crate) fn tally(tally: &Tally) -> Value {
    json!({
        "connections": tally.connections(),
        "headers": tally.headers(),
        "requests": tally.requests(),
        "streams": tally.streams(),
        "datagrams": tally.datagrams(),
        "failures": tally.failures(),
        "first_failure": tally.first_failure(),
    })
}

pub(crate) fn held(held: usize, lost: usize) -> Value {
    json!({ "held": held, "lost": lost })
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
