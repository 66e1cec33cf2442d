//! The head of an HTTP/2 request, told as HTTP/1.1 would write it: from there on it is judged and forwarded like any other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foreword_http1::Name;
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method};

use super::super::http::Refused;

/// What HTTP/2 says of a request, and HTTP/1.1 could not say, or would say twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ToldFault {
    /// A target that is neither a path nor `*`.
    #[error("expected `:path` to begin with `/`, found another value (RFC 9113 §8.3.1)")]
    Path,
    /// A scheme that is not ours to serve.
    #[error("expected `:scheme` `http` or `https`, found another (RFC 9113 §8.3.1)")]
    Scheme,
    /// `Host` that differs from `:authority`, or several of them.
    #[error("expected the host of `:authority` in `host`, found another (RFC 9113 §8.3.1)")]
    Host,
    /// A field that has a meaning for one HTTP/1.1 connection only.
    #[error("expected no field for one connection, found `{}` (RFC 9113 §8.2.2)", shown(*.0))]
    OneHop(Name),
    /// A length other than 0 of a body that does not come.
    #[error("expected no `content-length` without a body, found one (RFC 9113 §8.1.1)")]
    Length,
    /// A tunnel for a protocol other than WebSocket.
    #[error("expected `:protocol` `websocket`, found another (RFC 8441 §4)")]
    Protocol,
}

fn shown(name: Name) -> &'static str {
    match name {
        Name::Connection => "connection",
        Name::TransferEncoding => "transfer-encoding",
        Name::Upgrade => "upgrade",
        _ => "a field of HTTP/1.1",
    }
}

/// How the body of a request is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// As it is, since the head states its length.
    Length,
    /// In chunks, trailers behind them.
    Chunked,
    /// As it is, in both directions: it is another protocol's.
    Tunnel,
}

impl Framing {
    /// What is told of the body of this request.
    pub(super) fn of(head: &Parts, ends_with_head: bool) -> Self {
        match head.extensions.get::<Protocol>() {
            Some(_) => Self::Tunnel,
            None if ends_with_head => Self::None,
            None if head.headers.contains_key(CONTENT_LENGTH) => Self::Length,
            None => Self::Chunked,
        }
    }
}

