//! Memory in use, looked at often enough that workers let go before the kernel does it for them.

mod meter;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::meter::{Found, Meter, share};
use crate::admission::pressure::Pressure;
use crate::drain::{Level, MOST_URGENT, Strain};
use crate::observe::Observer;
use crate::refusal::Code;

/// Looks at memory, and tells the workers.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    meter: Meter,
    pressure: Arc<Pressure>,
    observer: Arc<Observer>,
    strain: Strain,
    told: Option<Instant>,
    /// Whether the last that was told is that memory is short.
    has_told_shortage: bool,
    /// What the file said at the last look.
    said: Option<u64>,
    settling: Settling,
    giving: Giving,
}

impl MemoryWatch {
    pub(crate) fn new(pressure: Arc<Pressure>, observer: Arc<Observer>) -> Self {
        let meter = Meter::find();
        Self {
            meter,
            pressure,
            observer,
            strain: Strain::default(),
            told: None,
            has_told_shortage: false,
            said: None,
            settling: Settling::default(),
            giving: Giving::default(),
        }
    }

    /// Looks as often as it takes, for as long as somebody says what the plan in force asks for.
    pub(super) async fn run(mut self, mut asked: watch::Receiver<Option<u64>>) {
        loop {
            let said = *asked.borrow_and_update();
            self.tell_of_bound(said);
            if !self.meter.has_mark(said) {
                self.forget();
                if asked.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let pause = self.look(said);
            let is_short = self.strain.is_any();
            let looked = Instant::now();
            let asked_again = async {
                self.pressure.rations().asked().await;
                sleep_until(looked + LEAST_PAUSE).await;
            };
            tokio::select! {
                changed = asked.changed() => if changed.is_err() { return },
                // While it is short looks have their rhythm: who was let go must have time to go.
                () = asked_again, if !is_short => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Tells, once for each file that says so, that less than it says will do.
    fn tell_of_bound(&mut self, asked: Option<u64>) {
        if self.said != asked
            && let Some((bytes, most)) = beyond_cgroup(asked, self.meter.limit())
        {
            tracing::warn!(
                "`max_memory`: expected at most {most} bytes, the share of what the cgroup may have, found {bytes}: the cgroup comes \
                 first [{}]",
                Code::MemoryShort
            );
        }
        self.said = asked;
    }

    fn look(&mut self, asked: Option<u64>) -> Duration {
        self.giving.give_back(Instant::now(), foreword_heap::give_back);
        let found = match self.meter.look(asked) {
            Ok(Some(found)) => found,
            Ok(None) => return SELDOM,
            Err(error) => {
                self.tell(|| {
                    tracing::warn!(
                        "memory in use cannot be read, nothing is refused for it: {error} [{}]",
                        Code::MemoryShort
                    );
                });
                self.forget();
                return SELDOM;
            }
        };
        let was_short = self.strain.is_any();
        let Found { held, limit, .. } = found;
        let mark = self.settling.mark(found.mark, held);
        let dire = dire_from(found.mark, limit);
        self.strain =
            next(self.strain, mark, self.settling.enough(mark), self.settling.dire_from(dire, limit), held);
        let has_settled = self.settling.has_settled(self.strain, dire, limit, held);
        if has_settled {
            self.strain = Strain::default();
        }
        let all = ration(mark, limit, held, self.strain);
        self.pressure.found(mark, held, self.strain, all / self.observer.workers().max(1));
        self.observer.memory_is(held, Some(mark));
        self.giving.found(self.strain, found.mark, held);
        match (was_short, self.strain.is_any()) {
            (false, true) => self.tell_shortage(&Found { mark, ..found }),
            (true, false) if has_settled => {
                self.has_told_shortage = false;
                self.tell(|| {
                    tracing::info!(
                        "memory in use stays at {held} bytes though nothing more can be let go: what is free in it is used again, \
                         and all are welcome"
                    );
                });
            }
            (true, false) if mem::take(&mut self.has_told_shortage) => {
                tracing::info!("memory in use is below the mark again: {held} bytes");
            }
            _ => {}
        }
        if held > mark / 2 { OFTEN } else { SELDOM }
    }

    fn tell_shortage(&mut self, &Found { held, mark, whose, .. }: &Found) {
        self.has_told_shortage |= self.tell(|| {
            tracing::warn!(
                "expected at most {mark} bytes of memory in use (max_memory) {whose}, found {held}: until it is less, new \
                 connections are refused and idle ones are closed [{}]",
                Code::MemoryShort
            );
        });
    }

    /// Says it, unless something was said shortly before; whether it did.
    fn tell(&mut self, say: impl FnOnce()) -> bool {
        let now = Instant::now();
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= BETWEEN_LINES);
        if is_due {
            self.told = Some(now);
            say();
        }
        is_due
    }

    /// There is no mark.
    fn forget(&mut self) {
        (self.strain, self.settling) = (Strain::default(), Settling::default());
        self.giving.is_wanted = None;
        self.pressure.found(u64::MAX, 0, self.strain, usize::MAX);
        self.observer.memory_is(0, None);
    }
}

/// What is asked for and what holds instead, where the cgroup's share is less.
fn beyond_cgroup(asked: Option<u64>, limit: Option<u64>) -> Option<(u64, u64)> {
    let (asked, most) = (asked?, share(limit?));
    (asked > most).then_some((asked, most))
}

/// It is dire where two fifths are gone of what is between the mark and the limit.
fn dire_from(mark: u64, limit: u64) -> u64 {
    mark + limit.saturating_sub(mark) / 5 * 2
}

/// Memory that is short stays so until a sixteenth of the mark is free: it would else come and go with each connection. Where it comes
/// and goes all the same, as an allocator gives back what is taken again at once, it goes on where it was: urgency passes as slowly as it grows.
fn next(before: Strain, mark: u64, enough: u64, dire: u64, held: u64) -> Strain {
    let bound = if before.is_any() { enough } else { mark };
    if held <= bound {
        return Strain { urgency: before.urgency.saturating_sub(1), ..Strain::default() };
    }
    let is_dire = held > dire;
    let (level, step) = if is_dire { (Level::Dire, 3) } else { (Level::Tight, 1) };
    let was_dire = before.level == Level::Dire;
    Strain {
        level,
        urgency: if before == Strain::default() {
            0
        } else {
            before.urgency.saturating_add(step).min(MOST_URGENT)
        },
        dire: if is_dire && was_dire { before.dire.saturating_add(1) } else { 0 },
    }
}

/// What all workers together may take until the next look: half of what is left below the mark, since what is noted is less than what is
/// taken, and some of what is left above it. While memory is short, few of those who come may begin: what is let go must be more.
fn ration(mark: u64, limit: u64, held: u64, strain: Strain) -> usize {
    let above = limit.saturating_sub(held.max(mark));
    let (bytes, least) = match strain.level {
        Level::Enough => (mark.saturating_sub(held) / 2 + above / 4, LEAST_RATION),
        Level::Tight => (above / 16, LEAST_RATION),
        Level::Dire => (above / 16, LEAST_RATION / 4),
    };
    usize::try_from(bytes).unwrap_or(usize::MAX).max(least)
}

/// Whether what is held is what an allocator keeps: it takes from there before it asks for more, but seldom gives it back.
#[derive(Debug, Default)]
struct Settling {
    /// The least that was held since memory is short.
    least: u64,
    /// For how many looks it has been no less.
    looks: u32,
    /// The mark that holds instead, while so much is held.
    mark: u64,
    /// What was held then.
    stays: u64,
}

impl Settling {
    /// The mark that holds: the one that was asked for, or one above what stays whatever is let go.
    fn mark(&mut self, asked: u64, held: u64) -> u64 {
        if held <= asked - asked / 16 {
            *self = Self::default();
        }
        self.mark.max(asked)
    }

    /// Beyond what it is dire: as it was before, unless more than that stays.
    fn dire_from(&self, dire: u64, limit: u64) -> u64 {
        if self.mark > dire { dire_from(self.mark, limit) } else { dire }
    }

    /// With how much in use it is over, once it is more than the mark.
    fn enough(&self, mark: u64) -> u64 {
        if mark == self.mark { self.stays } else { mark - mark / 16 }
    }

    /// Whether all that can be let go is gone, and it did not help. What is held then is the measure from there on. As long as there
    /// are requests that would be let go where it is `dire`, it may come that far and no farther; once they are gone, nothing holds
    /// what stays but an allocator, which uses it again, or a neighbour: then there must be some way from it to the limit.
    fn has_settled(&mut self, strain: Strain, dire: u64, limit: u64, held: u64) -> bool {
        if !strain.is_any() || self.looks == 0 || held < self.least {
            (self.least, self.looks) = (held, u32::from(strain.is_any()));
            return false;
        }
        self.looks += 1;
        let left = limit.saturating_sub(held);
        let has_settled = strain.is_all_that_helps() && self.looks > STEADY && left > LEAST_WAY;
        if has_settled {
            let most = if strain.level == Level::Dire { u64::MAX } else { dire };
            (self.mark, self.stays, self.looks) =
                (held.saturating_add(left / 4).min(most), held.saturating_add(left / 16).min(most), 0);
        }
        has_settled
    }
}

/// When what the heap keeps unused is given back. What was let go is in use until then, and going through the heap takes time.
#[derive(Debug, Default)]
struct Giving {
    /// How long after the last time it is wanted again, if it is.
    is_wanted: Option<Duration>,
    /// When it was done last, and how long that took.
    last: Option<(Instant, Duration)>,
}

impl Giving {
    /// Takes note of a look. Memory that is short is wanted back soon; what comes near the mark may be what was let go before.
    fn found(&mut self, strain: Strain, mark: u64, held: u64) {
        self.is_wanted = if strain.is_any() {
            Some(SOON)
        } else if held > mark - mark / 8 {
            Some(LATER)
        } else {
            None
        };
    }

    /// Gives back, if it is wanted and due.
    fn give_back(&mut self, now: Instant, give_back: impl FnOnce() -> bool) {
        let Some(pause) = self.is_wanted else { return };
        let is_due = self.last.is_none_or(|(last, took)| now.duration_since(last) >= pause.max(took * SHARE));
        if is_due {
            give_back();
            self.last = Some((now, now.elapsed()));
        }
    }
}

/// A large heap takes long: no more than one part in so many of the time goes into it.
const SHARE: u32 = 10;

const SOON: Duration = Duration::from_millis(200);

const LATER: Duration = Duration::from_secs(2);

/// With less than that between, the next few requests would end in the limit.
const LEAST_WAY: u64 = 1024 * 1024;

/// Half a second of looks.
const STEADY: u32 = 25;

/// With it a worker answers a few requests at each look.
const LEAST_RATION: usize = 256 * 1024;

/// What was taken is not yet written to all: a look that comes too soon would give it out once more.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

const OFTEN: Duration = Duration::from_millis(20);

const SELDOM: Duration = Duration::from_millis(100);

const BETWEEN_LINES: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_from_above_the_mark_until_well_below_it() {
        let mark = 1600;
        let mut strain = Strain::default();
        let mut found = |held| {
            strain = next(strain, mark, 1500, dire_from(mark, 2000), held);
            (strain.is_any(), strain.urgency)
        };
        assert_eq!(
            [1600, 1601, 1600, 1501, 1500, 1600].map(&mut found),
            [(false, 0), (true, 0), (true, 1), (true, 2), (false, 1), (false, 0)]
        );
    }

    #[test]
    fn a_mark_beyond_what_the_cgroup_may_have_is_told_with_what_holds_instead() {
        let limit = 1000 << 20;
        let most = share(limit);
        assert_eq!(beyond_cgroup(Some(most + 1), Some(limit)), Some((most + 1, most)));
        for (asked, limit) in [(Some(most), Some(limit)), (Some(u64::MAX), None), (None, Some(limit))] {
            assert_eq!(beyond_cgroup(asked, limit), None, "{asked:?} {limit:?}");
        }
    }

    #[test]
    fn it_is_dire_far_above_the_mark_and_more_so_with_each_look() {
        let mut strain = Strain::default();
        let mut found = |held| {
            strain = next(strain, 1600, 1500, dire_from(1600, 2000), held);
            (strain.level, strain.urgency, strain.dire)
        };
        assert_eq!(
            [1761, 1761, 1761, 1760, 1761].map(&mut found),
            [
                (Level::Dire, 0, 0),
                (Level::Dire, 3, 1),
                (Level::Dire, 6, 2),
                (Level::Tight, 7, 0),
                (Level::Dire, 10, 0)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_while_it_is_short_and_seldom_where_it_is_near_to_that() {
        let mut giving = Giving::default();
        let short = Strain { level: Level::Tight, ..Strain::default() };
        let mut given = async |strain, held, takes: Duration| {
            let mut times = 0;
            for _ in 0..500 {
                giving.give_back(Instant::now(), || {
                    times += 1;
                    true
                });
                giving.last = giving.last.map(|(last, _)| (last, takes));
                giving.found(strain, 1600, held);
                tokio::time::advance(OFTEN).await;
            }
            times
        };
        let brief = Duration::from_millis(1);
        assert_eq!(given(Strain::default(), 1400, brief).await, 0);
        assert_eq!(given(Strain::default(), 1401, brief).await, 5);
        assert_eq!(given(short, 1601, brief).await, 50);
        assert_eq!(given(short, 1601, Duration::from_secs(1)).await, 1);
    }

    #[test]
    fn whatever_is_held_what_is_given_out_stays_below_the_limit() {
        const MIB: u64 = 1 << 20;
        let limit = 1024 * MIB;
        let mark = share(limit);
        let short = Strain { level: Level::Tight, ..Strain::default() };
        for held in (0..1000).map(|held| held * MIB) {
            let strain = if held > mark { short } else { Strain::default() };
            let given = ration(mark, limit, held, strain) as u64;
            assert!(held + given < limit, "{held}: {given}");
        }
        assert_eq!(ration(mark, limit, 2 * limit, short), LEAST_RATION);
        let dire = Strain { level: Level::Dire, ..short };
        assert!(ration(mark, limit, 2 * limit, dire) < LEAST_RATION);
    }

    #[test]
    fn what_is_dire_stays_so_until_requests_without_an_answer_are_gone_as_well() {
        let (asked, limit) = (1600 << 20, 2000 << 20);
        let mut settling = Settling::default();
        let mut strain = Strain::default();
        let mut look = |mib: u64| {
            let held = mib << 20;
            let mark = settling.mark(asked, held);
            let dire = dire_from(asked, limit);
            strain = next(strain, mark, settling.enough(mark), settling.dire_from(dire, limit), held);
            let found = strain;
            let has_settled = settling.has_settled(strain, dire, limit, held);
            if has_settled {
                strain = Strain::default();
            }
            (found, has_settled)
        };
        let before = std::iter::repeat_with(|| look(1800)).find(|&(_, has_settled)| has_settled).unwrap().0;
        assert_eq!((before.level, before.unanswered_at_most()), (Level::Dire, Some(0)));
        assert_eq!([1800, 1850, 1851, 1911].map(|held| look(held).0.level), {
            [Level::Enough, Level::Enough, Level::Tight, Level::Dire]
        });
    }

    #[test]
    fn what_stays_whatever_is_let_go_is_no_shortage_until_it_grows() {
        let mut settling = Settling::default();
        let mut strain = Strain::default();
        let mut look = |mib: u64| {
            let (held, limit) = (mib << 20, 2000 << 20);
            let mark = settling.mark(1600 << 20, held);
            let dire = dire_from(1600 << 20, limit);
            strain = next(strain, mark, settling.enough(mark), settling.dire_from(dire, limit), held);
            let has_settled = settling.has_settled(strain, dire, limit, held);
            if has_settled {
                strain = Strain::default();
            }
            (strain.is_any(), has_settled)
        };
        // As long as it helps, it goes on.
        for held in (1700..1900).rev() {
            assert_eq!(look(held), (true, false));
        }
        let looks = (0..1000).take_while(|_| look(1700) == (true, false)).count();
        assert_eq!(looks + 1, STEADY as usize);
        assert_eq!([1700, 1760, 1761].map(|held| look(held).0), [false, false, true]);
        // And is over where it was.
        assert_eq!([1719, 1718].map(|held| look(held).0), [true, false]);
        // What was given back counts no more.
        assert_eq!([1500, 1600, 1601].map(|held| look(held).0), [false, false, true]);
    }
}
