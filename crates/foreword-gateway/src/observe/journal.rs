//! Where records come from and end up: the observer of the process, the scribe of a worker, the journal of a listener.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::counters::{ClusterCounters, ListenerCounters};
use super::entry::{Exchange, Known};
use super::name::Wants;
use super::teller::Teller;
use crate::refusal::{self, Gates, Place, Refusal};

/// What the process knows of itself. Counters outlive reloads: a listener that comes back goes on counting.
#[derive(Debug)]
pub struct Observer {
    workers: usize,
    pub(super) started: SystemTime,
    pub(super) listeners: Mutex<Vec<Arc<ListenerSeries>>>,
    pub(super) clusters: Mutex<Vec<Arc<ClusterSeries>>>,
    pub(super) reloads: Reloads,
    draining: AtomicBool,
    teller: Teller,
}

impl Observer {
    /// Makes the observer of a gateway with this many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new_cyclic(|observer| Self {
            workers,
            started: SystemTime::now(),
            listeners: Mutex::default(),
            clusters: Mutex::default(),
            reloads: Reloads::default(),
            draining: AtomicBool::new(false),
            teller: Teller::start(Weak::clone(observer)),
        })
    }

    /// Notes that the gateway is on its way out: `/readyz` says so from now on.
    pub fn drain_began(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new connections are welcome.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Notes that a plan went into force: the first, or one by a reload.
    pub fn plan_took_over(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reloads.last_success_millis.store(now.as_millis() as u64, Ordering::Relaxed);
        self.reloads.last_failed.store(0, Ordering::Relaxed);
    }

    /// Notes that a reload succeeded.
    pub fn reload_succeeded(&self) {
        self.reloads.succeeded.fetch_add(1, Ordering::Relaxed);
        self.plan_took_over();
    }

    /// Notes that a reload failed and the old plan goes on.
    pub fn reload_failed(&self) {
        self.reloads.failed.fetch_add(1, Ordering::Relaxed);
        self.reloads.last_failed.store(1, Ordering::Relaxed);
    }

    /// Connections that are open now, at all listeners.
    pub fn open_connections(&self) -> u64 {
        locked(&self.listeners).iter().map(|series| series.open()).sum()
    }

    fn listener(&self, name: &str, unit: Unit) -> Arc<ListenerSeries> {
        let mut known = locked(&self.listeners);
        if let Some(series) = known.iter().find(|series| &*series.name == name && series.unit == unit) {
            return Arc::clone(series);
        }
        let counters = (0..self.workers).map(|_| ListenerCounters::new()).collect();
        let gates = Gates::new(Instant::now());
        let series = Arc::new(ListenerSeries { name: name.into(), unit, counters, gates });
        known.push(Arc::clone(&series));
        series
    }

    fn cluster(&self, name: &str) -> Arc<ClusterSeries> {
        let mut known = locked(&self.clusters);
        if let Some(series) = known.iter().find(|series| &*series.name == name) {
            return Arc::clone(series);
        }
        let counters = (0..self.workers).map(|_| ClusterCounters::default()).collect();
        let series = Arc::new(ClusterSeries { name: name.into(), counters });
        known.push(Arc::clone(&series));
        series
    }
}

/// How reloads went. Written by the control thread, seldom.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) last_failed: AtomicU64,
    pub(super) last_success_millis: AtomicU64,
}

/// What a record of a listener tells about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// In tcp mode: one record, and one line, for each connection.
    Connection,
    /// In http mode: one line for each request; the connection itself is only counted.
    Request,
}

impl Unit {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "tcp",
            Self::Request => "http",
        }
    }
}

/// One listener through all workers and reloads.
#[derive(Debug)]
pub(crate) struct ListenerSeries {
    pub(super) name: Arc<str>,
    pub(super) unit: Unit,
    pub(super) counters: Box<[ListenerCounters]>,
    pub(super) gates: Gates,
}

impl ListenerSeries {
    /// Connections that are open now, at all workers.
    pub(crate) fn open(&self) -> u64 {
        self.counters.iter().map(ListenerCounters::open).sum()
    }
}

