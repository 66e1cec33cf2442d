//! A stream socket, TCP or unix: one type for what came and for what we open.

pub(crate) mod linger;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use foreword_tokio::Rewind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

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

/// The client's side, with TLS or without.
pub(crate) trait Downstream: AsyncRead + AsyncWrite + Unpin {
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
