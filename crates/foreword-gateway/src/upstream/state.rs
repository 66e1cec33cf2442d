//! What all workers know of an endpoint: whether it may be chosen, why not, and since when. Atomics; nobody waits.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::endpoints::Address;
use super::membership::ClusterState;
use crate::observe::EndpointSeries;

/// What is known of an endpoint of a cluster, whichever plan names it.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) address: Address,
    pub(crate) series: Arc<EndpointSeries>,
    pub(super) cluster: Weak<ClusterState>,
    pub(super) clock: Clock,
    /// Whether its check says so. Without a check, and before the first one has ended, it does not.
    is_down: AtomicBool,
    /// Until when it is left alone; zero while it is not ejected.
    pub(super) ejected_until: AtomicU64,
    /// Since when it is usable again; zero if it has been since it was named.
    usable_since: AtomicU64,
    /// Connections in a row that were not made.
    pub(super) failed_connects: AtomicU32,
    /// Answers in a row that did not come, or did no good.
    pub(super) failed_answers: AtomicU32,
    /// How often it was ejected, less what it has lived down since.
    pub(super) ejections: AtomicU32,
    /// Who wants it drained: bits of [`DrainedBy`].
    drained_by: AtomicU8,
    /// When its last connections are to end; zero while it does not drain.
    drains_until: AtomicU64,
    /// For how long they may last once it drains, in milliseconds.
    patience: AtomicU64,
    /// How many connections of all workers it has, where it has a limit.
    pub(super) taken: Arc<AtomicUsize>,
    /// Why it is not usable, for those who look.
    why: ArcSwapOption<String>,
}

/// What an endpoint is, for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It may be chosen.
    Up,
    /// Its check failed.
    Down,
    /// It failed those who came, and is left alone for a while.
    Ejected,
    /// The file says, or somebody at the admin socket, that it gets nothing new.
    Draining,
}

impl Condition {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
        }
    }
}

impl EndpointState {
    pub(super) fn new(
        address: Address,
        cluster: Weak<ClusterState>,
        series: Arc<EndpointSeries>,
        clock: Clock,
    ) -> Self {
        Self {
            address,
            series,
            cluster,
            clock,
            is_down: AtomicBool::new(false),
            ejected_until: AtomicU64::new(0),
            usable_since: AtomicU64::new(0),
            failed_connects: AtomicU32::new(0),
            failed_answers: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            drained_by: AtomicU8::new(0),
            drains_until: AtomicU64::new(0),
            patience: AtomicU64::new(0),
            taken: Arc::default(),
            why: ArcSwapOption::empty(),
        }
    }

    /// The name of its cluster.
    pub(super) fn cluster_name(&self) -> Box<str> {
        self.cluster.upgrade().map_or_else(|| "gone".into(), |cluster| cluster.name.clone())
    }

