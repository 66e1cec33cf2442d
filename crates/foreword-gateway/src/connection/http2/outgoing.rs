//! An answer as HTTP/1.1 writes it, sent as HTTP/2.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use foreword_http1::{HeadEnd, Response, ResponseHead};
use h2::Reason;
use h2::server::SendResponse;

use super::super::http::Body;
use super::answers::Answers;
use super::content::{Content, malformed};
use super::incoming::broken;

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Outgoing<'c> {
    respond: SendResponse<Bytes>,
    answers: &'c Answers,
    /// The method, as the framing of the answer depends on it.
    method: http::Method,
    /// The head, as far as it was written.
    head: Vec<u8>,
    end: HeadEnd,
    /// There, once the head of the final answer is sent.
    content: Option<Content>,
}

impl<'c> Outgoing<'c> {
    pub(super) fn new(respond: SendResponse<Bytes>, method: http::Method, answers: &'c Answers) -> Self {
        Self { respond, answers, method, head: Vec::new(), end: HeadEnd::response(), content: None }
    }

    /// Takes bytes of the answer.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.content {
            Some(content) => content.poll_write(cx, bytes),
            None => Poll::Ready(self.take_head(bytes)),
        }
    }

    /// Waits until the window had room for all that was written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.content.as_mut().map_or(Poll::Ready(Ok(())), |content| content.poll_flush(cx))
    }

    /// Ends the answer where only the end of the stream can tell that it is whole.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.content.as_mut().map_or(Poll::Ready(Ok(())), |content| content.poll_shutdown(cx))
    }

    /// Waits for the client to reset the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let _why = ready!(match &mut self.content {
            Some(content) => content.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        Poll::Ready(io::ErrorKind::ConnectionReset.into())
    }

    /// Ends the stream in a way that nobody can take for a whole answer.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.content {
            Some(content) => content.reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Whether the client has been sent the whole answer.
    pub(super) fn has_ended(&self) -> bool {
        self.content.as_ref().is_some_and(Content::has_ended)
    }

    /// Takes bytes of a head, up to its end.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut index = self.answers.index();
        // Mostly it is written at once, and what was written last time was whole.
        if self.head.is_empty()
            && let Some(len) = index.parse_at_once(bytes, &ResponseHead::LIMITS)
        {
            self.send_head(&index.view(bytes.get(..len).unwrap_or_default()))?;
            return Ok(len);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(len) = self.end.find(&self.head, &ResponseHead::LIMITS).map_err(malformed)? else {
            return Ok(bytes.len());
        };
        self.head.truncate(len);
        let head = std::mem::take(&mut self.head);
        index.parse(&head, &ResponseHead::LIMITS).map_err(malformed)?;
        self.send_head(&index.view(&head))?;
        Ok(len.saturating_sub(before))
    }

    fn send_head(&mut self, response: &Response<'_>) -> io::Result<()> {
        let is_switch = response.status() == 101;
        if response.is_interim() && !is_switch {
            self.end = HeadEnd::response();
            let told = self.answers.told(response)?;
            return self.respond.send_informational(told).map_err(broken);
        }
        let framing = response.framing(self.method.as_str());
        let body = if is_switch { Body::UntilClose } else { Body::unframed(framing) };
        let told = self.answers.told(response)?;
        let stream = self.respond.send_response(told, body.is_done()).map_err(broken)?;
        self.content = Some(Content::new(stream, body));
        self.answers.one_begins();
        Ok(())
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        if self.content.is_some() {
            self.answers.one_is_over();
        }
    }
}
