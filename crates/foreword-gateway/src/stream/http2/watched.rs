//! A stream whose frames are counted on their way to `h2` and back.

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use super::frames::{DATA, Frames};
use crate::stream::Duplex;

/// The stream beneath `h2`. Behind the frame that is one too many, nothing is heard any more.
#[derive(Debug)]
pub(crate) struct Watched<S, B> {
    stream: S,
    received: Frames,
    sent: Frames,
    budget: B,
    /// How many pieces of bodies came since others had their turn.
    pieces: u32,
}

impl<S, B: Deref<Target = Budget>> Watched<S, B> {
    /// A client's.
    pub(crate) fn of_client(stream: S, budget: B) -> Self {
        Self { stream, received: Frames::of_client(), sent: Frames::of_server(), budget, pieces: 0 }
    }

    /// An endpoint's.
    pub(crate) fn of_endpoint(stream: S, budget: B) -> Self {
        Self { stream, received: Frames::of_server(), sent: Frames::of_client(), budget, pieces: 0 }
    }

    fn count_sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            self.budget.sent(frame);
        }
    }
}

impl<S: AsyncRead + Unpin, B: Deref<Target = Budget> + Unpin> AsyncRead for Watched<S, B> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.budget.end().is_some() {
            // Whoever serves the connection looks at the budget after each turn, this one included.
            return Poll::Pending;
        }
        if self.pieces >= MOST_PIECES {
            // Whoever takes them does so now: `h2` ends connections on which too many small ones wait.
            self.pieces = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) else {
            self.pieces = 0;
            return Poll::Pending;
        };
        read?;
        let mut bytes = buffer.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            self.budget.heard();
        }
        while let Some(frame) = self.received.next(&mut bytes) {
            self.pieces += u32::from(frame.kind == DATA);
            if !self.budget.received(frame) {
                let heard = buffer.filled().len() - bytes.len();
                buffer.set_filled(heard);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Duplex, B: Deref<Target = Budget> + Unpin> AsyncWrite for Watched<S, B> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.count_sent(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let len = slice.len().min(left);
            self.count_sent(slice.get(..len).unwrap_or_default());
            left -= len;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Few enough that what comes with the last of them is not too much, many enough that large bodies do not notice.
const MOST_PIECES: u32 = 256;
