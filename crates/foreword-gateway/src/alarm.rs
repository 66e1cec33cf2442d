//! One clock for all connections of a worker that wait: a timer of its own would be dearer than all else that one of them needs.

pub(crate) mod patience;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The alarms of one worker.
#[derive(Debug)]
pub(crate) struct Alarms {
    began: Instant,
    slots: RefCell<Slots>,
    /// Told when one is due sooner than all others.
    sooner: Notify,
}

/// Wakes one task: when its time has come, or when all are to look up. It belongs to a task as long as it is not dropped.
#[derive(Debug)]
pub(crate) struct Alarm {
    alarms: Rc<Alarms>,
    slot: u32,
}

impl Alarms {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { began: Instant::now(), slots: RefCell::default(), sooner: Notify::new() })
    }

    /// An alarm. It counts as rung: whoever takes one has not looked up yet.
    pub(crate) fn alarm(self: &Rc<Self>) -> Alarm {
        Alarm { alarms: Rc::clone(self), slot: self.slots.borrow_mut().take() }
    }

    /// Has whoever set an alarm look up: something may have changed for all of them.
    pub(crate) fn ring(&self) {
        let rung: Vec<Waker> = self.slots.borrow_mut().all.iter_mut().filter_map(Slot::ring).collect();
        rung.iter().for_each(Waker::wake_by_ref);
    }

    /// The same for those who did not ask to be spared.
    pub(crate) fn ring_unspared(&self) {
        let mut slots = self.slots.borrow_mut();
        let unspared = slots.all.iter_mut().filter(|slot| !slot.is_spared);
        let rung: Vec<Waker> = unspared.filter_map(Slot::ring).collect();
        drop(slots);
        rung.iter().for_each(Waker::wake_by_ref);
    }

    /// Rings each alarm in its time, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            let now = self.tick_before(Instant::now());
            while let Some(waker) = self.next_due(now) {
                waker.wake();
            }
            let next = self.slots.borrow().dues.peek().map(|&Reverse((due, _))| due);
            let Some(next) = next else {
                self.sooner.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(self.began + Duration::from_millis(next)) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Whom to wake next of those whose time has come.
    fn next_due(&self, now: Tick) -> Option<Waker> {
        let mut slots = self.slots.borrow_mut();
        while slots.dues.peek().is_some_and(|&Reverse((due, _))| due <= now) {
            if let Some(waker) = slots.fire(now) {
                return Some(waker);
            }
        }
        None
    }

    fn tick_before(&self, moment: Instant) -> Tick {
        u64::try_from(moment.saturating_duration_since(self.began).as_millis()).unwrap_or(NEVER - 1)
    }

    /// Rounded up, so that nothing rings before its time.
    fn tick_after(&self, moment: Instant) -> Tick {
        self.tick_before(moment + ALMOST_A_TICK)
    }
}

impl Alarm {
    /// Whether it rang since this was last asked. It may ring though there is nothing to do.
    pub(crate) fn rang(&self) -> bool {
        let mut slots = self.alarms.slots.borrow_mut();
        slots.at(self.slot).is_some_and(|slot| std::mem::take(&mut slot.rang))
    }

    /// Has it ring at `due`, and no more when it would have rung before.
    pub(crate) fn set(&self, cx: &Context<'_>, due: Instant) {
        self.hear(cx);
        let due = self.alarms.tick_after(due);
        let mut slots = self.alarms.slots.borrow_mut();
        let Some(slot) = slots.at(self.slot) else { return };
        slot.due = due;
        if due < slot.looked_at {
            slot.looked_at = due;
            if slots.look_at(self.slot, due) {
                self.alarms.sooner.notify_one();
            }
        }
    }

    /// Has whoever waits by it next look up first, as if he had just taken it.
    pub(crate) fn hand_on(&self) {
        if let Some(slot) = self.alarms.slots.borrow_mut().at(self.slot) {
            slot.rang = true;
        }
    }

    /// Has it ring no more when memory is looked at: what waits by it from here on is none that goes when that is short.
    pub(crate) fn spare(&self) {
        if let Some(slot) = self.alarms.slots.borrow_mut().at(self.slot) {
            slot.is_spared = true;
        }
    }

    /// Has it wake this task when all are rung, whether or not it is set.
    pub(crate) fn hear(&self, cx: &Context<'_>) {
        let mut slots = self.alarms.slots.borrow_mut();
        let Some(slot) = slots.at(self.slot) else { return };
        let before = match &slot.waker {
            Some(waker) if waker.will_wake(cx.waker()) => return,
            _ => slot.waker.replace(cx.waker().clone()),
        };
        // With the last waker a task may go, and its alarm with it.
        drop(slots);
        drop(before);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = self.alarms.slots.borrow_mut().leave(self.slot);
        drop(waker);
    }
}

/// Milliseconds since the worker began.
type Tick = u64;

const NEVER: Tick = Tick::MAX;

const ALMOST_A_TICK: Duration = Duration::from_nanos(999_999);

/// Where an alarm is kept.
#[derive(Debug)]
struct Slot {
    waker: Option<Waker>,
    due: Tick,
    /// When the clock looks here next. An alarm that is set to a later time is set again only then: most connections do
    /// something else before.
    looked_at: Tick,
    rang: bool,
    /// Whether it does not ring at looks at memory.
    is_spared: bool,
}

impl Slot {
    const EMPTY: Self = Self { waker: None, due: NEVER, looked_at: NEVER, rang: false, is_spared: false };

    fn ring(&mut self) -> Option<Waker> {
        self.rang = true;
        self.waker.clone()
    }
}

