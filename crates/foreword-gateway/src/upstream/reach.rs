//! The way to a cluster: an endpoint is chosen, and another one if the first cannot be had.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connect::ConnectError;
use super::endpoints::{Address, Choice, Chosen, Endpoints, Queued, Wish};
use super::line::Rank;
use crate::policy::cluster::Cluster;
use crate::policy::sticky::Token;

/// What is told of on the way, whatever comes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt<'a> {
    /// This endpoint is tried now.
    To(&'a Chosen),
    /// It could not be had, and there is another one.
    Again,
    /// It stood in line, whatever came of that.
    Waited(Duration),
}

/// The attempts for one request, or one connection: how many there were, and where there is no use in another.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// What a hash is of.
    key: Option<u64>,
    /// The endpoint that a cookie names.
    token: Option<Token>,
    tried: Vec<Address>,
    repeats: u8,
    /// When it came, once that is known: its place in a line does not depend on how often it is tried.
    rank: Option<Rank>,
}

impl Attempts {
    /// None so far. `key` says which endpoint it should be, where the cluster hashes.
    pub(crate) fn new(key: Option<u64>) -> Self {
        Self { key, ..Self::default() }
    }

    /// Begins with the endpoint that a cookie names.
    pub(crate) fn first_at(&mut self, token: Option<Token>) {
        self.token = token;
    }

    /// The endpoint that a cookie names.
    pub(crate) fn token(&self) -> Option<Token> {
        self.token
    }

    /// Notes that an endpoint failed: another one is tried the next time.
    pub(crate) fn failed_at(&mut self, address: &Address) {
        self.tried.push(address.clone());
    }

    /// Notes that an endpoint had no room: another one is tried the next time, if there is one.
    pub(crate) fn turned_away_at(
        &mut self,
        address: &Address,
        endpoints: &Endpoints,
        cluster: &Arc<Cluster>,
    ) {
        self.failed_at(address);
        if !self.has_other(endpoints, cluster) {
            self.tried.pop();
        }
    }

    /// Takes one of the attempts that `cluster` allows after the first, if there is one left.
    pub(crate) fn repeat(&mut self, cluster: &Cluster) -> bool {
        let may = self.repeats < cluster.retries;
        self.repeats += u8::from(may);
        may
    }

    /// Whether an endpoint was tried in vain, while there may be room at it and at no other.
    fn may_be_in_the_way(&self, cluster: &Cluster) -> bool {
        !self.tried.is_empty() && cluster.endpoints.iter().any(|endpoint| endpoint.max_connections.is_some())
    }

    /// Whether there is an endpoint that was not tried.
    pub(crate) fn has_other(&self, endpoints: &Endpoints, cluster: &Arc<Cluster>) -> bool {
        endpoints.has_other(cluster, &self.tried)
    }

    fn wish(&self) -> Wish<'_> {
        Wish { key: self.key, token: self.token, tried: &self.tried, is_first_in_line: false }
    }
}

/// Has `open` get a connection to an endpoint of `cluster`; to another one if that cannot be had, as often as the cluster
/// allows.
///
/// `open` must say nothing of the client's: what was said to one endpoint cannot be said to another.
pub(crate) async fn reach<T>(
    endpoints: &Endpoints,
    cluster: &Arc<Cluster>,
    attempts: &mut Attempts,
    mut told: impl FnMut(Attempt<'_>),
    open: impl AsyncFn(&Chosen) -> Result<T, ConnectError>,
) -> Result<(Chosen, T), ConnectError> {
    let mut last = None;
    loop {
        let is_another = last.is_some();
        let mut none_left = || last.take().unwrap_or_else(|| endpoints.none(cluster));
        let chosen = match endpoints.choose(cluster, attempts.wish()) {
            Choice::Endpoint(chosen) => chosen,
            // Others stand in line; but there is nothing to stand there for.
            Choice::Full if is_another && !attempts.has_other(endpoints, cluster) => return Err(none_left()),
            Choice::Full => wait(endpoints, cluster, attempts, &mut told, none_left).await?,
            Choice::Nobody => return Err(none_left()),
        };
        attempts.rank = attempts.rank.or_else(|| chosen.draw_rank());
        if is_another {
            told(Attempt::Again);
            chosen.account.retried();
        }
        told(Attempt::To(&chosen));
        match open(&chosen).await {
            Ok(opened) => return Ok((chosen, opened)),
            Err(error) => {
                attempts.failed_at(chosen.address());
                if !attempts.repeat(cluster) {
                    return Err(error);
                }
                last = Some(error);
            }
        }
    }
}

/// Waits for its turn where there are as many connections as there may be.
async fn wait(
    endpoints: &Endpoints,
    cluster: &Arc<Cluster>,
    attempts: &mut Attempts,
    told: &mut impl FnMut(Attempt<'_>),
    none_left: impl FnOnce() -> ConnectError,
) -> Result<Chosen, ConnectError> {
    let Some(queued) = endpoints.queue(cluster, attempts.rank) else {
        return Err(ConnectError::QueueFull { cluster: cluster.name.clone(), most: cluster.max.queue });
    };
    attempts.rank = Some(queued.waiting.rank);
    let mut in_line = InLine { queued, begun: Instant::now(), told, has_stayed: false };
    let outcome = in_line.turn(endpoints, cluster, attempts, none_left).await;
    in_line.has_stayed = true;
    outcome
}

/// A place in the line. How long it was held is told when it is given up, and counted if nobody waited for its turn any more: the
/// client had left, or a drain was over.
struct InLine<'t, F: FnMut(Attempt<'_>)> {
    queued: Queued,
    begun: Instant,
    told: &'t mut F,
    /// Whether its owner has stayed to the end.
    has_stayed: bool,
}

impl<F: FnMut(Attempt<'_>)> InLine<'_, F> {
    async fn turn(
        &self,
        endpoints: &Endpoints,
        cluster: &Arc<Cluster>,
        attempts: &Attempts,
        none_left: impl FnOnce() -> ConnectError,
    ) -> Result<Chosen, ConnectError> {
        let queued = &self.queued;
        let deadline = self.begun + cluster.timeout.queue;
        loop {
            // An endpoint that comes up calls nobody: the first looks for itself now and then.
            let until =
                if queued.waiting.is_first() { deadline.min(Instant::now() + LOOK) } else { deadline };
            let is_late = timeout_at(until, queued.waiting.called()).await.is_err();
            if queued.waiting.is_to_look(is_late) {
                let wish = Wish { is_first_in_line: true, ..attempts.wish() };
                match endpoints.choose(cluster, wish) {
                    Choice::Endpoint(chosen) => {
                        queued.served();
                        return Ok(chosen);
                    }
                    Choice::Nobody => {
                        queued.none_left();
                        return Err(none_left());
                    }
                    Choice::Full => queued.waiting.looked_in_vain(attempts.may_be_in_the_way(cluster)),
                }
            }
            if Instant::now() >= deadline {
                queued.timed_out();
                let (cluster, after) = (cluster.name.clone(), cluster.timeout.queue);
                return Err(ConnectError::QueueTimeout { cluster, after });
            }
        }
    }
}

impl<F: FnMut(Attempt<'_>)> Drop for InLine<'_, F> {
    fn drop(&mut self) {
        (self.told)(Attempt::Waited(self.begun.elapsed()));
        if !self.has_stayed {
            self.queued.abandoned();
        }
    }
}

/// How soon it is noticed that an endpoint came up while others are full.
const LOOK: Duration = Duration::from_millis(100);
