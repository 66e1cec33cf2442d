//! How often something may happen for each key: the generic cell rate algorithm, in a table that never grows.

use std::hash::RandomState;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foreword_rule::Facts;

use super::key::Key;

/// What a rule allows each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What is counted apart: every value of this has a rate of its own.
    pub per: Key,
    /// So many requests, or connections in tcp mode…
    pub count: NonZeroU32,
    /// … in so much time.
    pub every: Duration,
    /// How many may come at once after a pause.
    pub burst: NonZeroU32,
    /// How many keys are remembered.
    pub keys: NonZeroUsize,
}

impl Rate {
    /// The time between two that come as fast as they may.
    fn interval(&self) -> u64 {
        (nanos(self.every) / u64::from(self.count.get())).max(1)
    }
}

/// A rate, and what was used of it. All workers share it; it is locked in parts, and only where a rule has one.
#[derive(Debug)]
pub struct RateLimit {
    rate: Rate,
    began: Instant,
    /// Keyed anew in each process, so that nobody can aim at another's key.
    hash: RandomState,
    shards: Box<[Mutex<Vec<Bucket>>]>,
}

/// The keys whose hashes lead to one place.
type Bucket = [Used; WAYS];

/// What a key has used: when it will be as good as new, in nanoseconds since `began`.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    key: u64,
    until: u64,
}

impl RateLimit {
    /// A limit of which nothing was used before `began`.
    pub fn new(rate: Rate, began: Instant) -> Self {
        let buckets = rate.keys.get().div_ceil(WAYS);
        let shards = buckets.min(SHARDS);
        let per_shard = buckets.div_ceil(shards);
        let shard = || Mutex::new(vec![Bucket::default(); per_shard]);
        Self {
            rate,
            began,
            hash: RandomState::new(),
            shards: std::iter::repeat_with(shard).take(shards).collect(),
        }
    }

    /// What is allowed.
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Counts one more for the key that the facts have; one that has none is not limited.
    ///
    /// # Errors
    /// It is one too many: after this time the next one is welcome. What is refused does not count.
    pub(crate) fn take(&self, facts: &impl Facts, now: Instant) -> Result<(), Duration> {
        match self.rate.per.hashed(&self.hash, facts) {
            Some(key) => self.take_for(key, nanos(now.saturating_duration_since(self.began))),
            None => Ok(()),
        }
    }

    fn take_for(&self, key: u64, now: u64) -> Result<(), Duration> {
        let interval = self.rate.interval();
        let most = interval.saturating_mul(u64::from(self.rate.burst.get()));
        let Some(shard) = self.shards.get(key as usize % self.shards.len().max(1)) else { return Ok(()) };
        // Whoever panicked there left whole numbers behind.
        let mut buckets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (key >> 32) as usize % buckets.len().max(1);
        let Some(bucket) = buckets.get_mut(place) else { return Ok(()) };
        let Some(used) = find(bucket, key) else { return Ok(()) };
        let until = used.until.max(now).saturating_add(interval);
        match (until - now).checked_sub(most) {
            None | Some(0) => {
                *used = Used { key, until };
                Ok(())
            }
            Some(too_soon) => Err(Duration::from_nanos(too_soon)),
        }
    }
}

/// The place of a key among those of its bucket: its own, a new one's where it has none. The one that has used least goes
/// for it, so that nobody who used much can have it forgotten by bringing many others along.
fn find(bucket: &mut Bucket, key: u64) -> Option<&mut Used> {
    let place = match bucket.iter().position(|used| used.key == key) {
        Some(place) => place,
        None => {
            let least = (0..bucket.len()).min_by_key(|&place| bucket.get(place).map(|used| used.until))?;
            *bucket.get_mut(least)? = Used { key, until: 0 };
            least
        }
    };
    bucket.get_mut(place)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Keys that share a place: with eight, hardly any is forgotten before the table is nearly full.
const WAYS: usize = 8;

/// So many parts are locked apart; more workers than that are rare.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use foreword_rule::Variable;

    use super::*;
    use crate::policy::key::tests::Known;

    fn limit(count: u32, every: u64, burst: u32, keys: usize) -> RateLimit {
        let rate = Rate {
            per: Key::parse("client.ip", Variable::for_template).unwrap(),
            count: NonZeroU32::new(count).unwrap(),
            every: Duration::from_secs(every),
            burst: NonZeroU32::new(burst).unwrap(),
            keys: NonZeroUsize::new(keys).unwrap(),
        };
        RateLimit::new(rate, Instant::now())
    }

    fn at(millis: u64) -> u64 {
        millis * 1_000_000
    }

    #[test]
    fn a_burst_may_come_at_once_and_then_one_at_each_interval() {
        let limit = limit(10, 1, 3, 100);
        let start = at(5_000);
        assert_eq!([0; 4].map(|_| limit.take_for(7, start).is_ok()), [true, true, true, false]);
        assert_eq!(limit.take_for(7, start), Err(Duration::from_millis(100)));
        assert_eq!(limit.take_for(7, start + at(60)), Err(Duration::from_millis(40)));
        assert_eq!(limit.take_for(7, start + at(100)), Ok(()));
        assert!(limit.take_for(7, start + at(100)).is_err());
    }

    #[test]
    fn what_is_refused_does_not_count() {
        let limit = limit(1, 1, 1, 100);
        assert_eq!(limit.take_for(1, at(0)), Ok(()));
        for millis in 1..1000 {
            assert!(limit.take_for(1, at(millis)).is_err());
        }
        assert_eq!(limit.take_for(1, at(1000)), Ok(()));
    }

    #[test]
    fn over_any_time_no_more_come_than_the_rate_and_one_burst() {
        let limit = limit(50, 1, 20, 100);
        let came = (0..10_000).filter(|&millis| limit.take_for(3, at(millis)).is_ok()).count();
        assert!((500..=520).contains(&came), "{came}");
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_burst() {
        let limit = limit(10, 1, 2, 100);
        assert_eq!(limit.take_for(3, at(0)), Ok(()));
        let later = at(3_600_000);
        assert_eq!([0; 3].map(|_| limit.take_for(3, later).is_ok()), [true, true, false]);
    }

    #[test]
    fn whoever_used_much_is_not_forgotten_for_those_who_come_once() {
        let limit = limit(10, 1, 10, 64);
        let (culprit, start) = (u64::MAX, at(1));
        for _ in 0..10 {
            assert_eq!(limit.take_for(culprit, start), Ok(()));
        }
        for key in 0..10_000_u64 {
            let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(limit.take_for(spread, start), Ok(()), "a newcomer is not punished");
        }
        assert!(limit.take_for(culprit, start).is_err());
    }

    #[test]
    fn an_ipv6_client_cannot_escape_within_its_network() {
        let limit = limit(1, 60, 1, 1000);
        let ip = |text| Known { ip: Some(text), ..Known::NOBODY };
        let now = Instant::now();
        assert!(limit.take(&ip("2001:db8::1"), now).is_ok());
        assert!(limit.take(&ip("2001:db8::2:3:4:5"), now).is_err());
        assert!(limit.take(&ip("2001:db8:0:1::1"), now).is_ok());
        assert!(limit.take(&ip("192.0.2.1"), now).is_ok());
        assert!(limit.take(&ip("::ffff:192.0.2.1"), now).is_err());
        assert!(limit.take(&ip("192.0.2.2"), now).is_ok());
    }

    #[test]
    fn who_has_no_key_is_not_limited() {
        let limit = limit(1, 60, 1, 1);
        for _ in 0..3 {
            assert!(limit.take(&Known::NOBODY, Instant::now()).is_ok());
        }
    }
}
