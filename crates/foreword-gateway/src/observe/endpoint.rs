//! What is counted of one endpoint, by whoever finds something out about it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::counters::{Counter, EndpointCounters};
use super::journal::{Observer, locked};

/// One endpoint of one cluster. It is told of for as long as somebody may connect to it.
#[derive(Debug)]
pub(crate) struct EndpointSeries {
    pub(super) cluster: Box<str>,
    pub(super) address: Box<str>,
    up: AtomicBool,
    draining: AtomicBool,
    checks: [AtomicU64; CheckResult::ALL.len()],
    ejections: AtomicU64,
    counters: Box<[EndpointCounters]>,
}

/// What one worker counts about one endpoint.
#[derive(Debug)]
pub(crate) struct EndpointAccount {
    series: Arc<EndpointSeries>,
    worker: usize,
}

impl EndpointAccount {
    pub(crate) fn new(series: &Arc<EndpointSeries>, worker: usize) -> Self {
        Self { series: Arc::clone(series), worker }
    }

    fn count(&self, counter: fn(&EndpointCounters) -> &Counter) {
        if let Some(counters) = self.series.counters.get(self.worker) {
            counter(counters).add(1);
        }
    }

    /// It was chosen.
    pub(crate) fn began(&self) {
        self.count(|counters| &counters.began);
    }

    /// What it was chosen for is over.
    pub(crate) fn ended(&self) {
        self.count(|counters| &counters.ended);
    }

    /// It did not take the connection, or did not answer.
    pub(crate) fn failed(&self) {
        self.count(|counters| &counters.failed);
    }
}

/// How a health check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CheckResult {
    /// The endpoint did what was expected of it.
    Passed,
    /// It did something else, or could not be reached.
    Failed,
    /// It took too long.
    TimedOut,
}

impl CheckResult {
    pub(crate) const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::TimedOut];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

impl EndpointSeries {
    /// Notes whether it may be chosen.
    pub(crate) fn is_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }

    /// Notes whether it gets nothing new.
    pub(crate) fn is_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Counts a health check.
    pub(crate) fn checked(&self, result: CheckResult) {
        if let Some(count) = self.checks.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an ejection.
    pub(crate) fn ejected(&self) {
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn checks(&self) -> impl Iterator<Item = (CheckResult, u64)> {
        CheckResult::ALL
            .into_iter()
            .zip(&self.checks)
            .map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }

    /// How often it was chosen, how often that is over, and how often it failed.
    pub(super) fn uses(&self) -> [u64; 3] {
        // What ended is read first: the other way round, one that ends in between would make it negative.
        let sum = |read: fn(&EndpointCounters) -> &Counter| -> u64 {
            self.counters.iter().map(|counters| read(counters).get()).sum()
        };
        let ended = sum(|counters| &counters.ended);
        [sum(|counters| &counters.began), ended, sum(|counters| &counters.failed)]
    }

    pub(super) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }
}

impl Observer {
    /// Begins to tell of an endpoint, which is up until something else is known.
    pub(crate) fn endpoint(&self, cluster: &str, address: String) -> Arc<EndpointSeries> {
        let series = Arc::new(EndpointSeries {
            cluster: cluster.into(),
            address: address.into(),
            draining: AtomicBool::new(false),
            up: AtomicBool::new(true),
            checks: Default::default(),
            ejections: AtomicU64::default(),
            counters: (0..self.workers()).map(|_| EndpointCounters::default()).collect(),
        });
        let mut known = locked(&self.endpoints);
        // Now and then, so that ten thousand new ones take no hundred million looks.
        if known.len().is_power_of_two() {
            known.retain(|series| series.strong_count() > 0);
        }
        known.push(Arc::downgrade(&series));
        series
    }

    /// The endpoints to which somebody may connect.
    pub(super) fn endpoints(&self) -> Vec<Arc<EndpointSeries>> {
        locked(&self.endpoints).iter().filter_map(Weak::upgrade).collect()
    }
}
