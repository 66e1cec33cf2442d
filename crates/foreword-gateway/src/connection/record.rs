//! The record of a connection or request: opened once, filled as its story goes, closed once however it ends.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreword::{ClientAddr, PeerAddr};

use crate::observe::counters::{Introduction, StatusClass, count};
use crate::observe::entry::Known;
pub(crate) use crate::observe::entry::{ClientKnown, Outcome, Side, TlsKnown};
pub(crate) use crate::observe::exchange::HttpVersion;
use crate::observe::exchange::{Exchange, Moment};
use crate::observe::journal::{Journal, Unit};
use crate::observe::name::{Name, Wants};
use crate::policy::terms::LogShare;
use crate::refusal::{Code, Refusal};

/// The record of one connection.
#[derive(Debug)]
pub(crate) struct Record {
    journal: Rc<Journal>,
    known: Known,
    /// What the connection or flow carries; in http mode, requests have records of their own.
    exchange: Option<Box<Exchange>>,
    client_is_gone: Cell<bool>,
    closed: bool,
}

impl Record {
    /// Opens the record of a connection that was accepted now.
    pub(crate) fn open(journal: &Rc<Journal>, peer: PeerAddr, local: PeerAddr) -> Self {
        let opened = Instant::now();
        journal.counters().opened.add(1);
        let exchange = (journal.unit() != Unit::Request).then(|| journal.exchange(opened));
        Self {
            journal: Rc::clone(journal),
            known: Known {
                opened,
                number: journal.next_number(),
                peer,
                local,
                client: peer.into(),
                destination: local,
                header_version: None,
                trust: None,
                tls: None,
                header_done: Moment::NEVER,
                handshake_done: Moment::NEVER,
            },
            exchange,
            client_is_gone: Cell::new(false),
            closed: false,
        }
    }

    /// Notes who the connection was made for and where to: the PROXY header is whole, or none comes.
    pub(crate) fn client(&mut self, client: ClientAddr, destination: PeerAddr, header_version: Option<u8>) {
        let introduction = match header_version {
            None => Introduction::Direct,
            Some(1) => Introduction::V1,
            Some(_) => Introduction::V2,
        };
        count(&self.journal.counters().introductions, introduction as usize);
        self.known.header_done = Moment::since(self.known.opened);
        self.known.client = client;
        self.known.destination = destination;
        self.known.header_version = header_version;
    }

    /// The other end of the socket.
    pub(crate) fn peer(&self) -> &PeerAddr {
        &self.known.peer
    }

    /// Whom it was made for, as far as that is known.
    pub(crate) fn client_address(&self) -> &ClientAddr {
        &self.known.client
    }

    /// Notes the trust group of the peer.
    pub(crate) fn trust(&mut self, group: &Arc<str>) {
        if self.journal.wants().has(Name::Trust) {
            self.known.trust = Some(Arc::clone(group));
        }
    }

    /// Notes that the TLS handshake is done, and what it settled if the access log wants to know.
    pub(crate) fn tls(&mut self, tls: impl FnOnce() -> TlsKnown) {
        self.known.handshake_done = Moment::since(self.known.opened);
        let wants = self.journal.wants();
        if TLS_NAMES.iter().any(|&name| wants.has(name)) {
            self.known.tls = Some(Box::new(tls()));
        }
    }

    /// Notes that the client is gone: requests that end unclosed from here on end for that.
    pub(crate) fn client_is_gone(&self) {
        self.client_is_gone.set(true);
    }

    /// Opens the record of a request whose first byte came now.
    pub(crate) fn request(&self) -> RequestRecord<'_> {
        let now = Instant::now();
        RequestRecord { connection: self, exchange: Some(self.journal.exchange(now)), now }
    }

    /// Closes the record. It takes `self`, so there can be no second one.
    pub(crate) fn close(mut self, outcome: Outcome<'_>) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome<'_>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        tell(&self.journal, &self.known, None, outcome);
        if let Some(exchange) = self.exchange.take() {
            if !matches!(outcome, Outcome::Probe) {
                self.journal.write(&self.known, &exchange, &outcome, exchange.begun.elapsed());
            }
            self.journal.give_back(exchange);
        }
        count(&self.journal.counters().ended, outcome.closing() as usize);
    }
}

/// Whoever drops a record unclosed was cut off: by the drain's deadline, or by a panic.
impl Drop for Record {
    fn drop(&mut self) {
        self.finish(Outcome::of_a_drop());
    }
}

