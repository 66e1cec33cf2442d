//! http mode: requests one after the other, each decided by the rules and answered or forwarded.

mod answer;
mod answering;
mod auth;
mod carry;
mod changes;
mod compress;
mod date;
mod exchange;
mod fields;
mod forward;
mod halves;
mod leaving;
mod link;
mod pace;
mod refused;
mod request_id;
mod respond;
mod sending;
mod settled;
mod shelf;
mod wire;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use self::shelf::{BUFFER, Buffer};
use super::Connection;
use super::error::ServeError;
use super::record::Record;
use crate::alarm::Alarm;
use crate::alarm::patience::Patience;
use crate::connection::shared::Worker;
use crate::stream::linger::{LAST_WORDS, REST_OF_A_REQUEST, close, close_lingering};
use crate::stream::{Carried, Downstream};

pub(in crate::connection) use self::carry::Body;
pub(in crate::connection) use self::compress::OwnSeats;
pub(in crate::connection) use self::exchange::{After, Told};
pub(in crate::connection) use self::link::Own;
pub(crate) use self::refused::Refused;
pub(crate) use self::settled::{limits, settle};
pub(crate) use self::shelf::Shelf;

/// Serves a connection in http mode. `leftover` was read behind the header.
///
/// Between requests it owns neither buffers nor the state of an exchange: what only a request needs is boxed while it
/// lasts.
pub(crate) async fn serve(
    stream: impl Downstream,
    leftover: Vec<u8>,
    connection: &Connection,
    worker: &Worker,
    record: &Record,
    alarm: &Alarm,
) -> Result<(), ServeError> {
    let (own, own_seats) = (Own::default(), OwnSeats::default());
    let mut talk = Requests::new(connection, worker, &own, &own_seats).over(stream, Spoken::Http1, alarm);
    talk.buffer.extend(&leftover);
    drop(leftover);
    let mut is_first = true;
    while talk.request_comes(is_first).await? {
        is_first = false;
        match Box::pin(exchange::serve(&mut talk, record)).await {
            After::NextRequest => {}
            After::Linger => {
                Box::pin(close_lingering(&mut talk.stream, LAST_WORDS)).await;
                return Ok(());
            }
            After::HearOut => {
                Box::pin(close_lingering(&mut talk.stream, REST_OF_A_REQUEST)).await;
                return Ok(());
            }
            After::Close => return Ok(()),
            After::Cut => {
                talk.stream.socket().reset_on_close();
                return Ok(());
            }
        }
    }
    // Nobody waits for an answer. TLS ends with an alert, if the client still takes it.
    Box::pin(close(&mut talk.stream)).await;
    Ok(())
}

/// What the requests of one connection share.
#[derive(Clone, Copy)]
pub(in crate::connection) struct Requests<'c> {
    connection: &'c Connection,
    worker: &'c Worker,
    /// Connections to endpoints that speak for this client alone.
    own: &'c Own,
    /// The answers that are coded for this client.
    own_seats: &'c OwnSeats,
    /// Whether the client uses TLS, here or before us.
    is_secure: bool,
    /// Whether what it says in X-Forwarded-For and the like is believed.
    may_forward: bool,
}

impl<'c> Requests<'c> {
    pub(in crate::connection) fn new(
        connection: &'c Connection,
        worker: &'c Worker,
        own: &'c Own,
        own_seats: &'c OwnSeats,
    ) -> Self {
        let facts = connection.facts();
        Self {
            connection,
            worker,
            own,
            own_seats,
            is_secure: facts.is_secure(),
            may_forward: facts.may_forward(connection.listener.trust.as_ref()),
        }
    }

    fn over<S>(self, stream: S, spoken: Spoken, alarm: &'c Alarm) -> Talk<'c, S> {
        Talk {
            stream,
            buffer: self.worker.shelf.buffer(),
            own: self.own,
            own_seats: self.own_seats,
            connection: self.connection,
            worker: self.worker,
            is_secure: self.is_secure,
            may_forward: self.may_forward,
            spoken,
            patience: Patience::new(alarm),
            quiet_since: None,
        }
    }

    /// Takes a request whose head did not come as bytes: `write_head` writes the one that HTTP/1.1 would have.
    pub(in crate::connection) fn take<'r>(
        &self,
        write_head: impl FnOnce(&mut Vec<u8>) -> Result<(), Refused>,
        record: &'r Record,
    ) -> Told<'r> {
        Told::take(self.worker.shelf.desk(), &limits(&self.connection.listener), write_head, record)
    }

    /// Counts a connection that is closed since it was idle while memory is short.
    pub(in crate::connection) fn idle_was_shed(self) {
        self.worker.scribe.idle_was_shed();
    }

    /// Closes the record of a request that was taken and is not served: refused, or taken back by its client.
    pub(in crate::connection) fn leave_out(self, told: Told<'_>, refused: Option<Refused>) {
        exchange::leave_out(&self.worker.shelf, told, refused);
    }

    /// Serves a request that was taken. Its body is read from `stream`, in the framing that its head states; the answer is
    /// written there, in HTTP/1.1.
    pub(in crate::connection) async fn serve(self, told: Told<'_>, stream: &mut impl Carried) -> After {
        // One of many that go on at once in this task, or in others.
        let alarm = self.worker.alarms.alarm();
        exchange::serve_told(&mut self.over(stream, Spoken::Http2, &alarm), told).await
    }
}

