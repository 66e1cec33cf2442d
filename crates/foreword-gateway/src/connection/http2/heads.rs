//! What the heads of one connection's requests weigh. An index of a byte stands for a field of kilobytes, RFC 7541 §2.3: what is
//! held here is bounded by itself, not by what was sent.

use std::cell::Cell;
use std::collections::VecDeque;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::time::Instant;

use super::super::http::Refused;
use crate::drain::Drain;
use crate::plan::Limits;

/// The bytes of all heads that are served on one connection.
#[derive(Debug)]
pub(super) struct Heads {
    held: Cell<usize>,
    /// As long as no more are held, another request begins, whatever its head weighs.
    enough: usize,
    /// What is enough while memory is short.
    least: usize,
    drain: Drain,
}

impl Heads {
    pub(super) fn new(max: &Limits, drain: &Drain) -> Self {
        Self {
            held: Cell::new(0),
            enough: ORDINARY * max.streams as usize + 2 * max.head,
            least: max.head,
            drain: drain.clone(),
        }
    }

    /// Whether another request may begin: always, if none is served and there is memory for one.
    pub(super) fn has_room(&self) -> bool {
        let enough = if self.drain.is_strained() { self.least } else { self.enough };
        self.held.get() <= enough && !self.drain.ration().is_used_up()
    }

    /// Whether memory is too short for another request beside `others`.
    pub(super) fn are_too_many_beside(&self, others: usize) -> bool {
        self.drain.is_strained() && (others > 0 || self.drain.ration().is_used_up())
    }

    /// Whether memory is short: nobody waits for it then.
    pub(super) fn nobody_waits(&self) -> bool {
        self.drain.is_strained()
    }

    /// How a request is refused that was never begun, if it was not its client who took it back.
    pub(super) fn refused(&self, why: Unbegun) -> Option<Refused> {
        let most = self.enough;
        match why {
            Unbegun::Crowded => Some(Refused::HeadsWaiting { most, after: None }),
            Unbegun::Overdue(after) => Some(Refused::HeadsWaiting { most, after: Some(after) }),
            Unbegun::Short => Some(Refused::Unbegun),
            Unbegun::Reset => None,
        }
    }

    /// Takes note of a request with so many fields, as `h2` holds it. What its values weigh was noted as they were read.
    pub(super) fn came(&self, fields: usize) {
        self.drain.ration().take(STREAM + FIELD * fields);
    }

    /// Takes note of a head, for as long as what it returns lives.
    pub(super) fn hold(&self, len: usize) -> Held<'_> {
        self.held.set(self.held.get() + len);
        self.drain.ration().take(len + REQUEST);
        Held { heads: self, len }
    }
}

/// Why a request was never begun.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unbegun {
    /// As many waited as may.
    Crowded,
    /// It has waited so long.
    Overdue(Duration),
    /// Memory is short.
    Short,
    /// Its client took it back.
    Reset,
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

    /// Lets a request wait, or gives it back, where too much waits already.
    pub(super) fn push(
        &mut self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        let fields = request.headers().len();
        if self.requests.len() >= self.most || self.fields + fields > self.most_fields {
            return Some((request, respond));
        }
        self.fields += fields;
        self.requests.push_back((request, respond, Instant::now()));
        None
    }

    /// The one that has waited longest.
    pub(super) fn pop(&mut self) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        self.remove(0)
    }

    /// One that its client took back. If there is none, the task is woken when there is.
    pub(super) fn pop_reset(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        let at = self.requests.iter_mut().position(|(_, respond, _)| respond.poll_reset(cx).is_ready())?;
        self.remove(at)
    }

    fn remove(&mut self, at: usize) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        let (request, respond, _) = self.requests.remove(at)?;
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
}

/// What a browser's head weighs, with a few cookies in it: so many bytes for each request that a client may have at once are
/// never too many.
const ORDINARY: usize = 4 * 1024;
/// What serving it takes beside.
const REQUEST: usize = 8 * 1024;
/// About what `h2` takes for a stream, and we for a request that waits.
const STREAM: usize = 2 * 1024;
/// What `h2` takes for a field, however little that says.
const FIELD: usize = 128;
/// How many fields of each may wait.
const FIELDS: usize = 32;