/// The record of one request; the connection's record knows the rest.
#[derive(Debug)]
pub(crate) struct RequestRecord<'c> {
    connection: &'c Record,
    exchange: Option<Box<Exchange>>,
    /// When something was last waited for. Until something is again, that is what the time is.
    now: Instant,
}

impl RequestRecord<'_> {
    /// When something was last waited for.
    pub(crate) fn last_wait(&self) -> Instant {
        self.now
    }

    /// Something was waited for: the clock is asked again.
    pub(crate) fn has_waited(&mut self) {
        self.now = Instant::now();
    }

    /// Notes whom a believed X-Forwarded-For names: this request's client, who need not be the connection's.
    pub(crate) fn client(&mut self, client: ClientAddr) {
        if let Some(exchange) = &mut self.exchange {
            exchange.client = Some(client);
        }
    }

    /// Closes the record, and tells when that was.
    pub(crate) fn close(mut self, outcome: Outcome<'_>) -> Instant {
        self.finish(outcome).unwrap_or(self.now)
    }

    fn finish(&mut self, outcome: Outcome<'_>) -> Option<Instant> {
        let exchange = self.exchange.take()?;
        let (journal, known) = (&self.connection.journal, &self.connection.known);
        let counters = journal.counters();
        count(&counters.requests, StatusClass::of(exchange.status) as usize);
        let ended = Instant::now();
        let took = ended.saturating_duration_since(exchange.begun);
        counters.durations.observe(took);
        // A panic unwinds through both records; the connection's is the one that tells of it.
        if !matches!(outcome, Outcome::Panicked) {
            tell(journal, known, exchange.client.as_ref(), outcome);
        }
        journal.write(known, &exchange, &outcome, took);
        journal.give_back(exchange);
        Some(ended)
    }
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let outcome = match Outcome::of_a_drop() {
            Outcome::CutOff if self.connection.client_is_gone.get() => Outcome::Aborted(Side::Downstream),
            outcome => outcome,
        };
        self.finish(outcome);
    }
}

/// Tells of a refusal; a request may have a client of its own.
fn tell(journal: &Journal, known: &Known, client: Option<&ClientAddr>, outcome: Outcome<'_>) {
    let client = client.unwrap_or(&known.client);
    match outcome {
        Outcome::Refused(refusal) => journal.refused(known, client, &refusal),
        Outcome::Panicked => {
            journal.refused(
                known,
                client,
                &Refusal::new(Code::Panicked, &"expected to serve, found a panic"),
            );
        }
        _ => {}
    }
}

/// What is noted in the same way of a request and, in tcp mode, of a whole connection.
pub(crate) trait Fill {
    /// The journal, and where things are noted; in http mode a connection has no such place.
    fn parts(&mut self) -> Option<(&Journal, &mut Exchange)>;

    /// When it is now. It need not be asked where nothing `has_been_awaited` since it was.
    fn now(&mut self, has_been_awaited: bool) -> Instant;

