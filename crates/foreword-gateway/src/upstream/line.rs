//! Who waits for a connection of a cluster to end: one line for all workers, first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections of a cluster that has limits, over all workers and plans, and those who wait.
///
/// Counting is by atomics. The lock guards the line alone: it is taken by whoever must wait, and by whoever makes room while
/// somebody does.
#[derive(Debug, Default)]
pub(crate) struct Line {
    open: AtomicUsize,
    /// As long as the line is; looked at without the lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    places: VecDeque<(u64, Arc<Notify>)>,
}

impl Line {
    /// Whether somebody waits: then whoever comes goes behind them, even if there is room at the moment.
    pub(super) fn is_there(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Stands at its end; `None` if as many as `most` wait already.
    pub(super) fn join(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let mut queue = self.queue();
        if queue.places.len() >= most {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        let called = Arc::<Notify>::default();
        queue.places.push_back((number, Arc::clone(&called)));
        self.waiting.store(queue.places.len(), Ordering::SeqCst);
        Some(Waiting { line: Arc::clone(self), number, called })
    }

    /// Tells the first that there may be room.
    fn call(&self) {
        // Whoever joins after this look has still to look for room, and finds it.
        if self.is_there()
            && let Some((_, first)) = self.queue().places.front()
        {
            first.notify_one();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    line: Arc<Line>,
    number: u64,
    called: Arc<Notify>,
}

impl Waiting {
    /// Whether nobody has waited for longer.
    pub(super) fn is_first(&self) -> bool {
        self.line.queue().places.front().is_some_and(|(number, _)| *number == self.number)
    }

    /// Waits until there may be room; a call from before counts as well.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.line.queue();
        queue.places.retain(|(number, _)| *number != self.number);
        self.line.waiting.store(queue.places.len(), Ordering::SeqCst);
        // There may be room for more than one, and a call for this one is for the next now.
        if let Some((_, first)) = queue.places.front() {
            first.notify_one();
        }
    }
}

/// A counted connection: of a cluster, and of an endpoint if that has a limit as well.
#[derive(Debug)]
pub(super) struct Seat {
    line: Arc<Line>,
    endpoint: Option<Arc<AtomicUsize>>,
}

impl Seat {
    /// Takes one if there is room in both.
    pub(super) fn take(
        line: &Arc<Line>,
        of_cluster: Option<usize>,
        endpoint: Option<(&Arc<AtomicUsize>, usize)>,
    ) -> Option<Self> {
        if !one_more(&line.open, of_cluster.unwrap_or(usize::MAX)) {
            return None;
        }
        // From here on the cluster's place is given back whatever comes.
        let mut seat = Self { line: Arc::clone(line), endpoint: None };
        if let Some((taken, most)) = endpoint {
            if !one_more(taken, most) {
                return None;
            }
            seat.endpoint = Some(Arc::clone(taken));
        }
        Some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(taken) = &self.endpoint {
            taken.fetch_sub(1, Ordering::SeqCst);
        }
        self.line.open.fetch_sub(1, Ordering::SeqCst);
        self.line.call();
    }
}

/// Counts one more, unless there are as many as `most`.
fn one_more(count: &AtomicUsize, most: usize) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| (count < most).then_some(count + 1))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_both_limits_allow() {
        let line = Arc::<Line>::default();
        let taken = Arc::<AtomicUsize>::default();
        let first = Seat::take(&line, Some(2), Some((&taken, 1))).unwrap();
        assert!(Seat::take(&line, Some(2), Some((&taken, 1))).is_none(), "the endpoint is full");
        let other = Seat::take(&line, Some(2), None).unwrap();
        assert!(Seat::take(&line, Some(2), None).is_none(), "the cluster is full");
        drop(first);
        assert_eq!(taken.load(Ordering::SeqCst), 0);
        assert!(Seat::take(&line, Some(2), Some((&taken, 1))).is_some());
        drop(other);
        assert_eq!(line.open.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn who_came_first_is_called_first_and_a_call_is_never_lost() {
        let line = Arc::<Line>::default();
        let seat = Seat::take(&line, Some(1), None).unwrap();
        let (one, two) = (line.join(2).unwrap(), line.join(2).unwrap());
        assert!(line.join(2).is_none(), "no more than two may wait");
        assert!(one.is_first() && !two.is_first());
        drop(seat);
        one.called().await;
        drop(one);
        two.called().await;
        assert!(two.is_first() && line.is_there());
        drop(two);
        assert!(!line.is_there());
    }

    #[tokio::test]
    async fn one_who_leaves_passes_the_call_on() {
        let line = Arc::<Line>::default();
        let seat = Seat::take(&line, Some(1), None).unwrap();
        let (one, two) = (line.join(2).unwrap(), line.join(2).unwrap());
        drop(seat);
        drop(one);
        two.called().await;
        assert!(Seat::take(&line, Some(1), None).is_some());
    }

    #[test]
    fn many_threads_keep_to_the_limit() {
        let line = Arc::<Line>::default();
        let taken = Arc::<AtomicUsize>::default();
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if let Some(_seat) = Seat::take(&line, None, Some((&taken, 2))) {
                            most.fetch_max(taken.load(Ordering::SeqCst), Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(taken.load(Ordering::SeqCst), 0);
    }
}
