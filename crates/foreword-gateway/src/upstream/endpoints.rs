//! One worker's view of the endpoints: their addresses now, and how many connections it has to each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::{self, Arc};
use std::time::Duration;
use std::{fmt, io};

use super::connect::ConnectError;
use super::ejection::Reports;
use super::load::{Load, Use};
use super::membership::{ClusterState, States};
use super::names::{Names, Table};
use super::resolved::{Member, members};
use super::standing::{Standing, Tiers};
use super::state::Admission;
use crate::observe::journal::{ClusterAccount, Scribe};
use crate::policy::balance::digest;
use crate::policy::cluster::{Cluster, WhenAllDown};

/// Where to connect: an endpoint whose name, if it had one, is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// Over IPv4 or IPv6.
    Inet(SocketAddr),
    /// On this machine.
    Unix(Arc<Path>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An endpoint that was chosen, and counted as in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) address: Address,
    /// Where it is counted what becomes of it.
    pub(crate) account: Rc<ClusterAccount>,
    _in_use: Use,
    reports: Rc<Reports>,
    /// Whether it decides that others may come; told once.
    is_trial: Cell<bool>,
}

impl Chosen {
    /// A new connection was made.
    pub(crate) fn connected(&self) {
        self.account.connected();
        self.reports.connected();
    }

    /// The endpoint refused the connection, or could not be reached.
    pub(crate) fn connect_failed(&self, error: &io::Error) {
        self.account.connect_failed();
        self.reports.connect_failed(self.is_trial.take(), error);
    }

    /// The endpoint did not take the connection in time.
    pub(crate) fn connect_timed_out(&self, after: Duration) {
        self.account.connect_timed_out();
        let why = format_args!("no connection within {} s", after.as_secs_f32());
        self.reports.connect_failed(self.is_trial.take(), &why);
    }

    /// It takes connections, which is all that can be known before bytes come.
    pub(crate) fn took_it(&self) {
        self.reports.passed(self.is_trial.take());
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        self.reports.answered(self.is_trial.take());
    }

    /// It answered with this status.
    pub(crate) fn answered_with(&self, status: u16) {
        if status >= 500 && self.reports.counts_server_errors() {
            self.reports.answer_failed(self.is_trial.take(), &format_args!("status {status}"));
        } else {
            self.answered();
        }
    }

    /// It took the connection and did not answer.
    pub(crate) fn did_not_answer(&self, why: &dyn fmt::Display) {
        self.reports.answer_failed(self.is_trial.take(), why);
    }
}

/// For whom an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'w> {
    /// What a hash is of, where the cluster has one and the value is there.
    pub(crate) key: Option<u64>,
    /// Where it was tried already.
    pub(crate) tried: &'w [Address],
}

/// The endpoints of every cluster, as one worker counts them.
#[derive(Debug)]
pub(crate) struct Endpoints {
    names: Arc<Names>,
    states: Arc<States>,
    scribe: Rc<Scribe>,
    /// By [`Cluster::index`]. There is more than one view in a place while connections of several plans go on.
    views: RefCell<Vec<Vec<View>>>,
    loads: Loads,
}

impl Endpoints {
    pub(crate) fn new(names: Arc<Names>, states: Arc<States>, scribe: Rc<Scribe>) -> Self {
        Self { names, states, scribe, views: RefCell::default(), loads: Loads::default() }
    }

    /// Chooses the next endpoint of `cluster` that is up, but for those that were tried already; `None` if there is no other.
    /// When none is up, the cluster says whether any will do.
    pub(crate) fn choose(&self, cluster: &Arc<Cluster>, wish: Wish<'_>) -> Option<Chosen> {
        let (slot, admission, account) = self.view(cluster, |view| view.choose(cluster, wish))?;
        // It is counted when nobody holds the view any more: whoever follows the count is in there.
        Some(Chosen {
            address: slot.address.clone(),
            account,
            _in_use: Load::begin(&slot.load),
            reports: Rc::clone(&slot.reports),
            is_trial: Cell::new(admission == Admission::Trial),
        })
    }

