//! Answers of our own: short, and to a stranger no more than their status.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::SystemTime;

use super::date::Date;
use super::fields::{Asked, Persistence, write_persistence};
use super::refused::Refused;
use crate::policy::compress::Coding;
use crate::policy::pages::ErrorPage;
use crate::policy::rules::Respond;
use foreword_http1::{Request, Version, list};

/// An answer of our own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    pub(super) location: Option<&'a [u8]>,
    /// After how many seconds the client may come again.
    pub(super) retry_after: Option<u64>,
    /// Which password is asked for.
    pub(super) challenge: Option<&'a str>,
    /// What tells this body from others.
    pub(super) etag: Option<&'a str>,
    /// Whether that is the tag of what the body stands for, not of its bytes.
    pub(super) is_weak: bool,
    /// Whether others may get it otherwise, by what they accept.
    pub(super) varies: bool,
    pub(super) coding: Option<Coding>,
    pub(super) body: Content<'a>,
}

/// The body of an answer of our own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// The status and its phrase.
    Phrase,
    /// What the operator wants to be shown in its place.
    Page(&'a ErrorPage),
    /// Written behind the head, from where it is.
    Bytes(&'a [u8]),
}

impl<'a> Local<'a> {
    /// A page that says its status.
    pub(super) fn page(status: u16) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            location: None,
            retry_after: None,
            challenge: None,
            etag: None,
            is_weak: false,
            varies: false,
            coding: None,
            body: Content::Phrase,
        }
    }

    /// The page of a refusal, which says no more than its status, and when to come again.
    pub(super) fn of(refused: &'a Refused) -> Self {
        let retry_after = match refused {
            // Rounded up: whoever comes then is welcome.
            Refused::Limited { over, .. } => over.wait().map(|wait| wait.as_millis().div_ceil(1000) as u64),
            Refused::PasswordsWaiting { .. } => Some(1),
            _ => None,
        };
        let challenge = match refused {
            Refused::WrongPassword { challenge, .. } => Some(&**challenge),
            _ => None,
        };
        Self { retry_after, challenge, ..Self::page(refused.status()) }
    }

    /// A page that asks for a password.
    pub(super) fn challenge(challenge: &'a str) -> Self {
        Self { challenge: Some(challenge), ..Self::page(401) }
    }

    /// What a CA asked for, RFC 8555 §8.3.
    pub(super) fn proof(answer: &'a str) -> Self {
        let body = Content::Bytes(answer.as_bytes());
        Self { content_type: "application/octet-stream", body, ..Self::page(200) }
    }

    /// A page that sends the client elsewhere.
    pub(super) fn redirect(status: u16, location: &'a [u8]) -> Self {
        Self { location: Some(location), ..Self::page(status) }
    }

    /// An answer of the operator's, or no more than that the client has it already, RFC 9110 §13.1.2.
    pub(super) fn respond(respond: &'a Respond, request: &Request<'_>) -> Self {
        let etag = respond.etag.as_deref().filter(|_| respond.status == 200);
        let reads = matches!(request.method(), "GET" | "HEAD");
        let known = etag.is_some_and(|etag| {
            let mut fields = request.field("if-none-match");
            reads && fields.any(|known| list(known).any(|known| is_same(known, etag.as_bytes())))
        });
        Self {
            content_type: &respond.content_type,
            etag,
            body: Content::Bytes(&respond.body),
            ..Self::page(if known { 304 } else { respond.status })
        }
    }

    /// The same answer, showing the page that the operator has for it.
    pub(super) fn showing(self, page: impl FnOnce(u16) -> Option<&'a ErrorPage>) -> Self {
        let is_bare = matches!(self.body, Content::Phrase) && self.status >= 400;
        match is_bare.then(|| page(self.status)).flatten() {
            Some(page) => Self { content_type: page.content_type(), body: Content::Page(page), ..self },
            None => self,
        }
    }

    /// The part of the body that [`write`](Self::write) leaves to be written behind it.
    pub(super) fn rest(&self, asked: Option<&Asked<'_>>) -> &'a [u8] {
        match self.body {
            Content::Bytes(bytes) if self.sends_content(asked) => bytes,
            _ => &[],
        }
    }

    fn sends_content(&self, asked: Option<&Asked<'_>>) -> bool {
        has_content(self.status) && asked.is_none_or(|asked| asked.request().method() != "HEAD")
    }

    /// Writes the answer but for its [`rest`](Self::rest), and tells how much of it is the head. `asked` is missing where
    /// the request could not even be read.
    pub(super) fn write(
        &self,
        asked: Option<&Asked<'_>>,
        persistence: Persistence,
        date: &Date,
        out: &mut Vec<u8>,
    ) -> usize {
        out.clear();
        let (status, content) = (self.status, self.content(asked));
        let replaced =
            |name: &str| asked.is_some_and(|asked| asked.changes.replace_in_response(name.as_bytes()));
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "HTTP/1.1 {status} {}\r\n", phrase(status));
        // RFC 9110 §6.6.1: whoever has a clock says when it answered.
        if !replaced("Date") {
            date.with(SystemTime::now(), |date| super::fields::write_field(b"Date", date.as_bytes(), out));
        }
        if !replaced("Content-Type") && has_content(status) {
            let _ = write!(out, "Content-Type: {}\r\n", self.content_type);
        }
        if has_content(status) {
            let _ = write!(out, "Content-Length: {}\r\n", content.len());
        }
        if let Some(etag) = self.etag.filter(|_| !replaced("ETag")) {
            let _ = write!(out, "ETag: {}{etag}\r\n", if self.is_weak { "W/" } else { "" });
        }
        if self.varies && !replaced("Vary") {
            out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        }
        if let Some(coding) = self.coding {
            let _ = write!(out, "Content-Encoding: {}\r\n", coding.name());
        }
        if let Some(location) = self.location.filter(|_| !replaced("Location")) {
            super::fields::write_field(b"Location", location, out);
        }
        if let Some(challenge) = self.challenge.filter(|_| !replaced("WWW-Authenticate")) {
            let _ = write!(out, "WWW-Authenticate: {challenge}\r\n");
        }
        if let Some(seconds) = self.retry_after.filter(|_| !replaced("Retry-After")) {
            let _ = write!(out, "Retry-After: {seconds}\r\n");
        }
        write_persistence(persistence, asked.map_or(Version::Http11, |asked| asked.request().version()), out);
        if let Some(asked) = asked {
            asked.write_set_in_response(out);
        }
        out.extend_from_slice(b"\r\n");
        let head = out.len();
        // A `rest` may be large: it is not copied here, but sent behind this from where it is kept.
        if self.rest(asked).is_empty() && self.sends_content(asked) {
            out.extend_from_slice(&content);
        }
        head
    }

    /// The whole body, whether it is sent or not.
    fn content(&self, asked: Option<&Asked<'_>>) -> Cow<'a, [u8]> {
        match self.body {
            Content::Phrase => format!("{} {}\n", self.status, phrase(self.status)).into_bytes().into(),
            Content::Page(page) => {
                let mut written = Vec::new();
                page.write(self.status, asked.map(|asked| asked.id.as_bytes()), &mut written);
                written.into()
            }
            Content::Bytes(bytes) => bytes.into(),
        }
    }
}

/// Whether a tag of `If-None-Match` stands for this one; `W/` makes no difference there, RFC 9110 §8.8.3.2.
fn is_same(known: &[u8], etag: &[u8]) -> bool {
    known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag
}

fn has_content(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

/// The phrase of a status; one that is not registered has none.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        other => match other / 100 {
            2 => "OK",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}
