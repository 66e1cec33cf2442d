//! Who waits for a connection of a cluster to end: one line for all workers, first come, first served.

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;
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
    queue: Mutex<Stands>,
}

/// When somebody came, among all who came to a cluster: who has the lower one is before the other. No two have the same.
pub(super) type Rank = u64;

/// Those in the line, by rank.
///
/// Room is offered to the first, and by whoever has no use for it to the next: so it is seen by one after the other, and by
/// each at most once.
#[derive(Debug, Default)]
struct Stands(VecDeque<Stand>);

/// Somebody in the line.
#[derive(Debug)]
struct Stand {
    rank: Rank,
    called: Arc<Notify>,
    /// For how many seats it is to look; [`UNTOLD`] where that is not known.
    offered: usize,
    /// Whether it has looked for room since it came.
    has_looked: bool,
    /// Whether it looked in vain while there may be room for others, and nothing was offered to it since.
    lets_pass: bool,
}

/// As many seats as are found.
const UNTOLD: usize = usize::MAX;

impl Stands {
    /// Where `waiting` stands.
    fn place(&self, waiting: &Waiting) -> Option<usize> {
        let from = self.0.partition_point(|stand| stand.rank < waiting.rank);
        let mut behind = self.0.range(from..);
        behind.position(|stand| Arc::ptr_eq(&stand.called, &waiting.called)).map(|place| from + place)
    }

    fn offer(&mut self, place: usize, seats: usize) {
        if let Some(stand) = self.0.get_mut(place).filter(|_| seats > 0) {
            stand.offered = stand.offered.saturating_add(seats);
            stand.lets_pass = false;
            stand.called.notify_one();
        }
    }

    /// Has somebody look who never did, once there is nobody before but who lets it pass: what was free before it came is offered
    /// to it by nobody.
    fn welcome(&mut self) {
        if let Some((place, stand)) = self.0.iter().enumerate().find(|(_, stand)| !stand.lets_pass)
            && !stand.has_looked
            && stand.offered == 0
        {
            self.offer(place, 1);
        }
    }
}

