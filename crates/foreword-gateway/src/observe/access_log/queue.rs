//! The bounded queue between a worker, which appends lines, and the thread that writes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::observe::counters::Counter;

/// What the metrics tell of the access log, for one worker. It outlives reloads.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct LogCounters {
    /// Lines that were queued.
    pub(crate) lines: Counter,
    /// Lines that were not written, since a rule says so.
    pub(crate) left_out: Counter,
    /// Lines that were lost because the queue was full.
    pub(crate) lost: Counter,
    /// Lines that were queued and then could not be written. Counted by the thread.
    pub(crate) unwritten: AtomicU64,
    /// Attempts to write that failed. Counted by the thread.
    pub(crate) errors: AtomicU64,
}

impl LogCounters {
    pub(crate) fn lost(&self) -> u64 {
        self.lost.get() + self.unwritten.load(Ordering::Relaxed)
    }
}

/// Lines of one worker that wait to be written. The lock is held by others only while the thread takes them all.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Queue {
    max_lines: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: usize,
}

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Appended {
    /// It is the first that waits: the thread has to be woken.
    First,
    /// Others wait already, and so does the thread's attention.
    Behind,
    /// The queue is full.
    Lost,
}

impl Queue {
    pub(super) fn new(max_lines: usize) -> Self {
        Self { max_lines, waiting: Mutex::default() }
    }

    pub(super) fn append(&self, line: impl FnOnce(&mut Vec<u8>)) -> Appended {
        let mut waiting = self.lock();
        if waiting.lines >= self.max_lines || waiting.bytes.len() >= MAX_BYTES {
            return Appended::Lost;
        }
        line(&mut waiting.bytes);
        waiting.lines += 1;
        if waiting.lines == 1 { Appended::First } else { Appended::Behind }
    }

    /// Takes all lines into `taken`, which must be empty, and leaves its room for the next ones. Gives their number.
    pub(super) fn take(&self, taken: &mut Vec<u8>) -> usize {
        // A burst must not keep its room for ever.
        if taken.capacity() > MAX_SPARE_BYTES {
            *taken = Vec::new();
        }
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.bytes, taken);
        std::mem::take(&mut waiting.lines)
    }

    /// A panic while a line was written leaves at worst a part of that line.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However long the lines: so much may wait at each worker.
const MAX_BYTES: usize = 8 << 20;
/// What stays with a queue that is empty.
const MAX_SPARE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_lines_and_an_emptied_one_takes_them_again() {
        let queue = Queue::new(2);
        let append = || queue.append(|line| line.extend_from_slice(b"x\n"));
        assert_eq!([append(), append(), append()], [Appended::First, Appended::Behind, Appended::Lost]);
        let mut taken = Vec::new();
        assert_eq!((queue.take(&mut taken), &taken[..]), (2, &b"x\nx\n"[..]));
        assert_eq!(append(), Appended::First);
    }

    #[test]
    fn long_lines_are_bounded_too() {
        let queue = Queue::new(usize::MAX);
        let long = vec![b'x'; 1 << 20];
        let appended =
            (0..100).take_while(|_| queue.append(|line| line.extend_from_slice(&long)) != Appended::Lost);
        assert_eq!(appended.count(), 8);
    }
}
