//! The story of a connection: accepted, identified, handed to its mode, recorded once.

pub(crate) mod accept;
pub(crate) mod door;
pub(crate) mod error;
pub(crate) mod forward;
pub(crate) mod header_error;
pub(crate) mod header_watch;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod identify;
pub(crate) mod pipes;
pub(crate) mod record;
pub(crate) mod shared;
pub(crate) mod tcp;

use std::cell::OnceCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use foreword::{Client, PeerAddr, Transport, Version};
use tokio::time::Instant;

use self::door::Served;
use self::error::ServeError;
use self::identify::{Ends, identify};
use self::record::{ClientKnown, Record, TlsKnown};
use self::shared::Worker;
use crate::drain::Drain;
use crate::plan::{Http2, Listener, Mode};
use crate::policy::facts::{ConnectionFacts, HelloFacts, TlsFacts};
use crate::policy::seats::Seat;
use crate::stream::{Downstream, Stream};
use crate::tls::{acceptor, hello};
use crate::upstream::header::Introduced;

/// What is settled about a connection once its client is known. It lives under the plan that it began with.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) listener: Arc<Listener>,
    /// Whom the connection was made for, and who brought it.
    pub(crate) client: Client,
    /// What the handshake settled, if TLS ends here.
    pub(crate) tls: Option<Box<TlsFacts>>,
    /// What the client said of the handshake, if TLS passes through.
    pub(crate) hello: Option<Box<HelloFacts>>,
    pub(crate) drain: Drain,
    /// What it holds of the listener's bounds, for as long as it lasts.
    _seats: Box<[Seat]>,
    /// Made when it is first asked for; most connections need none.
    unique_id: OnceCell<Box<[u8]>>,
}

impl Connection {
    /// Whether the client speaks HTTP/2: TLS has agreed on it, or the listener knows it beforehand. Nobody guesses.
    fn is_http2(&self) -> bool {
        match &self.tls {
            Some(tls) => tls.alpn.as_deref() == Some(b"h2"),
            None => self.listener.http2 == Http2::PriorKnowledge,
        }
    }

    /// What rules may ask of it.
    pub(crate) fn facts(&self) -> ConnectionFacts<'_> {
        ConnectionFacts { client: &self.client, tls: self.tls.as_deref(), hello: self.hello.as_deref() }
    }

    /// What a header to an endpoint says of it.
    pub(crate) fn introduced(&self) -> Introduced<'_> {
        Introduced {
            client: &self.client,
            transport: Transport::Stream,
            tls: self.tls.as_deref(),
            hello: self.hello.as_deref(),
            unique_id: &self.unique_id,
        }
    }

    /// The id by which receivers know the connection, if one was told it.
    pub(crate) fn known_id(&self) -> Option<&[u8]> {
        self.unique_id.get().map(AsRef::as_ref)
    }
}

/// A connection as it was accepted: nothing of it was read.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) peer: PeerAddr,
    pub(crate) local: PeerAddr,
    pub(crate) at: Instant,
}

/// Serves a connection to its end, and records how it ended.
pub(crate) async fn run(accepted: Accepted, served: Rc<Served>, worker: Rc<Worker>) {
    let drain = Drain::new(&worker.progress);
    let mut record = Record::open(&served.journal, accepted.peer, accepted.local);
    let outcome = tokio::select! {
        biased;
        outcome = serve(accepted, &served, &worker, drain.clone(), &mut record) => outcome,
        () = drain.cancelled() => Err(ServeError::CutOff),
    };
    error::close(record, &outcome);
}

/// Closes a connection unread, and records why.
pub(crate) fn refuse(accepted: &Accepted, served: &Served, why: ServeError) {
    let record = Record::open(&served.journal, accepted.peer, accepted.local);
    error::close(record, &Err(why));
}

