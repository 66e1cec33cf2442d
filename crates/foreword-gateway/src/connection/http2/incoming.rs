//! The body of an HTTP/2 request, told as HTTP/1.1 frames it: read no faster than it is taken.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::HeaderMap;
use tokio::io::ReadBuf;

use super::told::Framing;

/// The body of one request.
#[derive(Debug)]
pub(super) struct Incoming {
    body: RecvStream,
    framing: Framing,
    stage: Stage,
    /// What is read next: the line before a chunk, or all that ends the body.
    line: Vec<u8>,
    read_of_line: usize,
    /// Then this, as it came.
    data: Bytes,
    /// And then these, which were gathered.
    gathered: VecDeque<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Data,
    Trailers,
    Ended,
}

impl Incoming {
    pub(super) fn new(body: RecvStream, framing: Framing) -> Self {
        let stage = if framing == Framing::None { Stage::Ended } else { Stage::Data };
        Self {
            body,
            framing,
            stage,
            line: Vec::new(),
            read_of_line: 0,
            data: Bytes::new(),
            gathered: VecDeque::new(),
        }
    }

    /// Whether there is nothing more to read.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended && self.unread_line().is_empty() && self.data.is_empty()
    }

    /// The number of its stream.
    pub(super) fn stream_id(&self) -> u32 {
        self.body.stream_id().as_u32()
    }

    /// Whether all of it has come, read or not.
    pub(super) fn has_come(&self) -> bool {
        self.stage == Stage::Ended || self.body.is_end_stream()
    }

    /// Throws away what is left of the body, until it has ended or is broken off.
    pub(super) fn poll_thrown_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(_unwanted)) = ready!(self.body.poll_data(cx)) {}
        Poll::Ready(())
    }

    /// Takes what has come from `h2`, which keeps a quarter of a kilobyte for the smallest piece, and ends connections on which many
    /// wait: those of somebody who streams short messages to a slow endpoint do. The window bounds them as before, since none of
    /// it is given back here.
    pub(super) fn gather(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Data {
            // The end, and whatever went wrong, comes again.
            while let Poll::Ready(Some(Ok(piece))) = self.body.poll_data(cx) {
                self.gathered.push_back(piece);
            }
        }
    }

    fn unread_line(&self) -> &[u8] {
        self.line.get(self.read_of_line..).unwrap_or_default()
    }

    /// Reads all that is at hand and has room, however many pieces it came in, or waits for what comes next; nothing where the
    /// body has ended.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            self.give(buffer)?;
            if buffer.remaining() == 0 || self.has_ended() {
                return Poll::Ready(Ok(()));
            }
            match self.poll_next(cx) {
                Poll::Ready(Ok(())) => {}
                // What came before it goes first. Whatever went wrong comes again.
                Poll::Pending | Poll::Ready(Err(_)) if buffer.filled().len() > before => {
                    return Poll::Ready(Ok(()));
                }
                poll => return poll,
            }
        }
    }

    /// Waits for the next piece, or for the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.gathered.pop_front() {
            self.take(piece);
            return Poll::Ready(Ok(()));
        }
        match self.stage {
            Stage::Data => match ready!(self.body.poll_data(cx)) {
                Some(data) => self.take(data.map_err(broken)?),
                None => self.stage = Stage::Trailers,
            },
            Stage::Trailers => {
                let trailers = ready!(self.body.poll_trailers(cx)).map_err(broken)?;
                self.stage = Stage::Ended;
                self.end(trailers.as_ref());
            }
            Stage::Ended => {}
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.framing == Framing::Chunked {
            // The line that ends the chunk before goes with the one that begins the next.
            let mut line = std::mem::take(&mut self.line);
            let is_first = line.is_empty();
            line.clear();
            // Writing to a `Vec` cannot fail.
            let _ = write!(line, "{}{:x}\r\n", if is_first { "" } else { "\r\n" }, data.len());
            (self.line, self.read_of_line) = (line, 0);
        }
        self.data = data;
    }

    /// Ends a body in chunks. One with a length has no place for trailers, which HTTP/1.1 lets a proxy drop, RFC 9110 §6.5.1.
    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if self.framing != Framing::Chunked {
            return;
        }
        let is_empty = self.line.is_empty();
        self.line.clear();
        self.read_of_line = 0;
        self.line.extend_from_slice(if is_empty { b"0\r\n" } else { b"\r\n0\r\n" });
        for (name, value) in trailers.into_iter().flatten() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                self.line.extend_from_slice(part);
            }
        }
        self.line.extend_from_slice(b"\r\n");
    }

    /// Gives what is at hand. What is taken of the data may come again as window.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let line = self.unread_line();
        let len = line.len().min(buffer.remaining());
        buffer.put_slice(line.get(..len).unwrap_or_default());
        self.read_of_line += len;
        if self.unread_line().is_empty() {
            let len = self.data.len().min(buffer.remaining());
            buffer.put_slice(self.data.get(..len).unwrap_or_default());
            self.data.advance(len);
            if len > 0 {
                self.body.flow_control().release_capacity(len).map_err(broken)?;
            }
        }
        Ok(())
    }
}

/// Whatever `h2` says, the client has broken the request off or broken a rule: there is no more of it.
pub(super) fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
