//! Host and port as an authority writes them, RFC 3986 §3.2.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use memchr::memchr;

use crate::scan::table_of;

/// A host with an optional port, as `Host` and absolute targets hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'b> {
    name: Name<'b>,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name<'b> {
    /// A name or an IPv4 address, without its trailing dot.
    Name(&'b str),
    Ip6(Ipv6Addr),
}

impl<'b> Host<'b> {
    /// Parses `host`, `host:port`, `[ip]` or `[ip]:port`.
    ///
    /// Narrower than RFC 3986: percent-encoding and sub-delims are no part of any name in DNS, and would give one
    /// host several spellings. User information is refused, RFC 9110 §4.2.4, and so is an empty host, §4.2.1.
    pub fn parse(authority: &'b [u8]) -> Option<Self> {
        let text = str::from_utf8(authority).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest.split_once(']')?;
            return Some(Self { name: Name::Ip6(ip.parse().ok()?), port: port_after(port)? });
        }
        let end = memchr(b':', authority).unwrap_or(text.len());
        let (name, port) = text.split_at_checked(end)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        is_name(name).then_some(Self { name: Name::Name(name), port: port_after(port)? })
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Appends the host as rules compare it: lower case, without port or trailing dot, IPv6 in its one short form.
    pub fn write_normal(&self, out: &mut String) {
        match self.name {
            Name::Name(name) => {
                let start = out.len();
                out.push_str(name);
                out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
            }
            Name::Ip6(ip) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "[{ip}]");
            }
        }
    }

    /// Whether both name the same host and port, where a missing port means `default_port`.
    pub fn agrees_with(&self, other: &Host<'_>, default_port: u16) -> bool {
        let same_name = match (self.name, other.name) {
            (Name::Name(one), Name::Name(two)) => one.eq_ignore_ascii_case(two),
            (one, two) => one == two,
        };
        same_name && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Labels of letters, digits, `-`, `_` and `~`; none of them empty.
fn is_name(name: &str) -> bool {
    let mut after_dot = true;
    let mut fits = |byte: u8| match byte {
        b'.' => !std::mem::replace(&mut after_dot, true),
        byte => {
            after_dot = false;
            is_label_byte(byte)
        }
    };
    name.bytes().all(&mut fits) && !after_dot
}

#[expect(clippy::indexing_slicing, reason = "the table has a place for every byte")]
fn is_label_byte(byte: u8) -> bool {
    LABEL[usize::from(byte)]
}

const fn is_letter_or_such(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~')
}

#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
static LABEL: [bool; 256] = table_of!(is_letter_or_such);

/// Nothing, `:` or `:PORT`. The outer `None` is a fault.
fn port_after(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None => text.is_empty().then_some(None),
        Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(authority: &str) -> Option<String> {
        let mut out = String::new();
        Host::parse(authority.as_bytes())?.write_normal(&mut out);
        Some(out)
    }

    #[test]
    fn one_host_has_one_normal_spelling() {
        for spelling in [
            "example.com",
            "EXAMPLE.com",
            "example.com.",
            "example.com:80",
            "Example.Com.:8443",
            "example.com:",
        ] {
            assert_eq!(normal(spelling).as_deref(), Some("example.com"), "{spelling}");
        }
        for spelling in ["[::1]", "[0:0::1]:443", "[0000:0:0:0:0:0:0:0001]"] {
            assert_eq!(normal(spelling).as_deref(), Some("[::1]"), "{spelling}");
        }
        assert_eq!(normal("a_b.example").as_deref(), Some("a_b.example"));
        assert_eq!(normal("192.0.2.1:80").as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "u:p@a",
            "a:b",
            "a:+1",
            "a:-1",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[::g]",
            "[]",
            "[fe80::1%25eth0]",
            "a%2eb",
            "a\\b",
            "a#b",
            "a?b",
            "é",
            "a\tb",
            ":80",
            "a;b",
            "*",
            "a'b",
            "[127.0.0.1]",
        ] {
            assert_eq!(normal(text), None, "{text:?}");
        }
    }
}
