//! What is known of a connection and of what went on in it: the facts behind one line of the access log.

use std::mem::take;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foreword::{ClientAddr, PeerAddr};

use super::counters::Closing;
use super::name::{Name, Wants};
use super::termination;
use crate::policy::terms::LogShare;
use crate::refusal::{Code, Refusal};

/// What the TLS handshake settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsKnown {
    /// Empty where TLS passes through, as is the next.
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) sni: Option<Box<str>>,
    pub(crate) alpn: Option<Box<[u8]>>,
    pub(crate) client: Option<ClientKnown>,
}

/// What a client's certificate said.
#[derive(Clone, Debug)]
pub(crate) struct ClientKnown {
    pub(crate) cn: Option<Box<str>>,
    pub(crate) serial: Box<str>,
    pub(crate) fingerprint: Box<str>,
}

/// What is known of a connection; all its requests share it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) opened: Instant,
    /// By which its worker tells it from the others.
    pub(crate) number: u32,
    pub(crate) peer: PeerAddr,
    pub(crate) local: PeerAddr,
    /// Until a header was believed, the peer is all that is known of the client.
    pub(crate) client: ClientAddr,
    /// Where the client wanted to go; until a header was believed, our own end.
    pub(crate) destination: PeerAddr,
    pub(crate) header_version: Option<u8>,
    pub(crate) trust: Option<Arc<str>>,
    pub(crate) tls: Option<Box<TlsKnown>>,
    pub(crate) header_done: Moment,
    pub(crate) handshake_done: Moment,
}

/// What went on: in one request, or in a whole tcp connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) begun: Instant,
    /// What was copied from the request, once, because the format asks for it.
    text: Vec<u8>,
    /// Where in there each of [`TEXTS`] is. It is apart since a tunnel keeps an exchange for as long as it lasts: the
    /// runtime aligns what it keeps of a socket, and something small fits into the gap.
    spans: Box<[Span]>,
    pub(crate) fields: Vec<Span>,
    /// Whom a believed X-Forwarded-For names; where it has no port, the port is 0.
    pub(crate) client: Option<ClientAddr>,
    pub(crate) version: Option<HttpVersion>,
    pub(crate) status: u16,
    pub(crate) retries: u16,
    pub(crate) reused: bool,
    pub(crate) forwarded: bool,
    /// Whether its line is written.
    pub(crate) log: LogShare,
    pub(crate) head_done: Moment,
    /// For how long it waited for a connection to an endpoint to end.
    pub(crate) queued: Option<Duration>,
    pub(crate) connected: Moment,
    pub(crate) first_byte: Moment,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// How many of them were heads; Apache does not count those.
    pub(crate) head_sent: u64,
    pub(crate) upstream_sent: u64,
    pub(crate) upstream_received: u64,
    pub(crate) datagrams: Datagrams,
}

