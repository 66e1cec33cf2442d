//! How many frames the other side may spend on what moves nothing: `h2` answers each of them, and asks for nothing in return.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};

/// What the other side of one connection may still spend. It earns with what it is told, and with time.
#[derive(Debug)]
pub(crate) struct Budget {
    side: Side,
    left: Cell<u32>,
    most: u32,
    /// Until when time has been paid.
    paid_until: Cell<Instant>,
    has_heard: Cell<bool>,
    frames: Cell<u64>,
    end: Cell<Option<End>>,
    /// What one turn of its connection still has room for.
    turn: Cell<u32>,
    /// How many requests were answered lately, beside those that were reset.
    answered: Cell<u32>,
    /// Streams of a client whose requests nobody has been shown yet.
    unseen: RefCell<Vec<u32>>,
    newest: Cell<u32>,
    resets: RefCell<Vec<Reset>>,
    too_large: RefCell<Vec<u32>>,
}

/// Who spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Endpoint,
}

/// Why nothing more is heard of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has spent more than it had.
    Spent,
    /// It did not begin with its settings, RFC 9113 §3.4.
    NoSettings,
    /// A frame is not as long as all of its kind are.
    WrongSize,
}

/// A stream that was reset by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) stream: u32,
    pub(crate) reason: u32,
    /// Whether nobody had been shown its request.
    pub(crate) was_unseen: bool,
}

impl Budget {
    /// Of a client that may have so many requests at once: each has paid for its head until it is answered.
    pub(crate) fn of_client(streams: u32) -> Self {
        Self::new(Side::Client, FULL + streams)
    }

    /// Of an endpoint. It earns with each request.
    pub(crate) fn of_endpoint() -> Self {
        Self::new(Side::Endpoint, FULL + ASKED)
    }

    fn new(side: Side, most: u32) -> Self {
        Self {
            side,
            left: Cell::new(most),
            most,
            paid_until: Cell::new(Instant::now()),
            has_heard: Cell::new(false),
            frames: Cell::new(0),
            end: Cell::new(None),
            turn: Cell::new(TURN),
            answered: Cell::new(0),
            unseen: RefCell::default(),
            newest: Cell::new(0),
            resets: RefCell::default(),
            too_large: RefCell::default(),
        }
    }

    /// Takes note that something came, be it a frame or not.
    pub(crate) fn heard(&self) {
        self.has_heard.set(true);
    }

    /// Whether anything has come.
    pub(crate) fn has_heard(&self) -> bool {
        self.has_heard.get()
    }

