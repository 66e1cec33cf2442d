//! What a URL means to the client: whom to connect to, whether to speak TLS, and what to ask for.
//!
//! The parser is as strict as a test client can afford to be: nothing is repaired that a server would have to guess at.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken.
    pub scheme: Scheme,
    /// Whom to ask.
    pub host: Host,
    /// The port, given or the scheme's own.
    pub port: u16,
    /// The name and the password before the `@`, percent-decoded.
    pub user: Option<User>,
    /// The path and the query as they go into the request line.
    pub path: String,
}

/// The schemes that the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP over plain TCP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port that the scheme has unless the URL names one.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme as it is written in front of `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address, for IPv6 without its brackets.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
        }
    }
}

/// Credentials for HTTP's Basic scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password, empty if there is none.
    pub password: String,
}

/// A password does not belong in a debug line.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a URL's path is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dots {
    /// `.` and `..` segments are resolved before anything is sent, as curl does.
    #[default]
    Resolve,
    /// The path is sent as it is written.
    Keep,
}

impl Target {
    /// Takes a URL apart. Without a scheme it is `http://`, as in curl.
    ///
    /// # Errors
    ///
    /// The part that is wrong, if the URL is not one that the client can ask for.
    pub fn parse(text: &str, dots: Dots) -> Result<Self, TargetError> {
        if let Some(at) = text.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(TargetError::Byte { at });
        }
        let (scheme, rest) = scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(credentials(user)?), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.default_port()), user, path: path(tail, dots) })
    }

    /// What goes into the Host field: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether one connection can serve both.
    pub fn shares_connection_with(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// The target that a Location field names, seen from this one, RFC 3986 §5.2.
    ///
    /// # Errors
    ///
    /// The part that is wrong, if the field holds no URL that the client can ask for.
    pub fn follow(&self, location: &str, dots: Dots) -> Result<Self, TargetError> {
        let location: String = location.trim().chars().flat_map(escape_blank).collect();
        let before_path = location.find(['/', '?', '#']).unwrap_or(location.len());
        if location.get(..before_path).is_some_and(|start| start.contains(':')) {
            return Self::parse(&location, dots);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{}:{location}", self.scheme.as_str()), dots);
        }
        let base = self.path.split('?').next().unwrap_or_default();
        let reference = location.split('#').next().unwrap_or_default();
        let joined = match reference.chars().next() {
            None => self.path.clone(),
            Some('/') => reference.to_owned(),
            Some('?') => format!("{base}{reference}"),
            Some(_) => {
                let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{folder}/{reference}")
            }
        };
        if let Some(at) = joined.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(TargetError::Byte { at });
        }
        Ok(Self { path: path(&joined, dots), ..self.clone() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.path)
    }
}

/// Blanks are common in Location fields, and no one means anything else by them.
fn escape_blank(letter: char) -> impl Iterator<Item = char> {
    let text = if letter == ' ' { "%20" } else { "" };
    let itself = (letter != ' ').then_some(letter);
    text.chars().chain(itself)
}

fn scheme(text: &str) -> Result<(Scheme, &str), TargetError> {
    let Some((name, rest)) = text.split_once("://") else {
        return Ok((Scheme::Http, text));
    };
    match name {
        _ if name.eq_ignore_ascii_case("http") => Ok((Scheme::Http, rest)),
        _ if name.eq_ignore_ascii_case("https") => Ok((Scheme::Https, rest)),
        // A URL without a scheme may hold another one in its query.
        _ if name.contains(['/', '?', '#']) => Ok((Scheme::Http, text)),
        _ => Err(TargetError::Scheme(name.to_owned())),
    }
}

fn credentials(text: &str) -> Result<User, TargetError> {
    let (name, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |part: &str| percent_decoded(part).ok_or(TargetError::User);
    Ok(User { name: decode(name)?, password: decode(password)? })
}

/// Decodes `%XX`; nothing if an escape is cut short or the result is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
pub(crate) fn host_and_port(place: &str) -> Result<(Host, Option<u16>), TargetError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(inside) => {
            let (address, after) = inside.split_once(']').ok_or(TargetError::Bracket)?;
            let address: Ipv6Addr = address.parse().map_err(|_| TargetError::Host(place.to_owned()))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(TargetError::Host(place.to_owned())),
            };
            (Host::Address(address.into()), port)
        }
        None => {
            let (name, port) = place.split_once(':').map_or((place, None), |(name, port)| (name, Some(port)));
            (name_or_address(name)?, port)
        }
    };
    // `http://host:/` is legal and means the scheme's own port, RFC 3986 §3.2.3.
    let port = match port {
        None | Some("") => None,
        Some(digits) => Some(port_number(digits)?),
    };
    Ok((host, port))
}

fn port_number(digits: &str) -> Result<u16, TargetError> {
    let wrong = || TargetError::Port(digits.to_owned());
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(wrong()),
        Ok(port) => Ok(port),
    }
}

