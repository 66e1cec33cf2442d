//! The connection over which one request is asked: a kept one, or a new one to some endpoint.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::Talk;
use super::leaving::leaves;
use super::wire::Wire;
use crate::alarm::patience::Patience;
use crate::connection::Connection;
use crate::connection::http2::Ask;
use crate::connection::record::{Fill, RequestRecord};
use crate::connection::shared::Worker;
use crate::observe::Name;
use crate::plan::{Cluster, Protocol, SendHeader};
use crate::policy::sticky::Token;
use crate::stream::Carried;
use crate::upstream::connect::{ConnectError, Personal, Upstream, open};
use crate::upstream::endpoints::Chosen;
use crate::upstream::opening;
use crate::upstream::reach::{Attempt, Attempts, reach};
use crate::upstream::streams::Streams;

/// A connection to an endpoint, for one request.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Wire,
    /// The header that goes out first, in one write with the request; empty where there is none to say (R-SEND-02).
    pub(super) introduction: Vec<u8>,
    pub(super) chosen: Chosen,
    /// Whether it was used before: then it may have died unnoticed.
    pub(super) is_reused: bool,
}

/// Connections that began with this client's header. They are kept for the client's next requests, and for nobody else's.
///
/// Where requests come one after the other there is one of them at most, else one for each that was asked at once.
#[derive(Default)]
pub(in crate::connection) struct Own(Cell<Option<Box<Kept>>>);

/// Boxed, since most connections have none of them and all have room for some.
#[derive(Default)]
struct Kept {
    mine: Vec<Mine>,
    /// Those that carry many requests of this client at once.
    streams: Rc<Streams>,
}

/// One of them.
#[derive(Debug)]
struct Mine {
    connection: Personal,
    chosen: Chosen,
    cluster: Arc<Cluster>,
    /// When it will have been unused for too long.
    until: Instant,
}

impl Own {
    /// Takes the connection to `cluster` that was used last, if there is one that the endpoint has not closed.
    /// Where a cookie names an endpoint, it is one to that.
    fn take(&self, cluster: &Cluster, token: Option<Token>) -> Option<Link> {
        self.look(|kept| {
            while let Some(place) = kept.iter().rposition(|mine| mine.fits(cluster, token)) {
                if let Some(link) = kept.remove(place).again() {
                    return Some(link);
                }
            }
            None
        })?
    }

    fn put(&self, mine: Mine) {
        let mut kept = self.0.take().unwrap_or_default();
        if kept.mine.len() >= MOST_OWN {
            kept.mine.remove(0);
        }
        kept.mine.push(mine);
        self.0.set(Some(kept));
    }

    /// Has `look` look at those that are kept, if any are.
    fn look<T>(&self, look: impl FnOnce(&mut Vec<Mine>) -> T) -> Option<T> {
        let mut kept = self.0.take()?;
        let found = look(&mut kept.mine);
        self.0.set(Some(kept));
        Some(found)
    }

    /// Those that carry many requests at once.
    fn streams(&self) -> Rc<Streams> {
        let kept = self.0.take().unwrap_or_default();
        let streams = Rc::clone(&kept.streams);
        self.0.set(Some(kept));
        streams
    }

    /// When the next of them will have been unused for too long.
    pub(in crate::connection) fn next_end(&self) -> Option<Instant> {
        self.look(|kept| kept.iter().map(|mine| mine.until).min())?
    }

    /// Closes those that have been unused for too long.
    pub(in crate::connection) fn evict(&self, now: Instant) {
        self.look(|kept| kept.retain(|mine| now < mine.until));
    }
}

/// Few clients ask for more at once for long; a connection to an endpoint is dear to it as well.
const MOST_OWN: usize = 16;

impl Link {
    fn note(&self, connection: &Connection, note: &mut RequestRecord<'_>) {
        if let Some(id) = connection.known_id() {
            note.text(Name::ConnectionId, id);
        }
        note.connected(self.is_reused);
    }

