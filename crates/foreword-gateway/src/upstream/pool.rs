//! Connections to endpoints that wait for the next request: the last one used is the first one taken.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::{Instant, sleep};

use super::connect::{self, Shared};
use super::endpoints::Address;
use crate::policy::cluster::Cluster;

/// One worker's kept connections.
///
/// It takes [`Shared`] connections and no others: one that began with a header has a type of its own, since it speaks
/// for one client only.
#[derive(Debug)]
pub(crate) struct Pool {
    /// How many may be kept.
    most: usize,
    /// The longest unused comes first in each list. Addresses are the operator's, so hashing them need not resist anyone.
    kept: RefCell<HashMap<Terms, Vec<Kept>, RandomState>>,
    total: Cell<usize>,
    /// Whether memory is short: none is kept then.
    is_frugal: Cell<bool>,
    sweeping: Cell<bool>,
}

/// Where a connection leads, and the number of the terms on which TLS is spoken there; 0 where none is.
type Terms = (Address, u64);

#[derive(Debug)]
struct Kept {
    connection: Shared,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most,
            kept: RefCell::default(),
            total: Cell::new(0),
            is_frugal: Cell::new(false),
            sweeping: Cell::new(false),
        })
    }

    /// Keeps none while memory is short, and closes those that were kept.
    pub(crate) fn be_frugal(&self, is_frugal: bool) {
        self.is_frugal.set(is_frugal);
        if is_frugal {
            self.kept.take();
            self.total.set(0);
        }
    }

    /// Takes the connection to this endpoint that was used last, if there is one that the endpoint has not closed.
    pub(crate) fn take(&self, address: &Address, cluster: &Cluster, now: Instant) -> Option<Shared> {
        let mut kept = self.kept.borrow_mut();
        let list = kept.get_mut(&(address.clone(), connect::terms(cluster)))?;
        while let Some(mut last) = list.pop() {
            self.total.set(self.total.get().saturating_sub(1));
            if last.is_good(now) {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection on which a whole answer has come and nothing behind it, for `timeout.idle` of the cluster at most.
    pub(crate) fn put(
        self: &Rc<Self>,
        address: &Address,
        connection: Shared,
        cluster: &Cluster,
        now: Instant,
    ) {
        if self.total.get() >= self.most || self.is_frugal.get() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        let terms = (address.clone(), connection.terms());
        let entry = Kept { connection, until: now + cluster.timeout.idle };
        match kept.get_mut(&terms) {
            Some(list) if list.len() >= MOST_PER_ENDPOINT => return,
            Some(list) => list.push(entry),
            None => {
                kept.insert(terms, vec![entry]);
            }
        }
        self.total.set(self.total.get() + 1);
        if !self.sweeping.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(self)));
        }
    }

    /// Closes what has been unused for too long, and what its endpoint has closed.
    fn evict(&self, now: Instant) {
        let mut kept = self.kept.borrow_mut();
        kept.retain(|_, list| {
            list.retain_mut(|entry| entry.is_good(now));
            !list.is_empty()
        });
        self.total.set(kept.values().map(Vec::len).sum());
    }
}

impl Kept {
    /// An endpoint has nothing to say before it is asked: whatever can be read is its farewell.
    fn is_good(&mut self, now: Instant) -> bool {
        now < self.until && self.connection.stream().is_quiet()
    }
}

/// Runs while anything is kept, so that an idle worker sleeps.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.evict(Instant::now());
        if pool.total.get() == 0 {
            pool.sweeping.set(false);
            return;
        }
    }
}

/// Fine enough for idle times of whole seconds.
const SWEEP: Duration = Duration::from_secs(1);

/// One endpoint does not keep the others out. It is more than a handful of HTTP/2 connections can ask for at once: what was
/// not kept would be made anew with the next burst.
const MOST_PER_ENDPOINT: usize = 1024;
