//! The HTTP of a check: a request, and what its answer says.

use std::fmt::Write as _;

use foreword_http1::{Chunked, Framing, HeadEnd, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::once::{Fault, shown};
use crate::policy::health::{Body, HttpCheck};
use crate::upstream::endpoints::Address;

/// The request of a check.
pub(super) fn request(check: &HttpCheck, address: &Address) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nHost: ", check.method, check.path);
    // Writing to a string cannot fail.
    let _ = match (&check.host, address) {
        (Some(host), _) => write!(text, "{host}"),
        (None, Address::Inet(address)) => write!(text, "{address}"),
        (None, Address::Unix(_)) => write!(text, "localhost"),
    };
    text.push_str("\r\nUser-Agent: foreword-health\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    text.into_bytes()
}

/// Reads the answer, as far as it takes to tell whether it is a good one.
pub(super) async fn judge(source: &mut (impl AsyncRead + Unpin), check: &HttpCheck) -> Result<(), Fault> {
    let mut buffer = Vec::with_capacity(4096);
    let (status, framing) = read_final_head(source, &mut buffer, &check.method).await?;
    if !check.status.hold(status) {
        return Err(Fault::Other { expected: format!("status {}", check.status), found: status.to_string() });
    }
    match &check.body {
        Some(body) => judge_body(source, buffer, framing, body).await,
        None => Ok(()),
    }
}

/// Reads heads until one is not interim; what came behind it stays in `buffer`.
async fn read_final_head(
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    method: &str,
) -> Result<(u16, Framing), Fault> {
    let mut response = ResponseHead::default();
    for _ in 0..MOST_INTERIM {
        let len = read_head(source, buffer).await?;
        let head: Vec<u8> = buffer.drain(..len).collect();
        response.parse(&head, &ResponseHead::LIMITS).map_err(Fault::Unsound)?;
        let view = response.view(&head);
        if !view.is_interim() {
            return Ok((view.status(), view.framing(method)));
        }
    }
    Err(Fault::Other { expected: "an HTTP answer".into(), found: "interim ones without end".into() })
}

async fn read_head(source: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<usize, Fault> {
    let mut end = HeadEnd::response();
    loop {
        match end.find(buffer, &ResponseHead::LIMITS) {
            Ok(Some(len)) => return Ok(len),
            Ok(None) => {}
            Err(fault) => return Err(Fault::Unsound(fault)),
        }
        if !read(source, buffer).await? {
            return Err(Fault::Closed { awaited: AN_ANSWER, after: buffer.len() });
        }
    }
}

/// Reads more; false at the end.
async fn read(source: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<bool, Fault> {
    buffer.reserve(4096);
    let read = source.take(4096).read_buf(buffer).await;
    read.map(|len| len > 0).map_err(|error| Fault::Broken { awaited: AN_ANSWER, error })
}

async fn judge_body(
    source: &mut (impl AsyncRead + Unpin),
    mut raw: Vec<u8>,
    framing: Framing,
    expected: &Body,
) -> Result<(), Fault> {
    let mut content = Content { framing, chunked: Chunked::decoding(), bytes: Vec::new(), is_whole: false };
    loop {
        content.take(&mut raw)?;
        let is_over = content.is_whole || content.bytes.len() >= MOST_BODY;
        let holds = match expected {
            Body::Holds(text) => memchr::memmem::find(&content.bytes, text.as_bytes()).is_some(),
            // `$` is the end, so the end must have come.
            Body::Matches(pattern) => is_over && pattern.is_in(&content.bytes),
        };
        if holds {
            return Ok(());
        }
        if is_over {
            let expected = format!("{expected} in the body");
            return Err(Fault::Other { expected, found: shown(&content.bytes) });
        }
        if !read(source, &mut raw).await? {
            if framing != Framing::UntilClose {
                return Err(Fault::Closed { awaited: "the whole body", after: content.bytes.len() });
            }
            content.is_whole = true;
        }
    }
}

/// The content of a body, as far as it has come.
struct Content {
    framing: Framing,
    chunked: Chunked,
    bytes: Vec<u8>,
    is_whole: bool,
}

impl Content {
    fn take(&mut self, raw: &mut Vec<u8>) -> Result<(), Fault> {
        match self.framing {
            Framing::None => self.is_whole = true,
            Framing::UntilClose => self.bytes.append(raw),
            Framing::Length(length) => {
                self.bytes.append(raw);
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.bytes.truncate(length);
                self.is_whole = self.bytes.len() >= length;
            }
            Framing::Chunked => {
                let step = self.chunked.advance(raw).map_err(|fault| Fault::Other {
                    expected: "a sound body".into(),
                    found: fault.to_string(),
                })?;
                self.bytes.extend_from_slice(raw.get(..step.kept).unwrap_or_default());
                raw.clear();
                self.is_whole = step.done;
            }
        }
        Ok(())
    }
}

const AN_ANSWER: &str = "an HTTP answer";
/// Whoever sends more interim answers than this sends nothing else.
const MOST_INTERIM: usize = 16;
/// A page that says how a server is fits in this many times.
const MOST_BODY: usize = 64 * 1024;
