//! Credentials that were found right: the next request of the same client costs no hash.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Mark;

/// What was found right, and until when it is remembered.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Mark, Instant>>);

impl Known {
    pub(super) fn has(&self, mark: &Mark, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(mark).is_some_and(|&until| now < until)
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

/// For how long.
pub(super) const FOR: Duration = Duration::from_secs(300);

/// Those of so many users; each has 32 bytes, and what is around them.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

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
