//! Who waits for a connection of a cluster to end: one line for all workers, first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    /// The rank of whoever joins next.
    next: AtomicU64,
    queue: Mutex<VecDeque<Stand>>,
}

/// When somebody came, among all who came to a cluster: who has the lower one is before the other.
pub(super) type Rank = u64;

/// Somebody in the line.
#[derive(Debug)]
struct Stand {
    rank: Rank,
    called: Arc<Notify>,
    /// Whether who comes behind may look as well, since there is no room for this one alone.
    lets_pass: bool,
}

impl Line {
    /// Whether somebody waits: then whoever comes goes behind them, even if there is room at the moment.
    pub(super) fn is_there(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Stands at its end, or before all who came later, for who has a `rank` already; `None` if as many as `most` wait already.
    pub(super) fn join(self: &Arc<Self>, most: usize, rank: Option<Rank>) -> Option<Waiting> {
        let mut queue = self.queue();
        if queue.len() >= most {
            return None;
        }
        let rank = rank.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
        let called = Arc::<Notify>::default();
        let place = queue.partition_point(|stand| stand.rank < rank);
        queue.insert(place, Stand { rank, called: Arc::clone(&called), lets_pass: false });
        self.waiting.store(queue.len(), Ordering::SeqCst);
        Some(Waiting { line: Arc::clone(self), rank, called })
    }

    /// Tells the first that there may be room.
    fn call(&self) {
        // Whoever joins after this look has still to look for room, and finds it.
        if self.is_there() {
            call(&self.queue());
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Stand>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the first of those who let nobody pass, and all before.
fn call(queue: &VecDeque<Stand>) {
    for stand in queue {
        stand.called.notify_one();
        if !stand.lets_pass {
            return;
        }
    }
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    line: Arc<Line>,
    pub(super) rank: Rank,
    called: Arc<Notify>,
}

impl Waiting {
    /// Whether nobody has waited for longer, but for those who let others pass.
    pub(super) fn is_first(&self) -> bool {
        let queue = self.line.queue();
        let first = queue.iter().find(|stand| !stand.lets_pass || self.is_of(stand));
        first.is_some_and(|stand| self.is_of(stand))
    }

    /// Has who comes behind look as well from here on. Whoever may not go where there is room must not keep the others from it.
    pub(super) fn let_pass(&self) {
        let mut queue = self.line.queue();
        if let Some(stand) = queue.iter_mut().find(|stand| self.is_of(stand) && !stand.lets_pass) {
            stand.lets_pass = true;
            call(&queue);
        }
    }

    /// Waits until there may be room; a call from before counts as well.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }

    fn is_of(&self, stand: &Stand) -> bool {
        Arc::ptr_eq(&stand.called, &self.called)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.line.queue();
        queue.retain(|stand| !self.is_of(stand));
        self.line.waiting.store(queue.len(), Ordering::SeqCst);
        // There may be room for more than one, and a call for this one is for the next now.
        call(&queue);
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

    /// The rank of whoever took it just now, and did not stand in line: behind all who came before.
    pub(super) fn rank(&self) -> Rank {
        self.line.next.load(Ordering::Relaxed)
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
        let (one, two) = (line.join(2, None).unwrap(), line.join(2, None).unwrap());
        assert!(line.join(2, None).is_none(), "no more than two may wait");
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
        let (one, two) = (line.join(2, None).unwrap(), line.join(2, None).unwrap());
        drop(seat);
        drop(one);
        two.called().await;
        assert!(Seat::take(&line, Some(1), None).is_some());
    }

    #[tokio::test]
    async fn who_comes_again_stands_before_all_who_came_later() {
        let line = Arc::<Line>::default();
        let before = line.join(9, None).unwrap();
        let seat = Seat::take(&line, Some(1), None).unwrap();
        let rank = seat.rank();
        let (one, two) = (line.join(9, None).unwrap(), line.join(9, None).unwrap());
        let again = line.join(9, Some(rank)).unwrap();
        assert!(before.is_first());
        drop(before);
        assert!(again.is_first() && !one.is_first());
        let rank = one.rank;
        drop((one, again));
        assert!(two.is_first());
        let one = line.join(9, Some(rank)).unwrap();
        assert!(one.is_first() && !two.is_first());
        drop(seat);
        one.called().await;
    }

    #[tokio::test]
    async fn who_lets_others_pass_is_called_with_the_first_who_does_not() {
        let line = Arc::<Line>::default();
        let (one, two, three) =
            (line.join(9, None).unwrap(), line.join(9, None).unwrap(), line.join(9, None).unwrap());
        one.let_pass();
        // What the call for itself was worth, it has seen.
        one.called().await;
        two.called().await;
        assert!(one.is_first() && two.is_first() && !three.is_first());
        drop(Seat::take(&line, Some(1), None));
        one.called().await;
        two.called().await;
        drop(two);
        assert!(one.is_first() && three.is_first());
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
