//! Both directions of one stream, for two futures of one task.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Carried;

/// Shares a stream between whoever reads it and whoever writes it.
///
/// Both are polled by the same task, one after the other, so a cell is enough where `tokio::io::split` would lock.
#[derive(Debug)]
pub(super) struct Shared<'s, S> {
    stream: RefCell<&'s mut S>,
    /// Whether its reader waits for more: then it hears that the other side breaks off.
    is_read: Cell<bool>,
}

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
        Self { stream: RefCell::new(stream), is_read: Cell::new(false) }
    }

    /// Has the stream gather what has come while its reader is busy elsewhere.
    pub(super) fn gather(&self, cx: &mut Context<'_>)
    where
        S: Carried,
    {
        self.stream.borrow_mut().gather(cx);
    }

    /// Waits for the next turn of the task, in which both halves may be polled again; `true` if the other side has broken the
    /// stream off instead, which is looked for only while nobody reads.
    pub(super) async fn next_turn_or_break(&self) -> bool
    where
        S: Carried,
    {
        if self.is_read.replace(false) {
            return next_turn(pin!(pending())).await;
        }
        self.break_unread().await
    }

    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "the halves are polled again only when this has ended"
    )]
    async fn break_unread(&self) -> bool
    where
        S: Carried,
    {
        let mut stream = self.stream.borrow_mut();
        // Boxed, since few streams come to it and all would have the room.
        next_turn(Box::pin(stream.breaks_off()).as_mut()).await
    }

    pub(super) fn halves(&self) -> (Reader<'_, 's, S>, Writer<'_, 's, S>) {
        (Reader(self), Writer(self))
    }
}

/// Ends with the next turn; `true` if it is because `ends` has.
fn next_turn(mut ends: Pin<&mut impl Future<Output = ()>>) -> impl Future<Output = bool> {
    let mut is_next = false;
    poll_fn(move |cx| match ends.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if std::mem::replace(&mut is_next, true) => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    })
}

impl<S: Carried> Target for Writer<'_, '_, S> {
    fn gather_for_the_end(&mut self) -> bool {
        self.0.stream.borrow_mut().gather_for_the_end()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reader<'_, '_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut **self.0.stream.borrow_mut()).poll_read(cx, buffer);
        self.0.is_read.set(read.is_pending());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Writer<'_, '_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.stream.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.stream.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}
