//! Bytes both ways until both sides are done: a half-close is passed on, and nobody is read faster than the other takes.

mod way;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::way::Means;
use self::way::{Broken, Way};
use super::error::ServeError;
use super::header_watch::HeaderWatch;
use crate::alarm::Alarm;
use crate::stream::Carried;

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

/// What goes on between a client and an endpoint, and for how long it may.
///
/// It is small while nothing moves: what is on its way is kept apart, and the clock is the worker's.
#[derive(Debug)]
pub(crate) struct Forward {
    upwards: Way,
    downwards: Way,
    bounds: Bounds,
    /// When something moved last.
    last: Instant,
    /// Why the endpoint takes no more. It may have said something before that the client should hear.
    broken: Option<io::Error>,
    /// Whether a header was read before.
    headed: bool,
    answered: bool,
}

impl Forward {
    /// Ends when nothing moved either way for `idle`.
    pub(crate) fn new(idle: Duration) -> Self {
        Self {
            upwards: Way::new(HeaderWatch::off()),
            downwards: Way::new(HeaderWatch::off()),
            bounds: Bounds { idle, end: None },
            last: Instant::now(),
            broken: None,
            headed: false,
            answered: false,
        }
    }

    /// Ends when it has lasted for `total` since it `began`, however busy it is.
    pub(crate) fn for_no_longer_than(mut self, total: Option<Duration>, began: Instant) -> Self {
        self.bounds.end = total.map(|total| Box::new((began + total, total)));
        self
    }

    /// Takes no client's bytes that the watch finds to be a header; `headed` says whether one was read before.
    pub(crate) fn watching(mut self, watch: HeaderWatch, headed: bool) -> Self {
        (self.upwards, self.headed) = (Way::new(watch), headed);
        self
    }

    /// Tells the endpoint something before the client's first bytes, in one write with them.
    pub(crate) fn saying_first(mut self, ahead: Vec<u8>) -> Self {
        self.upwards = self.upwards.with(ahead);
        self
    }

