//! tcp mode: the rules are asked once, then bytes go both ways.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use foreword::{Client, Trust, Verdict};
use foreword_tokio::Rewind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::Connection;
use super::error::ServeError;
use super::forward::{Forward, Traffic};
use super::header_watch::HeaderWatch;
use super::record::{Fill, Record};
use super::stream::Stream;
use crate::observe::Name;
use crate::plan::{Cluster, Listener, SecondHeader};
use crate::policy::facts::ConnectionFacts;
use crate::policy::rules::Ending;
use crate::upstream::connect::{ConnectError, Opened, open};
use crate::upstream::endpoints::Chosen;
use crate::worker::Worker;

/// Serves a connection in tcp mode. `leftover` was read behind the header.
pub(crate) async fn serve(
    mut stream: impl Downstream,
    leftover: Vec<u8>,
    connection: &Connection,
    worker: &Worker,
    record: &mut Record,
) -> Result<(), ServeError> {
    let facts = ConnectionFacts { client: &connection.client, tls: connection.tls.as_ref() };
    let decision = connection.listener.rules.decide(&facts, &mut |_| {});
    if let Some(rule) = decision.rule {
        record.rule(&rule.name);
    }
    let cluster = match (decision.ending, decision.rule) {
        (Ending::Forward(cluster), _) => cluster,
        (_, Some(rule)) => return Err(ServeError::Rule { rule: rule.name.clone() }),
        (_, None) => return Err(ServeError::NoRule),
    };

    let mut first = leftover;
    let headed = connection.client.header.is_some();
    let mut watch = HeaderWatch::new(refuses_header(&connection.listener, &connection.client));
    let (chosen, opened) = connect(cluster, worker, record).await?;
    take_what_is_there(&mut stream, &mut first, worker).await;
    if watch.finds(&first) {
        return Err(ServeError::HeaderAsPayload { second: headed });
    }
    let mut upstream = opened.introduce(cluster, &chosen.address, connection, &first).await?.into_stream();
    if let Some(id) = connection.known_id() {
        record.text(Name::ConnectionId, id);
    }
    note(record, Traffic { up: first.len() as u64, down: 0 });
    drop(first);

    let forward = Forward { scratch: &worker.scratch, idle: connection.listener.timeout.idle, watch, headed };
    let outcome = forward.run(&mut stream, &mut upstream, |moved| note(record, moved)).await;
    match &outcome {
        Err(ServeError::Downstream(error)) if is_reset(error) => upstream.reset_on_close(),
        Err(ServeError::Upstream(error)) if is_reset(error) => stream.socket().reset_on_close(),
        _ => {}
    }
    drop(chosen);
    outcome
}

/// Connects to an endpoint, and to another one if the first cannot be had: nothing was said to it yet.
async fn connect(
    cluster: &Arc<Cluster>,
    worker: &Worker,
    record: &mut Record,
) -> Result<(Chosen, Opened), ConnectError> {
    let mut failed: Option<(Chosen, ConnectError)> = None;
    loop {
        let tried = failed.as_ref().map(|(chosen, _)| &chosen.address);
        let Some(chosen) = worker.endpoints.choose(cluster, tried) else {
            return Err(match failed {
                Some((_, error)) => error,
                None => worker.endpoints.none(cluster),
            });
        };
        record.forwarding(&cluster.name, &chosen.address.to_string());
        match open(cluster, &chosen).await {
            Ok(opened) => {
                record.connected(false);
                return Ok((chosen, opened));
            }
            Err(error) if failed.is_some() => return Err(error),
            Err(error) => {
                record.retried();
                failed = Some((chosen, error));
            }
        }
    }
}

/// Takes the client's first words if they came while we connected, so that they go out with the header. It waits for
/// nothing: where the server speaks first there are none.
async fn take_what_is_there(stream: &mut impl Downstream, first: &mut Vec<u8>, worker: &Worker) {
    if !first.is_empty() {
        return;
    }
    poll_fn(|cx| {
        worker.scratch.lend(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            // An error or the end is found again by whoever forwards.
            if let Poll::Ready(Ok(())) = Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                first.extend_from_slice(buffer.filled());
            }
        });
        Poll::Ready(())
    })
    .await;
}

/// Whether a header that comes here as payload ends the connection: a second one, or one that nobody here believes.
pub(crate) fn refuses_header(listener: &Listener, client: &Client) -> bool {
    let forbids = |trust: &Trust| matches!(trust.judge(&client.peer), Verdict::Direct(Some(_)));
    match &client.header {
        Some(_) => listener.header.second_header == SecondHeader::Reject,
        None => listener.trust.as_ref().is_some_and(forbids),
    }
}

fn note(record: &mut Record, moved: Traffic) {
    record.received(moved.up);
    record.upstream_sent(moved.up);
    record.sent(moved.down);
    record.upstream_received(moved.down);
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// The client's side, with TLS or without.
pub(crate) trait Downstream: AsyncRead + AsyncWrite + Unpin {
    /// The socket below.
    fn socket(&self) -> &Stream;
}

impl Downstream for Stream {
    fn socket(&self) -> &Stream {
        self
    }
}

impl Downstream for Box<TlsStream<Rewind<Stream>>> {
    fn socket(&self) -> &Stream {
        self.get_ref().0.get_ref()
    }
}
