//! A connection that carries many requests, while it is opened: by a task of its own, for all who wait for it.

use std::cell::OnceCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::connect::{ConnectError, introduction, open};
use super::header::Introduced;
use super::streams::{self, FarEnd, Key, Multiplexed, Streams};
use super::witness::Witness;
use crate::alarm::Alarms;
use crate::alarm::patience::Patience;
use crate::policy::cluster::{Cluster, SendHeader};

/// A connection that is being opened. Whoever leaves takes nothing from those who wait beside him.
#[derive(Debug)]
pub(super) struct Opening {
    outcome: OnceCell<Result<Multiplexed, ConnectError>>,
    ended: Notify,
    /// Who tells of the endpoint meanwhile, once for all who wait.
    witness: Rc<Witness>,
    task: OnceCell<AbortHandle>,
}

impl Opening {
    /// What came of it, once that is known.
    pub(super) fn outcome(&self) -> Option<&Result<Multiplexed, ConnectError>> {
        self.outcome.get()
    }

    async fn ended(&self) -> Result<Multiplexed, ConnectError> {
        loop {
            let ended = self.ended.notified();
            if let Some(outcome) = self.outcome() {
                return outcome.clone();
            }
            ended.await;
        }
    }

    fn end(&self, outcome: Result<Multiplexed, ConnectError>) {
        let _known = self.outcome.set(outcome);
        self.ended.notify_waiters();
    }
}

/// Nobody waits for it any more, and nobody will.
impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Finds a connection with room for one more request among `streams`, or opens one. Tells whether it was there already, or is
/// somebody else's doing.
///
/// One at a time is opened to an endpoint. One that speaks for nobody is opened to its end, even when all who waited have left: the
/// next ones would only begin anew. One that speaks for a client goes with the last of its requests.
pub(crate) async fn enter(
    streams: &Rc<Streams>,
    alarms: &Rc<Alarms>,
    cluster: &Arc<Cluster>,
    chosen: &Witness,
    who: Introduced<'_>,
    kept_is_welcome: bool,
) -> Result<(Multiplexed, bool), ConnectError> {
    // Terms of TLS that change meanwhile are newer than the connection.
    let key = streams::key(cluster, chosen.address());
    loop {
        if kept_is_welcome && let Some(kept) = streams.take(&key) {
            chosen.account.reused();
            return Ok((kept, true));
        }
        let (opening, is_own) = match streams.opening(&key) {
            Some(opening) => (opening, false),
            None => {
                let header = introduction(cluster, chosen, who)?;
                (begin(streams, alarms, cluster, key.clone(), chosen, header), true)
            }
        };
        let mut opened = opening.ended().await?;
        chosen.relieve(&opening.witness);
        if is_own {
            return Ok((opened, false));
        }
        if opened.has_room() {
            chosen.account.reused();
            return Ok((opened, true));
        }
    }
}

/// Has a connection opened.
fn begin(
    streams: &Rc<Streams>,
    alarms: &Rc<Alarms>,
    cluster: &Arc<Cluster>,
    key: Key,
    chosen: &Witness,
    header: Option<Vec<u8>>,
) -> Rc<Opening> {
    let witness = Rc::new(chosen.deputy());
    let opening = Rc::new(Opening {
        outcome: OnceCell::new(),
        ended: Notify::new(),
        witness: Rc::clone(&witness),
        task: OnceCell::new(),
    });
    streams.is_opening(key.clone(), &opening);
    let is_for_all = cluster.send_header == SendHeader::None;
    let (waited_for, to_the_end) = (Rc::downgrade(&opening), is_for_all.then(|| Rc::clone(&opening)));
    let (streams, alarms, cluster) = (Rc::clone(streams), Rc::clone(alarms), Arc::clone(cluster));
    let task = spawn_local(async move {
        let outcome = connect(&alarms, &cluster, &witness, header).await;
        if let Ok(connection) = &outcome {
            streams.put(key, connection);
        }
        if let Some(opening) = waited_for.upgrade() {
            opening.end(outcome);
        }
        drop(to_the_end);
    });
    let _first = opening.task.set(task.abort_handle());
    opening
}

async fn connect(
    alarms: &Rc<Alarms>,
    cluster: &Cluster,
    witness: &Witness,
    header: Option<Vec<u8>>,
) -> Result<Multiplexed, ConnectError> {
    let alarm = alarms.alarm();
    let opened = open(cluster, witness, &Patience::new(&alarm)).await?;
    let upstream = opened.beginning_with(header, b"", cluster, witness).await?.into_stream();
    let failed = |error| ConnectError::failed(witness.address(), error);
    if !upstream.may_speak_http2() {
        return Err(failed(io::Error::other("expected it to agree on `h2` by ALPN, found that it does not")));
    }
    let times = &cluster.timeout;
    let far_end = FarEnd { address: witness.address().clone(), account: Rc::clone(&witness.account) };
    let begun = Multiplexed::begin(upstream, times.idle, times.response, far_end);
    match timeout(times.connect, begun).await {
        Ok(begun) => begun.map_err(|error| failed(io::Error::other(error))),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}
