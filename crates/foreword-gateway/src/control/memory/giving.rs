//! When what was let go is given back to the kernel.

use std::time::Duration;

use tokio::time::Instant;

use crate::drain::Strain;

/// When what the heap keeps unused is given back. What was let go is in use until then, and going through the heap takes time.
#[derive(Debug, Default)]
pub(super) struct Giving {
    /// How long after the last time it is wanted again, if it is.
    is_wanted: Option<Duration>,
    /// When it was done last, and how long that took.
    last: Option<(Instant, Duration)>,
}

impl Giving {
    /// Takes note of a look. Memory that is short is wanted back soon; what comes near the mark may be what was let go before.
    pub(super) fn found(&mut self, strain: Strain, mark: u64, held: u64) {
        self.is_wanted = if strain.is_any() {
            Some(SOON)
        } else if held > mark - mark / 8 {
            Some(LATER)
        } else {
            None
        };
    }

    /// Gives back, if it is wanted and due.
    pub(super) fn give_back(&mut self, now: Instant, give_back: impl FnOnce() -> bool) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Level;

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
                tokio::time::advance(LOOK).await;
            }
            times
        };
        let brief = Duration::from_millis(1);
        assert_eq!(given(Strain::default(), 1400, brief).await, 0);
        assert_eq!(given(Strain::default(), 1401, brief).await, 5);
        assert_eq!(given(short, 1601, brief).await, 50);
        assert_eq!(given(short, 1601, Duration::from_secs(1)).await, 1);
    }

    const LOOK: Duration = Duration::from_millis(20);
}
