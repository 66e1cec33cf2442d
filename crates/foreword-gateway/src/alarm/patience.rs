//! One alarm for all that a task waits for: most waits are over long before their time.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Alarm;

/// Wakes its task by the next deadline of those that are waited for.
///
/// An alarm costs something when it is set, and a request has many deadlines that nobody comes near. So this one stays set
/// for whatever came first, and looks only when it rings for what it is to be set next.
#[derive(Debug)]
pub(crate) struct Patience<'c> {
    alarm: &'c Alarm,
    /// When it rings, unless it rang since.
    set_for: Cell<Option<Instant>>,
}

/// A wait took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

impl<'c> Patience<'c> {
    /// Nobody else sets this alarm while anything is waited for.
    pub(crate) fn new(alarm: &'c Alarm) -> Self {
        Self { alarm, set_for: Cell::new(None) }
    }

    /// Whether `deadline` has come. If it has not, the task that asks is woken by then, and perhaps before.
    ///
    /// Several may ask for their deadlines, as long as it is one task that does and each asks at each of its turns.
    pub(crate) fn poll_over(&self, cx: &Context<'_>, deadline: Instant) -> Poll<()> {
        if self.alarm.rang() {
            self.set_for.set(None);
        }
        if self.set_for.get().is_some_and(|set_for| set_for <= deadline) {
            return Poll::Pending;
        }
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        self.alarm.set(cx, deadline);
        self.set_for.set(Some(deadline));
        Poll::Pending
    }

    /// Sees `future` to its end, unless it has to be waited for longer than `limit`.
    ///
    /// It stays where its owner has pinned it: whoever takes a future by value has room for it twice.
    pub(crate) fn within<F: Future>(
        &self,
        limit: Duration,
        future: Pin<&mut F>,
    ) -> impl Future<Output = Result<F::Output, Over>> {
        let mut deadline = None;
        self.race(future, move || Some(*deadline.get_or_insert_with(|| Instant::now() + limit)))
    }

    /// Sees `future` to its end, unless the deadline comes first. That is asked for only when there is something to wait for,
    /// each time anew; where there is none yet, time does not run.
    pub(crate) fn race<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        mut deadline: impl FnMut() -> Option<Instant>,
    ) -> impl Future<Output = Result<F::Output, Over>> {
        poll_fn(move |cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match deadline() {
                Some(deadline) => self.poll_over(cx, deadline).map(|()| Err(Over)),
                None => Poll::Pending,
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::time::sleep;

    use super::*;
    use crate::alarm::Alarms;

    /// Has `story` go on beside a clock.
    pub(crate) async fn patiently<T>(story: impl AsyncFnOnce(&Patience<'_>) -> T) -> T {
        let alarms = Alarms::new();
        let alarm = alarms.alarm();
        let patience = Patience::new(&alarm);
        tokio::select! {
            biased;
            told = story(&patience) => told,
            () = alarms.run() => unreachable!("a clock never ends"),
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_deadline_whichever_was_set_before() {
        patiently(async |patience| {
            for seconds in [10, 30, 5, 60, 1] {
                let (begun, limit) = (Instant::now(), seconds * SECOND);
                assert_eq!(patience.within(limit, pin!(sleep(limit / 2))).await, Ok(()));
                assert_eq!(begun.elapsed(), limit / 2);
                assert_eq!(patience.within(limit, pin!(pending::<()>())).await, Err(Over));
                assert_eq!(begun.elapsed(), limit / 2 + limit);
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn two_who_wait_at_once_each_have_their_deadline() {
        for (one, two) in [(3, 7), (7, 3)] {
            patiently(async |patience| {
                assert_eq!(patience.within(2 * SECOND, pin!(sleep(SECOND))).await, Ok(()));
                let begun = Instant::now();
                let waits = async |seconds: u32| {
                    assert_eq!(patience.within(seconds * SECOND, pin!(pending::<()>())).await, Err(Over));
                    assert_eq!(begun.elapsed(), seconds * SECOND);
                };
                tokio::join!(waits(one), waits(two));
            })
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_rings_for_all_ends_no_wait() {
        let alarms = Alarms::new();
        let alarm = alarms.alarm();
        let patience = Patience::new(&alarm);
        let begun = Instant::now();
        let mut ends = pin!(pending::<()>());
        let waits = patience.within(9 * SECOND, ends.as_mut());
        let rings = async {
            sleep(4 * SECOND).await;
            alarms.ring();
            pending::<()>().await;
        };
        tokio::select! {
            over = waits => assert_eq!(over, Err(Over)),
            () = rings => unreachable!("it waits for ever"),
            () = alarms.run() => unreachable!("a clock never ends"),
        }
        assert_eq!(begun.elapsed(), 9 * SECOND);
    }
}
