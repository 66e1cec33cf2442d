//! The control side: binds a plan, runs it, puts another in its place, lets go.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use hickory_resolver::net::NetError;
use tokio::sync::{mpsc as async_mpsc, watch};

use crate::acme::Keeper;
use crate::admin;
use crate::control::{Control, Files, MemoryWatch};
use crate::observe::{AccessLog, Observer, OpenError};
use crate::plan::{Bind, Plan};
use crate::refusal::Code;
pub use crate::sockets::{BindError, BindErrors, BoundAddress};
use crate::sockets::{Doorway, Sockets};
use crate::tls::challenges::Challenges;
use crate::upstream::membership::States;
use crate::upstream::names::{self, Ask, Names};
use crate::worker::{self, NewPlan, Order};

/// A running gateway.
///
/// It ends with [`drain`](Self::drain) or [`cut`](Self::cut); when it is dropped, whatever is open is cut off.
#[derive(Debug)]
pub struct Gateway {
    state: Mutex<State>,
    observer: Arc<Observer>,
    control: Control,
    files: Files,
    workers: Vec<async_mpsc::UnboundedSender<Order>>,
    running: watch::Receiver<usize>,
}

/// What a plan names and cannot have. Nothing is bound or opened for it.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Addresses of listeners cannot be had.
    #[error(transparent)]
    Bind(#[from] BindErrors),
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(OpenError),
    /// The address of the admin socket cannot be had.
    #[error("admin")]
    Admin(#[source] BindError),
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plan names what cannot be had.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The limit of open files holds not even what waits for connections.
    #[error(
        "expected {least} file descriptors at least, for {workers} workers and what they listen on, found a limit of {limit}. \
         Raise LimitNOFILE (`ulimit -n`), or set fewer `workers` [{}]",
        Code::FewDescriptors
    )]
    Descriptors {
        /// How many would do.
        least: usize,
        /// How many workers there are to be.
        workers: usize,
        /// How many there are.
        limit: usize,
    },
    /// The machine gave us no thread or no descriptor.
    #[error("the gateway cannot start")]
    Resources(#[from] io::Error),
}

/// Why a plan was not put into force. The one before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The plan names what cannot be had.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The gateway is on its way out.
    #[error("the gateway drains: it takes no new plan")]
    Draining,
}

#[derive(Debug)]
struct State {
    plan: Arc<Plan>,
    generation: u64,
    draining: bool,
    sockets: Sockets,
    admin: Option<admin::Door>,
    /// How the endpoints are.
    states: Arc<States>,
}

impl Gateway {
    /// Binds all that the plan names, or nothing, and starts the workers.
    ///
    /// # Errors
    ///
    /// When an address cannot be had, or the machine gives no threads.
    pub fn start(plan: Plan) -> Result<Self, StartError> {
        Self::start_asking(plan, names::asking)
    }

    /// The same, with names resolved by whom `find` finds.
    fn start_asking<A: Ask>(
        plan: Plan,
        find: impl Fn(&[SocketAddr]) -> Result<A, NetError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let workers = plan.workers.get();
        let plan = Arc::new(plan);
        let sockets = Sockets::new(&plan, workers);
        if let Some((least, limit)) = sockets.too_few_for(&plan) {
            return Err(StartError::Descriptors { least, workers, limit });
        }
        sockets.tell_of_shortage(&plan);
        let observer = Observer::new(workers);
        let states = States::new(Arc::clone(&observer));
        let mut state = State {
            plan: Arc::clone(&plan),
            generation: 1,
            draining: false,
            sockets,
            admin: None,
            states: Arc::clone(&states),
        };

        let prepared = state.prepare(&plan, &observer)?;
        let names = Arc::<Names>::default();
        let challenges = Arc::<Challenges>::default();
        let keeper = {
            let (observer, challenges) = (Arc::clone(&observer), Arc::clone(&challenges));
            move || Keeper::new(observer, challenges)
        };
        let pressure = Arc::clone(state.sockets.pressure());
        let memory = MemoryWatch::new(Arc::clone(&pressure), Arc::clone(&observer));
        let control = Control::start(Arc::clone(&names), Arc::clone(&states), keeper, memory, find)?;
        let files = Files::start(Arc::clone(&observer))?;
        let doors = state.take(prepared, &observer, &control);
        control.follow(&plan);
        files.follow(plan.watched());
        let (running, still_running) = watch::channel(workers);
        let mut orders = Vec::with_capacity(workers);
        for number in 0..workers {
            let (order, taken) = async_mpsc::unbounded_channel();
            orders.push(order);
            worker::start(worker::Start {
                number,
                observer: Arc::clone(&observer),
                names: Arc::clone(&names),
                states: Arc::clone(&states),
                challenges: Arc::clone(&challenges),
                kept: state.sockets.kept_per_worker(),
                pipes: state.sockets.pipes_per_worker(),
                pressure: Arc::clone(&pressure),
                orders: taken,
                running: running.clone(),
            })?;
        }
        observer.plan_took_over(&plan);
        let gateway = Self {
            state: Mutex::new(state),
            observer,
            control,
            files,
            workers: orders,
            running: still_running,
        };
        gateway.spread(1, doors);
        Ok(gateway)
    }

