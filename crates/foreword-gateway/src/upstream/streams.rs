//! Connections to endpoints that carry many requests at once: HTTP/2, known to be spoken there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::time::{Instant, sleep_until};

use super::endpoints::Address;
use super::opening::Opening;
use crate::observe::cluster::ClusterAccount;
use crate::policy::cluster::{Cluster, EndpointTls};
use crate::stream::Duplex;
use crate::stream::http2::budget::{Budget, End};
use crate::stream::http2::watched::Watched;

/// Connections to endpoints, by cluster and address: those of a worker, which told nobody's name, or those that speak for
/// one client.
#[derive(Debug, Default)]
pub(crate) struct Streams(RefCell<HashMap<Key, Kept>>);

/// A cluster's name, the number of the terms of its TLS, and the address of an endpoint.
pub(crate) type Key = (Box<str>, Option<u64>, Address);

/// Those to one endpoint.
#[derive(Debug, Default)]
struct Kept {
    connections: Vec<Multiplexed>,
    /// The one that is being opened, while somebody sees to that.
    opening: Weak<Opening>,
}

impl Streams {
    /// A connection of this cluster to this endpoint that has room for one more request.
    pub(crate) fn take(&self, key: &Key) -> Option<Multiplexed> {
        let mut kept = self.0.borrow_mut();
        let list = &mut kept.get_mut(key)?.connections;
        list.retain(|connection| !connection.state.is_over.get());
        list.iter_mut().find_map(|connection| connection.has_room().then(|| connection.clone()))
    }

    /// The connection that is being opened just now: those who wait have room on it when it is there.
    pub(super) fn opening(&self, key: &Key) -> Option<Rc<Opening>> {
        self.0.borrow().get(key)?.opening.upgrade().filter(|opening| opening.outcome().is_none())
    }

    /// Takes note of the connection that is being opened.
    pub(super) fn is_opening(&self, key: Key, opening: &Rc<Opening>) {
        self.0.borrow_mut().entry(key).or_default().opening = Rc::downgrade(opening);
    }

    /// Keeps a connection for those who come while it lasts.
    pub(crate) fn put(&self, key: Key, connection: &Multiplexed) {
        let mut kept = self.0.borrow_mut();
        let list = &mut kept.entry(key).or_default().connections;
        list.retain(|connection| !connection.state.is_over.get());
        if list.len() < MOST_PER_ENDPOINT {
            list.push(connection.clone());
        }
    }
}

/// Where the connections of this cluster to this endpoint are kept that begin from now on.
pub(crate) fn key(cluster: &Cluster, address: &Address) -> Key {
    (cluster.name.clone(), cluster.tls.as_ref().map(EndpointTls::number), address.clone())
}

/// A connection that carries many requests at once.
#[derive(Clone)]
pub(crate) struct Multiplexed {
    requests: SendRequest<Bytes>,
    state: Rc<State>,
}

impl fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplexed").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    is_over: Cell<bool>,
    running: Cell<usize>,
    /// When the last request ended.
    rested: Cell<Instant>,
    /// When an answer began last.
    heard: Cell<Instant>,
    /// For how long an answer is waited for.
    patience: Duration,
}

