//! tcp mode: the rules are asked once, then bytes go both ways.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foreword::{Client, Trust, Verdict};
use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::Connection;
use super::error::ServeError;
use super::forward::{Forward, Scratch, Traffic};
use super::header_watch::{HeaderWatch, Seen};
use super::record::{Fill, Record};
use crate::connection::shared::Worker;
use crate::observe::Name;
use crate::plan::{Cluster, HeaderPlacement, InnerHeader, Listener, SecondHeader};
use crate::policy::bound::Bound;
use crate::policy::rules::{Ending, Rule};
use crate::policy::seats::Seat;
use crate::policy::terms::Terms;
use crate::stream::Downstream;
use crate::stream::outgoing::Outgoing;
use crate::upstream::connect::open;
use crate::upstream::endpoints::Chosen;
use crate::upstream::reach::{Attempt, Attempts, reach};

/// Serves a connection in tcp mode. `leftover` was read behind the header.
pub(crate) async fn serve(
    mut stream: impl Downstream,
    leftover: Vec<u8>,
    accepted: Instant,
    connection: &Connection,
    worker: &Worker,
    record: &mut Record,
) -> Result<(), ServeError> {
    // Given back when the connection is over.
    let (decided, _seats) = decide(connection, accepted, record)?;
    let Decided { cluster, idle, end } = decided;
    // It is over when bytes begin to flow, and should take no room from then on.
    let begun = Box::pin(begin(&mut stream, leftover, cluster, idle, connection, worker, record));
    let Begun { chosen, mut upstream, watch, ahead } = begun.await?;

    let mut answered = false;
    let moved = |moved: Traffic| {
        answered |= moved.down > 0;
        note(record, moved);
    };
    let forward = Forward {
        means: worker.means(),
        idle,
        end,
        watch,
        headed: connection.client.header.is_some(),
        ahead,
    };
    let outcome = tokio::select! {
        biased;
        outcome = forward.run(&mut stream, &mut upstream, moved) => outcome,
        () = chosen.let_go() => Err(ServeError::EndpointDrained),
    };
    match &outcome {
        _ if answered => chosen.answered(),
        Err(ServeError::Upstream(error)) => chosen.did_not_answer(error),
        _ => {}
    }
    match &outcome {
        Err(ServeError::Downstream(error)) if is_reset(error) => upstream.socket().reset_on_close(),
        Err(ServeError::Upstream(error)) if is_reset(error) => stream.socket().reset_on_close(),
        _ => {}
    }
    drop(chosen);
    outcome
}

/// Where the rules send a connection, and how long it may take.
struct Decided<'c> {
    cluster: &'c Arc<Cluster>,
    idle: Duration,
    /// When it ends at the latest, and after how long that is.
    end: Option<(Instant, Duration)>,
}

/// Asks the rules, and takes the seats that they bound.
fn decide<'c>(
    connection: &'c Connection,
    accepted: Instant,
    record: &mut Record,
) -> Result<(Decided<'c>, Box<[Seat]>), ServeError> {
    let (facts, listener) = (connection.facts(), &connection.listener);
    let (mut seats, mut terms) = (Vec::new(), Terms::default());
    let ask = |bound: &Bound| bound.ask(&facts, || Instant::now().into_std(), &mut seats);
    let decision = listener.rules.decide(&facts, ask, &mut |change| change.tell(&mut terms));
    if let Some(rule) = decision.rule {
        record.rule(&rule.name);
    }
    record.log(terms.log.unwrap_or_default());
    let rule = |rule: &Rule| rule.name.clone();
    match (decision.ending, decision.rule, decision.over) {
        (Ending::Forward(cluster), _, _) => {
            let idle = terms.idle.unwrap_or(listener.timeout.idle);
            let total = terms.total.or(listener.timeout.total);
            let end = total.map(|total| (accepted + total, total));
            Ok((Decided { cluster, idle, end }, seats.into()))
        }
        (_, Some(limited), Some(over)) => Err(ServeError::Limited { rule: rule(limited), over }),
        (_, Some(refused), None) => Err(ServeError::Rule { rule: rule(refused) }),
        (_, None, _) => Err(ServeError::NoRule),
    }
}

/// A connection to an endpoint that knows whom it is for.
struct Begun {
    chosen: Box<Chosen>,
    upstream: Outgoing,
    watch: HeaderWatch,
    /// What is said before the client's first bytes, if it was not said yet.
    ahead: Vec<u8>,
}