/// How many datagrams a flow had from downstream, and to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Datagrams {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Exchange {
    pub(crate) fn new(begun: Instant) -> Self {
        Self::in_room(begun, Vec::new(), [Span::ABSENT; TEXTS.len()].into(), Vec::new())
    }

    /// One of which nothing is known, with room for what will be.
    fn in_room(begun: Instant, text: Vec<u8>, spans: Box<[Span]>, fields: Vec<Span>) -> Self {
        Self {
            begun,
            text,
            spans,
            fields,
            client: None,
            version: None,
            status: 0,
            retries: 0,
            reused: false,
            forwarded: false,
            log: LogShare::ALL,
            head_done: Moment::NEVER,
            queued: None,
            connected: Moment::NEVER,
            first_byte: Moment::NEVER,
            received: 0,
            sent: 0,
            head_sent: 0,
            upstream_sent: 0,
            upstream_received: 0,
            datagrams: Datagrams::default(),
        }
    }

    /// Forgets everything but the room that it took, so that the next request copies into warm memory.
    pub(crate) fn renew(&mut self, begun: Instant) {
        let Self { text, spans, fields, .. } = self;
        let (mut text, mut spans, mut fields) = (take(text), take(spans), take(fields));
        text.clear();
        // One long request must not keep its room for ever.
        text.shrink_to(MAX_WARM_TEXT);
        spans.fill(Span::ABSENT);
        fields.clear();
        *self = Self::in_room(begun, text, spans, fields);
    }

    /// Copies what the format wants of `bytes`; the last copy counts.
    pub(crate) fn keep(&mut self, wants: Wants, name: Name, bytes: &[u8]) {
        if !wants.has(name) {
            return;
        }
        let span = self.copy(bytes, longest(name));
        self.settle(name, span);
    }

    fn settle(&mut self, name: Name, span: Span) {
        if let Some(kept) = place(name).and_then(|place| self.spans.get_mut(place)) {
            *kept = span;
        }
    }

    /// Copies one of the fields that a template names, or notes that it is absent.
    pub(crate) fn keep_field(&mut self, value: Option<&[u8]>) {
        let span = value.map_or(Span::ABSENT, |value| self.copy(value, MAX_FIELD));
        self.fields.push(span);
    }

    fn copy(&mut self, bytes: &[u8], longest: usize) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes.get(..longest).unwrap_or(bytes));
        // A request has a few dozen texts, each bounded, so both ends fit.
        Span { start: start as u32, end: self.text.len() as u32 }
    }

    /// All that was copied.
    pub(crate) fn all_texts(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn text(&self, name: Name) -> Option<&[u8]> {
        self.text_at(place(name)?)
    }

    fn text_at(&self, place: usize) -> Option<&[u8]> {
        self.at(*self.spans.get(place)?)
    }

    pub(crate) fn field(&self, place: usize) -> Option<&[u8]> {
        self.at(*self.fields.get(place)?)
    }

    fn at(&self, span: Span) -> Option<&[u8]> {
        if span == Span::ABSENT {
            return None;
        }
        self.text.get(span.start as usize..span.end as usize)
    }
}

/// The version of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

impl HttpVersion {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// A place in the text of an [`Exchange`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const ABSENT: Self = Self { start: u32::MAX, end: u32::MAX };
}

/// When something happened, in microseconds from the beginning; an hour and eleven minutes is as late as it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment(u32);

impl Moment {
    pub(crate) const NEVER: Self = Self(u32::MAX);

    pub(crate) fn since(beginning: Instant) -> Self {
        Self::between(beginning, Instant::now())
    }

    pub(crate) fn between(beginning: Instant, moment: Instant) -> Self {
        let passed = moment.saturating_duration_since(beginning);
        let micros = u32::try_from(passed.as_micros()).unwrap_or(u32::MAX);
        Self(micros.min(u32::MAX - 1))
    }

    pub(crate) fn since_beginning(self) -> Option<Duration> {
        (self != Self::NEVER).then(|| Duration::from_micros(self.0.into()))
    }

    /// How long it took from `earlier`, or from the beginning where that never happened.
    pub(crate) fn after(self, earlier: Self) -> Option<Duration> {
        let earlier = if earlier == Self::NEVER { 0 } else { earlier.0 };
        (self != Self::NEVER).then(|| Duration::from_micros(self.0.saturating_sub(earlier).into()))
    }
}

/// All that one line can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) listener: &'a str,
    pub(crate) known: &'a Known,
    pub(crate) exchange: &'a Exchange,
    pub(crate) closing: Closing,
    pub(crate) code: Option<Code>,
    /// Whose doing it was, where one side went away or stopped.
    pub(crate) side: Option<Side>,
    pub(crate) began: SystemTime,
    pub(crate) took: Duration,
    /// Whether the line tells of a request, not of a whole connection.
    pub(crate) is_http: bool,
    /// Whether it tells of a flow of datagrams.
    pub(crate) is_flow: bool,
    /// Connections that are open in the process and at the listener, this one among them.
    pub(crate) open: [usize; 2],
}

/// How a connection or request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// As its sides wished: answered, or forwarded until both had closed.
    Complete,
    /// It connected and closed without a byte. Counted, not told.
    Probe,
    /// We ended it, and can say why.
    Refused(Refusal<'a>),
    /// One side closed or reset it before its time.
    Aborted(Side),
    /// Nothing moved for the listener's idle time.
    TimedOut(Side),
    /// The drain's deadline came, or its task was dropped.
    CutOff,
    /// Its task panicked.
    Panicked,
}