impl Multiplexed {
    /// Begins to speak HTTP/2 on `stream`, on which nothing but a PROXY header was said, and goes on until the endpoint ends it or
    /// it was unused for `idle`. Where no answer began for `patience`, nobody who comes later is given to it.
    pub(crate) async fn begin(
        stream: impl Duplex + 'static,
        idle: Duration,
        patience: Duration,
        endpoint: FarEnd,
    ) -> Result<Self, h2::Error> {
        let budget = Rc::new(Budget::of_endpoint());
        let (requests, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(ANSWER_HEAD)
            .data_frame_budget(SMALL_DATA)
            .handshake(Watched::of_endpoint(stream, Rc::clone(&budget)))
            .await?;
        let state = Rc::new(State {
            is_over: Cell::new(false),
            running: Cell::new(0),
            rested: Cell::new(Instant::now()),
            heard: Cell::new(Instant::now()),
            patience,
        });
        tokio::task::spawn_local(drive(connection, budget, Rc::clone(&state), idle, endpoint));
        Ok(Self { requests, state })
    }

    /// What one request is sent with. The connection is in use until the guard is dropped.
    pub(crate) fn enter(&self) -> (SendRequest<Bytes>, Turn) {
        self.state.running.set(self.state.running.get() + 1);
        let state = Rc::clone(&self.state);
        (self.requests.clone(), Turn { state, since: Instant::now(), is_answered: Cell::new(false) })
    }

    pub(super) fn has_room(&mut self) -> bool {
        let most = self.requests.current_max_send_streams().min(MOST_AT_ONCE);
        !self.state.is_over.get() && self.state.running.get() < most && !self.is_going_away()
    }

    /// Whether the endpoint takes no more requests over it, though it may still answer some.
    fn is_going_away(&mut self) -> bool {
        matches!(self.requests.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }
}

/// A request that goes over a connection.
#[derive(Debug)]
pub(crate) struct Turn {
    state: Rc<State>,
    since: Instant,
    is_answered: Cell<bool>,
}

impl Turn {
    /// Takes note that its answer has begun.
    pub(crate) fn answered(&self) {
        self.is_answered.set(true);
        self.state.heard.set(Instant::now());
    }

    /// Whether its whole patience saw no answer begin, neither its own nor another's: nobody may be there any more, which the
    /// kernel would notice much later.
    fn was_in_vain(&self) -> bool {
        let state = &self.state;
        !self.is_answered.get() && state.heard.get() < self.since && self.since.elapsed() >= state.patience
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.was_in_vain() {
            self.state.is_over.set(true);
        }
        self.state.running.set(self.state.running.get() - 1);
        self.state.rested.set(Instant::now());
    }
}

/// Whom a connection leads to, and where it is told what became of it.
#[derive(Debug)]
pub(crate) struct FarEnd {
    pub(crate) address: Address,
    pub(crate) account: Rc<ClusterAccount>,
}

impl FarEnd {
    /// Whoever has a request on the connection is told there that it ended; why, is told here, where it was the endpoint's doing.
    fn ended(&self, outcome: Result<(), h2::Error>, budget: &Budget) {
        let told = match (budget.end(), outcome) {
            (Some(End::Spent), _) => {
                format!("expected answers, found {} frames of which most carry nothing", budget.frames())
            }
            (Some(End::NoSettings), _) => "expected SETTINGS as the first frame, found another".to_owned(),
            (Some(End::WrongSize), _) => {
                "expected a frame as long as all of its kind, found another".to_owned()
            }
            (None, Err(error)) if error.is_library() => format!("expected HTTP/2: {error}"),
            (None, _) => return,
        };
        self.account.http2_broken(&format_args!("endpoint {}: {told}", self.address));
    }
}

/// Moves what goes over the connection. An endpoint that answers SETTINGS and PING has no more to ask of us.
async fn drive<S: Duplex>(
    mut connection: Connection<Watched<S, Rc<Budget>>, Bytes>,
    budget: Rc<Budget>,
    state: Rc<State>,
    idle: Duration,
    endpoint: FarEnd,
) {
    let unused = async {
        loop {
            sleep_until(state.rested.get() + idle).await;
            if state.running.get() > 0 {
                state.rested.set(Instant::now());
            } else if state.rested.get().elapsed() >= idle {
                return;
            }
        }
    };
    let moved = poll_fn(|cx| {
        budget.begin_turn();
        match Pin::new(&mut connection).poll(cx) {
            Poll::Pending if budget.end().is_some() => Poll::Ready(Ok(())),
            poll => poll,
        }
    });
    tokio::select! {
        outcome = moved => endpoint.ended(outcome, &budget),
        () = unused => {}
    }
    state.is_over.set(true);
}

/// One endpoint does not keep the others out.
const MOST_PER_ENDPOINT: usize = 64;
/// What most servers allow, and few allow less.
const MOST_AT_ONCE: usize = 100;
/// What one answer may send ahead of its client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What all of a connection may.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What of one request waits for the endpoint.
const SEND_BUFFER: usize = 64 * 1024;
/// As long as an answer's head may be in HTTP/1.1.
const ANSWER_HEAD: u32 = 32 * 1024;
/// What small pieces of answers that nobody has taken yet may cost us, each about as much as `h2` keeps for it: slow clients of an
/// endpoint that says little at a time must not end the connection for all.
const SMALL_DATA: usize = 16 * 1024 * 1024;
