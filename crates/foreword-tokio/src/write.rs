//! Puts a header on a stream, first and once.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Writes a header, which leaves in one piece if the stream takes it in one (R-SEND-02).
///
/// # Errors
///
/// When the stream fails. It is to be closed then: the header must not be written to it again (R-SEND-17).
pub async fn write_header<S>(stream: &mut S, header: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    write_header_with(stream, header, &[]).await
}

/// Writes a header and the first payload together: in one vectored write where the stream has them, as one piece
/// otherwise (R-SEND-02). What a short write leaves is written after it.
///
/// # Errors
///
/// When the stream fails. It is to be closed then: the header must not be written to it again (R-SEND-17).
pub async fn write_header_with<S>(stream: &mut S, header: &[u8], first_payload: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    write_together(stream, [header, first_payload]).await
}

/// Writes pieces one behind the other: in one vectored write where the stream has them, as one piece otherwise. What a
/// short write leaves is written after it, and all of it is flushed.
///
/// # Errors
///
/// When the stream fails.
pub fn write_together<'p, S, const N: usize>(
    stream: &'p mut S,
    pieces: [&'p [u8]; N],
) -> impl Future<Output = io::Result<()>>
where
    S: AsyncWrite + Unpin,
{
    let mut left = Left { pieces, joined: Vec::new() };
    // Whoever waits for it keeps no more than what is left, which an `async fn` would hold several times.
    poll_fn(move |cx| {
        ready!(left.poll_write_all(cx, &mut *stream))?;
        Pin::new(&mut *stream).poll_flush(cx)
    })
}

/// Writes pieces as [`write_together`] does, and leaves it to the caller to flush them. Where the stream keeps what it takes,
/// as TLS does, the pieces are not needed any more from then on.
///
/// # Errors
///
/// When the stream fails.
pub fn write_unflushed<'p, S, const N: usize>(
    stream: &'p mut S,
    pieces: [&'p [u8]; N],
) -> impl Future<Output = io::Result<()>>
where
    S: AsyncWrite + Unpin,
{
    let mut left = Left { pieces, joined: Vec::new() };
    poll_fn(move |cx| left.poll_write_all(cx, &mut *stream))
}

/// What is not written yet.
struct Left<'p, const N: usize> {
    pieces: [&'p [u8]; N],
    /// The pieces as one, for a stream without vectored writes.
    joined: Vec<u8>,
}

impl<const N: usize> Left<'_, N> {
    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.pieces.iter().all(|piece| piece.is_empty())
    }

    fn poll_write_all<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.is_empty() {
            match ready!(self.poll_write(cx, Pin::new(&mut *stream)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<S>(&mut self, cx: &mut Context<'_>, stream: Pin<&mut S>) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite,
    {
        let filled = self.pieces.iter().position(|piece| !piece.is_empty()).unwrap_or(N);
        let (first, more) = match self.pieces.get(filled..) {
            Some([first, more @ ..]) => (*first, more),
            _ => return stream.poll_write(cx, &self.joined),
        };
        // One piece costs less in a write of its own.
        if more.iter().all(|piece| piece.is_empty()) {
            return stream.poll_write(cx, first);
        }
        if stream.is_write_vectored() {
            let slices = self.pieces.map(IoSlice::new);
            return stream.poll_write_vectored(cx, slices.get(filled..).unwrap_or_default());
        }
        self.joined = self.pieces.concat();
        self.pieces = [b"".as_slice(); N];
        stream.poll_write(cx, &self.joined)
    }

    fn advance(&mut self, written: usize) {
        if !self.joined.is_empty() {
            self.joined.drain(..written.min(self.joined.len()));
            return;
        }
        let mut written = written;
        for piece in &mut self.pieces {
            let (done, rest) = piece.split_at(written.min(piece.len()));
            written -= done.len();
            *piece = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps each write apart, and takes as many bytes of each as it is told; then as many as come.
    #[derive(Default)]
    struct Recorder {
        writes: Vec<Vec<u8>>,
        take: Vec<usize>,
        vectored: bool,
        fail_after: Option<usize>,
    }

    impl Recorder {
        fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.fail_after.is_some_and(|after| self.writes.len() >= after) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let most = if self.take.is_empty() { usize::MAX } else { self.take.remove(0) };
            let taken = bytes.len().min(most);
            self.writes.push(bytes[..taken].to_vec());
            Ok(taken)
        }
    }

    impl AsyncWrite for Recorder {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(self.take(bytes))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            Poll::Ready(self.take(&bytes))
        }

        fn is_write_vectored(&self) -> bool {
            self.vectored
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_header_and_the_first_payload_leave_in_one_write() {
        for vectored in [true, false] {
            let mut stream = Recorder { vectored, ..Recorder::default() };
            write_header_with(&mut stream, b"PROXY UNKNOWN\r\n", b"hello").await.unwrap();
            assert_eq!(stream.writes, [b"PROXY UNKNOWN\r\nhello"]);
        }
    }

    #[tokio::test]
    async fn a_short_write_is_completed_wherever_it_ends() {
        let whole = b"PROXY UNKNOWN\r\nhello";
        for vectored in [true, false] {
            for first in 1..whole.len() {
                for second in 1..=whole.len() - first {
                    let mut stream = Recorder { vectored, take: vec![first, second], ..Recorder::default() };
                    write_header_with(&mut stream, &whole[..15], &whole[15..]).await.unwrap();
                    assert_eq!(stream.writes.concat(), whole);
                }
            }
        }
    }

    #[tokio::test]
    async fn several_pieces_leave_in_one_write_and_empty_ones_leave_no_trace() {
        for vectored in [true, false] {
            let mut stream = Recorder { vectored, ..Recorder::default() };
            write_together(&mut stream, [b"", b"a header, ", b"", b"a head, ", b"a body", b""])
                .await
                .unwrap();
            assert_eq!(stream.writes, [b"a header, a head, a body"]);
        }
        let mut stream = Recorder { vectored: true, ..Recorder::default() };
        write_together(&mut stream, [b"", b""]).await.unwrap();
        assert!(stream.writes.is_empty());
    }

    #[tokio::test]
    async fn a_failed_write_is_an_error_and_the_header_is_not_repeated() {
        for vectored in [true, false] {
            let mut stream = Recorder { vectored, take: vec![3], fail_after: Some(1), ..Recorder::default() };
            let failed = write_header_with(&mut stream, b"PROXY UNKNOWN\r\n", b"hello").await.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(stream.writes, [b"PRO"]);
        }
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_is_an_error_and_no_endless_loop() {
        let mut stream = Recorder { vectored: true, take: vec![0], ..Recorder::default() };
        let failed = write_header_with(&mut stream, b"PROXY UNKNOWN\r\n", b"x").await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::WriteZero);
    }
}
