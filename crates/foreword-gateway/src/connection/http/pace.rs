//! How long a body is waited for, before whoever sends it is taken for one that only holds the connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::carry::CarryError;
use super::sending::Progress;
use super::shelf::{BUFFER, Buffer};
use crate::alarm::patience::{Over, Patience};

/// Waits for what comes of one message.
///
/// Until the answer begins, the request must bring some bytes in each `idle` in which it is waited for; how fast the other
/// side takes them does not count. From then on both sides have agreed to talk, and only if neither moves anything the
/// time is over: a stream may be quiet in one direction.
#[derive(Debug)]
pub(super) struct Pace<'p> {
    progress: &'p Progress,
    patience: &'p Patience<'p>,
    idle: Duration,
    /// How many bytes a second must come before the answer begins.
    rate: u64,
    /// For how long they have been waited for, and how many came meanwhile.
    waited: Duration,
    came: u64,
}

impl<'p> Pace<'p> {
    /// For a request that must bring `rate` bytes a second.
    pub(super) fn of_request(
        progress: &'p Progress,
        patience: &'p Patience<'p>,
        idle: Duration,
        rate: u64,
    ) -> Self {
        Self { progress, patience, idle, rate, waited: Duration::ZERO, came: 0 }
    }

    /// For an answer, which may come as slowly as its endpoint likes: events of a day are an answer too.
    pub(super) fn of_answer(progress: &'p Progress, patience: &'p Patience<'p>, idle: Duration) -> Self {
        Self::of_request(progress, patience, idle, 0)
    }

    /// Has a piece of the message written, for as long as one may take.
    pub(super) fn write<F: Future>(
        &self,
        piece: Pin<&mut F>,
    ) -> impl Future<Output = Result<F::Output, Over>> {
        self.patience.within(self.idle, piece)
    }

    /// Something has come across.
    pub(super) fn moved(&self) {
        self.progress.moved_at.set(Some(Instant::now()));
    }

    /// Reads what comes; 0 is the end.
    pub(super) async fn fill(
        &mut self,
        buffer: &mut Buffer<'_>,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Result<usize, CarryError> {
        loop {
            let begun = Instant::now();
            let left = self.idle.saturating_sub(self.waited);
            let waited = self.patience.within(left, pin!(buffer.fill(source, BUFFER))).await;
            if let Ok(read) = waited {
                let read = read.map_err(CarryError::Source)?;
                self.count(begun.elapsed(), read);
                return Ok(read);
            }
            match self.since_any_moved() {
                Some(since) if since < self.idle => (self.waited, self.came) = (since, 0),
                _ => return Err(CarryError::SourceIdle { least: self.least(), found: self.came }),
            }
        }
    }

    /// How many bytes must come in each `idle` before the answer begins.
    fn least(&self) -> u64 {
        let least = u128::from(self.rate) * self.idle.as_millis() / 1000;
        u64::try_from(least).unwrap_or(u64::MAX).max(1)
    }

    fn count(&mut self, waited: Duration, came: usize) {
        self.waited += waited;
        self.came += came as u64;
        if self.came >= self.least() {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
    }

    /// Since when neither side has moved anything; `None` before the answer begins.
    fn since_any_moved(&self) -> Option<Duration> {
        let moved_at = self.progress.moved_at.get().filter(|_| self.progress.answer_has_begun.get());
        moved_at.map(|moved_at| moved_at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;
    use crate::alarm::patience::tests::patiently;
    use crate::connection::http::shelf::Shelf;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Sends `piece` every `pause`, for an hour, and tells how long that was borne with.
    async fn borne(mut pace: Pace<'_>, piece: usize, pause: Duration) -> Duration {
        let (mut sender, mut source) = duplex(1 << 20);
        let shelf = Shelf::default();
        let begun = Instant::now();
        let drip = async {
            while begun.elapsed() < 60 * MINUTE {
                sleep(pause).await;
                let _refused = sender.write_all(&vec![b'x'; piece]).await;
            }
        };
        let read = async {
            let mut buffer = shelf.buffer();
            while pace.fill(&mut buffer, &mut source).await.is_ok() {
                buffer.consume(usize::MAX);
                pace.moved();
            }
        };
        tokio::select! {
            () = drip => {}
            () = read => {}
        }
        begun.elapsed().min(60 * MINUTE)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_drips_is_borne_with_for_one_idle_time_and_a_slow_one_for_ever() {
        for (piece, pause, rate, longest) in [
            (1, 59, 64, MINUTE),
            (1, 1, 64, MINUTE),
            (63, 1, 64, MINUTE),
            (70, 1, 64, 60 * MINUTE),
            (3840, 59, 64, 60 * MINUTE),
            (3840, 61, 64, MINUTE),
            (1, 59, 0, 60 * MINUTE),
            (1, 61, 0, MINUTE),
        ] {
            let progress = Progress::default();
            let borne = patiently(async |patience| {
                let pace = Pace::of_request(&progress, patience, MINUTE, rate);
                borne(pace, piece, Duration::from_secs(pause)).await
            })
            .await;
            assert_eq!(
                borne.as_secs(),
                longest.as_secs(),
                "{piece} bytes every {pause} s, of {rate} a second"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_answer_has_begun_one_side_may_be_quiet_while_the_other_moves() {
        patiently(one_side_is_quiet_while_the_other_moves).await;
    }

    async fn one_side_is_quiet_while_the_other_moves(patience: &Patience<'_>) {
        let progress = Progress::default();
        progress.answer_has_begun.set(true);
        let pace = Pace::of_request(&progress, patience, MINUTE, 64);
        assert_eq!(borne(pace, 1, Duration::from_secs(50)).await, 60 * MINUTE);

        let (_quiet, mut source) = duplex(1);
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        let (mut request, answer) =
            (Pace::of_request(&progress, patience, MINUTE, 64), Pace::of_answer(&progress, patience, MINUTE));
        let begun = Instant::now();
        let moving = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(50)).await;
                answer.moved();
            }
        };
        let (_, over) = tokio::join!(moving, request.fill(&mut buffer, &mut source));
        assert!(matches!(over, Err(CarryError::SourceIdle { .. })), "{over:?}");
        assert_eq!(begun.elapsed().as_secs(), 10 * 50 + 60);
    }
}
