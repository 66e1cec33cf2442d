//! One cluster of one plan as a worker sees it: its endpoints now, and which of them is next.

use std::cell::Cell;
use std::collections::HashMap;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{self, Arc};

use super::connect::ConnectError;
use super::ejection::Reports;
use super::endpoints::{Address, Loads, Wish};
use super::line::Seat;
use super::load::Load;
use super::membership::ClusterState;
use super::names::Table;
use super::resolved::{Member, members};
use super::standing::{Found, Standing, Tiers};
use super::state::Admission;
use crate::observe::cluster::ClusterAccount;
use crate::observe::journal::Scribe;
use crate::policy::balance::digest;
use crate::policy::cluster::{Cluster, WhenAllDown};
use crate::policy::sticky::Token;

/// One cluster of one plan: its addresses as of a version of the names.
#[derive(Debug)]
pub(super) struct View {
    /// It does not keep the cluster alive: when all its connections are gone, so is its need for names.
    pub(super) cluster: sync::Weak<Cluster>,
    pub(super) state: Arc<ClusterState>,
    version: u64,
    pub(super) tiers: Tiers,
    /// By what a cookie names them; empty where there is none.
    by_token: HashMap<Token, Rc<Slot>>,
    pub(super) account: Rc<ClusterAccount>,
    /// Whether there is any limit, so that connections must be counted for all workers together.
    is_limited: bool,
}

/// What a view picked.
pub(super) enum Picked {
    Slot { slot: Rc<Slot>, admission: Admission, seat: Option<Seat> },
    Full,
    Nobody,
}

/// An address of a cluster, and what is known of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) address: Address,
    /// The address as text.
    pub(super) name: Rc<str>,
    pub(super) weight: u32,
    /// By which a hash knows it wherever the same cluster is balanced.
    pub(super) id: u64,
    pub(super) standing: Standing,
    pub(super) load: Rc<Load>,
    /// How many go on connecting to it for clients that have left.
    pub(super) staying: Cell<u32>,
    pub(super) reports: Rc<Reports>,
    /// The most connections of all workers to it.
    pub(super) most: Option<usize>,
    /// By what a cookie names it, where the cluster has one.
    pub(super) token: Option<Token>,
}

impl Slot {
    pub(super) fn is_usable(&self) -> bool {
        self.reports.state.is_usable()
    }

    pub(super) fn has_room(&self) -> bool {
        self.most.is_none_or(|most| self.reports.state.taken.load(Ordering::Relaxed) < most)
    }
}

