//! One worker's view of the endpoints: their addresses now, and how many connections it has to each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::connect::ConnectError;
use super::line::{Rank, Seat, Waiting};
use super::load::{Load, Use};
use super::membership::States;
use super::names::Names;
use super::view::{Picked, View};
use super::witness::Witness;
use crate::observe::cluster::ClusterAccount;
use crate::observe::journal::Scribe;
use crate::policy::cluster::Cluster;
use crate::policy::sticky::Token;

/// Where to connect: an endpoint whose name, if it had one, is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// Over IPv4 or IPv6.
    Inet(SocketAddr),
    /// On this machine.
    Unix(Arc<Path>),
}

impl Address {
    /// The address that it is at, if it is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
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
    witness: Witness,
    _in_use: Use,
    /// Its place among those that are limited. It is given back after all else.
    seat: Option<Seat>,
}

/// What came of a choice.
#[derive(Debug)]
pub(crate) enum Choice {
    /// This one.
    Endpoint(Chosen),
    /// There are some, with as many connections as they may have.
    Full,
    /// There is no other.
    Nobody,
}

/// Who waits for a connection to end, as it is counted.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(super) waiting: Waiting,
    account: Rc<ClusterAccount>,
}

impl Queued {
    pub(super) fn served(&self) {
        self.waiting.took_one();
        self.account.queue_served();
    }

    pub(super) fn timed_out(&self) {
        self.account.queue_timed_out();
    }

    pub(super) fn none_left(&self) {
        self.account.queue_without_endpoint();
    }

    pub(super) fn abandoned(&self) {
        self.account.queue_abandoned();
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.account.queue_left();
    }
}

impl Chosen {
    /// Whether it has one of a limited number of places.
    pub(crate) fn is_limited(&self) -> bool {
        self.seat.is_some()
    }

    /// A rank for whoever it was chosen for just now, where there is a line.
    pub(super) fn draw_rank(&self) -> Option<Rank> {
        self.seat.as_ref().map(Seat::draw_rank)
    }
}

impl Deref for Chosen {
    type Target = Witness;

    fn deref(&self) -> &Witness {
        &self.witness
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.witness.ended();
    }
}

