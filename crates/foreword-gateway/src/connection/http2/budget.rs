//! How many frames a connection may spend on what moves nothing: `h2` answers each of them, and asks for nothing in return.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};

/// What one connection may still spend. It earns with what it is answered, and with time.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u32>,
    most: u32,
    /// Until when time has been paid.
    paid_until: Cell<Instant>,
    has_heard: Cell<bool>,
    frames: Cell<u64>,
    end: Cell<Option<End>>,
    resets: RefCell<Vec<Reset>>,
}

/// Why nothing more is heard of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has spent more than it had.
    Spent,
    /// It did not begin with its settings, RFC 9113 §3.4.
    NoSettings,
    /// A frame is not as long as all of its kind are.
    WrongSize,
}

/// A stream that was reset by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset {
    pub(super) stream: u32,
    pub(super) reason: u32,
}

impl Budget {
    /// Of a connection that may have so many requests at once: each has paid for its head until it is answered.
    pub(super) fn new(streams: u32) -> Self {
        let most = FULL + streams;
        Self {
            left: Cell::new(most),
            most,
            paid_until: Cell::new(Instant::now()),
            has_heard: Cell::new(false),
            frames: Cell::new(0),
            end: Cell::new(None),
            resets: RefCell::default(),
        }
    }

    /// Takes note that something came, be it a frame or not.
    pub(super) fn heard(&self) {
        self.has_heard.set(true);
    }

    /// Whether anything has come.
    pub(super) fn has_heard(&self) -> bool {
        self.has_heard.get()
    }

    /// Takes note of a frame from the client, and tells whether it may still be heard.
    pub(super) fn received(&self, frame: Frame) -> bool {
        let place = self.frames.get();
        self.frames.set(place + 1);
        if place == 0 && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
            self.end.set(Some(End::NoSettings));
        } else if !has_its_size(frame) {
            self.end.set(Some(End::WrongSize));
        } else {
            self.spend(price(frame));
        }
        self.end.get().is_none()
    }

    /// Takes note of a frame to the client. What it is told of its requests may be answered with windows; a stream that had
    /// to be reset has cost us as much as one that it resets itself.
    pub(super) fn sent(&self, frame: Frame) {
        match frame.kind {
            HEADERS => self.earn(ANSWER),
            DATA if frame.len > 0 => self.earn(2),
            RST_STREAM => {
                self.spend(RESET_BY_US);
                // As many as there can be streams at once, and then some: whoever is told of them does so each turn.
                let mut resets = self.resets.borrow_mut();
                if resets.len() < MOST_RESETS {
                    resets.push(Reset { stream: frame.stream, reason: frame.reason });
                }
            }
            _ => {}
        }
    }

    /// Why nothing more is heard of the client, if so.
    pub(super) fn end(&self) -> Option<End> {
        self.end.get()
    }

    /// How many frames the client has sent.
    pub(super) fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Whether streams were reset since they were taken last.
    pub(super) fn has_resets(&self) -> bool {
        !self.resets.borrow().is_empty()
    }

    /// The streams that were reset since this was asked last.
    pub(super) fn take_resets(&self) -> Vec<Reset> {
        std::mem::take(&mut *self.resets.borrow_mut())
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

/// What a frame costs. A body is free, as it has limits of its own; a head is paid back with its answer.
fn price(frame: Frame) -> u32 {
    let is_empty = frame.len == 0 || (frame.flags & PADDED != 0 && frame.len <= 256);
    match frame.kind {
        DATA if frame.flags & END_STREAM == 0 && is_empty => 1,
        DATA => 0,
        HEADERS => HEAD,
        RST_STREAM => RESET_BY_CLIENT,
        // One frame may hold thousands of settings.
        SETTINGS => 1 + frame.len / 64,
        CONTINUATION => 2,
        // PRIORITY, PING, WINDOW_UPDATE, GOAWAY, and whatever nobody knows.
        _ => 1 + frame.len / 256,
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
const RESET_BY_CLIENT: u32 = 4;
/// As much as an answer of our own earns, so that requests may be refused unread for ever.
const RESET_BY_US: u32 = 3;
const MOST_RESETS: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, len: u32) -> Frame {
        Frame { kind, flags, stream: 1, len, reason: 0 }
    }

    /// Of a client that has sent its settings.
    fn greeted() -> Budget {
        let budget = Budget::new(100);
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
        assert_eq!(budget.take_resets().first(), Some(&Reset { stream: 1, reason: 1 }));
        assert!(budget.take_resets().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_begins_with_its_settings() {
        for first in [frame(SETTINGS, ACK, 0), frame(PING, 0, 8), frame(HEADERS, 4, 20)] {
            let budget = Budget::new(100);
            assert!(!budget.received(first));
            assert_eq!(budget.end(), Some(End::NoSettings));
        }
    }
}
