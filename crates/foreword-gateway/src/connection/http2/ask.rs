//! A request to an endpoint that speaks HTTP/2: written as HTTP/1.1 frames it, and answered so.

use std::fmt;
use std::future::Future as _;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use foreword_http1::{HeadEnd, Limits, Name, Request, RequestHead, list};
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::response::Parts;
use http::{Method, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::http::Body;
use super::content::{Content, append, malformed};
use super::incoming::{Incoming, broken};
use super::told::Framing;
use crate::stream::{Carried, Stream as Socket};
use crate::upstream::streams::{Multiplexed, Turn};

/// One request and its answer.
pub(in crate::connection) struct Ask {
    requests: SendRequest<Bytes>,
    is_secure: bool,
    /// The head of the request, as far as it was written.
    head: Vec<u8>,
    end: HeadEnd,
    method: Method,
    /// There, once the head is sent.
    content: Option<Content>,
    response: Option<ResponseFuture>,
    /// The head of the answer, and how much of it was read.
    line: Vec<u8>,
    read_of_line: usize,
    body: Option<Incoming>,
    /// Why the request was not sent, until that is told to whoever waits for the answer.
    unsent: Option<io::Error>,
    turn: Turn,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Ask {
    /// A request that goes over `connection`. Whether that is under TLS is told the endpoint as its scheme.
    pub(in crate::connection) fn over(connection: &Multiplexed, is_secure: bool) -> Self {
        let (requests, turn) = connection.enter();
        Self {
            requests,
            is_secure,
            head: Vec::new(),
            end: HeadEnd::request(),
            method: Method::GET,
            content: None,
            response: None,
            line: Vec::new(),
            read_of_line: 0,
            body: None,
            unsent: None,
            turn,
        }
    }

    /// Takes bytes of a head, up to its end, with which the request is sent.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(len) = self.end.find(&self.head, &LIMITS).map_err(malformed)? else {
            return Ok(bytes.len());
        };
        self.head.truncate(len);
        let head = std::mem::take(&mut self.head);
        let mut index = RequestHead::default();
        index.parse(&head, &LIMITS).map_err(malformed)?;
        let request = index.view(&head);
        let body = Body::unframed(request.framing());
        let told = told(&request, self.is_secure)?;
        self.method = told.method().clone();
        let (response, stream) = self.requests.send_request(told, body.is_done()).map_err(unsent)?;
        self.content = Some(Content::new(stream, body));
        self.response = Some(response);
        Ok(len.saturating_sub(before))
    }

    /// Waits for the next head of the answer, interim ones first.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The same task writes the request, so this is asked again once it is sent.
        let Some(response) = &mut self.response else {
            return self.unsent.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
        };
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let (head, ()) = interim.map_err(refused)?.into_parts();
            self.turn.answered();
            self.write_head(&head, Framing::Tunnel);
            return Poll::Ready(Ok(()));
        }
        let (head, body) = ready!(Pin::new(response).poll(cx)).map_err(refused)?.into_parts();
        self.turn.answered();
        let framing = if body.is_end_stream() {
            Framing::None
        } else if head.headers.contains_key(http::header::CONTENT_LENGTH) {
            Framing::Length
        } else {
            Framing::Chunked
        };
        self.write_head(&head, framing);
        self.body = Some(Incoming::new(body, framing));
        self.response = None;
        Poll::Ready(Ok(()))
    }

    /// Writes a head as HTTP/1.1 would. An interim one has no framing, as a tunnel has none.
    fn write_head(&mut self, head: &Parts, framing: Framing) {
        self.line.clear();
        self.read_of_line = 0;
        // Writing to a `Vec` cannot fail.
        let _ = write!(self.line, "HTTP/1.1 {} \r\n", head.status.as_u16());
        let mut has_length = false;
        for (name, value) in &head.headers {
            let known = Name::of(name.as_str().as_bytes());
            has_length |= known == Name::ContentLength;
            if known == Name::ContentLength || !known.is_for_one_hop() {
                for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                    self.line.extend_from_slice(part);
                }
            }
        }
        let may_have_content = self.method != Method::HEAD && !matches!(head.status.as_u16(), 204 | 304);
        match framing {
            Framing::Chunked => self.line.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::None if may_have_content && !has_length => {
                self.line.extend_from_slice(b"Content-Length: 0\r\n");
            }
            Framing::None | Framing::Length | Framing::Tunnel => {}
        }
        self.line.extend_from_slice(b"\r\n");
    }
}