/// All that are taken, and those that were.
#[derive(Debug, Default)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
    /// When the clock looks where. There are some in it for which the time is another by now, and so nothing is done.
    dues: BinaryHeap<Reverse<(Tick, u32)>>,
}

impl Slots {
    fn at(&mut self, slot: u32) -> Option<&mut Slot> {
        self.all.get_mut(slot as usize)
    }

    fn take(&mut self) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.all.push(Slot::EMPTY);
            // A process has fewer descriptors than that.
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(taken) = self.at(slot) {
            taken.rang = true;
        }
        slot
    }

    fn leave(&mut self, slot: u32) -> Option<Waker> {
        let left = std::mem::replace(self.at(slot)?, Slot::EMPTY);
        self.free.push(slot);
        left.waker
    }

    /// Has the clock look at a slot, and tells whether that is sooner than all else.
    fn look_at(&mut self, slot: u32, due: Tick) -> bool {
        if self.dues.len() > 2 * (self.all.len() - self.free.len()) + FEW {
            let all = &self.all;
            self.dues.retain(|&Reverse((due, slot))| {
                all.get(slot as usize).is_some_and(|slot| slot.looked_at == due)
            });
        }
        let is_sooner = self.dues.peek().is_none_or(|&Reverse((next, _))| due < next);
        self.dues.push(Reverse((due, slot)));
        is_sooner
    }

    /// Looks at the slot that is due first; the waker of whoever has waited for it.
    fn fire(&mut self, now: Tick) -> Option<Waker> {
        let Reverse((looked_at, number)) = self.dues.pop()?;
        let slot = self.at(number)?;
        if slot.looked_at != looked_at {
            return None;
        }
        if slot.due <= now {
            slot.looked_at = NEVER;
            return slot.ring();
        }
        let due = slot.due;
        slot.looked_at = due;
        self.dues.push(Reverse((due, number)));
        None
    }
}

/// So many that are out of date cost nothing.
const FEW: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    async fn rings(alarm: &Alarm, due: Instant) -> Instant {
        assert!(alarm.rang(), "whoever takes it looks up first");
        poll_fn(|cx| {
            if alarm.rang() {
                return Poll::Ready(Instant::now());
            }
            alarm.set(cx, due);
            Poll::Pending
        })
        .await
    }

    async fn beside<T>(alarms: &Alarms, story: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            told = story => told,
            () = alarms.run() => unreachable!("a clock never ends"),
        }
    }

    #[test]
    fn whoever_is_spared_hears_only_what_is_for_all() {
        let alarms = Alarms::new();
        let (one, other) = (alarms.alarm(), alarms.alarm());
        assert!(one.rang() && other.rang());
        one.spare();
        alarms.ring_unspared();
        assert_eq!((one.rang(), other.rang()), (false, true));
        alarms.ring();
        assert!(one.rang() && other.rang());
        drop(one);
        let next = alarms.alarm();
        assert!(next.rang());
        alarms.ring_unspared();
        assert!(next.rang(), "who comes next is not spared");
    }

    #[tokio::test(start_paused = true)]
    async fn each_alarm_rings_in_its_time() {
        let alarms = Alarms::new();
        let begun = Instant::now();
        let (first, second) = (alarms.alarm(), alarms.alarm());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let rung =
            beside(&alarms, async { tokio::join!(rings(&first, at(70)), rings(&second, at(7))) }).await;
        assert_eq!(rung, (at(70), at(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_set_again_rings_at_the_later_time_or_the_sooner_one() {
        let alarms = Alarms::new();
        let begun = Instant::now();
        let alarm = alarms.alarm();
        assert!(alarm.rang());
        for (first, then) in [(5, 9), (9, 5)] {
            let now = Instant::now();
            let mut set_before = false;
            let due = now + Duration::from_secs(then);
            let rung = beside(
                &alarms,
                poll_fn(|cx| {
                    if alarm.rang() {
                        return Poll::Ready(Instant::now());
                    }
                    if !std::mem::replace(&mut set_before, true) {
                        alarm.set(cx, now + Duration::from_secs(first));
                    }
                    alarm.set(cx, due);
                    Poll::Pending
                }),
            )
            .await;
            assert_eq!(rung, due);
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(14));
    }

    #[tokio::test(start_paused = true)]
    async fn all_look_up_when_all_are_rung() {
        let alarms = Alarms::new();
        let begun = Instant::now();
        let (first, second) = (alarms.alarm(), alarms.alarm());
        let late = begun + Duration::from_secs(600);
        let ring = async {
            tokio::task::yield_now().await;
            alarms.ring();
        };
        let (one, two, ()) = tokio::join!(rings(&first, late), rings(&second, late), ring);
        assert_eq!((one, two), (begun, begun));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_come_and_go_leave_nothing_behind() {
        let alarms = Alarms::new();
        let stays = alarms.alarm();
        let late = Instant::now() + Duration::from_secs(600);
        stays.set(&Context::from_waker(Waker::noop()), late);
        for more in 0..10_000 {
            let alarm = alarms.alarm();
            alarm.set(&Context::from_waker(Waker::noop()), late + Duration::from_millis(more));
        }
        let slots = alarms.slots.borrow();
        assert_eq!((slots.all.len(), slots.free.len()), (2, 1));
        assert!(slots.dues.len() <= 2 * slots.all.len() + FEW + 1, "{}", slots.dues.len());
        assert!(slots.dues.iter().any(|&Reverse((_, slot))| slot == stays.slot));
    }
}
