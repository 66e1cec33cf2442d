//! What the heads of one connection's requests weigh. An index of a byte stands for a field of kilobytes, RFC 7541 §2.3: what is
//! held here is bounded by itself, not by what was sent.

use std::cell::Cell;
use std::collections::VecDeque;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::Instant;

use crate::plan::Limits;

/// The bytes of all heads that are served on one connection.
#[derive(Debug)]
pub(super) struct Heads {
    held: Cell<usize>,
    /// As long as no more are held, another request begins, whatever its head weighs.
    enough: usize,
}

impl Heads {
    pub(super) fn new(max: &Limits) -> Self {
        Self { held: Cell::new(0), enough: ORDINARY * max.streams as usize + 2 * max.head }
    }

    /// Whether another request may begin: always, if none is served.
    pub(super) fn has_room(&self) -> bool {
        self.held.get() <= self.enough
    }

    /// Takes note of a head, for as long as what it returns lives.
    pub(super) fn hold(&self, len: usize) -> Held<'_> {
        self.held.set(self.held.get() + len);
        Held { heads: self, len }
    }
}

/// A head that is served.
#[derive(Debug)]
pub(super) struct Held<'c> {
    heads: &'c Heads,
    len: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.heads.held.set(self.heads.held.get().saturating_sub(self.len));
    }
}

/// Requests that wait for the heads of others to go, in order. They wait as `h2` gave them: values that an index stands for are
/// there once, however many name them.
#[derive(Debug)]
pub(super) struct Waiting {
    requests: VecDeque<(Request<RecvStream>, SendResponse<Bytes>, Instant)>,
    fields: usize,
    most: usize,
    most_fields: usize,
}

impl Waiting {
    pub(super) fn new(max: &Limits) -> Self {
        let most = max.streams as usize;
        Self { requests: VecDeque::new(), fields: 0, most, most_fields: FIELDS * most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Lets a request wait, or refuses it, where too much waits already: then its client may ask again, RFC 9113 §8.7. Whether it
    /// waits.
    pub(super) fn push(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> bool {
        let fields = request.headers().len();
        if self.requests.len() >= self.most || self.fields + fields > self.most_fields {
            respond.send_reset(Reason::REFUSED_STREAM);
            return false;
        }
        self.fields += fields;
        self.requests.push_back((request, respond, Instant::now()));
        true
    }

    /// The one that has waited longest.
    pub(super) fn pop(&mut self) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        let (request, respond, _) = self.requests.pop_front()?;
        self.fields = self.fields.saturating_sub(request.headers().len());
        if self.requests.is_empty() {
            self.requests = VecDeque::new();
        }
        Some((request, respond))
    }

    /// Since when the one waits that has waited longest.
    pub(super) fn since(&self) -> Option<Instant> {
        self.requests.front().map(|(_, _, since)| *since)
    }

    pub(super) fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}

/// What a browser's head weighs, with a few cookies in it: so many bytes for each request that a client may have at once are
/// never too many.
const ORDINARY: usize = 4 * 1024;
/// How many fields of each may wait. In `h2` one takes a tenth of a kilobyte, however little it says.
const FIELDS: usize = 32;
