//! What a worker's HTTP connections borrow while something moves: one that is idle owns no buffer.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use foreword_http1::{NormalPath, RequestHead, ResponseHead};
use tokio::io::{AsyncRead, ReadBuf};

use super::compress::Seats;
use super::date::Date;
use crate::drain::ration::Ration;

/// Buffers and desks that nobody uses at the moment. One per worker, so nothing is locked.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// The buffer that came back last, and is most often lent next.
    last: RefCell<Box<[u8]>>,
    buffers: RefCell<Vec<Box<[u8]>>>,
    /// For those of whom much comes at once.
    wide: RefCell<Vec<Box<[u8]>>>,
    /// How many of these are on loan.
    wide_lent: Cell<usize>,
    // Boxed, since a desk is far larger than what it costs to pass a pointer on.
    #[expect(clippy::vec_box, reason = "desks move between connections, and should move as pointers")]
    desks: RefCell<Vec<Box<Desk>>>,
    /// Whether memory is short: next to nothing is kept then.
    is_frugal: Cell<bool>,
    /// What new buffers are taken from.
    ration: Rc<Ration>,
    pub(super) date: Date,
    pub(super) encoders: Seats,
}

/// What one request needs beside its buffers. Used again for the next, it allocates no more.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The request head, apart from the buffer in which the body follows it.
    pub(super) head: Vec<u8>,
    pub(super) request: RequestHead,
    pub(super) path: NormalPath,
    pub(super) response: ResponseHead,
    /// Where a redirect leads.
    pub(super) location: Vec<u8>,
    /// The head that the endpoint gets, kept in case it must be said again.
    pub(super) to_endpoint: Vec<u8>,
    /// The head, or the whole answer, that the client gets.
    pub(super) to_client: Vec<u8>,
}

impl Desk {
    /// Lets go what had to grow beyond what common heads need. What is indexed is bounded by the heads themselves.
    fn clear(&mut self) {
        for bytes in [&mut self.head, &mut self.location, &mut self.to_endpoint, &mut self.to_client] {
            let_go(bytes);
        }
    }
}

/// Lets bytes go that are not needed again, but keeps the room that the next request needs anyway.
pub(super) fn let_go(bytes: &mut Vec<u8>) {
    if bytes.capacity() > ORDINARY {
        *bytes = Vec::new();
    }
}

impl Shelf {
    pub(crate) fn of_worker(ration: Rc<Ration>) -> Self {
        Self { ration, ..Self::default() }
    }

    /// Keeps next to nothing while memory is short, and lets go what was kept.
    pub(crate) fn be_frugal(&self, is_frugal: bool) {
        self.is_frugal.set(is_frugal);
        if is_frugal {
            self.last.take();
            self.buffers.take();
            self.wide.take();
            self.desks.take();
        }
    }

    fn keeps_up_to(&self, most: usize) -> usize {
        if self.is_frugal.get() { MOST_KEPT_FRUGALLY } else { most }
    }

    /// Gives a desk away.
    pub(super) fn desk(&self) -> Box<Desk> {
        self.desks.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a desk for the next request, without what had to grow.
    pub(super) fn keep(&self, mut desk: Box<Desk>) {
        let mut desks = self.desks.borrow_mut();
        if desks.len() < self.keeps_up_to(MOST_KEPT) {
            desk.clear();
            desks.push(desk);
        }
    }

    /// A buffer that owns nothing until something comes.
    pub(super) fn buffer(&self) -> Buffer<'_> {
        Buffer { shelf: self, bytes: Box::default(), start: 0, end: 0, is_wide: false, holds_wide: false }
    }

    #[inline]
    fn lend(&self) -> Box<[u8]> {
        let last = self.last.take();
        if last.is_empty() { self.lend_another() } else { last }
    }