    /// Whether there is an endpoint of `cluster` that was not tried.
    pub(crate) fn has_other(&self, cluster: &Arc<Cluster>, tried: &[Address]) -> bool {
        self.view(cluster, |view| view.has_other(cluster, tried))
    }

    /// Counts that a cluster had no endpoint to choose, and says so.
    pub(crate) fn none(&self, cluster: &Arc<Cluster>) -> ConnectError {
        self.view(cluster, |view| view.none(cluster))
    }

    fn view<T>(&self, cluster: &Arc<Cluster>, look: impl FnOnce(&mut View) -> T) -> T {
        let table = self.names.table();
        let mut views = self.views.borrow_mut();
        if let Some(views) = views.get_mut(cluster.index)
            && let Some(view) = views.iter_mut().find(|view| view.is_of(cluster))
        {
            view.refresh(cluster, &table, &self.loads);
            return look(view);
        }
        let state = self.states.cluster(&cluster.name);
        let mut view = View::new(cluster, state, &table, &self.loads, self.scribe.cluster(&cluster.name));
        let seen = look(&mut view);
        if views.len() <= cluster.index {
            views.resize_with(cluster.index + 1, Vec::new);
        }
        if let Some(views) = views.get_mut(cluster.index) {
            views.push(view);
        }
        seen
    }

    /// Forgets the clusters under which no connection goes on, and to which none will come.
    pub(crate) fn forget_the_gone(&self) {
        let mut views = self.views.borrow_mut();
        views.iter_mut().for_each(|views| views.retain(|view| view.cluster.strong_count() > 0));
        self.loads.forget_the_gone();
    }
}

/// How many connections of this worker go to each address, whichever cluster or plan they belong to.
#[derive(Debug, Default)]
struct Loads(RefCell<HashMap<Address, Weak<Load>>>);

impl Loads {
    fn of(&self, address: &Address) -> Rc<Load> {
        let mut known = self.0.borrow_mut();
        if let Some(load) = known.get(address).and_then(Weak::upgrade) {
            return load;
        }
        let load = Rc::default();
        known.insert(address.clone(), Rc::downgrade(&load));
        load
    }

    fn forget_the_gone(&self) {
        self.0.borrow_mut().retain(|_, load| load.strong_count() > 0);
    }
}

/// One cluster of one plan: its addresses as of a version of the names.
#[derive(Debug)]
struct View {
    /// It does not keep the cluster alive: when all its connections are gone, so is its need for names.
    cluster: sync::Weak<Cluster>,
    state: Arc<ClusterState>,
    version: u64,
    tiers: Tiers,
    account: Rc<ClusterAccount>,
}

/// An address of a cluster, and what is known of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) address: Address,
    pub(super) weight: u32,
    /// By which a hash knows it wherever the same cluster is balanced.
    pub(super) id: u64,
    pub(super) standing: Standing,
    pub(super) load: Rc<Load>,
    pub(super) reports: Rc<Reports>,
}

impl Slot {
    pub(super) fn is_usable(&self) -> bool {
        self.reports.state.is_usable()
    }
}

impl View {
    fn new(
        cluster: &Arc<Cluster>,
        state: Arc<ClusterState>,
        table: &Table,
        loads: &Loads,
        account: ClusterAccount,
    ) -> Self {
        let slots = slots(cluster, &state, table, loads);
        Self {
            cluster: Arc::downgrade(cluster),
            state,
            version: table.version(),
            tiers: Tiers::new(cluster, slots),
            account: Rc::new(account),
        }
    }

    fn is_of(&self, cluster: &Arc<Cluster>) -> bool {
        ptr::eq(self.cluster.as_ptr(), Arc::as_ptr(cluster))
    }

    /// Takes over another answer of the name servers, if it is about this cluster: an order is not made anew for nothing.
    fn refresh(&mut self, cluster: &Cluster, table: &Table, loads: &Loads) {
        if self.version == table.version() {
            return;
        }
        self.version = table.version();
        let slots = slots(cluster, &self.state, table, loads);
        if !self.tiers.are_of(&slots) {
            self.tiers = Tiers::new(cluster, slots);
            loads.forget_the_gone();
        }
    }

