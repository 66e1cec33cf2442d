//! A TCP socket, and what Nagle's algorithm does to it.

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
    nagle: Nagle,
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
        Self { socket, nagle: Nagle::Off }
    }

    /// One that was opened, and on which nothing was written.
    ///
    /// # Errors
    ///
    /// When the socket is gone already.
    pub(crate) fn opened(socket: TcpStream) -> io::Result<Self> {
        if cfg!(target_os = "linux") {
            return Ok(Self { socket, nagle: Nagle::Unwritten });
        }
        // Others hold back the end of a first write that is larger than a segment.
        socket.set_nodelay(true)?;
        Ok(Self { socket, nagle: Nagle::Off })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn poll_writing(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.nagle == Nagle::On {
            self.socket.set_nodelay(true)?;
            self.nagle = Nagle::Off;
        }
        let written = write(Pin::new(&mut self.socket));
        if self.nagle == Nagle::Unwritten && written.is_ready() {
            self.nagle = Nagle::On;
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
        self.poll_writing(|socket| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(|socket| socket.poll_write_vectored(cx, slices))
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
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

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
}
