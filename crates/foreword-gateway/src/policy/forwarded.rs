//! Whom a request is for when it came through proxies that we trust, and what the endpoint is told about it.
//!
//! Nothing of this kind that a client sends reaches an endpoint: the fields are made anew from what we believe.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use foreword_http1::{Field, Host, Name, Request, list};

use crate::digits::{self, IpText};

/// What earlier proxies say about a request, as far as they are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Believed<'r> {
    /// The first address in X-Forwarded-For, from the right, that is no proxy of ours; its port where it has one.
    pub(crate) client: Option<(IpAddr, Option<u16>)>,
    /// X-Forwarded-Proto: whether it was `https`.
    pub(crate) https: Option<bool>,
    /// X-Forwarded-Host.
    pub(crate) host: Option<&'r str>,
    /// X-Forwarded-Port.
    pub(crate) port: Option<u16>,
}

impl<'r> Believed<'r> {
    /// Reads the forwarding fields of a request whose speaker is trusted to set them.
    ///
    /// `is_ours` tells the addresses of those who are trusted so as well. X-Forwarded-For is walked from the right
    /// through them; the first other address is the client. At an entry that is no address the walk ends: whoever wrote
    /// it did not know, so the proxy next to it is as far as we see.
    pub(crate) fn read(request: &Request<'r>, is_ours: impl Fn(IpAddr) -> bool) -> Self {
        let mut believed = Self::default();
        for field in request.fields_known(Name::XForwarded) {
            believed.read_field(&field);
        }
        believed.client = client(request, is_ours);
        believed
    }

    /// A field said twice is believed in its last word: proxies append.
    fn read_field(&mut self, field: &Field<'r>) {
        let Some(last) = list(field.value).last().and_then(|last| str::from_utf8(last).ok()) else { return };
        if field.is("X-Forwarded-Proto") {
            self.https = match last {
                _ if last.eq_ignore_ascii_case("https") => Some(true),
                _ if last.eq_ignore_ascii_case("http") => Some(false),
                _ => self.https,
            };
        } else if field.is("X-Forwarded-Host") {
            self.host = Host::parse(last.as_bytes()).map(|_| last).or(self.host);
        } else if field.is("X-Forwarded-Port") {
            self.port = last.parse().ok().or(self.port);
        }
    }
}

fn client(request: &Request<'_>, is_ours: impl Fn(IpAddr) -> bool) -> Option<(IpAddr, Option<u16>)> {
    // The fields in their order make one list; there is no walking it backwards without knowing how many there are.
    let fields = || request.fields_known(Name::XForwardedFor).filter(|field| !is_forged(field));
    let mut farthest = None;
    for nth in (0..fields().count()).rev() {
        let value = fields().nth(nth).map(|field| field.value).unwrap_or_default();
        for entry in value.rsplit(|&byte| byte == b',') {
            let Some(hop) = address(entry.trim_ascii()) else { return farthest };
            farthest = Some(hop);
            if !is_ours(hop.0) {
                return farthest;
            }
        }
    }
    farthest
}

/// A proxy of ours writes the name as everyone does; with `_` it came from someone who hoped to slip past it.
pub(super) fn is_forged(field: &Field<'_>) -> bool {
    field.name.contains(&b'_')
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(entry: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = str::from_utf8(entry).ok()?;
    let (ip, port) = if let Ok(ip) = text.parse::<IpAddr>() {
        (ip, None)
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        (address.ip(), Some(address.port()))
    } else {
        let bare = text.strip_prefix('[')?.strip_suffix(']')?;
        (bare.parse::<Ipv6Addr>().ok()?.into(), None)
    };
    Some((ip.to_canonical(), port))
}

/// What the endpoint is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded<'r> {
    /// The client; nobody with an address, if it is on a unix socket.
    pub(crate) client: Option<IpAddr>,
    /// The scheme that the client used.
    pub(crate) https: bool,
    /// The host that the client asked for, as it was written.
    pub(crate) host: Option<&'r str>,
    /// The port that the client connected to.
    pub(crate) port: Option<u16>,
}

