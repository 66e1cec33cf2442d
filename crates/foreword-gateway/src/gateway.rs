//! The control side: binds a plan, runs it, puts another in its place, lets go.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc as async_mpsc, watch};

use crate::connection::accept::{Capacity, Post};
use crate::control::Control;
use crate::observe::{AccessLog, Observer, OpenError, admin};
use crate::plan::{Bind, Listener, Plan};
use crate::sockets::{self, BindError, Socket, SocketFile};
use crate::upstream::names::Names;
use crate::worker::{self, Door, NewPlan, Order};

/// A running gateway.
///
/// It ends with [`drain`](Self::drain) or [`cut`](Self::cut); when it is dropped, whatever is open is cut off.
#[derive(Debug)]
pub struct Gateway {
    state: Mutex<State>,
    observer: Arc<Observer>,
    control: Control,
    workers: Vec<async_mpsc::UnboundedSender<Order>>,
    running: watch::Receiver<usize>,
}

/// A listener's address as it came out, with its port if that was left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundAddress {
    /// The listener's name.
    pub listener: Box<str>,
    /// Where it listens.
    pub address: Bind,
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.listener, self.address)
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had. Nothing is bound.
    #[error("listener `{listener}`: {source}")]
    Bind {
        /// The listener's name.
        listener: Box<str>,
        /// The address and why not.
        source: BindError,
    },
    /// The access log cannot be written.
    #[error("the access log cannot be opened")]
    AccessLog(#[source] OpenError),
    /// The address of the admin socket cannot be had.
    #[error("admin: {0}")]
    Admin(BindError),
    /// The machine gave us no thread or no descriptor.
    #[error("the gateway cannot start")]
    Resources(#[from] io::Error),
}

/// Why a plan was not put into force. The one before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A new address cannot be had.
    #[error("listener `{listener}`: {source}")]
    Bind {
        /// The listener's name.
        listener: Box<str>,
        /// The address and why not.
        source: BindError,
    },
    /// The new access log cannot be written.
    #[error("the access log cannot be opened")]
    AccessLog(#[source] OpenError),
    /// The new address of the admin socket cannot be had.
    #[error("admin: {0}")]
    Admin(BindError),
    /// The gateway is on its way out.
    #[error("the gateway drains: it takes no new plan")]
    Draining,
}

#[derive(Debug)]
struct State {
    plan: Arc<Plan>,
    generation: u64,
    draining: bool,
    bound: HashMap<BindKey, Kept>,
    admin: Option<admin::Door>,
    posts: HashMap<Box<str>, Arc<Post>>,
    capacity: Arc<Capacity>,
    next_door: u64,
}

/// What a socket is known by from plan to plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum BindKey {
    /// An address that is spelled out: it may pass from one listener to another.
    At(Bind),
    /// A port that was left open, which only its listener can mean again.
    Open { listener: Box<str>, place: usize },
}

impl BindKey {
    fn new(listener: &Listener, place: usize, bind: &Bind) -> Self {
        match bind {
            Bind::Inet(address) if address.port() == 0 => {
                Self::Open { listener: listener.name.clone(), place }
            }
            bind => Self::At(bind.clone()),
        }
    }
}

/// A bind that is listened on.
#[derive(Debug)]
struct Kept {
    door: u64,
    listener: Box<str>,
    address: Bind,
    _file: Option<SocketFile>,
}

