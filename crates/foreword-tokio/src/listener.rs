//! A listener whose connections arrive identified.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use foreword::{ClaimRefused, Client, Parser, PeerAddr, Signature, Trust, TrustedProxy, Verdict, signature};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::read::{ReadError, read_header_buffered, read_header_if_any};
use crate::rewind::Rewind;

/// Something that connections come from.
pub trait Accept {
    /// A connection, before anything is known of it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one. Dropping the future loses none.
    fn accept(&mut self) -> impl Future<Output = io::Result<Incoming<Self::Stream>>> + Send;
}

/// A connection, and what the kernel says of it.
#[derive(Debug)]
pub struct Incoming<S> {
    /// The connection.
    pub stream: S,
    /// Its other end.
    pub peer: PeerAddr,
    /// Our end.
    pub local: PeerAddr,
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<Incoming<TcpStream>> {
        loop {
            let (stream, peer) = Self::accept(self).await?;
            // Who is gone before its local address can be asked for wants nothing any more.
            if let Ok(local) = stream.local_addr() {
                return Ok(Incoming { stream, peer: peer.into(), local: local.into() });
            }
        }
    }
}

#[cfg(unix)]
impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<Incoming<Self::Stream>> {
        let (stream, _) = Self::accept(self).await?;
        Ok(Incoming { stream, peer: PeerAddr::Unix, local: PeerAddr::Unix })
    }
}

/// A connection, and whom it is for.
#[derive(Debug)]
pub struct Connection<S> {
    /// The connection, at its first byte of payload.
    pub stream: Rewind<S>,
    /// Whom it is for, and who brought it.
    pub client: Client,
}

