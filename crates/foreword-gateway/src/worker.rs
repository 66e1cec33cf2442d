//! One thread, one runtime: its accept loops, and what its connections share without a lock.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::admission::pressure::Pressure;
use crate::connection::accept;
use crate::connection::door::{OpenDoor, Served};
use crate::connection::shared::Worker;
use crate::datagram::{self, Buffers};
use crate::drain::{GRACE, Phase};
use crate::observe::Observer;
use crate::observe::journal::{Scribe, Unit};
use crate::plan::Mode;
use crate::sockets::{Door, Socket};
use crate::threads;
use crate::tls::challenges::Challenges;
use crate::upstream::membership::States;
use crate::upstream::names::Names;

/// What a worker is told to do.
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

/// What a worker starts with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) number: usize,
    pub(crate) observer: Arc<Observer>,
    pub(crate) names: Arc<Names>,
    pub(crate) states: Arc<States>,
    pub(crate) challenges: Arc<Challenges>,
    /// How many connections to endpoints it may keep unused.
    pub(crate) kept: usize,
    /// How many pipes it may have.
    pub(crate) pipes: usize,
    /// How short memory is.
    pub(crate) pressure: Arc<Pressure>,
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
    let Start {
        number,
        observer,
        names,
        states,
        challenges,
        kept,
        pipes,
        pressure,
        mut orders,
        running: _running,
    } = start;
    let scribe = Scribe::new(observer, number);
    let mut drained = states.drained();
    let mut strain = pressure.strain();
    let rations = Arc::clone(pressure.rations());
    let worker = Worker::new(scribe, names, states, challenges, kept, pipes, rations);
    let mut doors = Doors::default();
    let alarms = Rc::clone(&worker.alarms);
    spawn_local(async move { alarms.run().await });
    loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            Ok(()) = drained.changed() => {
                worker.tell_of_drained_endpoints();
                continue;
            }
            Ok(()) = strain.changed() => {
                worker.bear(*strain.borrow_and_update());
                continue;
            }
            () = worker.all_gone(), if worker.progress.phase() >= Phase::Draining => break,
        };
        match order {
            Some(Order::Plan(plan)) => doors.follow(plan, &worker),
            Some(Order::Drain) => {
                doors.close();
                begin_drain(&worker);
            }
            Some(Order::CutOff) => {
                doors.close();
                worker.advance(Phase::CutOff);
            }
            None => {
                doors.close();
                worker.advance(Phase::CutOff);
                worker.all_gone().await;
                break;
            }
        }
    }
}

fn begin_drain(worker: &Rc<Worker>) {
    worker.advance(Phase::Draining);
    let worker = Rc::clone(worker);
    spawn_local(async move {
        tokio::time::sleep(GRACE).await;
        worker.advance(Phase::IdleOver);
    });
}

/// The accept loops of a worker.
#[derive(Debug, Default)]
struct Doors {
    open: HashMap<u64, Rc<OpenDoor>>,
    /// What datagrams come through, whichever door they take.
    buffers: Rc<Buffers>,
}

impl Doors {
    fn follow(&mut self, new: NewPlan, worker: &Rc<Worker>) {
        let NewPlan { generation, doors, taken } = new;
        worker.progress.replace_plan(generation);
        worker.endpoints.forget_the_gone();
        worker.tell_of_drained_endpoints();
        let mut before = std::mem::take(&mut self.open);
        for Door { key, listener, post, socket } in doors {
            let unit = match listener.mode {
                Mode::Tcp | Mode::TlsPassthrough => Unit::Connection,
                Mode::Http => Unit::Request,
                Mode::Udp => Unit::Flow,
            };
            let journal = worker.scribe.journal(&listener.name, unit, post.open_now());
            let served = Rc::new(Served { listener, journal, post });
            let door = match before.remove(&key) {
                Some(door) => {
                    door.serve(served);
                    door
                }
                None => OpenDoor::new(served),
            };
            if let Some(socket) = socket {
                // Counted from now on: a drain that comes before its first turn waits for it as well.
                let present = worker.enter();
                let (door, worker) = (Rc::clone(&door), Rc::clone(worker));
                match socket {
                    Socket::Udp(socket) => {
                        let buffers = Rc::clone(&self.buffers);
                        spawn_local(datagram::serve(socket, door, worker, buffers, present));
                    }
                    socket => {
                        spawn_local(accept::accept(socket, door, worker, present));
                    }
                }
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
