//! An answer as HTTP/1.1 writes it, sent as HTTP/2: no more of it is taken than the client's window has room for.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use foreword_http1::{HeadEnd, Name, Response, ResponseHead};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::http::Body;
use super::incoming::broken;

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Outgoing {
    respond: SendResponse<Bytes>,
    /// There, once the head of the final answer is sent.
    stream: Option<SendStream<Bytes>>,
    /// The method, as the framing of the answer depends on it.
    method: http::Method,
    stage: Stage,
    /// The head, as far as it was written.
    head: Vec<u8>,
    /// Content that the window had no room for yet.
    content: Bytes,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Head(HeadEnd),
    Body(Body),
    /// All is written; the last of it may still wait for the window.
    Ending,
    Ended,
}

impl Outgoing {
    pub(super) fn new(respond: SendResponse<Bytes>, method: http::Method) -> Self {
        Self {
            respond,
            stream: None,
            method,
            stage: Stage::Head(HeadEnd::response()),
            head: Vec::new(),
            content: Bytes::new(),
            trailers: Vec::new(),
        }
    }

    /// Takes bytes of the answer.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_content(cx))?;
        let taken = match &mut self.stage {
            Stage::Head(_) => self.take_head(bytes)?,
            Stage::Body(_) => self.take_body(bytes)?,
            Stage::Ending | Stage::Ended => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        };
        // What the window has no room for is waited for with the next write, or the flush.
        if let Poll::Ready(Err(error)) = self.poll_content(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    /// Waits until the window had room for all that was written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_content(cx)
    }

    /// Ends the answer where only the end of the stream can tell that it is whole.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.stage, Stage::Body(Body::UntilClose)) {
            self.stage = Stage::Ending;
        }
        self.poll_content(cx)
    }

    /// Waits for the client to reset the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let reset = match &mut self.stream {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| io::ErrorKind::ConnectionReset.into())
    }

    /// Ends the stream in a way that nobody can take for a whole answer.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.stream {
            Some(stream) => stream.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Whether the client has been sent the whole answer.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Takes bytes of a head, up to its end.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Stage::Head(end) = &mut self.stage else { return Ok(0) };
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(len) = end.find(&self.head, &ResponseHead::LIMITS).map_err(malformed)? else {
            return Ok(bytes.len());
        };
        self.head.truncate(len);
        let head = std::mem::take(&mut self.head);
        let mut index = ResponseHead::default();
        index.parse(&head, &ResponseHead::LIMITS).map_err(malformed)?;
        self.send_head(&index.view(&head))?;
        Ok(len.saturating_sub(before))
    }

    fn send_head(&mut self, response: &Response<'_>) -> io::Result<()> {
        let is_switch = response.status() == 101;
        if response.is_interim() && !is_switch {
            self.stage = Stage::Head(HeadEnd::response());
            return self.respond.send_informational(told(response)?).map_err(broken);
        }
        // For CONNECT, any answer of success would open the tunnel; the GET that it became upstream has an end.
        let body =
            if is_switch { Body::UntilClose } else { Body::unframed(response.framing(self.method.as_str())) };
        let ends = body.is_done();
        self.stream = Some(self.respond.send_response(told(response)?, ends).map_err(broken)?);
        self.stage = if ends { Stage::Ended } else { Stage::Body(body) };
        Ok(())
    }

    fn take_body(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Stage::Body(body) = &mut self.stage else { return Ok(0) };
        let mut piece = bytes.get(..PIECE).unwrap_or(bytes).to_vec();
        let step = body.take(&mut piece).map_err(malformed)?;
        let content = step.kept.saturating_sub(step.trailers);
        self.trailers.extend_from_slice(piece.get(content..step.kept).unwrap_or_default());
        if step.done {
            self.stage = Stage::Ending;
        }
        piece.truncate(content);
        self.content = Bytes::from(piece);
        Ok(step.taken)
    }

    /// Sends the content at hand as the window allows, and ends the stream behind the last of it.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        while !self.content.is_empty() {
            stream.reserve_capacity(self.content.len());
            let room = match stream.capacity() {
                0 => match ready!(stream.poll_capacity(cx)) {
                    Some(room) => room.map_err(broken)?,
                    None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                },
                room => room,
            };
            let piece = self.content.split_to(room.min(self.content.len()));
            let is_last =
                self.content.is_empty() && self.trailers.is_empty() && matches!(self.stage, Stage::Ending);
            stream.send_data(piece, is_last).map_err(broken)?;
            if is_last {
                self.stage = Stage::Ended;
            }
        }
        if matches!(self.stage, Stage::Ending) {
            self.stage = Stage::Ended;
            if self.trailers.is_empty() {
                stream.send_data(Bytes::new(), true).map_err(broken)?;
            } else {
                stream.send_trailers(trailers(&self.trailers)?).map_err(broken)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The head in the words of HTTP/2. What holds for one connection of HTTP/1.1 stays behind, RFC 9113 §8.2.2.
fn told(response: &Response<'_>) -> io::Result<http::Response<()>> {
    // Whoever opened a WebSocket by CONNECT is told of success, RFC 8441 §5.
    let is_switch = response.status() == 101;
    let status = if is_switch { 200 } else { response.status() };
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(status).map_err(malformed)?;
    for field in response.fields() {
        let passes = match field.known {
            Name::ContentLength => true,
            known => !known.is_for_one_hop(),
        };
        let is_accept = is_switch && field.is("sec-websocket-accept");
        if passes && !is_accept && !response.is_named_in_connection(field.name) {
            append(answer.headers_mut(), field.name, field.value)?;
        }
    }
    Ok(answer)
}

/// The trailers, which were written as lines.
fn trailers(lines: &[u8]) -> io::Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty())
    {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        append(&mut map, name, value.trim_ascii())?;
    }
    Ok(map)
}

fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> io::Result<()> {
    let name = HeaderName::from_bytes(name).map_err(malformed)?;
    let value = HeaderValue::from_bytes(value).map_err(malformed)?;
    map.try_append(name, value).map_err(malformed)?;
    Ok(())
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What one stream takes of an answer ahead of its window: one frame.
const PIECE: usize = 16 * 1024;