impl Forwarded<'_> {
    /// Writes the field lines, but for those that rules set or remove.
    pub(crate) fn write(&self, is_replaced: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        let client = self.client.map(IpText::of);
        if let Some(ip) = &client {
            line("X-Forwarded-For", ip.as_bytes(), &is_replaced, out);
            line("X-Real-IP", ip.as_bytes(), &is_replaced, out);
        }
        line("X-Forwarded-Proto", self.proto().as_bytes(), &is_replaced, out);
        if let Some(host) = self.host {
            line("X-Forwarded-Host", host.as_bytes(), &is_replaced, out);
        }
        if let Some(port) = self.port
            && !is_replaced("X-Forwarded-Port")
        {
            out.extend_from_slice(b"X-Forwarded-Port: ");
            digits::number(port.into(), out);
            out.extend_from_slice(b"\r\n");
        }
        if !is_replaced("Forwarded") {
            self.write_rfc7239(client, out);
        }
    }

    /// Writes the line `Forwarded`, RFC 7239 §4.
    fn write_rfc7239(&self, client: Option<IpText>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Forwarded: for=");
        match (&client, self.client) {
            (Some(text), Some(IpAddr::V4(_))) => out.extend_from_slice(text.as_bytes()),
            (Some(text), _) => {
                for part in [b"\"[", text.as_bytes(), b"]\""] {
                    out.extend_from_slice(part);
                }
            }
            (None, _) => out.extend_from_slice(b"unknown"),
        }
        if let Some(host) = self.host {
            // Whatever holds a colon is quoted. A host never holds what would need an escape.
            let quote: &[u8] = if foreword_http1::is_token(host.as_bytes()) { b"" } else { b"\"" };
            for part in [b";host=", quote, host.as_bytes(), quote] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(self.proto().as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn proto(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

// A copy of a length that is known when this is compiled takes no call.
#[inline(always)]
fn line(name: &'static str, value: &[u8], is_replaced: &impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    if !is_replaced(name) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use foreword_http1::{Limits, RequestHead};

    use super::*;

    fn client_of(fields: &str) -> Option<(IpAddr, Option<u16>)> {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut index = RequestHead::default();
        index.parse(head.as_bytes(), &Limits::default()).unwrap();
        Believed::read(&index.view(head.as_bytes()), |ip| ip.to_string().starts_with("10.")).client
    }

    #[test]
    fn the_first_address_from_the_right_that_is_not_ours_is_the_client() {
        for (fields, ip, port) in [
            ("X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7", None),
            ("X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7", None),
            ("X-Forwarded-For: 1.1.1.1,203.0.113.7, 10.0.0.1,10.0.0.2\r\n", "203.0.113.7", None),
            ("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.0.0.1\r\n", "203.0.113.7", None),
            ("X-Forwarded-For: 10.0.0.9\r\nx-forwarded-for: 203.0.113.7\r\n", "203.0.113.7", None),
            ("X-Forwarded-For: 203.0.113.7:1234\r\n", "203.0.113.7", Some(1234)),
            ("X-Forwarded-For: [2001:db8::1]:80\r\n", "2001:db8::1", Some(80)),
            ("X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1", None),
            ("X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7", None),
            ("X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", "10.0.0.2", None),
            ("X-Forwarded-For: 203.0.113.7, unknown, 10.0.0.1\r\n", "10.0.0.1", None),
            ("X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nX_Forwarded_For: 1.1.1.1\r\n", "203.0.113.7", None),
        ] {
            assert_eq!(client_of(fields), Some((ip.parse().unwrap(), port)), "{fields}");
        }
        for fields in
            ["", "X-Forwarded-For: unknown\r\n", "X-Forwarded-For:\r\n", "X_Forwarded_For: 1.1.1.1\r\n"]
        {
            assert_eq!(client_of(fields), None, "{fields}");
        }
    }

    #[test]
    fn what_the_endpoint_is_told_is_made_anew() {
        let mut out = Vec::new();
        Forwarded {
            client: Some("2001:db8::1".parse().unwrap()),
            https: true,
            host: Some("example.com:8443"),
            port: Some(8443),
        }
        .write(|_| false, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "X-Forwarded-For: 2001:db8::1\r\nX-Real-IP: 2001:db8::1\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: example.com:8443\r\nX-Forwarded-Port: 8443\r\n\
             Forwarded: for=\"[2001:db8::1]\";host=\"example.com:8443\";proto=https\r\n"
        );
        let mut out = Vec::new();
        Forwarded { client: None, https: false, host: None, port: None }
            .write(|name| name == "X-Forwarded-Proto", &mut out);
        assert_eq!(out, b"Forwarded: for=unknown;proto=http\r\n");
    }
}
