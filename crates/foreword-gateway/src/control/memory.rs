//! Memory in use, looked at often enough that workers let go before the kernel does it for them.

mod giving;
mod meter;
mod shortage;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::giving::Giving;
use self::meter::{Found, Meter, share};
use self::shortage::{Noted, Shortage};
use crate::admission::pressure::Pressure;
use crate::drain::{Level, Strain};
use crate::observe::Observer;
use crate::refusal::Code;

/// Looks at memory, and tells the workers.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    meter: Meter,
    pressure: Arc<Pressure>,
    observer: Arc<Observer>,
    shortage: Shortage,
    told: Option<Instant>,
    /// Whether the last that was told is that memory is short.
    has_told_shortage: bool,
    /// What the file said at the last look.
    said: Option<u64>,
    giving: Giving,
}

impl MemoryWatch {
    pub(crate) fn new(pressure: Arc<Pressure>, observer: Arc<Observer>) -> Self {
        let meter = Meter::find();
        Self {
            meter,
            pressure,
            observer,
            shortage: Shortage::default(),
            told: None,
            has_told_shortage: false,
            said: None,
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
            let is_short = self.shortage.strain().is_any();
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
        let was_short = self.shortage.strain().is_any();
        let Noted { mark, has_settled } = self.shortage.found(&found);
        let (strain, Found { held, limit, .. }) = (self.shortage.strain(), found);
        let all = ration(mark, limit, held, strain);
        self.pressure.found(mark, held, strain, all / self.observer.workers().max(1));
        self.observer.memory_is(held, Some(mark));
        self.giving.found(strain, found.mark, held);
        match (was_short, strain.is_any()) {
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
        (self.shortage, self.giving) = (Shortage::default(), Giving::default());
        self.pressure.found(u64::MAX, 0, Strain::default(), usize::MAX);
        self.observer.memory_is(0, None);
    }
}

/// What is asked for and what holds instead, where the cgroup's share is less.
fn beyond_cgroup(asked: Option<u64>, limit: Option<u64>) -> Option<(u64, u64)> {
    let (asked, most) = (asked?, share(limit?));
    (asked > most).then_some((asked, most))
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
    fn a_mark_beyond_what_the_cgroup_may_have_is_told_with_what_holds_instead() {
        let limit = 1000 << 20;
        let most = share(limit);
        assert_eq!(beyond_cgroup(Some(most + 1), Some(limit)), Some((most + 1, most)));
        for (asked, limit) in [(Some(most), Some(limit)), (Some(u64::MAX), None), (None, Some(limit))] {
            assert_eq!(beyond_cgroup(asked, limit), None, "{asked:?} {limit:?}");
        }
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
}
