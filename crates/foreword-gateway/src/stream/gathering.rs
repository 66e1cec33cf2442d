//! The ground of a TLS session: what was read before comes again, and what the session says in several breaths leaves in one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Duplex;

/// A stream that can hold back what is written for a moment, until more is to be said or nothing is left to do but wait.
///
/// It begins as a handshake does: our first flight leaves at once, and what we say to the client's answer is kept.
/// On loopback or in a datacentre a packet costs more than what is in it: tickets can leave with the first answer, an answer
/// with the alert behind it.
#[derive(Debug)]
pub(crate) struct Gathering<S> {
    stream: S,
    state: State,
}

/// One at a time, so that a connection that waits has little of it.
#[derive(Debug)]
enum State {
    /// Bytes were read before the stream was ours, and come again. Whatever is written leaves at once.
    Ahead { bytes: Vec<u8>, opens: bool },
    /// They came all. Whatever is written leaves at once, until its answer is waited for; then what is said gathers.
    Opening,
    /// Whatever is written leaves at once.
    Through,
    /// What is written is kept until the other side is waited for, or the stream is ended.
    Gathers(Vec<u8>),
    /// What was kept leaves with what is written next.
    Gathered(Vec<u8>),
    /// Our side is ended.
    Ended,
}

/// How a stream takes its last bytes.
pub(crate) trait Ends: Duplex {
    /// Writes bytes behind which nothing comes but the end. They may leave together with it.
    fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }
}

impl<S> Gathering<S> {
    /// Puts `ahead` in front of what `stream` gives.
    pub(crate) fn new(stream: S, ahead: Vec<u8>) -> Self {
        Self { stream, state: State::Ahead { bytes: ahead, opens: true } }
    }

    /// The stream itself. To read from it or to write to it would change the order of things.
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Keeps what is written from here on, until the other side is waited for or our side is ended.
    pub(crate) fn gather(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Through) {
            State::Opening | State::Through => State::Gathers(Vec::new()),
            State::Gathered(kept) => State::Gathers(kept),
            // Where there is still something to read, nothing has been said that could be answered.
            other => other,
        };
    }

    /// Has what was kept leave with whatever is written next; that leaves at once.
    pub(crate) fn give_with_next(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Through) {
            State::Gathers(kept) if !kept.is_empty() => State::Gathered(kept),
            State::Gathers(_) | State::Opening => State::Through,
            State::Ahead { bytes, .. } => State::Ahead { bytes, opens: false },
            other => other,
        };
    }

    /// Forgets so much of what was kept.
    fn forget(&mut self, len: usize) {
        if let State::Gathers(kept) | State::Gathered(kept) = &mut self.state {
            kept.drain(..len.min(kept.len()));
        }
        if matches!(&self.state, State::Gathered(kept) if kept.is_empty()) {
            self.state = State::Through;
        }
    }
}