    /// Keeps the connection for later: for everyone, if it told nobody's name, else for this client.
    pub(super) fn keep<S>(self, cluster: &Arc<Cluster>, talk: &mut Talk<'_, S>, now: Instant) {
        if self.chosen.is_draining() {
            return;
        }
        let Wire::Http1(upstream) = self.wire else { return };
        match upstream {
            Upstream::Shared(shared) => {
                talk.worker.pool.put(self.chosen.address(), shared, cluster, now);
            }
            // It would hold a place that others wait for, whether or not its client comes again.
            Upstream::Personal(_) if self.chosen.is_limited() => {}
            Upstream::Personal(connection) => {
                let until = now + cluster.timeout.idle;
                let mine = Mine { connection, chosen: self.chosen, cluster: Arc::clone(cluster), until };
                talk.own.put(mine);
            }
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoLink {
    /// The client did not wait for it.
    ClientGone,
    /// Memory is short, and it was waited for so long.
    Shed(Duration),
    /// There is none to be had.
    Unreachable(ConnectError),
}

/// Finds a connection to an endpoint of `cluster`, for as long as the client waits. Nothing of the request is sent yet, so another
/// endpoint may be tried.
///
/// After a kept connection turned out dead, `kept_is_welcome` is false: the next one is new.
pub(super) async fn find<S: Carried>(
    talk: &mut Talk<'_, S>,
    cluster: &Arc<Cluster>,
    attempts: &mut Attempts,
    kept_is_welcome: bool,
    note: &mut RequestRecord<'_>,
) -> Result<Link, NoLink> {
    let Talk { stream, spoken, buffer, own, connection, worker, patience, .. } = talk;
    let finder = Finder { own, connection, worker, patience };
    let mut finding = pin!(finder.find(cluster, attempts, kept_is_welcome, note));
    if let Poll::Ready(found) = poll_fn(|cx| Poll::Ready(finding.as_mut().poll(cx))).await {
        return found.map_err(NoLink::Unreachable);
    }
    // Boxed, since most requests find one at once and need no room for it.
    let mut leaving = Box::pin(leaves(stream, *spoken, buffer, patience));
    let found = pin!(poll_fn(|cx| match finding.as_mut().poll(cx) {
        Poll::Ready(found) => Poll::Ready(found.map_err(NoLink::Unreachable)),
        Poll::Pending => leaving.as_mut().poll(cx).map(|()| Err(NoLink::ClientGone)),
    }));
    connection.drain.while_borne(Instant::now(), found).await.unwrap_or_else(|after| Err(NoLink::Shed(after)))
}

/// Where a connection may be found, and for whom.
struct Finder<'t> {
    own: &'t Own,
    connection: &'t Connection,
    worker: &'t Worker,
    patience: &'t Patience<'t>,
}

impl Finder<'_> {
    async fn find(
        &self,
        cluster: &Arc<Cluster>,
        attempts: &mut Attempts,
        kept_is_welcome: bool,
        note: &mut RequestRecord<'_>,
    ) -> Result<Link, ConnectError> {
        let Self { own, connection, worker, patience } = *self;
        note.cluster(&cluster.name);
        if kept_is_welcome && let Some(link) = own.take(cluster, attempts.token()) {
            note.forwarding(link.chosen.name());
            link.note(connection, note);
            return Ok(link);
        }
        let now = Instant::from_std(note.last_wait());
        let tell = |attempt: Attempt<'_>| match attempt {
            Attempt::To(chosen) => note.forwarding(chosen.name()),
            Attempt::Again => note.retried(),
            Attempt::Waited(duration) => note.waited(duration),
        };
        let connect = async |chosen: &Chosen| {
            if cluster.protocol == Protocol::Http2 {
                let (ask, is_reused) = self.stream(cluster, chosen, kept_is_welcome).await?;
                return Ok((Wire::Http2(Box::new(ask)), Vec::new(), is_reused));
            }
            if kept_is_welcome
                && cluster.send_header == SendHeader::None
                && let Some(shared) = worker.pool.take(chosen.address(), cluster, now)
            {
                chosen.account.reused();
                return Ok((Wire::Http1(Upstream::Shared(shared)), Vec::new(), true));
            }
            let opened = open(cluster, chosen, patience).await?;
            let (upstream, introduction) =
                opened.introducing(cluster, chosen, connection.introduced()).await?;
            Ok((Wire::Http1(upstream), introduction, false))
        };
        let (chosen, (wire, introduction, is_reused)) =
            reach(&worker.endpoints, cluster, attempts, tell, connect).await?;
        let link = Link { wire, introduction, chosen, is_reused };
        link.note(connection, note);
        Ok(link)
    }

    /// Finds a stream for one request to the endpoint that was chosen, and tells whether its connection was used before.
    ///
    /// Where connections begin with a header, they are this client's alone, as in HTTP/1.
    async fn stream(
        &self,
        cluster: &Arc<Cluster>,
        chosen: &Chosen,
        kept_is_welcome: bool,
    ) -> Result<(Ask, bool), ConnectError> {
        let streams = match cluster.send_header {
            SendHeader::None => Rc::clone(&self.worker.streams),
            _ => self.own.streams(),
        };
        let (alarms, who) = (&self.worker.alarms, self.connection.introduced());
        let (connection, is_reused) =
            opening::enter(&streams, alarms, cluster, chosen, who, kept_is_welcome).await?;
        Ok((Ask::over(&connection, cluster.tls.is_some()), is_reused))
    }
}

impl Mine {
    /// Whether it leads where a request goes: to the cluster, and there to the endpoint that a cookie names.
    fn fits(&self, cluster: &Cluster, token: Option<Token>) -> bool {
        let its = &self.cluster;
        its.name == cluster.name
            && its.send_header == cluster.send_header
            && its.tls == cluster.tls
            && token.is_none_or(|token| self.chosen.token() == Some(token))
    }

    /// Uses it again, if it is fresh and the endpoint has not closed it.
    fn again(self) -> Option<Link> {
        let Self { connection, chosen, until, .. } = self;
        let mut upstream = Upstream::Personal(connection);
        if chosen.is_draining() || Instant::now() >= until || !upstream.stream().is_quiet() {
            return None;
        }
        chosen.account.reused();
        Some(Link { wire: Wire::Http1(upstream), introduction: Vec::new(), chosen, is_reused: true })
    }
}
