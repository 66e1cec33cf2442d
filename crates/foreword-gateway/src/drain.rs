//! Letting connections go: a plan that is retired, a drain that begins, a deadline that cuts, memory that is short.

pub(crate) mod ration;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::ration::Ration;

/// How far the gateway is on its way out. Only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everyone is welcome.
    Serving,
    /// No new connections. A kept-alive one ends with its next answer.
    Draining,
    /// An idle connection has had its [`GRACE`].
    IdleOver,
    /// Whatever is still open ends now.
    CutOff,
}

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// There is enough.
    #[default]
    Enough,
    /// Nothing should be held that nobody is served by.
    Tight,
    /// The kernel will kill if nothing is let go at once.
    Dire,
}

/// What is found of memory at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strain {
    pub(crate) level: Level,
    /// Grows with each look that finds it short as well, and faster where it is shorter still. It passes with those that do not, so that
    /// nobody is let go for it while there is enough.
    pub(crate) urgency: u16,
    /// How many looks found it dire, since it was not the last time.
    pub(crate) dire: u16,
}

impl Strain {
    pub(crate) fn is_any(self) -> bool {
        self.level > Level::Enough
    }

    fn packed(self) -> u64 {
        (self.level as u64) << 32 | u64::from(self.urgency) << 16 | u64::from(self.dire)
    }

    fn unpacked(packed: u64) -> Self {
        let [level, urgency, dire] = [32, 16, 0].map(|at| (packed >> at) as u16);
        let level = match level {
            0 => Level::Enough,
            1 => Level::Tight,
            _ => Level::Dire,
        };
        Self { level, urgency, dire }
    }

    /// How long a connection may be idle while it lasts: at each look half as long, so that whoever was idle longest goes first.
    fn idle_at_most(self) -> Option<Duration> {
        self.is_any().then(|| halved(self.urgency))
    }

    /// How long the rest of a head may be waited for, once those who are idle were let go and it was not enough. Who waits longest
    /// goes first here too: a head that is meant comes in one piece or two.
    fn head_at_most(self) -> Option<Duration> {
        self.beyond(IDLE_FIRST).map(halved)
    }

    /// How long may be held what came of requests that do not go on, once that was not enough either.
    fn held_at_most(self) -> Option<Duration> {
        self.beyond(HEADS_FIRST).map(halved)
    }

    /// How much more urgent it is than that, if memory is short.
    fn beyond(self, urgency: u16) -> Option<u16> {
        self.urgency.checked_sub(urgency).filter(|_| self.is_any())
    }

    /// Whether nobody is borne with any more who could be let go.
    pub(crate) fn is_all_that_helps(self) -> bool {
        self.urgency >= MOST_URGENT && self.unanswered_at_most().is_none_or(|most| most == 0)
    }

    /// How many requests of one connection may be without an answer, where it is dire: those with the most go first, and then
    /// whoever has one.
    pub(crate) fn unanswered_at_most(self) -> Option<u32> {
        (self.level == Level::Dire).then(|| FIRST_UNANSWERED >> self.dire.min(15))
    }
}

fn halved(times: u16) -> Duration {
    FIRST_IDLE / (1 << times.min(MOST_HALVED))
}

/// How urgent it must be before more than idle connections is let go: to these little more than a second is left then.
const IDLE_FIRST: u16 = 5;

/// The same before more than heads is.
const HEADS_FIRST: u16 = 2 * IDLE_FIRST;

/// So many at once are more than a page asks for.
const FIRST_UNANSWERED: u32 = 16;

/// What an idle connection is still granted when memory has just become short.
const FIRST_IDLE: Duration = Duration::from_secs(30);

/// A shorter time than that is none.
const MOST_HALVED: u16 = 20;

/// Then nobody is borne with any more who could be let go, but those who wait for an answer.
pub(crate) const MOST_URGENT: u16 = HEADS_FIRST + MOST_HALVED;

/// A request may already be on its way when the drain begins; an idle connection waits this long for it.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// One worker's view of the drain and of the plan in force. Connections hold it through [`Drain`].
#[derive(Debug)]
pub(crate) struct Progress {
    phase: Cell<Phase>,
    generation: Cell<u64>,
    ration: Rc<Ration>,
    changed: Notify,
}

impl Progress {
    #[cfg(test)]
    pub(crate) fn new(generation: u64) -> Rc<Self> {
        Self::rationed(generation, Rc::default())
    }

