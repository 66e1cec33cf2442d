//! The body of an HTTP/2 request, told as HTTP/1.1 frames it: read no faster than it is taken.

use std::io::{self, Write as _};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
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
    /// And then this, which was gathered: bytes, not pieces, so that it weighs what it holds however small the frames were.
    gathered: BytesMut,
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
            gathered: BytesMut::new(),
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
    /// wait: those of somebody who streams short messages to a slow endpoint do. So that guard is lifted here, and the window
    /// takes its place: none of it is given back, and what is copied takes no more than twice its room.
    pub(super) fn gather(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Data {
            // The end, and whatever went wrong, comes again.
            while let Poll::Ready(Some(Ok(piece))) = self.body.poll_data(cx) {
                self.gathered.extend_from_slice(&piece);
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
        if !self.gathered.is_empty() {
            let all = std::mem::take(&mut self.gathered).freeze();
            self.take(all);
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
            if self.data.is_empty() {
                // An empty piece would hold all that it was cut from.
                self.data = Bytes::new();
            }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::Request;
    use tokio::io::duplex;

    use super::super::{CONNECTION_WINDOW, STREAM_WINDOW};
    use super::*;

    /// Frames of five bytes each, as many as fit into a stream's window.
    const FRAMES: usize = 13_000;

    #[tokio::test]
    async fn what_is_gathered_of_thousands_of_small_frames_weighs_no_more_than_twice_its_bytes() {
        // Far fewer frames than `h2` lets wait come through it at a time.
        let (near, far) = duplex(2048);
        let client = async {
            let (mut ask, connection) = h2::client::handshake(near).await.unwrap();
            let said = async {
                let (_answer, mut body) =
                    ask.send_request(Request::post("http://a/").body(()).unwrap(), false).unwrap();
                for n in 1..=FRAMES {
                    body.send_data(Bytes::from_static(b"01234"), n == FRAMES).unwrap();
                }
                std::future::pending::<()>().await;
            };
            tokio::join!(connection, said).0
        };
        let server = async {
            let mut builder = h2::server::Builder::new();
            builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
            let mut http2 = builder.handshake::<_, Bytes>(far).await.unwrap();
            let (request, _respond) = http2.accept().await.unwrap().unwrap();
            let mut incoming = Incoming::new(request.into_body(), Framing::Chunked);
            poll_fn(|cx| {
                // It goes on to the end, or fails here.
                assert!(http2.poll_accept(cx).map(|accepted| accepted.map(drop)).is_pending());
                incoming.gather(cx);
                if incoming.has_come() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            (incoming, http2)
        };
        let (mut incoming, _http2) = tokio::select! {
            _ended = client => panic!("the connection has ended"),
            come = server => come,
        };
        assert_eq!(incoming.gathered.len(), 5 * FRAMES);
        assert!(incoming.gathered.capacity() <= 2 * STREAM_WINDOW as usize);
        let mut read = vec![0; 6 * FRAMES];
        let mut buffer = ReadBuf::new(&mut read);
        poll_fn(|cx| incoming.poll_read(cx, &mut buffer)).await.unwrap();
        let all = [b"fde8\r\n".to_vec(), b"01234".repeat(FRAMES), b"\r\n0\r\n\r\n".to_vec()].concat();
        assert!(buffer.filled() == all, "{} bytes", buffer.filled().len());
        assert!(incoming.has_ended());
    }
}
