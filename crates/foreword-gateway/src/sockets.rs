//! The sockets that we listen on: bound as a whole or not at all, one for each worker, kept over reloads.

mod bind;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use self::bind::BindError;
pub(crate) use self::bind::{Beside, Socket, SocketFile, bind};
use crate::admission::pressure::Pressure;
use crate::admission::{Capacity, Post};
use crate::plan::{Bind, Limits, Listener, Mode, Plan};
use crate::refusal::Code;

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

/// The addresses that cannot be listened on, all of them: a line each.
#[derive(Debug)]
pub struct BindErrors(Vec<(Box<str>, BindError)>);

impl BindErrors {
    /// Each with the name of its listener. There is at least one.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BindError)> {
        self.0.iter().map(|(listener, error)| (&**listener, error))
    }
}

impl fmt::Display for BindErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (listener, error)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}listener `{listener}`: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BindErrors {}

/// Where the plan in force listens.
#[derive(Debug)]
pub(crate) struct Sockets {
    workers: usize,
    /// How many the process may have.
    descriptors: usize,
    bound: HashMap<BindKey, Kept>,
    posts: HashMap<Box<str>, Arc<Post>>,
    capacity: Arc<Capacity>,
    kept_per_worker: usize,
    pipes_per_worker: usize,
    next_door: u64,
}

impl Sockets {
    /// Nothing is bound yet. So many connections can be held as descriptors allow beside the sockets of `plan`.
    pub(crate) fn new(plan: &Plan, workers: usize) -> Self {
        let descriptors = descriptors();
        let budget = Budget::new(descriptors, workers, sockets_of(plan, workers));
        Self {
            workers,
            descriptors,
            bound: HashMap::new(),
            posts: HashMap::new(),
            capacity: Capacity::new(budget.connections),
            kept_per_worker: budget.kept,
            pipes_per_worker: budget.pipes,
            next_door: 0,
        }
    }

    /// How many descriptors `plan` cannot be without, and how many there are, if those are fewer.
    pub(crate) fn too_few_for(&self, plan: &Plan) -> Option<(usize, usize)> {
        let workers = LEAST_PER_WORKER.saturating_mul(self.workers);
        let least = LEAST.saturating_add(workers).saturating_add(sockets_of(plan, self.workers));
        (self.descriptors < least).then_some((least, self.descriptors))
    }

    /// Says so if `plan` allows more connections than descriptors do.
    pub(crate) fn tell_of_shortage(&self, plan: &Plan) {
        let asked = asked(plan.listeners.iter().map(|listener| bound(listener.mode, &listener.max)));
        let has_flows = plan.listeners.iter().any(|listener| listener.mode == Mode::Udp);
        let (what, keys) = match has_flows {
            true => ("connections and flows", "`max.connections` and `max.flows`"),
            false => ("connections", "`max.connections`"),
        };
        let held = self.capacity.limit();
        if held < asked {
            let (limit, enough) =
                (self.descriptors, enough(asked, self.workers, sockets_of(plan, self.workers)));
            tracing::warn!(
                "expected {enough} file descriptors, for {asked} {what}, found a limit of {limit}, for {held}. \
                 Raise it (LimitNOFILE, ulimit -n), or lower {keys}. [{}]",
                Code::FewDescriptors
            );
        }
    }

    /// How short memory is, for all whom these sockets let in.
    pub(crate) fn pressure(&self) -> &Arc<Pressure> {
        &self.capacity.pressure
    }

    /// How many connections to endpoints each worker may keep unused.
    pub(crate) fn kept_per_worker(&self) -> usize {
        self.kept_per_worker
    }

    /// How many pipes each worker may have.
    pub(crate) fn pipes_per_worker(&self) -> usize {
        self.pipes_per_worker
    }

    /// Binds what is new in `plan` and lets go of what it no longer has; changes nothing if it cannot.
    pub(crate) fn follow(&mut self, plan: &Plan) -> Result<Vec<Doorway>, BindErrors> {
        let mut next =
            Next { doors: Vec::new(), new: HashMap::new(), stays: Vec::new(), last_door: self.next_door };
        let mut failed = Vec::new();
        for listener in &plan.listeners {
            let post = self.posts.get(&listener.name).map_or_else(|| Post::new(&self.capacity), Arc::clone);
            for (place, bind) in listener.binds.iter().enumerate() {
                let (door, sockets) = match self.door(&mut next, listener, place, bind) {
                    Ok(opened) => opened,
                    Err(error) => {
                        failed.push((listener.name.clone(), error));
                        continue;
                    }
                };
                let (listener, post) = (Arc::clone(listener), Arc::clone(&post));
                next.doors.push(Doorway { key: door, listener, post, sockets });
            }
        }
        if failed.is_empty() { Ok(self.take(next)) } else { Err(BindErrors(failed)) }
    }

