//! One thread, one runtime: its accept loops, and what its connections share without a lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_local;

use crate::connection::accept::{self, Post};
use crate::connection::forward::Scratch;
use crate::connection::http::Shelf;
use crate::drain::{GRACE, Phase, Progress};
use crate::observe::Observer;
use crate::observe::journal::{Journal, Scribe, Unit};
use crate::plan::{Listener, Mode};
use crate::sockets::Socket;
use crate::threads;
use crate::upstream::endpoints::Endpoints;
use crate::upstream::names::Names;
use crate::upstream::pool::Pool;

/// What the connections of one worker share. It never leaves its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Where records come from.
    pub(crate) scribe: Rc<Scribe>,
    /// The endpoints, and how many connections this worker has to each.
    pub(crate) endpoints: Endpoints,
    /// The buffer that whoever reads borrows for a turn.
    pub(crate) scratch: Scratch,
    /// What requests borrow while they last.
    pub(crate) shelf: Shelf,
    /// Connections to endpoints that wait for a request.
    pub(crate) pool: Rc<Pool>,
    /// How far the drain is, and which plan is in force.
    pub(crate) progress: Rc<Progress>,
    open: Cell<usize>,
    all_ended: Notify,
}

/// A listener under one plan, as one worker serves it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) listener: Arc<Listener>,
    pub(crate) journal: Rc<Journal>,
    pub(crate) post: Arc<Post>,
}

/// What the control thread tells a worker.
#[derive(Debug)]
pub(crate) enum Order {
    /// A plan comes into force.
    Plan(NewPlan),
    /// Let go: no new connections, and the open ones end when they can.
    Drain,
    /// Whatever is open ends now.
    CutOff,
}

/// A plan and where one worker listens under it.
#[derive(Debug)]
pub(crate) struct NewPlan {
    pub(crate) generation: u64,
    pub(crate) doors: Vec<Door>,
    /// Told when the plan is in force here.
    pub(crate) taken: std::sync::mpsc::Sender<()>,
}

/// A bind of a listener.
#[derive(Debug)]
pub(crate) struct Door {
    /// What it is known by over reloads.
    pub(crate) key: u64,
    pub(crate) listener: Arc<Listener>,
    pub(crate) post: Arc<Post>,
    /// There is one the first time. Later plans keep it.
    pub(crate) socket: Option<Socket>,
}

/// What a worker starts with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) number: usize,
    pub(crate) observer: Arc<Observer>,
    pub(crate) names: Arc<Names>,
    /// How many connections to endpoints it may keep unused.
    pub(crate) kept: usize,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    /// How many workers have not ended.
    pub(crate) running: watch::Sender<usize>,
}

/// Starts a worker's thread. It ends after a drain, or when there is nobody left to give orders.
pub(crate) fn start(start: Start) -> io::Result<()> {
    let ended = Ended(start.running.clone());
    threads::start(format!("worker-{}", start.number), move || async move {
        let _ended = ended;
        serve(start).await;
    })
}

/// Says that a worker is no more, however it ended.
struct Ended(watch::Sender<usize>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running = running.saturating_sub(1));
    }
}

async fn serve(start: Start) {
    let Start { number, observer, names, kept, mut orders, running: _running } = start;
    let scribe = Scribe::new(observer, number);
    let worker = Rc::new(Worker {
        endpoints: Endpoints::new(names, Rc::clone(&scribe)),
        scribe,
        scratch: Scratch::new(),
        shelf: Shelf::default(),
        pool: Pool::new(kept),
        progress: Progress::new(0),
        open: Cell::new(0),
        all_ended: Notify::new(),
    });
    let mut doors = Doors::default();
    loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            () = worker.all_gone(), if worker.progress.phase() >= Phase::Draining => break,
        };
        match order {
            Some(Order::Plan(plan)) => doors.follow(plan, &worker),
            Some(Order::Drain) => {
                doors.close();
                begin_drain(&worker.progress);
            }
            Some(Order::CutOff) => {
                doors.close();
                worker.progress.advance(Phase::CutOff);
            }
            None => {
                doors.close();
                worker.progress.advance(Phase::CutOff);
                worker.all_gone().await;
                break;
            }
        }
    }
}

fn begin_drain(progress: &Rc<Progress>) {
    progress.advance(Phase::Draining);
    let progress = Rc::clone(progress);
    spawn_local(async move {
        tokio::time::sleep(GRACE).await;
        progress.advance(Phase::IdleOver);
    });
}

impl Worker {
    /// Counts a connection, or an accept loop, until the guard is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Present {
        self.open.set(self.open.get() + 1);
        Present(Rc::clone(self))
    }

    async fn all_gone(&self) {
        while self.open.get() > 0 {
            self.all_ended.notified().await;
        }
    }
}

/// Somebody whom a drain waits for.
#[derive(Debug)]
pub(crate) struct Present(Rc<Worker>);

impl Drop for Present {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 {
            self.0.all_ended.notify_waiters();
        }
    }
}

/// The accept loops of a worker.
#[derive(Debug, Default)]
struct Doors {
    open: HashMap<u64, Rc<OpenDoor>>,
}

/// An accept loop's view of what it serves.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    served: RefCell<Rc<Served>>,
    closing: Cell<bool>,
    changed: Notify,
}

impl OpenDoor {
    /// What a connection that comes now is served with.
    pub(crate) fn served(&self) -> Rc<Served> {
        Rc::clone(&self.served.borrow())
    }

    /// Waits until nobody should come in any more.
    pub(crate) async fn closing(&self) {
        while !self.closing.get() {
            self.changed.notified().await;
        }
    }

    fn close(&self) {
        self.closing.set(true);
        self.changed.notify_waiters();
    }
}

impl Doors {
    fn follow(&mut self, new: NewPlan, worker: &Rc<Worker>) {
        let NewPlan { generation, doors, taken } = new;
        worker.progress.replace_plan(generation);
        worker.endpoints.forget_the_gone();
        let mut before = std::mem::take(&mut self.open);
        for Door { key, listener, post, socket } in doors {
            let unit = match listener.mode {
                Mode::Tcp => Unit::Connection,
                Mode::Http => Unit::Request,
            };
            let journal = worker.scribe.journal(&listener.name, unit, post.open_now());
            let served = Rc::new(Served { listener, journal, post });
            let door = match before.remove(&key) {
                Some(door) => {
                    *door.served.borrow_mut() = served;
                    door
                }
                None => Rc::new(OpenDoor {
                    served: RefCell::new(served),
                    closing: Cell::new(false),
                    changed: Notify::new(),
                }),
            };
            if let Some(socket) = socket {
                // Counted from now on: a drain that comes before its first turn waits for it as well.
                let present = worker.enter();
                spawn_local(accept::accept(socket, Rc::clone(&door), Rc::clone(worker), present));
            }
            self.open.insert(key, door);
        }
        before.values().for_each(|door| door.close());
        // Whoever asked may be gone; the plan is in force all the same.
        let _gone = taken.send(());
    }

    fn close(&mut self) {
        self.open.drain().for_each(|(_, door)| door.close());
    }
}