impl Outcome<'_> {
    /// A record that was dropped unclosed: its task was cut off, or is unwinding.
    pub(crate) fn of_a_drop() -> Self {
        if std::thread::panicking() { Self::Panicked } else { Self::CutOff }
    }

    pub(crate) fn closing(&self) -> Closing {
        match self {
            Self::Complete => Closing::Complete,
            Self::Probe => Closing::Probe,
            Self::Refused(_) => Closing::Refused,
            Self::Aborted(_) => Closing::Aborted,
            Self::TimedOut(_) => Closing::TimedOut,
            Self::CutOff => Closing::CutOff,
            Self::Panicked => Closing::Panicked,
        }
    }

    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Panicked => Some(Code::Panicked),
            _ => None,
        }
    }

    pub(crate) fn side(&self) -> Option<Side> {
        match *self {
            Self::Aborted(side) | Self::TimedOut(side) => Some(side),
            _ => None,
        }
    }
}

/// The side that connects to us, or the side that we connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Downstream,
    Upstream,
}

/// One value of a line, before a format has written it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Absent,
    /// From the wire: to be escaped.
    Text(&'a [u8]),
    /// Ours, and plain.
    Word(&'a str),
    Number(u64),
    Ip(IpAddr),
    Unix(&'a [u8]),
    Flag(bool),
    Time(SystemTime),
    Code(Code),
    State([u8; 4]),
}

impl<'a> Entry<'a> {
    /// What the line tells under this name. Where the name is known, little is left of this.
    #[inline(always)]
    pub(crate) fn value(&self, name: Name) -> Value<'a> {
        let exchange = self.exchange;
        match name {
            Name::Timestamp => Value::Time(self.began),
            Name::Duration => nanos(Some(self.took)),
            Name::Outcome => {
                Value::Word(if self.closing == Closing::Complete { "success" } else { "failure" })
            }
            Name::Listener => Value::Text(self.listener.as_bytes()),
            Name::Status => number((exchange.status != 0).then_some(exchange.status)),
            Name::HttpVersion => {
                exchange.version.map_or(Value::Absent, |version| Value::Word(version.as_str()))
            }
            Name::BytesReceived => Value::Number(exchange.received),
            Name::BytesSent => Value::Number(exchange.sent),
            Name::DatagramsReceived => number(self.is_flow.then_some(exchange.datagrams.received)),
            Name::DatagramsSent => number(self.is_flow.then_some(exchange.datagrams.sent)),
            Name::UpstreamSent => number(exchange.forwarded.then_some(exchange.upstream_sent)),
            Name::UpstreamReceived => number(exchange.forwarded.then_some(exchange.upstream_received)),
            Name::Retries => number(exchange.forwarded.then_some(exchange.retries)),
            Name::Reused if exchange.forwarded => Value::Flag(exchange.reused),
            Name::TimeHead => nanos(exchange.head_done.since_beginning()),
            Name::TimeQueue => nanos(exchange.queued),
            Name::TimeConnect => nanos(self.connect_took()),
            Name::TimeResponse => nanos(exchange.first_byte.after(exchange.connected)),
            Name::Termination => Value::Word(self.closing.as_str()),
            Name::RefusalCode => self.code.map_or(Value::Absent, Value::Code),
            Name::TerminationState => Value::State(termination::state(self)),
            Name::Reused => Value::Absent,
            Name::ClientIp => ip(self.client().ip()),
            Name::ClientPort => number(self.client().port().filter(|&port| port != 0)),
            Name::ClientAddress => match self.client() {
                ClientAddr::Unix(path) => Value::Unix(path),
                ClientAddr::Inet(_) => Value::Absent,
            },
            name => match place(name) {
                Some(place) => exchange.text_at(place).map_or(Value::Absent, Value::Text),
                None => self.known.value(name),
            },
        }
    }

    /// Whom it was for: a request may have a client of its own, whom a proxy behind the connection's client names.
    pub(crate) fn client(&self) -> &'a ClientAddr {
        self.exchange.client.as_ref().unwrap_or(&self.known.client)
    }

    /// From a request's head, or from a connection's last preparation, until an endpoint was ready.
    pub(crate) fn connect_took(&self) -> Option<Duration> {
        let prepared = match self.is_http {
            true => self.exchange.head_done,
            false if self.known.handshake_done != Moment::NEVER => self.known.handshake_done,
            false => self.known.header_done,
        };
        self.exchange.connected.after(prepared)
    }
}

