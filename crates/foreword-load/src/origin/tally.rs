//! What an origin counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::failure::Failure;

/// What an origin counted. It is counted while connections live, so it may be read at any time.
#[derive(Debug, Default)]
pub struct Tally {
    connections: Cell<u64>,
    headers: Cell<u64>,
    requests: Cell<u64>,
    streams: Cell<u64>,
    datagrams: Cell<u64>,
    failures: RefCell<BTreeMap<&'static str, u64>>,
    first_failure: RefCell<Option<String>>,
}

impl Tally {
    /// Connections accepted.
    pub fn connections(&self) -> u64 {
        self.connections.get()
    }

    /// PROXY headers read.
    pub fn headers(&self) -> u64 {
        self.headers.get()
    }

    /// Requests answered whole.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Streams poured out or swallowed whole.
    pub fn streams(&self) -> u64 {
        self.streams.get()
    }

    /// Datagrams sent back.
    pub fn datagrams(&self) -> u64 {
        self.datagrams.get()
    }

    /// Failures by [kind](Failure::kind).
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.borrow().clone()
    }

    /// The first failure, in words.
    pub fn first_failure(&self) -> Option<String> {
        self.first_failure.borrow().clone()
    }

    pub(crate) fn connected(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    pub(crate) fn introduced(&self) {
        self.headers.set(self.headers.get() + 1);
    }

    pub(crate) fn answered(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    pub(crate) fn streamed(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    pub(crate) fn echoed(&self) {
        self.datagrams.set(self.datagrams.get() + 1);
    }

    pub(crate) fn fail(&self, failure: &Failure) {
        *self.failures.borrow_mut().entry(failure.kind()).or_default() += 1;
        self.first_failure.borrow_mut().get_or_insert_with(|| failure.told());
    }
}
