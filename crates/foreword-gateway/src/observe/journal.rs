//! Where records come from and end up: the observer of the process, the scribe of a worker, the journal of a listener.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foreword::{ClientAddr, PeerAddr};

use super::access_log::{AccessLog, AccessLogPlan, Desk, LogCounters, OpenError};
use super::cluster::{ClusterAccount, ClusterSeries};
use super::counters::{ClusterCounters, Counter, ListenerCounters};
use super::endpoint::{EndpointAccount, EndpointSeries};
use super::entry::{Entry, Known, Outcome};
use super::exchange::Exchange;
use super::name::Wants;
use super::teller::Teller;
use crate::plan::{Plan, TlsPlan};
use crate::refusal::{self, Code, Gates, Place, Refusal};

/// What the process knows of itself. Counters outlive reloads: a listener that comes back goes on counting.
#[derive(Debug)]
pub struct Observer {
    workers: usize,
    pub(super) started: SystemTime,
    pub(super) listeners: Mutex<Vec<Arc<ListenerSeries>>>,
    pub(super) clusters: Mutex<Vec<Arc<ClusterSeries>>>,
    /// Those to which somebody may connect; the others are gone.
    pub(super) endpoints: Mutex<Vec<Weak<EndpointSeries>>>,
    pub(super) reloads: Reloads,
    pub(super) files: FileChanges,
    pub(super) issued: Issued,
    /// The listeners of the plan in force that end TLS.
    pub(super) certificates: Mutex<Vec<(Box<str>, Arc<TlsPlan>)>>,
    /// The switches of the plan in force that loosen how a listener's headers are read.
    pub(super) switches: Mutex<Vec<(Box<str>, &'static str)>>,
    pub(super) log_counters: Arc<[LogCounters]>,
    /// For each worker, how often it had no pipe for what it carried.
    pub(super) pipes_missed: Box<[Counter]>,
    /// For each worker, how many idle connections it closed since memory was short.
    pub(super) idle_shed: Box<[Counter]>,
    pub(super) memory: Memory,
    log: Mutex<Option<Arc<AccessLog>>>,
    /// Logs of earlier plans, which live as long as a connection that began under them.
    earlier_logs: Mutex<Vec<Weak<AccessLog>>>,
    told_lost: Mutex<(u64, Option<Instant>)>,
    draining: AtomicBool,
    pub(super) teller: Teller,
}

impl Observer {
    /// Makes the observer of a gateway with this many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new_cyclic(|observer| Self {
            workers,
            started: SystemTime::now(),
            listeners: Mutex::default(),
            clusters: Mutex::default(),
            endpoints: Mutex::default(),
            reloads: Reloads::default(),
            files: FileChanges::default(),
            issued: Issued::default(),
            certificates: Mutex::default(),
            switches: Mutex::default(),
            log_counters: (0..workers).map(|_| LogCounters::default()).collect(),
            pipes_missed: (0..workers).map(|_| Counter::default()).collect(),
            idle_shed: (0..workers).map(|_| Counter::default()).collect(),
            memory: Memory::default(),
            log: Mutex::default(),
            earlier_logs: Mutex::default(),
            told_lost: Mutex::default(),
            draining: AtomicBool::new(false),
            teller: Teller::start(Weak::clone(observer)),
        })
    }

    /// Notes that the gateway is on its way out: `/readyz` says so from now on.
    pub fn drain_began(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes how much memory is in use, and the mark beyond which it is short, if there is one.
    pub(crate) fn memory_is(&self, held: u64, mark: Option<u64>) {
        self.memory.held.store(held, Ordering::Relaxed);
        self.memory.mark.store(mark.unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether new connections are welcome.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Notes that a plan went into force: the first, or one by a reload.
    pub(crate) fn plan_took_over(&self, plan: &Plan) {
        let switches = plan.listeners.iter().flat_map(|listener| {
            listener.header.parser.switches().map(|switch| (listener.name.clone(), switch))
        });
        *locked(&self.switches) = switches.collect();
        let tls = plan
            .listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref().map(|tls| (listener.name.clone(), Arc::clone(tls))));
        *locked(&self.certificates) = tls.collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reloads.last_success_millis.store(now.as_millis() as u64, Ordering::Relaxed);
        self.reloads.last_failed.store(0, Ordering::Relaxed);
    }

    /// Notes that a reload succeeded.
    pub(crate) fn reload_succeeded(&self) {
        self.reloads.succeeded.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a reload failed and the old plan goes on.
    pub(crate) fn reload_failed(&self) {
        self.reloads.failed.fetch_add(1, Ordering::Relaxed);
        self.reloads.last_failed.store(1, Ordering::Relaxed);
    }

    /// Notes that files changed and what they hold is in use.
    pub(crate) fn files_were_taken(&self) {
        self.files.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that files changed and cannot be used.
    pub(crate) fn files_were_refused(&self) {
        self.files.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a CA issued a certificate.
    pub(crate) fn certificate_was_issued(&self) {
        self.issued.succeeded.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a certificate could not be obtained.
    pub(crate) fn certificate_was_not_issued(&self) {
        self.issued.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Connections that are open now, at all listeners.
    pub fn open_connections(&self) -> u64 {
        locked(&self.listeners).iter().map(|series| series.open()).sum()
    }

    /// Opens the access log of a plan, or gives the one that is in use if the plan wants the same. Nothing changes
    /// until it is put to use: a reload that fails elsewhere just drops it.
    ///
    /// # Errors
    /// When the target cannot be opened.
    pub fn open_access_log(&self, plan: &AccessLogPlan) -> Result<Arc<AccessLog>, OpenError> {
        match &*locked(&self.log) {
            Some(log) if log.plan() == plan => Ok(Arc::clone(log)),
            _ => AccessLog::open(plan, &self.log_counters).map(Arc::new),
        }
    }

    /// Puts an access log to use: journals that are opened from now on write to it.
    pub fn use_access_log(&self, log: Option<Arc<AccessLog>>) {
        let earlier = std::mem::replace(&mut *locked(&self.log), log);
        let mut logs = locked(&self.earlier_logs);
        logs.retain(|log| log.strong_count() > 0);
        logs.extend(earlier.as_ref().map(Arc::downgrade));
    }

    /// Has log files opened anew, as after a rotation. No line is lost.
    pub fn reopen_logs(&self) {
        for log in self.logs() {
            log.reopen();
        }
    }

    /// Waits, no longer than `patience` for each target, until all that was told so far is written.
    pub fn flush(&self, patience: Duration) {
        for log in self.logs() {
            if !log.flush(patience) {
                tracing::warn!(
                    "access log: expected `{}` to take what waits within {} s, found it standing still [{}]",
                    log.plan().to,
                    patience.as_secs(),
                    Code::LogLinesLost
                );
            }
        }
        self.teller.flush(patience);
    }

    fn logs(&self) -> Vec<Arc<AccessLog>> {
        let mut logs: Vec<_> = locked(&self.earlier_logs).iter().filter_map(Weak::upgrade).collect();
        logs.extend(locked(&self.log).clone());
        logs
    }

    /// Says how many lines were lost, once a minute while it goes on.
    pub(super) fn tell_lost_lines(&self, now: Instant) {
        let lost: u64 = self.log_counters.iter().map(LogCounters::lost).sum();
        let mut told = locked(&self.told_lost);
        let (before, last) = *told;
        if lost == before || last.is_some_and(|last| now.saturating_duration_since(last) < A_MINUTE) {
            return;
        }
        *told = (lost, Some(now));
        let target = locked(&self.log).as_ref().map_or_else(String::new, |log| log.plan().to.to_string());
        tracing::warn!(
            "access log: expected `{target}` to take lines as fast as they come, found it too slow: {} lines lost [{}]",
            lost - before,
            Code::LogLinesLost
        );
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
        let gates = Gates::new(Instant::now());
        let series = Arc::new(ClusterSeries { name: name.into(), counters, gates });
        known.push(Arc::clone(&series));
        series
    }
}

/// What the last look at memory found. Written by the control thread.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) held: AtomicU64,
    /// 0 where there is none.
    pub(super) mark: AtomicU64,
}

/// How reloads went. Written by the control thread, seldom.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) last_failed: AtomicU64,
    pub(super) last_success_millis: AtomicU64,
}

/// How changes of files went that are watched. Seldom written.
#[derive(Debug, Default)]
pub(super) struct FileChanges {
    pub(super) taken: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// How orders of certificates went. Seldom written.
#[derive(Debug, Default)]
pub(super) struct Issued {
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// What a record of a listener tells about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// In tcp mode: one record, and one line, for each connection.
    Connection,
    /// In http mode: one line for each request; the connection itself is only counted.
    Request,
    /// In udp mode: one record, and one line, for each flow.
    Flow,
}

impl Unit {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "tcp",
            Self::Request => "http",
            Self::Flow => "udp",
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

/// What one worker writes with. It stays on the worker's thread, so its counters have one writer.
#[derive(Debug)]
pub(crate) struct Scribe {
    observer: Arc<Observer>,
    worker: usize,
    #[expect(clippy::vec_box, reason = "they move between here and the records, and are too large to copy")]
    spare: RefCell<Vec<Box<Exchange>>>,
    /// What the newest journals write lines with; one for all, since it remembers the time of day as text.
    desk: RefCell<Option<Rc<Desk>>>,
    /// How many connections had a record; it begins anew after 2³².
    numbered: Cell<u32>,
}

impl Scribe {
    /// Makes the scribe of the worker with this number, counted from zero; each number is given once.
    pub(crate) fn new(observer: Arc<Observer>, worker: usize) -> Rc<Self> {
        assert!(worker < observer.workers, "a worker that the observer was not told of");
        Rc::new(Self {
            observer,
            worker,
            spare: RefCell::default(),
            desk: RefCell::default(),
            numbered: Cell::default(),
        })
    }

    /// Opens the journal of a listener: once for each plan, not for each connection.
    pub(crate) fn journal(self: &Rc<Self>, listener: &str, unit: Unit, open: OpenNow) -> Rc<Journal> {
        let desk = self.desk();
        Rc::new(Journal {
            series: self.observer.listener(listener, unit),
            scribe: Rc::clone(self),
            wants: desk.as_ref().map_or(Wants::NOTHING, |desk| desk.wants()),
            desk,
            open,
        })
    }

    fn desk(&self) -> Option<Rc<Desk>> {
        let log = locked(&self.observer.log).clone();
        let mut desk = self.desk.borrow_mut();
        let is_current = |desk: &Rc<Desk>, log| desk.is_of(log);
        *desk = match (desk.take(), log) {
            (Some(desk), Some(log)) if is_current(&desk, &log) => Some(desk),
            (_, log) => log.map(|log| Rc::new(Desk::new(log, self.worker))),
        };
        desk.clone()
    }

    /// Opens the account of a cluster: once for each plan.
    pub(crate) fn cluster(&self, name: &str) -> ClusterAccount {
        let observer = Arc::clone(&self.observer);
        ClusterAccount { series: observer.cluster(name), observer, worker: self.worker }
    }

    /// Counts an idle connection that was closed since memory was short.
    #[expect(clippy::indexing_slicing, reason = "`Scribe::new` has made sure that the worker has its place")]
    pub(crate) fn idle_was_shed(&self) {
        self.observer.idle_shed[self.worker].add(1);
    }

    /// Bytes were copied since no pipe could be had.
    #[expect(clippy::indexing_slicing, reason = "`Scribe::new` has made sure that the worker has its place")]
    pub(crate) fn pipe_missed(&self) {
        self.observer.pipes_missed[self.worker].add(1);
    }

    /// Opens the account of an endpoint: once for each plan, and each answer for its name.
    pub(crate) fn endpoint(&self, series: &Arc<EndpointSeries>) -> EndpointAccount {
        EndpointAccount::new(series, self.worker)
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
    desk: Option<Rc<Desk>>,
    wants: Wants,
    open: OpenNow,
}

/// How many connections are open: counted where they are admitted, for all workers together.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenNow {
    /// At all listeners.
    pub(crate) everywhere: Arc<AtomicUsize>,
    /// At this one.
    pub(crate) here: Arc<AtomicUsize>,
}

impl Journal {
    #[expect(clippy::indexing_slicing, reason = "`Scribe::new` has made sure that the worker has its place")]
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
        let fields = self.desk.as_ref().map(|desk| desk.fields()).unwrap_or_default();
        fields.iter().map(|name| &**name)
    }

    /// Writes the line of a request or connection that took so long, if there is an access log and the line is wanted.
    pub(crate) fn write(&self, known: &Known, exchange: &Exchange, outcome: &Outcome<'_>, took: Duration) {
        let Some(desk) = &self.desk else { return };
        let is_error = !matches!(outcome, Outcome::Complete) || exchange.status >= 500;
        if !exchange.log.takes(is_error, |below| fastrand::u32(..below)) {
            return desk.leave_out();
        }
        let now = SystemTime::now();
        desk.write(&Entry {
            listener: &self.series.name,
            known,
            exchange,
            closing: outcome.closing(),
            code: outcome.code(),
            side: outcome.side(),
            began: now.checked_sub(took).unwrap_or(now),
            took,
            is_http: self.series.unit == Unit::Request,
            is_flow: self.series.unit == Unit::Flow,
            open: [&self.open.everywhere, &self.open.here].map(|open| open.load(Ordering::Relaxed)),
        });
    }

    /// Counts a refusal, and tells of it as often as its gate allows.
    pub(crate) fn refused(&self, known: &Known, client: &ClientAddr, refusal: &Refusal<'_>) {
        self.refused_between(&known.peer, &known.local, Some(client), refusal);
    }

    /// The same where there is nothing but two addresses, perhaps a client, and what came.
    pub(crate) fn refused_between(
        &self,
        peer: &PeerAddr,
        local: &PeerAddr,
        client: Option<&ClientAddr>,
        refusal: &Refusal<'_>,
    ) {
        self.counters().refused(refusal.code, refusal.requirement);
        let now = Instant::now();
        let Some(left_out) = self.series.gates.admit(refusal.code, now) else { return };
        let place = Place { listener: &self.series.name, local, peer, client };
        if !self.scribe.observer.teller.line(refusal.code, refusal::line(&place, refusal, left_out)) {
            self.series.gates.not_written(refusal.code, now);
        }
    }

    pub(crate) fn exchange(&self, begun: Instant) -> Box<Exchange> {
        self.scribe.exchange(begun)
    }

    /// The number of the next connection that has a record.
    pub(crate) fn next_number(&self) -> u32 {
        let number = self.scribe.numbered.get();
        self.scribe.numbered.set(number.wrapping_add(1));
        number
    }

    pub(crate) fn give_back(&self, exchange: Box<Exchange>) {
        self.scribe.give_back(exchange);
    }
}

/// The lock guards a list that is only pushed to, so one that a panic left is as good as any.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many requests at once as a worker often has; more are made and dropped.
const MAX_SPARE: usize = 256;
const A_MINUTE: Duration = Duration::from_secs(60);