impl Gateway {
    /// Binds all that the plan names, or nothing, and starts the workers.
    ///
    /// # Errors
    ///
    /// When an address cannot be had, or the machine gives no threads.
    pub fn start(plan: Plan) -> Result<Self, StartError> {
        let workers = plan.workers.get();
        let plan = Arc::new(plan);
        let mut state = State::new(Arc::clone(&plan), workers);
        let doors =
            state.bind(&plan, workers).map_err(|(listener, source)| StartError::Bind { listener, source })?;

        let observer = Observer::new(workers);
        let log = open_access_log(&observer, &plan).map_err(StartError::AccessLog)?;
        observer.use_access_log(log);
        let admin =
            admin::Change::prepare(&plan, state.admin.as_ref(), &observer).map_err(StartError::Admin)?;
        let names = Arc::<Names>::default();
        let control = Control::start(Arc::clone(&names))?;
        state.change_admin(admin, &control);
        control.follow(&plan);
        let (running, still_running) = watch::channel(workers);
        let mut orders = Vec::with_capacity(workers);
        for number in 0..workers {
            let (order, taken) = async_mpsc::unbounded_channel();
            orders.push(order);
            worker::start(worker::Start {
                number,
                observer: Arc::clone(&observer),
                names: Arc::clone(&names),
                orders: taken,
                running: running.clone(),
            })?;
        }
        observer.plan_took_over();
        let gateway =
            Self { state: Mutex::new(state), observer, control, workers: orders, running: still_running };
        gateway.spread(&plan, 1, doors);
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
        let plan = Arc::new(plan);
        let log = open_access_log(&self.observer, &plan).map_err(ReloadError::AccessLog)?;
        let admin = admin::Change::prepare(&plan, state.admin.as_ref(), &self.observer)
            .map_err(ReloadError::Admin)?;
        let doors = state
            .bind(&plan, self.workers.len())
            .map_err(|(listener, source)| ReloadError::Bind { listener, source })?;
        self.observer.use_access_log(log);
        state.change_admin(admin, &self.control);
        self.control.follow(&plan);
        state.generation += 1;
        state.plan = Arc::clone(&plan);
        self.spread(&plan, state.generation, doors);
        Ok(())
    }