/// Tells apart a request that its endpoint has refused, one that it says nobody has looked at, and one that was lost.
fn refused(error: h2::Error) -> io::Error {
    let is_of_the_endpoint = error.is_remote();
    // It goes away, and this one came too late for it; or it had no room for it. RFC 9113 §8.7.
    let is_unseen = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    if is_of_the_endpoint && is_unseen {
        io::Error::new(UNSEEN, error)
    } else if is_of_the_endpoint && error.is_reset() {
        io::Error::new(io::ErrorKind::ConnectionAborted, error)
    } else {
        broken(error)
    }
}

/// Of a request that never left, since its connection takes no more of them.
fn unsent(error: h2::Error) -> io::Error {
    let is_of_the_connection = error.is_go_away() || error.is_io();
    if is_of_the_connection { io::Error::new(UNSENT, error) } else { malformed(error) }
}

/// How a read fails where the endpoint has not looked at the request.
pub(in crate::connection) const UNSEEN: io::ErrorKind = io::ErrorKind::ConnectionRefused;
/// The same, where nothing of it was taken either.
pub(in crate::connection) const UNSENT: io::ErrorKind = io::ErrorKind::NotConnected;

/// The head in the words of HTTP/2: `Host` is the authority, and what holds for one connection of HTTP/1.1 stays behind.
fn told(request: &Request<'_>, is_secure: bool) -> io::Result<http::Request<()>> {
    let uri = Uri::builder()
        .scheme(if is_secure { "https" } else { "http" })
        .authority(request.authority().unwrap_or_default())
        .path_and_query(request.raw_target())
        .build()
        .map_err(malformed)?;
    let mut told = http::Request::new(());
    *told.method_mut() = request.method().parse().map_err(malformed)?;
    *told.uri_mut() = uri;
    for field in request.fields() {
        let passes = match field.known {
            Name::Host => false,
            Name::ContentLength => true,
            Name::Te => list(field.value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
            known => !known.is_for_one_hop(),
        };
        if passes {
            let value = if field.known == Name::Te { b"trailers".as_slice() } else { field.value };
            append(told.headers_mut(), field.name, value)?;
        }
    }
    Ok(told)
}

impl Carried for Ask {
    /// Its bytes are between others on their socket.
    fn bare(&self) -> Option<&Socket> {
        None
    }
}

impl AsyncRead for Ask {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let line = this.line.get(this.read_of_line..).unwrap_or_default();
            if !line.is_empty() {
                let len = line.len().min(buffer.remaining());
                buffer.put_slice(line.get(..len).unwrap_or_default());
                this.read_of_line += len;
                return Poll::Ready(Ok(()));
            }
            match &mut this.body {
                Some(body) => return body.poll_read(cx, buffer),
                None => ready!(this.poll_head(cx))?,
            }
        }
    }
}

impl AsyncWrite for Ask {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.content {
            Some(content) => content.poll_write(cx, bytes),
            None => {
                // Until the endpoint has room for one more request.
                let ready = ready!(this.requests.poll_ready(cx)).map_err(unsent);
                Poll::Ready(ready.and_then(|()| this.take_head(bytes)).map_err(|error| {
                    let kind = error.kind();
                    this.unsent = Some(error);
                    kind.into()
                }))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().content.as_mut().map_or(Poll::Ready(Ok(())), |content| content.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().content.as_mut().map_or(Poll::Ready(Ok(())), |content| content.poll_shutdown(cx))
    }
}

/// What we write ourselves is bounded by what was read.
const LIMITS: Limits = Limits { head: 4 * 1024 * 1024, fields: 4096, target: 2 * 1024 * 1024 };