impl<S: Ends> Gathering<S> {
    /// Writes what was kept, and `slices` behind it; tells how much of these was written.
    fn poll_give(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        while let State::Gathers(kept) | State::Gathered(kept) = &self.state
            && !kept.is_empty()
        {
            let len = kept.len();
            let mut together = [IoSlice::new(&[]); MOST_SLICES];
            let pieces = std::iter::once(&kept[..]).chain(slices.iter().map(|slice| &**slice));
            for (place, piece) in together.iter_mut().zip(pieces) {
                *place = IoSlice::new(piece);
            }
            let given = (slices.len() + 1).min(MOST_SLICES);
            let together = together.get(..given).unwrap_or(&together);
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, together))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.forget(written);
            if written > len {
                return Poll::Ready(Ok(written - len));
            }
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    /// Writes the last of it.
    fn poll_give_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let State::Gathers(kept) | State::Gathered(kept) = &self.state
            && !kept.is_empty()
        {
            let written = ready!(self.stream.poll_write_last(cx, kept))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.forget(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Ends> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let State::Ahead { bytes, opens } = &mut this.state {
            if !bytes.is_empty() {
                let len = bytes.len().min(buffer.remaining());
                buffer.put_slice(bytes.get(..len).unwrap_or_default());
                bytes.drain(..len);
                return Poll::Ready(Ok(()));
            }
            this.state = if *opens { State::Opening } else { State::Through };
        }
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_pending() {
            match this.state {
                State::Opening => this.gather(),
                // Nobody answers what was not said. The socket wakes us too once it takes the rest.
                State::Gathers(_) => {
                    if let Poll::Ready(Err(error)) = this.poll_give(cx, &[]) {
                        return Poll::Ready(Err(error));
                    }
                }
                State::Ahead { .. } | State::Through | State::Gathered(_) | State::Ended => {}
            }
        }
        read
    }
}

impl<S: Ends> AsyncWrite for Gathering<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let State::Gathers(kept) = &mut self.state {
            let len = slices.iter().map(|slice| slice.len()).sum::<usize>();
            if kept.len() + len <= MOST_KEPT {
                kept.reserve_exact(len.max(COMMON.saturating_sub(kept.len())));
                slices.iter().for_each(|slice| kept.extend_from_slice(slice));
                return Poll::Ready(Ok(len));
            }
        }
        self.poll_give(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What gathers is not flushed: its time comes by itself.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Gathered(_)) {
            ready!(self.poll_give(cx, &[]))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Ended) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_give_last(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.state = State::Ended;
        Poll::Ready(Ok(()))
    }
}

/// What is said at once is shorter, but for what carries certificates, and that need not wait for more.
const MOST_KEPT: usize = 4096;

/// Two tickets and a short answer fit in this.
const COMMON: usize = 1024;

