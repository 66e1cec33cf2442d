//! http mode: requests one after the other, each decided by the rules and answered or forwarded.

mod answer;
mod answering;
mod carry;
mod changes;
mod date;
mod exchange;
mod fields;
mod forward;
mod halves;
mod link;
mod pace;
mod refused;
mod request_id;
mod sending;
mod settled;
mod shelf;
mod wire;

use tokio::time::{Instant, sleep_until};

use self::shelf::{BUFFER, Buffer};
use super::Connection;
use super::error::ServeError;
use super::record::Record;
use crate::connection::shared::Worker;
use crate::stream::linger::{close, close_lingering};
use crate::stream::{Carried, Downstream};

pub(in crate::connection) use self::carry::Body;
pub(in crate::connection) use self::exchange::After;
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
    record: &mut Record,
) -> Result<(), ServeError> {
    let own = Own::default();
    let mut talk = Requests::new(connection, worker, &own).over(stream, Spoken::Http1);
    talk.buffer.extend(&leftover);
    let mut is_first = true;
    while talk.request_comes(is_first).await? {
        is_first = false;
        match Box::pin(exchange::serve(&mut talk, record)).await {
            After::NextRequest => {}
            After::Linger => {
                close_lingering(&mut talk.stream).await;
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
    close(&mut talk.stream).await;
    Ok(())
}

/// What the requests of one connection share.
#[derive(Clone, Copy)]
pub(in crate::connection) struct Requests<'c> {
    connection: &'c Connection,
    worker: &'c Worker,
    /// Connections to endpoints that speak for this client alone.
    own: &'c Own,
    /// Whether the client uses TLS, here or before us.
    is_secure: bool,
    /// Whether what it says in X-Forwarded-For and the like is believed.
    may_forward: bool,
}

impl<'c> Requests<'c> {
    pub(in crate::connection) fn new(connection: &'c Connection, worker: &'c Worker, own: &'c Own) -> Self {
        let facts = connection.facts();
        Self {
            connection,
            worker,
            own,
            is_secure: facts.is_secure(),
            may_forward: facts.may_forward(connection.listener.trust.as_ref()),
        }
    }

    fn over<S>(self, stream: S, spoken: Spoken) -> Talk<'c, S> {
        Talk {
            stream,
            buffer: self.worker.shelf.buffer(),
            own: self.own,
            connection: self.connection,
            worker: self.worker,
            is_secure: self.is_secure,
            may_forward: self.may_forward,
            spoken,
        }
    }

    /// Serves one request whose head did not come as bytes: `write_head` writes the one that HTTP/1.1 would have.
    ///
    /// Its body is read from `stream`, in the framing that this head states; the answer is written there, in HTTP/1.1.
    pub(in crate::connection) async fn serve(
        self,
        stream: &mut impl Carried,
        write_head: impl FnOnce(&mut Vec<u8>) -> Result<(), Refused>,
        record: &Record,
    ) -> After {
        exchange::serve_told(&mut self.over(stream, Spoken::Http2), write_head, record).await
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
    connection: &'c Connection,
    worker: &'c Worker,
    is_secure: bool,
    may_forward: bool,
    spoken: Spoken,
}

impl<S: Downstream> Talk<'_, S> {
    /// Waits for the first byte of a request; `false` if the connection is to end without another one.
    async fn request_comes(&mut self, is_first: bool) -> Result<bool, ServeError> {
        if !self.buffer.is_empty() {
            return Ok(true);
        }
        let timeout = self.connection.listener.timeout;
        let wait = if is_first { timeout.head } else { timeout.idle };
        let deadline = Instant::now() + wait;
        loop {
            let own_ends = self.own.next_end().filter(|&until| until < deadline);
            tokio::select! {
                biased;
                read = self.buffer.fill(&mut self.stream, BUFFER) => return match read {
                    Ok(0) if is_first => Err(ServeError::Probe),
                    Ok(read) => Ok(read > 0),
                    // A connection that is reset between requests has done what it was for.
                    Err(error) if is_first => Err(ServeError::Downstream(error)),
                    Err(_) => Ok(false),
                },
                () = self.connection.drain.idle_over() => return Ok(false),
                () = sleep_until(own_ends.unwrap_or(deadline)) => match own_ends {
                    Some(until) => self.own.evict(until),
                    None if is_first => return Err(ServeError::Idle(wait)),
                    None => return Ok(false),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;
    use crate::stream::Stream;

    fn size_of_future<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_between_requests_is_small() {
        type Parts = (Stream, &'static Connection, &'static Worker, &'static mut Record);
        let idle = size_of_future(|(stream, connection, worker, record): Parts| {
            serve(stream, Vec::new(), connection, worker, record)
        });
        assert!(idle <= 640, "{idle} bytes between requests");
        type Busy = (&'static mut Talk<'static, Stream>, &'static Record);
        let busy = size_of_future(|(talk, record): Busy| exchange::serve(talk, record));
        assert!(busy <= 4096, "{busy} bytes within one");
    }
}