    /// Hands the plan to every worker, and waits until it is in force everywhere.
    fn spread(&self, plan: &Arc<Plan>, generation: u64, mut doors: Vec<Doorway>) {
        let (taken, answers) = mpsc::channel();
        for worker in &self.workers {
            let doors = doors.iter_mut().map(|door| door.for_next_worker()).collect();
            let new = NewPlan { generation, plan: Arc::clone(plan), doors, taken: taken.clone() };
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
        let state = self.state();
        let mut kept: Vec<&Kept> = state.bound.values().collect();
        kept.sort_by_key(|kept| kept.door);
        let bound =
            |kept: &&Kept| BoundAddress { listener: kept.listener.clone(), address: kept.address.clone() };
        kept.iter().map(bound).collect()
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
            state.bound.clear();
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

fn open_access_log(observer: &Observer, plan: &Plan) -> Result<Option<Arc<AccessLog>>, OpenError> {
    plan.access_log.as_ref().map(|log| observer.open_access_log(log)).transpose()
}

/// One bind of a plan, on its way to the workers.
#[derive(Debug)]
struct Doorway {
    key: u64,
    listener: Arc<Listener>,
    post: Arc<Post>,
    /// One for each worker if it is new.
    sockets: Vec<Socket>,
}

impl Doorway {
    fn for_next_worker(&mut self) -> Door {
        Door {
            key: self.key,
            listener: Arc::clone(&self.listener),
            post: Arc::clone(&self.post),
            socket: self.sockets.pop(),
        }
    }
}

impl State {
    fn new(plan: Arc<Plan>, workers: usize) -> Self {
        let sockets = plan.listeners.iter().map(|listener| listener.binds.len()).sum::<usize>() * workers;
        Self {
            plan,
            generation: 1,
            draining: false,
            bound: HashMap::new(),
            admin: None,
            posts: HashMap::new(),
            capacity: Capacity::new(connection_limit(sockets)),
            next_door: 0,
        }
    }

    fn change_admin(&mut self, change: admin::Change, control: &Control) {
        let admin::Change::Becomes(admin) = change else { return };
        let (admin, door) = admin.unzip();
        control.answer(admin);
        self.admin = door;
    }

    /// Binds what is new in `plan` and lets go of what it no longer has; changes nothing if it cannot.
    fn bind(&mut self, plan: &Plan, workers: usize) -> Result<Vec<Doorway>, (Box<str>, BindError)> {
        let mut next_door = self.next_door;
        let mut doors = Vec::new();
        let mut new = HashMap::new();
        let mut stays = Vec::new();
        for listener in &plan.listeners {
            let post = self.posts.get(&listener.name).map_or_else(|| Post::new(&self.capacity), Arc::clone);
            for (place, bind) in listener.binds.iter().enumerate() {
                let key = BindKey::new(listener, place, bind);
                let (door, sockets) = match self.bound.get(&key) {
                    Some(kept) if !stays.contains(&key) => (kept.door, Vec::new()),
                    // Where it is listened on already, binding it once more says that it is taken.
                    _ => {
                        let bound =
                            sockets::bind(bind, workers).map_err(|error| (listener.name.clone(), error))?;
                        next_door += 1;
                        let listener = listener.name.clone();
                        let kept =
                            Kept { door: next_door, listener, address: bound.address, _file: bound.file };
                        new.insert(key.clone(), kept);
                        (next_door, bound.sockets)
                    }
                };
                stays.push(key);
                doors.push(Doorway {
                    key: door,
                    listener: Arc::clone(listener),
                    post: Arc::clone(&post),
                    sockets,
                });
            }
        }
        self.next_door = next_door;
        self.bound.retain(|key, _| stays.contains(key));
        self.bound.extend(new);
        self.posts = doors.iter().map(|door| (door.listener.name.clone(), Arc::clone(&door.post))).collect();
        for door in &doors {
            if let Some(kept) = self.bound.values_mut().find(|kept| kept.door == door.key) {
                kept.listener.clone_from(&door.listener.name);
            }
        }
        Ok(doors)
    }
}

/// Raises the limit of descriptors as far as we may, and says how many connections that is enough for.
fn connection_limit(sockets: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let descriptors = descriptors.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    (descriptors.saturating_sub(sockets + RESERVED) / PER_CONNECTION).max(1)
}

/// A connection has a socket on each side.
const PER_CONNECTION: usize = 2;

/// For logs, the admin socket, name servers, and the runtimes themselves.
const RESERVED: usize = 64;

/// What was logged last should be written, but a log that stands still keeps nobody from ending.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// A worker takes a plan between two turns of its loop.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::num::NonZeroUsize;
    use std::thread;

    use foreword::Parser;
    use foreword_http1::path::PathPolicy;

    use super::*;
    use crate::plan::{
        Balance, Cluster, ClusterTimeouts, Endpoint, HeaderPlan, Limits, Mode, RequestId, SecondHeader,
        SendHeader, Target, Timeouts, UnknownHeader,
    };
    use crate::policy::rules::{Ending, Rule, Rules};

    fn plan(binds: &[Bind], endpoint: SocketAddr) -> Plan {
        let cluster = Arc::new(Cluster {
            name: "echo".into(),
            index: 0,
            endpoints: vec![Endpoint {
                text: endpoint.to_string().into(),
                target: Target::Address(endpoint),
            }],
            balance: Balance::RoundRobin,
            send_header: SendHeader::None,
            send_tlvs: Vec::new(),
            timeout: ClusterTimeouts::default(),
        });
        let forward = Rule {
            name: "all".into(),
            when: None,
            changes: Vec::new(),
            ending: Some(Ending::Forward(Arc::clone(&cluster))),
        };
        let listener = Listener {
            name: "edge".into(),
            binds: binds.to_vec(),
            mode: Mode::Tcp,
            trust: None,
            header: HeaderPlan {
                deadline: Duration::from_secs(3),
                max_len: 4096,
                waiting: 1024,
                parser: Parser::new(),
                second_header: SecondHeader::Payload,
                chain: NonZeroUsize::MIN,
                unknown: UnknownHeader::Accept,
            },
            tls: None,
            rules: Rules::new(vec![forward]),
            timeout: Timeouts::default(),
            max: Limits::default(),
            path: PathPolicy::default(),
            request_id: RequestId::default(),
        };
        Plan {
            workers: NonZeroUsize::new(2).unwrap(),
            drain: Duration::from_secs(30),
            listeners: vec![Arc::new(listener)],
            clusters: vec![cluster],
            access_log: None,
            admin: None,
            warnings: Vec::new(),
        }
    }

    fn open_port() -> Bind {
        Bind::Inet("127.0.0.1:0".parse().unwrap())
    }

    /// Sends back what comes, connection by connection, until the test ends.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        address
    }

    fn ask(address: &Bind) -> TcpStream {
        let Bind::Inet(address) = address else { panic!("bound to an inet address") };
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        stream
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_a_drain_ends_when_the_last_connection_does() {
        let gateway = Gateway::start(plan(&[open_port(), open_port()], echo())).unwrap();
        let addresses = gateway.addresses();
        assert_eq!(addresses.len(), 2);
        let open = ask(&addresses[0].address);
        drop(ask(&addresses[1].address));
        let Bind::Inet(address) = &addresses[0].address else { panic!("bound to an inet address") };

        let drain = gateway.drain();
        let close = async {
            tokio::task::spawn_blocking({
                let address = *address;
                move || {
                    while TcpStream::connect(address).is_ok() {}
                    drop(open);
                }
            })
            .await
            .unwrap();
        };
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(drain, close) }).await.unwrap();
    }