    /// Whether the endpoint has said anything.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered
    }

    /// Carries bytes until both sides have ended, one has broken, or nothing moved for too long.
    ///
    /// `moved` is told at once of what moved, so that whoever counts is right also when this is dropped. `look_again`
    /// is asked when all look up: after how long they must for other reasons, or why it ends.
    pub(crate) async fn run<U: Carried>(
        mut self,
        down: &mut impl Carried,
        up: &mut U,
        means: Means<'_>,
        alarm: &Alarm,
        look_again: impl Fn(&U) -> Result<Option<Duration>, ServeError>,
        mut moved: impl FnMut(Traffic),
    ) -> Result<(), ServeError> {
        poll_fn(|cx| self.poll(cx, (&mut *down, &mut *up), means, alarm, &look_again, &mut moved)).await
    }

    /// As [`run`](Self::run), for whoever keeps all that it needs himself.
    pub(crate) fn poll<U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        (down, up): (&mut impl Carried, &mut U),
        means: Means<'_>,
        alarm: &Alarm,
        look_again: impl FnOnce(&U) -> Result<Option<Duration>, ServeError>,
        moved: impl FnOnce(Traffic),
    ) -> Poll<Result<(), ServeError>> {
        let mut now = Traffic::default();
        let ways = self.poll_ways(cx, down, up, means, &mut now);
        if now != Traffic::default() {
            self.last = Instant::now();
            self.answered |= now.down > 0;
            moved(now);
        }
        match self.judge(ways) {
            Poll::Pending => self.look_up(cx, alarm, || look_again(up)),
            over => over,
        }
    }

    fn poll_ways(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut impl Carried,
        up: &mut impl Carried,
        means: Means<'_>,
        moved: &mut Traffic,
    ) -> Ways {
        let Self { upwards, downwards, .. } = self;
        upwards.let_go_if_due();
        let up_done = upwards.poll(cx, downwards.is_done(), down, up, means, &mut moved.up);
        // After a break what the client said may lie unread, and a close would take our last words away.
        let is_last = upwards.is_done() && self.broken.is_none() && !matches!(up_done, Poll::Ready(Err(_)));
        let down_done = downwards.poll(cx, is_last, up, down, means, &mut moved.down);
        Ways { up: up_done, down: down_done }
    }

    /// What it means for both that each way has come so far.
    fn judge(&mut self, ways: Ways) -> Poll<Result<(), ServeError>> {
        if let Poll::Ready(Err(why)) = ways.up {
            match why {
                Broken::Reading(error) => return Poll::Ready(Err(ServeError::Downstream(error))),
                Broken::Header => {
                    return Poll::Ready(Err(ServeError::HeaderAsPayload { second: self.headed }));
                }
                Broken::Writing(error) => _ = self.broken.get_or_insert(error),
            }
        }
        match ways.down {
            Poll::Ready(Err(Broken::Reading(error))) => Poll::Ready(Err(ServeError::Upstream(error))),
            Poll::Ready(Err(Broken::Writing(error))) => Poll::Ready(Err(ServeError::Downstream(error))),
            Poll::Ready(Ok(())) if self.upwards.is_done() => {
                Poll::Ready(self.broken.take().map_or(Ok(()), |error| Err(ServeError::Upstream(error))))
            }
            // What an endpoint says may look like a header.
            Poll::Ready(Ok(()) | Err(Broken::Header)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Looks at the clock and at what else may end it, if the alarm rang, and sets it again. It is not set anew whenever
    /// something moves: most connections end before it rings.
    fn look_up(
        &mut self,
        cx: &Context<'_>,
        alarm: &Alarm,
        look_again: impl FnOnce() -> Result<Option<Duration>, ServeError>,
    ) -> Poll<Result<(), ServeError>> {
        let patience = self.upwards.begin_to_wait();
        if !alarm.rang() && patience.is_none() {
            return Poll::Pending;
        }
        let now = Instant::now();
        if let Some(error) = self.bounds.exceeded(self.last, now) {
            return Poll::Ready(Err(error));
        }
        let again = match look_again() {
            Ok(left) => left.map(|left| now + left),
            Err(error) => return Poll::Ready(Err(error)),
        };
        let over = self.bounds.next_look(self.last);
        alarm.set(cx, [patience, again].into_iter().flatten().fold(over, Instant::min));
        Poll::Pending
    }
}

/// How far each way has come.
struct Ways {
    up: Poll<Result<(), Broken>>,
    down: Poll<Result<(), Broken>>,
}

/// How long bytes may go both ways.
#[derive(Debug)]
struct Bounds {
    /// For which nothing may move either way.
    idle: Duration,
    /// When it ends, however busy it is; and after how long that is. Few have one.
    end: Option<Box<(Instant, Duration)>>,
}

impl Bounds {
    /// When there may be something to end, after what moved `last`.
    fn next_look(&self, last: Instant) -> Instant {
        let idle_over = last + self.idle;
        self.end.as_ref().map_or(idle_over, |end| end.0.min(idle_over))
    }

    fn exceeded(&self, last: Instant, now: Instant) -> Option<ServeError> {
        if now >= last + self.idle {
            return Some(ServeError::Idle(self.idle));
        }
        self.end.as_ref().filter(|end| now >= end.0).map(|end| ServeError::TooLong(end.1))
    }
}

/// One read of this fills what a socket buffer commonly holds.
const SCRATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::alarm::Alarms;
    use crate::connection::pipes::Pipes;
    use crate::observe::Observer;
    use crate::observe::journal::Scribe;
    use crate::stream::Stream;

    impl Carried for DuplexStream {
        fn bare(&self) -> Option<&Stream> {
            None
        }
    }

    const PATIENCE: Duration = Duration::from_secs(3);

    /// What a worker has.
    struct Tools(Scratch, Rc<Pipes>, Rc<Alarms>);

    impl Tools {
        fn new() -> Self {
            Self(Scratch::new(), Pipes::new(1, Scribe::new(Observer::new(1), 0)), Alarms::new())
        }

        fn forward(&self) -> Forward {
            let forward = Forward::new(Duration::from_secs(60));
            forward.watching(HeaderWatch::refusing(PATIENCE), false)
        }

        async fn run(
            &self,
            forward: Forward,
            (down, up): (&mut DuplexStream, &mut DuplexStream),
            traffic: &mut Traffic,
        ) -> Result<(), ServeError> {
            let means = Means { scratch: &self.0, pipes: &self.1 };
            let alarm = self.2.alarm();
            let moved = |more: Traffic| {
                traffic.up += more.up;
                traffic.down += more.down;
            };
            tokio::select! {
                biased;
                outcome = forward.run(down, up, means, &alarm, |_| Ok(None), moved) => outcome,
                () = self.2.run() => unreachable!("a clock never ends"),
            }
        }
    }

    #[tokio::test]
    async fn an_end_on_one_side_is_passed_on_and_the_other_goes_on() {
        let (mut client, mut down) = duplex(16);
        let (mut up, mut endpoint) = duplex(16);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
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
        let forward = tools.forward();
        let (outcome, (), ()) =
            tokio::join!(tools.run(forward, (&mut down, &mut up), &mut traffic), talk, answer);
        outcome.unwrap();
        assert_eq!(traffic, Traffic { up: 39, down: 39 });
    }

    #[tokio::test]
    async fn nobody_is_read_faster_than_the_other_takes() {
        let (mut client, mut down) = duplex(1 << 20);
        let (mut up, _endpoint_that_never_reads) = duplex(16);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        client.write_all(&vec![7; 1 << 20]).await.unwrap();
        {
            let forward = tools.forward();
            let mut run = pin!(tools.run(forward, (&mut down, &mut up), &mut traffic));
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
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let begin = Instant::now();
        let forward = tools.forward();
        let speak = async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            client.write_all(b"still here").await.unwrap();
        };
        let (outcome, ()) = tokio::join!(tools.run(forward, (&mut down, &mut up), &mut traffic), speak);
        assert!(matches!(outcome, Err(ServeError::Idle(_))), "{outcome:?}");
        assert_eq!(begin.elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_it_has_lasted_for_as_long_as_it_may() {
        let (mut client, mut down) = duplex(16);
        let (mut up, mut endpoint) = duplex(16);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let total = Duration::from_secs(90);
        let forward = tools.forward().for_no_longer_than(Some(total), Instant::now());
        let talk = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                client.write_all(b"x").await.unwrap();
                endpoint.read_exact(&mut [0]).await.unwrap();
            }
        };
        let begin = Instant::now();
        let outcome = tokio::select! {
            outcome = tools.run(forward, (&mut down, &mut up), &mut traffic) => outcome,
            () = talk => unreachable!("it never ends"),
        };
        assert!(matches!(outcome, Err(ServeError::TooLong(_))), "{outcome:?}");
        assert_eq!(begin.elapsed(), total);
    }

    #[tokio::test]
    async fn our_words_leave_with_the_first_of_theirs_and_are_not_counted() {
        let (mut client, mut down) = duplex(64);
        let (mut up, mut endpoint) = duplex(64);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let forward = tools.forward().saying_first(b"header ".to_vec());
        let talk = async {
            // The server speaks first, and is heard though the client says nothing.
            endpoint.write_all(b"220").await.unwrap();
            client.read_exact(&mut [0; 3]).await.unwrap();
            client.write_all(b"hello").await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = Vec::new();
            endpoint.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"header hello");
            drop(endpoint);
        };
        let (outcome, ()) = tokio::join!(tools.run(forward, (&mut down, &mut up), &mut traffic), talk);
        outcome.unwrap();
        assert_eq!(traffic, Traffic { up: 5, down: 3 });
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_become_a_header_waits_a_while_and_then_passes() {
        let (mut client, mut down) = duplex(64);
        let (mut up, mut endpoint) = duplex(64);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let begin = Instant::now();
        let forward = tools.forward();
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
        let (outcome, ()) = tokio::join!(tools.run(forward, (&mut down, &mut up), &mut traffic), talk);
        outcome.unwrap();
        assert_eq!(traffic.up, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_of_a_dripped_header_gets_through() {
        for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let (mut client, mut down) = duplex(64);
            let (mut up, _endpoint) = duplex(64);
            let (tools, mut traffic) = (Tools::new(), Traffic::default());
            let forward = tools.forward();
            let drip = async {
                for byte in header.chunks(1) {
                    client.write_all(byte).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let (outcome, ()) = tokio::join!(tools.run(forward, (&mut down, &mut up), &mut traffic), drip);
            assert!(matches!(outcome, Err(ServeError::HeaderAsPayload { second: false })), "{outcome:?}");
            assert_eq!(traffic.up, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_settles_what_may_become_a_header() {
        let (mut client, mut down) = duplex(64);
        let (mut up, mut endpoint) = duplex(64);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let begin = Instant::now();
        let forward = tools.forward();
        let talk = async {
            client.write_all(b"PRO").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = Vec::new();
            endpoint.read_to_end(&mut question).await.unwrap();
            assert_eq!((&question[..], begin.elapsed()), (&b"PRO"[..], Duration::ZERO));
            drop(endpoint);
        };
        let (outcome, ()) = tokio::join!(tools.run(forward, (&mut down, &mut up), &mut traffic), talk);
        outcome.unwrap();
    }
}
