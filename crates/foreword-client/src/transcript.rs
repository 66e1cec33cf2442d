//! What happened on the way, as it happens: the steps that `-v` shows, and the bytes that a diagnosis rests on.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::target::Host;
use crate::tls::TlsFacts;

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A host became addresses.
    Resolved {
        /// The host.
        host: &'a Host,
        /// The port that belongs to it.
        port: u16,
        /// The addresses, in the resolver's order.
        addresses: &'a [SocketAddr],
    },
    /// An attempt to connect begins.
    Trying(SocketAddr),
    /// An attempt to connect failed; others may follow.
    Failed {
        /// The address that was tried.
        address: SocketAddr,
        /// What the system said.
        error: &'a io::Error,
    },
    /// A connection stands.
    Connected {
        /// The other end.
        peer: SocketAddr,
        /// Our own end.
        local: SocketAddr,
    },
    /// A header goes out with the next bytes.
    Header {
        /// The header.
        bytes: &'a [u8],
        /// Whether it goes inside the TLS connection.
        inside_tls: bool,
    },
    /// TLS is agreed.
    Tls(&'a TlsFacts),
    /// The next request uses the connection of the last one.
    Reused,
    /// A request head goes out.
    Request(&'a [u8]),
    /// A response head came, as it came.
    Response(&'a [u8]),
    /// The same question is asked once more, without a header, to learn whose fault a failure was.
    AskedBare(&'a str),
}

/// Someone who wants to know.
pub trait Observer {
    /// Is told of each step.
    fn step(&mut self, step: Step<'_>);
}

/// An observer that does not want to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: Step<'_>) {}
}

/// How the peer ended its side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order: it has nothing more to send.
    Closed,
    /// It threw the connection away.
    Reset,
    /// It closed under TLS without the alert that says so: whether it was the peer at all, nobody knows.
    Torn,
}

impl Ending {
    /// What an error of the socket says about the peer; nothing if it was not the peer's doing.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe => Some(Self::Reset),
            UnexpectedEof => Some(Self::Closed),
            _ => None,
        }
    }
}

/// A stream that puts a header in front of the first bytes written, in the same write, and remembers how the answer
/// began.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    stream: S,
    /// What is left of the header to write.
    header: Vec<u8>,
    hearing: Hearing,
}

/// The first bytes that came from the peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// How the answer began, at most [`Heard::KEPT`] bytes of it.
    pub start: Vec<u8>,
    /// How many bytes came in all.
    pub bytes: u64,
    /// How the peer ended its side, if it did.
    pub ending: Option<Ending>,
}

impl Heard {
    /// How many bytes of an answer's beginning are kept: enough for a status line and the first sentence of a page.
    pub const KEPT: usize = 2048;

    pub(crate) fn note(&mut self, bytes: &[u8]) {
        let room = Self::KEPT.saturating_sub(self.start.len());
        self.start.extend(bytes.iter().take(room));
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }
}

impl<S> Tap<S> {
    pub(crate) fn new(stream: S, header: Vec<u8>) -> Self {
        Self { stream, header, hearing: Hearing::default() }
    }

    /// What is heard, for someone who outlives the stream.
    pub(crate) fn hearing(&self) -> Hearing {
        self.hearing.clone()
    }
}

/// What was heard so far. A handshake that is given up takes its stream along; what the peer had said must remain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hearing(Arc<Mutex<Heard>>);

impl Hearing {
    pub(crate) fn so_far(&self) -> Heard {
        self.locked().clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Tap<S> {
    /// Writes what is left of the header, with `payload` behind it; tells how much of the payload went along.
    fn poll_header(&mut self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<usize>> {
        while !self.header.is_empty() {
            let parts = [io::IoSlice::new(&self.header), io::IoSlice::new(payload)];
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &parts))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_payload = written.saturating_sub(self.header.len());
            self.header.drain(..written.min(self.header.len()));
            if of_payload > 0 {
                return Poll::Ready(Ok(of_payload));
            }
        }
        Poll::Ready(Ok(0))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let mut heard = self.hearing.locked();
        match &outcome {
            Ok(()) if fresh.is_empty() && buf.remaining() > 0 => heard.ending = Some(Ending::Closed),
            Ok(()) => heard.note(fresh),
            Err(error) => heard.ending = Ending::of(error).or(heard.ending),
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.poll_header(cx, payload))? {
            0 => Pin::new(&mut self.stream).poll_write(cx, payload),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx, &[]))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx, &[]))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_header_leaves_once_and_with_the_first_bytes_whatever_the_room() {
        for room in [1, 3, 7, 64] {
            let (ours, mut theirs) = tokio::io::duplex(room);
            let mut tap = Tap::new(ours, b"HEADER".to_vec());
            let writer = async move {
                tap.write_all(b"one").await.expect("written");
                tap.write_all(b"two").await.expect("written");
                tap.shutdown().await.expect("shut down");
            };
            let mut all = String::new();
            let (_, read) = tokio::join!(writer, theirs.read_to_string(&mut all));
            read.expect("text");
            assert_eq!(all, "HEADERonetwo", "with room for {room}");
        }
    }

    #[tokio::test]
    async fn a_flush_sends_the_header_alone() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut tap = Tap::new(ours, b"HEADER".to_vec());
        tap.flush().await.expect("flushed");
        let mut bytes = [0; 6];
        theirs.read_exact(&mut bytes).await.expect("the header");
        assert_eq!(&bytes, b"HEADER");
    }

    #[tokio::test]
    async fn the_beginning_of_an_answer_is_kept_and_no_more() {
        let (ours, mut theirs) = tokio::io::duplex(8192);
        theirs.write_all(&[b'x'; 5000]).await.expect("written");
        drop(theirs);
        let mut tap = Tap::new(ours, Vec::new());
        tap.read_to_end(&mut Vec::new()).await.expect("read");
        let heard = tap.hearing().so_far();
        assert_eq!(heard.start.len(), Heard::KEPT);
        assert_eq!((heard.bytes, heard.ending), (5000, Some(Ending::Closed)));
    }
}
