//! Standard error for processes that must not wait for it: lines queue, and a thread of their own writes them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::fmt::MakeWriter;

/// The lines of this process. Until [`start`] they have no thread.
static LINES: Lines = Lines::new();

/// Starts the thread that writes to standard error. Only the first call of a process has an effect.
pub(super) fn start() -> io::Result<()> {
    let mut state = LINES.state();
    if state.started {
        return Ok(());
    }
    // A descriptor of its own: whoever waits in the standard library's keeps everyone else from it.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let tell = |lost| tracing::error!("{lost} log lines were lost: nothing took standard error");
    thread::Builder::new().name("log".into()).spawn(move || LINES.write_to(stderr, tell))?;
    state.started = true;
    Ok(())
}

/// Queues `text` if there is a thread that writes it.
pub(super) fn queue(text: &str) -> bool {
    let started = LINES.state().started;
    if started {
        LINES.push(text.as_bytes());
    }
    started
}

/// Where the logger writes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued;

impl Write for Queued {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Queued {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Held by a process until its end, which waits a moment for lines that are not written yet.
#[derive(Debug)]
pub(crate) struct WrittenAtEnd;

impl Drop for WrittenAtEnd {
    fn drop(&mut self) {
        LINES.flush(LAST_WORDS, is_taken);
    }
}

/// Lines between those who say them, who never wait, and the thread that writes them.
#[derive(Debug)]
struct Lines {
    state: Mutex<State>,
    /// There is something to write.
    more: Condvar,
    /// There is nothing left to write.
    done: Condvar,
}

#[derive(Debug)]
struct State {
    text: Vec<u8>,
    /// Lines for which there was no room. The next one is queued only after it was told how many.
    lost: u64,
    writing: bool,
    started: bool,
}

impl Lines {
    const fn new() -> Self {
        let state = State { text: Vec::new(), lost: 0, writing: false, started: false };
        Self { state: Mutex::new(state), more: Condvar::new(), done: Condvar::new() }
    }

    /// No user of the lock leaves the state half changed, so one that a panic left is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.lost > 0 || state.text.len() + line.len() > MAX_WAITING {
            state.lost += 1;
        } else {
            state.text.extend_from_slice(line);
            self.more.notify_one();
        }
    }

    /// Writes what is queued, and tells how many lines were lost when it goes on again.
    fn write_to(&self, mut out: impl Write, tell: impl Fn(u64)) {
        loop {
            let waiting = self.more.wait_while(self.state(), |state| state.text.is_empty());
            let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
            let text = std::mem::take(&mut state.text);
            state.writing = true;
            drop(state);

            write_all(&mut out, &text);
            let lost = std::mem::take(&mut self.state().lost);
            if lost > 0 {
                tell(lost);
            }

            let mut state = self.state();
            state.writing = false;
            if state.text.is_empty() {
                self.done.notify_all();
            }
        }
    }

    /// Waits until all is written: for as long as somebody takes it, and for `patience` where nobody does.
    fn flush(&self, patience: Duration, is_taken: impl Fn() -> bool) {
        let unwritten = |state: &mut State| state.started && (state.writing || !state.text.is_empty());
        for _ in 0..MOST_WAITS {
            let waited = self.done.wait_timeout_while(self.state(), patience, unwritten);
            let late = waited.unwrap_or_else(PoisonError::into_inner).1;
            // Where there is room, it is only that the thread which writes has not had its turn: a machine may be busy.
            if !late.timed_out() || !is_taken() {
                return;
            }
        }
    }
}

/// Whether standard error has room for more.
fn is_taken() -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Writes all of it. If nobody is there to read it, there is nobody to tell.
fn write_all(out: &mut impl Write, mut text: &[u8]) {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return,
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever shares the stream with us made it one that does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(_) => return,
        }
    }
}

/// Bytes that may wait for a reader: thousands of lines, and nothing that a process would notice.
const MAX_WAITING: usize = 1024 * 1024;

/// How long a process that ends waits for a standard error that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many times that it waits in all.
const MOST_WAITS: u32 = 20;

const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc::{self, Receiver, SyncSender};
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Takes a write only when the test does.
    struct Handed(SyncSender<Vec<u8>>);

    impl Write for Handed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stalled() -> (&'static Lines, Receiver<Vec<u8>>) {
        let lines: &'static Lines = Box::leak(Box::new(Lines::new()));
        let (hand, taken) = mpsc::sync_channel(0);
        lines.state().started = true;
        thread::spawn(move || {
            lines.write_to(Handed(hand), |lost| lines.push(format!("{lost} lost\n").as_bytes()));
        });
        (lines, taken)
    }

    #[test]
    fn who_speaks_never_waits() {
        let (lines, taken) = stalled();
        lines.push(b"first\n");
        // The thread has taken the first, and stands still with it.
        while !lines.state().writing {
            thread::yield_now();
        }
        lines.push(&[b'x'; MAX_WAITING]);
        lines.push(b"no room\n");
        let state = lines.state();
        assert_eq!((state.text.len(), state.lost), (MAX_WAITING, 1));
        drop(state);
        assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), b"first\n");
    }

    #[test]
    fn lost_lines_are_told_behind_those_before_them() {
        let lines = Box::leak(Box::new(Lines::new()));
        let (hand, taken) = mpsc::sync_channel(0);
        lines.push(&[b'x'; MAX_WAITING]);
        lines.push(b"no room\n");
        lines.push(b"none here either\n");
        let lines: &'static Lines = lines;
        thread::spawn(move || {
            lines.write_to(Handed(hand), |lost| lines.push(format!("{lost} lost\n").as_bytes()));
        });
        assert_eq!(taken.recv_timeout(PATIENCE).unwrap().len(), MAX_WAITING);
        assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), b"2 lost\n");
        lines.push(b"on again\n");
        assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), b"on again\n");
    }

    #[test]
    fn a_flush_ends_when_all_is_written_or_its_time_is_up() {
        let (lines, taken) = stalled();
        lines.flush(PATIENCE, || false);
        lines.push(b"last words\n");
        let began = Instant::now();
        lines.flush(Duration::from_millis(20), || false);
        assert!(began.elapsed() >= Duration::from_millis(20));
        let reader = thread::spawn(move || taken.recv_timeout(PATIENCE).unwrap());
        lines.flush(PATIENCE, || false);
        assert!(reader.is_finished() || reader.join().is_ok_and(|text| text == b"last words\n"));
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn whoever_is_late_to_write_is_waited_for_where_somebody_takes_it() {
        let lines: &'static Lines = Box::leak(Box::new(Lines::new()));
        lines.state().started = true;
        lines.push(b"last words\n");
        let (hand, taken) = mpsc::sync_channel(1);
        // The thread gets its turn only now that it was waited for.
        let writer = Cell::new(Some(hand));
        lines.flush(LAST_WORDS, || {
            if let Some(hand) = writer.take() {
                thread::spawn(move || lines.write_to(Handed(hand), |_| ()));
            }
            true
        });
        assert_eq!(taken.try_recv().unwrap(), b"last words\n");
    }
}
