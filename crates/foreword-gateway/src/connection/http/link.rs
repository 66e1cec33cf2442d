//! The connection over which one request is asked: a kept one, or a new one to some endpoint.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Talk;
use crate::connection::Connection;
use crate::connection::record::{Fill, RequestRecord};
use crate::observe::Name;
use crate::plan::{Cluster, SendHeader};
use crate::upstream::connect::{ConnectError, Personal, Upstream, open};
use crate::upstream::endpoints::Chosen;
use crate::upstream::pool::is_quiet;

/// A connection to an endpoint, for one request.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) upstream: Upstream,
    pub(super) chosen: Chosen,
    /// Whether it was used before: then it may have died unnoticed.
    pub(super) is_reused: bool,
}

/// A connection that began with this client's header. It is kept for the client's next request, and for nobody else's.
#[derive(Debug)]
pub(super) struct Mine {
    connection: Personal,
    chosen: Chosen,
    cluster: Arc<Cluster>,
}

impl Link {
    /// Keeps the connection for later: for everyone, if it told nobody's name, else for this client.
    pub(super) fn keep<S>(self, cluster: &Arc<Cluster>, talk: &mut Talk<'_, S>) {
        match self.upstream {
            Upstream::Shared(shared) => {
                talk.worker.pool.put(&self.chosen.address, shared, cluster.timeout.idle);
            }
            Upstream::Personal(connection) => {
                let mine = Mine { connection, chosen: self.chosen, cluster: Arc::clone(cluster) };
                talk.mine = Some(Box::new(mine));
            }
        }
    }
}

/// Finds a connection to an endpoint of `cluster`. Nothing of the request is sent yet, so another endpoint may be tried.
///
/// After a kept connection turned out dead, `kept_is_welcome` is false: the next one is new.
pub(super) async fn find<S>(
    talk: &mut Talk<'_, S>,
    cluster: &Arc<Cluster>,
    kept_is_welcome: bool,
    endpoint: &mut String,
    note: &mut RequestRecord<'_>,
) -> Result<Link, ConnectError> {
    if let Some(mine) = talk.mine.take().filter(|_| kept_is_welcome)
        && let Some(link) = mine.again(cluster)
    {
        note_endpoint(talk.connection, cluster, &link, endpoint, note);
        return Ok(link);
    }
    let mut failed: Option<(Chosen, ConnectError)> = None;
    loop {
        let tried = failed.as_ref().map(|(chosen, _)| &chosen.address);
        let Some(chosen) = talk.worker.endpoints.choose(cluster, tried) else {
            return Err(failed.map_or_else(|| talk.worker.endpoints.none(cluster), |(_, error)| error));
        };
        match reach(talk, cluster, chosen, kept_is_welcome).await {
            Ok(link) => {
                note_endpoint(talk.connection, cluster, &link, endpoint, note);
                return Ok(link);
            }
            Err((_, error)) if failed.is_some() => return Err(error),
            Err((chosen, error)) => {
                note.retried();
                chosen.account.retried();
                failed = Some((chosen, error));
            }
        }
    }
}

/// Takes a kept connection to the endpoint that was chosen, or makes one.
async fn reach<S>(
    talk: &Talk<'_, S>,
    cluster: &Cluster,
    chosen: Chosen,
    kept_is_welcome: bool,
) -> Result<Link, (Chosen, ConnectError)> {
    if kept_is_welcome
        && cluster.send_header == SendHeader::None
        && let Some(shared) = talk.worker.pool.take(&chosen.address)
    {
        chosen.account.reused();
        return Ok(Link { upstream: Upstream::Shared(shared), chosen, is_reused: true });
    }
    let introduced = match open(cluster, &chosen).await {
        Ok(opened) => opened.introduce(cluster, &chosen.address, talk.connection, &[]).await,
        Err(error) => Err(error),
    };
    match introduced {
        Ok(upstream) => Ok(Link { upstream, chosen, is_reused: false }),
        Err(error) => Err((chosen, error)),
    }
}

impl Mine {
    /// Uses it again, if it leads where the request goes and the endpoint has not closed it.
    fn again(self, cluster: &Cluster) -> Option<Link> {
        let Self { connection, chosen, cluster: its } = self;
        let mut upstream = Upstream::Personal(connection);
        let fits = its.name == cluster.name && its.send_header == cluster.send_header;
        if !fits || !is_quiet(upstream.stream()) {
            return None;
        }
        chosen.account.reused();
        Some(Link { upstream, chosen, is_reused: true })
    }
}

fn note_endpoint(
    connection: &Connection,
    cluster: &Cluster,
    link: &Link,
    endpoint: &mut String,
    note: &mut RequestRecord<'_>,
) {
    endpoint.clear();
    // Writing to a string cannot fail.
    let _ = write!(endpoint, "{}", link.chosen.address);
    note.forwarding(&cluster.name, endpoint);
    if let Some(id) = connection.known_id() {
        note.text(Name::ConnectionId, id);
    }
    note.connected(link.is_reused);
}
