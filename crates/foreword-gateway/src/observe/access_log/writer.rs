//! The thread that takes lines from the queues to the target. Only this thread ever waits for the target.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::queue::{Appended, LogCounters, Queue};
use super::target::Target;
use super::{AccessLogPlan, OpenError};
use crate::observe::journal::locked;
use crate::threads;

/// What the workers, the control thread and the writing thread share.
#[derive(Debug)]
pub(super) struct Shared {
    queues: Box<[Queue]>,
    counters: Arc<[LogCounters]>,
    thread: OnceLock<Thread>,
    reopen: AtomicBool,
    stop: AtomicBool,
    flushes: Mutex<Flushes>,
    flushed: Condvar,
}

/// How often a flush was asked for, and which of them is done.
#[derive(Debug, Default)]
struct Flushes {
    asked: u64,
    done: u64,
    /// The thread has ended: nothing will be written any more.
    over: bool,
}

impl Shared {
    /// Starts the thread; it ends after [`Shared::stop`].
    pub(super) fn start(
        target: Target,
        plan: &AccessLogPlan,
        counters: &Arc<[LogCounters]>,
    ) -> Result<Arc<Self>, OpenError> {
        let max_lines = plan.queue.div_ceil(counters.len().max(1));
        let shared = Arc::new(Self {
            queues: counters.iter().map(|_| Queue::new(max_lines)).collect(),
            counters: Arc::clone(counters),
            thread: OnceLock::new(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            flushes: Mutex::default(),
            flushed: Condvar::new(),
        });
        let writer = Writer { shared: Arc::clone(&shared), target, name: plan.to.to_string(), failing: None };
        let thread = threads::spawn("access-log".into(), move || writer.run());
        let thread = thread.map_err(|error| OpenError::new(&plan.to, error))?;
        let _ = shared.thread.set(thread.thread().clone());
        Ok(shared)
    }

    /// Counts a line that a worker did not write, since a rule says so.
    pub(super) fn leave_out(&self, worker: usize) {
        if let Some(counters) = self.counters.get(worker) {
            counters.left_out.add(1);
        }
    }

    /// Queues a line of a worker, and counts what becomes of it.
    pub(super) fn append(&self, worker: usize, line: impl FnOnce(&mut Vec<u8>)) -> Appended {
        let (Some(queue), Some(counters)) = (self.queues.get(worker), self.counters.get(worker)) else {
            return Appended::Lost;
        };
        let appended = queue.append(line);
        match appended {
            Appended::Lost => counters.lost.add(1),
            Appended::First | Appended::Behind => counters.lines.add(1),
        }
        appended
    }

    /// Costs a system call only when the thread sleeps for want of lines.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut flushes = locked(&self.flushes);
        flushes.asked += 1;
        let ours = flushes.asked;
        self.wake();
        let waits = |flushes: &mut Flushes| flushes.done < ours && !flushes.over;
        let waited = self.flushed.wait_timeout_while(flushes, patience, waits);
        let (flushes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        flushes.done >= ours
    }
}

/// The thread's own.
struct Writer {
    shared: Arc<Shared>,
    target: Target,
    name: String,
    /// Since when writing fails, to say so once and not with every attempt.
    failing: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        let mut lines = Vec::new();
        loop {
            // In this order: whatever was queued before a stop or flush was asked for is taken after it is seen.
            let stop = self.shared.stop.load(Ordering::Acquire);
            let asked = locked(&self.shared.flushes).asked;
            let took_any = self.take_all(&mut lines);
            self.reopen_if_asked();
            self.flushed(asked);
            match took_any {
                _ if stop => break,
                // More lines will have come after this pause, and leave in one write.
                true => thread::sleep(PAUSE),
                false => thread::park(),
            }
        }
        locked(&self.shared.flushes).over = true;
        self.shared.flushed.notify_all();
    }

    fn take_all(&mut self, lines: &mut Vec<u8>) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut took_any = false;
        for (queue, counters) in shared.queues.iter().zip(&*shared.counters) {
            lines.clear();
            if queue.take(lines) > 0 {
                took_any = true;
                self.write(lines, counters);
            }
        }
        took_any
    }

    /// Writes lines, and tries again where that fails, until it is stopped.
    fn write(&mut self, lines: &[u8], counters: &LogCounters) {
        let mut done = 0;
        loop {
            let progress = self.target.write(lines.get(done..).unwrap_or_default());
            done += progress.done;
            counters.unwritten.fetch_add(progress.too_long, Ordering::Relaxed);
            let Some(error) = progress.failed else {
                self.recovered();
                return;
            };
            // A stream that does not wait is full, not broken.
            let pause = if error.kind() == io::ErrorKind::WouldBlock { PAUSE } else { RETRY };
            if pause == RETRY {
                counters.errors.fetch_add(1, Ordering::Relaxed);
                self.failed(&error);
            }
            if self.shared.stop.load(Ordering::Acquire) {
                let unwritten = line_count(lines.get(done..).unwrap_or_default());
                counters.unwritten.fetch_add(unwritten, Ordering::Relaxed);
                return;
            }
            thread::park_timeout(pause);
            if self.reopen_if_asked() {
                // A line that was cut in the old file is whole in the new one.
                done = start_of_line(lines, done);
            }
        }
    }

    /// Whether the target is now another one.
    fn reopen_if_asked(&mut self) -> bool {
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return false;
        }
        match self.target.reopen() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(
                    "access log: expected to reopen `{}`, found {error}: the old one goes on",
                    self.name
                );
                false
            }
        }
    }

    fn flushed(&self, asked: u64) {
        let mut flushes = locked(&self.shared.flushes);
        if flushes.done < asked {
            flushes.done = asked;
            self.shared.flushed.notify_all();
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if self.failing.is_none() {
            self.failing = Some(Instant::now());
            tracing::error!(
                "access log: expected to write to `{}`, found {error}: lines wait and it is tried again every second",
                self.name
            );
        }
    }

    fn recovered(&mut self) {
        if let Some(since) = self.failing.take() {
            tracing::info!(
                "access log: `{}` takes lines again after {} s",
                self.name,
                since.elapsed().as_secs()
            );
        }
    }
}

fn line_count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Where the line begins in which `at` lies.
fn start_of_line(lines: &[u8], at: usize) -> usize {
    lines.get(..at).and_then(|before| memchr::memrchr(b'\n', before)).map_or(0, |end| end + 1)
}

/// Long enough to gather lines under load, short enough that nobody who looks at the log notices.
const PAUSE: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_begins_where_the_one_before_it_ended() {
        let lines = b"one\ntwo\nthree\n";
        assert_eq!([0, 2, 4, 6, 8, 11].map(|at| start_of_line(lines, at)), [0, 0, 4, 4, 8, 8]);
        assert_eq!(line_count(lines), 3);
    }
}