/// For whom an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'w> {
    /// What a hash is of, where the cluster has one and the value is there.
    pub(crate) key: Option<u64>,
    /// The endpoint that a cookie names.
    pub(crate) token: Option<Token>,
    /// Where it was tried already.
    pub(crate) tried: &'w [Address],
    /// Whether nobody else has waited for longer.
    pub(crate) is_first_in_line: bool,
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

    /// Chooses the next endpoint of `cluster` that is up and has room, but for those that were tried already. When none is up,
    /// the cluster says whether any will do.
    pub(crate) fn choose(&self, cluster: &Arc<Cluster>, wish: Wish<'_>) -> Choice {
        let (picked, account) =
            self.view(cluster, |view| (view.choose(cluster, wish), Rc::clone(&view.account)));
        match picked {
            Picked::Nobody => Choice::Nobody,
            Picked::Full => Choice::Full,
            // It is counted when nobody holds the view any more: whoever follows the count is in there.
            Picked::Slot { slot, admission, seat } => {
                slot.reports.account.began();
                Choice::Endpoint(Chosen {
                    _in_use: Load::begin(&slot.load),
                    witness: Witness::new(slot, account, admission),
                    seat,
                })
            }
        }
    }

    /// Chooses for somebody who cannot wait, as a datagram cannot.
    pub(crate) fn choose_now(&self, cluster: &Arc<Cluster>, wish: Wish<'_>) -> Result<Chosen, ConnectError> {
        match self.choose(cluster, wish) {
            Choice::Endpoint(chosen) => Ok(chosen),
            Choice::Nobody => Err(self.none(cluster)),
            Choice::Full => {
                self.view(cluster, |view| view.account.queue_full());
                Err(ConnectError::QueueFull { cluster: cluster.name.clone(), most: 0 })
            }
        }
    }

    /// A place in the line of `cluster`, by its `rank` for who has one already; `None` if the line is full.
    pub(super) fn queue(&self, cluster: &Arc<Cluster>, rank: Option<Rank>) -> Option<Queued> {
        let most = cluster.max.queue;
        let (waiting, account) =
            self.view(cluster, |view| (view.state.line.join(most, rank), Rc::clone(&view.account)));
        match &waiting {
            Some(_) => account.queue_joined(),
            None => account.queue_full(),
        }
        waiting.map(|waiting| Queued { waiting, account })
    }

    /// Whether some endpoint drains.
    pub(crate) fn any_drains(&self) -> bool {
        let views = self.views.borrow();
        views
            .iter()
            .flatten()
            .flat_map(|view| view.tiers.slots())
            .any(|slot| slot.reports.state.is_draining())
    }

    /// Whether a cookie with this token leads to an endpoint of `cluster` that takes requests.
    pub(crate) fn takes(&self, cluster: &Arc<Cluster>, token: Token) -> bool {
        self.view(cluster, |view| {
            view.named(cluster, Wish { token: Some(token), ..Wish::default() }).is_some()
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
            view.refresh(cluster, &table, &self.loads, &self.scribe);
            return look(view);
        }
        let state = self.states.cluster(&cluster.name);
        let mut view = View::new(cluster, state, &table, &self.loads, &self.scribe);
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
pub(super) struct Loads(RefCell<HashMap<Address, Weak<Load>>>);

impl Loads {
    pub(super) fn of(&self, address: &Address) -> Rc<Load> {
        let mut known = self.0.borrow_mut();
        if let Some(load) = known.get(address).and_then(Weak::upgrade) {
            return load;
        }
        let load = Rc::default();
        known.insert(address.clone(), Rc::downgrade(&load));
        load
    }

    pub(super) fn forget_the_gone(&self) {
        self.0.borrow_mut().retain(|_, load| load.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::observe::Observer;
    use crate::policy::cluster::{Balance, Ejection, Endpoint, OwnZone, Target, WhenAllDown};
    use crate::upstream::state::{EndpointState, Finding};

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::new(text, Target::Address(text.parse().unwrap()))
    }

    fn cluster(balance: Balance, addresses: &[&str]) -> Arc<Cluster> {
        let endpoints = addresses.iter().map(|text| endpoint(text)).collect();
        Arc::new(Cluster { balance, ..Cluster::new("app", 0, endpoints) })
    }

    #[track_caller]
    fn some(choice: Choice) -> Chosen {
        match choice {
            Choice::Endpoint(chosen) => chosen,
            other => panic!("expected an endpoint, found {other:?}"),
        }
    }

    fn choose(endpoints: &Endpoints, cluster: &Arc<Cluster>) -> Chosen {
        some(endpoints.choose(cluster, Wish::default()))
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
        assert_ne!(first.address(), second.address());
        let freed = second.address().clone();
        drop(second);
        for _ in 0..3 {
            assert_eq!(*choose(&endpoints, &cluster).address(), freed);
        }
    }

    #[test]
    fn what_is_counted_outlives_the_plan() {
        let endpoints = endpoints();
        let addresses = ["127.0.0.1:1", "127.0.0.1:2"];
        let held = choose(&endpoints, &cluster(Balance::LeastConnections, &addresses));
        let next = cluster(Balance::LeastConnections, &addresses);
        for _ in 0..4 {
            assert_ne!(choose(&endpoints, &next).address(), held.address());
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
            let address = choose(&endpoints, &plans[plan]).address().clone();
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
        let wish = Wish { tried: &tried, ..Wish::default() };
        for _ in 0..4 {
            assert_ne!(*some(endpoints.choose(&two, wish)).address(), tried[0]);
        }
        let one = cluster(Balance::RoundRobin, &["127.0.0.1:1"]);
        assert!(matches!(endpoints.choose(&one, wish), Choice::Nobody));
    }

    #[test]
    fn a_backup_is_chosen_only_when_every_other_was_tried() {
        let endpoints = endpoints();
        let mut app = Cluster::new("app", 0, vec![endpoint("127.0.0.1:1"), endpoint("127.0.0.1:2")]);
        app.endpoints[0].backup = true;
        let app = Arc::new(app);
        for _ in 0..4 {
            assert_eq!(*choose(&endpoints, &app).address(), address("127.0.0.1:2"));
        }
        let tried = [address("127.0.0.1:2")];
        let backup = some(endpoints.choose(&app, Wish { tried: &tried, ..Wish::default() }));
        assert_eq!(*backup.address(), address("127.0.0.1:1"));
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
            assert!(near.contains(choose(&endpoints, &app).address()));
        }
        let far = some(endpoints.choose(&app, Wish { tried: &near, ..Wish::default() }));
        assert_eq!(*far.address(), address("127.0.0.1:1"));
    }

    #[test]
    fn weights_are_honoured() {
        let endpoints = endpoints();
        let mut app = Cluster::new("app", 0, vec![endpoint("127.0.0.1:1"), endpoint("127.0.0.1:2")]);
        app.endpoints[1].weight = 3;
        let app = Arc::new(app);
        let heavy = address("127.0.0.1:2");
        let had = (0..400).filter(|_| choose(&endpoints, &app).address() == &heavy).count();
        assert_eq!(had, 300);
    }

    fn state(endpoints: &Endpoints, text: &str) -> Arc<EndpointState> {
        endpoints.states.cluster("app").endpoint(&address(text))
    }

    #[test]
    fn whoever_is_down_is_left_out_at_once_and_let_in_again_soon() {
        let ways = [Balance::RoundRobin, Balance::LeastConnections, Balance::RandomOfTwo, Balance::First];
        for balance in ways {
            let endpoints = endpoints();
            let app = cluster(balance, &["127.0.0.1:1", "127.0.0.1:2"]);
            choose(&endpoints, &app);
            let one = state(&endpoints, "127.0.0.1:1");
            one.found(Finding::Down("away".into()));
            for _ in 0..5 {
                assert_eq!(*choose(&endpoints, &app).address(), address("127.0.0.1:2"));
            }
            one.found(Finding::Up);
            while choose(&endpoints, &app).address() != &one.address {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn who_comes_back_starts_slowly_if_the_cluster_says_so() {
        let endpoints = endpoints();
        let app = cluster(Balance::RoundRobin, &["127.0.0.1:1", "127.0.0.1:2"]);
        let app = Arc::new(Cluster { slow_start: Some(Duration::from_secs(3600)), ..Cluster::clone(&app) });
        let one = state(&endpoints, "127.0.0.1:1");
        one.found(Finding::Down("away".into()));
        one.found(Finding::Up);
        let had = (0..1100).filter(|_| choose(&endpoints, &app).address() == &one.address).count();
        assert!((99..=101).contains(&had), "a tenth of what the other has, found {had} of 1100");
    }

    #[test]
    fn when_all_are_down_all_are_tried_or_none() {
        for (when_all_down, tries) in [(WhenAllDown::TryAll, true), (WhenAllDown::Refuse, false)] {
            let endpoints = endpoints();
            let app = cluster(Balance::RoundRobin, &["127.0.0.1:1", "127.0.0.1:2"]);
            let app = Arc::new(Cluster { when_all_down, ..Cluster::clone(&app) });
            let all = ["127.0.0.1:1", "127.0.0.1:2"].map(|text| state(&endpoints, text));
            all.iter().for_each(|state| state.found(Finding::Down("away".into())));
            for _ in 0..4 {
                let found = matches!(endpoints.choose(&app, Wish::default()), Choice::Endpoint(_));
                assert_eq!(found, tries);
            }
            all[1].found(Finding::Up);
            assert_eq!(
                choose(&endpoints, &app).address(),
                &all[1].address,
                "one that comes back is noticed at once"
            );
        }
    }

    #[test]
    fn what_is_full_is_passed_over_and_when_all_are_full_that_is_said() {
        let endpoints = endpoints();
        let mut app = Cluster::new("app", 0, vec![endpoint("127.0.0.1:1"), endpoint("127.0.0.1:2")]);
        app.endpoints[0].max_connections = Some(1);
        app.endpoints[1].max_connections = Some(2);
        let app = Arc::new(app);
        let mut held: Vec<_> = (0..3).map(|_| choose(&endpoints, &app)).collect();
        assert!(matches!(endpoints.choose(&app, Wish::default()), Choice::Full));
        let freed = held.pop().map(|last| last.address().clone()).unwrap();
        assert_eq!(*choose(&endpoints, &app).address(), freed);
    }

    #[test]
    fn whoever_cannot_even_try_has_nothing_to_say_against_an_endpoint() {
        use rustix::io::Errno;

        let endpoints = endpoints();
        let app = cluster(Balance::First, &["127.0.0.1:1", "127.0.0.1:2"]);
        let ejection = Some(Ejection { failures: 1, ..Ejection::default() });
        let app = Arc::new(Cluster { ejection, ..Cluster::clone(&app) });
        let all = ["127.0.0.1:1", "127.0.0.1:2"].map(address);
        let _members = endpoints.states.cluster("app").has(&all, WhenAllDown::default());
        let [one, _other] = all;
        let fails = |errno: Errno| {
            choose(&endpoints, &app).connect_failed(&io::Error::from_raw_os_error(errno.raw_os_error()));
        };
        [Errno::MFILE, Errno::ADDRNOTAVAIL, Errno::PERM].into_iter().for_each(fails);
        assert_eq!(*choose(&endpoints, &app).address(), one);
        fails(Errno::CONNREFUSED);
        assert_ne!(*choose(&endpoints, &app).address(), one);
    }
}
