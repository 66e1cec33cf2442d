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

use tokio::time::{Instant, sleep_until};

use self::exchange::After;
use self::link::Mine;
use self::shelf::{BUFFER, Buffer};
use super::Connection;
use super::error::ServeError;
use super::record::Record;
use crate::connection::shared::Worker;
use crate::policy::facts::ConnectionFacts;
use crate::stream::Downstream;
use crate::stream::linger::{close, close_lingering};

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
    let mut talk = Talk::begin(stream, leftover, connection, worker);
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
struct Talk<'c, S> {
    stream: S,
    /// Read and not yet used: the next request may come with this one.
    buffer: Buffer<'c>,
    /// A connection to an endpoint that speaks for this client alone.
    mine: Option<Box<Mine>>,
    connection: &'c Connection,
    worker: &'c Worker,
    /// Whether the client uses TLS, here or before us.
    is_secure: bool,
    /// Whether what it says in X-Forwarded-For and the like is believed.
    may_forward: bool,
}

impl<'c, S: Downstream> Talk<'c, S> {
    fn begin(stream: S, leftover: Vec<u8>, connection: &'c Connection, worker: &'c Worker) -> Self {
        let facts = ConnectionFacts { client: &connection.client, tls: connection.tls.as_ref() };
        let mut buffer = worker.shelf.buffer();
        buffer.extend(&leftover);
        Self {
            stream,
            buffer,
            mine: None,
            connection,
            worker,
            is_secure: facts.is_secure(),
            may_forward: facts.may_forward(connection.listener.trust.as_ref()),
        }
    }

    /// Waits for the first byte of a request; `false` if the connection is to end without another one.
    async fn request_comes(&mut self, is_first: bool) -> Result<bool, ServeError> {
        if !self.buffer.is_empty() {
            return Ok(true);
        }
        let timeout = self.connection.listener.timeout;
        let wait = if is_first { timeout.head } else { timeout.idle };
        let deadline = Instant::now() + wait;
        loop {
            let mine_ends = self.mine.as_ref().map(|mine| mine.until).filter(|&until| until < deadline);
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
                () = sleep_until(mine_ends.unwrap_or(deadline)) => match mine_ends {
                    Some(_) => self.mine = None,
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