/// A session has few records at hand behind what was kept. Those beyond are written after it.
const MOST_SLICES: usize = 8;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Keeps each write apart, takes at most so many bytes of each, and has nothing to read but what is put there.
    #[derive(Default)]
    struct Other {
        comes: Vec<u8>,
        writes: Vec<Vec<u8>>,
        /// What one write takes, if not all; 0 has it wait.
        room: Option<usize>,
        last: Vec<u8>,
        is_ended: bool,
    }

    impl Other {
        fn accept(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.get(..self.room.unwrap_or(bytes.len())).unwrap_or(bytes);
            if taken.is_empty() {
                return Poll::Pending;
            }
            self.writes.push(taken.to_vec());
            Poll::Ready(Ok(taken.len()))
        }
    }

    impl Ends for Other {
        fn poll_write_last(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.last.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
    }

    impl AsyncRead for Other {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.comes.is_empty() {
                return Poll::Pending;
            }
            let len = self.comes.len().min(buffer.remaining());
            buffer.put_slice(&self.comes.drain(..len).collect::<Vec<u8>>());
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Other {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.accept(bytes)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.accept(&bytes)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            assert!(!std::mem::replace(&mut self.is_ended, true), "ended twice");
            Poll::Ready(Ok(()))
        }
    }

    type Ground = Gathering<Other>;

    fn ground(ahead: &[u8]) -> Ground {
        Gathering::new(Other::default(), ahead.to_vec())
    }

    /// Reads once; `None` if there is nothing.
    async fn read(ground: &mut Ground) -> Option<Vec<u8>> {
        let mut place = [0; 64];
        let mut buffer = ReadBuf::new(&mut place);
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *ground).poll_read(cx, &mut buffer))).await;
        polled.is_ready().then(|| buffer.filled().to_vec())
    }

    /// Says it and flushes, as TLS does.
    async fn say(ground: &mut Ground, what: &[u8]) {
        ground.write_all(what).await.unwrap();
        ground.flush().await.unwrap();
    }

    /// A handshake up to the tickets.
    async fn after_the_handshake() -> Ground {
        let mut ground = ground(b"hello");
        assert_eq!(read(&mut ground).await.unwrap(), b"hello");
        say(&mut ground, b"flight").await;
        assert_eq!(read(&mut ground).await, None);
        ground.stream.comes = b"finished".to_vec();
        assert_eq!(read(&mut ground).await.unwrap(), b"finished");
        say(&mut ground, b"tickets").await;
        assert_eq!(ground.stream.writes, [b"flight"]);
        ground
    }

    #[tokio::test]
    async fn tickets_leave_with_the_first_answer() {
        for room in [None, Some(3), Some(7), Some(9)] {
            let mut ground = after_the_handshake().await;
            ground.give_with_next();
            assert_eq!(read(&mut ground).await, None);
            assert_eq!(ground.stream.writes.len(), 1, "who waits for an answer needs no tickets");
            ground.stream.room = room;
            say(&mut ground, b"answer").await;
            assert_eq!(ground.stream.writes.concat(), b"flightticketsanswer", "{room:?} bytes at once");
            assert!(room.is_some() || ground.stream.writes.len() == 2);
            let before = ground.stream.writes.len();
            ground.stream.room = None;
            say(&mut ground, b"more").await;
            assert_eq!(ground.stream.writes.get(before..), Some(&[b"more".to_vec()][..]));
        }
    }

    #[tokio::test]
    async fn tickets_leave_at_once_when_they_are_flushed_or_the_client_is_waited_for() {
        let mut ground = after_the_handshake().await;
        ground.give_with_next();
        ground.flush().await.unwrap();
        assert_eq!(ground.stream.writes, [&b"flight"[..], b"tickets"]);

        let mut ground = after_the_handshake().await;
        assert_eq!(read(&mut ground).await, None);
        assert_eq!(ground.stream.writes, [&b"flight"[..], b"tickets"]);
    }

    #[tokio::test]
    async fn what_gathers_waits_for_room_and_leaves_in_order() {
        let mut ground = after_the_handshake().await;
        ground.stream.room = Some(0);
        assert_eq!(read(&mut ground).await, None);
        ground.stream.room = Some(2);
        assert_eq!(read(&mut ground).await, None);
        say(&mut ground, b", more").await;
        ground.stream.comes = b"a word".to_vec();
        assert_eq!(read(&mut ground).await.unwrap(), b"a word");
        assert_eq!(read(&mut ground).await, None);
        assert_eq!(ground.stream.writes.concat(), b"flighttickets, more");
    }

    #[tokio::test]
    async fn what_is_long_is_not_kept() {
        let mut ground = after_the_handshake().await;
        let long = vec![b'x'; MOST_KEPT];
        say(&mut ground, &long).await;
        assert_eq!(ground.stream.writes.concat().len(), "flighttickets".len() + long.len());
        let pieces: Vec<_> = (0..2 * MOST_SLICES).map(|_| IoSlice::new(&long)).collect();
        ground.write_all(b"short").await.unwrap();
        let written = ground.write_vectored(&pieces).await.unwrap();
        assert_eq!(written, (MOST_SLICES - 1) * long.len());
        assert!(ground.stream.writes.last().unwrap().starts_with(b"shortxxx"));
    }

    #[tokio::test]
    async fn the_last_words_leave_with_the_end() {
        let mut ground = after_the_handshake().await;
        ground.give_with_next();
        ground.gather();
        say(&mut ground, b", answer").await;
        say(&mut ground, b", alert").await;
        ground.shutdown().await.unwrap();
        ground.shutdown().await.unwrap();
        assert_eq!(ground.stream.writes, [b"flight"]);
        assert_eq!(ground.stream.last, b"tickets, answer, alert");
        assert!(ground.stream.is_ended);
    }

    #[tokio::test]
    async fn what_gathers_leaves_with_the_end_although_nobody_gave_it() {
        let mut ground = after_the_handshake().await;
        ground.shutdown().await.unwrap();
        assert_eq!(ground.stream.writes, [b"flight"]);
        assert_eq!(ground.stream.last, b"tickets");
        assert!(ground.stream.is_ended);
    }

    #[tokio::test]
    async fn bytes_that_were_read_come_first_however_small_the_reads() {
        let mut ground = ground(b"hello ");
        ground.give_with_next();
        ground.stream.comes = b"world".to_vec();
        let mut all = Vec::new();
        while all.len() < 11 {
            all.push(ground.read_u8().await.unwrap());
        }
        assert_eq!(all, b"hello world");
    }
}
