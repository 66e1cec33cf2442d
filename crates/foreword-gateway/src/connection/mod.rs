//! The story of a connection: accepted, identified, handed to its mode, recorded once.

pub(crate) mod accept;
pub(crate) mod chapter;
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
mod tunnel;

use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use foreword::{Client, PeerAddr, Transport, Version};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use self::chapter::Chapter;
use self::door::Served;
use self::error::ServeError;
use self::identify::{Ends, identify};
use self::record::{ClientKnown, Record, TlsKnown};
use self::shared::{Present, Worker};
use crate::admission::Place;
use crate::alarm::Alarm;
use crate::drain::Drain;
use crate::plan::{Http2, Listener, Mode};
use crate::policy::facts::{ConnectionFacts, HelloFacts, TlsFacts};
use crate::policy::seats::Seat;
use crate::stream::gathering::Gathering;
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

/// What is kept of a connection through all its chapters, until it is recorded how it ended.
pub(crate) struct Guest {
    record: Record,
    /// The plan that it began with.
    served: Rc<Served>,
    /// What it holds of bounds, for as long as it lasts.
    seats: Vec<Seat>,
    present: Present,
    /// What wakes it when its time has come, whatever it waits for then.
    alarm: Alarm,
    _places: (Place, Place),
}

impl Guest {
    pub(crate) fn new(
        accepted: &Accepted,
        served: Rc<Served>,
        places: (Place, Place),
        present: Present,
    ) -> Self {
        let record = Record::open(&served.journal, accepted.peer, accepted.local);
        let alarm = present.worker().alarms.alarm();
        Self { record, served, seats: Vec::new(), present, alarm, _places: places }
    }

    /// Records how the connection ended. No chapter follows.
    fn leave(self, outcome: &Result<(), ServeError>) -> Option<Chapter> {
        error::close(self.record, &self.served.listener, outcome);
        None
    }
}

/// Closes a connection unread, and records why.
pub(crate) fn refuse(accepted: &Accepted, served: &Served, why: ServeError) {
    let record = Record::open(&served.journal, accepted.peer, accepted.local);
    error::close(record, &served.listener, &Err(why));
}

/// The first chapter: who it is. How it goes on is the listener's mode.
pub(crate) fn arrival(accepted: Accepted, mut guest: Guest) -> Chapter {
    let drain = Drain::new(&guest.present.worker().progress);
    Chapter::new(async move {
        let at = accepted.at;
        let arrived = {
            let Guest { record, served, seats, present, alarm, .. } = &mut guest;
            let arrived = pin!(arrive(accepted, served, present.worker(), drain.clone(), record, seats));
            let unknown = pin!(until_shed(&drain, at, arrived));
            until_cut_off(&drain, alarm, unknown).await
        };
        match arrived {
            Ok(Arrived { stream: Arriving::Plain(stream), leftover, connection }) => {
                Some(speak(stream, leftover, at, connection, guest))
            }
            Ok(Arrived { stream: Arriving::Tls(stream), leftover, connection }) => {
                Some(speak(stream, leftover, at, connection, guest))
            }
            Err(error) => guest.leave(&Err(error)),
        }
    })
}

/// A connection of which is settled who it is.
struct Arrived {
    stream: Arriving,
    /// What was read beyond.
    leftover: Vec<u8>,
    connection: Connection,
}

/// The client's side of a connection, with TLS or without.
enum Arriving {
    Plain(Stream),
    Tls(Box<TlsStream<Gathering<Stream>>>),
}