/// Connects to an endpoint and introduces the client, with its first words if they are there.
async fn begin(
    stream: &mut impl Downstream,
    mut first: Vec<u8>,
    cluster: &Arc<Cluster>,
    idle: Duration,
    connection: &Connection,
    worker: &Worker,
    record: &mut Record,
) -> Result<Begun, ServeError> {
    let headed = connection.client.header.is_some();
    let refuses = refuses_header(&connection.listener, &connection.client);
    let mut watch = match refuses || cluster.inner_header == InnerHeader::Reject {
        true => HeaderWatch::refusing(connection.listener.header.deadline),
        false => HeaderWatch::off(),
    };
    take_first_words(stream, &mut first, &mut watch, headed, &worker.scratch).await?;
    record.cluster(&cluster.name);
    let tell = |attempt: Attempt<'_>| match attempt {
        Attempt::To(chosen) => record.forwarding(&chosen.name),
        Attempt::Again => record.retried(),
        Attempt::Waited(duration) => record.waited(duration),
    };
    let connect = async |chosen: &Chosen| open(cluster, chosen).await;
    let mut attempts = Attempts::new(cluster.balance.key(&connection.facts()));
    let (chosen, opened) = reach(&worker.endpoints, cluster, &mut attempts, tell, connect).await?;
    record.connected(false);
    if first.is_empty() {
        take_first_words(stream, &mut first, &mut watch, headed, &worker.scratch).await?;
    }
    let waits = cluster.header_placement == HeaderPlacement::FirstPayload && first.is_empty();
    let (upstream, ahead) = if waits {
        opened.introducing(cluster, &chosen, connection.introduced()).await?
    } else {
        let upstream = opened.introduce(cluster, &chosen, connection.introduced(), &first).await?;
        (upstream, Vec::new())
    };
    let upstream = upstream.into_stream();
    chosen.took_it();
    upstream.socket().keep_alive(cluster.keepalive.within(idle));
    if let Some(id) = connection.known_id() {
        record.text(Name::ConnectionId, id);
    }
    note(record, Traffic { up: first.len() as u64, down: 0 });
    Ok(Begun { chosen: Box::new(chosen), upstream, watch, ahead })
}

/// Takes the client's first words if they are there, so that they go out with our header. It waits for none: where the
/// server speaks first there are none. But those that may become a header which is refused here are seen to their end,
/// or to the end of the patience with them, before anything is said to an endpoint (R-SEC-09).
async fn take_first_words(
    stream: &mut impl Downstream,
    first: &mut Vec<u8>,
    watch: &mut HeaderWatch,
    headed: bool,
    scratch: &Scratch,
) -> Result<(), ServeError> {
    if first.is_empty() {
        take_what_is_there(stream, first, scratch).await.map_err(ServeError::Downstream)?;
    }
    let mut seen = watch.look(first);
    let until = Instant::now() + watch.patience();
    while seen == Seen::Unsettled {
        let known = first.len();
        match timeout_at(until, stream.read_buf(first)).await {
            Ok(Ok(1..)) => seen = watch.look(first.get(known..).unwrap_or_default()),
            Ok(Err(error)) => return Err(ServeError::Downstream(error)),
            Ok(Ok(0)) | Err(_) => {
                watch.wait_no_longer();
                seen = Seen::Payload;
            }
        }
    }
    match seen {
        Seen::Header => Err(ServeError::HeaderAsPayload { second: headed }),
        Seen::Payload | Seen::Unsettled => Ok(()),
    }
}

/// Takes what has come and waits for nothing.
async fn take_what_is_there(
    stream: &mut impl Downstream,
    first: &mut Vec<u8>,
    scratch: &Scratch,
) -> io::Result<()> {
    let mut look = |cx: &mut Context<'_>, buffer: &mut [u8]| {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            // The end is found again by whoever forwards. A reset is told once: after it there is only an end.
            Poll::Ready(Ok(())) => first.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
        Ok(())
    };
    poll_fn(|cx| Poll::Ready(scratch.lend(|buffer| look(cx, buffer)))).await
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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::stream::Stream;

    #[tokio::test]
    async fn a_client_that_resets_while_we_connect_has_not_just_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (scratch, mut first) = (Scratch::new(), Vec::new());
        let mut stream = Stream::Tcp(stream);
        take_what_is_there(&mut stream, &mut first, &scratch).await.unwrap();
        client.set_zero_linger().unwrap();
        drop(client);
        let Stream::Tcp(socket) = &stream else { panic!("over TCP") };
        socket.readable().await.unwrap();
        let reset = take_what_is_there(&mut stream, &mut first, &scratch).await.unwrap_err();
        assert!(is_reset(&reset), "{reset}");
    }
}
