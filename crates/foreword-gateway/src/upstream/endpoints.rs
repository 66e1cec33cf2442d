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
use super::membership::{ClusterState, States};
use super::names::{Names, Table};
use super::state::Admission;
use crate::observe::journal::{ClusterAccount, Scribe};
use crate::policy::balance;
use crate::policy::cluster::{Balance, Cluster, Target, WhenAllDown};

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
    in_use: Rc<Cell<u32>>,
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

impl Drop for Chosen {
    fn drop(&mut self) {
        self.in_use.set(self.in_use.get().saturating_sub(1));
    }
}

/// The endpoints of every cluster, as one worker counts them.
#[derive(Debug)]
pub(crate) struct Endpoints {
    names: Arc<Names>,
    states: Arc<States>,
    scribe: Rc<Scribe>,
    /// By [`Cluster::index`]. There is more than one view in a place while connections of several plans go on.
    views: RefCell<Vec<Vec<View>>>,
    in_use: InUse,
}

impl Endpoints {
    pub(crate) fn new(names: Arc<Names>, states: Arc<States>, scribe: Rc<Scribe>) -> Self {
        Self { names, states, scribe, views: RefCell::default(), in_use: InUse::default() }
    }

    /// Chooses the next endpoint of `cluster` that is up, but for the one that was `tried` already; `None` if there is no other. When
    /// none is up, the cluster says whether any will do.
    pub(crate) fn choose(&self, cluster: &Arc<Cluster>, tried: Option<&Address>) -> Option<Chosen> {
        self.view(cluster, |view| view.choose(cluster, tried))
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
            view.refresh(cluster, &table, &self.in_use);
            return look(view);
        }
        let state = self.states.cluster(&cluster.name);
        let mut view = View::new(cluster, state, &table, &self.in_use, self.scribe.cluster(&cluster.name));
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
        self.in_use.forget_the_gone();
    }
}

/// How many connections of this worker go to each address, whichever cluster or plan they belong to.
#[derive(Debug, Default)]
struct InUse(RefCell<HashMap<Address, Weak<Cell<u32>>>>);

impl InUse {
    fn of(&self, address: &Address) -> Rc<Cell<u32>> {
        let mut counted = self.0.borrow_mut();
        if let Some(count) = counted.get(address).and_then(Weak::upgrade) {
            return count;
        }
        let count = Rc::default();
        counted.insert(address.clone(), Rc::downgrade(&count));
        count
    }

    fn forget_the_gone(&self) {
        self.0.borrow_mut().retain(|_, count| count.strong_count() > 0);
    }
}

/// One cluster of one plan: its addresses as of a version of the names.
#[derive(Debug)]
struct View {
    /// It does not keep the cluster alive: when all its connections are gone, so is its need for names.
    cluster: sync::Weak<Cluster>,
    state: Arc<ClusterState>,
    version: u64,
    slots: Vec<Slot>,
    turn: usize,
    account: Rc<ClusterAccount>,
}

#[derive(Debug)]
struct Slot {
    address: Address,
    in_use: Rc<Cell<u32>>,
    reports: Rc<Reports>,
}

impl View {
    fn new(
        cluster: &Arc<Cluster>,
        state: Arc<ClusterState>,
        table: &Table,
        in_use: &InUse,
        account: ClusterAccount,
    ) -> Self {
        let slots = slots(cluster, &state, table, in_use);
        // Workers that all began with the first endpoint would send it their first requests together.
        let turn = fastrand::usize(..slots.len().max(1));
        Self {
            cluster: Arc::downgrade(cluster),
            state,
            version: table.version(),
            slots,
            turn,
            account: Rc::new(account),
        }
    }

    fn is_of(&self, cluster: &Arc<Cluster>) -> bool {
        ptr::eq(self.cluster.as_ptr(), Arc::as_ptr(cluster))
    }

    /// Takes over another answer of the name servers.
    fn refresh(&mut self, cluster: &Cluster, table: &Table, in_use: &InUse) {
        if self.version == table.version() {
            return;
        }
        self.slots = slots(cluster, &self.state, table, in_use);
        self.version = table.version();
        in_use.forget_the_gone();
    }

    fn choose(&mut self, cluster: &Cluster, tried: Option<&Address>) -> Option<Chosen> {
        // Each worker that takes a trial away from us leaves one endpoint less to choose from.
        for _ in 0..=self.slots.len() {
            let Some(place) = self.pick(cluster.balance, |slot| slot.is_usable() && !slot.is_at(tried))
            else {
                break;
            };
            let slot = self.slots.get(place)?;
            if let Some(admission) = slot.reports.state.admit() {
                return Some(self.take(slot, admission));
            }
        }
        if cluster.when_all_down == WhenAllDown::Refuse || self.slots.iter().any(Slot::is_usable) {
            return None;
        }
        let place = self.pick(cluster.balance, |slot| !slot.is_at(tried))?;
        self.account.all_down();
        Some(self.take(self.slots.get(place)?, Admission::Usual))
    }

    /// The place of the next one among those that `may` be it.
    fn pick(&mut self, balance: Balance, may: impl Fn(&Slot) -> bool) -> Option<usize> {
        let may_not = |place: usize| !self.slots.get(place).is_some_and(&may);
        let in_use = |place: usize| self.slots.get(place).map_or(0, |slot| slot.in_use.get());
        let place = match balance {
            Balance::RoundRobin => balance::in_turn(self.turn, self.slots.len(), may_not),
            Balance::LeastConnections => balance::least(self.turn, self.slots.len(), in_use, may_not),
        };
        self.turn = self.turn.wrapping_add(1);
        place
    }

