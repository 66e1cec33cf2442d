//! The control side: binds a plan, runs it, puts another in its place, lets go.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::{mpsc as async_mpsc, watch};

use crate::control::Control;
use crate::observe::{AccessLog, Observer, OpenError, admin};
use crate::plan::{Bind, Plan};
pub use crate::sockets::{BindError, BoundAddress};
use crate::sockets::{Doorway, Sockets};
use crate::upstream::names::Names;
use crate::worker::{self, NewPlan, Order};

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

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had. Nothing is bound.
    #[error("listener `{listener}`")]
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
    #[error("admin")]
    Admin(#[source] BindError),
    /// The machine gave us no thread or no descriptor.
    #[error("the gateway cannot start")]
    Resources(#[from] io::Error),
}

/// Why a plan was not put into force. The one before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A new address cannot be had.
    #[error("listener `{listener}`")]
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
    #[error("admin")]
    Admin(#[source] BindError),
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
        let mut sockets = Sockets::new(&plan, workers);
        let doors =
            sockets.follow(&plan).map_err(|(listener, source)| StartError::Bind { listener, source })?;
        let mut state =
            State { plan: Arc::clone(&plan), generation: 1, draining: false, sockets, admin: None };

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
        observer.plan_took_over(&plan);
        let gateway =
            Self { state: Mutex::new(state), observer, control, workers: orders, running: still_running };
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
        let plan = Arc::new(plan);
        let log = open_access_log(&self.observer, &plan).map_err(ReloadError::AccessLog)?;
        let admin = admin::Change::prepare(&plan, state.admin.as_ref(), &self.observer)
            .map_err(ReloadError::Admin)?;
        let doors = state
            .sockets
            .follow(&plan)
            .map_err(|(listener, source)| ReloadError::Bind { listener, source })?;
        self.observer.use_access_log(log);
        state.change_admin(admin, &self.control);
        self.control.follow(&plan);
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

fn open_access_log(observer: &Observer, plan: &Plan) -> Result<Option<Arc<AccessLog>>, OpenError> {
    plan.access_log.as_ref().map(|log| observer.open_access_log(log)).transpose()
}

impl State {
    fn change_admin(&mut self, change: admin::Change, control: &Control) {
        let admin::Change::Becomes(admin) = change else { return };
        let (admin, door) = admin.unzip();
        control.answer(admin);
        self.admin = door;
    }
}

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
        Balance, Cluster, ClusterTimeouts, Endpoint, HeaderPlan, Limits, Listener, Mode, RequestId,
        SecondHeader, SendHeader, Target, Timeouts, UnknownHeader,
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
        assert!(why(&error).contains("the address is taken"), "{error}");
        assert_eq!(gateway.addresses(), before);
        ask(&before[0].address);
    }

    #[test]
    fn the_same_address_twice_is_taken_the_second_time() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Gateway::start(plan(&[Bind::Inet(free), Bind::Inet(free)], echo())).unwrap_err();
        assert!(why(&error).contains("the address is taken"), "{error}");
    }

    fn why(error: &impl std::error::Error) -> String {
        error.source().unwrap().to_string()
    }

    #[test]
    fn every_address_and_one_of_them_may_both_be_ours_whichever_comes_first() {
        let open = Bind::Inet("0.0.0.0:0".parse().unwrap());
        let gateway = Gateway::start(plan(std::slice::from_ref(&open), echo())).unwrap();
        let all = gateway.addresses().remove(0).address;
        let Bind::Inet(address) = all else { panic!("bound to an inet address") };
        let one = Bind::Inet(([127, 0, 0, 9], address.port()).into());
        let other = Bind::Inet(([127, 0, 0, 8], address.port()).into());
        gateway.reload(plan(&[open, one.clone()], echo())).unwrap();
        ask(&one);
        ask(&other);
        gateway.reload(plan(std::slice::from_ref(&one), echo())).unwrap();
        ask(&one);
        gateway.reload(plan(&[one.clone(), all], echo())).unwrap();
        ask(&one);
        ask(&other);
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
