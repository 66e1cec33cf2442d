//! A stream whose frames are counted on their way to `h2` and back.

use std::future::Future as _;
use std::io;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use super::budget::Budget;
use super::frames::Frames;
use crate::stream::Duplex;

/// The stream beneath `h2`. Behind the frame that is one too many, nothing is heard any more.
#[derive(Debug)]
pub(crate) struct Watched<S, B> {
    stream: S,
    received: Frames,
    sent: Frames,
    budget: B,
    /// What came behind the last frame of a turn, for the next one.
    kept: Vec<u8>,
}

impl<S, B: Deref<Target = Budget>> Watched<S, B> {
    /// A client's.
    pub(crate) fn of_client(stream: S, budget: B) -> Self {
        Self { stream, received: Frames::of_client(), sent: Frames::of_server(), budget, kept: Vec::new() }
    }

    /// An endpoint's.
    pub(crate) fn of_endpoint(stream: S, budget: B) -> Self {
        Self { stream, received: Frames::of_server(), sent: Frames::of_client(), budget, kept: Vec::new() }
    }

    /// Hands out what was kept, as far as there is room.
    fn give_kept(&mut self, buffer: &mut ReadBuf<'_>) {
        let len = self.kept.len().min(buffer.remaining());
        buffer.put_slice(self.kept.get(..len).unwrap_or_default());
        self.kept.drain(..len);
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }

    /// Counts the frames in what came, up to the one that ends this turn, or all.
    fn hear(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let filled = buffer.filled().len();
        let mut bytes = buffer.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            self.budget.heard();
        }
        while !self.budget.is_turn_over()
            && let Some(frame) = self.received.next(&mut bytes)
        {
            if !self.budget.received(frame) {
                let end = filled - bytes.len();
                buffer.set_filled(end);
                return;
            }
        }
        if !bytes.is_empty() {
            let end = filled - bytes.len();
            // Before anything that was kept already.
            self.kept.splice(..0, bytes.iter().copied());
            buffer.set_filled(end);
        }
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
        if self.budget.is_turn_over() {
            // Whoever takes the frames does so now; then others of the worker have their turn, and the kernel is asked what has come.
            _ = pin!(yield_now()).poll(cx);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.kept.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            self.give_kept(buffer);
        }
        self.hear(buffer, before);
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_too_much_for_one_turn_is_heard_whole_in_the_next_ones() {
        // Settings, and heads on as many streams, each with its number as its payload.
        let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for stream in (1..100).step_by(2) {
            said.extend([0, 0, 1, 1, 5, 0, 0, 0, stream, stream]);
        }
        let (mut far, near) = duplex(1 << 16);
        far.write_all(&said).await.unwrap();
        drop(far);
        let budget = Budget::of_client(100);
        let mut watched = Watched::of_client(near, &budget);
        let (mut heard, mut turns) = (Vec::<u8>::new(), Vec::new());
        let mut room = [0; 100];
        let ended = loop {
            let mut buffer = ReadBuf::new(&mut room);
            let before = budget.frames();
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut watched).poll_read(cx, &mut buffer))).await;
            heard.extend(buffer.filled());
            match polled {
                Poll::Ready(_) if buffer.filled().is_empty() => break true,
                Poll::Ready(_) => turns.push(budget.frames() - before),
                Poll::Pending if !budget.is_turn_over() => break false,
                Poll::Pending => {
                    // Settings, and as many heads as a turn has room for.
                    assert!(turns.drain(..).sum::<u64>() <= 33);
                    budget.begin_turn();
                }
            }
        };
        assert!(ended && budget.frames() == 51);
        assert_eq!(heard, said);
    }
}