    /// Takes note of a frame from the other side, and tells whether it may still be heard.
    pub(crate) fn received(&self, frame: Frame) -> bool {
        let place = self.frames.get();
        self.frames.set(place + 1);
        self.turn.set(self.turn.get().saturating_sub(self.weight(frame)));
        if place == 0 && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
            self.end.set(Some(End::NoSettings));
        } else if !has_its_size(frame) {
            self.end.set(Some(End::WrongSize));
        } else {
            self.spend(self.price(frame));
            self.note_stream(frame);
        }
        self.end.get().is_none()
    }

    /// Takes note of a frame to the other side. Whoever is told something may answer with windows and with as many frames as
    /// that takes; a stream of a client that had to be reset has cost us as much as one that it resets itself.
    pub(crate) fn sent(&self, frame: Frame) {
        match (self.side, frame.kind) {
            (Side::Client, HEADERS) => {
                self.earn(ANSWER);
                self.answered.set((self.answered.get() + 1).min(MOST_BEGUN - 1));
                if self.forget_unseen(frame.stream) {
                    // `h2` answers heads that are far too large by itself, with 431.
                    push_bounded(&self.too_large, frame.stream);
                }
            }
            (Side::Endpoint, HEADERS) => self.earn(ASKED),
            (_, DATA) if frame.len > 0 => self.earn(2),
            (Side::Client, RST_STREAM) => {
                let was_unseen = self.forget_unseen(frame.stream);
                let is_a_fault = was_unseen && frame.reason != REFUSED_STREAM;
                self.spend(if is_a_fault { FAULT } else { RESET_BY_US });
                self.answered.set(self.answered.get() / 2);
                push_bounded(&self.resets, Reset { stream: frame.stream, reason: frame.reason, was_unseen });
            }
            _ => {}
        }
    }

    /// A second head on a stream is its trailers.
    fn note_stream(&self, frame: Frame) {
        match (self.side, frame.kind) {
            (Side::Client, HEADERS) if frame.stream > self.newest.get() => {
                self.newest.set(frame.stream);
                push_bounded(&self.unseen, frame.stream);
            }
            (Side::Client, RST_STREAM) => {
                self.forget_unseen(frame.stream);
                self.answered.set(self.answered.get() / 2);
            }
            _ => {}
        }
    }

    /// Takes note that somebody is shown the request of this stream.
    pub(crate) fn shown(&self, stream: u32) {
        self.forget_unseen(stream);
    }

    fn forget_unseen(&self, stream: u32) -> bool {
        let mut unseen = self.unseen.borrow_mut();
        match unseen.iter().position(|&other| other == stream) {
            Some(place) => {
                unseen.swap_remove(place);
                true
            }
            None => false,
        }
    }

    /// Why nothing more is heard of the other side, if so.
    pub(crate) fn end(&self) -> Option<End> {
        self.end.get()
    }

    /// Begins a turn: whoever serves the connection has let others have theirs.
    pub(crate) fn begin_turn(&self) {
        self.turn.set(TURN);
    }

    /// Whether as much was heard in this turn as there is room for.
    pub(crate) fn is_turn_over(&self) -> bool {
        self.turn.get() == 0
    }

    /// How many requests of a client begin in one turn: one, until it has shown that it asks to be answered. What begins costs most,
    /// and others of the worker wait for the end of the turn.
    pub(crate) fn most_begun(&self) -> usize {
        (1 + self.answered.get()) as usize
    }

    /// How many frames the other side has sent.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Whether streams were ended unseen since they were taken last.
    pub(crate) fn has_ended_streams(&self) -> bool {
        !self.resets.borrow().is_empty() || !self.too_large.borrow().is_empty()
    }

    /// The streams whose heads were answered as too large since this was asked last.
    pub(crate) fn take_too_large(&self) -> Vec<u32> {
        std::mem::take(&mut *self.too_large.borrow_mut())
    }

    /// The streams that were reset since this was asked last.
    pub(crate) fn take_resets(&self) -> Vec<Reset> {
        std::mem::take(&mut *self.resets.borrow_mut())
    }

    /// What a frame costs. A body is free, as it has limits of its own; a head of a client is paid back with its answer.
    fn price(&self, frame: Frame) -> u32 {
        let goes_on = frame.flags & END_STREAM == 0;
        match frame.kind {
            DATA if goes_on && is_empty(frame) => 1,
            DATA if goes_on && self.side == Side::Client && frame.len < SHORTEST_MESSAGE => 1,
            DATA => 0,
            HEADERS => HEAD,
            RST_STREAM => RESET,
            // One frame may hold thousands of settings.
            SETTINGS => 1 + frame.len / 64,
            CONTINUATION => 2,
            // PRIORITY, PING, WINDOW_UPDATE, GOAWAY, and whatever nobody knows.
            _ => 1 + frame.len / 256,
        }
    }

    /// What a frame takes of a turn.
    fn weight(&self, frame: Frame) -> u32 {
        match (self.side, frame.kind) {
            (Side::Client, HEADERS) => TURN / MOST_HEADS + frame.len / BYTES_OF_HEADS,
            (Side::Client, CONTINUATION) => 1 + frame.len / BYTES_OF_HEADS,
            _ => 1,
        }
    }

    fn earn(&self, amount: u32) {
        self.left.set(self.left.get().saturating_add(amount).min(self.most));
    }

    fn spend(&self, price: u32) {
        if price > self.left.get() {
            self.earn_by_time();
        }
        match self.left.get().checked_sub(price) {
            Some(left) => self.left.set(left),
            None => self.end.set(Some(End::Spent)),
        }
    }

    /// The clock is asked only where it matters.
    fn earn_by_time(&self) {
        let now = Instant::now();
        let earned = now.duration_since(self.paid_until.get()).as_millis() / u128::from(MILLIS_PER_UNIT);
        self.paid_until.set(now);
        self.earn(u32::try_from(earned).unwrap_or(self.most));
    }
}

/// Whether a frame is as long as its kind wants, RFC 9113 §6. `h2` knows as well, but does not say so by the right name.
fn has_its_size(frame: Frame) -> bool {
    match frame.kind {
        PRIORITY => frame.len == 5,
        RST_STREAM | WINDOW_UPDATE => frame.len == 4,
        SETTINGS => frame.len.is_multiple_of(6) && (frame.flags & ACK == 0 || frame.len == 0),
        PING => frame.len == 8,
        GOAWAY => frame.len >= 8,
        _ => true,
    }
}

/// Whether no more than padding is in it.
fn is_empty(frame: Frame) -> bool {
    frame.len == 0 || (frame.flags & PADDED != 0 && frame.len <= 256)
}

/// As many as there can be streams at once, and then some: whoever asks does so each turn.
fn push_bounded<T>(list: &RefCell<Vec<T>>, item: T) {
    let mut list = list.borrow_mut();
    if list.len() < MOST_NOTES {
        list.push(item);
    }
}

