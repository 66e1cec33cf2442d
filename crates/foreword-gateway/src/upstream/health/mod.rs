//! Which endpoints there are, and how they are. Lives on the control thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::endpoints::addresses;
use super::membership::States;
use super::names::Names;
use crate::policy::cluster::Cluster;

/// Keeps what is known of endpoints for as long as a plan, or a connection that began under it, needs them.
pub(crate) struct Watching {
    states: Arc<States>,
    names: Arc<Names>,
    /// The newest of each name.
    clusters: BTreeMap<Box<str>, Weak<Cluster>>,
}

impl Watching {
    pub(crate) fn new(states: Arc<States>, names: Arc<Names>) -> Self {
        Self { states, names, clusters: BTreeMap::new() }
    }

    /// Watches the endpoints of a plan from now on. Those of an earlier one are watched until its connections are gone.
    pub(crate) fn follow(&mut self, clusters: &[Arc<Cluster>]) {
        for cluster in clusters {
            self.clusters.insert(cluster.name.clone(), Arc::downgrade(cluster));
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
        let states = &self.states;
        self.clusters.retain(|name, cluster| {
            let state = states.cluster(name);
            match cluster.upgrade() {
                Some(cluster) => {
                    state.has(&addresses(&cluster, &table), cluster.when_all_down);
                    true
                }
                None => {
                    state.has(&[], state.when_all_down());
                    false
                }
            }
        });
        self.states.forget_the_gone();
    }
}
