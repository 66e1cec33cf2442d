//! One direction: bytes are copied, or moved by the kernel once there are many of them.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::Scratch;
use crate::connection::header_watch::{HeaderWatch, Seen};
use crate::connection::pipes::{Lent, Pipes};
use crate::stream::Carried;

/// What a worker carries bytes with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means<'w> {
    pub(crate) scratch: &'w Scratch,
    pub(crate) pipes: &'w Rc<Pipes>,
}

/// Which end broke, or what came that must not.
#[derive(Debug)]
pub(super) enum Broken {
    Header,
    Reading(io::Error),
    Writing(io::Error),
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    watch: HeaderWatch,
    stage: Stage,
    pace: Pace,
    unflushed: bool,
    /// What the other side has not taken yet; most of the time there is nothing.
    held: Option<Box<Held>>,
    /// The same, where the kernel holds it. An idle connection has no pipe.
    pipe: Option<Lent>,
    /// What goes out with the first bytes, and never alone; it is not counted.
    ahead: Option<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The end was read and must be passed on.
    Ended,
    Done,
}

/// Bytes that were read and not yet taken.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    written: usize,
    /// How many of the bytes that are left are ours, and so do not count.
    ours: usize,
    wait: Wait,
}

/// Whether what is held may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    No,
    /// It may yet become a header.
    Begins,
    /// It may, until this moment.
    Until(Instant),
}

impl Way {
    pub(super) fn new(watch: HeaderWatch) -> Self {
        Self {
            watch,
            stage: Stage::Open,
            pace: Pace::default(),
            unflushed: false,
            held: None,
            pipe: None,
            ahead: None,
        }
    }

    /// The same, with our own words before the first of theirs.
    pub(super) fn with(self, ahead: Vec<u8>) -> Self {
        Self { ahead: (!ahead.is_empty()).then(|| ahead.into()), ..self }
    }

    /// When what waits will have waited long enough, if any does.
    pub(super) fn begin_to_wait(&mut self) -> Option<Instant> {
        let held = self.held.as_mut()?;
        match held.wait {
            Wait::No => None,
            Wait::Until(until) => Some(until),
            Wait::Begins => {
                let until = Instant::now() + self.watch.patience();
                held.wait = Wait::Until(until);
                Some(until)
            }
        }
    }

    /// Lets go on what has waited long enough.
    pub(super) fn let_go_if_due(&mut self) {
        if let Some(held) = &mut self.held
            && let Wait::Until(until) = held.wait
            && until <= Instant::now()
        {
            self.watch.wait_no_longer();
            held.wait = Wait::No;
        }
    }