/// What a connection has at the beginning, and at most: enough for the resets of a page that is left with a hundred
/// streams open, or for whoever updates windows after each byte of an early answer.
const FULL: u32 = 500;
/// Fifty units a second: more than anybody needs who pings to measure the path.
const MILLIS_PER_UNIT: u32 = 20;
/// Whoever asks without being answered, as heads that make us reset their streams are not, cannot go on for ever.
const HEAD: u32 = 1;
const ANSWER: u32 = HEAD + 1;
/// Each may have cost a request to an endpoint.
const RESET: u32 = 4;
/// What a request gives its endpoint: a head, trailers, a reset and some windows.
const ASKED: u32 = 8;
/// Shorter than any message of those who send many: those of gRPC begin with five bytes, those of a WebSocket with six.
const SHORTEST_MESSAGE: u32 = 5;
/// As much as an answer of our own earns, so that requests may be refused unread for ever.
const RESET_BY_US: u32 = 3;
/// What nobody was shown since it broke a rule. Nobody does who means it.
const FAULT: u32 = 6;
/// RFC 9113 §7. More streams than there may be are begun by whoever has not heard yet how many may.
const REFUSED_STREAM: u32 = 7;
const MOST_NOTES: usize = 1024;
/// How many frames are heard in one turn: few enough that nobody waits long for its end, many enough that large bodies do not
/// notice. `h2` ends connections on which more small pieces of bodies wait.
const TURN: u32 = 256;
/// How many of them may be heads of requests. Fewer would cost more: what comes behind a head may spare us the request, as its reset
/// does, and each turn costs as well.
const MOST_HEADS: u32 = 32;
/// Heads of so many bytes are as much as one frame: a turn has room for 4 KiB of them, of which each byte may stand for a field.
const BYTES_OF_HEADS: u32 = 16;
/// How many requests begin in one turn of whoever is answered: fewer than many ask for at once, and enough that turns cost nothing.
const MOST_BEGUN: u32 = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, len: u32) -> Frame {
        Frame { kind, flags, stream: 1, len, reason: 0 }
    }

    /// Of a client that has sent its settings.
    fn greeted() -> Budget {
        let budget = Budget::of_client(100);
        assert!(budget.received(frame(SETTINGS, 0, 0)));
        budget
    }

    /// How many of these frames are heard, one right after the other.
    fn heard(frame: Frame) -> usize {
        let budget = greeted();
        (0..10_000).take_while(|_| budget.received(frame)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_move_nothing_are_heard_a_few_hundred_times() {
        for (what, frame) in [
            ("empty DATA", frame(DATA, 0, 0)),
            ("DATA of a byte", frame(DATA, 0, 1)),
            ("padding alone", frame(DATA, PADDED, 200)),
            ("PRIORITY", frame(PRIORITY, 0, 5)),
            ("RST_STREAM", frame(RST_STREAM, 0, 4)),
            ("SETTINGS", frame(SETTINGS, 0, 6)),
            ("a large SETTINGS", frame(SETTINGS, 0, 16_380)),
            ("PING", frame(PING, 0, 8)),
            ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 4)),
            ("CONTINUATION", frame(CONTINUATION, 0, 0)),
            ("an unknown frame", frame(0xfe, 0, 16_384)),
        ] {
            let heard = heard(frame);
            assert!((1..=600).contains(&heard), "{what}: {heard}");
        }
        assert_eq!(heard(frame(DATA, 0, 100)), 10_000);
        assert_eq!(heard(frame(DATA, 0, SHORTEST_MESSAGE)), 10_000);
        assert!((500..=600).contains(&heard(frame(HEADERS, 4, 100))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_may_update_its_windows_for_ever() {
        let budget = greeted();
        for _ in 0..100_000 {
            budget.sent(frame(DATA, 0, 16_384));
            assert!(
                budget.received(frame(WINDOW_UPDATE, 0, 4)) && budget.received(frame(WINDOW_UPDATE, 0, 4))
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_may_ask_for_ever() {
        let budget = greeted();
        for _ in 0..1000 {
            assert!((0..100).all(|_| budget.received(frame(HEADERS, 5, 50))));
            (0..100).for_each(|_| budget.sent(frame(HEADERS, 4, 20)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_does_more_in_a_turn_and_who_resets_does_less() {
        let budget = greeted();
        let heads_of_a_turn = || {
            budget.begin_turn();
            (0..100).take_while(|_| !budget.is_turn_over() && budget.received(frame(HEADERS, 5, 50))).count()
        };
        assert_eq!((heads_of_a_turn(), budget.most_begun()), (24, 1));
        (0..9).for_each(|_| budget.sent(frame(HEADERS, 4, 20)));
        assert_eq!(budget.most_begun(), 10);
        (0..100).for_each(|_| budget.sent(frame(HEADERS, 4, 20)));
        assert_eq!((heads_of_a_turn(), budget.most_begun()), (24, 16));
        assert!(budget.received(frame(RST_STREAM, 0, 4)));
        assert_eq!(budget.most_begun(), 8);
        (0..4).for_each(|_| budget.sent(frame(RST_STREAM, 0, 4)));
        assert_eq!((heads_of_a_turn(), budget.most_begun()), (24, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longer_heads_are_the_fewer_are_heard_in_a_turn() {
        let budget = greeted();
        let heard_of = |len| {
            budget.begin_turn();
            (0..100).take_while(|_| !budget.is_turn_over() && budget.received(frame(HEADERS, 5, len))).count()
        };
        assert_eq!([0, 20, 500, 1000, 16_384].map(heard_of), [32, 29, 7, 4, 1]);
        budget.begin_turn();
        assert!(budget.received(frame(CONTINUATION, 4, 4096)) && budget.is_turn_over());
    }

    #[tokio::test(start_paused = true)]
    async fn who_pings_now_and_then_may_do_so_for_ever() {
        let budget = greeted();
        for _ in 0..10_000 {
            tokio::time::advance(Duration::from_millis(25)).await;
            assert!(budget.received(frame(PING, 0, 8)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_makes_us_reset_pays_for_it_as_who_resets() {
        let budget = greeted();
        let reset = Frame { reason: 1, ..frame(RST_STREAM, 0, 4) };
        let pairs = (0..10_000).take_while(|_| {
            budget.sent(reset);
            budget.received(frame(HEADERS, 4, 20)) && budget.received(frame(WINDOW_UPDATE, 0, 4))
        });
        assert!(pairs.count() < 500);
        assert_eq!(budget.take_resets().first(), Some(&Reset { stream: 1, reason: 1, was_unseen: false }));
        assert!(budget.take_resets().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_break_a_rule_cost_more_than_those_that_are_one_too_many() {
        let heard_with = |reason| {
            let budget = greeted();
            let heard = (0..1000).take_while(|n| {
                let stream = 2 * n + 1;
                let is_heard = budget.received(Frame { stream, ..frame(HEADERS, 5, 20) });
                budget.sent(Frame { stream, reason, ..frame(RST_STREAM, 0, 4) });
                is_heard
            });
            heard.count()
        };
        let (protocol_error, refused_stream) = (1, 7);
        assert_eq!([protocol_error, refused_stream].map(heard_with), [86, 150]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_begins_with_its_settings() {
        for first in [frame(SETTINGS, ACK, 0), frame(PING, 0, 8), frame(HEADERS, 4, 20)] {
            let budget = Budget::of_client(100);
            assert!(!budget.received(first));
            assert_eq!(budget.end(), Some(End::NoSettings));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_moves_nothing_is_heard_a_few_hundred_times() {
        let of_stream = |flags| Frame { stream: 1, ..frame(HEADERS, flags, 20) };
        for (what, frame) in [
            ("interim answers", of_stream(4)),
            ("empty DATA", frame(DATA, 0, 0)),
            ("RST_STREAM", frame(RST_STREAM, 0, 4)),
            ("SETTINGS", frame(SETTINGS, 0, 6)),
            ("PING", frame(PING, 0, 8)),
            ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 4)),
            ("an unknown frame", frame(0xfe, 0, 100)),
        ] {
            let budget = Budget::of_endpoint();
            assert!(budget.received(self::frame(SETTINGS, 0, 0)));
            budget.sent(self::frame(HEADERS, 4, 100));
            let heard = (0..10_000).take_while(|_| budget.received(frame)).count();
            assert!((1..=600).contains(&heard), "{what}: {heard}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_may_answer_for_ever_and_refuse_for_ever() {
        let budget = Budget::of_endpoint();
        assert!(budget.received(frame(SETTINGS, 0, 0)));
        for _ in 0..10_000 {
            budget.sent(frame(HEADERS, 4, 100));
            assert!(budget.received(frame(WINDOW_UPDATE, 0, 4)) && budget.received(frame(HEADERS, 4, 20)));
            assert!(budget.received(frame(DATA, 0, 1)) && budget.received(frame(HEADERS, 5, 20)));
            budget.sent(frame(HEADERS, 5, 100));
            assert!(budget.received(frame(RST_STREAM, 0, 4)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_request_that_nobody_was_shown_is_told() {
        let budget = greeted();
        let of = |stream, kind| Frame { stream, ..frame(kind, 5, 20) };
        assert!([1, 3].into_iter().all(|stream| budget.received(of(stream, HEADERS))));
        budget.shown(1);
        budget.sent(of(1, HEADERS));
        assert!(!budget.has_ended_streams());
        budget.sent(of(3, HEADERS));
        assert_eq!((budget.take_too_large(), budget.has_ended_streams()), (vec![3], false));
    }
}
