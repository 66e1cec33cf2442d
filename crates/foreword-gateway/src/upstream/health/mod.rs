//! Which endpoints there are, and how they are. Lives on the control thread.

mod checking;
mod http;
mod once;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use self::checking::{Checking, NeededBy};
use super::endpoints::Address;
use super::membership::States;
use super::names::Names;
use super::resolved::{addresses, draining};
use super::state::{Condition, DrainedBy, EndpointState, Finding};
use crate::policy::cluster::Cluster;

/// Keeps what is known of endpoints, and has them checked, for as long as a plan, or a connection that began under it,
/// needs them.
pub(crate) struct Watching {
    states: Arc<States>,
    names: Arc<Names>,
    clusters: BTreeMap<Box<str>, Watched>,
    /// How many checks go on at once.
    seats: Rc<Semaphore>,
}

/// The newest cluster of a name.
#[derive(Default)]
struct Watched {
    cluster: NeededBy,
    checks: HashMap<Address, Checking>,
}

impl Watching {
    pub(crate) fn new(states: Arc<States>, names: Arc<Names>) -> Self {
        Self { states, names, clusters: BTreeMap::new(), seats: Rc::new(Semaphore::new(MOST_CHECKS)) }
    }

    /// Watches the endpoints of a plan from now on. Those of an earlier one are watched until its connections are gone.
    pub(crate) fn follow(&mut self, clusters: &[Arc<Cluster>]) {
        for cluster in clusters {
            let watched = self.clusters.entry(cluster.name.clone()).or_default();
            watched.cluster.replace(Arc::downgrade(cluster));
        }
        self.look_again();
    }

    /// Waits until names may have other addresses.
    pub(crate) async fn names_changed(&self) {
        self.names.changed().await;
    }

    /// Takes over the addresses that names have now.
    pub(crate) fn look_again(&mut self) {
        let table = self.names.table();
        let (states, seats) = (&self.states, &self.seats);
        self.clusters.retain(|name, watched| {
            let state = states.cluster(name);
            let cluster = watched.cluster.borrow().upgrade();
            match &cluster {
                Some(cluster) => {
                    let members = state.has(&addresses(cluster, &table), cluster.when_all_down);
                    let draining = draining(cluster, &table);
                    for member in &members {
                        let drains = draining.contains(&member.address);
                        member.lets_go_within(cluster.timeout.drain);
                        member.drain(DrainedBy::File, drains);
                    }
                    watched.check(cluster, &members, seats);
                }
                None => state.has_none(),
            }
            cluster.is_some()
        });
        self.states.forget_the_gone();
    }
}

impl Watched {
    /// Has these endpoints checked, and no others. Checks that stay go on as if nothing had happened.
    fn check(&mut self, cluster: &Cluster, endpoints: &[Arc<EndpointState>], seats: &Rc<Semaphore>) {
        let mut before = std::mem::take(&mut self.checks);
        for endpoint in endpoints {
            let running = before.remove(&endpoint.address);
            let Some(check) = &cluster.health else {
                believe_again(endpoint);
                continue;
            };
            let checking = running.filter(|running| running.check == *check).unwrap_or_else(|| {
                Checking::start(check, Arc::clone(endpoint), Rc::clone(&self.cluster), Rc::clone(seats))
            });
            self.checks.insert(endpoint.address.clone(), checking);
        }
    }
}

/// An endpoint that a check found down, and that is not checked any more, is not down for ever.
fn believe_again(endpoint: &EndpointState) {
    if endpoint.condition() == Condition::Down {
        endpoint.found(Finding::Up);
    }
}

/// Enough for thousands of endpoints every few seconds, even if many of them keep silent; and few enough sockets.
const MOST_CHECKS: usize = 256;

#[cfg(test)]
mod tests;
