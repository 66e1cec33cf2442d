//! Reads answers, one after the other, from a buffer that is used again.

use foreword_http1::{Chunked, Framing, HeadEnd, Response, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::failure::Failure;

/// Bodies are read over each other, so that a connection costs this much however long they are.
const BUFFER: usize = 64 * 1024;

/// What an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of its body, without its coding.
    pub(crate) len: u64,
    /// Whether the connection may be used again.
    pub(crate) keeps_alive: bool,
}

/// Reads answers off a connection. It holds no bytes between two answers: requests are never pipelined.
pub(crate) struct AnswerReader {
    head: ResponseHead,
    buffer: Box<[u8]>,
    filled: usize,
}

impl AnswerReader {
    pub(crate) fn new() -> Self {
        Self { head: ResponseHead::default(), buffer: vec![0; BUFFER].into(), filled: 0 }
    }

    /// Reads one whole answer to a request with `method`, interim ones skipped.
    pub(crate) async fn read<S>(&mut self, stream: &mut S, method: &str) -> Result<Answer, Failure>
    where
        S: AsyncRead + Unpin,
    {
        self.filled = 0;
        loop {
            let head_len = self.read_head(stream).await?;
            let head = self.buffer.get(..head_len).unwrap_or_default();
            let response: Response<'_> = self.head.view(head);
            let interim = response.is_interim();
            let (status, framing, keeps_alive) =
                (response.status(), response.framing(method), response.keeps_alive());
            self.forget(head_len);
            if interim {
                continue;
            }
            let len = self.read_body(stream, framing).await?;
            let keeps_alive = keeps_alive && framing != Framing::UntilClose;
            return match self.filled {
                0 => Ok(Answer { status, len, keeps_alive }),
                bytes => Err(Failure::Excess { bytes }),
            };
        }
    }

    async fn read_head<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<usize, Failure> {
        let mut end = HeadEnd::response();
        loop {
            let bytes = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(len) = end.find(bytes, &ResponseHead::LIMITS).map_err(Failure::Head)? {
                let head = bytes.get(..len).unwrap_or_default();
                self.head.parse(head, &ResponseHead::LIMITS).map_err(Failure::Head)?;
                return Ok(len);
            }
            // The buffer is twice as long as the longest head, so there is always room.
            self.fill(stream, self.filled as u64).await?;
        }
    }

    /// The length of the body, which is read and forgotten.
    async fn read_body<S>(&mut self, stream: &mut S, framing: Framing) -> Result<u64, Failure>
    where
        S: AsyncRead + Unpin,
    {
        match framing {
            Framing::None => Ok(0),
            Framing::Length(len) => self.read_len(stream, len).await,
            Framing::Chunked => self.read_chunks(stream).await,
            Framing::UntilClose => self.read_to_end(stream).await,
        }
    }

    async fn read_len<S: AsyncRead + Unpin>(&mut self, stream: &mut S, len: u64) -> Result<u64, Failure> {
        let mut left = len;
        loop {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(self.filled);
            self.forget(taken);
            left -= taken as u64;
            if left == 0 {
                return Ok(len);
            }
            self.fill(stream, len - left).await?;
        }
    }

    async fn read_chunks<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<u64, Failure> {
        let mut chunked = Chunked::decoding();
        let mut len = 0;
        loop {
            let bytes = self.buffer.get_mut(..self.filled).unwrap_or_default();
            let step = chunked.advance(bytes).map_err(Failure::Chunk)?;
            len += step.kept as u64;
            self.forget(step.taken);
            if step.done {
                return Ok(len);
            }
            self.fill(stream, len).await?;
        }
    }

    async fn read_to_end<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<u64, Failure> {
        let mut len = 0;
        loop {
            len += self.filled as u64;
            self.filled = 0;
            match self.fill(stream, len).await {
                Ok(()) => {}
                Err(Failure::Closed { after }) => return Ok(after),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Forgets the first bytes; what follows them moves to the beginning.
    fn forget(&mut self, len: usize) {
        if len < self.filled {
            self.buffer.copy_within(len..self.filled, 0);
        }
        self.filled -= len.min(self.filled);
    }

    async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S, so_far: u64) -> Result<(), Failure> {
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match stream.read(free).await.map_err(Failure::Broken)? {
            0 => Err(Failure::Closed { after: so_far }),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// Feeds `pieces` and an end to a reader.
    async fn read(pieces: &[&[u8]]) -> Result<Answer, Failure> {
        let (mut near, mut far) = tokio::io::duplex(16);
        let write = async {
            for piece in pieces {
                // A reader that has seen enough hangs up, which is no failure of the test.
                if far.write_all(piece).await.is_err() {
                    break;
                }
            }
            drop(far);
        };
        let read = async move { AnswerReader::new().read(&mut near, "GET").await };
        tokio::join!(read, write).0
    }

    fn answer(status: u16, len: u64, keeps_alive: bool) -> Answer {
        Answer { status, len, keeps_alive }
    }

    #[tokio::test]
    async fn every_framing_is_followed_to_its_end() {
        let length = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]).await.unwrap();
        assert_eq!(length, answer(200, 5, true));
        let none = read(&[b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"]).await.unwrap();
        assert_eq!(none, answer(204, 0, false));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(read(&[chunked]).await.unwrap(), answer(200, 5, true));
        let until_close = read(&[b"HTTP/1.1 200 OK\r\n\r\nhello, ", b"world"]).await.unwrap();
        assert_eq!(until_close, answer(200, 12, false));
    }

    #[tokio::test]
    async fn an_interim_answer_is_not_the_answer() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[bytes]).await.unwrap(), answer(403, 0, true));
    }

    #[tokio::test]
    async fn what_is_cut_off_says_after_how_many_bytes() {
        let body = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"]).await;
        assert!(matches!(body, Err(Failure::Closed { after: 3 })), "{body:?}");
        let head = read(&[b"HTTP/1.1 200"]).await;
        assert!(matches!(head, Err(Failure::Closed { after: 12 })), "{head:?}");
        let nothing = read(&[]).await;
        assert!(matches!(nothing, Err(Failure::Closed { after: 0 })), "{nothing:?}");
    }

    #[tokio::test]
    async fn more_than_the_answer_is_a_failure() {
        let more = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy"]).await;
        assert!(matches!(more, Err(Failure::Excess { bytes: 1 })), "{more:?}");
    }

    #[tokio::test]
    async fn what_is_no_http_is_a_failure() {
        let smtp = read(&[b"220 mail.example.com ESMTP\r\n"]).await;
        assert!(matches!(smtp, Err(Failure::Head(_))), "{smtp:?}");
        let chunk = read(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"]).await;
        assert!(matches!(chunk, Err(Failure::Chunk(_))), "{chunk:?}");
    }
}
