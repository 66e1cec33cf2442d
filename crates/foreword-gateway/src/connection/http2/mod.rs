//! HTTP/2: many requests at once over one connection, each told as HTTP/1.1 and served as if it had come so.

mod answers;
mod ask;
mod content;
mod heads;
mod incoming;
mod outgoing;
mod rationed;
mod stream;
mod told;
mod turns;

use std::future::{Future, poll_fn};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use foreword_tokio::Rewind;
use h2::server::{Builder, Connection as Http2, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use self::answers::Answers;
use self::heads::{Heads, Unbegun, Waiting};
use self::rationed::Rationed;
use self::stream::Stream;
use self::told::Framing;
use self::turns::{Event, Turns};
use super::Connection;
use super::error::ServeError;
use super::http::{Own, OwnSeats, Refused, Requests};
use super::record::{Fill as _, Outcome, Record};
use crate::connection::shared::Worker;
use crate::drain::Drain;
use crate::plan::Listener;
use crate::stream::http2::budget::{Budget, End, Reset};
use crate::stream::http2::watched::Watched;
use crate::stream::linger::{LAST_WORDS, close, close_lingering};
use crate::stream::{Downstream, Duplex};

pub(in crate::connection) use self::ask::{Ask, UNSEEN, UNSENT};
pub(crate) use self::told::ToldFault;

/// Serves a connection on which HTTP/2 was agreed. `leftover` was read behind the header.
pub(crate) async fn serve(
    mut stream: impl Downstream,
    leftover: Vec<u8>,
    connection: &Connection,
    worker: &Worker,
    record: &Record,
) -> Result<(), ServeError> {
    let (own, own_seats) = (Own::default(), OwnSeats::default());
    let requests = Requests::new(connection, worker, &own, &own_seats);
    let budget = Budget::of_client(connection.listener.max.streams);
    let drain = &connection.drain;
    drain.ration().take(CONNECTION);
    let watched = Watched::of_client(Rewind::new(&mut stream, leftover), &budget);
    let outcome = match greet(Rationed::new(watched, drain), &connection.listener, &budget).await {
        // It is large, and lives as long as the connection: the future that others hold room for stays small.
        Ok(http2) => Box::pin(converse(http2, connection, requests, &own, &budget, record)).await,
        Err(error) => Err(error),
    };
    // What speaks to endpoints for this client has nothing more to say.
    drop(own);
    if drain.is_strained() {
        // Nobody is waited for.
        close(&mut stream).await;
    } else {
        // The client must live to read our last frame.
        close_lingering(&mut stream, LAST_WORDS).await;
    }
    outcome
}

/// Exchanges prefaces and settings, in the time that HTTP/1 has for a head.
async fn greet<S: Duplex>(
    stream: S,
    listener: &Listener,
    budget: &Budget,
) -> Result<Http2<S, Bytes>, ServeError> {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(listener.max.streams)
        // What is beyond our own limit gets its 431 from us, told in the log; `h2` ends what is far beyond it.
        .max_header_list_size(u32::try_from(listener.max.head * 2).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    let wait = listener.timeout.head;
    match timeout(wait, builder.handshake(stream)).await {
        Ok(Ok(http2)) => Ok(http2),
        Ok(Err(_)) if !budget.has_heard() => Err(ServeError::Probe),
        Ok(Err(error)) => Err(failed(error, budget)),
        Err(_) => Err(ServeError::Idle(wait)),
    }
}

/// Serves requests as they come, until the connection has ended.
async fn converse<S: Duplex>(
    mut http2: Http2<S, Bytes>,
    connection: &Connection,
    requests: Requests<'_>,
    own: &Own,
    budget: &Budget,
    record: &Record,
) -> Result<(), ServeError> {
    let drain = &connection.drain;
    let (answers, heads) = (Answers::default(), Heads::new(&connection.listener.max, drain));
    let serve = |request, respond| serve_one(request, respond, requests, &answers, &heads, record);
    let leave_out = |request, respond, why| leave_out(request, respond, why, requests, &heads, record);
    let mut turns = Turns::new(&heads, Waiting::new(&connection.listener.max), serve, leave_out);
    let longest_wait = connection.listener.timeout.head;
    let mut is_leaving = false;
    let mut idle_since = Instant::now();
    let mut deadline = idle_since + connection.listener.timeout.head;
    let (goaway, outcome) = loop {
        let mut is_paused = false;
        let is_idle = turns.is_idle();
        let overdue = turns.waits_since().map(|since| since + longest_wait);
        let wake = overdue.unwrap_or_else(|| own.next_end().map_or(deadline, |end| end.min(deadline)));
        tokio::select! {
            biased;
            event = poll_fn(|cx| turns.poll(cx, &mut http2, budget)) => match event {
                Event::Rested => {
                    answers.rest();
                    idle_since = Instant::now();
                    deadline = idle_since + connection.listener.timeout.idle;
                }
                Event::Busy => {}
                Event::More => {
                    yield_now().await;
                    // What is not seen yet will be.
                    continue;
                }
                Event::Paused => is_paused = true,
                Event::Closed => break (None, Ok(())),
                Event::Failed(error) => break (None, Err(failed(error, budget))),
            },
            () = drain.retired(), if !is_leaving => {
                // Two steps: none that is on its way is lost, RFC 9113 §6.8.
                http2.graceful_shutdown();
                is_leaving = true;
            }
            // What is left of it may not be borne with at the next look at memory, or what waits for that may begin.
            () = drain.next_news(), if is_leaving || turns.waits_since().is_some() => {}
            () = drain.idle_over(), if is_idle => break (Some(Reason::NO_ERROR), Ok(())),
            () = sleep_until(wake), if is_idle || overdue.is_some() => {
                if overdue.is_some() {
                    turns.refuse_overdue(longest_wait);
                    yield_now().await;
                    continue;
                }
                own.evict(Instant::now());
                if Instant::now() >= deadline {
                    break (Some(Reason::NO_ERROR), Ok(()));
                }
            }
        }
        let idle = is_idle.then(|| idle_since.elapsed());
        let unanswered = turns.open().saturating_sub(answers.begun());
        if let Some((reason, outcome)) = shed(idle, unanswered, drain, requests) {
            break (Some(reason), outcome);
        }
        tell_of_unseen(|stream| turns.has_record(stream), budget, connection.listener.max.streams, record);
        turns.forget_left();
        if let Some(end) = budget.end() {
            let (reason, error) = told_of(end, budget);
            break (Some(reason), Err(error));
        }
        if is_paused {
            yield_now().await;
        }
    };
    tell_of_unseen(|stream| turns.has_record(stream), budget, connection.listener.max.streams, record);
    if let Some(reason) = goaway {
        http2.abrupt_shutdown(reason);
    }
    record.client_is_gone();
    turns.abandon().await;
    if goaway.is_some() {
        let longest = if drain.is_strained() { Duration::ZERO } else { LONGEST };
        // It is slow to hear why, if it wants to be: nobody waits for that but us.
        let _gone = timeout(longest, closed(http2, budget)).await;
    }
    outcome
}

/// How the connection ends, if it is let go since memory is short. `idle` is for how long it asks for nothing.
fn shed(
    idle: Option<Duration>,
    unanswered: usize,
    drain: &Drain,
    requests: Requests<'_>,
) -> Option<(Reason, Result<(), ServeError>)> {
    if idle.is_some_and(|idle| drain.idle_at_most().is_some_and(|most| idle >= most)) {
        requests.idle_was_shed();
        return Some((Reason::NO_ERROR, Ok(())));
    }
    let is_too_much = drain.unanswered_at_most().is_some_and(|most| unanswered > most as usize);
    is_too_much.then(|| (Reason::ENHANCE_YOUR_CALM, Err(ServeError::Shed { unanswered })))
}

/// Waits until all is said, and the client has closed.
async fn closed<S: Duplex>(mut http2: Http2<S, Bytes>, budget: &Budget) -> Result<(), h2::Error> {
    poll_fn(|cx| {
        budget.begin_turn();
        http2.poll_closed(cx)
    })
    .await
}

/// Serves one request. Its head is taken at once, since what it came in is larger than what is made of it.
fn serve_one<'c>(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    requests: Requests<'c>,
    answers: &'c Answers,
    heads: &'c Heads,
    record: &'c Record,
) -> impl Future<Output = u32> + use<'c> {
    let (head, body) = request.into_parts();
    let framing = Framing::of(&head, body.is_end_stream());
    let told = requests.take(|out| told::write(&head, framing, out), record);
    let held = heads.hold(told.head_len());
    let mut stream = Stream::new(body, respond, head.method, framing, answers);
    async move {
        let _held = held;
        let after = requests.serve(told, &mut stream).await;
        stream.end(after).await;
        stream.id()
    }
}

