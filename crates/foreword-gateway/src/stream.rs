//! A stream socket, TCP or unix: one type for what came and for what we open.

pub(crate) mod linger;
pub(crate) mod outgoing;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use foreword_tokio::Rewind;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::policy::cluster::Keepalive;

/// A connected stream socket.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over IPv4 or IPv6.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there and waits for nothing.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Does what reads from the socket once it can be read; `work` is asked again if it could not after all.
    pub(crate) fn poll_reading<T>(
        &self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let done = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, || work(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, || work(stream.as_fd()))
                }
            };
            if !would_block(&done) {
                return Poll::Ready(done);
            }
        }
    }

    /// Does what writes to the socket once it can be written; `work` is asked again if it could not after all.
    pub(crate) fn poll_writing<T>(
        &self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let done = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || work(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || work(stream.as_fd()))
                }
            };
            if !would_block(&done) {
                return Poll::Ready(done);
            }
        }
    }

    /// Has the kernel ask whether the other end is still there.
    pub(crate) fn keep_alive(&self, keepalive: Option<Keepalive>) {
        if let (Self::Tcp(stream), Some(keepalive)) = (self, keepalive) {
            // Without it the idle timeout finds out all the same.
            let _gone = ask_for_life(&SockRef::from(stream), keepalive);
        }
    }

    /// Has the close that follows be a reset, as when the other side of a tunnel was reset.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // It fails only on a socket that is gone already, and then there is nobody to tell.
            let _gone = stream.set_zero_linger();
        }
    }
}

macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Has the kernel ask whether the other end of a socket, or of those that it accepts, is still there.
pub(crate) fn ask_for_life(socket: &SockRef<'_>, keepalive: Keepalive) -> io::Result<()> {
    let asked = TcpKeepalive::new().with_time(keepalive.idle).with_interval(keepalive.interval);
    socket.set_tcp_keepalive(&asked.with_retries(keepalive.count))
}

fn would_block<T>(done: &io::Result<T>) -> bool {
    matches!(done, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Both directions of a stream, whatever is below it.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// A stream whose bytes are carried on.
pub(crate) trait Carried: Duplex {
    /// The socket, if what it carries are the bytes of this stream; under TLS they are not.
    fn bare(&self) -> Option<&Stream>;
}

impl<S: Carried> Carried for &mut S {
    fn bare(&self) -> Option<&Stream> {
        (**self).bare()
    }
}

impl Carried for Stream {
    fn bare(&self) -> Option<&Stream> {
        Some(self)
    }
}

impl Carried for Box<TlsStream<Rewind<Stream>>> {
    fn bare(&self) -> Option<&Stream> {
        None
    }
}

/// The client's side, with TLS or without.
pub(crate) trait Downstream: Carried {
    /// The socket below.
    fn socket(&self) -> &Stream;
}

impl Downstream for Stream {
    fn socket(&self) -> &Stream {
        self
    }
}

impl Downstream for Box<TlsStream<Rewind<Stream>>> {
    fn socket(&self) -> &Stream {
        self.get_ref().0.get_ref()
    }
}
