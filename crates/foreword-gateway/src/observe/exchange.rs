//! What went on in a request or a whole connection: counts, moments, and copies of the texts that a line wants.

use std::mem::take;
use std::time::{Duration, Instant};

use foreword::ClientAddr;

use super::name::{Name, Wants};
use crate::policy::terms::LogShare;

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

    pub(super) fn text_at(&self, place: usize) -> Option<&[u8]> {
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

pub(super) fn place(name: Name) -> Option<usize> {
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
pub(super) mod tests {
    use super::*;

    /// An exchange of which nothing is as in one that has just begun, but that it has no client of its own.
    pub(in super::super) fn all_told() -> Exchange {
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