    #[cold]
    fn lend_another(&self) -> Box<[u8]> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| self.made(BUFFER))
    }

    /// `None` if so many are on loan that whoever asks must do with less.
    fn lend_wide(&self) -> Option<Box<[u8]>> {
        let lent = self.wide_lent.get();
        if lent >= MOST_WIDE_LENT {
            return None;
        }
        self.wide_lent.set(lent + 1);
        Some(self.wide.borrow_mut().pop().unwrap_or_else(|| self.made(WIDE)))
    }

    fn made(&self, len: usize) -> Box<[u8]> {
        self.ration.take(len);
        vec![0; len].into()
    }

    /// Takes a buffer back. One that had to grow is let go: few heads need it.
    #[inline]
    fn take_back(&self, bytes: Box<[u8]>) {
        if bytes.len() == BUFFER {
            let before = self.last.replace(bytes);
            if !before.is_empty() {
                self.put_behind(before);
            }
        }
    }

    fn take_back_wide(&self, bytes: Box<[u8]>) {
        self.wide_lent.set(self.wide_lent.get().saturating_sub(1));
        let mut wide = self.wide.borrow_mut();
        if wide.len() < self.keeps_up_to(MOST_WIDE_KEPT) {
            wide.push(bytes);
        }
    }

    fn put_behind(&self, bytes: Box<[u8]>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < self.keeps_up_to(MOST_KEPT) {
            buffers.push(bytes);
        }
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        usize::from(!self.last.borrow().is_empty()) + self.buffers.borrow().len()
    }
}

/// Bytes that were read and not yet passed on. It owns memory only while there are any.
#[derive(Debug)]
pub(super) struct Buffer<'w> {
    shelf: &'w Shelf,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether much is expected at once.
    is_wide: bool,
    /// Whether its memory is one of the wide ones.
    holds_wide: bool,
}

impl Buffer<'_> {
    /// What is at hand.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// What is at hand, for a body that is checked and closed up in place.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the last read brought so much that more has probably come.
    pub(super) fn comes_fast(&self) -> bool {
        self.end >= BUFFER
    }

    /// Says whether much is expected at once, from when nothing is at hand: fewer turns carry it then.
    ///
    /// If it is not, little that is at hand moves to where it takes less: it may lie there long.
    pub(super) fn expect_much(&mut self, is_wide: bool) {
        self.is_wide = is_wide;
        if !is_wide && self.holds_wide && self.bytes().len() <= BUFFER {
            self.narrow();
        }
    }

    #[cold]
    fn narrow(&mut self) {
        let mut narrow = self.shelf.lend();
        let len = self.bytes().len();
        if let Some(place) = narrow.get_mut(..len) {
            place.copy_from_slice(self.bytes());
            self.exchange(narrow);
            (self.start, self.end) = (0, len);
        }
    }

    /// Whether [`fill`](Self::fill) could read anything, growing no further than to `most` bytes.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.bytes().len() < most.max(BUFFER)
    }

    /// Forgets the first `len` bytes; with the last of them the memory goes back.
    pub(super) fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
        if self.is_empty() {
            self.release();
        }
    }

    /// Puts bytes behind those at hand, that were read before there was a buffer.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let whole: Vec<u8> = [self.bytes(), bytes].concat();
        let len = whole.len();
        self.release();
        self.bytes = self.shelf.lend();
        if len > self.bytes.len() {
            self.bytes = whole.into();
        } else if let Some(place) = self.bytes.get_mut(..len) {
            place.copy_from_slice(&whole);
        }
        (self.start, self.end) = (0, len);
    }

    /// Reads what comes, growing no further than to `most` bytes; 0 is the end of the stream.
    ///
    /// While nothing comes and nothing is at hand, no memory is held: it is on loan for the turn of each poll.
    pub(super) fn fill(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        most: usize,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_fill(cx, reader, most))
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            self.borrow();
        } else if self.end == self.bytes.len() {
            self.make_room(most);
        }
        let mut room = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        if room.remaining() == 0 {
            // The end of a stream must never be seen where only the room ended.
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let read = Pin::new(reader).poll_read(cx, &mut room);
        let came = room.filled().len();
        self.end += came;
        if self.is_empty() {
            self.release();
        }
        ready!(read)?;
        Poll::Ready(Ok(came))
    }

    #[inline]
    fn borrow(&mut self) {
        let wide = if self.is_wide { self.shelf.lend_wide() } else { None };
        self.holds_wide = wide.is_some();
        self.bytes = wide.unwrap_or_else(|| self.shelf.lend());
    }

    /// Owns `bytes` from here on, and gives back what it owned.
    #[inline]
    fn exchange(&mut self, bytes: Box<[u8]>) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if std::mem::take(&mut self.holds_wide) {
            self.shelf.take_back_wide(before);
        } else {
            self.shelf.take_back(before);
        }
    }

    #[cold]
    fn make_room(&mut self, most: usize) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        } else if self.bytes.len() < most {
            let len = (self.bytes.len() * 2).min(most);
            self.shelf.ration.take(len);
            let mut larger = vec![0; len];
            larger.splice(..self.end, self.bytes.iter().copied());
            self.exchange(larger.into());
        }
    }

    #[inline]
    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        if !self.bytes.is_empty() {
            self.exchange(Box::default());
        }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// A default head at its limit, and one TLS record of content.
