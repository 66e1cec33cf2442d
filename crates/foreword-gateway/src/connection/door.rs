//! The way in: what whoever comes through it is served with, until it closes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::admission::Post;
use crate::observe::journal::Journal;
use crate::plan::Listener;

/// A listener under one plan, as one worker serves it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) listener: Arc<Listener>,
    pub(crate) journal: Rc<Journal>,
    pub(crate) post: Arc<Post>,
}

/// An accept loop's view of what it serves.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    served: RefCell<Rc<Served>>,
    closing: Cell<bool>,
    changed: Notify,
}

impl OpenDoor {
    pub(crate) fn new(served: Rc<Served>) -> Rc<Self> {
        Rc::new(Self { served: RefCell::new(served), closing: Cell::new(false), changed: Notify::new() })
    }

    /// Has whoever comes from now on served with what another plan says.
    pub(crate) fn serve(&self, served: Rc<Served>) {
        *self.served.borrow_mut() = served;
    }

    /// What a connection that comes now is served with.
    pub(crate) fn served(&self) -> Rc<Served> {
        Rc::clone(&self.served.borrow())
    }

    /// Waits until nobody should come in any more.
    pub(crate) async fn closing(&self) {
        while !self.closing.get() {
            self.changed.notified().await;
        }
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.changed.notify_waiters();
    }
}