    fn waits(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.wait != Wait::No)
    }

    /// Keeps what was read behind what is kept already, with our own words before the first of theirs.
    fn hold(&mut self, read: &[u8], wait: Wait) {
        let ahead = self.ahead.take().unwrap_or_default();
        let held = self.held.get_or_insert_with(|| {
            Box::new(Held { ours: ahead.len(), bytes: ahead.into(), written: 0, wait })
        });
        held.bytes.extend_from_slice(read);
        held.wait = wait;
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Carries what can be carried now. `count` is told of what the other side took. `is_last` says whether the other
    /// direction has come to its end: then a bare socket is closed next, which says the same as its shutdown would.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_last: bool,
        from: &mut impl Carried,
        to: &mut impl Carried,
        means: Means<'_>,
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        let outcome = ready!(self.poll_to_the_end(cx, is_last, from, to, means, count));
        *self = Self { stage: Stage::Done, ..Self::new(HeaderWatch::off()) };
        Poll::Ready(outcome)
    }

    fn poll_to_the_end(
        &mut self,
        cx: &mut Context<'_>,
        is_last: bool,
        from: &mut impl Carried,
        to: &mut impl Carried,
        means: Means<'_>,
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..STEPS {
            if !self.waits() {
                ready!(self.poll_held(cx, to, count)).map_err(Broken::Writing)?;
            }
            match self.stage {
                Stage::Done => return Poll::Ready(Ok(())),
                Stage::Ended if is_last && to.bare().is_some() => return Poll::Ready(Ok(())),
                Stage::Ended => return Pin::new(&mut *to).poll_shutdown(cx).map_err(Broken::Writing),
                Stage::Open => {
                    let step = self.poll_step(cx, from, to, means, count);
                    if step.is_pending() {
                        self.pipe = None;
                        if self.unflushed {
                            ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Writing)?;
                            self.unflushed = false;
                        }
                    }
                    ready!(step)?;
                }
            }
        }
        // Others have their turn: a pipe moves so much at once that the runtime's own measure is too large.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Carried,
        to: &mut impl Carried,
        means: Means<'_>,
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        if self.pace.is_bulk() && self.watch.is_over() && from.bare().is_some() && to.bare().is_some() {
            if self.pipe.is_none() {
                self.pipe = means.pipes.lend();
            }
            if self.pipe.is_some() {
                return self.poll_splice(cx, from);
            }
            self.pace = Pace::default();
        }
        means.scratch.lend(|buffer| self.poll_copy(cx, from, to, buffer, count))
    }

    /// Fills the pipe once.
    fn poll_splice(&mut self, cx: &mut Context<'_>, from: &impl Carried) -> Poll<Result<(), Broken>> {
        let (Some(pipe), Some(socket)) = (&mut self.pipe, from.bare()) else { return Poll::Ready(Ok(())) };
        match ready!(pipe.poll_fill(cx, socket)) {
            Ok(0) => self.stage = Stage::Ended,
            Ok(moved) => self.pace.spliced(moved),
            // Nothing was moved: this kernel, or what guards it, knows no such call for this socket.
            Err(error) if is_unsupported(&error) => {
                self.pipe = None;
                self.pace = Pace::Copies;
            }
            Err(error) => return Poll::Ready(Err(Broken::Reading(error))),
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes what came; what is not taken is held.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Carried,
        to: &mut impl Carried,
        buffer: &mut [u8],
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        let room = buffer.len();
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(from).poll_read(cx, &mut buffer)).map_err(Broken::Reading)?;
        let read = buffer.filled();
        if read.is_empty() {
            self.stage = Stage::Ended;
            if let Some(held) = &mut self.held {
                held.wait = Wait::No;
            }
            return Poll::Ready(Ok(()));
        }
        self.pace.copied(read.len() == room);
        self.unflushed = true;
        match self.watch.look(read) {
            Seen::Header => return Poll::Ready(Err(Broken::Header)),
            Seen::Payload if self.held.is_none() && self.ahead.is_none() => {}
            Seen::Payload => {
                self.hold(read, Wait::No);
                return Poll::Ready(Ok(()));
            }
            Seen::Unsettled => {
                let wait = self.held.as_ref().map_or(Wait::Begins, |held| held.wait);
                self.hold(read, wait);
                return Poll::Ready(Ok(()));
            }
        }
        let written = match Pin::new(to).poll_write(cx, read) {
            Poll::Ready(written) => written.map_err(Broken::Writing)?,
            Poll::Pending => 0,
        };
        *count += written as u64;
        if let Some(rest) = read.get(written..).filter(|rest| !rest.is_empty()) {
            self.hold(rest, Wait::No);
        }
        Poll::Ready(Ok(()))
    }

    /// Has the other side take what is held.
    fn poll_held(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl Carried,
        count: &mut u64,
    ) -> Poll<io::Result<()>> {
        while let Some(held) = &mut self.held {
            let left = held.bytes.get(held.written..).unwrap_or_default();
            if left.is_empty() {
                self.held = None;
                break;
            }
            let written = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            held.written += written;
            let ours = written.min(held.ours);
            held.ours -= ours;
            *count += (written - ours) as u64;
        }
        while let (Some(pipe), Some(socket)) = (&mut self.pipe, to.bare()) {
            if pipe.is_empty() {
                break;
            }
            let moved = ready!(pipe.poll_empty(cx, socket))?;
            if moved == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *count += moved as u64;
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether so much comes that a pipe is worth its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// So many reads in a row were full.
    Filled(u8),
    /// It is, though so many times in a row little came.
    Bulk { little: u8 },
    /// It can never be.
    Copies,
}

impl Default for Pace {
    fn default() -> Self {
        Self::Filled(0)
    }
}

impl Pace {
    fn is_bulk(self) -> bool {
        matches!(self, Self::Bulk { .. })
    }

    fn copied(&mut self, full: bool) {
        *self = match *self {
            Self::Filled(before) if full && before + 1 == FULL_READS => Self::Bulk { little: 0 },
            Self::Filled(before) if full => Self::Filled(before + 1),
            Self::Copies => Self::Copies,
            _ => Self::Filled(0),
        };
    }

    fn spliced(&mut self, moved: usize) {
        *self = match *self {
            Self::Bulk { .. } if moved >= LITTLE => Self::Bulk { little: 0 },
            Self::Bulk { little } if little + 1 < LITTLES => Self::Bulk { little: little + 1 },
            _ => Self::Filled(0),
        };
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw_os_error)
        .is_some_and(|error| [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM].contains(&error))
}

/// Short connections never fill the buffer twice, and copying is cheaper for them.
const FULL_READS: u8 = 2;

/// Below this a copy costs less than the second call.
const LITTLE: usize = 4096;

/// Who sends little so many times in a row has come to the end of what was much.
const LITTLES: u8 = 8;

/// How often one direction reads before others have their turn.
const STEPS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_worth_it_after_two_full_reads_and_until_little_comes() {
        let mut pace = Pace::default();
        for (full, bulk) in [(true, false), (false, false), (true, false), (true, true)] {
            pace.copied(full);
            assert_eq!(pace.is_bulk(), bulk);
        }
        for _ in 1..LITTLES {
            pace.spliced(1);
        }
        pace.spliced(LITTLE);
        assert!(pace.is_bulk(), "much came in between");
        for _ in 0..LITTLES {
            assert!(pace.is_bulk());
            pace.spliced(LITTLE - 1);
        }
        assert!(!pace.is_bulk());
    }
}
