//! tcp mode: the rules are asked once and an endpoint is found; then bytes go both ways.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foreword::Client;
use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::chapter::Chapter;
use super::error::ServeError;
use super::forward::{Forward, Scratch, Traffic};
use super::header_watch::{HeaderWatch, Seen};
use super::record::{Fill, Record};
use super::tunnel::{Questions, Tunnel, note};
use super::{Connection, Guest, until_cut_off};
use crate::alarm::Alarm;
use crate::alarm::patience::Patience;
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

/// The chapter in which the rules are asked and an endpoint is found. Bytes go both ways in the next, which needs nothing of
/// this one. `leftover` was read behind the header.
pub(crate) fn chapter(
    stream: impl Downstream + 'static,
    leftover: Vec<u8>,
    accepted: Instant,
    connection: Connection,
    mut guest: Guest,
) -> Chapter {
    Chapter::new(async move {
        let begun = {
            let Guest { record, seats, present, alarm, .. } = &mut guest;
            let begun = pin!(begin(stream, leftover, &connection, present.worker(), alarm, record, seats));
            until_cut_off(&connection.drain, alarm, begun).await
        };
        match begun {
            Ok(begun) => Some(begun.tunnel(accepted, &connection, guest).chapter()),
            Err(error) => guest.leave(&Err(error)),
        }
    })
}

/// A connection to an endpoint that knows whom it is for.
struct Begun<S> {
    stream: S,
    upstream: Outgoing,
    chosen: Chosen,
    questions: Questions,
    limits: Limits,
    watch: HeaderWatch,
    /// What is said before the client's first bytes, if it was not said yet.
    ahead: Vec<u8>,
}

impl<S: Downstream + 'static> Begun<S> {
    fn tunnel(self, accepted: Instant, connection: &Connection, guest: Guest) -> Tunnel<S> {
        let Self { stream, upstream, chosen, questions, limits, watch, ahead } = self;
        let forward = Forward::new(limits.idle)
            .for_no_longer_than(limits.total, accepted)
            .watching(watch, connection.client.header.is_some())
            .saying_first(ahead);
        // The connection to the endpoint was waited for by it.
        guest.alarm.hand_on();
        guest.alarm.spare();
        Tunnel { stream, upstream, forward, chosen: Box::new(chosen), questions, guest }
    }
}

/// Asks the rules, finds an endpoint, and introduces the client to it.
async fn begin<S: Downstream>(
    stream: S,
    first: Vec<u8>,
    connection: &Connection,
    worker: &Worker,
    alarm: &Alarm,
    record: &mut Record,
    seats: &mut Vec<Seat>,
) -> Result<Begun<S>, ServeError> {
    let decided = decide(connection, record, seats)?;
    introduce(stream, first, decided, connection, worker, alarm, record).await
}

/// Where the rules send a connection, and how long it may take.
struct Decided<'c> {
    cluster: &'c Arc<Cluster>,
    limits: Limits,
}

/// How long a tunnel may be idle, and how long it may last.
#[derive(Clone, Copy)]
struct Limits {
    idle: Duration,
    total: Option<Duration>,
}

/// Asks the rules, and takes the seats that they bound.
fn decide<'c>(
    connection: &'c Connection,
    record: &mut Record,
    seats: &mut Vec<Seat>,
) -> Result<Decided<'c>, ServeError> {
    let (facts, listener) = (connection.facts(), &connection.listener);
    let mut terms = Terms::default();
    let ask = |bound: &Bound| bound.ask(&facts, || Instant::now().into_std(), seats);
    let decision = listener.rules.decide(&facts, ask, &mut |change| change.tell(&mut terms));
    if let Some(rule) = decision.rule {
        record.rule(&rule.name);
    }
    record.log(terms.log.unwrap_or_default());
    let rule = |rule: &Rule| rule.name.clone();
    match (decision.ending, decision.rule, decision.over) {
        (Ending::Forward(cluster), _, _) => {
            let idle = terms.idle.unwrap_or(listener.timeout.idle);
            let limits = Limits { idle, total: terms.total.or(listener.timeout.total) };
            Ok(Decided { cluster, limits })
        }
        (_, Some(limited), Some(over)) => Err(ServeError::Limited { rule: rule(limited), over }),
        (_, Some(refused), None) => Err(ServeError::Rule { rule: rule(refused) }),
        (_, None, _) => Err(ServeError::NoRule),
    }
}

