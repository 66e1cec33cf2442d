//! Carries a message across: its head and body, checked on the way, no faster than the other side takes it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};

use foreword_http1::{ChunkError, Chunked, Framing, Step};
use foreword_tokio::write_unflushed;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::pace::Pace;
use super::shelf::Buffer;
use crate::alarm::patience::Over;

/// How far a body has come.
#[derive(Debug)]
pub(in crate::connection) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// It tells its end by its coding.
    Chunked(Chunked),
    /// The same, with no more content than this.
    Bounded(Chunked, u64),
    /// It ends with its connection.
    UntilClose,
}

impl Body {
    /// A body that is passed on in its own coding.
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::forwarding()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// The body of a request. Where rules set or removed fields, its trailers stay behind: a server that takes them for
    /// fields would hear from the client what the rules had the last word on.
    ///
    /// `most` bounds a body that does not tell its length beforehand; one that does was judged by it.
    pub(super) fn of_request(framing: Framing, rules_changed_fields: bool, most: Option<u64>) -> Self {
        let chunked = || match rules_changed_fields {
            true => Chunked::forwarding_without_trailers(),
            false => Chunked::forwarding(),
        };
        match (framing, most) {
            (Framing::Chunked, Some(most)) => Self::Bounded(chunked(), most),
            (Framing::Chunked, None) => Self::Chunked(chunked()),
            (framing, _) => Self::new(framing),
        }
    }

    /// A body for a reader that knows no codings.
    pub(super) fn decoded(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self::Chunked(Chunked::decoding()),
            other => Self::new(other),
        }
    }

    /// A body for a reader that knows trailers, but frames bodies in its own way.
    pub(in crate::connection) fn unframed(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self::Chunked(Chunked::decoding_with_trailers()),
            other => Self::new(other),
        }
    }

    pub(in crate::connection) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) | Self::Bounded(chunked, _) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether all that is left of it is in `buffer`, as far as can be told without a look inside.
    pub(super) fn is_at_hand(&self, buffer: &Buffer<'_>) -> bool {
        matches!(self, Self::Length(left) if *left <= buffer.bytes().len() as u64)
    }

    /// The bound that its content has gone over, if it has.
    fn bound_met(&self) -> Option<u64> {
        match self {
            Self::Bounded(chunked, most) if chunked.content() > *most => Some(*most),
            _ => None,
        }
    }

    pub(in crate::connection) fn take(&mut self, at_hand: &mut [u8]) -> Result<Step, ChunkError> {
        let all = at_hand.len();
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(all);
                *left -= taken as u64;
                Ok(Step { taken, kept: taken, trailers: 0, done: *left == 0 })
            }
            Self::Chunked(chunked) | Self::Bounded(chunked, _) => chunked.advance(at_hand),
            Self::UntilClose => Ok(Step { taken: all, kept: all, trailers: 0, done: false }),
        }
    }
}

/// Why a message did not come across whole.
#[derive(Debug)]
pub(super) enum CarryError {
    /// Its source ended inside the body.
    Short,
    /// Its source broke.
    Source(io::Error),
    /// Too little came for too long.
    SourceIdle {
        /// How many bytes should have come.
        least: u64,
        /// How many did.
        found: u64,
    },
    /// Its target broke.
    Target,
    /// Nothing was taken for too long.
    TargetIdle,
    /// The body is not framed as it must be.
    Framing(ChunkError),
    /// Its content is longer than this.
    TooLong(u64),
}

/// What is told of the bytes that moved: taken from the source, written to the target.
pub(super) trait Meter {
    /// The first bytes are sound, and on their way to the target: from here on it may have seen some.
    fn begins(&self) {}

    fn moved(&self, taken: usize, written: usize);
}

/// What goes out before a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head<'h> {
    /// The header that introduces the client to an endpoint. It is no part of the message, and not told of.
    pub(super) introduction: &'h [u8],
    pub(super) head: &'h [u8],
}