async fn serve(
    accepted: Accepted,
    served: &Served,
    worker: &Worker,
    drain: Drain,
    record: &mut Record,
) -> Result<(), ServeError> {
    let Accepted { mut stream, peer, local, at } = accepted;
    let listener = &served.listener;
    let mut leftover = Vec::new();
    let ends = Ends { peer: &peer, local: &local, accepted: at };
    let client = identify(&mut stream, listener, &served.post.awaited, ends, &mut leftover).await?;
    note_client(record, &client);
    let seats = let_in(listener, &client)?;

    let mut connection = Connection {
        listener: Arc::clone(listener),
        client,
        _seats: seats,
        tls: None,
        hello: None,
        drain,
        unique_id: OnceCell::new(),
    };
    let headed = connection.client.header.is_some();
    match &listener.tls {
        None if listener.mode == Mode::TlsPassthrough => {
            let deadline = Instant::now() + listener.timeout.tls;
            // As with the handshake below: most of the connection's life comes after it.
            let facts = Box::pin(hello::read(&mut stream, &mut leftover, headed, deadline)).await?;
            record.tls(|| passing(&facts));
            connection.hello = Some(Box::new(facts));
            speak(stream, leftover, at, &connection, worker, record).await
        }
        None => speak(stream, leftover, at, &connection, worker, record).await,
        Some(plan) => {
            let deadline = Instant::now() + listener.timeout.tls;
            // It lives for the handshake only, and is many times larger than all that comes after.
            let handshake =
                Box::pin(acceptor::accept((plan, &worker.challenges), stream, leftover, headed, deadline));
            let (stream, facts) = handshake.await?;
            record.tls(|| known(&facts));
            connection.tls = Some(Box::new(facts));
            speak(stream, Vec::new(), at, &connection, worker, record).await
        }
    }
}

/// Asks the listener whether this client may have another connection. TLS has not begun: whoever comes too often costs no
/// handshake.
fn let_in(listener: &Listener, client: &Client) -> Result<Box<[Seat]>, ServeError> {
    let facts = ConnectionFacts { client, tls: None, hello: None };
    let mut seats = Vec::new();
    for bound in &listener.bounds {
        bound.ask(&facts, || Instant::now().into_std(), &mut seats).map_err(ServeError::NotLetIn)?;
    }
    Ok(seats.into())
}

/// Goes on in the listener's mode. Each mode has as much room as it needs itself, not as the largest of them does.
fn speak<'c>(
    stream: impl Downstream + 'c,
    leftover: Vec<u8>,
    accepted: Instant,
    connection: &'c Connection,
    worker: &'c Worker,
    record: &'c mut Record,
) -> Pin<Box<dyn Future<Output = Result<(), ServeError>> + 'c>> {
    match connection.listener.mode {
        // Datagrams come through doors of another kind; a stream could only be forwarded.
        Mode::Tcp | Mode::TlsPassthrough | Mode::Udp => {
            Box::pin(tcp::serve(stream, leftover, accepted, connection, worker, record))
        }
        Mode::Http if connection.is_http2() => {
            Box::pin(http2::serve(stream, leftover, connection, worker, record))
        }
        Mode::Http => Box::pin(http::serve(stream, leftover, connection, worker, record)),
    }
}

/// Notes whom it was made for, and on whose word.
pub(crate) fn note_client(record: &mut Record, client: &Client) {
    let version = client.header().map(|header| match header.version {
        Version::One => 1,
        Version::Two => 2,
    });
    record.client(client.address.clone(), client.destination, version);
    if let Some(group) = &client.group {
        record.trust(group);
    }
}

/// What is known of a handshake that others make.
fn passing(facts: &HelloFacts) -> TlsKnown {
    TlsKnown { sni: facts.sni.clone(), alpn: facts.alpn.clone(), ..TlsKnown::default() }
}

fn known(facts: &TlsFacts) -> TlsKnown {
    TlsKnown {
        version: facts.version,
        cipher: facts.cipher,
        sni: facts.sni.clone(),
        alpn: facts.alpn.clone(),
        client: facts.client.as_deref().map(|client| ClientKnown {
            cn: client.cn.clone(),
            serial: client.serial.clone(),
            fingerprint: client.fingerprint.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    fn size_of_mode<'c, F>(
        _: impl FnOnce(Stream, Vec<u8>, Instant, &'c Connection, &'c Worker, &'c mut Record) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_tunnel_that_is_idle_takes_little_memory() {
        // What an exchange holds for the access log comes on top, and so does what the runtime keeps of a task.
        let (story, tunnel) = (size(run), size_of_mode(tcp::serve));
        assert!(story + tunnel <= 2600, "{story} bytes for the story, {tunnel} for the tunnel");
    }
}