    #[tokio::test]
    async fn what_does_not_end_is_cut_off_at_the_deadline() {
        let mut short = plan(&[open_port()], echo());
        short.drain = Duration::from_millis(50);
        let gateway = Gateway::start(short).unwrap();
        let mut open = ask(&gateway.addresses()[0].address);
        gateway.drain().await;
        assert_eq!(open.read(&mut [0]).unwrap_or(0), 0, "the connection is gone");
    }

    #[test]
    fn a_reload_keeps_the_socket_of_a_listener_that_stays() {
        let gateway = Gateway::start(plan(&[open_port()], echo())).unwrap();
        let before = gateway.addresses();
        let open = ask(&before[0].address);
        gateway.reload(plan(&[open_port(), open_port()], echo())).unwrap();
        let after = gateway.addresses();
        assert_eq!(after[0], before[0]);
        assert_eq!(after.len(), 2);
        ask(&after[0].address);
        ask(&after[1].address);
        drop(open);
    }

    #[test]
    fn a_plan_that_cannot_be_bound_changes_nothing() {
        let gateway = Gateway::start(plan(&[open_port()], echo())).unwrap();
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = Bind::Inet(held.local_addr().unwrap());
        let before = gateway.addresses();
        let error = gateway.reload(plan(&[open_port(), taken], echo())).unwrap_err();
        assert!(error.to_string().contains("the address is taken"), "{error}");
        assert_eq!(gateway.addresses(), before);
        ask(&before[0].address);
    }

    #[test]
    fn the_same_address_twice_is_taken_the_second_time() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Gateway::start(plan(&[Bind::Inet(free), Bind::Inet(free)], echo())).unwrap_err();
        assert!(error.to_string().contains("the address is taken"), "{error}");
    }

    #[test]
    fn a_gateway_that_is_dropped_lets_go_of_its_addresses() {
        let gateway = Gateway::start(plan(&[open_port()], echo())).unwrap();
        let Bind::Inet(address) = gateway.addresses().remove(0).address else {
            panic!("bound to an inet address")
        };
        let mut open = ask(&Bind::Inet(address));
        drop(gateway);
        assert_eq!(open.read(&mut [0]).unwrap_or(0), 0, "the connection is gone");
        while TcpStream::connect(address).is_ok() {}
    }
}
