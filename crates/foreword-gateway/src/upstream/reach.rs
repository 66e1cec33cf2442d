//! The way to a cluster: an endpoint is chosen, and another one if the first cannot be had.

use std::sync::Arc;

use super::connect::ConnectError;
use super::endpoints::{Address, Chosen, Endpoints};
use crate::policy::cluster::Cluster;

/// What is told of on the way, whatever comes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt<'a> {
    /// This endpoint is tried now.
    To(&'a Address),
    /// It could not be had, and there is another one.
    Again,
}

/// Has `open` get a connection to an endpoint of `cluster`; to another one, once, if the first cannot be had.
///
/// `open` must say nothing of the client's: what was said to one endpoint cannot be said to another.
pub(crate) async fn reach<T>(
    endpoints: &Endpoints,
    cluster: &Arc<Cluster>,
    mut told: impl FnMut(Attempt<'_>),
    open: impl AsyncFn(&Chosen) -> Result<T, ConnectError>,
) -> Result<(Chosen, T), ConnectError> {
    let Some(chosen) = endpoints.choose(cluster, None) else { return Err(endpoints.none(cluster)) };
    told(Attempt::To(&chosen.address));
    let error = match open(&chosen).await {
        Ok(opened) => return Ok((chosen, opened)),
        Err(error) => error,
    };
    let Some(other) = endpoints.choose(cluster, Some(&chosen.address)) else { return Err(error) };
    told(Attempt::Again);
    other.account.retried();
    told(Attempt::To(&other.address));
    let opened = open(&other).await?;
    Ok((other, opened))
}