    fn take(&self, slot: &Slot, admission: Admission) -> Chosen {
        slot.in_use.set(slot.in_use.get() + 1);
        Chosen {
            address: slot.address.clone(),
            account: Rc::clone(&self.account),
            in_use: Rc::clone(&slot.in_use),
            reports: Rc::clone(&slot.reports),
            is_trial: Cell::new(admission == Admission::Trial),
        }
    }

    fn none(&self, cluster: &Cluster) -> ConnectError {
        let cluster = cluster.name.clone();
        let Some(slot) = self.slots.first() else {
            self.account.unresolved();
            return ConnectError::NoEndpoint { cluster };
        };
        self.account.all_down();
        let why = slot.reports.state.why().unwrap_or_default();
        ConnectError::AllDown { cluster, count: self.slots.len(), address: slot.address.clone(), why }
    }
}

impl Slot {
    fn is_usable(&self) -> bool {
        self.reports.state.is_usable()
    }

    fn is_at(&self, address: Option<&Address>) -> bool {
        Some(&self.address) == address
    }
}

fn slots(cluster: &Cluster, state: &ClusterState, table: &Table, in_use: &InUse) -> Vec<Slot> {
    let slot = |address| {
        let reports = Rc::new(Reports { state: state.endpoint(&address), ejection: cluster.ejection });
        Slot { in_use: in_use.of(&address), address, reports }
    };
    addresses(cluster, table).into_iter().map(slot).collect()
}

/// The addresses of a cluster as names have them now.
pub(super) fn addresses(cluster: &Cluster, table: &Table) -> Vec<Address> {
    let mut addresses = Vec::with_capacity(cluster.endpoints.len());
    for endpoint in &cluster.endpoints {
        match &endpoint.target {
            Target::Address(address) => addresses.push(Address::Inet(*address)),
            Target::Unix(path) => addresses.push(Address::Unix(path.as_path().into())),
            Target::Name { host, port } => {
                let resolved = table.addresses(host).iter();
                addresses.extend(resolved.map(|ip| Address::Inet(SocketAddr::new(*ip, *port))));
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Observer;
    use crate::policy::cluster::{
        ClusterTimeouts, Endpoint, HeaderPlacement, InnerHeader, Keepalive, SendHeader,
    };
    use crate::policy::send_tlv::{DEFAULT_MAX_HEADER, PassTlvs};

    fn cluster(balance: Balance, addresses: &[&str]) -> Arc<Cluster> {
        let endpoint =
            |text: &&str| Endpoint { text: (*text).into(), target: Target::Address(text.parse().unwrap()) };
        Arc::new(Cluster {
            name: "app".into(),
            index: 0,
            endpoints: addresses.iter().map(endpoint).collect(),
            balance,
            send_header: SendHeader::None,
            send_tlvs: Vec::new(),
            header_placement: HeaderPlacement::default(),
            inner_header: InnerHeader::default(),
            keepalive: Keepalive::default(),
            pass_tlvs: PassTlvs::default(),
            max_header: DEFAULT_MAX_HEADER,
            timeout: ClusterTimeouts::default(),
            health: None,
            ejection: None,
            when_all_down: WhenAllDown::default(),
        })
    }

    fn endpoints() -> Endpoints {
        let observer = Observer::new(1);
        Endpoints::new(Arc::default(), States::new(Arc::clone(&observer)), Scribe::new(observer, 0))
    }

    #[test]
    fn the_one_with_fewer_connections_is_chosen_until_they_are_equal() {
        let endpoints = endpoints();
        let cluster = cluster(Balance::LeastConnections, &["127.0.0.1:1", "127.0.0.1:2"]);
        let first = endpoints.choose(&cluster, None).unwrap();
        let second = endpoints.choose(&cluster, None).unwrap();
        assert_ne!(first.address, second.address);
        let freed = second.address.clone();
        drop(second);
        for _ in 0..3 {
            assert_eq!(endpoints.choose(&cluster, None).unwrap().address, freed);
        }
    }

    #[test]
    fn what_is_counted_outlives_the_plan() {
        let endpoints = endpoints();
        let addresses = ["127.0.0.1:1", "127.0.0.1:2"];
        let held = endpoints.choose(&cluster(Balance::LeastConnections, &addresses), None).unwrap();
        let next = cluster(Balance::LeastConnections, &addresses);
        for _ in 0..4 {
            assert_ne!(endpoints.choose(&next, None).unwrap().address, held.address);
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
            let address = endpoints.choose(&plans[plan], None).unwrap().address.clone();
            *chosen[plan].entry(address).or_default() += 1;
        }
        for counts in chosen {
            assert_eq!(counts.into_values().collect::<Vec<_>>(), [5, 5, 5], "each plan goes round by itself");
        }
        let [before, _after] = plans;
        drop(before);
        endpoints.forget_the_gone();
        assert_eq!(endpoints.views.borrow()[0].len(), 1);
        assert_eq!(endpoints.in_use.0.borrow().len(), addresses.len());
    }

    #[test]
    fn an_endpoint_that_was_tried_is_not_chosen_again() {
        let endpoints = endpoints();
        let two = cluster(Balance::RoundRobin, &["127.0.0.1:1", "127.0.0.1:2"]);
        let tried = Address::Inet("127.0.0.1:1".parse().unwrap());
        for _ in 0..4 {
            assert_ne!(endpoints.choose(&two, Some(&tried)).unwrap().address, tried);
        }
        let one = cluster(Balance::RoundRobin, &["127.0.0.1:1"]);
        assert!(endpoints.choose(&one, Some(&tried)).is_none());
    }
}
