//! One worker's view of the endpoints: their addresses now, and how many connections it has to each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::connect::ConnectError;
use super::names::{Names, Table};
use crate::observe::journal::{ClusterAccount, Scribe};
use crate::plan::{Balance, Cluster, Plan, Target};
use crate::policy::balance;

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
    scribe: Rc<Scribe>,
    /// By the clusters' names, so that a new plan finds what is counted under the old one.
    clusters: RefCell<HashMap<Box<str>, View>>,
}

impl Endpoints {
    pub(crate) fn new(names: Arc<Names>, scribe: Rc<Scribe>) -> Self {
        Self { names, scribe, clusters: RefCell::new(HashMap::new()) }
    }

    /// Chooses the next endpoint of `cluster` but for the one that was `tried` already; `None` if there is no other.
    pub(crate) fn choose(&self, cluster: &Arc<Cluster>, tried: Option<&Address>) -> Option<Chosen> {
        self.view(cluster, |view| view.choose(cluster.balance, tried))
    }

    /// Counts that a cluster had no endpoint at all, and says so.
    pub(crate) fn none(&self, cluster: &Arc<Cluster>) -> ConnectError {
        self.view(cluster, |view| view.account.unresolved());
        ConnectError::NoEndpoint { cluster: cluster.name.clone() }
    }

    fn view<T>(&self, cluster: &Arc<Cluster>, look: impl FnOnce(&mut View) -> T) -> T {
        let table = self.names.table();
        let mut clusters = self.clusters.borrow_mut();
        if let Some(view) = clusters.get_mut(&cluster.name) {
            view.refresh(cluster, &table);
            return look(view);
        }
        let mut view = View::new(cluster, &table, self.scribe.cluster(&cluster.name));
        let seen = look(&mut view);
        clusters.insert(cluster.name.clone(), view);
        seen
    }

    /// Forgets the clusters that `plan` no longer has.
    pub(crate) fn keep_those_of(&self, plan: &Plan) {
        self.clusters.borrow_mut().retain(|name, _| plan.cluster(name).is_some());
    }
}

/// One cluster: its addresses as of a plan and a version of the names.
#[derive(Debug)]
struct View {
    cluster: Arc<Cluster>,
    version: u64,
    slots: Vec<Slot>,
    turn: usize,
    account: Rc<ClusterAccount>,
}

#[derive(Debug)]
struct Slot {
    address: Address,
    in_use: Rc<Cell<u32>>,
}

impl View {
    fn new(cluster: &Arc<Cluster>, table: &Table, account: ClusterAccount) -> Self {
        let slot = |address| Slot { address, in_use: Rc::default() };
        let slots: Vec<Slot> = addresses(cluster, table).into_iter().map(slot).collect();
        // Workers that all began with the first endpoint would send it their first requests together.
        let turn = fastrand::usize(..slots.len().max(1));
        Self {
            cluster: Arc::clone(cluster),
            version: table.version(),
            slots,
            turn,
            account: Rc::new(account),
        }
    }

    /// Takes over what another plan or another answer of the name servers says.
    fn refresh(&mut self, cluster: &Arc<Cluster>, table: &Table) {
        if Arc::ptr_eq(&self.cluster, cluster) && self.version == table.version() {
            return;
        }
        let before = self.slots.drain(..).map(|slot| (slot.address, slot.in_use));
        let mut counted: HashMap<Address, Rc<Cell<u32>>> = before.collect();
        for address in addresses(cluster, table) {
            let in_use = counted.remove(&address).unwrap_or_default();
            self.slots.push(Slot { address, in_use });
        }
        self.cluster = Arc::clone(cluster);
        self.version = table.version();
    }

    fn choose(&mut self, balance: Balance, tried: Option<&Address>) -> Option<Chosen> {
        let was_tried = |place: usize| self.slots.get(place).is_some_and(|slot| Some(&slot.address) == tried);
        let in_use = |place: usize| self.slots.get(place).map_or(0, |slot| slot.in_use.get());
        let place = match balance {
            Balance::RoundRobin => balance::in_turn(self.turn, self.slots.len(), was_tried),
            Balance::LeastConnections => balance::least(self.turn, self.slots.len(), in_use, was_tried),
        };
        self.turn = self.turn.wrapping_add(1);
        let slot = self.slots.get(place?)?;
        slot.in_use.set(slot.in_use.get() + 1);
        Some(Chosen {
            address: slot.address.clone(),
            account: Rc::clone(&self.account),
            in_use: Rc::clone(&slot.in_use),
        })
    }
}

fn addresses(cluster: &Cluster, table: &Table) -> Vec<Address> {
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
    use crate::plan::{ClusterTimeouts, Endpoint, SendHeader};

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
            timeout: ClusterTimeouts::default(),
        })
    }

    fn endpoints() -> Endpoints {
        Endpoints::new(Arc::default(), Scribe::new(crate::observe::Observer::new(1), 0))
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
