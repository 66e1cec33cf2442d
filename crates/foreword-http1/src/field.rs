//! Fields of a head, and the names that a proxy must know.

use crate::scan::token_len;
use crate::span::Span;

/// One field line.
#[derive(Clone, Copy, Debug)]
pub struct Field<'b> {
    /// The name as it was written: a token.
    pub name: &'b [u8],
    /// The value, without white space around it. It holds no control byte but tabs.
    pub value: &'b [u8],
    /// Which of the names that matter to a proxy it is.
    pub known: Name,
}

impl Field<'_> {
    /// Whether the field has this name; case does not count.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether some server could take the field for one with this name.
    pub fn reads_as(&self, name: &str) -> bool {
        read_alike(self.name, name.as_bytes())
    }
}

/// The names whose fields a proxy reads, rebuilt or keeps to itself.
///
/// `_` reads as `-` here, since CGI and many servers behind it cannot tell the two apart: `X_Forwarded_For` is no
/// way around whoever drops `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Name {
    /// None of those below.
    Other,
    /// `Host`
    Host,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Connection`
    Connection,
    /// `Upgrade`
    Upgrade,
    /// `Expect`
    Expect,
    /// `TE`
    Te,
    /// Fields for one hop that nobody has to name in `Connection`: `Keep-Alive`, `Proxy-Connection`,
    /// `Proxy-Authenticate`, `Proxy-Authorization`, `HTTP2-Settings`; and `Proxy`, which is no field at all but sets
    /// `HTTP_PROXY` in CGI programs.
    HopByHop,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// Any other `X-Forwarded-…`
    XForwarded,
    /// `Forwarded`, RFC 7239
    Forwarded,
    /// `X-Real-IP`
    XRealIp,
}

impl Name {
    /// Tells which name this is.
    pub fn of(name: &[u8]) -> Self {
        let is = |known: &[u8]| reads_as(name, known);
        // One look at the length and the first letter spares most fields any comparison.
        match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (2, Some(b't')) if is(b"te") => Self::Te,
            (4, Some(b'h')) if is(b"host") => Self::Host,
            (5, Some(b'p')) if is(b"proxy") => Self::HopByHop,
            (6, Some(b'e')) if is(b"expect") => Self::Expect,
            (7, Some(b'u')) if is(b"upgrade") => Self::Upgrade,
            (9, Some(b'f')) if is(b"forwarded") => Self::Forwarded,
            (9, Some(b'x')) if is(b"x-real-ip") => Self::XRealIp,
            (10, Some(b'c')) if is(b"connection") => Self::Connection,
            (10, Some(b'k')) if is(b"keep-alive") => Self::HopByHop,
            (14, Some(b'c')) if is(b"content-length") => Self::ContentLength,
            (14, Some(b'h')) if is(b"http2-settings") => Self::HopByHop,
            (15, Some(b'x')) if is(b"x-forwarded-for") => Self::XForwardedFor,
            (16, Some(b'p')) if is(b"proxy-connection") => Self::HopByHop,
            (17, Some(b't')) if is(b"transfer-encoding") => Self::TransferEncoding,
            (18, Some(b'p')) if is(b"proxy-authenticate") => Self::HopByHop,
            (19, Some(b'p')) if is(b"proxy-authorization") => Self::HopByHop,
            (11.., Some(b'x')) if reads_as(name.get(..11).unwrap_or_default(), b"x-forwarded") => {
                Self::XForwarded
            }
            _ => Self::Other,
        }
    }

    /// Whether it belongs to one connection, RFC 9110 §7.6.1: where a message ends, and what holds for the hop, whoever
    /// passes it on settles anew.
    pub fn is_for_one_hop(self) -> bool {
        matches!(
            self,
            Self::ContentLength
                | Self::TransferEncoding
                | Self::Connection
                | Self::Upgrade
                | Self::HopByHop
                | Self::Te
        )
    }

    /// Whether no trailer may carry it: it frames, routes, or says who the client is, RFC 9110 §6.5.1.
    pub fn is_barred_from_trailers(self) -> bool {
        self != Self::Other
    }
}

/// Which of the names that matter to a proxy there are in a head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NameSet(u16);

impl NameSet {
    pub(crate) fn insert(&mut self, name: Name) {
        self.0 |= 1 << name as u16;
    }

    pub(crate) fn has(self, name: Name) -> bool {
        self.0 & 1 << name as u16 != 0
    }
}

/// More names than a set has bits would not compile: this is the last.
const _: () = assert!((Name::XRealIp as u16) < 16);

/// Whether some server could take one name for the other: case does not count, nor does `_` for `-`.
pub fn read_alike(one: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().map(folded).eq(other.iter().map(folded))
}

/// Whether `name` is `known`, which is written in lower case with `-`.
fn reads_as(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name
            .iter()
            .zip(known)
            .all(|(&byte, &known)| byte.to_ascii_lowercase() == known || (byte == b'_' && known == b'-'))
}

/// A field line in an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) known: Name,
    /// Whether the line is spelled as we would spell it: one blank before the value, and none behind it.
    pub(crate) is_usual: bool,
}

impl FieldSpan {
    /// Whether the field has this name; case does not count.
    pub(crate) fn is_named(&self, head: &[u8], name: &str) -> bool {
        self.name.len() == name.len() && self.name.of(head).eq_ignore_ascii_case(name.as_bytes())
    }

    pub(crate) fn of<'b>(&self, head: &'b [u8]) -> Field<'b> {
        Field { name: self.name.of(head), value: self.value.of(head), known: self.known }
    }
}

/// The elements of a comma-separated value, without the white space around them; empty ones too.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(|element| element.trim_ascii())
}

/// Whether the bytes are a token, RFC 9110 §5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

pub(crate) const fn is_token_byte(byte: u8) -> bool {
    let is_mark = matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    );
    is_mark || byte.is_ascii_alphanumeric()
}

/// Whether a byte may stand in a field value, RFC 9110 §5.5: visible, blank, or beyond ASCII.
pub(crate) fn is_value_byte(byte: u8) -> bool {
    !(byte.is_ascii_control() && byte != b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_every_spelling() {
        for name in ["X-Forwarded-For", "x_forwarded_for", "X-FORWARDED_FOR"] {
            assert_eq!(Name::of(name.as_bytes()), Name::XForwardedFor, "{name}");
        }
        for name in ["x-forwarded-host", "X_Forwarded_Proto", "x-forwarded-anything", "x-forwarded"] {
            assert_eq!(Name::of(name.as_bytes()), Name::XForwarded, "{name}");
        }
        assert_eq!(Name::of(b"X_Real_IP"), Name::XRealIp);
        assert_eq!(Name::of(b"X-Forward"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
    }

    #[test]
    fn framing_and_what_holds_for_a_hop_is_for_one_hop() {
        for name in
            ["Content-Length", "transfer_encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Proxy"]
        {
            assert!(Name::of(name.as_bytes()).is_for_one_hop(), "{name}");
        }
        for name in ["Host", "X-Forwarded-For", "Expect", "Trailer", "X-A"] {
            assert!(!Name::of(name.as_bytes()).is_for_one_hop(), "{name}");
        }
    }

    #[test]
    fn lists_keep_their_empty_elements() {
        assert_eq!(list(b" a ,, b").collect::<Vec<_>>(), [b"a".as_slice(), b"", b"b"]);
    }
}
