//! Puts a header on a stream, first and once.

use std::io::{self, IoSlice};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

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
pub async fn write_together<S, const N: usize>(stream: &mut S, pieces: [&[u8]; N]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    if stream.is_write_vectored() {
        let mut slices = pieces.map(IoSlice::new);
        write_all_vectored(stream, &mut slices).await?;
    } else {
        stream.write_all(&pieces.concat()).await?;
    }
    stream.flush().await
}

async fn write_all_vectored<S>(stream: &mut S, mut left: &mut [IoSlice<'_>]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    // Empty pieces at the beginning are gone with this.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match stream.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

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
