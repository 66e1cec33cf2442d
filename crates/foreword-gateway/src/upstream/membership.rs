//! Which endpoints a cluster has, over all plans: what is known of an endpoint outlives the plan that named it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::endpoints::Address;
use super::line::Line;
use super::state::{Clock, Condition, DrainedBy, EndpointState};
use crate::observe::Observer;
use crate::policy::cluster::WhenAllDown;
use crate::refusal::Code;

/// What is known of every endpoint of every cluster. Workers come here when a plan or an address is new to them.
#[derive(Debug)]
pub(crate) struct States {
    observer: Arc<Observer>,
    clock: Clock,
    /// Told when somebody drains an endpoint, or lets it come back.
    drained: watch::Sender<()>,
    clusters: Mutex<HashMap<Box<str>, Arc<ClusterState>>>,
}

impl States {
    pub(crate) fn new(observer: Arc<Observer>) -> Arc<Self> {
        let (drained, _) = watch::channel(());
        Arc::new(Self { observer, clock: Clock::start(), drained, clusters: Mutex::default() })
    }

    /// The cluster of this name.
    pub(crate) fn cluster(&self, name: &str) -> Arc<ClusterState> {
        let mut clusters = locked(&self.clusters);
        if let Some(cluster) = clusters.get(name) {
            return Arc::clone(cluster);
        }
        let cluster = Arc::new_cyclic(|own| ClusterState {
            name: name.into(),
            own: Weak::clone(own),
            observer: Arc::clone(&self.observer),
            clock: self.clock,
            line: Arc::default(),
            known: Mutex::default(),
        });
        clusters.insert(name.into(), Arc::clone(&cluster));
        cluster
    }

    /// Drains an endpoint, written as it is shown, or has it come back; `None` where there is no such one.
    pub(crate) fn drain(&self, cluster: &str, address: &str, drains: bool) -> Option<Arc<EndpointState>> {
        let cluster = locked(&self.clusters).get(cluster).map(Arc::clone)?;
        let members = cluster.members();
        let endpoint = members.into_iter().find(|member| member.address.to_string() == address)?;
        endpoint.drain(DrainedBy::Hand, drains);
        self.drained.send_replace(());
        Some(endpoint)
    }

    /// Hears of it when somebody drains an endpoint.
    pub(crate) fn drained(&self) -> watch::Receiver<()> {
        self.drained.subscribe()
    }

    /// Forgets the clusters that nobody has any more.
    pub(crate) fn forget_the_gone(&self) {
        locked(&self.clusters).retain(|_, cluster| {
            Arc::strong_count(cluster) > 1 || !locked(&cluster.known).members.is_empty()
        });
    }

    /// Every cluster that has endpoints, by name.
    pub(crate) fn all(&self) -> Vec<Arc<ClusterState>> {
        let mut all: Vec<_> = locked(&self.clusters).values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// What is known of the endpoints of one cluster.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) name: Box<str>,
    own: Weak<Self>,
    observer: Arc<Observer>,
    clock: Clock,
    /// Its connections where they are limited, and who waits for one to end.
    pub(super) line: Arc<Line>,
    /// Locked when endpoints come and go, and when one of them goes down or comes back; never to choose one.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_address: HashMap<Address, Weak<EndpointState>>,
    /// Those that the newest plan and the newest names give it.
    members: Vec<Arc<EndpointState>>,
    when_all_down: WhenAllDown,
    told_all_down: bool,
}

impl ClusterState {
    /// What is known of an endpoint.
    pub(crate) fn endpoint(&self, address: &Address) -> Arc<EndpointState> {
        self.endpoint_of(&mut locked(&self.known), address)
    }

    fn endpoint_of(&self, known: &mut Known, address: &Address) -> Arc<EndpointState> {
        if let Some(state) = known.by_address.get(address).and_then(Weak::upgrade) {
            return state;
        }
        // Now and then, so that ten thousand new ones take no hundred million looks.
        if known.by_address.len().is_power_of_two() {
            known.by_address.retain(|_, state| state.strong_count() > 0);
        }
        let series = self.observer.endpoint(&self.name, address.to_string());
        let state = Arc::new(EndpointState::new(address.clone(), Weak::clone(&self.own), series, self.clock));
        known.by_address.insert(address.clone(), Arc::downgrade(&state));
        state
    }

    /// Has these endpoints, each of them once, and no others from now on; what is known of those that stay, stays.
    pub(crate) fn has(&self, addresses: &[Address], when_all_down: WhenAllDown) -> Vec<Arc<EndpointState>> {
        let mut known = locked(&self.known);
        let members: Vec<_> = addresses.iter().map(|address| self.endpoint_of(&mut known, address)).collect();
        known.members.clone_from(&members);
        known.when_all_down = when_all_down;
        drop(known);
        self.look_around();
        members
    }