impl Line {
    /// Whether somebody waits: then whoever comes goes behind them, even if there is room at the moment.
    pub(super) fn is_there(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Stands at its end, or before all who came later, for who has a `rank` already; `None` if as many as `most` wait already.
    pub(super) fn join(self: &Arc<Self>, most: usize, rank: Option<Rank>) -> Option<Waiting> {
        let mut queue = self.queue();
        if queue.0.len() >= most {
            return None;
        }
        let rank = rank.unwrap_or_else(|| self.draw());
        let called = Arc::<Notify>::default();
        let stand =
            Stand { rank, called: Arc::clone(&called), offered: 0, has_looked: false, lets_pass: false };
        let place = queue.0.partition_point(|stand| stand.rank < rank);
        queue.0.insert(place, stand);
        self.waiting.store(queue.0.len(), Ordering::SeqCst);
        queue.welcome();
        Some(Waiting { line: Arc::clone(self), rank, called, in_hand: Cell::new(0) })
    }

    /// Offers a seat to the first.
    fn call(&self) {
        // Whoever joins after this look has still to look for room, and finds it.
        if self.is_there() {
            self.queue().offer(0, 1);
        }
    }

    /// The next rank.
    fn draw(&self) -> Rank {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, Stands> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    line: Arc<Line>,
    pub(super) rank: Rank,
    called: Arc<Notify>,
    /// The seats that were offered to it, while it looks for them.
    in_hand: Cell<usize>,
}

impl Waiting {
    /// Whether nobody has waited for longer.
    pub(super) fn is_first(&self) -> bool {
        self.line.queue().place(self) == Some(0)
    }

    /// Waits until there may be room, or it is the first now; a call from before counts as well.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }

    /// Whether it is to look for room: some was offered to it, or it is the first and looks `unasked`. It says then what came of
    /// it, or leaves.
    pub(super) fn is_to_look(&self, unasked: bool) -> bool {
        let mut queue = self.line.queue();
        let Some(place) = queue.place(self) else { return false };
        let Some(stand) = queue.0.get_mut(place) else { return false };
        let offered = mem::take(&mut stand.offered);
        let seats = if unasked && place == 0 { UNTOLD } else { offered };
        if seats > 0 {
            (stand.has_looked, stand.lets_pass) = (true, false);
        }
        self.in_hand.set(seats);
        seats > 0
    }

    /// It has taken a seat, and is about to leave.
    pub(super) fn took_one(&self) {
        let seats = self.in_hand.get();
        self.in_hand.set(if seats == UNTOLD { UNTOLD } else { seats.saturating_sub(1) });
    }

    /// It found no room, and `lets_pass` if there may be some for others: whoever may not go there must not keep them from it.
    pub(super) fn looked_in_vain(&self, lets_pass: bool) {
        let seats = self.in_hand.take();
        if !lets_pass {
            return;
        }
        let mut queue = self.line.queue();
        if let Some(place) = queue.place(self)
            && let Some(stand) = queue.0.get_mut(place)
        {
            stand.lets_pass = stand.offered == 0;
            queue.offer(place + 1, seats);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.line.queue();
        let Some(place) = queue.place(self) else { return };
        let left = queue.0.remove(place).map_or(0, |stand| stand.offered);
        self.line.waiting.store(queue.0.len(), Ordering::SeqCst);
        // What was offered to this one is for the next now.
        queue.offer(place, left.saturating_add(self.in_hand.get()));
        queue.welcome();
        if place == 0
            && let Some(first) = queue.0.front()
        {
            first.called.notify_one();
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
        // What is taken for a moment only may keep somebody else from it, who is called again when it is given back.
        if endpoint.is_some_and(|(taken, most)| taken.load(Ordering::SeqCst) >= most) {
            return None;
        }
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

    /// A rank for whoever took it just now, and did not stand in line: behind all who came before.
    pub(super) fn draw_rank(&self) -> Rank {
        self.line.draw()
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
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

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

    /// Whether it was called since it was asked last.
    fn was_called(waiting: &Waiting) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(waiting.called()).poll(&mut context).is_ready()
    }

    /// So many in a line, each of which has looked in vain and lets others pass.
    fn passers(line: &Arc<Line>, count: usize) -> Vec<Waiting> {
        let one = |_| {
            let waiting = line.join(count, None).unwrap();
            assert!(was_called(&waiting) && waiting.is_to_look(false));
            waiting.looked_in_vain(true);
            waiting
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn who_came_first_is_called_first_and_alone() {
        let line = Arc::<Line>::default();
        let seat = Seat::take(&line, Some(1), None).unwrap();
        let (one, two) = (line.join(2, None).unwrap(), line.join(2, None).unwrap());
        assert!(line.join(2, None).is_none(), "no more than two may wait");
        assert!(one.is_first() && !two.is_first());
        assert!(was_called(&one) && one.is_to_look(false) && !was_called(&two));
        one.looked_in_vain(false);
        drop(seat);
        assert!(was_called(&one) && one.is_to_look(false) && !was_called(&two));
        one.took_one();
        drop(one);
        assert!(was_called(&two) && two.is_first() && line.is_there());
        drop(two);
        assert!(!line.is_there());
    }

    #[test]
    fn one_who_leaves_passes_on_what_was_offered() {
        let line = Arc::<Line>::default();
        let seat = Seat::take(&line, Some(1), None).unwrap();
        let (one, two) = (line.join(2, None).unwrap(), line.join(2, None).unwrap());
        assert!(one.is_to_look(false) && !two.is_to_look(true));
        one.looked_in_vain(false);
        drop(seat);
        drop(one);
        assert!(was_called(&two) && two.is_to_look(false));
        assert!(Seat::take(&line, Some(1), None).is_some());
    }

    #[test]
    fn who_comes_again_stands_before_all_who_came_later() {
        let line = Arc::<Line>::default();
        let before = line.join(9, None).unwrap();
        let seat = Seat::take(&line, Some(2), None).unwrap();
        let rank = seat.draw_rank();
        let later = Seat::take(&line, Some(2), None).unwrap().draw_rank();
        let (one, two) = (line.join(9, None).unwrap(), line.join(9, None).unwrap());
        let again = line.join(9, Some(rank)).unwrap();
        let later = line.join(9, Some(later)).unwrap();
        assert!(before.is_first());
        drop(before);
        assert!(again.is_first() && !later.is_first());
        let rank = one.rank;
        drop((one, again));
        assert!(later.is_first());
        drop(later);
        assert!(two.is_first());
        let one = line.join(9, Some(rank)).unwrap();
        assert!(one.is_first() && !two.is_first());
    }

    #[test]
    fn a_seat_that_the_first_takes_calls_nobody_else_to_look_however_many_let_others_pass() {
        let line = Arc::<Line>::default();
        let mut all = passers(&line, 500);
        for _ in 0..10 {
            drop(Seat::take(&line, None, None));
            let called: Vec<_> = all.iter().map(was_called).collect();
            assert_eq!(called.iter().filter(|&&is| is).count(), 1);
            let first = all.remove(0);
            assert!(called[0] && first.is_to_look(false));
            first.took_one();
            drop(first);
            // The next one is told that it is the first now, and no more.
            let called: Vec<_> = all.iter().map(was_called).collect();
            assert_eq!(called.iter().filter(|&&is| is).count(), 1);
            assert!(called[0] && !all[0].is_to_look(false));
        }
    }

    #[test]
    fn a_seat_that_nobody_may_take_is_offered_to_each_once_and_in_order() {
        let line = Arc::<Line>::default();
        let all = passers(&line, 500);
        drop(Seat::take(&line, None, None));
        for place in 0..all.len() {
            let called: Vec<_> = (0..all.len()).filter(|&other| was_called(&all[other])).collect();
            assert_eq!(called, [place]);
            assert!(all[place].is_to_look(false));
            all[place].looked_in_vain(true);
        }
        assert!(!all.iter().any(was_called));
    }

    #[test]
    fn a_seat_that_the_first_may_not_take_goes_to_the_next_and_one_that_it_may_does_not() {
        let line = Arc::<Line>::default();
        let one = passers(&line, 1).remove(0);
        let (two, three) = (line.join(9, None).unwrap(), line.join(9, None).unwrap());
        assert!(was_called(&two) && two.is_to_look(false), "what was free before it came");
        two.looked_in_vain(false);
        drop(Seat::take(&line, None, None));
        assert!(!two.is_to_look(false), "it is the turn of the first");
        assert!(was_called(&one) && one.is_to_look(false));
        one.looked_in_vain(true);
        assert!(was_called(&two) && two.is_to_look(false) && !three.is_to_look(false));
        two.took_one();
        drop(two);
        assert!(was_called(&three) && three.is_to_look(false), "it has not looked yet");
        three.looked_in_vain(false);
        drop(Seat::take(&line, None, None));
        assert!(one.is_to_look(false));
        one.took_one();
        drop(one);
        assert!(three.is_first() && !three.is_to_look(false));
        assert!(three.is_to_look(true), "the first looks for itself as well");
    }

    #[test]
    fn two_seats_of_which_the_first_may_take_one_are_offered_on() {
        let line = Arc::<Line>::default();
        let one = passers(&line, 1).remove(0);
        let two = line.join(9, None).unwrap();
        assert!(two.is_to_look(false));
        two.looked_in_vain(false);
        let seats = [(); 2].map(|()| Seat::take(&line, None, None));
        drop(seats);
        assert!(one.is_to_look(false));
        one.took_one();
        drop(one);
        assert!(was_called(&two) && two.is_to_look(false));
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