    /// Puts another plan into force, or changes nothing.
    ///
    /// Sockets stay where both plans listen; connections go on under the plan that they began with. The number of workers
    /// is that of the start.
    ///
    /// # Errors
    ///
    /// When a new address cannot be had, or the gateway drains.
    pub fn reload(&self, plan: Plan) -> Result<(), ReloadError> {
        let mut state = self.state();
        let outcome = self.replace(&mut state, plan);
        match &outcome {
            Ok(()) => self.observer.reload_succeeded(),
            Err(_) => self.observer.reload_failed(),
        }
        outcome
    }

    fn replace(&self, state: &mut State, plan: Plan) -> Result<(), ReloadError> {
        if state.draining {
            return Err(ReloadError::Draining);
        }
        if plan.workers.get() != self.workers.len() {
            tracing::warn!(
                "workers = {} takes a restart: {} are running and go on",
                plan.workers,
                self.workers.len()
            );
        }
        let mut plan = plan;
        plan.take_over(&state.plan);
        let plan = Arc::new(plan);
        let prepared = state.prepare(&plan, &self.observer)?;
        state.sockets.tell_of_shortage(&plan);
        let doors = state.take(prepared, &self.observer, &self.control);
        self.control.follow(&plan);
        self.files.follow(plan.watched());
        state.generation += 1;
        state.plan = Arc::clone(&plan);
        self.observer.plan_took_over(&plan);
        self.spread(state.generation, doors);
        Ok(())
    }

    /// Hands the plan to every worker, and waits until it is in force everywhere.
    fn spread(&self, generation: u64, mut doors: Vec<Doorway>) {
        let (taken, answers) = mpsc::channel();
        for worker in &self.workers {
            let doors = doors.iter_mut().map(|door| door.for_next_worker()).collect();
            let new = NewPlan { generation, doors, taken: taken.clone() };
            if worker.send(Order::Plan(new)).is_err() {
                tracing::error!("a worker is gone: it takes no plan");
            }
        }
        drop(taken);
        for _ in &self.workers {
            if answers.recv_timeout(PATIENCE).is_err() {
                tracing::warn!("not every worker took the new plan within {} s", PATIENCE.as_secs());
                break;
            }
        }
    }

    /// Where the listeners listen.
    pub fn addresses(&self) -> Vec<BoundAddress> {
        self.state().sockets.addresses()
    }

    /// Where the admin socket listens, if there is one.
    pub fn admin_address(&self) -> Option<Bind> {
        self.state().admin.as_ref().map(|door| door.address().clone())
    }

    /// What the gateway knows of itself: its metrics, and whether it is ready.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// How many workers run.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> u64 {
        self.observer.open_connections()
    }

    /// Counts a reload whose file could not be made a plan. The one in force goes on.
    pub fn reload_failed(&self) {
        self.observer.reload_failed();
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.state().plan)
    }

    /// Takes no more connections and waits until those that are open have ended, or cuts them off at the plan's deadline.
    pub async fn drain(&self) {
        let deadline = {
            let mut state = self.state();
            state.draining = true;
            state.sockets.close();
            self.observer.drain_began();
            state.plan.drain
        };
        self.tell(|| Order::Drain);
        if tokio::time::timeout(deadline, self.all_ended()).await.is_err() {
            tracing::warn!(
                "{} connections are cut off at the end of the drain",
                self.observer.open_connections()
            );
            self.cut();
            self.all_ended().await;
        }
        self.observer.flush(LOG_PATIENCE);
    }

    /// Has log files opened anew, as after a rotation.
    pub fn reopen_logs(&self) {
        self.observer.reopen_logs();
    }

    /// Waits until no worker runs any more.
    async fn all_ended(&self) {
        let mut running = self.running.clone();
        // The sender is gone only when every worker is, and then nobody runs either.
        let _nobody = running.wait_for(|running| *running == 0).await;
    }

    /// Cuts off whatever is open, now.
    pub fn cut(&self) {
        self.state().draining = true;
        self.tell(|| Order::CutOff);
    }

    fn tell(&self, order: impl Fn() -> Order) {
        for worker in &self.workers {
            // A worker that has ended has nothing open.
            let _ended = worker.send(order());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a plan needs, before it is in force.
struct Prepared {
    log: Option<Arc<AccessLog>>,
    admin: admin::Change,
    doors: Vec<Doorway>,
}

impl State {
    /// Has all that `plan` needs, or nothing. Sockets come last: they are the only ones that are taken over at once.
    fn prepare(&mut self, plan: &Plan, observer: &Arc<Observer>) -> Result<Prepared, PlanError> {
        let log = plan.access_log.as_ref().map(|log| observer.open_access_log(log)).transpose();
        let log = log.map_err(PlanError::AccessLog)?;
        let admin = admin::Change::prepare(plan, self.admin.as_ref(), observer, &self.states);
        let admin = admin.map_err(PlanError::Admin)?;
        let doors = self.sockets.follow(plan)?;
        Ok(Prepared { log, admin, doors })
    }

    /// Makes what was prepared the state of things, and gives the doors for the workers.
    fn take(&mut self, prepared: Prepared, observer: &Observer, control: &Control) -> Vec<Doorway> {
        let Prepared { log, admin, doors } = prepared;
        observer.use_access_log(log);
        if let admin::Change::Becomes(admin) = admin {
            let (admin, door) = admin.unzip();
            control.answer(admin);
            self.admin = door;
        }
        doors
    }
}

/// What was logged last should be written, but a log that stands still keeps nobody from ending.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// A worker takes a plan between two turns of its loop.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
