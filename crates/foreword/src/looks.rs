//! What bytes that are no PROXY header look like, for refusals that name the cause (R-SEC-02).

use core::fmt;

use crate::{v1, v2};

/// What the first bytes of a connection look like. A guess for people to read; nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Looks {
    /// There are none.
    Nothing,
    /// A TLS ClientHello: TLS came without a header, or before it.
    TlsClientHello,
    /// An HTTP/1 request.
    Http,
    /// The preface of HTTP/2.
    Http2Preface,
    /// A v1 header.
    ProxyV1,
    /// A v2 header.
    ProxyV2,
    /// None of these.
    Other,
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::TlsClientHello => "a TLS ClientHello",
            Self::Http => "an HTTP request",
            Self::Http2Preface => "an HTTP/2 preface",
            Self::ProxyV1 => "a v1 PROXY header",
            Self::ProxyV2 => "a v2 PROXY header",
            Self::Other => "other bytes",
        })
    }
}

/// Names what `bytes` look like.
///
/// ```
/// use foreword::{Looks, looks_like};
///
/// assert_eq!(looks_like(b"GET / HTTP/1.1\r\n"), Looks::Http);
/// assert_eq!(looks_like(b"\x16\x03\x01\x02\x00\x01"), Looks::TlsClientHello);
/// ```
#[must_use]
pub fn looks_like(bytes: &[u8]) -> Looks {
    if bytes.is_empty() {
        Looks::Nothing
    } else if bytes.starts_with(v2::SIGNATURE) {
        Looks::ProxyV2
    } else if bytes.starts_with(v1::SIGNATURE)
        && matches!(bytes.get(v1::SIGNATURE.len()), None | Some(b'T' | b'U'))
    {
        Looks::ProxyV1
    } else if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
        Looks::Http2Preface
    } else if is_client_hello(bytes) {
        Looks::TlsClientHello
    } else if is_request_line(bytes) {
        Looks::Http
    } else {
        Looks::Other
    }
}

/// How far the first bytes of a connection are a PROXY signature: `PROXY ` or the twelve bytes of v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signature {
    /// They are none: some byte differs.
    Absent,
    /// No byte differs so far.
    Begun,
    /// They are a whole one, so that a valid header has to follow.
    Whole,
}

/// Says how far `bytes` are a signature. Where a header is optional, this settles whether there is one (R-SEC-01).
///
/// ```
/// use foreword::{Signature, signature};
///
/// assert_eq!(signature(b"PRO"), Signature::Begun);
/// assert_eq!(signature(b"PROXY TCP"), Signature::Whole);
/// assert_eq!(signature(b"PROPFIND"), Signature::Absent);
/// ```
#[must_use]
pub fn signature(bytes: &[u8]) -> Signature {
    let signatures = [v1::SIGNATURE, v2::SIGNATURE];
    if signatures.iter().any(|signature| bytes.starts_with(signature)) {
        Signature::Whole
    } else if signatures.iter().any(|signature| signature.starts_with(bytes)) {
        Signature::Begun
    } else {
        Signature::Absent
    }
}

/// A handshake record of SSL 3 or later, whose first message is a ClientHello (RFC 8446, 5.1 and 4).
fn is_client_hello(bytes: &[u8]) -> bool {
    match bytes {
        [0x16, 3, 0..=4, _, _, message, ..] => *message == 1,
        [0x16, 3, 0..=4, ..] | [0x16, 3] | [0x16] => true,
        _ => false,
    }
}

/// A method in capital letters, a space, and a target (RFC 9112, 3).
fn is_request_line(bytes: &[u8]) -> bool {
    /// No registered method is longer (RFC 9110, 16.1.1: `UPDATEREDIRECTREF`).
    const METHOD_MAX_LEN: usize = 17;
    let method_len = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    if !(3..=METHOD_MAX_LEN).contains(&method_len) {
        return false;
    }
    match bytes.get(method_len..) {
        Some([b' ', first, ..]) => matches!(first, b'/' | b'*') || first.is_ascii_alphanumeric(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_named_by_what_they_most_likely_are() {
        for (bytes, looks) in [
            (&b""[..], Looks::Nothing),
            (b"\x16\x03\x03\x00\x40\x01", Looks::TlsClientHello),
            (b"\x16\x03\x03\x00\x40\x02", Looks::Other),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Looks::Http2Preface),
            (b"OPTIONS * HTTP/1.1\r\n", Looks::Http),
            (b"CONNECT example.com:443 HTTP/1.1\r\n", Looks::Http),
            (b"PROXY / HTTP/1.1\r\n", Looks::Http),
            (b"PROXY TCP4 ", Looks::ProxyV1),
            (b"\r\n\r\n\0\r\nQUIT\n!", Looks::ProxyV2),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Looks::Other),
            (b"\x05\x01\x00", Looks::Other),
        ] {
            assert_eq!(looks_like(bytes), looks, "{}", bytes.escape_ascii());
        }
    }
}