    /// Notes the head of a request: it is whole. `field` finds the first field of a name.
    fn head<'h>(&mut self, head: &Head<'h>, field: impl Fn(&str) -> Option<&'h [u8]>) {
        let now = self.now(false);
        let Some((journal, exchange)) = self.parts() else { return };
        exchange.head_done = Moment::between(exchange.begun, now);
        exchange.version = Some(head.version);
        let wants = journal.wants();
        if wants == Wants::NOTHING {
            return;
        }
        exchange.keep(wants, Name::Method, head.method);
        exchange.keep(wants, Name::Target, head.target);
        for (name, field_name) in [(Name::Referer, "referer"), (Name::UserAgent, "user-agent")] {
            if let Some(value) = wants.has(name).then(|| field(field_name)).flatten() {
                exchange.keep(wants, name, value);
            }
        }
        for name in journal.fields() {
            exchange.keep_field(field(name));
        }
    }

    /// Notes a text under one of the log's names, if the log wants it: path, query, host, request and trace id.
    fn text(&mut self, name: Name, text: &[u8]) {
        if let Some((journal, exchange)) = self.parts() {
            exchange.keep(journal.wants(), name, text);
        }
    }

    /// Notes the rule that ended the request or connection.
    fn rule(&mut self, name: &str) {
        self.text(Name::Rule, name.as_bytes());
    }

    /// Notes how many of such lines the access log is to have.
    fn log(&mut self, share: LogShare) {
        if let Some((_, exchange)) = self.parts() {
            exchange.log = share;
        }
    }

    /// Notes which cluster it is for.
    fn cluster(&mut self, name: &str) {
        self.text(Name::Cluster, name.as_bytes());
    }

    /// Notes where it is forwarded to; with another attempt, the last endpoint counts.
    fn forwarding(&mut self, endpoint: &str) {
        if let Some((journal, exchange)) = self.parts() {
            exchange.keep(journal.wants(), Name::Endpoint, endpoint.as_bytes());
            exchange.forwarded = true;
        }
    }

    /// Notes that another attempt is needed.
    fn retried(&mut self) {
        if let Some((_, exchange)) = self.parts() {
            exchange.retries = exchange.retries.saturating_add(1);
        }
    }

    /// Counts an answer that goes out as it is, since too many others are coded.
    fn left_uncoded(&mut self) {
        if let Some((journal, _)) = self.parts() {
            journal.counters().left_uncoded.add(1);
        }
    }

    /// Notes for how long it waited for its turn; each attempt may have to.
    fn waited(&mut self, duration: Duration) {
        if let Some((_, exchange)) = self.parts() {
            exchange.queued = Some(exchange.queued.unwrap_or_default() + duration);
        }
    }

    /// Notes that a connection to the endpoint is ready, and whether it is a kept one.
    fn connected(&mut self, reused: bool) {
        let now = self.now(!reused);
        if let Some((_, exchange)) = self.parts() {
            exchange.connected = Moment::between(exchange.begun, now);
            exchange.reused = reused;
        }
    }

    /// Notes the first byte of the endpoint's answer.
    fn first_byte(&mut self) {
        let now = self.now(true);
        if let Some((_, exchange)) = self.parts() {
            exchange.first_byte = Moment::between(exchange.begun, now);
        }
    }

    /// Notes the status that is sent downstream.
    fn status(&mut self, status: u16) {
        if let Some((_, exchange)) = self.parts() {
            exchange.status = status;
        }
    }

    /// Notes bytes that came from downstream. They are in the metrics at once, however long a tunnel lasts.
    fn received(&mut self, bytes: u64) {
        if let Some((journal, exchange)) = self.parts() {
            exchange.received = exchange.received.saturating_add(bytes);
            journal.counters().received.add(bytes);
        }
    }

    /// Notes bytes that went downstream.
    fn sent(&mut self, bytes: u64) {
        if let Some((journal, exchange)) = self.parts() {
            exchange.sent = exchange.sent.saturating_add(bytes);
            journal.counters().sent.add(bytes);
        }
    }

    /// Notes a datagram that came from downstream and went to the endpoint.
    fn datagram_received(&mut self, bytes: u64) {
        self.received(bytes);
        if let Some((journal, exchange)) = self.parts() {
            exchange.datagrams.received += 1;
            journal.counters().datagrams_received.add(1);
        }
    }

    /// Notes a datagram that came from the endpoint and went downstream.
    fn datagram_sent(&mut self, bytes: u64) {
        self.sent(bytes);
        if let Some((journal, exchange)) = self.parts() {
            exchange.datagrams.sent += 1;
            journal.counters().datagrams_sent.add(1);
        }
    }

    /// Notes how many of the bytes that go downstream are a head, not content; they are noted as sent besides.
    fn head_sent(&mut self, bytes: u64) {
        if let Some((_, exchange)) = self.parts() {
            exchange.head_sent = exchange.head_sent.saturating_add(bytes);
        }
    }

    /// Notes bytes that went to the endpoint.
    fn upstream_sent(&mut self, bytes: u64) {
        if let Some((_, exchange)) = self.parts() {
            exchange.upstream_sent = exchange.upstream_sent.saturating_add(bytes);
        }
    }

    /// Notes bytes that came from the endpoint.
    fn upstream_received(&mut self, bytes: u64) {
        if let Some((_, exchange)) = self.parts() {
            exchange.upstream_received = exchange.upstream_received.saturating_add(bytes);
        }
    }
}

impl Fill for Record {
    fn parts(&mut self) -> Option<(&Journal, &mut Exchange)> {
        Some((&self.journal, self.exchange.as_deref_mut()?))
    }

    fn now(&mut self, _has_been_awaited: bool) -> Instant {
        Instant::now()
    }
}

impl Fill for RequestRecord<'_> {
    fn parts(&mut self) -> Option<(&Journal, &mut Exchange)> {
        Some((&self.connection.journal, self.exchange.as_deref_mut()?))
    }

    fn now(&mut self, has_been_awaited: bool) -> Instant {
        if has_been_awaited {
            self.has_waited();
        }
        self.now
    }
}

/// What the first line of a request says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'h> {
    pub(crate) method: &'h [u8],
    /// As it was received.
    pub(crate) target: &'h [u8],
    pub(crate) version: HttpVersion,
}