    /// Of a worker that may take this of memory.
    pub(crate) fn rationed(generation: u64, ration: Rc<Ration>) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Serving),
            generation: Cell::new(generation),
            ration,
            changed: Notify::new(),
        })
    }

    /// Goes on to `phase`, unless already further.
    pub(crate) fn advance(&self, phase: Phase) {
        if phase > self.phase.get() {
            self.phase.set(phase);
            self.changed.notify_waiters();
        }
    }

    /// Puts a new plan in force; connections of earlier ones see that theirs is retired.
    pub(crate) fn replace_plan(&self, generation: u64) {
        self.generation.set(generation);
        self.changed.notify_waiters();
    }

    /// Has everyone who waits hear what was found of memory.
    pub(crate) fn memory_was_looked_at(&self) {
        self.changed.notify_waiters();
    }

    /// How short memory is, as the last look found it, whether those who wait have heard or not.
    pub(crate) fn strain(&self) -> Strain {
        self.ration.strain()
    }

    /// What the worker may take of memory until the next look.
    pub(crate) fn ration(&self) -> &Ration {
        &self.ration
    }

    /// Waits until something is left to be taken.
    pub(crate) async fn has_ration(&self) {
        while self.ration.is_used_up() {
            self.changed.notified().await;
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Waits until the gateway has come to `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        while self.phase.get() < phase {
            self.changed.notified().await;
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }
}

/// What one connection is told about its end. It belongs to the plan that was in force when the connection came.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    progress: Rc<Progress>,
    generation: u64,
}

impl Drain {
    /// For a connection that comes now.
    pub(crate) fn new(progress: &Rc<Progress>) -> Self {
        Self { progress: Rc::clone(progress), generation: progress.generation() }
    }

    /// Whether the gateway is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.progress.phase() >= Phase::Draining
    }

    /// Whether the next answer should be the last of this connection: its plan was replaced, the gateway drains, or memory is
    /// short.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_draining() || self.generation != self.progress.generation() || self.progress.strain().is_any()
    }

    /// For how long a connection may be idle, if memory is short. A worker has all who wait look up at each look.
    pub(crate) fn idle_at_most(&self) -> Option<Duration> {
        self.progress.strain().idle_at_most()
    }

    /// For how long the rest of a head may be waited for, if memory is short.
    fn head_at_most(&self) -> Option<Duration> {
        self.progress.strain().head_at_most()
    }

    /// For how long the bytes of a request that does not go on may be held, if memory is short.
    pub(crate) fn held_at_most(&self) -> Option<Duration> {
        self.progress.strain().held_at_most()
    }

    /// How many requests of one connection may be without an answer, if memory is so short that not even those are safe.
    pub(crate) fn unanswered_at_most(&self) -> Option<u32> {
        self.progress.strain().unanswered_at_most()
    }

    /// Whether memory is short.
    pub(crate) fn is_strained(&self) -> bool {
        self.progress.strain().is_any()
    }

    /// Waits until memory was looked at again, a plan was replaced or a drain has gone on.
    pub(crate) async fn next_news(&self) {
        self.progress.changed.notified().await;
    }

    /// Goes on with what somebody owes since then, until memory is so short that it is waited for no longer; for how long it was, then.
    /// Whoever waits for the end of the drain around it has it woken at each look.
    pub(crate) async fn while_borne<F: Future>(
        &self,
        since: Instant,
        mut owed: Pin<&mut F>,
    ) -> Result<F::Output, Duration> {
        poll_fn(|cx| match (owed.as_mut().poll(cx), self.head_at_most()) {
            (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
            (Poll::Pending, Some(most)) if since.elapsed() >= most => Poll::Ready(Err(since.elapsed())),
            (Poll::Pending, _) => Poll::Pending,
        })
        .await
    }

    /// Waits until something may be taken of memory.
    pub(crate) async fn has_ration(&self) {
        self.progress.has_ration().await;
    }

    /// What may be taken of memory until the next look.
    pub(crate) fn ration(&self) -> &Ration {
        &self.progress.ration
    }

    /// Waits until no more requests should come over this connection.
    pub(crate) async fn retired(&self) {
        while !self.is_retired() {
            self.progress.changed.notified().await;
        }
    }

    /// Whether whatever is left is to be cut off.
    pub(crate) fn is_over(&self) -> bool {
        self.progress.phase() >= Phase::CutOff
    }

    /// Waits until an idle connection should close: [`GRACE`] after the drain began.
    pub(crate) async fn idle_over(&self) {
        self.progress.reached(Phase::IdleOver).await;
    }

    /// Whether an idle connection should close: [`GRACE`] after the drain began. A worker has all who wait look up then.
    pub(crate) fn is_idle_over(&self) -> bool {
        self.progress.phase() >= Phase::IdleOver
    }

    /// Waits for the end of the drain, when whatever is left is cut off.
    pub(crate) async fn cancelled(&self) {
        self.progress.reached(Phase::CutOff).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use self::ration::Rations;
    use super::*;

    fn looked_at() -> (Arc<Rations>, Rc<Progress>) {
        let rations = Arc::new(Rations::default());
        let progress = Progress::rationed(1, Rc::new(Ration::of(Arc::clone(&rations))));
        (rations, progress)
    }

    #[test]
    fn a_connection_is_retired_by_the_plan_that_follows_its_own() {
        let progress = Progress::new(1);
        let old = Drain::new(&progress);
        assert!(!old.is_retired());
        progress.replace_plan(2);
        assert!(old.is_retired() && !old.is_draining());
        assert!(!Drain::new(&progress).is_retired());
    }

    #[tokio::test]
    async fn whoever_waits_to_be_retired_hears_of_a_new_plan_and_of_a_drain() {
        let progress = Progress::new(1);
        let drain = Drain::new(&progress);
        tokio::join!(drain.retired(), async { progress.replace_plan(2) });
        let progress = Progress::new(1);
        let drain = Drain::new(&progress);
        tokio::join!(drain.retired(), async { progress.advance(Phase::Draining) });
    }

    #[test]
    fn while_memory_is_short_connections_are_retired_and_less_and_less_idleness_is_borne() {
        let (rations, progress) = looked_at();
        let drain = Drain::new(&progress);
        assert_eq!(drain.idle_at_most(), None);
        let at_most = |urgency| {
            rations.give(Strain { level: Level::Tight, urgency, dire: 0 }, 1);
            assert!(drain.is_retired() && !drain.is_draining());
            drain.idle_at_most().unwrap()
        };
        assert_eq!((at_most(0), at_most(1)), (FIRST_IDLE, FIRST_IDLE / 2));
        assert_eq!(drain.head_at_most(), None);
        assert!(at_most(IDLE_FIRST) < Duration::from_secs(1));
        assert_eq!((drain.head_at_most(), drain.held_at_most()), (Some(FIRST_IDLE), None));
        at_most(HEADS_FIRST);
        assert_eq!(drain.held_at_most(), Some(FIRST_IDLE));
        assert!(at_most(u16::MAX) < Duration::from_millis(1));
        rations.give(Strain { urgency: u16::MAX, ..Strain::default() }, 1);
        assert!(!drain.is_retired() && drain.idle_at_most().is_none() && drain.head_at_most().is_none());
        assert_eq!(drain.held_at_most(), None);
    }

    #[test]
    fn what_was_found_is_known_before_anybody_is_told() {
        let (rations, progress) = looked_at();
        for level in [Level::Enough, Level::Tight, Level::Dire] {
            let strain = Strain { level, urgency: u16::MAX, dire: 7 };
            rations.give(strain, 1);
            assert_eq!(progress.strain(), strain);
        }
    }

    #[test]
    fn where_it_is_dire_those_with_the_most_requests_go_first_and_nobody_before() {
        let (rations, progress) = looked_at();
        let drain = Drain::new(&progress);
        let most = |level, dire| {
            rations.give(Strain { level, urgency: 9, dire }, 1);
            drain.unanswered_at_most()
        };
        assert_eq!([0, 9].map(|dire| most(Level::Tight, dire)), [None, None]);
        let bounds = [0, 1, 2, 3, 4, 5, u16::MAX].map(|dire| most(Level::Dire, dire));
        assert_eq!(bounds, [16, 8, 4, 2, 1, 0, 0].map(Some));
    }

    #[test]
    fn the_phase_never_goes_back() {
        let progress = Progress::new(1);
        progress.advance(Phase::CutOff);
        progress.advance(Phase::Draining);
        assert_eq!(progress.phase(), Phase::CutOff);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_a_later_phase_too() {
        let progress = Progress::new(1);
        let drain = Drain::new(&progress);
        tokio::join!(drain.idle_over(), async { progress.advance(Phase::CutOff) });
        tokio::join!(drain.cancelled(), drain.idle_over());
    }
}