pub(super) const BUFFER: usize = 16 * 1024;

/// Four TLS records, which leave in one write: what costs most is to send and to wake, not to copy. It is for those alone who
/// keep up with what is sent to them, since of each who stops taking it so much may lie here.
const WIDE: usize = 4 * BUFFER;

/// Whoever is served while memory is short uses these again and again.
const MOST_KEPT_FRUGALLY: usize = 4;

/// 1 MiB of them: of many who take much at once each has one for no longer than a turn.
const MOST_WIDE_KEPT: usize = 16;

/// 16 MiB of them a worker: whoever took much at once and then stops has one for as long as he is waited for, with as many
/// streams as he likes. Those who come when so many are out get what everybody gets.
const MOST_WIDE_LENT: usize = 256;

/// What is kept of each part of a desk: heads are longer where cookies are, and shorter elsewhere.
const ORDINARY: usize = 4 * 1024;

/// What a worker keeps when a wave of connections is over: 8 MiB of buffers, and as much in desks at the worst.
const MOST_KEPT: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_buffer_owns_memory_only_while_it_holds_bytes() {
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        assert_eq!(buffer.fill(&mut b"hello".as_slice(), BUFFER).await.unwrap(), 5);
        assert_eq!(buffer.bytes(), b"hello");
        buffer.consume(2);
        assert!(!buffer.bytes.is_empty() && shelf.kept() == 0);
        buffer.consume(3);
        assert!(buffer.bytes.is_empty());
        assert_eq!(shelf.kept(), 1);
        assert_eq!(buffer.fill(&mut b"".as_slice(), BUFFER).await.unwrap(), 0);
        assert_eq!(shelf.kept(), 1);
    }

    #[tokio::test]
    async fn a_buffer_grows_to_its_limit_and_then_says_so() {
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        let long = vec![7; 3 * BUFFER];
        let mut source = long.as_slice();
        while buffer.has_room(2 * BUFFER) {
            buffer.fill(&mut source, 2 * BUFFER).await.unwrap();
        }
        assert_eq!(buffer.bytes(), &long[..2 * BUFFER]);
        assert!(buffer.fill(&mut source, 2 * BUFFER).await.is_err());
        buffer.consume(1);
        assert_eq!(buffer.fill(&mut source, 2 * BUFFER).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn where_much_is_expected_much_is_read_at_once() {
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        let long = vec![7; 2 * WIDE];
        let mut source = long.as_slice();
        assert_eq!(buffer.fill(&mut source, BUFFER).await.unwrap(), BUFFER);
        assert!(buffer.comes_fast());
        buffer.expect_much(true);
        buffer.consume(BUFFER);
        assert_eq!(buffer.fill(&mut source, BUFFER).await.unwrap(), WIDE);
        buffer.expect_much(false);
        buffer.consume(WIDE);
        assert_eq!((shelf.kept(), shelf.wide.borrow().len()), (1, 1));
        assert_eq!(buffer.fill(&mut source, BUFFER).await.unwrap(), BUFFER);
        assert_eq!((shelf.kept(), shelf.wide.borrow().len()), (0, 1));
    }

    #[tokio::test]
    async fn however_many_take_much_at_once_no_more_is_lent_than_a_worker_has_for_them() {
        let shelf = Shelf::default();
        let long = vec![7; WIDE];
        let wide = || {
            let mut buffer = shelf.buffer();
            buffer.expect_much(true);
            buffer
        };
        let mut lent = Vec::new();
        for _ in 0..MOST_WIDE_LENT {
            let mut buffer = wide();
            assert_eq!(buffer.fill(&mut long.as_slice(), BUFFER).await.unwrap(), WIDE);
            lent.push(buffer);
        }
        let mut late = wide();
        assert_eq!(late.fill(&mut long.as_slice(), BUFFER).await.unwrap(), BUFFER);
        lent.pop();
        // What it has already it keeps, and gives back as what it is.
        assert_eq!(late.bytes().len(), BUFFER);
        late.consume(BUFFER);
        assert_eq!(shelf.wide_lent.get(), MOST_WIDE_LENT - 1);
        assert_eq!(late.fill(&mut long.as_slice(), BUFFER).await.unwrap(), WIDE);
        assert_eq!(shelf.wide_lent.get(), MOST_WIDE_LENT);
        drop((lent, late));
        assert_eq!((shelf.wide_lent.get(), shelf.wide.borrow().len()), (0, MOST_WIDE_KEPT));
    }

    #[tokio::test]
    async fn little_that_is_left_moves_to_where_it_takes_less() {
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        buffer.expect_much(true);
        let long: Vec<u8> = (0..=u8::MAX).cycle().take(WIDE).collect();
        assert_eq!(buffer.fill(&mut long.as_slice(), BUFFER).await.unwrap(), WIDE);
        buffer.consume(WIDE - BUFFER - 1);
        buffer.expect_much(false);
        assert_eq!((buffer.bytes.len(), shelf.wide_lent.get()), (WIDE, 1));
        buffer.consume(2);
        buffer.expect_much(false);
        assert_eq!((buffer.bytes.len(), shelf.wide_lent.get()), (BUFFER, 0));
        assert_eq!(buffer.bytes(), &long[WIDE - BUFFER + 1..]);
        // One that grew to the same length was never lent.
        let mut grown = shelf.buffer();
        let mut source = long.as_slice();
        while grown.bytes().len() < WIDE {
            grown.fill(&mut source, WIDE).await.unwrap();
        }
        grown.consume(WIDE);
        assert_eq!((shelf.wide_lent.get(), shelf.wide.borrow().len()), (0, 1));
    }

    #[test]
    fn what_was_read_before_comes_first() {
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        buffer.extend(b"");
        assert!(buffer.is_empty());
        buffer.extend(b"GET ");
        buffer.extend(&vec![b'a'; BUFFER]);
        assert_eq!(buffer.bytes().len(), BUFFER + 4);
        assert!(buffer.bytes().starts_with(b"GET aaa"));
    }

    #[test]
    fn a_desk_is_used_again_without_what_had_to_grow() {
        let shelf = Shelf::default();
        let mut desk = shelf.desk();
        desk.head.reserve_exact(100);
        let place: *const Desk = &raw const *desk;
        shelf.keep(desk);
        let mut desk = shelf.desk();
        assert!(std::ptr::eq(&raw const *desk, place) && desk.head.capacity() >= 100);
        desk.to_client.reserve_exact(ORDINARY + 1);
        shelf.keep(desk);
        let desk = shelf.desk();
        assert!(std::ptr::eq(&raw const *desk, place) && desk.head.capacity() >= 100);
        assert_eq!(desk.to_client.capacity(), 0);
    }
}