impl Known {
    #[inline(always)]
    fn value(&self, name: Name) -> Value<'_> {
        let tls = self.tls.as_deref();
        let client = tls.and_then(|tls| tls.client.as_ref());
        match name {
            Name::PeerIp => ip(self.peer.ip()),
            Name::PeerPort => number(self.peer.port()),
            Name::PeerAddress if self.peer == PeerAddr::Unix => Value::Unix(&[]),
            Name::DestinationIp => ip(self.destination.ip()),
            Name::DestinationPort => number(self.destination.port()),
            Name::Trust => text(self.trust.as_deref().map(str::as_bytes)),
            Name::HeaderVersion => number(self.header_version),
            Name::TlsVersion => word(tls.map(|tls| tls.version)),
            Name::TlsCipher => word(tls.map(|tls| tls.cipher)),
            Name::TlsSni => text(tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes)),
            Name::TlsAlpn => text(tls.and_then(|tls| tls.alpn.as_deref())),
            Name::TlsClientCn => text(client.and_then(|client| client.cn.as_deref()).map(str::as_bytes)),
            Name::TlsClientSerial => text(client.map(|client| client.serial.as_bytes())),
            Name::TlsClientFingerprint => text(client.map(|client| client.fingerprint.as_bytes())),
            Name::TimeHeader => nanos(self.header_done.since_beginning()),
            Name::TimeHandshake => nanos(self.handshake_done.after(self.header_done)),
            _ => Value::Absent,
        }
    }
}

fn ip<'a>(ip: Option<IpAddr>) -> Value<'a> {
    ip.map_or(Value::Absent, Value::Ip)
}

/// A word, unless it is empty.
fn word<'a>(word: Option<&'static str>) -> Value<'a> {
    word.filter(|word| !word.is_empty()).map_or(Value::Absent, Value::Word)
}

fn text(bytes: Option<&[u8]>) -> Value<'_> {
    bytes.map_or(Value::Absent, Value::Text)
}

fn number<'a>(number: Option<impl Into<u64>>) -> Value<'a> {
    number.map_or(Value::Absent, |number| Value::Number(number.into()))
}

fn nanos<'a>(duration: Option<Duration>) -> Value<'a> {
    duration.map_or(Value::Absent, |duration| {
        Value::Number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    })
}

/// The names whose values are copied from the request or the plan.
const TEXTS: [Name; 14] = [
    Name::Method,
    Name::Target,
    Name::Path,
    Name::Query,
    Name::Host,
    Name::Referer,
    Name::UserAgent,
    Name::RequestId,
    Name::TraceId,
    Name::Rule,
    Name::Cluster,
    Name::Endpoint,
    Name::ConnectionId,
    Name::User,
];

fn place(name: Name) -> Option<usize> {
    PLACES.get(name as usize).copied().flatten().map(usize::from)
}

/// For each name its place in [`TEXTS`]: a line asks for every name, so nothing is searched.
#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
const PLACES: [Option<u8>; Name::ALL.len()] = {
    let mut places = [None; Name::ALL.len()];
    let mut place = 0;
    while place < TEXTS.len() {
        places[TEXTS[place] as usize] = Some(place as u8);
        place += 1;
    }
    places
};

/// A line must stay a line that other programs read: longer texts are cut.
const fn longest(name: Name) -> usize {
    match name {
        Name::Target | Name::Path | Name::Query => MAX_TARGET,
        _ => MAX_FIELD,
    }
}