    fn choose(
        &mut self,
        cluster: &Cluster,
        wish: Wish<'_>,
    ) -> Option<(Rc<Slot>, Admission, Rc<ClusterAccount>)> {
        // Each worker that takes a trial away from us leaves one endpoint less to choose from.
        for _ in 0..=self.tiers.slots().len() {
            let Some(slot) = self.tiers.choose(cluster, wish) else { break };
            if let Some(admission) = slot.reports.state.admit() {
                return Some((slot, admission, Rc::clone(&self.account)));
            }
        }
        if !self.tries_all(cluster) {
            return None;
        }
        let slot = self.tiers.choose_any(wish)?;
        self.account.all_down();
        Some((slot, Admission::Usual, Rc::clone(&self.account)))
    }

    /// Whether none is up, and the cluster wants them to be tried all the same.
    fn tries_all(&self, cluster: &Cluster) -> bool {
        cluster.when_all_down == WhenAllDown::TryAll
            && !self.tiers.slots().iter().any(|slot| slot.is_usable())
    }

    fn has_other(&self, cluster: &Cluster, tried: &[Address]) -> bool {
        let tries_all = self.tries_all(cluster);
        let mut others = self.tiers.slots().iter().filter(|slot| !tried.contains(&slot.address));
        others.any(|slot| tries_all || slot.is_usable())
    }

    fn none(&self, cluster: &Cluster) -> ConnectError {
        let cluster = cluster.name.clone();
        let Some(slot) = self.tiers.slots().first() else {
            self.account.unresolved();
            return ConnectError::NoEndpoint { cluster };
        };
        self.account.all_down();
        let why = slot.reports.state.why().unwrap_or_default();
        let count = self.tiers.slots().len();
        ConnectError::AllDown { cluster, count, address: slot.address.clone(), why }
    }
}

