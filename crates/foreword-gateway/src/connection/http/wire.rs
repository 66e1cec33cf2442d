//! What a request goes over, whatever its endpoint speaks: bytes as HTTP/1.1 writes them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::http2::Ask;
use crate::upstream::connect::Upstream;

/// What a request goes over.
#[derive(Debug)]
pub(super) enum Wire {
    /// A connection of its own, while it lasts.
    Http1(Upstream),
    /// One of many streams of a connection.
    Http2(Box<Ask>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(upstream) => Pin::new(upstream.stream()).poll_read(cx, buffer),
            Self::Http2(ask) => Pin::new(&mut **ask).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Http1(upstream) => Pin::new(upstream.stream()).poll_write(cx, bytes),
            Self::Http2(ask) => Pin::new(&mut **ask).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Http1(upstream) => Pin::new(upstream.stream()).poll_write_vectored(cx, slices),
            Self::Http2(ask) => Pin::new(&mut **ask).poll_write_vectored(cx, slices),
        }
    }

    /// A stream is written piece by piece all the same, and needs them in no buffer of their own.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(upstream) => Pin::new(upstream.stream()).poll_flush(cx),
            Self::Http2(ask) => Pin::new(&mut **ask).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(upstream) => Pin::new(upstream.stream()).poll_shutdown(cx),
            Self::Http2(ask) => Pin::new(&mut **ask).poll_shutdown(cx),
        }
    }
}
