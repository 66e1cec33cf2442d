//! Memory in use, looked at often enough that workers let go before the kernel does it for them.

mod meter;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::meter::Meter;
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
    strain: Strain,
    told: Option<Instant>,
}

impl MemoryWatch {
    pub(crate) fn new(pressure: Arc<Pressure>, observer: Arc<Observer>) -> Self {
        Self { meter: Meter::find(), pressure, observer, strain: Strain::default(), told: None }
    }

    /// Looks as often as it takes, for as long as somebody says what the plan in force asks for.
    pub(super) async fn run(mut self, mut asked: watch::Receiver<Option<u64>>) {
        loop {
            let mark = self.mark(*asked.borrow_and_update());
            let Some(mark) = mark else {
                self.forget();
                if asked.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let pause = self.look(mark);
            tokio::select! {
                changed = asked.changed() => if changed.is_err() { return },
                () = sleep(pause) => {}
            }
        }
    }

    /// What may be in use. What the file asks for holds, but beyond our share of the cgroup's limit the kernel would come first.
    fn mark(&self, asked: Option<u64>) -> Option<u64> {
        match (asked, self.meter.limit()) {
            (Some(asked), Some(limit)) => Some(asked.min(share(limit))),
            (Some(asked), None) => Some(asked),
            (None, limit) => limit.map(share),
        }
    }

    fn look(&mut self, mark: u64) -> Duration {
        let held = match self.meter.held() {
            Ok(held) => held,
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
        self.strain = next(self.strain, mark, held);
        self.pressure.found(mark, held, self.strain);
        self.observer.memory_is(held, Some(mark));
        match (was_short, self.strain.is_any()) {
            (false, true) => self.tell_shortage(mark, held),
            (true, false) => tracing::info!("memory in use is below the mark again: {held} bytes"),
            _ => {}
        }
        if held > mark / 2 { OFTEN } else { SELDOM }
    }

    fn tell_shortage(&mut self, mark: u64, held: u64) {
        let whose = self.meter.whose();
        self.tell(|| {
            tracing::warn!(
                "expected at most {mark} bytes of memory in use (max_memory) {whose}, found {held}: until it is less, new \
                 connections are refused and idle ones are closed [{}]",
                Code::MemoryShort
            );
        });
    }

    /// Says it, unless something was said shortly before.
    fn tell(&mut self, say: impl FnOnce()) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now.duration_since(told) >= BETWEEN_LINES) {
            self.told = Some(now);
            say();
        }
    }

    /// There is no mark.
    fn forget(&mut self) {
        self.strain = Strain::default();
        self.pressure.found(u64::MAX, 0, self.strain);
        self.observer.memory_is(0, None);
    }
}

/// Memory that is short stays so until a sixteenth of the mark is free: it would else come and go with each connection.
fn next(before: Strain, mark: u64, held: u64) -> Strain {
    let bound = if before.is_any() { mark - mark / 16 } else { mark };
    match (held > bound, before.is_any()) {
        (false, _) => Strain::default(),
        (true, false) => Strain { level: Level::Tight, urgency: 0 },
        (true, true) => {
            let step = if held > mark.saturating_add(mark / 16) { 3 } else { 1 };
            Strain { urgency: before.urgency.saturating_add(step), ..before }
        }
    }
}

/// 85 %: what comes between two looks must fit into the rest.
fn share(limit: u64) -> u64 {
    limit / 100 * 85
}

const OFTEN: Duration = Duration::from_millis(20);

const SELDOM: Duration = Duration::from_millis(100);

const BETWEEN_LINES: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_from_above_the_mark_until_well_below_it_and_more_urgently_well_above() {
        let mark = 1600;
        let mut strain = Strain::default();
        let mut found = |held| {
            strain = next(strain, mark, held);
            (strain.is_any(), strain.urgency)
        };
        assert_eq!(
            [1600, 1601, 1600, 1701, 1700, 1501, 1500, 1600].map(&mut found),
            [(false, 0), (true, 0), (true, 1), (true, 4), (true, 5), (true, 6), (false, 0), (false, 0)]
        );
    }
}