/// Writes the head.
///
/// What no byte of HTTP/2 may hold, and pseudo-fields that are wrong, `h2` has refused before; what HTTP/1.1 does not allow
/// either, such as a target with a quotation mark, its parser refuses after. Here is what could not be told at all.
pub(super) fn write(head: &Parts, framing: Framing, out: &mut Vec<u8>) -> Result<(), Refused> {
    if framing == Framing::Tunnel
        && head.extensions.get::<Protocol>().map(Protocol::as_str) != Some("websocket")
    {
        return Err(ToldFault::Protocol.into());
    }
    write_line(head, framing, out)?;
    write_host(head, out);
    let mut hosts = 0;
    let mut has_cookies = false;
    for (name, value) in &head.headers {
        match Name::of(name.as_str().as_bytes()) {
            known @ (Name::Connection | Name::TransferEncoding | Name::Upgrade) => {
                return Err(ToldFault::OneHop(known).into());
            }
            Name::ContentLength if framing == Framing::None && value.as_bytes() != b"0" => {
                return Err(ToldFault::Length.into());
            }
            // A tunnel has no length, whatever is claimed.
            Name::ContentLength if framing == Framing::Tunnel => return Err(ToldFault::Length.into()),
            _ if *name == HOST => {
                hosts += 1;
                // Where both pseudo-field and field name it, they must not differ, RFC 9113 §8.3.1.
                if hosts > 1 || differs(head.uri.authority(), value) {
                    return Err(ToldFault::Host.into());
                }
            }
            _ if *name == COOKIE => has_cookies = true,
            _ => write_field(name.as_str().as_bytes(), value.as_bytes(), out),
        }
    }
    if has_cookies {
        write_cookies(&head.headers, out);
    }
    match framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Tunnel => write_upgrade(out),
        Framing::None | Framing::Length => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn write_line(head: &Parts, framing: Framing, out: &mut Vec<u8>) -> Result<(), ToldFault> {
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(ToldFault::Scheme);
    }
    let is_connect = head.method == Method::CONNECT && framing != Framing::Tunnel;
    // RFC 8441 §5: what is CONNECT here is GET there.
    let method = if framing == Framing::Tunnel { Method::GET.as_str() } else { head.method.as_str() };
    let target = if is_connect {
        head.uri.authority().map(|authority| authority.as_str())
    } else {
        head.uri
            .path_and_query()
            .map(|path| path.as_str())
            .filter(|path| path.starts_with('/') || *path == "*")
    };
    let target = target.ok_or(ToldFault::Path)?;
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

/// Writes one `Host`. Where nobody names it, the parser misses it.
fn write_host(head: &Parts, out: &mut Vec<u8>) {
    if let Some(authority) = head.uri.authority() {
        write_field(b"Host", authority.as_str().as_bytes(), out);
    } else if let Some(host) = head.headers.get(HOST) {
        write_field(b"Host", host.as_bytes(), out);
    }
}

fn differs(authority: Option<&Authority>, host: &HeaderValue) -> bool {
    authority.is_some_and(|authority| !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

/// Joins the crumbs into which HTTP/2 may cut cookies, RFC 9113 §8.2.3.
fn write_cookies(fields: &HeaderMap, out: &mut Vec<u8>) {
    let mut crumbs = fields.get_all(COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    out.extend_from_slice(b"cookie: ");
    out.extend_from_slice(first.as_bytes());
    for crumb in crumbs {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(crumb.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// What HTTP/1.1 asks of whoever opens a WebSocket, and HTTP/2 does not, RFC 8441 §5.
fn write_upgrade(out: &mut Vec<u8>) {
    let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
    out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
    write_field(b"Sec-WebSocket-Key", key.as_bytes(), out);
}

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn told(request: Request<()>, ends_with_head: bool) -> Result<String, String> {
        let (head, ()) = request.into_parts();
        let mut out = Vec::new();
        write(&head, Framing::of(&head, ends_with_head), &mut out).map_err(|refused| refused.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn get(fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("https://www.example.com/a?b");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_is_told_as_http_1_would_write_it() {
        let head = told(get(&[("x-a", "1"), ("cookie", "a=1"), ("x-a", "2"), ("cookie", "b=2")]), true);
        assert_eq!(
            head.unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: www.example.com\r\nx-a: 1\r\nx-a: 2\r\ncookie: a=1; b=2\r\n\r\n"
        );
    }

    #[test]
    fn a_body_is_told_by_its_length_or_in_chunks() {
        assert!(told(get(&[]), false).unwrap().ends_with("Transfer-Encoding: chunked\r\n\r\n"));
        let known = told(get(&[("content-length", "5")]), false).unwrap();
        assert!(known.contains("content-length: 5\r\n") && !known.contains("chunked"), "{known}");
    }

    #[test]
    fn what_could_be_told_in_two_ways_is_not_told() {
        for fields in [
            [("host", "other.example.com")].as_slice(),
            &[("host", "www.example.com"), ("host", "www.example.com")],
            &[("transfer-encoding", "chunked")],
            &[("transfer_encoding", "chunked")],
            &[("connection", "close")],
            &[("upgrade", "h2c")],
            &[("content-length", "5")],
        ] {
            assert!(told(get(fields), true).is_err(), "{fields:?}");
        }
        assert!(told(get(&[("host", "WWW.example.com"), ("content-length", "0")]), true).is_ok());
    }

    #[test]
    fn a_websocket_is_opened_as_http_1_opens_it() {
        let mut request = get(&[("sec-websocket-version", "13")]);
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let head = told(request, false).unwrap();
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\nHost: www.example.com\r\n"), "{head}");
        assert!(head.contains("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "), "{head}");
        let mut request = get(&[]);
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("connect-udp"));
        assert!(told(request, false).is_err());
    }
}