/// Ends a request that was never begun. Its client may ask again, RFC 9113 §8.7, and the log has it.
fn leave_out(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    why: Unbegun,
    requests: Requests<'_>,
    heads: &Heads,
    record: &Record,
) {
    let (head, body) = request.into_parts();
    let framing = Framing::of(&head, body.is_end_stream());
    let told = requests.take(|out| told::write(&head, framing, out), record);
    requests.leave_out(told, heads.refused(why));
    respond.send_reset(Reason::REFUSED_STREAM);
}

/// What the client, and what the log is told of the end that a frame brought.
fn told_of(end: End, budget: &Budget) -> (Reason, ServeError) {
    let broken = |reason| (reason, ServeError::Http2 { reason });
    match end {
        End::Spent => (Reason::ENHANCE_YOUR_CALM, ServeError::Flood { frames: budget.frames() }),
        End::NoSettings => broken(Reason::PROTOCOL_ERROR),
        End::WrongSize => broken(Reason::FRAME_SIZE_ERROR),
    }
}

/// Tells of requests that `h2` ended unseen by us, since they broke a rule or were one too many. The others tell of themselves.
fn tell_of_unseen(has_record: impl Fn(u32) -> bool, budget: &Budget, most: u32, record: &Record) {
    for Reset { stream, reason, was_unseen } in budget.take_resets() {
        let refused = match Reason::from(reason) {
            Reason::REFUSED_STREAM if was_unseen => Refused::TooManyStreams { stream, most },
            reason if is_fault_of_client(reason) && !has_record(stream) => Refused::Reset { stream, reason },
            _ => continue,
        };
        record.request().close(Outcome::Refused(refused.refusal()));
    }
    for stream in budget.take_too_large() {
        let refused = Refused::TooLarge { stream };
        let mut note = record.request();
        note.status(refused.status());
        note.close(Outcome::Refused(refused.refusal()));
    }
}

