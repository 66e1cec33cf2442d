//! HAProxy's httplog and tcplog, byte for byte, so that what reads those reads ours.
//!
//! The peer's address stands where HAProxy puts captured request headers, as the second of two: `{|10.0.3.9:51514}`. What
//! reads such logs takes the first, if there is something in it, for the client's X-Forwarded-For.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::clock::{Clock, write};
use super::{Redact, escape, redact};
use crate::digits;
use crate::observe::Name;
use crate::observe::entry::Entry;
use crate::observe::termination;

/// `CLIENT:PORT [ACCEPT] FRONTEND BACKEND/SERVER TIMERS … "METHOD TARGET HTTP/1.1"`; without the request in tcp mode.
pub(super) fn line(entry: &Entry<'_>, redact: Redact, clock: &mut Clock, out: &mut Vec<u8>) {
    address(entry.client().ip(), entry.client().port(), out);
    out.extend_from_slice(b" [");
    clock.haproxy(entry.began, out);
    out.extend_from_slice(b"] ");
    route(entry, out);
    if entry.is_http {
        http(entry, redact, out);
    } else {
        tcp(entry, out);
    }
}

/// As the files that a syslog daemon writes for HAProxy begin; the parsers of such files expect it.
pub(super) fn prefix(clock: &mut Clock, host: &str, out: &mut Vec<u8>) {
    clock.syslog(SystemTime::now(), out);
    write(out, format_args!(" {host} foreword[{}]: ", std::process::id()));
}

fn http(entry: &Entry<'_>, redact: Redact, out: &mut Vec<u8>) {
    let exchange = entry.exchange;
    timer(exchange.head_done.since_beginning(), out);
    out.push(b'/');
    connect_timers(entry, out);
    timer(exchange.first_byte.after(exchange.connected), out);
    write(out, format_args!("/{} ", millis(entry.took)));
    match exchange.status {
        0 => out.extend_from_slice(b"-1"),
        status => write(out, format_args!("{status}")),
    }
    write(out, format_args!(" {} - - ", exchange.sent));
    out.extend_from_slice(&termination::state(entry));
    connections(entry, out);
    out.push(b' ');
    captured(entry, out);
    out.extend_from_slice(b" \"");
    request(entry, redact, out);
    out.push(b'"');
}

fn tcp(entry: &Entry<'_>, out: &mut Vec<u8>) {
    connect_timers(entry, out);
    write(out, format_args!("{} {} ", millis(entry.took), entry.exchange.sent));
    let [cause, phase, ..] = termination::state(entry);
    out.extend_from_slice(&[cause, phase]);
    connections(entry, out);
    out.push(b' ');
    captured(entry, out);
}

fn captured(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{|");
    address(entry.known.peer.ip(), entry.known.peer.port(), out);
    out.push(b'}');
}

/// Listener, then cluster and endpoint. HAProxy marks a TLS frontend with a tilde.
fn route(entry: &Entry<'_>, out: &mut Vec<u8>) {
    escape::hashed(entry.listener.as_bytes(), NO_WORD, out);
    if entry.known.tls.is_some() {
        out.push(b'~');
    }
    out.push(b' ');
    let cluster = entry.exchange.text(Name::Cluster);
    escape::hashed(cluster.unwrap_or(entry.listener.as_bytes()), NO_WORD, out);
    out.push(b'/');
    match entry.exchange.text(Name::Endpoint) {
        Some(endpoint) => escape::hashed(endpoint, NO_WORD, out),
        None => out.extend_from_slice(b"<NOSRV>"),
    }
    out.push(b' ');
}

/// The time in the queue, and the time to connect.
fn connect_timers(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let exchange = entry.exchange;
    let queued = exchange.queued.unwrap_or_default();
    // Whoever left the line has stood in it.
    match exchange.forwarded || exchange.queued.is_some() {
        true => write(out, format_args!("{}/", millis(queued))),
        false => out.extend_from_slice(b"-1/"),
    }
    timer(entry.connect_took().map(|took| took.saturating_sub(queued)), out);
    out.push(b'/');
}

/// Connections of the process, listener, cluster, endpoint; attempts; queues. The first two are counted; the others
/// HAProxy needs for its limits, which we do not have. A plus marks that another endpoint was tried.
fn connections(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let [process, listener] = entry.open;
    let retries = entry.exchange.retries;
    let redispatched = if retries > 0 { "+" } else { "" };
    write(out, format_args!(" {process}/{listener}/0/0/{redispatched}{retries} 0/0"));
}

fn request(entry: &Entry<'_>, redact: Redact, out: &mut Vec<u8>) {
    let exchange = entry.exchange;
    let (Some(method), Some(target)) = (exchange.text(Name::Method), exchange.text(Name::Target)) else {
        out.extend_from_slice(b"<BADREQ>");
        return;
    };
    let mut put = |bytes: &[u8]| escape::hashed(bytes, NO_REQUEST, out);
    put(method);
    put(b" ");
    match redact.query {
        true => redact::target(target, &mut put),
        false => put(target),
    }
    if let Some(version) = exchange.version {
        write(out, format_args!(" HTTP/{}", version.as_str()));
    }
}

/// What has no address is a unix socket, which HAProxy writes so.
fn address(ip: Option<IpAddr>, port: Option<u16>, out: &mut Vec<u8>) {
    let (Some(ip), Some(port)) = (ip, port) else {
        out.extend_from_slice(b"unix:1");
        return;
    };
    digits::ip(ip, out);
    out.push(b':');
    digits::number(port.into(), out);
}

fn timer(duration: Option<Duration>, out: &mut Vec<u8>) {
    match duration {
        Some(duration) => digits::number(millis(duration), out),
        None => out.extend_from_slice(b"-1"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What HAProxy encodes in a request line beside controls.
const NO_REQUEST: &[u8] = b"\"#";
/// What would end a word, or make two of it.
const NO_WORD: &[u8] = b" \"#/~{|}";