/// Connects to an endpoint and introduces the client, with its first words if they are there.
async fn introduce<S: Downstream>(
    mut stream: S,
    mut first: Vec<u8>,
    Decided { cluster, limits }: Decided<'_>,
    connection: &Connection,
    worker: &Worker,
    alarm: &Alarm,
    record: &mut Record,
) -> Result<Begun<S>, ServeError> {
    let headed = connection.client.header.is_some();
    let refuses = refuses_header(&connection.listener, &connection.client);
    let mut watch = match refuses || cluster.inner_header == InnerHeader::Reject {
        true => HeaderWatch::refusing(connection.listener.header.deadline),
        false => HeaderWatch::off(),
    };
    take_first_words(&mut stream, &mut first, &mut watch, headed, &worker.scratch).await?;
    record.cluster(&cluster.name);
    let tell = |attempt: Attempt<'_>| match attempt {
        Attempt::To(chosen) => record.forwarding(chosen.name()),
        Attempt::Again => record.retried(),
        Attempt::Waited(duration) => record.waited(duration),
    };
    let patience = Patience::new(alarm);
    let connect = async |chosen: &Chosen| open(cluster, chosen, &patience).await;
    let mut attempts = Attempts::new(cluster.balance.key(&connection.facts()));
    let (chosen, opened) = tokio::select! {
        biased;
        reached = reach(&worker.endpoints, cluster, &mut attempts, tell, connect) => {
            reached.map_err(ServeError::at(cluster))?
        }
        () = stream.breaks_off() => return Err(ServeError::Downstream(io::ErrorKind::ConnectionReset.into())),
    };
    record.connected(false);
    if first.is_empty() {
        take_first_words(&mut stream, &mut first, &mut watch, headed, &worker.scratch).await?;
    }
    let waits = cluster.header_placement == HeaderPlacement::FirstPayload && first.is_empty();
    let introducing = async {
        if waits {
            return opened.introducing(cluster, &chosen, connection.introduced()).await;
        }
        let upstream = opened.introduce(cluster, &chosen, connection.introduced(), &first).await?;
        Ok((upstream, Vec::new()))
    };
    let (upstream, ahead) = tokio::select! {
        biased;
        introduced = introducing => introduced.map_err(ServeError::at(cluster))?,
        () = stream.breaks_off() => return Err(ServeError::Downstream(io::ErrorKind::ConnectionReset.into())),
    };
    let upstream = upstream.into_stream();
    chosen.took_it();
    let questions = Questions::to_endpoint_of(cluster, limits.idle);
    if let Some(id) = connection.known_id() {
        record.text(Name::ConnectionId, id);
    }
    note(record, Traffic { up: first.len() as u64, down: 0 });
    Ok(Begun { stream, upstream, chosen, questions, limits, watch, ahead })
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
    match &client.header {
        Some(_) => listener.header.second_header == SecondHeader::Reject,
        None => listener.forbidding_group(&client.peer).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::stream::Stream;
    use crate::stream::tcp::Tcp;

    #[tokio::test]
    async fn a_client_that_resets_while_we_connect_has_not_just_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (scratch, mut first) = (Scratch::new(), Vec::new());
        let mut stream = Stream::Tcp(Tcp::accepted(stream));
        take_what_is_there(&mut stream, &mut first, &scratch).await.unwrap();
        client.set_zero_linger().unwrap();
        drop(client);
        let Stream::Tcp(tcp) = &stream else { panic!("over TCP") };
        tcp.socket().readable().await.unwrap();
        let reset = take_what_is_there(&mut stream, &mut first, &scratch).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    }
}