impl View {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        state: Arc<ClusterState>,
        table: &Table,
        loads: &Loads,
        scribe: &Scribe,
    ) -> Self {
        let slots = slots(cluster, &state, table, loads, scribe);
        let account = scribe.cluster(&cluster.name);
        Self {
            cluster: Arc::downgrade(cluster),
            state,
            version: table.version(),
            by_token: by_token(&slots),
            tiers: Tiers::new(cluster, slots),
            account: Rc::new(account),
            is_limited: cluster.max.connections.is_some()
                || cluster.endpoints.iter().any(|endpoint| endpoint.max_connections.is_some()),
        }
    }

    pub(super) fn is_of(&self, cluster: &Arc<Cluster>) -> bool {
        ptr::eq(self.cluster.as_ptr(), Arc::as_ptr(cluster))
    }

    /// Takes over another answer of the name servers, if it is about this cluster: an order is not made anew for nothing.
    pub(super) fn refresh(&mut self, cluster: &Cluster, table: &Table, loads: &Loads, scribe: &Scribe) {
        if self.version == table.version() {
            return;
        }
        self.version = table.version();
        let slots = slots(cluster, &self.state, table, loads, scribe);
        if !self.tiers.are_of(&slots) {
            self.by_token = by_token(&slots);
            self.tiers = Tiers::new(cluster, slots);
            loads.forget_the_gone();
        }
    }

    pub(super) fn choose(&mut self, cluster: &Cluster, wish: Wish<'_>) -> Picked {
        if self.is_limited && !wish.is_first_in_line && self.state.line.is_there() {
            return Picked::Full;
        }
        if let Some(slot) = self.named(cluster, wish)
            && slot.has_room()
            && let Ok(seat) = self.seat(cluster, &slot)
            && let Some(admission) = slot.reports.state.admit()
        {
            return Picked::Slot { slot, admission, seat };
        }
        // Each worker that takes a trial, or the last room, away from us leaves one endpoint less to choose from.
        let mut has_full_ones = false;
        for _ in 0..=self.tiers.slots().len() {
            match self.tiers.choose(cluster, wish) {
                Found::Slot(slot) => match self.seat(cluster, &slot) {
                    Ok(seat) => {
                        if let Some(admission) = slot.reports.state.admit() {
                            return Picked::Slot { slot, admission, seat };
                        }
                    }
                    Err(Full) => has_full_ones = true,
                },
                Found::Full => return Picked::Full,
                Found::Nobody => break,
            }
            if cluster.max.connections.is_some() && has_full_ones {
                break;
            }
        }
        if has_full_ones {
            return Picked::Full;
        }
        if !self.tries_all(cluster) {
            return Picked::Nobody;
        }
        let Some(slot) = self.tiers.choose_any(wish) else { return Picked::Nobody };
        self.account.all_down();
        match self.seat(cluster, &slot) {
            Ok(seat) => Picked::Slot { slot, admission: Admission::Usual, seat },
            Err(Full) => Picked::Full,
        }
    }

    /// The endpoint that a cookie names, unless it was tried or takes nobody.
    pub(super) fn named(&self, cluster: &Cluster, wish: Wish<'_>) -> Option<Rc<Slot>> {
        let slot = self.by_token.get(&wish.token?)?;
        let takes = slot.is_usable() || !slot.reports.state.is_draining() && self.tries_all(cluster);
        (takes && !wish.tried.contains(&slot.address)).then(|| Rc::clone(slot))
    }

    /// Counts one more connection, where they are limited.
    fn seat(&self, cluster: &Cluster, slot: &Slot) -> Result<Option<Seat>, Full> {
        if !self.is_limited {
            return Ok(None);
        }
        let endpoint = slot.most.map(|most| (&slot.reports.state.taken, most));
        Seat::take(&self.state.line, cluster.max.connections, endpoint).map(Some).ok_or(Full)
    }

    /// Whether none is up, and the cluster wants them to be tried all the same.
    fn tries_all(&self, cluster: &Cluster) -> bool {
        cluster.when_all_down == WhenAllDown::TryAll
            && !self.tiers.slots().iter().any(|slot| slot.is_usable())
    }

    pub(super) fn has_other(&self, cluster: &Cluster, tried: &[Address]) -> bool {
        let tries_all = self.tries_all(cluster);
        let mut others = self.tiers.slots().iter().filter(|slot| !tried.contains(&slot.address));
        others.any(|slot| slot.is_usable() || tries_all && !slot.reports.state.is_draining())
    }

    pub(super) fn none(&self, cluster: &Cluster) -> ConnectError {
        let cluster = cluster.name.clone();
        let Some(slot) = self.tiers.slots().first() else {
            self.account.unresolved();
            return ConnectError::NoEndpoint { cluster };
        };
        self.account.all_down();
        let why = match slot.reports.state.is_draining() {
            true => "it drains".to_owned(),
            false => slot.reports.state.why().unwrap_or_default(),
        };
        let count = self.tiers.slots().len();
        ConnectError::AllDown { cluster, count, address: slot.address.clone(), why }
    }
}

fn slots(
    cluster: &Cluster,
    state: &ClusterState,
    table: &Table,
    loads: &Loads,
    scribe: &Scribe,
) -> Vec<Rc<Slot>> {
    let slot = |Member { endpoint, address, weight, is_backup }: Member<'_>| {
        let state = state.endpoint(&address);
        let account = scribe.endpoint(&state.series);
        let reports = Reports { state, account, ejection: cluster.ejection };
        let name: Rc<str> = address.to_string().into();
        Rc::new(Slot {
            weight,
            id: digest::of(name.as_bytes()),
            name,
            standing: Standing::of(endpoint, is_backup, cluster),
            load: loads.of(&address),
            staying: Cell::new(0),
            reports: Rc::new(reports),
            most: endpoint.max_connections,
            token: cluster.sticky.as_ref().map(|sticky| sticky.token(&cluster.name, &address.to_string())),
            address,
        })
    };
    members(cluster, table).into_iter().map(slot).collect()
}

/// Those that a cookie can name.
fn by_token(slots: &[Rc<Slot>]) -> HashMap<Token, Rc<Slot>> {
    slots.iter().filter_map(|slot| Some((slot.token?, Rc::clone(slot)))).collect()
}

/// There is no room.
struct Full;