    /// Whether it may be chosen now. One whose ejection is over may be chosen once: see [`admit`](Self::admit).
    pub(crate) fn is_usable(&self) -> bool {
        if self.is_down.load(Ordering::Relaxed) || self.is_draining() {
            return false;
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        // The clock is asked only where there is something to wait for.
        until == 0 || until <= self.clock.now()
    }

    /// Takes the endpoint for one connection, and tells what that is for; `None` if somebody else tries it just now.
    ///
    /// The first one after an ejection is a trial: until it is known how that goes, nobody else comes.
    pub(crate) fn admit(&self) -> Option<Admission> {
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until == 0 {
            return Some(Admission::Usual);
        }
        let now = self.clock.now();
        // Whoever tries it may wait for long, or never say how it went.
        let next = now + millis(TRIAL);
        let taken = until <= now
            && self.ejected_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        taken.then_some(Admission::Trial(Trial(next)))
    }

    /// The trial was for nothing: whoever comes next may try, unless somebody does already or it was ejected anew.
    pub(super) fn give_back(&self, Trial(until): Trial) {
        let now = self.clock.now();
        let _moved_on = self.ejected_until.compare_exchange(until, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// For how long it has been usable, if it was not before: then it may want to start slowly.
    pub(crate) fn usable_for(&self) -> Option<Duration> {
        match self.usable_since.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Duration::from_millis(self.clock.now().saturating_sub(since))),
        }
    }

    /// What it is now.
    pub(crate) fn condition(&self) -> Condition {
        if self.is_draining() {
            Condition::Draining
        } else if self.is_down.load(Ordering::Relaxed) {
            Condition::Down
        } else if self.ejected_until.load(Ordering::Relaxed) > 0 {
            Condition::Ejected
        } else {
            Condition::Up
        }
    }

    /// Whether everybody may come.
    pub(crate) fn is_up(&self) -> bool {
        self.condition() == Condition::Up
    }

    /// Why it is what it is; nothing for one that is up.
    pub(crate) fn why(&self) -> Option<String> {
        self.why.load().as_deref().cloned()
    }

    /// Whether it gets nothing new.
    pub(crate) fn is_draining(&self) -> bool {
        self.drains_until.load(Ordering::Relaxed) > 0
    }

    /// For how much longer its last connections may go on, if it drains.
    pub(super) fn drains_for(&self) -> Option<Duration> {
        match self.drains_until.load(Ordering::Relaxed) {
            0 => None,
            until => Some(Duration::from_millis(until.saturating_sub(self.clock.now()))),
        }
    }

    /// Notes for how long its connections may last once it drains.
    pub(super) fn lets_go_within(&self, patience: Duration) {
        self.patience.store(millis(patience), Ordering::Relaxed);
    }

    /// Lets its connections go, or takes new ones again unless somebody else wants it drained. Who says the same twice
    /// moves no deadline.
    pub(super) fn drain(&self, by: DrainedBy, drains: bool) {
        let wanted = match drains {
            true => self.drained_by.fetch_or(by as u8, Ordering::Relaxed) | by as u8,
            false => self.drained_by.fetch_and(!(by as u8), Ordering::Relaxed) & !(by as u8),
        };
        if wanted > 0 && !self.is_draining() {
            let until = self.clock.now() + self.patience.load(Ordering::Relaxed);
            self.drains_until.store(until, Ordering::Relaxed);
            self.changed();
        } else if wanted == 0 && self.drains_until.swap(0, Ordering::Relaxed) > 0 {
            self.came_back();
            self.changed();
        }
    }

    /// Who wants it drained.
    pub(crate) fn drained_by(&self) -> Vec<&'static str> {
        let wanted = self.drained_by.load(Ordering::Relaxed);
        let is_one = |(by, _): &(DrainedBy, &str)| wanted & *by as u8 > 0;
        [(DrainedBy::File, "file"), (DrainedBy::Hand, "admin")]
            .into_iter()
            .filter(is_one)
            .map(|(_, name)| name)
            .collect()
    }

    /// Notes what its check has found. The first to say that it is up again starts its slow start.
    pub(crate) fn found(&self, finding: Finding) {
        let is_down = matches!(finding, Finding::Down(_));
        let was_down = self.is_down.swap(is_down, Ordering::Relaxed);
        match finding {
            Finding::Down(why) => self.why.store(Some(Arc::new(why))),
            Finding::Up if was_down => self.came_back(),
            Finding::Up => {}
        }
        self.changed();
    }

    /// Its ejection is over for good.
    pub(super) fn readmit(&self) {
        if self.ejected_until.swap(0, Ordering::Relaxed) > 0 {
            self.came_back();
            self.changed();
        }
    }

    /// It is left alone from now on.
    pub(super) fn leave_alone(&self, duration: Duration, why: String) {
        self.why.store(Some(Arc::new(why)));
        self.ejected_until.store(self.clock.now() + millis(duration), Ordering::Relaxed);
    }

    fn came_back(&self) {
        self.failed_connects.store(0, Ordering::Relaxed);
        self.failed_answers.store(0, Ordering::Relaxed);
        self.usable_since.store(self.clock.now(), Ordering::Relaxed);
        if self.is_up() {
            self.why.store(None);
        }
    }

    fn changed(&self) {
        self.series.is_up(self.is_up());
        self.series.is_draining(self.is_draining());
        if let Some(cluster) = self.cluster.upgrade() {
            cluster.look_around();
        }
    }
}

/// Who wants an endpoint drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum DrainedBy {
    /// The file: `drain = true`.
    File = 1,
    /// Somebody at the admin socket.
    Hand = 2,
}

/// What a check has found.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It is up.
    Up,
    /// It is down, and why.
    Down(String),
}

/// What an endpoint was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A connection like any other.
    Usual,
    /// One that decides whether others may come.
    Trial(Trial),
}

/// That an endpoint is tried after its ejection: by whom, is told by when the next may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial(u64);

/// Milliseconds since the gateway began, and never zero: in the atomics here zero is "not at all".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        millis(self.0.elapsed()) + 1
    }
}

/// Durations of a file are bounded, and no machine runs for as long as these are exact.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

/// How long nobody else comes while one tries an endpoint anew.
const TRIAL: Duration = Duration::from_secs(5);