const TLS_NAMES: [Name; 7] = [
    Name::TlsVersion,
    Name::TlsCipher,
    Name::TlsSni,
    Name::TlsAlpn,
    Name::TlsClientCn,
    Name::TlsClientSerial,
    Name::TlsClientFingerprint,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Observer;
    use crate::observe::counters::{Closing, Counter};
    use crate::observe::journal::{OpenNow, Scribe};

    fn journal(unit: Unit) -> Rc<Journal> {
        Scribe::new(Observer::new(1), 0).journal("web", unit, OpenNow::default())
    }

    fn open(journal: &Rc<Journal>) -> Record {
        let address = |text: &str| PeerAddr::Inet(text.parse().unwrap());
        Record::open(journal, address("10.0.0.1:5000"), address("10.0.0.2:443"))
    }

    fn ended(journal: &Journal, closing: Closing) -> u64 {
        journal.counters().ended[closing as usize].get()
    }

    #[test]
    fn a_connection_is_counted_once_when_it_opens_and_once_when_it_ends() {
        let journal = journal(Unit::Connection);
        let mut record = open(&journal);
        assert_eq!(journal.counters().open(), 1);
        record.received(10);
        record.sent(20);
        record.close(Outcome::Complete);

        let counters = journal.counters();
        assert_eq!((counters.opened.get(), counters.open()), (1, 0));
        assert_eq!((counters.received.get(), counters.sent.get()), (10, 20));
        assert_eq!(counters.ended.iter().map(Counter::get).sum::<u64>(), 1);
        assert_eq!(ended(&journal, Closing::Complete), 1);
    }

    #[test]
    fn a_record_that_is_dropped_was_cut_off() {
        let journal = journal(Unit::Request);
        let record = open(&journal);
        drop(record.request());
        drop(record);
        assert_eq!(ended(&journal, Closing::CutOff), 1);
        assert_eq!(journal.counters().requests[StatusClass::None as usize].get(), 1);
    }

    #[test]
    fn a_panic_closes_the_record_and_counts_its_code() {
        let journal = journal(Unit::Connection);
        let record = open(&journal);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _record = record;
            std::panic::resume_unwind(Box::new("as a mistake of ours would"));
        }));
        assert!(unwound.is_err());
        assert_eq!(ended(&journal, Closing::Panicked), 1);
        assert_eq!(journal.counters().refusals[Code::Panicked.index()].get(), 1);
    }

    #[test]
    fn a_panic_in_a_request_is_counted_and_told_once() {
        let journal = journal(Unit::Request);
        let record = open(&journal);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let record = record;
            let _request = record.request();
            std::panic::resume_unwind(Box::new("as a mistake of ours would"));
        }));
        assert!(unwound.is_err());
        assert_eq!(ended(&journal, Closing::Panicked), 1);
        assert_eq!(journal.counters().requests[StatusClass::None as usize].get(), 1);
        assert_eq!(journal.counters().refusals[Code::Panicked.index()].get(), 1);
    }

    #[test]
    fn each_request_is_counted_by_its_status() {
        let journal = journal(Unit::Request);
        let record = open(&journal);
        for status in [200, 204, 404, 502] {
            let mut request = record.request();
            request.status(status);
            request.close(Outcome::Complete);
        }
        let counters = journal.counters();
        let classes: Vec<u64> = counters.requests.iter().map(Counter::get).collect();
        assert_eq!(classes, [0, 0, 2, 0, 1, 1]);
        record.close(Outcome::Complete);
    }

    #[test]
    fn a_refusal_is_counted_by_code_and_requirement() {
        let journal = journal(Unit::Connection);
        let refusal = Refusal {
            requirement: Some("R-V1-05"),
            ..Refusal::new(Code::MalformedV1, &"byte 11: expected a number")
        };
        open(&journal).close(Outcome::Refused(refusal));
        assert_eq!(journal.counters().refusals[Code::MalformedV1.index()].get(), 1);
        assert_eq!(journal.counters().header_faults.iter().map(Counter::get).sum::<u64>(), 1);
    }

    #[test]
    fn counters_outlive_the_plan_that_they_began_under() {
        let observer = Observer::new(1);
        let scribe = Scribe::new(Arc::clone(&observer), 0);
        open(&scribe.journal("web", Unit::Connection, OpenNow::default())).close(Outcome::Complete);
        open(&scribe.journal("web", Unit::Connection, OpenNow::default())).close(Outcome::Complete);
        assert_eq!(scribe.journal("web", Unit::Connection, OpenNow::default()).counters().opened.get(), 2);
    }
}
