//! A stream whose first bytes were read already, and come again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream with bytes in front of it that were read before. Once they are read again, their memory is given back.
#[derive(Debug)]
pub struct Rewind<S> {
    stream: S,
    ahead: Vec<u8>,
    at: usize,
}

impl<S> Rewind<S> {
    /// Puts `ahead` in front of what `stream` gives.
    #[must_use]
    pub const fn new(stream: S, ahead: Vec<u8>) -> Self {
        Self { stream, ahead, at: 0 }
    }

    /// The stream, and the bytes in front of it that were not read again.
    #[must_use]
    pub fn into_inner(mut self) -> (S, Vec<u8>) {
        self.ahead.drain(..self.at.min(self.ahead.len()));
        (self.stream, self.ahead)
    }

    /// The bytes in front of the stream that were not read again.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        self.ahead.get(self.at..).unwrap_or_default()
    }

    /// The stream behind the bytes. Reading from it directly would change their order.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    fn read_ahead(&mut self, buffer: &mut ReadBuf<'_>) {
        let len = self.ahead().len().min(buffer.remaining());
        if let Some(bytes) = self.ahead().get(..len) {
            buffer.put_slice(bytes);
        }
        self.at += len;
        if self.ahead().is_empty() {
            (self.ahead, self.at) = (Vec::new(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead().is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        self.read_ahead(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_that_were_read_come_first_however_small_the_reads() {
        for size in 1..8 {
            let mut stream = Rewind::new(&b"world"[..], b"hello ".to_vec());
            let mut all = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                match stream.read(&mut buffer).await.unwrap() {
                    0 => break,
                    read => all.extend_from_slice(&buffer[..read]),
                }
            }
            assert_eq!(all, b"hello world");
        }
    }

    #[tokio::test]
    async fn what_was_not_read_again_is_handed_back() {
        let mut stream = Rewind::new(&b"world"[..], b"hello ".to_vec());
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        let (rest, ahead) = stream.into_inner();
        assert_eq!((rest, &ahead[..]), (&b"world"[..], &b"llo "[..]));
    }

    #[tokio::test]
    async fn writes_pass_through() {
        let (near, mut far) = duplex(64);
        let mut stream = Rewind::new(near, b"ahead".to_vec());
        stream.write_all(b"out").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut out = String::new();
        far.read_to_string(&mut out).await.unwrap();
        assert_eq!(out, "out");
    }
}
