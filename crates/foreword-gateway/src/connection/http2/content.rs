//! The content of a message that HTTP/1.1 frames, on its way into a stream: no more of it than the other side's window has
//! room for.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::http::Body;
use super::incoming::broken;

/// What follows a head.
#[derive(Debug)]
pub(super) struct Content {
    stream: SendStream<Bytes>,
    stage: Stage,
    /// What the window had no room for yet.
    at_hand: Bytes,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Body(Body),
    /// All is written; the last of it may still wait for the window.
    Ending,
    Ended,
}

impl Content {
    /// Content in the framing of `body`; where that is done, the stream has ended with the head.
    pub(super) fn new(stream: SendStream<Bytes>, body: Body) -> Self {
        let stage = if body.is_done() { Stage::Ended } else { Stage::Body(body) };
        Self { stream, stage, at_hand: Bytes::new(), trailers: Vec::new() }
    }

    /// Takes bytes of it. What the window has no room for is waited for with the next, or the flush.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let most = self.room(bytes.len());
        let Stage::Body(body) = &mut self.stage else {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        let mut piece = bytes.get(..most).unwrap_or(bytes).to_vec();
        let step = body.take(&mut piece).map_err(malformed)?;
        let content = step.kept.saturating_sub(step.trailers);
        self.trailers.extend_from_slice(piece.get(content..step.kept).unwrap_or_default());
        if step.done {
            self.stage = Stage::Ending;
        }
        piece.truncate(content);
        self.at_hand = Bytes::from(piece);
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(step.taken))
    }

    /// How much of so many bytes is taken now: of many, no more than a closed window lets wait here.
    fn room(&mut self, wanted: usize) -> usize {
        if wanted <= AHEAD {
            return wanted;
        }
        self.stream.reserve_capacity(wanted.min(PIECE));
        self.stream.capacity().clamp(AHEAD, PIECE)
    }

    /// Sends what is at hand as the window allows, and ends the stream behind the last of it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.at_hand.is_empty() {
            self.stream.reserve_capacity(self.at_hand.len());
            let room = match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(room) => room.map_err(broken)?,
                    None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                },
                room => room,
            };
            let piece = self.at_hand.split_to(room.min(self.at_hand.len()));
            let is_last =
                self.at_hand.is_empty() && self.trailers.is_empty() && matches!(self.stage, Stage::Ending);
            self.stream.send_data(piece, is_last).map_err(broken)?;
            if is_last {
                self.stage = Stage::Ended;
            }
        }
        if matches!(self.stage, Stage::Ending) {
            self.stage = Stage::Ended;
            if self.trailers.is_empty() {
                self.stream.send_data(Bytes::new(), true).map_err(broken)?;
            } else {
                self.stream.send_trailers(trailers(&self.trailers)?).map_err(broken)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends it where only the end of the stream can tell that it is whole.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.stage, Stage::Body(Body::UntilClose)) {
            self.stage = Stage::Ending;
        }
        self.poll_flush(cx)
    }

    /// Waits for the other side to reset the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(cx)
    }

    /// Ends the stream in a way that nobody can take for a whole message.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Whether all of it was sent.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }
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

pub(super) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> io::Result<()> {
    let (name, value) = field(name, value)?;
    map.try_append(name, value).map_err(malformed)?;
    Ok(())
}

pub(super) fn field(name: &[u8], value: &[u8]) -> io::Result<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name).map_err(malformed)?;
    Ok((name, HeaderValue::from_bytes(value).map_err(malformed)?))
}

pub(super) fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What one stream takes at once: one frame.
const PIECE: usize = 16 * 1024;
/// What it takes ahead of its window: most short answers, and the last of a body, which may be nothing but its end.
const AHEAD: usize = 1024;
