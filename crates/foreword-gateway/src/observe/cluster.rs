//! What is counted and told of a cluster, by each worker.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::counters::ClusterCounters;
use super::journal::Observer;
use crate::refusal::{self, Code, Gates};

/// One cluster through all workers and reloads.
#[derive(Debug)]
pub(crate) struct ClusterSeries {
    pub(super) name: Arc<str>,
    pub(super) counters: Box<[ClusterCounters]>,
    pub(super) gates: Gates,
}

/// What one worker counts about one cluster.
#[derive(Debug)]
pub(crate) struct ClusterAccount {
    pub(super) observer: Arc<Observer>,
    pub(super) series: Arc<ClusterSeries>,
    pub(super) worker: usize,
}

impl ClusterAccount {
    #[expect(clippy::indexing_slicing, reason = "`Scribe::new` has made sure that the worker has its place")]
    fn counters(&self) -> &ClusterCounters {
        &self.series.counters[self.worker]
    }

    /// What the cluster is called.
    pub(crate) fn name(&self) -> &str {
        &self.series.name
    }

    /// A new connection to an endpoint was made.
    pub(crate) fn connected(&self) {
        self.counters().connects.add(1);
    }

    /// An endpoint refused the connection, or could not be reached.
    pub(crate) fn connect_failed(&self) {
        self.counters().refused.add(1);
    }

    /// An endpoint did not take the connection in time.
    pub(crate) fn connect_timed_out(&self) {
        self.counters().timed_out.add(1);
    }

    /// There was no endpoint: no name resolves.
    pub(crate) fn unresolved(&self) {
        self.counters().unresolved.add(1);
    }

    /// No endpoint was up.
    pub(crate) fn all_down(&self) {
        self.counters().all_down.add(1);
    }

    /// Another endpoint is tried, since nothing was sent.
    pub(crate) fn retried(&self) {
        self.counters().retries.add(1);
    }

    /// A request is repeated, since its kept connection was dead.
    pub(crate) fn replayed(&self) {
        self.counters().replays.add(1);
    }

    /// TLVs were left out of a header; `told` says which, and why.
    pub(crate) fn tlvs_left_out(&self, without_room: u64, unfit: u64, told: &dyn fmt::Display) {
        self.counters().tlvs_without_room.add(without_room);
        self.counters().tlvs_unfit.add(unfit);
        self.tell(Code::TlvsLeftOut, told);
    }

    /// An HTTP/2 connection to an endpoint was ended; `told` says to which, and why.
    pub(crate) fn http2_broken(&self, told: &dyn fmt::Display) {
        self.counters().http2_broken.add(1);
        self.tell(Code::EndpointHttp2, told);
    }

    fn tell(&self, code: Code, told: &dyn fmt::Display) {
        let now = Instant::now();
        let Some(left_out) = self.series.gates.admit(code, now) else { return };
        let line = refusal::line_of_cluster(&self.series.name, code, told, left_out);
        if !self.observer.teller.line(code, line) {
            self.series.gates.not_written(code, now);
        }
    }

    /// Somebody waits for a connection to end.
    pub(crate) fn queue_joined(&self) {
        self.counters().queue_joined.add(1);
    }

    /// Somebody waits no longer, whatever came of it.
    pub(crate) fn queue_left(&self) {
        self.counters().queue_left.add(1);
    }

    /// Somebody who waited was served.
    pub(crate) fn queue_served(&self) {
        self.counters().queue_served.add(1);
    }

    /// Somebody waited in vain.
    pub(crate) fn queue_timed_out(&self) {
        self.counters().queue_timed_out.add(1);
    }

    /// Somebody waited until there was no endpoint left to wait for.
    pub(crate) fn queue_without_endpoint(&self) {
        self.counters().queue_without_endpoint.add(1);
    }

    /// Somebody waited no longer: gone, or cut off by a drain.
    pub(crate) fn queue_abandoned(&self) {
        self.counters().queue_abandoned.add(1);
    }

    /// Somebody could not even wait.
    pub(crate) fn queue_full(&self) {
        self.counters().queue_full.add(1);
    }

    /// A kept connection was used.
    pub(crate) fn reused(&self) {
        self.counters().reuses.add(1);
    }
}
