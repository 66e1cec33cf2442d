//! A stream of which no more is read than there is memory for until that is looked at again: `h2` takes in all that has come.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::drain::Drain;
use crate::stream::Duplex;

/// A client's stream below HTTP/2.
pub(super) struct Rationed<'d, S> {
    stream: S,
    drain: &'d Drain,
    /// There while nothing is left. Boxed, since most never have to wait.
    waits: Option<Pin<Box<dyn Future<Output = ()> + 'd>>>,
}

impl<'d, S> Rationed<'d, S> {
    pub(super) fn new(stream: S, drain: &'d Drain) -> Self {
        Self { stream, drain, waits: None }
    }

    fn poll_ration(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waits.is_none() && !self.drain.ration().is_used_up() {
            return Poll::Ready(());
        }
        let drain = self.drain;
        ready!(self.waits.get_or_insert_with(|| Box::pin(drain.has_ration())).as_mut().poll(cx));
        self.waits = None;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rationed<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ration(cx));
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = buffer.filled().len() - before;
        self.drain.ration().take(came + GROWTH * came.min(MOST_HEADS));
        Poll::Ready(Ok(()))
    }
}

impl<S: Duplex> AsyncWrite for Rationed<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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

/// What `h2` makes of heads, before anybody sees them, is so many times longer: an index of a byte becomes a field.
const GROWTH: usize = 16;

/// Where more comes at once it is mostly bodies, which lie here as they came.
const MOST_HEADS: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::drain::ration::{Ration, Rations};
    use crate::drain::{Progress, Strain};

    #[tokio::test]
    async fn nothing_is_read_beyond_the_ration_until_there_is_one_anew() {
        let rations = Arc::new(Rations::default());
        rations.give(Strain::default(), 20);
        let progress = Progress::rationed(0, Rc::new(Ration::of(Arc::clone(&rations))));
        let drain = Drain::new(&progress);
        let (mut client, ours) = duplex(64);
        let mut stream = Rationed::new(ours, &drain);
        client.write_all(b"0123456789").await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
        client.write_all(b"0123456789").await.unwrap();
        let look = async {
            rations.asked().await;
            rations.give(Strain::default(), 20);
            progress.memory_was_looked_at();
        };
        let mut read = [0; 10];
        tokio::select! {
            biased;
            _ = stream.read_exact(&mut read) => panic!("there was nothing left"),
            () = look => {}
        }
        stream.read_exact(&mut read).await.unwrap();
    }
}