/// A target longer than this is cut in the log, never in what is forwarded.
pub(crate) const MAX_TARGET: usize = 4096;
/// Any other text from a request longer than this is cut in the log.
pub(crate) const MAX_FIELD: usize = 1024;
/// More room than nearly every request needs.
const MAX_WARM_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_copied() {
        let mut exchange = Exchange::new(Instant::now());
        exchange.keep(Wants::NOTHING.and(Name::Path), Name::Path, b"/a");
        exchange.keep(Wants::NOTHING.and(Name::Path), Name::Method, b"GET");
        assert_eq!(exchange.text(Name::Path), Some(&b"/a"[..]));
        assert_eq!(exchange.text(Name::Method), None);
        assert_eq!(exchange.text.len(), 2);
    }

    #[test]
    fn a_renewed_exchange_knows_nothing_and_needs_no_new_memory() {
        let mut exchange = Exchange::new(Instant::now());
        exchange.keep(Wants::EVERYTHING, Name::Path, &[b'x'; 2 * MAX_TARGET]);
        exchange.keep_field(Some(b"secret"));
        exchange.status = 200;
        assert_eq!(exchange.text(Name::Path).map(<[u8]>::len), Some(MAX_TARGET));

        exchange.renew(Instant::now());
        assert_eq!((exchange.text(Name::Path), exchange.field(0), exchange.status), (None, None, 0));
        assert!(exchange.text.capacity() > 0 && exchange.text.capacity() <= MAX_WARM_TEXT);
    }

    fn known(peer: PeerAddr, client: ClientAddr) -> Known {
        Known {
            opened: Instant::now(),
            number: 0,
            peer,
            local: PeerAddr::Unix,
            client,
            destination: peer,
            header_version: None,
            trust: None,
            tls: None,
            header_done: Moment::NEVER,
            handshake_done: Moment::NEVER,
        }
    }

    /// A connection of which there is all to tell that there can be at once.
    fn all_known() -> Known {
        let address = "127.0.0.1:80".parse().unwrap();
        let client = ClientKnown { cn: Some("cn".into()), serial: "1".into(), fingerprint: "2".into() };
        let tls = TlsKnown {
            version: "TLSv1.3",
            cipher: "cipher",
            sni: Some("sni".into()),
            alpn: Some(b"alpn".as_slice().into()),
            client: Some(client),
        };
        Known {
            header_version: Some(2),
            trust: Some("group".into()),
            tls: Some(Box::new(tls)),
            header_done: Moment(1),
            handshake_done: Moment(2),
            ..known(PeerAddr::Inet(address), ClientAddr::Inet(address))
        }
    }

    /// An exchange of which nothing is as in one that has just begun, but that it has no client of its own.
    fn all_told() -> Exchange {
        let mut exchange = Exchange::new(Instant::now());
        for name in TEXTS {
            exchange.keep(Wants::EVERYTHING, name, b"text");
        }
        Exchange {
            version: Some(HttpVersion::Http2),
            status: 200,
            retries: 1,
            reused: true,
            forwarded: true,
            head_done: Moment(1),
            queued: Some(Duration::from_micros(1)),
            connected: Moment(3),
            first_byte: Moment(4),
            received: 1,
            sent: 1,
            head_sent: 1,
            upstream_sent: 1,
            upstream_received: 1,
            datagrams: Datagrams { received: 1, sent: 1 },
            ..exchange
        }
    }

    #[test]
    fn a_name_is_of_the_connection_where_another_connection_tells_another_thing_and_no_other_request_does() {
        let (all, unix) = (all_known(), known(PeerAddr::Unix, ClientAddr::Unix(b"/a".as_slice().into())));
        let (begun, told) = (Exchange::new(Instant::now()), all_told());
        let entry = |listener, known, exchange| Entry {
            listener,
            known,
            exchange,
            closing: Closing::Complete,
            code: None,
            side: None,
            began: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
            is_http: true,
            is_flow: true,
            open: [0; 2],
        };
        let (one, other, next) =
            (entry("one", &all, &begun), entry("other", &unix, &begun), entry("one", &all, &told));
        let value = |entry: &Entry<'_>, name| format!("{:?}", entry.value(name));
        for &name in Name::ALL {
            assert_eq!(value(&one, name) != value(&other, name), name.is_of_connection(), "{name:?}");
            assert!(value(&one, name) == value(&next, name) || !name.is_of_connection(), "{name:?}");
        }
    }

    #[test]
    fn an_empty_text_is_not_an_absent_one() {
        let mut exchange = Exchange::new(Instant::now());
        exchange.keep(Wants::EVERYTHING, Name::Query, b"");
        exchange.keep_field(None);
        assert_eq!((exchange.text(Name::Query), exchange.field(0)), (Some(&b""[..]), None));
    }

    #[test]
    fn a_moment_after_one_that_never_came_is_measured_from_the_beginning() {
        let (early, late) = (Moment(10), Moment(30));
        assert_eq!(late.after(early), Some(Duration::from_micros(20)));
        assert_eq!(late.after(Moment::NEVER), Some(Duration::from_micros(30)));
        assert_eq!(Moment::NEVER.after(early), None);
    }
}