    /// The door of one bind: the one that is there, or a new one.
    fn door(
        &self,
        next: &mut Next,
        listener: &Listener,
        place: usize,
        bind: &Bind,
    ) -> Result<(u64, Vec<Socket>), BindError> {
        let key = BindKey::new(listener, place, bind);
        if let Some(kept) = self.bound.get(&key).filter(|_| !next.stays.contains(&key)) {
            next.stays.push(key);
            return Ok((kept.door, Vec::new()));
        }
        // Where it is listened on already, binding it once more says that it is taken.
        let beside = self.beside(next, bind);
        let bound = self::bind::bind(bind, self.workers, beside)?;
        next.last_door += 1;
        let door = next.last_door;
        let kept = Kept { door, listener: listener.name.clone(), address: bound.address, _file: bound.file };
        next.stays.push(key.clone());
        next.new.insert(key, kept);
        Ok((door, bound.sockets))
    }

    fn beside(&self, next: &Next, bind: &Bind) -> Beside {
        let mut ours = self.bound.values().chain(next.new.values());
        match ours.any(|kept| self::bind::overlap(&kept.address, bind)) {
            true => Beside::Ourselves,
            false => Beside::Nobody,
        }
    }

    /// Makes what was prepared the state of things.
    fn take(&mut self, next: Next) -> Vec<Doorway> {
        let Next { doors, new, stays, last_door } = next;
        self.next_door = last_door;
        self.bound.retain(|key, _| stays.contains(key));
        self.bound.extend(new);
        self.posts = doors.iter().map(|door| (door.listener.name.clone(), Arc::clone(&door.post))).collect();
        for kept in self.bound.values_mut() {
            if let Some(door) = doors.iter().find(|door| door.key == kept.door) {
                kept.listener.clone_from(&door.listener.name);
            }
        }
        doors
    }

    /// Where the listeners listen, in the order in which they came.
    pub(crate) fn addresses(&self) -> Vec<BoundAddress> {
        let mut kept: Vec<&Kept> = self.bound.values().collect();
        kept.sort_by_key(|kept| kept.door);
        let bound =
            |kept: &&Kept| BoundAddress { listener: kept.listener.clone(), address: kept.address.clone() };
        kept.iter().map(bound).collect()
    }

    /// Lets go of everything; what the workers hold they close themselves.
    pub(crate) fn close(&mut self) {
        self.bound.clear();
    }
}

/// What a plan is about to change.
struct Next {
    doors: Vec<Doorway>,
    new: HashMap<BindKey, Kept>,
    stays: Vec<BindKey>,
    last_door: u64,
}

/// What a socket is known by from plan to plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum BindKey {
    /// An address that is spelled out: it may pass from one listener to another.
    At(Bind),
    /// A port that was left open, which only its listener can mean again.
    Open { listener: Box<str>, place: usize, udp: bool },
}

