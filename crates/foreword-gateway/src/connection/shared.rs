//! What the connections of one worker share without a lock, and how many there are.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::forward::{Means, Scratch};
use super::http::Shelf;
use super::pipes::Pipes;
use crate::alarm::Alarms;
use crate::drain::ration::{Ration, Rations};
use crate::drain::{Phase, Progress, Strain};
use crate::observe::journal::Scribe;
use crate::tls::challenges::Challenges;
use crate::upstream::endpoints::Endpoints;
use crate::upstream::membership::States;
use crate::upstream::names::Names;
use crate::upstream::pool::Pool;
use crate::upstream::streams::Streams;

/// What the connections of one worker share. It never leaves its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Where records come from.
    pub(crate) scribe: Rc<Scribe>,
    /// The endpoints, and how many connections this worker has to each.
    pub(crate) endpoints: Endpoints,
    /// The buffer that whoever reads borrows for a turn.
    pub(crate) scratch: Scratch,
    /// What many bytes pass through.
    pub(crate) pipes: Rc<Pipes>,
    /// What requests borrow while they last.
    pub(crate) shelf: Shelf,
    /// Connections to endpoints that wait for a request.
    pub(crate) pool: Rc<Pool>,
    /// Those that carry many requests at once.
    pub(crate) streams: Rc<Streams>,
    /// What CAs ask just now.
    pub(crate) challenges: Arc<Challenges>,
    /// How far the drain is, and which plan is in force.
    pub(crate) progress: Rc<Progress>,
    /// What wakes connections that wait.
    pub(crate) alarms: Rc<Alarms>,
    /// Whether memory was short when everyone heard of it last.
    is_frugal: Cell<bool>,
    open: Cell<usize>,
    all_ended: Notify,
}

impl Worker {
    /// A worker that serves nobody yet, may keep `kept` connections to endpoints, may have so many pipes, and takes its share of
    /// `rations`.
    pub(crate) fn new(
        scribe: Rc<Scribe>,
        names: Arc<Names>,
        states: Arc<States>,
        challenges: Arc<Challenges>,
        kept: usize,
        pipes: usize,
        rations: Arc<Rations>,
    ) -> Rc<Self> {
        let ration = Rc::new(Ration::of(rations));
        Rc::new(Self {
            endpoints: Endpoints::new(names, states, Rc::clone(&scribe)),
            pipes: Pipes::new(pipes, Rc::clone(&scribe)),
            scribe,
            scratch: Scratch::new(),
            shelf: Shelf::of_worker(Rc::clone(&ration)),
            pool: Pool::new(kept),
            streams: Rc::default(),
            challenges,
            progress: Progress::rationed(0, ration),
            alarms: Alarms::new(),
            is_frugal: Cell::new(false),
            open: Cell::new(0),
            all_ended: Notify::new(),
        })
    }

    /// Goes on to `phase`, and has everyone hear of it.
    pub(crate) fn advance(&self, phase: Phase) {
        self.progress.advance(phase);
        self.alarms.ring();
    }

    /// Has everyone hear how short memory is, and keeps nothing back while it is.
    pub(crate) fn bear(&self, strain: Strain) {
        self.progress.memory_was_looked_at();
        let was_short = self.is_frugal.replace(strain.is_any());
        self.shelf.be_frugal(strain.is_any());
        self.pool.be_frugal(strain.is_any());
        if strain.is_any() || was_short {
            self.alarms.ring_unspared();
        }
    }

    /// Has the connections to endpoints that drain find out about it.
    pub(crate) fn tell_of_drained_endpoints(&self) {
        if self.endpoints.any_drains() {
            self.alarms.ring();
        }
    }

    /// What bytes are carried with.
    pub(crate) fn means(&self) -> Means<'_> {
        Means { scratch: &self.scratch, pipes: &self.pipes }
    }

    /// Counts a connection, or an accept loop, until the guard is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Present {
        self.open.set(self.open.get() + 1);
        Present(Rc::clone(self))
    }

    /// Waits until nobody is counted any more.
    pub(crate) async fn all_gone(&self) {
        while self.open.get() > 0 {
            self.all_ended.notified().await;
        }
    }
}

/// Somebody whom a drain waits for.
#[derive(Debug)]
pub(crate) struct Present(Rc<Worker>);

impl Present {
    /// The worker with which it is counted.
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.0
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 {
            self.0.all_ended.notify_waiters();
        }
    }
}
