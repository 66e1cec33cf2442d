//! The request of a trial.

use std::net::IpAddr;
use std::str::FromStr;

/// A request as a client would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: Box<str>,
    /// What it asks for.
    pub url: Url,
    /// Its fields; `Host` is written from the URL unless it is among them.
    pub fields: Vec<Field>,
}

/// The name and the value of a field.
pub type Field = (Box<str>, Box<str>);

impl Asked {
    /// The head as it would come.
    pub(super) fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.url.target);
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {}\r\n", self.url.authority));
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// A URL, taken apart but otherwise as it was written: a trial may ask for what a browser would tidy up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub(super) https: bool,
    authority: Box<str>,
    target: Box<str>,
}

impl Url {
    /// Path and query, as they were written.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The name for the TLS handshake; an address is none.
    pub(super) fn server_name(&self) -> Option<Box<str>> {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &*self.authority,
        };
        let address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!address && !host.is_empty()).then(|| host.into())
    }
}

/// Text that is no URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as `https://www.example.com/path?query`")]
pub struct NoUrl;

impl FromStr for Url {
    type Err = NoUrl;

    fn from_str(text: &str) -> Result<Self, NoUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(NoUrl)?;
        let https = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(NoUrl),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || rest.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        {
            return Err(NoUrl);
        }
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}").into() };
        Ok(Self { https, authority: authority.into(), target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_not_tidied() {
        let url: Url = "https://www.Example.com:8443//a/../%61?b".parse().expect("a URL");
        assert_eq!(
            (url.https, &*url.authority, url.target()),
            (true, "www.Example.com:8443", "//a/../%61?b")
        );
        assert_eq!(url.server_name().as_deref(), Some("www.Example.com"));
        assert_eq!("http://a?b".parse::<Url>().expect("a URL").target(), "/?b");
        assert_eq!("http://[::1]:80/".parse::<Url>().expect("a URL").server_name(), None);
        for wrong in ["", "www.example.com", "ftp://a/", "https:///a", "http://a b/", "http://a/\r\nX: y"] {
            assert_eq!(wrong.parse::<Url>(), Err(NoUrl), "{wrong}");
        }
    }
}