/// Writes `head`, together with what is at hand of the body, then the rest of the body as it comes.
///
/// `pace` bounds each wait, so that neither side can hold the other for ever.
pub(super) async fn carry(
    head: &Head<'_>,
    body: &mut Body,
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer<'_>,
    target: &mut (impl AsyncWrite + Unpin),
    pace: &mut Pace<'_>,
    meter: &impl Meter,
) -> Result<(), CarryError> {
    let mut is_first = true;
    loop {
        let step = body.take(buffer.bytes_mut()).map_err(CarryError::Framing)?;
        if let Some(most) = body.bound_met() {
            return Err(CarryError::TooLong(most));
        }
        let piece = buffer.bytes().get(..step.kept).unwrap_or_default();
        let Head { introduction, head } = if is_first { *head } else { Head::default() };
        if is_first {
            meter.begins();
        }
        let mut keeps_up = true;
        let says_something = !head.is_empty() || !piece.is_empty();
        if says_something {
            let writing = pin!(write_unflushed(target, [introduction, head, piece]));
            let written = pace.write(pin!(noting_waits(writing, &mut keeps_up))).await;
            written.map_err(|Over| CarryError::TargetIdle)?.map_err(|_| CarryError::Target)?;
        }
        // What TLS has taken need not lie here too while the other side takes none of it.
        let comes_fast = buffer.comes_fast();
        buffer.consume(step.taken);
        if says_something {
            let flushed = pace.write(pin!(noting_waits(pin!(target.flush()), &mut keeps_up))).await;
            flushed.map_err(|Over| CarryError::TargetIdle)?.map_err(|_| CarryError::Target)?;
        }
        // Of what comes behind the body nothing is known yet, and how long it may lie here.
        buffer.expect_much(comes_fast && keeps_up && !body.is_done());
        // Of what went over in one piece nobody waits for more.
        if !(is_first && body.is_done()) {
            pace.moved();
        }
        meter.moved(step.taken, head.len() + step.kept);
        is_first = false;
        if body.is_done() {
            return Ok(());
        }
        match (pace.fill(buffer, source).await?, &*body) {
            (0, Body::UntilClose) => return Ok(()),
            (0, _) => return Err(CarryError::Short),
            (_, _) => {}
        }
    }
}

/// Says in `keeps_up` that `future` had to wait, if it had.
fn noting_waits<F: Future>(mut future: Pin<&mut F>, keeps_up: &mut bool) -> impl Future<Output = F::Output> {
    poll_fn(move |cx| {
        let polled = future.as_mut().poll(cx);
        *keeps_up &= polled.is_ready();
        polled
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use super::*;
    use crate::alarm::patience::tests::patiently;
    use crate::connection::http::sending::Progress;
    use crate::connection::http::shelf::{BUFFER, Shelf};

    /// Takes whatever it is given, at once or at the second try.
    struct Taker {
        hesitates: bool,
        is_asked_again: bool,
        took: usize,
    }

    impl AsyncWrite for Taker {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_asked_again = !self.is_asked_again;
            if self.hesitates && self.is_asked_again {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.took += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The most that moved at once.
    #[derive(Default)]
    struct Most(Cell<usize>);

    impl Meter for Most {
        fn moved(&self, taken: usize, _written: usize) {
            self.0.set(self.0.get().max(taken));
        }
    }

    /// Carries a long body, and tells the most that lay here at once.
    async fn most_at_once(hesitates: bool) -> usize {
        let long = vec![7; 40 * BUFFER];
        let most = Most::default();
        patiently(async |patience| {
            let (progress, shelf) = (Progress::default(), Shelf::default());
            let (mut buffer, mut source) = (shelf.buffer(), long.as_slice());
            let mut target = Taker { hesitates, is_asked_again: false, took: 0 };
            let mut body = Body::Length(long.len() as u64);
            let mut pace = Pace::of_answer(&progress, patience, Duration::from_secs(1));
            let head = Head::default();
            let carried = carry(&head, &mut body, &mut source, &mut buffer, &mut target, &mut pace, &most);
            carried.await.unwrap();
            assert_eq!(target.took, long.len());
        })
        .await;
        most.0.get()
    }

    #[tokio::test(start_paused = true)]
    async fn more_is_read_at_once_for_those_who_keep_up_and_for_no_others() {
        assert_eq!(most_at_once(false).await, 4 * BUFFER);
        assert_eq!(most_at_once(true).await, BUFFER);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_behind_a_fast_body_is_read_as_what_comes_before_it() {
        let long = vec![7; 60 * BUFFER];
        patiently(async |patience| {
            let (progress, shelf) = (Progress::default(), Shelf::default());
            let (mut buffer, mut source) = (shelf.buffer(), long.as_slice());
            let mut target = Taker { hesitates: false, is_asked_again: false, took: 0 };
            // It ends inside of what was read at once.
            let mut body = Body::Length(40 * BUFFER as u64);
            let mut pace = Pace::of_answer(&progress, patience, Duration::from_secs(1));
            let (head, most) = (Head::default(), Most::default());
            let carried = carry(&head, &mut body, &mut source, &mut buffer, &mut target, &mut pace, &most);
            carried.await.unwrap();
            assert_eq!(buffer.bytes().len(), BUFFER);
            buffer.consume(BUFFER);
            assert_eq!(buffer.fill(&mut source, BUFFER).await.unwrap(), BUFFER);
        })
        .await;
    }
}