    /// Has no endpoint any more.
    pub(super) fn has_none(&self) {
        locked(&self.known).members.clear();
    }

    /// Its endpoints now.
    pub(crate) fn members(&self) -> Vec<Arc<EndpointState>> {
        locked(&self.known).members.clone()
    }

    /// Asks for leave to eject one of its endpoints, and has `eject` do it: of all, no more than `most` percent may be, though one of
    /// two always may.
    pub(super) fn eject(&self, most: u8, eject: impl FnOnce()) -> bool {
        let known = locked(&self.known);
        let out = known.members.iter().filter(|member| member.condition() == Condition::Ejected).count();
        let all = known.members.len();
        let most = (all * usize::from(most) / 100).max(usize::from(all > 1));
        let may = out < most;
        if may {
            eject();
        }
        drop(known);
        if may {
            self.look_around();
        }
        may
    }

    /// Says so when the last of its endpoints went down, and when there is one again.
    pub(super) fn look_around(&self) {
        let mut known = locked(&self.known);
        let all_down = !known.members.is_empty() && !known.members.iter().any(|member| member.is_up());
        if std::mem::replace(&mut known.told_all_down, all_down) == all_down {
            return;
        }
        let name = &self.name;
        let count = known.members.len();
        if all_down {
            let draining = known.members.iter().filter(|member| member.is_draining()).count();
            let told = none_is_up(count, draining, known.when_all_down);
            tracing::error!("cluster `{name}`: {told} [{}]", Code::AllDown);
        } else if count > 0 {
            tracing::info!("cluster `{name}`: an endpoint is up again");
        }
    }
}

/// What to say of `count` endpoints of which none is up. Those that drain get nothing new, whatever becomes of the others.
fn none_is_up(count: usize, draining: usize, when_all_down: WhenAllDown) -> String {
    let rest = count.saturating_sub(draining);
    let none = match (count, draining, rest) {
        (1, 0, _) => "its only endpoint is not up".to_owned(),
        (1, ..) => "its only endpoint drains".to_owned(),
        (_, 0, _) => format!("none of its {count} endpoints is up"),
        (_, _, 0) => format!("all of its {count} endpoints drain"),
        _ => {
            let drains = if draining == 1 { "drains" } else { "drain" };
            let are = if rest == 1 { "is" } else { "are" };
            format!("none of its {count} endpoints is up: {draining} {drains}, {rest} {are} down or ejected")
        }
    };
    let then = match (when_all_down, draining, rest) {
        (_, _, 0) => "whoever comes is refused",
        (WhenAllDown::Refuse, ..) => "whoever comes is refused, as `when_all_down = \"refuse\"` says",
        (WhenAllDown::TryAll, 0, 1) => "it is tried all the same, as `when_all_down = \"try-all\"` says",
        (WhenAllDown::TryAll, 0, _) => "all of them are tried, as `when_all_down = \"try-all\"` says",
        (WhenAllDown::TryAll, ..) => {
            "what does not drain is tried all the same, as `when_all_down = \"try-all\"` says"
        }
    };
    format!("{none}; {then}")
}

/// What a panic left behind is as good as any: nothing here is changed in halves.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_who_drains_and_who_is_tried_where_none_is_up() {
        for (count, draining, when_all_down, told) in [
            (
                3,
                0,
                WhenAllDown::TryAll,
                "none of its 3 endpoints is up; all of them are tried, as `when_all_down = \"try-all\"` says",
            ),
            (
                1,
                0,
                WhenAllDown::TryAll,
                "its only endpoint is not up; it is tried all the same, as `when_all_down = \"try-all\"` says",
            ),
            (1, 1, WhenAllDown::TryAll, "its only endpoint drains; whoever comes is refused"),
            (2, 2, WhenAllDown::TryAll, "all of its 2 endpoints drain; whoever comes is refused"),
            (
                2,
                1,
                WhenAllDown::TryAll,
                "none of its 2 endpoints is up: 1 drains, 1 is down or ejected; what does not drain is tried all the \
                 same, as `when_all_down = \"try-all\"` says",
            ),
            (
                5,
                2,
                WhenAllDown::Refuse,
                "none of its 5 endpoints is up: 2 drain, 3 are down or ejected; whoever comes is refused, as \
                 `when_all_down = \"refuse\"` says",
            ),
        ] {
            assert_eq!(none_is_up(count, draining, when_all_down), told);
        }
    }
}