async fn arrive(
    accepted: Accepted,
    served: &Served,
    worker: &Worker,
    drain: Drain,
    record: &mut Record,
    seats: &mut Vec<Seat>,
) -> Result<Arrived, ServeError> {
    let Accepted { mut stream, peer, local, at } = accepted;
    let listener = &served.listener;
    let mut leftover = Vec::new();
    let ends = Ends { peer: &peer, local: &local, accepted: at };
    let client = identify(&mut stream, listener, &served.post.awaited, ends, &mut leftover).await?;
    note_client(record, &client);
    let_in(listener, &client, seats)?;

    let mut connection = Connection {
        listener: Arc::clone(listener),
        client,
        tls: None,
        hello: None,
        drain,
        unique_id: OnceCell::new(),
    };
    let headed = connection.client.header.is_some();
    let deadline = || Instant::now() + listener.timeout.tls;
    let Some(plan) = &listener.tls else {
        if listener.mode == Mode::TlsPassthrough {
            // Few listeners need it, and whoever arrives would have room for it.
            let facts = Box::pin(hello::read(&mut stream, &mut leftover, headed, deadline())).await?;
            record.tls(|| passing(&facts));
            connection.hello = Some(Box::new(facts));
        }
        return Ok(Arrived { stream: Arriving::Plain(stream), leftover, connection });
    };
    // It is many times larger than what others need to arrive.
    let means = (&**plan, &*worker.challenges);
    let answers = listener.mode == Mode::Http;
    let handshake = Box::pin(acceptor::accept(means, stream, leftover, headed, answers, deadline()));
    let (stream, facts) = handshake.await?;
    record.tls(|| known(&facts));
    connection.tls = Some(Box::new(facts));
    Ok(Arrived { stream: Arriving::Tls(stream), leftover: Vec::new(), connection })
}

/// Asks the listener whether this client may have another connection. TLS has not begun: whoever comes too often costs no
/// handshake.
fn let_in(listener: &Listener, client: &Client, seats: &mut Vec<Seat>) -> Result<(), ServeError> {
    let facts = ConnectionFacts { client, tls: None, hello: None };
    for bound in &listener.bounds {
        bound.ask(&facts, || Instant::now().into_std(), seats).map_err(ServeError::NotLetIn)?;
    }
    Ok(())
}

/// Goes on in the listener's mode. Each mode has as much room as it needs itself, not as the largest of them does.
fn speak(
    stream: impl Downstream + 'static,
    leftover: Vec<u8>,
    accepted: Instant,
    connection: Connection,
    guest: Guest,
) -> Chapter {
    match connection.listener.mode {
        // Datagrams come through doors of another kind; a stream could only be forwarded.
        Mode::Tcp | Mode::TlsPassthrough | Mode::Udp => {
            tcp::chapter(stream, leftover, accepted, connection, guest)
        }
        Mode::Http if connection.is_http2() => Chapter::new(async move {
            let outcome = {
                let Guest { record, present, alarm, .. } = &guest;
                let served = pin!(http2::serve(stream, leftover, &connection, present.worker(), record));
                until_cut_off(&connection.drain, alarm, served).await
            };
            guest.leave(&outcome)
        }),
        Mode::Http => Chapter::new(async move {
            let outcome = {
                let Guest { record, present, alarm, .. } = &guest;
                let served =
                    pin!(http::serve(stream, leftover, &connection, present.worker(), record, alarm));
                until_cut_off(&connection.drain, alarm, served).await
            };
            guest.leave(&outcome)
        }),
    }
}

/// Goes on with what is under way until memory is so short that nobody is waited for of whom it is not known who it is.
async fn until_shed<T>(
    drain: &Drain,
    since: Instant,
    under_way: Pin<&mut impl Future<Output = Result<T, ServeError>>>,
) -> Result<T, ServeError> {
    let outcome = drain.while_borne(since, under_way).await;
    outcome.unwrap_or_else(|after| Err(ServeError::ShedUnknown { after }))
}

/// Goes on with what is under way until the drain has ended.
async fn until_cut_off<T>(
    drain: &Drain,
    alarm: &Alarm,
    mut under_way: Pin<&mut impl Future<Output = Result<T, ServeError>>>,
) -> Result<T, ServeError> {
    poll_fn(|cx| match under_way.as_mut().poll(cx) {
        Poll::Pending if drain.is_over() => Poll::Ready(Err(ServeError::CutOff)),
        Poll::Pending => {
            alarm.hear(cx);
            Poll::Pending
        }
        over => over,
    })
    .await
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

    #[test]
    fn a_tunnel_that_is_idle_takes_little_memory() {
        // What an exchange holds for the access log comes on top, and so does what the runtime keeps of a task.
        let tunnel = size_of::<tunnel::Tunnel<Stream>>();
        assert!(tunnel <= 600, "{tunnel} bytes");
    }
}