/// One cluster through all workers and reloads.
#[derive(Debug)]
pub(crate) struct ClusterSeries {
    pub(super) name: Arc<str>,
    pub(super) counters: Box<[ClusterCounters]>,
}

/// What one worker writes with. It stays on the worker's thread, so its counters have one writer.
#[derive(Debug)]
pub(crate) struct Scribe {
    observer: Arc<Observer>,
    worker: usize,
    spare: RefCell<Vec<Box<Exchange>>>,
}

impl Scribe {
    /// Makes the scribe of the worker with this number, counted from zero; each number is given once.
    pub(crate) fn new(observer: Arc<Observer>, worker: usize) -> Rc<Self> {
        assert!(worker < observer.workers, "a worker that the observer was not told of");
        Rc::new(Self { observer, worker, spare: RefCell::default() })
    }

    /// Opens the journal of a listener: once for each plan, not for each connection.
    pub(crate) fn journal(self: &Rc<Self>, listener: &str, unit: Unit) -> Rc<Journal> {
        Rc::new(Journal {
            series: self.observer.listener(listener, unit),
            scribe: Rc::clone(self),
            wants: Wants::NOTHING,
        })
    }

    /// Opens the account of a cluster: once for each plan.
    pub(crate) fn cluster(&self, name: &str) -> ClusterAccount {
        ClusterAccount { series: self.observer.cluster(name), worker: self.worker }
    }

    fn exchange(&self, begun: Instant) -> Box<Exchange> {
        match self.spare.borrow_mut().pop() {
            Some(mut exchange) => {
                exchange.renew(begun);
                exchange
            }
            None => Box::new(Exchange::new(begun)),
        }
    }

    fn give_back(&self, exchange: Box<Exchange>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE {
            spare.push(exchange);
        }
    }
}

/// The journal of one listener at one worker, under one plan.
#[derive(Debug)]
pub(crate) struct Journal {
    series: Arc<ListenerSeries>,
    scribe: Rc<Scribe>,
    wants: Wants,
}

impl Journal {
    pub(crate) fn counters(&self) -> &ListenerCounters {
        &self.series.counters[self.scribe.worker]
    }

    pub(crate) fn unit(&self) -> Unit {
        self.series.unit
    }

    /// What the access log wants to know; nothing else need be looked for.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    /// The request fields that the access log wants, in lower case.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        [].into_iter()
    }

    /// Counts a refusal, and tells of it as often as its gate allows.
    pub(crate) fn refused(&self, known: &Known, refusal: &Refusal<'_>) {
        self.counters().refused(refusal.code, refusal.requirement);
        if !refusal.code.is_told() {
            return;
        }
        let now = Instant::now();
        let Some(left_out) = self.series.gates.admit(refusal.code, now) else { return };
        let (local, peer) = (known.local.as_ref(), known.peer.as_ref());
        let place = Place { listener: &self.series.name, local, peer };
        if !self.scribe.observer.teller.line(refusal::line(&place, refusal, left_out)) {
            self.series.gates.not_written(refusal.code, now);
        }
    }

    pub(crate) fn exchange(&self, begun: Instant) -> Box<Exchange> {
        self.scribe.exchange(begun)
    }

    pub(crate) fn give_back(&self, exchange: Box<Exchange>) {
        self.scribe.give_back(exchange);
    }
}

/// What one worker counts about one cluster.
#[derive(Debug)]
pub(crate) struct ClusterAccount {
    series: Arc<ClusterSeries>,
    worker: usize,
}

impl ClusterAccount {
    fn counters(&self) -> &ClusterCounters {
        &self.series.counters[self.worker]
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

    /// Another endpoint is tried, since nothing was sent.
    pub(crate) fn retried(&self) {
        self.counters().retries.add(1);
    }

    /// A request is repeated, since its kept connection was dead.
    pub(crate) fn replayed(&self) {
        self.counters().replays.add(1);
    }

    /// A kept connection was used.
    pub(crate) fn reused(&self) {
        self.counters().reuses.add(1);
    }
}

/// The lock guards a list that is only pushed to, so one that a panic left is as good as any.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many requests at once as a worker often has; more are made and dropped.
const MAX_SPARE: usize = 256;