impl BindKey {
    fn new(listener: &Listener, place: usize, bind: &Bind) -> Self {
        match bind {
            Bind::Inet(address) | Bind::Udp(address) if address.port() == 0 => {
                let udp = matches!(bind, Bind::Udp(_));
                Self::Open { listener: listener.name.clone(), place, udp }
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

/// One bind of a plan, on its way to the workers.
#[derive(Debug)]
pub(crate) struct Doorway {
    key: u64,
    listener: Arc<Listener>,
    post: Arc<Post>,
    /// One for each worker if it is new.
    sockets: Vec<Socket>,
}

impl Doorway {
    pub(crate) fn for_next_worker(&mut self) -> Door {
        Door {
            key: self.key,
            listener: Arc::clone(&self.listener),
            post: Arc::clone(&self.post),
            socket: self.sockets.pop(),
        }
    }
}

/// What the descriptors of the process are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    /// How many connections can be held.
    connections: usize,
    /// How many connections to endpoints each worker may keep unused.
    kept: usize,
    /// How many pipes each worker may have.
    pipes: usize,
}

impl Budget {
    fn new(descriptors: usize, workers: usize, sockets: usize) -> Self {
        let free = descriptors.saturating_sub(Self::taken(workers, sockets));
        let kept = (free / KEPT_SHARE / workers.max(1)).min(MOST_KEPT);
        let pipes = (free / PIPES_SHARE / workers.max(1)).min(MOST_PIPES);
        let connections = (free - (kept + pipes * PER_PIPE) * workers) / PER_CONNECTION;
        Self { connections: connections.max(1), kept, pipes }
    }

    /// What connections get nothing of.
    fn taken(workers: usize, sockets: usize) -> usize {
        RESERVED.saturating_add(PER_WORKER.saturating_mul(workers)).saturating_add(sockets)
    }
}

/// How many sockets listen for `plan`.
fn sockets_of(plan: &Plan, workers: usize) -> usize {
    plan.listeners.iter().map(|listener| listener.binds.len()).sum::<usize>() * workers
}

/// How many connections, or flows, a listener may have, if that is bounded.
fn bound(mode: Mode, max: &Limits) -> Option<usize> {
    match mode {
        Mode::Udp => Some(max.flows),
        _ => max.connections,
    }
}

/// How many connections there should be room for, by the bounds of all listeners. Those without one have room for a few in common.
fn asked(bounds: impl Iterator<Item = Option<usize>> + Clone) -> usize {
    let unbounded = if bounds.clone().any(|bound| bound.is_none()) { FEW } else { 0 };
    bounds.flatten().fold(unbounded, usize::saturating_add)
}

/// How many descriptors are enough for so many connections: what is free beside workers and sockets, less the largest shares of
/// pools and pipes.
fn enough(connections: usize, workers: usize, sockets: usize) -> usize {
    let free = connections.saturating_mul(PER_CONNECTION * KEPT_SHARE * PIPES_SHARE)
        / (KEPT_SHARE * PIPES_SHARE - PIPES_SHARE - PER_PIPE * KEPT_SHARE);
    free.saturating_add(Budget::taken(workers, sockets)).saturating_add(1)
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

/// Raises the limit of descriptors as far as we may, and says what it is then.
fn descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    descriptors.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Fewer connections at once than that are hardly meant where nobody set a bound.
const FEW: usize = 100;

/// A connection has a socket on each side.
const PER_CONNECTION: usize = 2;

/// For logs, the admin socket, name servers, and the runtime of the control thread.
const RESERVED: usize = 64;

/// A worker's runtime takes four, as counted in `/proc/PID/fd` (its poll, its waker, its end of the signals); the rest is
/// to spare.
const PER_WORKER: usize = 8;

/// What the process has open before it listens, and a connection or two.
const LEAST: usize = 32;

/// What a worker's runtime takes.
const LEAST_PER_WORKER: usize = 4;

/// The pools get one descriptor of so many: those are for clients first.
const KEPT_SHARE: usize = 8;

/// Beyond what one core keeps busy.
const MOST_KEPT: usize = 1024;

/// A pipe has two ends.
const PER_PIPE: usize = 2;

/// There is one pipe for so many descriptors: it is lent only for as long as there is something in it.
const PIPES_SHARE: usize = 64;

/// Of one worker, whose bytes all pass one after the other. So many of 1 MiB are what Linux grants a user by default, twice.
const MOST_PIPES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_pools_workers_and_sockets_fit_into_the_descriptors_together() {
        for descriptors in [256, 1024, 4096, 1 << 20] {
            for workers in [1, 4, 64] {
                let Budget { connections, kept, pipes } = Budget::new(descriptors, workers, 2 * workers);
                let each = PER_WORKER + 2 + kept + pipes * PER_PIPE;
                let taken = RESERVED + workers * each + connections * PER_CONNECTION;
                assert!(
                    taken <= descriptors || (connections, kept) == (1, 0),
                    "{descriptors} for {workers} workers: {connections} connections, {kept} kept"
                );
            }
        }
        assert_eq!(Budget::new(1 << 20, 4, 4).kept, MOST_KEPT);
        assert_eq!(Budget::new(10, 4, 4), Budget { connections: 1, kept: 0, pipes: 0 });
        assert!(Budget::new(usize::MAX, 4, 4).connections > 1 << 30);
    }

    #[test]
    fn what_is_said_to_be_enough_is_enough_and_hardly_more() {
        for connections in [1, 7, FEW, 10_000, 1 << 24] {
            for (workers, sockets) in [(1, 1), (4, 12), (64, 128)] {
                let enough = enough(connections, workers, sockets);
                assert!(Budget::new(enough, workers, sockets).connections >= connections);
                // The larger shares are bounded, so of many connections less would do.
                let fewer = enough - enough / 5 - 4;
                assert!(
                    Budget::new(fewer, workers, sockets).connections < connections.max(2),
                    "{connections}"
                );
            }
        }
        assert_eq!(enough(usize::MAX, 1, 1), usize::MAX / 432 + 74);
    }

    #[test]
    fn listeners_ask_for_as_many_connections_as_they_may_have() {
        assert_eq!(asked([Some(10), Some(20)].into_iter()), 30);
        let max = Limits { connections: None, flows: 7, ..Limits::default() };
        assert_eq!((bound(Mode::Udp, &max), bound(Mode::Tcp, &max)), (Some(7), None));
        assert_eq!(asked([Some(10), None, None].into_iter()), 10 + FEW);
        assert_eq!(asked([Some(usize::MAX), None].into_iter()), usize::MAX);
    }
}