fn is_fault_of_client(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PROTOCOL_ERROR
            | Reason::FLOW_CONTROL_ERROR
            | Reason::STREAM_CLOSED
            | Reason::FRAME_SIZE_ERROR
            | Reason::COMPRESSION_ERROR
    )
}

/// Whose doing the end of the connection was.
fn failed(error: h2::Error, budget: &Budget) -> ServeError {
    match error.reason() {
        // `h2` counts some frames itself: small ones of data, splinters of heads, streams that it had to reset.
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => {
            ServeError::Flood { frames: budget.frames() }
        }
        Some(reason) if error.is_library() => ServeError::Http2 { reason },
        Some(_) => ServeError::Downstream(io::Error::new(io::ErrorKind::ConnectionReset, error)),
        None => {
            ServeError::Downstream(error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()))
        }
    }
}

/// What one request may send ahead of its endpoint, RFC 9113 §6.9.2.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What all of a connection may: what waits here is bounded by it.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What of one answer waits for the client, beside the frame at hand.
const SEND_BUFFER: usize = 64 * 1024;
/// About what a connection takes before anything is asked.
const CONNECTION: usize = 24 * 1024;
/// How long a client that goes, or is sent away, may take for it.
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_among_many_is_small() {
        type Shared = (Requests<'static>, &'static Answers, &'static Heads, &'static Record);
        type Parts = (Request<RecvStream>, SendResponse<Bytes>, Shared);
        let request = size_of_future(|(request, respond, (requests, answers, heads, record)): Parts| {
            serve_one(request, respond, requests, answers, heads, record)
        });
        assert!(request <= 4864, "{request} bytes");
    }
}