/// Why a connection never arrived.
#[derive(Debug, Error)]
pub enum Refused {
    /// The peer belongs to no trust group. Not a byte of it was read.
    #[error("the peer is in no trust group")]
    Stranger,
    /// What came is no header, or the peer closed before it was whole.
    #[error("no PROXY header")]
    Header(#[source] ReadError),
    /// The header was not whole when the deadline passed.
    #[error("no whole PROXY header until the deadline, {after} bytes of it")]
    Late {
        /// How many bytes came.
        after: usize,
    },
    /// Too many headers were awaited, and this one the longest.
    #[error("too many PROXY headers were awaited, and this one the longest")]
    Crowded,
    /// The header claims a source that no client can have.
    #[error("the claim of the PROXY header is refused")]
    Claim(#[source] ClaimRefused),
}

/// Accepts connections, reads the headers of those whose peers are trusted to send one, and gives each with its client.
///
/// Headers are awaited side by side: a slow peer holds nobody up. Each has until the deadline, and not more than a set
/// number are awaited at once; when one more comes, the oldest goes (R-SEC-07, R-SEC-08).
///
/// ```no_run
/// use foreword::{Group, HeaderPolicy, Trust};
/// use foreword_tokio::Listener;
/// use tokio::net::TcpListener;
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let elb = Group {
///     name: "elb".into(),
///     from: vec!["10.0.0.0/16".parse()?],
///     unix: false,
///     header: HeaderPolicy::Require,
///     forwarded: false,
/// };
/// let sockets = TcpListener::bind("[::]:8443").await?;
/// let mut listener = Listener::new(sockets, Trust::new(vec![elb])?)
///     .on_refusal(|peer, refused| eprintln!("{peer}: {refused}"));
/// loop {
///     let connection = listener.accept().await?;
///     println!("{} by way of {}", connection.client.address, connection.client.peer);
/// }
/// # }
/// ```
pub struct Listener<A: Accept> {
    inner: A,
    trust: std::sync::Arc<Trust>,
    parser: Parser,
    deadline: Duration,
    max_waiting: usize,
    on_refusal: OnRefusal,
    reading: JoinSet<(u64, Identified<A::Stream>)>,
    /// Those whose headers are awaited, the oldest first.
    waiting: BTreeMap<u64, (PeerAddr, AbortHandle)>,
    next: u64,
}

type OnRefusal = Box<dyn Fn(&PeerAddr, &Refused) + Send>;
type Identified<S> = Result<Connection<S>, Refused>;

impl<A: Accept> Listener<A> {
    /// How long a header may take unless [`Listener::deadline`] says otherwise.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(3);

    /// How many headers are awaited at once unless [`Listener::max_waiting`] says otherwise.
    pub const DEFAULT_MAX_WAITING: usize = 1024;

    /// The longest header that is taken unless [`Listener::parser`] says otherwise.
    pub const DEFAULT_MAX_LEN: usize = 4096;

    /// Listens through `inner`, and believes whom `trust` believes.
    #[must_use]
    pub fn new(inner: A, trust: Trust) -> Self {
        Self {
            inner,
            trust: trust.into(),
            parser: Parser::new().max_len(Self::DEFAULT_MAX_LEN),
            deadline: Self::DEFAULT_DEADLINE,
            max_waiting: Self::DEFAULT_MAX_WAITING,
            on_refusal: Box::new(|_, _| {}),
            reading: JoinSet::new(),
            waiting: BTreeMap::new(),
            next: 0,
        }
    }

    /// Takes headers as `parser` does.
    #[must_use]
    pub const fn parser(mut self, parser: Parser) -> Self {
        self.parser = parser;
        self
    }

    /// How long a header may take, from accept to its last byte.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many headers are awaited at once; one at the least.
    #[must_use]
    pub const fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.max_waiting = if max_waiting == 0 { 1 } else { max_waiting };
        self
    }

    /// Tells `on_refusal` of every connection that never arrives. It runs between two accepts, so it should not wait.
    #[must_use]
    pub fn on_refusal(mut self, on_refusal: impl Fn(&PeerAddr, &Refused) + Send + 'static) -> Self {
        self.on_refusal = Box::new(on_refusal);
        self
    }

    /// What it listens through.
    #[must_use]
    pub const fn get_ref(&self) -> &A {
        &self.inner
    }

    /// Waits for the next connection that arrives. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// When accepting fails, as when the process has too many files open. The listener goes on if asked again.
    pub async fn accept(&mut self) -> io::Result<Connection<A::Stream>> {
        loop {
            tokio::select! {
                // Who is through must not be taken for one that is awaited. It cannot starve those who come: there are
                // never more to join than were let in.
                biased;
                Some(read) = self.reading.join_next(), if !self.reading.is_empty() => {
                    // Those that were aborted have been told of, and nothing in a read panics.
                    let Ok((id, outcome)) = read else { continue };
                    let Some((peer, _)) = self.waiting.remove(&id) else { continue };
                    match outcome {
                        Ok(connection) => return Ok(connection),
                        Err(refused) => (self.on_refusal)(&peer, &refused),
                    }
                }
                incoming = self.inner.accept() => {
                    if let Some(connection) = self.judge(incoming?) {
                        return Ok(connection);
                    }
                }
            }
        }
    }

    /// Lets a peer in that speaks for itself, turns a stranger away, and begins to read everyone else's header.
    fn judge(&mut self, incoming: Incoming<A::Stream>) -> Option<Connection<A::Stream>> {
        let Incoming { stream, peer, local } = incoming;
        match self.trust.judge(&peer) {
            Verdict::Direct(_) => {
                let client = Client::direct(peer, local);
                return Some(Connection { stream: Rewind::new(stream, Vec::new()), client });
            }
            Verdict::Stranger => (self.on_refusal)(&peer, &Refused::Stranger),
            Verdict::Proxy(_) | Verdict::Either(_) => self.begin(Incoming { stream, peer, local }),
        }
        None
    }

    fn begin(&mut self, incoming: Incoming<A::Stream>) {
        if self.waiting.len() >= self.max_waiting {
            self.evict();
        }
        let id = self.next;
        self.next += 1;
        let (peer, trust, parser, deadline) = (incoming.peer, self.trust.clone(), self.parser, self.deadline);
        let read =
            self.reading.spawn(async move { (id, identify(incoming, &trust, parser, deadline).await) });
        self.waiting.insert(id, (peer, read));
    }

    /// Lets the oldest go whose header is still awaited. Reads end while nobody looks: who is through is only to be joined.
    fn evict(&mut self) {
        let Some(id) = self.waiting.iter().find(|(_, (_, read))| !read.is_finished()).map(|(id, _)| *id)
        else {
            return;
        };
        if let Some((peer, read)) = self.waiting.remove(&id) {
            read.abort();
            (self.on_refusal)(&peer, &Refused::Crowded);
        }
    }
}

impl<A: Accept> fmt::Debug for Listener<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

/// Reads the header of a peer that must or may send one.
async fn identify<S>(
    incoming: Incoming<S>,
    trust: &Trust,
    parser: Parser,
    deadline: Duration,
) -> Identified<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Incoming { mut stream, peer, local } = incoming;
    let mut buffer = Vec::new();
    let client = match trust.judge(&peer) {
        Verdict::Proxy(proxy) => {
            let read = read_header_buffered(&mut stream, &parser, &mut buffer);
            let header = match timeout(deadline, read).await {
                Ok(header) => header.map_err(Refused::Header)?,
                Err(_) => return Err(Refused::Late { after: buffer.len() }),
            };
            proxy.introduce(header, local).map_err(Refused::Claim)?
        }
        Verdict::Either(proxy) => {
            header_or_direct(&mut stream, proxy, local, parser, deadline, &mut buffer).await?
        }
        Verdict::Direct(_) => Client::direct(peer, local),
        Verdict::Stranger => return Err(Refused::Stranger),
    };
    Ok(Connection { stream: Rewind::new(stream, buffer), client })
}

async fn header_or_direct<S>(
    stream: &mut S,
    proxy: TrustedProxy<'_>,
    local: PeerAddr,
    parser: Parser,
    deadline: Duration,
    buffer: &mut Vec<u8>,
) -> Result<Client, Refused>
where
    S: AsyncRead + Unpin,
{
    match timeout(deadline, read_header_if_any(stream, &parser, buffer)).await {
        Ok(Ok(Some(header))) => proxy.introduce(header, local).map_err(Refused::Claim),
        Ok(Ok(None)) => Ok(proxy.direct(local)),
        Ok(Err(error)) => Err(Refused::Header(error)),
        Err(_) if signature(buffer) == Signature::Whole => Err(Refused::Late { after: buffer.len() }),
        // Protocols in which the server speaks first begin with silence.
        Err(_) => Ok(proxy.direct(local)),
    }
}

#[cfg(test)]
mod tests;
