//! What is counted of one endpoint, by whoever finds something out about it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::journal::{Observer, locked};

/// One endpoint of one cluster. It is told of for as long as somebody may connect to it.
#[derive(Debug)]
pub(crate) struct EndpointSeries {
    pub(super) cluster: Box<str>,
    pub(super) address: Box<str>,
    up: AtomicBool,
    checks: [AtomicU64; CheckResult::ALL.len()],
    ejections: AtomicU64,
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

    pub(super) fn checks(&self) -> impl Iterator<Item = (CheckResult, u64)> {
        CheckResult::ALL
            .into_iter()
            .zip(&self.checks)
            .map(|(result, count)| (result, count.load(Ordering::Relaxed)))
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
            up: AtomicBool::new(true),
            checks: Default::default(),
            ejections: AtomicU64::default(),
        });
        let mut known = locked(&self.endpoints);
        known.retain(|series| series.strong_count() > 0);
        known.push(Arc::downgrade(&series));
        series
    }

    /// The endpoints to which somebody may connect.
    pub(super) fn endpoints(&self) -> Vec<Arc<EndpointSeries>> {
        locked(&self.endpoints).iter().filter_map(Weak::upgrade).collect()
    }
}
