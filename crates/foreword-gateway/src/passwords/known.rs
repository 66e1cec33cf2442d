//! Credentials that were found right: the next request of the same client costs no hash.
//!
//! What is right stays right as long as this lives, since users and hashes never change beside it. So whoever keeps coming is
//! never forgotten, and a flood of guesses, which fills the queue, keeps out nobody who is at work.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Mark;

/// What was found right, and until when it is remembered.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Mark, Instant>>);

impl Known {
    /// Whether these are among them. Then they are remembered anew.
    pub(super) fn has(&self, mark: &Mark, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = known.get_mut(mark).filter(|until| now < **until);
        until.map(|until| *until = now + FOR).is_some()
    }

    pub(super) fn keep(&self, mark: Mark, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, &mut until| now < until);
        }
        if known.len() >= MOST {
            let oldest = known.iter().min_by_key(|&(_, &until)| until).map(|(&mark, _)| mark);
            oldest.map(|oldest| known.remove(&oldest));
        }
        known.insert(mark, now + FOR);
    }
}

/// For how long, if nobody comes with them.
pub(super) const FOR: Duration = Duration::from_secs(300);

/// Those of so many users; each has 32 bytes, and what is around them.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_keeps_coming_is_remembered_and_whoever_stays_away_is_not() {
        let known = Known::default();
        let begun = Instant::now();
        known.keep(Mark::default(), begun);
        let almost = FOR - Duration::from_secs(1);
        assert!((1..5).all(|times| known.has(&Mark::default(), begun + almost * times)));
        assert!(!known.has(&Mark::default(), begun + almost * 4 + FOR));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for_and_the_oldest_goes_first() {
        let known = Known::default();
        let begun = Instant::now();
        let mark = |number: usize| {
            let mut mark = Mark::default();
            mark[..8].copy_from_slice(&number.to_be_bytes());
            mark
        };
        for number in 0..=MOST {
            known.keep(mark(number), begun + Duration::from_millis(number as u64));
        }
        let now = begun + Duration::from_secs(10);
        assert!(!known.has(&mark(0), now) && known.has(&mark(1), now) && known.has(&mark(MOST), now));
        assert_eq!(known.0.lock().unwrap().len(), MOST);
        known.keep(mark(0), now + FOR);
        assert_eq!(known.0.lock().unwrap().len(), 1, "those that are over make room together");
    }
}
