//! Bytes both ways until both sides are done: a half-close is passed on, and nobody is read faster than the other takes.

mod way;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub(crate) use self::way::Means;
use self::way::{Broken, Way};
use super::error::ServeError;
use super::header_watch::HeaderWatch;
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

/// What to do on the way from a client to an endpoint and back.
#[derive(Debug)]
pub(crate) struct Forward<'w> {
    pub(crate) means: Means<'w>,
    /// For which nothing may move either way.
    pub(crate) idle: Duration,
    /// When it ends, however busy it is; and after how long that is.
    pub(crate) end: Option<(Instant, Duration)>,
    /// What the client must not begin with.
    pub(crate) watch: HeaderWatch,
    /// Whether a header was read before.
    pub(crate) headed: bool,
    /// What the endpoint is told before the client's first bytes, in one write with them.
    pub(crate) ahead: Vec<u8>,
}

impl Forward<'_> {
    /// Carries bytes until both sides have ended, one has broken, or nothing moved for too long.
    ///
    /// `moved` is told at once of what moved, so that whoever counts is right also when this is dropped.
    pub(crate) async fn run(
        self,
        down: &mut impl Carried,
        up: &mut impl Carried,
        mut moved: impl FnMut(Traffic),
    ) -> Result<(), ServeError> {
        let Self { means, idle, end, watch, headed, ahead } = self;
        let bounds = Bounds { idle, end };
        let (mut upwards, mut downwards) = (Way::new(watch).with(ahead), Way::new(HeaderWatch::off()));
        let mut broken = None;
        let mut last = Instant::now();
        let mut timer = pin!(sleep_until(bounds.next_look(last, None)));
        poll_fn(|cx| {
            let mut now = Traffic::default();
            upwards.let_go_if_due();
            let up_done = upwards.poll(cx, downwards.is_done(), down, up, means, &mut now.up);
            // After a break what the client said may lie unread, and a close would take our last words away.
            let is_last = upwards.is_done() && broken.is_none() && !matches!(up_done, Poll::Ready(Err(_)));
            let down_done = downwards.poll(cx, is_last, up, down, means, &mut now.down);
            if now != Traffic::default() {
                last = Instant::now();
                moved(now);
            }
            if let Poll::Ready(Err(why)) = up_done {
                match why {
                    Broken::Reading(error) => return Poll::Ready(Err(ServeError::Downstream(error))),
                    Broken::Header => {
                        return Poll::Ready(Err(ServeError::HeaderAsPayload { second: headed }));
                    }
                    // It takes no more, but may have said something before that the client should hear.
                    Broken::Writing(error) => _ = broken.get_or_insert(ServeError::Upstream(error)),
                }
            }
            match down_done {
                Poll::Ready(Err(Broken::Reading(error))) => {
                    return Poll::Ready(Err(ServeError::Upstream(error)));
                }
                Poll::Ready(Err(Broken::Writing(error))) => {
                    return Poll::Ready(Err(ServeError::Downstream(error)));
                }
                Poll::Ready(Ok(())) if upwards.is_done() => {
                    return Poll::Ready(broken.take().map_or(Ok(()), Err));
                }
                // What an endpoint says may look like a header.
                Poll::Ready(Ok(()) | Err(Broken::Header)) | Poll::Pending => {}
            }
            let patience = upwards.begin_to_wait();
            if patience.is_some_and(|patience| patience < timer.deadline()) {
                timer.as_mut().reset(bounds.next_look(last, patience));
            }
            // Otherwise it is moved only when it fires: most connections end before it does.
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                if let Some(error) = bounds.exceeded(last, now) {
                    return Poll::Ready(Err(error));
                }
                if patience.is_some_and(|patience| patience <= now) {
                    // Polled again at once, what waited goes on.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                timer.as_mut().reset(bounds.next_look(last, patience));
            }
            Poll::Pending
        })
        .await
    }
}

/// How long bytes may go both ways.
struct Bounds {
    idle: Duration,
    end: Option<(Instant, Duration)>,
}

impl Bounds {
    /// When there may be something to end, or to let go, after what moved `last`.
    fn next_look(&self, last: Instant, patience: Option<Instant>) -> Instant {
        let idle_over = last + self.idle;
        let end = self.end.map_or(idle_over, |(end, _)| end.min(idle_over));
        patience.map_or(end, |patience| patience.min(end))
    }

    fn exceeded(&self, last: Instant, now: Instant) -> Option<ServeError> {
        if now >= last + self.idle {
            return Some(ServeError::Idle(self.idle));
        }
        self.end.filter(|(end, _)| now >= *end).map(|(_, total)| ServeError::TooLong(total))
    }
}

/// One read of this fills what a socket buffer commonly holds.
const SCRATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::connection::pipes::Pipes;
    use crate::observe::Observer;
    use crate::observe::journal::Scribe;
    use crate::stream::Stream;

    fn add(sum: &mut Traffic) -> impl FnMut(Traffic) {
        |more| {
            sum.up += more.up;
            sum.down += more.down;
        }
    }

    impl Carried for DuplexStream {
        fn bare(&self) -> Option<&Stream> {
            None
        }
    }

    const PATIENCE: Duration = Duration::from_secs(3);

    /// What a worker has.
    struct Tools(Scratch, Pipes);

    impl Tools {
        fn new() -> Self {
            Self(Scratch::new(), Pipes::new(1, Scribe::new(Observer::new(1), 0)))
        }

        fn forward(&self) -> Forward<'_> {
            Forward {
                means: Means { scratch: &self.0, pipes: &self.1 },
                idle: Duration::from_secs(60),
                end: None,
                watch: HeaderWatch::refusing(PATIENCE),
                headed: false,
                ahead: Vec::new(),
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
            tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk, answer);
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
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let begin = Instant::now();
        let forward = tools.forward();
        let speak = async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            client.write_all(b"still here").await.unwrap();
        };
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), speak);
        assert!(matches!(outcome, Err(ServeError::Idle(_))), "{outcome:?}");
        assert_eq!(begin.elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_it_has_lasted_for_as_long_as_it_may() {
        let (mut client, mut down) = duplex(16);
        let (mut up, mut endpoint) = duplex(16);
        let (tools, mut traffic) = (Tools::new(), Traffic::default());
        let total = Duration::from_secs(90);
        let forward = Forward { end: Some((Instant::now() + total, total)), ..tools.forward() };
        let talk = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                client.write_all(b"x").await.unwrap();
                endpoint.read_exact(&mut [0]).await.unwrap();
            }
        };
        let begin = Instant::now();
        let outcome = tokio::select! {
            outcome = forward.run(&mut down, &mut up, add(&mut traffic)) => outcome,
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
        let forward = Forward { ahead: b"header ".to_vec(), ..tools.forward() };
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
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk);
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
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk);
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
            let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), drip);
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
        let (outcome, ()) = tokio::join!(forward.run(&mut down, &mut up, add(&mut traffic)), talk);
        outcome.unwrap();
    }
}