fn slots(cluster: &Cluster, state: &ClusterState, table: &Table, loads: &Loads) -> Vec<Rc<Slot>> {
    let slot = |Member { endpoint, address, weight, is_backup }: Member<'_>| {
        let reports = Reports { state: state.endpoint(&address), ejection: cluster.ejection };
        Rc::new(Slot {
            weight,
            id: digest::of(address.to_string().as_bytes()),
            standing: Standing::of(endpoint, is_backup, cluster),
            load: loads.of(&address),
            reports: Rc::new(reports),
            address,
        })
    };
    members(cluster, table).into_iter().map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Observer;
    use crate::policy::cluster::{Balance, Endpoint, OwnZone, Target};

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::new(text, Target::Address(text.parse().unwrap()))
    }

    fn cluster(balance: Balance, addresses: &[&str]) -> Arc<Cluster> {
        let endpoints = addresses.iter().map(|text| endpoint(text)).collect();
        Arc::new(Cluster { balance, ..Cluster::new("app", 0, endpoints) })
    }

    fn choose(endpoints: &Endpoints, cluster: &Arc<Cluster>) -> Chosen {
        endpoints.choose(cluster, Wish::default()).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    fn endpoints() -> Endpoints {
        let observer = Observer::new(1);
        Endpoints::new(Arc::default(), States::new(Arc::clone(&observer)), Scribe::new(observer, 0))
    }

    #[test]
    fn the_one_with_fewer_connections_is_chosen_until_they_are_equal() {
        let endpoints = endpoints();
        let cluster = cluster(Balance::LeastConnections, &["127.0.0.1:1", "127.0.0.1:2"]);
        let first = choose(&endpoints, &cluster);
        let second = choose(&endpoints, &cluster);
        assert_ne!(first.address, second.address);
        let freed = second.address.clone();
        drop(second);
        for _ in 0..3 {
            assert_eq!(choose(&endpoints, &cluster).address, freed);
        }
    }

    #[test]
    fn what_is_counted_outlives_the_plan() {
        let endpoints = endpoints();
        let addresses = ["127.0.0.1:1", "127.0.0.1:2"];
        let held = choose(&endpoints, &cluster(Balance::LeastConnections, &addresses));
        let next = cluster(Balance::LeastConnections, &addresses);
        for _ in 0..4 {
            assert_ne!(choose(&endpoints, &next).address, held.address);
        }
    }

    #[test]
    fn two_plans_that_take_turns_keep_a_view_each_until_one_is_gone() {
        let endpoints = endpoints();
        let addresses = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
        let plans = [cluster(Balance::RoundRobin, &addresses), cluster(Balance::RoundRobin, &addresses)];
        let mut chosen = [HashMap::<Address, u32>::new(), HashMap::new()];
        for turn in 0..30 {
            let plan = turn % 2;
            let address = choose(&endpoints, &plans[plan]).address.clone();
            *chosen[plan].entry(address).or_default() += 1;
        }
        for counts in chosen {
            assert_eq!(counts.into_values().collect::<Vec<_>>(), [5, 5, 5], "each plan goes round by itself");
        }
        let [before, _after] = plans;
        drop(before);
        endpoints.forget_the_gone();
        assert_eq!(endpoints.views.borrow()[0].len(), 1);
        assert_eq!(endpoints.loads.0.borrow().len(), addresses.len());
    }

    #[test]
    fn an_endpoint_that_was_tried_is_not_chosen_again() {
        let endpoints = endpoints();
        let two = cluster(Balance::RoundRobin, &["127.0.0.1:1", "127.0.0.1:2"]);
        let tried = [address("127.0.0.1:1")];
        let wish = Wish { key: None, tried: &tried };
        for _ in 0..4 {
            assert_ne!(endpoints.choose(&two, wish).unwrap().address, tried[0]);
        }
        let one = cluster(Balance::RoundRobin, &["127.0.0.1:1"]);
        assert!(endpoints.choose(&one, wish).is_none());
    }

    #[test]
    fn a_backup_is_chosen_only_when_every_other_was_tried() {
        let endpoints = endpoints();
        let mut app = Cluster::new("app", 0, vec![endpoint("127.0.0.1:1"), endpoint("127.0.0.1:2")]);
        app.endpoints[0].backup = true;
        let app = Arc::new(app);
        for _ in 0..4 {
            assert_eq!(choose(&endpoints, &app).address, address("127.0.0.1:2"));
        }
        let tried = [address("127.0.0.1:2")];
        let backup = endpoints.choose(&app, Wish { key: None, tried: &tried }).unwrap();
        assert_eq!(backup.address, address("127.0.0.1:1"));
    }

    #[test]
    fn the_own_zone_comes_first_and_others_when_it_has_none_left() {
        let endpoints = endpoints();
        let zones = [("127.0.0.1:1", Some("a")), ("127.0.0.1:2", Some("b")), ("127.0.0.1:3", None)];
        let of =
            |(text, zone): (&str, Option<&str>)| Endpoint { zone: zone.map(Into::into), ..endpoint(text) };
        let own = Some(OwnZone { name: "b".into(), needs: 1 });
        let app = Cluster { zone: own, ..Cluster::new("app", 0, zones.map(of).into()) };
        let app = Arc::new(app);
        let near = [address("127.0.0.1:2"), address("127.0.0.1:3")];
        for _ in 0..6 {
            assert!(near.contains(&choose(&endpoints, &app).address));
        }
        let far = endpoints.choose(&app, Wish { key: None, tried: &near }).unwrap();
        assert_eq!(far.address, address("127.0.0.1:1"));
    }

    #[test]
    fn weights_are_honoured() {
        let endpoints = endpoints();
        let mut app = Cluster::new("app", 0, vec![endpoint("127.0.0.1:1"), endpoint("127.0.0.1:2")]);
        app.endpoints[1].weight = 3;
        let app = Arc::new(app);
        let heavy = address("127.0.0.1:2");
        let had = (0..400).filter(|_| choose(&endpoints, &app).address == heavy).count();
        assert_eq!(had, 300);
    }
}
