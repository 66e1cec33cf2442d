//! The way to a cluster: an endpoint is chosen, and another one if the first cannot be had.

use std::sync::Arc;

use super::connect::ConnectError;
use super::endpoints::{Address, Chosen, Endpoints, Wish};
use crate::policy::cluster::Cluster;

/// What is told of on the way, whatever comes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt<'a> {
    /// This endpoint is tried now.
    To(&'a Address),
    /// It could not be had, and there is another one.
    Again,
}

/// The attempts for one request, or one connection: how many there were, and where there is no use in another.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// What a hash is of.
    key: Option<u64>,
    tried: Vec<Address>,
    repeats: u8,
}

impl Attempts {
    /// None so far. `key` says which endpoint it should be, where the cluster hashes.
    pub(crate) fn new(key: Option<u64>) -> Self {
        Self { key, ..Self::default() }
    }

    /// Notes that an endpoint failed: another one is tried the next time.
    pub(crate) fn failed_at(&mut self, address: &Address) {
        self.tried.push(address.clone());
    }

    /// Takes one of the attempts that `cluster` allows after the first, if there is one left.
    pub(crate) fn repeat(&mut self, cluster: &Cluster) -> bool {
        let may = self.repeats < cluster.retries;
        self.repeats += u8::from(may);
        may
    }

    /// Whether there is an endpoint that was not tried.
    pub(crate) fn has_other(&self, endpoints: &Endpoints, cluster: &Arc<Cluster>) -> bool {
        endpoints.has_other(cluster, &self.tried)
    }

    fn wish(&self) -> Wish<'_> {
        Wish { key: self.key, tried: &self.tried }
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
    let Some(mut chosen) = endpoints.choose(cluster, attempts.wish()) else {
        return Err(endpoints.none(cluster));
    };
    loop {
        told(Attempt::To(&chosen.address));
        let error = match open(&chosen).await {
            Ok(opened) => return Ok((chosen, opened)),
            Err(error) => error,
        };
        attempts.failed_at(&chosen.address);
        if !attempts.repeat(cluster) {
            return Err(error);
        }
        let Some(other) = endpoints.choose(cluster, attempts.wish()) else { return Err(error) };
        chosen = other;
        told(Attempt::Again);
        chosen.account.retried();
    }
}
