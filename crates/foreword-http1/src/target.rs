//! The four forms of a request target, RFC 9112 §3.2.

use crate::host::Host;

/// What a request line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`
    Origin(&'b str),
    /// `http://host/path?query`
    Absolute {
        /// Whether the scheme is `https`.
        https: bool,
        /// Host and port.
        host: Host<'b>,
        /// What follows the authority: empty, or from `/` or `?` on.
        rest: &'b str,
    },
    /// `host:port`, for CONNECT alone.
    Authority(Host<'b>),
    /// `*`, for OPTIONS alone.
    Asterisk,
}

impl<'b> Target<'b> {
    /// Tells the form of a target. Of absolute ones, only those with `http` and `https` are taken.
    pub fn parse(method: &str, target: &'b str) -> Option<Self> {
        match (method, target) {
            ("CONNECT", authority) => {
                let host = Host::parse(authority.as_bytes())?;
                host.port().map(|_| Self::Authority(host))
            }
            ("OPTIONS", "*") => Some(Self::Asterisk),
            (_, origin) if origin.starts_with('/') => Some(Self::Origin(origin)),
            (_, absolute) => Self::absolute(absolute),
        }
    }

    fn absolute(target: &'b str) -> Option<Self> {
        let (scheme, rest) = target.split_once("://")?;
        let https = scheme.eq_ignore_ascii_case("https");
        if !https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        Some(Self::Absolute { https, host: Host::parse(authority.as_bytes())?, rest })
    }

    /// Path and query, as they were written.
    pub fn path_and_query(&self) -> &'b str {
        match *self {
            Self::Origin(text) | Self::Absolute { rest: text, .. } => text,
            Self::Authority(_) => "",
            Self::Asterisk => "*",
        }
    }
}

/// Bytes that a target may have, RFC 3986 appendix A, and those that browsers leave as they are: ``\^`{|}``.
///
/// What the latter mean in a path is for [`crate::path`] to settle. Beyond ASCII, everyone guesses another charset.
pub(crate) const fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_told_from_the_others() {
        assert_eq!(Target::parse("GET", "/a?b"), Some(Target::Origin("/a?b")));
        assert_eq!(Target::parse("OPTIONS", "*"), Some(Target::Asterisk));
        assert!(matches!(Target::parse("CONNECT", "a:443"), Some(Target::Authority(_))));
        let Some(Target::Absolute { https: true, rest: "?q", .. }) = Target::parse("GET", "HTTPS://a?q")
        else {
            panic!("expected an absolute form");
        };
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for (method, target) in [
            ("GET", "*"),
            ("GET", "a"),
            ("GET", "a:80"),
            ("GET", "ftp://a/"),
            ("GET", "http:/a"),
            ("GET", "http:///a"),
            ("GET", "http://u@a/"),
            ("GET", "http://a:b/"),
            ("GET", "http://a\\b/"),
            ("CONNECT", "a"),
            ("CONNECT", "/a"),
            ("OPTIONS", "**"),
        ] {
            assert_eq!(Target::parse(method, target), None, "{method} {target}");
        }
    }
}
