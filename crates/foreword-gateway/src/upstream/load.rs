//! How many connections of a worker go to an address, and who must know when that changes.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::policy::balance::Order;

/// The connections of one worker to one address, whichever cluster or plan they belong to.
#[derive(Debug, Default)]
pub(crate) struct Load {
    connections: Cell<u32>,
    /// The orders that keep themselves sorted by it, and its place in each. Nearly always one, or none.
    followers: RefCell<Vec<(Weak<RefCell<Order>>, usize)>>,
}

impl Load {
    pub(crate) fn connections(&self) -> u32 {
        self.connections.get()
    }

    /// Has `order` told of every change, and of what is so now.
    pub(crate) fn follow(&self, order: &Rc<RefCell<Order>>, place: usize) {
        order.borrow_mut().set_connections(place, self.connections.get());
        let mut followers = self.followers.borrow_mut();
        followers.retain(|(order, _)| order.strong_count() > 0);
        followers.push((Rc::downgrade(order), place));
    }

    /// Counts one more until what comes back is dropped.
    pub(crate) fn begin(load: &Rc<Self>) -> Use {
        load.set(load.connections.get() + 1);
        Use(Rc::clone(load))
    }

    fn set(&self, connections: u32) {
        self.connections.set(connections);
        for (order, place) in self.followers.borrow().iter() {
            if let Some(order) = order.upgrade() {
                order.borrow_mut().set_connections(*place, connections);
            }
        }
    }
}

/// A connection, as it is counted.
#[derive(Debug)]
pub(crate) struct Use(Rc<Load>);

impl Drop for Use {
    fn drop(&mut self) {
        self.0.set(self.0.connections.get().saturating_sub(1));
    }
}