fn name_or_address(name: &str) -> Result<Host, TargetError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(Host::Address(address));
    }
    if !name.is_ascii() {
        return Err(TargetError::International(name.to_owned()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(TargetError::Host(name.to_owned()));
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

/// The path and query of a URL, without its fragment, ready for the request line.
fn path(tail: &str, dots: Dots) -> String {
    let tail = tail.split('#').next().unwrap_or_default();
    let (path, query) = match tail.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (tail, None),
    };
    let path = match dots {
        Dots::Resolve => without_dots(path),
        Dots::Keep => path.to_owned(),
    };
    let mut text = String::with_capacity(tail.len() + 1);
    if !path.starts_with('/') {
        text.push('/');
    }
    push_ascii(&mut text, &path);
    if let Some(query) = query {
        text.push('?');
        push_ascii(&mut text, query);
    }
    text
}

/// Appends what a request line can hold; the rest percent-encoded as UTF-8.
fn push_ascii(text: &mut String, part: &str) {
    for letter in part.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

/// Resolves `.` and `..`, RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    kept.iter().fold(String::with_capacity(path.len()), |text, segment| text + "/" + segment)
}

/// Why a text is no URL that the client can ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A blank or a control byte.
    #[error("byte {at}: expected no blank or control byte in a URL")]
    Byte {
        /// The index of the byte.
        at: usize,
    },
    /// A scheme that the client does not speak.
    #[error("expected the scheme `http` or `https`, found `{0}`")]
    Scheme(String),
    /// Neither a name nor an address.
    #[error("expected a host name or an address, found `{0}`")]
    Host(String),
    /// A name beyond ASCII.
    #[error("expected a host name in ASCII, found `{0}`; write it in its `xn--` form")]
    International(String),
    /// An IPv6 address without its end.
    #[error("expected `]` after an IPv6 address")]
    Bracket,
    /// No port.
    #[error("expected a port from 1 to 65535, found `{0}`")]
    Port(String),
    /// Credentials with a broken escape.
    #[error("expected a user name and password in valid percent-encoding")]
    User,
}

/// The longest name that DNS has, RFC 1035 §2.3.4.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(text, Dots::Resolve).expect(text)
    }

    #[test]
    fn a_url_without_a_scheme_is_http() {
        let target = parse("example.com/x?next=http://b/");
        assert_eq!(target.to_string(), "http://example.com/x?next=http://b/");
        assert_eq!(target.port, 80);
    }

    #[test]
    fn host_port_path_and_user_are_taken_apart() {
        let target = parse("HTTPS://a%40b:p%3aw@Example.COM:8443/a/../b?c#d");
        assert_eq!(target.to_string(), "https://example.com:8443/b?c");
        assert_eq!(target.user, Some(User { name: "a@b".into(), password: "p:w".into() }));
    }

    #[test]
    fn an_ipv6_host_has_brackets_in_the_authority_only() {
        let target = parse("https://[2001:db8::1]:444");
        assert_eq!(target.authority(), "[2001:db8::1]:444");
        assert_eq!(target.host, Host::Address("2001:db8::1".parse().expect("an address")));
        assert_eq!(target.path, "/");
    }

    #[test]
    fn dot_segments_are_resolved_unless_they_are_to_be_kept() {
        assert_eq!(parse("http://h/a/./b/../../c/..").path, "/");
        assert_eq!(parse("http://h/../..//x/.").path, "//x/");
        let kept = Target::parse("http://h/a/../%2e%2e/b", Dots::Keep).expect("a target");
        assert_eq!(kept.path, "/a/../%2e%2e/b");
    }

    #[test]
    fn letters_beyond_ascii_are_percent_encoded_in_the_path() {
        assert_eq!(parse("http://h/ü?ö").path, "/%C3%BC?%C3%B6");
    }

    #[test]
    fn what_is_no_url_says_which_part_is_wrong() {
        let wrong = |text| Target::parse(text, Dots::Resolve).expect_err(text).to_string();
        assert_eq!(wrong("ftp://h/"), "expected the scheme `http` or `https`, found `ftp`");
        assert_eq!(wrong("http://h:0/"), "expected a port from 1 to 65535, found `0`");
        assert_eq!(wrong("http://h:+80/"), "expected a port from 1 to 65535, found `+80`");
        assert_eq!(wrong("http://h:65536/"), "expected a port from 1 to 65535, found `65536`");
        assert_eq!(wrong("http://"), "expected a host name or an address, found ``");
        assert_eq!(wrong("http://a b/"), "byte 8: expected no blank or control byte in a URL");
        assert_eq!(wrong("http://[::1/"), "expected `]` after an IPv6 address");
        assert_eq!(wrong("http://::1/"), "expected a host name or an address, found ``");
        assert_eq!(wrong("http://%@h/"), "expected a user name and password in valid percent-encoding");
        assert!(wrong("http://b\u{fc}cher.example/").contains("xn--"));
    }

    #[test]
    fn a_location_is_resolved_against_the_url_that_it_answers() {
        let base = parse("https://h:8443/a/b?c");
        let follow = |location| base.follow(location, Dots::Resolve).expect(location).to_string();
        assert_eq!(follow("d"), "https://h:8443/a/d");
        assert_eq!(follow("../d?e#f"), "https://h:8443/d?e");
        assert_eq!(follow("/d e"), "https://h:8443/d%20e");
        assert_eq!(follow("?x"), "https://h:8443/a/b?x");
        assert_eq!(follow("//other/y"), "https://other/y");
        assert_eq!(follow("http://other/z"), "http://other/z");
        assert_eq!(follow(""), "https://h:8443/a/b?c");
        assert!(base.follow("gopher://x/", Dots::Resolve).is_err());
        assert!(base.follow("mailto:me", Dots::Resolve).is_err());
    }
}
