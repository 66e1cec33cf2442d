//! A stream whose frames are counted on their way to `h2` and back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use super::frames::Frames;
use crate::stream::Duplex;

/// The stream beneath `h2`. Behind the frame that is one too many, nothing is heard any more.
#[derive(Debug)]
pub(super) struct Watched<'b, S> {
    stream: S,
    from_client: Frames,
    to_client: Frames,
    budget: &'b Budget,
}

impl<'b, S> Watched<'b, S> {
    pub(super) fn new(stream: S, budget: &'b Budget) -> Self {
        Self { stream, from_client: Frames::of_client(), to_client: Frames::of_server(), budget }
    }

    fn count_sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.to_client.next(&mut bytes) {
            self.budget.sent(frame);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.budget.end().is_some() {
            // Whoever serves the connection looks at the budget after each turn, this one included.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let mut bytes = buffer.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            self.budget.heard();
        }
        while let Some(frame) = self.from_client.next(&mut bytes) {
            if !self.budget.received(frame) {
                let heard = buffer.filled().len() - bytes.len();
                buffer.set_filled(heard);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Duplex> AsyncWrite for Watched<'_, S> {
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
