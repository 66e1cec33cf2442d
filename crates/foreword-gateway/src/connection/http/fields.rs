//! Heads as they are sent on: what was meant for this hop stays behind, what we know is said anew.

use std::io::Write as _;

use foreword_http1::{Field, Framing, Name, Request, Response, Version, list};

use super::changes::Changes;
use super::request_id::RequestId;
use crate::digits;
use crate::policy::facts::RequestFacts;
use crate::policy::forwarded::Forwarded;
use crate::policy::rules::SetField;
use crate::policy::sticky::{Sticky, Token};

/// A request, and all that was settled about it before it is answered.
#[derive(Debug)]
pub(super) struct Asked<'r> {
    pub(super) facts: RequestFacts<'r>,
    pub(super) changes: Changes<'r>,
    pub(super) id: RequestId<'r>,
    /// Whether the client has no use for an answer of success but the one that changes the protocol.
    pub(super) must_switch: bool,
    /// The field that carries the id.
    pub(super) id_field: &'r str,
}

impl<'r> Asked<'r> {
    pub(super) fn request(&self) -> Request<'r> {
        self.facts.request
    }

    /// The protocol that the client wants to go on with, where it may.
    ///
    /// HTTP/2 is not among them: whoever spoke it behind us, past the rules, could ask for anything.
    pub(super) fn upgrade(&self) -> Option<&'r [u8]> {
        let request = self.request();
        if !request.connection().upgrade || request.version() == Version::Http10 {
            return None;
        }
        let mut upgrades = request.fields_known(Name::Upgrade);
        let wanted = upgrades.next()?.value;
        let is_http2 = |name: &[u8]| {
            name.eq_ignore_ascii_case(b"h2c") || name.to_ascii_lowercase().starts_with(b"http/")
        };
        (upgrades.next().is_none() && !list(wanted).any(is_http2)).then_some(wanted)
    }

    /// Writes the head that the endpoint gets.
    pub(super) fn write_head(&self, sticky: Option<&Sticky>, out: &mut Vec<u8>) {
        let hides = sticky.filter(|sticky| !sticky.forward);
        let request = self.request();
        out.clear();
        out.extend_from_slice(request.method().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.facts.path.target().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let authority = request.authority();
        self.write_host(authority, out);
        let is_hidden = |field: &Field<'_>| hides.is_some() && is_cookie(field);
        request.write_fields(|field| self.passes(field) && !is_hidden(field), out);
        if let Some(sticky) = hides {
            self.write_other_cookies(sticky, out);
        }
        write_framing(request.framing(), request.content_length(), out);
        self.write_hop(out);
        self.forwarded(authority).write(|name| self.changes.replace_in_request(name.as_bytes()), out);
        if !self.changes.replace_in_request(self.id_field.as_bytes()) {
            write_field(self.id_field.as_bytes(), self.id.as_bytes(), out);
        }
        self.write_set(self.changes.set_in_request(), out);
        out.extend_from_slice(b"\r\n");
    }

    /// The endpoint that the client's cookie names, whether or not there is such a one.
    pub(super) fn token(&self, sticky: &Sticky) -> Option<Token> {
        self.request().fields().filter(is_cookie).find_map(|field| sticky.find(field.value))
    }

    /// Writes the client's cookies without our own.
    fn write_other_cookies(&self, sticky: &Sticky, out: &mut Vec<u8>) {
        for field in self.request().fields().filter(|field| is_cookie(field) && self.passes(field)) {
            let begun = out.len();
            out.extend_from_slice(field.name);
            out.extend_from_slice(b": ");
            match sticky.write_others(field.value, out) {
                true => out.extend_from_slice(b"\r\n"),
                false => out.truncate(begun),
            }
        }
    }

    fn passes(&self, field: &Field<'_>) -> bool {
        let by_name = match field.known {
            Name::Other => true,
            Name::Expect => self.request().version() == Version::Http11,
            _ => false,
        };
        by_name
            && !field.reads_as(self.id_field)
            && !self.request().is_named_in_connection(field.name)
            && !self.changes.replace_in_request(field.name)
    }

    /// HTTP/1.0 knows requests without a host; endpoints that speak 1.1 must be sent one, RFC 9112 §3.2.
    fn write_host(&self, authority: Option<&str>, out: &mut Vec<u8>) {
        if self.changes.replace_in_request(b"host") {
            return;
        }
        match authority {
            Some(authority) => write_field(b"Host", authority.as_bytes(), out),
            None => {
                let destination = self.facts.connection.client.destination;
                // Writing to a `Vec` cannot fail.
                let _ = match destination {
                    foreword::PeerAddr::Inet(address) => write!(out, "Host: {address}\r\n"),
                    foreword::PeerAddr::Unix => write!(out, "Host: localhost\r\n"),
                };
            }
        }
    }

    /// What holds for the hop to the endpoint: nothing, unless the protocol is to change or trailers are welcome.
    fn write_hop(&self, out: &mut Vec<u8>) {
        let wants_trailers =
            |field: Field<'_>| list(field.value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
        if let Some(protocol) = self.upgrade() {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            write_field(b"Upgrade", protocol, out);
        } else if self.request().fields_known(Name::Te).any(wants_trailers) {
            out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
        }
    }

    fn forwarded(&self, authority: Option<&'r str>) -> Forwarded<'r> {
        let believed = self.facts.believed.unwrap_or_default();
        let destination = self.facts.connection.client.destination;
        Forwarded {
            client: self.facts.client_ip(),
            https: self.facts.https,
            host: believed.host.or(authority),
            // Where the client spoke another scheme elsewhere, our port is not the one that it connected to.
            port: believed.port.or(if believed.https.is_some() { None } else { destination.port() }),
        }
    }

    fn write_set<'s>(&self, fields: impl Iterator<Item = &'s SetField>, out: &mut Vec<u8>) {
        for field in fields {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            field.value.write(&self.facts, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the fields that rules set in an answer.
    pub(super) fn write_set_in_response(&self, out: &mut Vec<u8>) {
        self.write_set(self.changes.set_in_response(), out);
    }
}

/// What becomes of the downstream connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    Close,
    KeepAlive,
}

/// Writes the line that tells it; where it goes without saying, nothing.
pub(super) fn write_persistence(persistence: Persistence, request: Version, out: &mut Vec<u8>) {
    match (persistence, request) {
        (Persistence::Close, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (Persistence::KeepAlive, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Persistence::KeepAlive, Version::Http11) => {}
    }
}

/// Writes the head of the final answer that the client gets. `framing` is that of the body as it is sent.
pub(super) fn write_answer(
    asked: &Asked<'_>,
    response: &Response<'_>,
    framing: Framing,
    persistence: Persistence,
    cookie: Option<NewCookie<'_>>,
    out: &mut Vec<u8>,
) {
    out.clear();
    write_answer_fields(asked, response, |_| true, out);
    let length = response.content_length().filter(|_| response.status() != 204);
    write_framing(framing, length, out);
    write_persistence(persistence, asked.request().version(), out);
    if response.status() == 426 {
        // The protocols that would be taken belong to the answer, RFC 9110 §15.5.22.
        write_upgrade(response, out);
    }
    write_cookie(asked, cookie, out);
    asked.write_set_in_response(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an interim answer; 101 goes with the protocol that is changed to.
pub(super) fn write_interim(
    asked: &Asked<'_>,
    response: &Response<'_>,
    cookie: Option<NewCookie<'_>>,
    out: &mut Vec<u8>,
) {
    out.clear();
    write_answer_fields(asked, response, |_| true, out);
    write_cookie(asked, cookie, out);
    if response.status() == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
        write_upgrade(response, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the first line and the fields that pass: for the client, for the rules, and for `passes`.
pub(super) fn write_answer_fields(
    asked: &Asked<'_>,
    response: &Response<'_>,
    passes: impl Fn(&Field<'_>) -> bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    digits::number(response.status().into(), out);
    out.push(b' ');
    out.extend_from_slice(response.reason());
    out.extend_from_slice(b"\r\n");
    let all_pass = |field: &Field<'_>| {
        !field.known.is_for_one_hop()
            && !response.is_named_in_connection(field.name)
            && !asked.changes.replace_in_response(field.name)
            && passes(field)
    };
    response.write_fields(all_pass, out);
}

/// A cookie that a client is to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewCookie<'c> {
    pub(super) sticky: &'c Sticky,
    pub(super) token: Token,
}

/// Rules that set or remove `Set-Cookie` have the last word on ours too.
pub(super) fn write_cookie(asked: &Asked<'_>, cookie: Option<NewCookie<'_>>, out: &mut Vec<u8>) {
    if let Some(NewCookie { sticky, token }) = cookie
        && !asked.changes.replace_in_response(b"Set-Cookie")
    {
        sticky.write_set_cookie(token, asked.facts.https, out);
    }
}

fn is_cookie(field: &Field<'_>) -> bool {
    field.name.eq_ignore_ascii_case(b"cookie")
}

fn write_upgrade(response: &Response<'_>, out: &mut Vec<u8>) {
    for field in response.fields().filter(|field| field.known == Name::Upgrade) {
        write_field(field.name, field.value, out);
    }
}

pub(super) fn write_framing(framing: Framing, claimed: Option<u64>, out: &mut Vec<u8>) {
    match (framing, claimed) {
        (Framing::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (Framing::Length(length), _) | (Framing::None, Some(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            digits::number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        (Framing::None | Framing::UntilClose, _) => {}
    }
}

pub(super) fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
