//! What came of a run, to the unit.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Failure;
use crate::histogram::Histogram;

/// What came of a run. Units begun are units done plus failures, always.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Units done.
    pub units: u64,
    /// Failures by [kind](Failure::kind).
    pub failures: BTreeMap<&'static str, u64>,
    /// The first failure, in words.
    pub first_failure: Option<String>,
    /// Answers by status, the unwelcome ones included.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections made, handshake included.
    pub connections: u64,
    /// Session tickets that came.
    pub tickets: u64,
    /// Bytes of bodies and streams that were carried, either way.
    pub bytes: u64,
    /// From the first connection to the last answer.
    pub elapsed: Duration,
    /// How long units took, connecting included where a unit needs a connection of its own.
    pub latency: Histogram,
}

impl Outcome {
    /// How many units failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn done(&mut self, took: Duration, bytes: u64) {
        self.units += 1;
        self.bytes += bytes;
        self.latency.record(took);
    }

    pub(crate) fn fail(&mut self, failure: &Failure) {
        *self.failures.entry(failure.kind()).or_default() += 1;
        self.first_failure.get_or_insert_with(|| failure.told());
    }
}
