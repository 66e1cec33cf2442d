//! A TCP socket, and what Nagle's algorithm does to it.

use std::cell::Cell;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connected TCP socket on which nothing that is written waits for what was written before.
///
/// `TCP_NODELAY` is a call of its own, and many connections that we open are written to only once. So it is set with the second
/// write: Linux holds nothing of the first one back.
#[derive(Debug)]
pub(crate) struct Tcp {
    socket: TcpStream,
    nagle: Cell<Nagle>,
}

/// Whether small writes wait until earlier ones are confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nagle {
    /// They would, and there is no earlier one.
    Unwritten,
    /// They would.
    On,
    Off,
}

impl Tcp {
    /// One that was accepted: it has inherited `TCP_NODELAY` from the listener.
    pub(crate) fn accepted(socket: TcpStream) -> Self {
        Self { socket, nagle: Cell::new(Nagle::Off) }
    }

    /// One that was opened, and on which nothing was written.
    ///
    /// # Errors
    ///
    /// When the socket is gone already.
    pub(crate) fn opened(socket: TcpStream) -> io::Result<Self> {
        if cfg!(target_os = "linux") {
            return Ok(Self { socket, nagle: Cell::new(Nagle::Unwritten) });
        }
        // Others hold back the end of a first write that is larger than a segment.
        socket.set_nodelay(true)?;
        Ok(Self { socket, nagle: Cell::new(Nagle::Off) })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whoever writes, in whichever way, says so first.
    pub(super) fn begins_to_write(&self) -> io::Result<()> {
        if self.nagle.get() == Nagle::On {
            self.socket.set_nodelay(true)?;
            self.nagle.set(Nagle::Off);
        }
        Ok(())
    }

    /// And then, that it is done.
    pub(super) fn has_written(&self) {
        if self.nagle.get() == Nagle::Unwritten {
            self.nagle.set(Nagle::On);
        }
    }

    fn poll_noted(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.begins_to_write()?;
        let written = write(Pin::new(&mut self.socket));
        if written.is_ready() {
            self.has_written();
        }
        written
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_noted(|socket| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_noted(|socket| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::future::poll_fn;
    use std::os::fd::BorrowedFd;

    use rustix::net::SendFlags;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::stream::Stream;

    #[tokio::test]
    async fn the_second_write_waits_for_nothing_and_the_first_costs_no_call() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut tcp = Tcp::opened(socket).unwrap();
        let mut waits = Vec::new();
        for piece in ["GET / HTTP/1.1\r\n", "Host: ", "localhost\r\n\r\n"] {
            tcp.write_all(piece.as_bytes()).await.unwrap();
            waits.push(!tcp.socket().nodelay().unwrap());
        }
        assert_eq!(waits, [true, false, false]);
    }

    #[tokio::test]
    async fn what_is_written_past_the_runtime_is_a_write_as_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Tcp(Tcp::opened(socket).unwrap());
        let Stream::Tcp(tcp) = &stream else { unreachable!("it was made so") };
        let mut waits = Vec::new();
        for _ in 0..3 {
            let send = |socket: BorrowedFd<'_>| Ok(rustix::net::send(socket, b"x", SendFlags::NOSIGNAL)?);
            assert_eq!(poll_fn(|cx| stream.poll_writing(cx, send)).await.unwrap(), 1);
            waits.push(!tcp.socket().nodelay().unwrap());
        }
        assert_eq!(waits, [true, false, false]);
    }
}
