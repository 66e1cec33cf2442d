//! The flows of one door: found by whom they are between, and who is the idlest of those that may make room.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::sync::Notify;

use super::flow::Flow;
use super::idlest::Idlest;
use super::incoming::Arrived;
use super::said::Names;

/// Between whom a flow is. Where every datagram has a header, what that names is a part of it: one socket of a proxy may
/// speak for many clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    pub(super) peer: SocketAddr,
    pub(super) to: IpAddr,
    names: Names,
}

impl FlowKey {
    pub(super) fn new(arrived: &Arrived<'_>, names: Names) -> Self {
        Self { peer: arrived.peer, to: arrived.to, names }
    }

    /// For a peer that speaks for one client at a time.
    pub(super) fn of_peer(arrived: &Arrived<'_>) -> Self {
        Self::new(arrived, Names::Nobody)
    }
}

/// The flows of one door at one worker.
#[derive(Default)]
pub(super) struct Flows {
    by_key: RefCell<HashMap<FlowKey, Rc<Flow>>>,
    /// Those whose client has not spoken since it was answered: nothing shows yet that it is where it says.
    unproven: RefCell<Idlest<Rc<Flow>>>,
    gone: Notify,
}

impl Flows {
    pub(super) fn get(&self, key: &FlowKey) -> Option<Rc<Flow>> {
        self.by_key.borrow().get(key).map(Rc::clone)
    }

    pub(super) fn insert(&self, flow: &Rc<Flow>) {
        self.by_key.borrow_mut().insert(flow.key().clone(), Rc::clone(flow));
        flow.place.set(Some(self.unproven.borrow_mut().push(Rc::clone(flow))));
    }

    /// Notes that a flow was heard of: it is the last to make room, or, once its client has spoken after an answer, never.
    pub(super) fn touch(&self, flow: &Flow) {
        let Some(place) = flow.place.get() else { return };
        if flow.is_proven() {
            flow.place.set(None);
            self.unproven.borrow_mut().remove(place);
        } else {
            self.unproven.borrow_mut().touch(place);
        }
    }

    /// Takes a flow out. Its task ends by itself.
    pub(super) fn remove(&self, flow: &Rc<Flow>) {
        let mut by_key = self.by_key.borrow_mut();
        if by_key.get(flow.key()).is_some_and(|known| Rc::ptr_eq(known, flow)) {
            by_key.remove(flow.key());
        }
        if let Some(place) = flow.place.take() {
            self.unproven.borrow_mut().remove(place);
        }
        if by_key.is_empty() {
            self.gone.notify_waiters();
        }
    }

    /// The one that was heard of longest ago among those that may make room.
    pub(super) fn idlest(&self) -> Option<Rc<Flow>> {
        self.unproven.borrow().first().map(Rc::clone)
    }

    /// Waits until there is none any more.
    pub(super) async fn all_gone(&self) {
        while !self.by_key.borrow().is_empty() {
            self.gone.notified().await;
        }
    }
}
