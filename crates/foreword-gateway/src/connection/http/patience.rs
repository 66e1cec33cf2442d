//! One timer for all that a connection waits for in http mode: most waits are over long before their time.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes its task by the next deadline of those that are waited for.
///
/// A timer costs something when it is set and when it is taken back, and a request has many deadlines that nobody comes
/// near. So this one stays set for whatever came first, and looks only when it goes off for what it is to be set next.
#[derive(Debug, Default)]
pub(super) struct Patience(RefCell<Option<Timer>>);

#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Whether it wakes its task by itself, and need not be asked before it went off.
    is_set: bool,
}

impl Timer {
    fn new(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), is_set: false }
    }
}

/// A wait took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over;

impl Patience {
    /// Whether `deadline` has come. If it has not, the task that asks is woken by then, and perhaps before.
    ///
    /// Several may ask for their deadlines, as long as it is one task that does and each asks at each of its turns.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut timer = self.0.borrow_mut();
        let Timer { sleep, is_set } = timer.get_or_insert_with(|| Timer::new(deadline));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
            *is_set = false;
        }
        if *is_set && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // It is not even looked at by a task that has used up its turn.
            *is_set = has_budget_remaining();
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Sees `future` to its end, unless it has to be waited for longer than `limit`.
    ///
    /// It stays where its owner has pinned it: whoever takes a future by value has room for it twice.
    pub(super) fn within<F: Future>(
        &self,
        limit: Duration,
        future: Pin<&mut F>,
    ) -> impl Future<Output = Result<F::Output, Over>> {
        let mut deadline = None;
        self.race(future, move || Some(*deadline.get_or_insert_with(|| Instant::now() + limit)))
    }

    /// Sees `future` to its end, unless the deadline comes first. That is asked for only when there is something to wait for,
    /// each time anew; where there is none yet, time does not run.
    pub(super) fn race<F: Future>(
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
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_deadline_whichever_was_set_before() {
        let patience = Patience::default();
        for seconds in [10, 30, 5, 60, 1] {
            let (begun, limit) = (Instant::now(), seconds * SECOND);
            assert_eq!(patience.within(limit, pin!(sleep(limit / 2))).await, Ok(()));
            assert_eq!(begun.elapsed(), limit / 2);
            assert_eq!(patience.within(limit, pin!(pending::<()>())).await, Err(Over));
            assert_eq!(begun.elapsed(), limit / 2 + limit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_who_wait_at_once_each_have_their_deadline() {
        for (one, two) in [(3, 7), (7, 3)] {
            let patience = Patience::default();
            assert_eq!(patience.within(2 * SECOND, pin!(sleep(SECOND))).await, Ok(()));
            let begun = Instant::now();
            let waits = async |seconds: u32| {
                assert_eq!(patience.within(seconds * SECOND, pin!(pending::<()>())).await, Err(Over));
                assert_eq!(begun.elapsed(), seconds * SECOND);
            };
            tokio::join!(waits(one), waits(two));
        }
    }
}
