//! Apache's combined format. The second word, which identd would have filled, holds the peer's address.

use std::net::IpAddr;

use super::clock::{Clock, write};
use super::{Redact, escape, redact};
use crate::digits;
use crate::observe::Name;
use crate::observe::entry::Entry;

/// `CLIENT PEER USER [TIME] "METHOD TARGET HTTP/1.1" STATUS BYTES "REFERER" "USER-AGENT"`.
pub(super) fn line(entry: &Entry<'_>, redact: Redact, clock: &mut Clock, out: &mut Vec<u8>) {
    address(entry.client().ip(), out);
    out.push(b' ');
    address(entry.known.peer.ip(), out);
    out.push(b' ');
    escape::quoted(entry.exchange.text(Name::User).unwrap_or(b"-"), out);
    out.extend_from_slice(b" [");
    clock.clf(entry.began, out);
    out.extend_from_slice(b"] \"");
    request(entry, redact, out);
    let exchange = entry.exchange;
    // Three digits even where there is no status, as nginx writes it, so that parsers find a number.
    write(
        out,
        format_args!("\" {:03} {} \"", exchange.status, exchange.sent.saturating_sub(exchange.head_sent)),
    );
    let referer = exchange.text(Name::Referer);
    match referer {
        Some(referer) if redact.query => redact::target(referer, &mut |bytes| escape::quoted(bytes, out)),
        referer => escape::quoted(referer.unwrap_or(b"-"), out),
    }
    out.extend_from_slice(b"\" \"");
    escape::quoted(exchange.text(Name::UserAgent).unwrap_or(b"-"), out);
    out.push(b'"');
}

fn request(entry: &Entry<'_>, redact: Redact, out: &mut Vec<u8>) {
    let exchange = entry.exchange;
    let (Some(method), Some(target)) = (exchange.text(Name::Method), exchange.text(Name::Target)) else {
        out.push(b'-');
        return;
    };
    escape::quoted(method, out);
    out.push(b' ');
    match redact.query {
        true => redact::target(target, &mut |bytes| escape::quoted(bytes, out)),
        false => escape::quoted(target, out),
    }
    if let Some(version) = exchange.version {
        write(out, format_args!(" HTTP/{}", version.as_str()));
    }
}

/// What has no address is a unix socket.
fn address(ip: Option<IpAddr>, out: &mut Vec<u8>) {
    match ip {
        Some(ip) => digits::ip(ip, out),
        None => out.extend_from_slice(b"unix:"),
    }
}
