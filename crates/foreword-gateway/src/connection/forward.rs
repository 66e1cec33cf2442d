//! Bytes both ways until both sides are done: a half-close is passed on, and nobody is read faster than the other takes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::error::ServeError;
use super::header_watch::{HeaderWatch, Seen};

/// How many bytes went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From the client to the endpoint.
    pub(crate) up: u64,
    /// From the endpoint to the client.
    pub(crate) down: u64,
}

/// The read buffer of a worker: whoever reads borrows it for one turn, so that an idle connection owns none.
#[derive(Debug)]
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(vec![0; SCRATCH].into()))
    }

    /// Lends the buffer. `read` must not ask for it again.
    pub(crate) fn lend<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.0.borrow_mut())
    }
}

/// What to do on the way from a client to an endpoint and back.
#[derive(Debug)]
pub(crate) struct Forward<'w> {
    pub(crate) scratch: &'w Scratch,
    /// For which nothing may move either way.
    pub(crate) idle: Duration,
    /// What the client must not begin with.
    pub(crate) watch: HeaderWatch,
    /// Whether a header was read before.
    pub(crate) headed: bool,
}

impl Forward<'_> {
    /// Carries bytes until both sides have ended, one has broken, or nothing moved for too long.
    ///
    /// `moved` is told at once of what moved, so that whoever counts is right also when this is dropped.
    pub(crate) async fn run(
        &self,
        down: &mut (impl AsyncRead + AsyncWrite + Unpin),
        up: &mut (impl AsyncRead + AsyncWrite + Unpin),
        mut moved: impl FnMut(Traffic),
    ) -> Result<(), ServeError> {
        let (mut upwards, mut downwards) = (Way::new(self.watch), Way::new(HeaderWatch::off()));
        let mut broken = None;
        let mut last = Instant::now();
        let mut timer = pin!(sleep_until(last + self.idle));
        poll_fn(|cx| {
            let mut now = Traffic::default();
            upwards.let_go_if_due();
            let up_done = upwards.poll(cx, down, up, self.scratch, &mut now.up);
            let down_done = downwards.poll(cx, up, down, self.scratch, &mut now.down);
            if now != Traffic::default() {
                last = Instant::now();
                moved(now);
            }
            match up_done {
                Poll::Ready(Err(Broken::Reading(error))) => {
                    return Poll::Ready(Err(ServeError::Downstream(error)));
                }
                Poll::Ready(Err(Broken::Header)) => {
                    return Poll::Ready(Err(ServeError::HeaderAsPayload { second: self.headed }));
                }
                // It takes no more, but may have said something before that the client should hear.
                Poll::Ready(Err(Broken::Writing(error))) => {
                    _ = broken.get_or_insert(ServeError::Upstream(error))
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            match down_done {
                Poll::Ready(Err(Broken::Reading(error))) => {
                    return Poll::Ready(Err(ServeError::Upstream(error)));
                }
                Poll::Ready(Err(Broken::Header)) => {}
                Poll::Ready(Err(Broken::Writing(error))) => {
                    return Poll::Ready(Err(ServeError::Downstream(error)));
                }
                Poll::Ready(Ok(())) if upwards.stage == Stage::Done => {
                    return Poll::Ready(broken.take().map_or(Ok(()), Err));
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            let patience = upwards.begin_to_wait();
            let due = |idle: Instant| patience.map_or(idle, |patience| patience.min(idle));
            if patience.is_some_and(|patience| patience < timer.deadline()) {
                timer.as_mut().reset(due(last + self.idle));
            }
            // Otherwise it is moved only when it fires: most connections end before it does.
            while timer.as_mut().poll(cx).is_ready() {
                if last.elapsed() >= self.idle {
                    return Poll::Ready(Err(ServeError::Idle(self.idle)));
                }
                if patience.is_some_and(|patience| patience <= Instant::now()) {
                    // Polled again at once, what waited goes on.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                timer.as_mut().reset(due(last + self.idle));
            }
            Poll::Pending
        })
        .await
    }
}

/// Which end broke, or what came that must not.
#[derive(Debug)]
enum Broken {
    Header,
    Reading(io::Error),
    Writing(io::Error),
}

/// One direction.
#[derive(Debug)]
struct Way {
    watch: HeaderWatch,
    /// What the other side has not taken yet; empty, without memory, most of the time.
    held: Vec<u8>,
    written: usize,
    stage: Stage,
    unflushed: bool,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The end was read and must be passed on.
    Ended,
    Done,
}

impl Way {
    fn new(watch: HeaderWatch) -> Self {
        Self { watch, held: Vec::new(), written: 0, stage: Stage::Open, unflushed: false, wait: Wait::No }
    }

    /// When what waits will have waited long enough, if any does.
    fn begin_to_wait(&mut self) -> Option<Instant> {
        match self.wait {
            Wait::No => None,
            Wait::Until(until) => Some(until),
            Wait::Begins => {
                let until = Instant::now() + self.watch.patience();
                self.wait = Wait::Until(until);
                Some(until)
            }
        }
    }

    fn let_go_if_due(&mut self) {
        if let Wait::Until(until) = self.wait
            && until <= Instant::now()
        {
            self.watch.wait_no_longer();
            self.wait = Wait::No;
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &Scratch,
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        let outcome = ready!(self.poll_to_the_end(cx, from, to, scratch, count));
        *self = Self { stage: Stage::Done, ..Self::new(self.watch) };
        Poll::Ready(outcome)
    }

    fn poll_to_the_end(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &Scratch,
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.wait == Wait::No {
                ready!(self.poll_held(cx, to, count)).map_err(Broken::Writing)?;
            }
            match self.stage {
                Stage::Done => return Poll::Ready(Ok(())),
                Stage::Ended => return Pin::new(&mut *to).poll_shutdown(cx).map_err(Broken::Writing),
                Stage::Open => {
                    let step = scratch.lend(|buffer| self.poll_step(cx, from, to, buffer, count));
                    if step.is_pending() {
                        // Nothing moves now: an idle connection keeps no buffer.
                        if self.wait == Wait::No {
                            self.held = Vec::new();
                        }
                        if self.unflushed {
                            ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Writing)?;
                            self.unflushed = false;
                        }
                    }
                    ready!(step)?;
                }
            }
        }
    }

    /// Reads once and writes what came; what is not taken is held.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        buffer: &mut [u8],
        count: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(from).poll_read(cx, &mut buffer)).map_err(Broken::Reading)?;
        let read = buffer.filled();
        if read.is_empty() {
            self.stage = Stage::Ended;
            self.wait = Wait::No;
            return Poll::Ready(Ok(()));
        }
        match (self.watch.look(read), self.wait) {
            (Seen::Header, _) => return Poll::Ready(Err(Broken::Header)),
            (Seen::Payload, Wait::No) => {}
            (Seen::Payload, Wait::Begins | Wait::Until(_)) => {
                self.wait = Wait::No;
                self.held.extend_from_slice(read);
                return Poll::Ready(Ok(()));
            }
            (Seen::Unsettled, wait) => {
                self.wait = if wait == Wait::No { Wait::Begins } else { wait };
                self.held.extend_from_slice(read);
                return Poll::Ready(Ok(()));
            }
        }
        self.unflushed = true;
        let written = match Pin::new(to).poll_write(cx, read) {
            Poll::Ready(written) => written.map_err(Broken::Writing)?,
            Poll::Pending => 0,
        };
        *count += written as u64;
        self.held.extend_from_slice(read.get(written..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }

    fn poll_held(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        count: &mut u64,
    ) -> Poll<io::Result<()>> {
        while let Some(left) = self.held.get(self.written..).filter(|left| !left.is_empty()) {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            *count += written as u64;
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// One read of this fills what a socket buffer commonly holds.
const SCRATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn add(sum: &mut Traffic) -> impl FnMut(Traffic) {
        |more| {
            sum.up += more.up;
            sum.down += more.down;
        }
    }

    const PATIENCE: Duration = Duration::from_secs(3);

    fn forward(scratch: &Scratch) -> Forward<'_> {
        Forward {
            scratch,
            idle: Duration::from_secs(60),
            watch: HeaderWatch::refusing(PATIENCE),
            headed: false,
        }
    }

    #[tokio::test]
    async fn an_end_on_one_side_is_passed_on_and_the_other_goes_on() {
        let (mut client, mut down) = duplex(16);
        let (mut up, mut endpoint) = duplex(16);
        let (scratch, mut traffic) = (Scratch::new(), Traffic::default());
        let talk = async {
            client.write_all(b"a question that is longer than the pipe").await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"an answer after the end of the question");
        };
        let answer = async {
            let mut question = Vec::new();
            endpoint.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"a question that is longer than the pipe");
            endpoint.write_all(b"an answer after the end of the question").await.unwrap();
            endpoint.shutdown().await.unwrap();
        };
        let forward = forward(&scratch);
        let (outcome, (), ()) =
            tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk, answer);
        outcome.unwrap();
        assert_eq!(traffic, Traffic { up: 39, down: 39 });
    }

    #[tokio::test]
    async fn nobody_is_read_faster_than_the_other_takes() {
        let (mut client, mut down) = duplex(1 << 20);
        let (mut up, _endpoint_that_never_reads) = duplex(16);
        let (scratch, mut traffic) = (Scratch::new(), Traffic::default());
        client.write_all(&vec![7; 1 << 20]).await.unwrap();
        {
            let forward = forward(&scratch);
            let mut run = pin!(forward.run(&mut down, &mut up, add(&mut traffic)));
            assert!(poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await.is_pending());
        }
        assert_eq!(traffic.up, 16);
        drop(client);
        let mut left = Vec::new();
        down.read_to_end(&mut left).await.unwrap();
        assert_eq!(left.len(), (1 << 20) - SCRATCH, "one buffer was read and no more");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_counted_from_the_last_byte() {
        let (mut client, mut down) = duplex(16);
        let (mut up, _endpoint) = duplex(16);
        let (scratch, mut traffic) = (Scratch::new(), Traffic::default());
        let begin = Instant::now();
        let forward = forward(&scratch);
        let speak = async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            client.write_all(b"still here").await.unwrap();
        };
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), speak);
        assert!(matches!(outcome, Err(ServeError::Idle(_))), "{outcome:?}");
        assert_eq!(begin.elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_become_a_header_waits_a_while_and_then_passes() {
        let (mut client, mut down) = duplex(64);
        let (mut up, mut endpoint) = duplex(64);
        let (scratch, mut traffic) = (Scratch::new(), Traffic::default());
        let begin = Instant::now();
        let forward = forward(&scratch);
        let talk = async {
            client.write_all(b"\r\n").await.unwrap();
            let mut line = [0; 2];
            endpoint.read_exact(&mut line).await.unwrap();
            assert_eq!((&line, begin.elapsed()), (b"\r\n", PATIENCE));
            client.write_all(b"HELO example.com\r\n").await.unwrap();
            let mut line = [0; 18];
            endpoint.read_exact(&mut line).await.unwrap();
            assert_eq!(begin.elapsed(), PATIENCE, "only the first bytes wait");
            drop((client, endpoint));
        };
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk);
        outcome.unwrap();
        assert_eq!(traffic.up, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_of_a_dripped_header_gets_through() {
        for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let (mut client, mut down) = duplex(64);
            let (mut up, _endpoint) = duplex(64);
            let (scratch, mut traffic) = (Scratch::new(), Traffic::default());
            let forward = forward(&scratch);
            let drip = async {
                for byte in header.chunks(1) {
                    client.write_all(byte).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), drip);
            assert!(matches!(outcome, Err(ServeError::HeaderAsPayload { second: false })), "{outcome:?}");
            assert_eq!(traffic.up, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_settles_what_may_become_a_header() {
        let (mut client, mut down) = duplex(64);
        let (mut up, mut endpoint) = duplex(64);
        let (scratch, mut traffic) = (Scratch::new(), Traffic::default());
        let begin = Instant::now();
        let forward = forward(&scratch);
        let talk = async {
            client.write_all(b"PRO").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = Vec::new();
            endpoint.read_to_end(&mut question).await.unwrap();
            assert_eq!((&question[..], begin.elapsed()), (&b"PRO"[..], Duration::ZERO));
            drop(endpoint);
        };
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk);
        outcome.unwrap();
    }
}
