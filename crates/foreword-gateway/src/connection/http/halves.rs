//! Both directions of one stream, for two futures of one task.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Carried;

/// Shares a stream between whoever reads it and whoever writes it.
///
/// Both are polled by the same task, one after the other, so a cell is enough where `tokio::io::split` would lock.
#[derive(Debug)]
pub(super) struct Shared<'s, S>(RefCell<&'s mut S>);

/// Reads the shared stream.
#[derive(Debug)]
pub(super) struct Reader<'h, 's, S>(&'h Shared<'s, S>);

/// Writes the shared stream.
#[derive(Debug)]
pub(super) struct Writer<'h, 's, S>(&'h Shared<'s, S>);

/// Where an answer goes.
pub(super) trait Target: AsyncWrite + Unpin {
    /// Keeps what is written from here on for the end of the stream, which is to follow at once; `false` if it does not.
    fn gather_for_the_end(&mut self) -> bool;
}

impl<'s, S> Shared<'s, S> {
    pub(super) fn new(stream: &'s mut S) -> Self {
        Self(RefCell::new(stream))
    }

    /// Has the stream gather what has come while its reader is busy elsewhere.
    pub(super) fn gather(&self, cx: &mut Context<'_>)
    where
        S: Carried,
    {
        self.0.borrow_mut().gather(cx);
    }

    pub(super) fn halves(&self) -> (Reader<'_, 's, S>, Writer<'_, 's, S>) {
        (Reader(self), Writer(self))
    }
}

impl<S: Carried> Target for Writer<'_, '_, S> {
    fn gather_for_the_end(&mut self) -> bool {
        self.0.0.borrow_mut().gather_for_the_end()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reader<'_, '_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.0.borrow_mut()).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Writer<'_, '_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.0.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.0.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.0.borrow_mut()).poll_shutdown(cx)
    }
}