/// What the client speaks. The log is told; everything else is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

/// Requests and answers over one stream.
struct Talk<'c, S> {
    stream: S,
    /// Read and not yet used: the next request may come with this one.
    buffer: Buffer<'c>,
    own: &'c Own,
    own_seats: &'c OwnSeats,
    connection: &'c Connection,
    worker: &'c Worker,
    is_secure: bool,
    may_forward: bool,
    spoken: Spoken,
    /// Set for whatever is waited for.
    patience: Patience<'c>,
    /// Since when nothing is asked, where that was found out.
    quiet_since: Option<Instant>,
}

impl<S: Downstream> Talk<'_, S> {
    /// Waits for the first byte of a request; `false` if the connection is to end without another one.
    async fn request_comes(&mut self, is_first: bool) -> Result<bool, ServeError> {
        if !self.buffer.is_empty() {
            return Ok(true);
        }
        let timeout = self.connection.listener.timeout;
        let wait = if is_first { timeout.head } else { timeout.idle };
        let read = {
            let deadline = self.quiet_since.take().unwrap_or_else(Instant::now) + wait;
            let Self { stream, buffer, patience, own, connection, worker, .. } = self;
            let mut fill = pin!(buffer.fill(stream, BUFFER));
            let drain = &connection.drain;
            let mut poll_came = |cx: &mut Context<'_>| {
                let has_ration = !drain.ration().is_used_up();
                if has_ration && let Poll::Ready(read) = fill.as_mut().poll(cx) {
                    return Poll::Ready(Came::Read(read));
                }
                // Whoever waits for the end of the drain around us has us woken when it comes nearer.
                if drain.is_idle_over() {
                    return Poll::Ready(Came::Nothing);
                }
                if let Some(most) = drain.idle_at_most()
                    && (deadline - wait).elapsed() >= most
                {
                    worker.scribe.idle_was_shed();
                    return Poll::Ready(Came::Nothing);
                }
                if !has_ration {
                    return Poll::Ready(Came::NoRation);
                }
                while let Some(until) = own.next_end().filter(|&until| until < deadline) {
                    ready!(patience.poll_over(cx, until));
                    own.evict(until);
                }
                patience.poll_over(cx, deadline).map(|()| Came::TooLate)
            };
            loop {
                match poll_fn(&mut poll_came).await {
                    // Boxed, since it seldom comes to it. Others may have taken all by then; idle it is all the same.
                    Came::NoRation => Box::pin(drain.next_news()).await,
                    came => break came,
                }
            }
        };
        match read {
            Came::Read(Ok(0)) if is_first => Err(ServeError::Probe),
            Came::Read(Ok(read)) => Ok(read > 0),
            Came::Read(Err(error)) if is_first => Err(ServeError::Downstream(error)),
            Came::TooLate if is_first => Err(ServeError::Idle(wait)),
            // A connection that is reset between requests has done what it was for.
            Came::Read(Err(_)) | Came::TooLate | Came::Nothing | Came::NoRation => Ok(false),
        }
    }
}

/// What ends the wait for a request.
enum Came {
    Read(io::Result<usize>),
    /// The gateway drains, or memory is short.
    Nothing,
    TooLate,
    /// What it would take must be waited for.
    NoRation,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    fn size_of_future<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_between_requests_is_small() {
        type Parts = (Stream, &'static Connection, &'static Worker, &'static Record, &'static Alarm);
        let idle = size_of_future(|(stream, connection, worker, record, alarm): Parts| {
            serve(stream, Vec::new(), connection, worker, record, alarm)
        });
        assert!(idle <= 640, "{idle} bytes between requests");
        type Busy = (&'static mut Talk<'static, Stream>, &'static Record);
        let busy = size_of_future(|(talk, record): Busy| exchange::serve(talk, record));
        assert!(busy <= 3328, "{busy} bytes within one");
    }
}
