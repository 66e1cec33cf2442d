//! How much may go on at once for each key: seats that are taken and given back, in tables no larger than what goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foreword_rule::Facts;

use super::key::Key;

/// A bound on what goes on at once for each key. All workers share it; it is locked in parts, and only where there is one.
#[derive(Clone, Debug)]
pub struct SeatLimit {
    most: NonZeroU32,
    taken: Arc<Taken>,
}

/// How many seats each key has.
#[derive(Debug)]
struct Taken {
    per: Key,
    /// Keyed anew in each process, so that nobody can aim at another's key.
    hash: RandomState,
    shards: Box<[Mutex<HashMap<u64, u32>>]>,
}

impl SeatLimit {
    /// A limit of `most` seats for every value of `per`, none of them taken.
    pub fn new(per: Key, most: NonZeroU32) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { most, taken: Arc::new(Taken { per, hash: RandomState::new(), shards }) }
    }

    /// How many there are for each key.
    pub fn most(&self) -> NonZeroU32 {
        self.most
    }

    /// Takes a seat for the key that the facts have; one that has none needs no seat.
    ///
    /// # Errors
    /// All are taken.
    pub(crate) fn sit(&self, facts: &impl Facts) -> Result<Option<Seat>, AllTaken> {
        let Some(key) = self.taken.per.hashed(&self.taken.hash, facts) else { return Ok(None) };
        let mut shard = self.taken.shard(key);
        match shard.entry(key) {
            Entry::Occupied(seats) if *seats.get() >= self.most.get() => return Err(AllTaken),
            Entry::Occupied(mut seats) => *seats.get_mut() += 1,
            Entry::Vacant(place) => drop(place.insert(1)),
        }
        drop(shard);
        Ok(Some(Seat { taken: Arc::clone(&self.taken), key }))
    }

    /// Goes on counting where `before` did, if the same is counted apart: the seats that are taken stay taken.
    pub(super) fn take_over(&mut self, before: &Self) -> bool {
        let same = self.taken.per == before.taken.per;
        if same {
            self.taken = Arc::clone(&before.taken);
        }
        same
    }
}

/// There is no seat free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AllTaken;

/// One seat, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: Arc<Taken>,
    key: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shard = self.taken.shard(self.key);
        if let Entry::Occupied(mut seats) = shard.entry(self.key) {
            match seats.get().checked_sub(1) {
                None | Some(0) => drop(seats.remove()),
                Some(left) => *seats.get_mut() = left,
            }
        }
        // A wave of clients must not keep its room for ever.
        if shard.capacity() > SMALL && shard.len() < shard.capacity() / 8 {
            shard.shrink_to(SMALL);
        }
    }
}

impl Taken {
    #[expect(clippy::indexing_slicing, reason = "there are as many shards as the number is taken modulo")]
    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, u32>> {
        // Whoever panicked there left whole numbers behind.
        self.shards[key as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many parts are locked apart; more workers than that are rare.
const SHARDS: usize = 64;

/// Room for so many keys is kept in each part.
const SMALL: usize = 64;

#[cfg(test)]
mod tests {
    use std::thread;

    use foreword_rule::Variable;

    use super::*;
    use crate::policy::key::tests::Known;

    fn limit(most: u32) -> SeatLimit {
        let per = Key::parse("client.ip", Variable::for_template).unwrap();
        SeatLimit::new(per, NonZeroU32::new(most).unwrap())
    }

    fn ip(text: &'static str) -> Known {
        Known { ip: Some(text), ..Known::NOBODY }
    }

    fn keys(limit: &SeatLimit) -> usize {
        limit.taken.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_seat_that_is_given_back_is_free_again() {
        let limit = limit(2);
        let one = limit.sit(&ip("192.0.2.1")).unwrap();
        let _two = limit.sit(&ip("192.0.2.1")).unwrap();
        for _ in 0..3 {
            assert_eq!(limit.sit(&ip("192.0.2.1")).err(), Some(AllTaken));
        }
        let _other = limit.sit(&ip("192.0.2.2")).unwrap();
        drop(one);
        assert!(limit.sit(&ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_shares_its_seats_and_who_has_no_key_needs_none() {
        let limit = limit(1);
        let _one = limit.sit(&ip("2001:db8::1")).unwrap();
        assert!(limit.sit(&ip("2001:db8::2:3:4:5")).is_err());
        assert!(limit.sit(&ip("2001:db8:0:1::1")).is_ok());
        for _ in 0..3 {
            assert!(limit.sit(&Known::NOBODY).unwrap().is_none());
        }
    }

    #[test]
    fn the_tables_hold_no_more_than_what_goes_on() {
        let limit = limit(1);
        let host: Vec<&'static str> = (0..5000).map(|n| &*Box::leak(format!("h{n}").into())).collect();
        let per = Key::parse("host", Variable::for_template).unwrap();
        let limit = SeatLimit::new(per, limit.most());
        let seats: Vec<_> =
            host.iter().map(|host| limit.sit(&Known { host: Some(host), ..Known::NOBODY })).collect();
        assert_eq!(keys(&limit), 5000);
        drop(seats);
        assert_eq!(keys(&limit), 0);
        let room: usize = limit.taken.shards.iter().map(|shard| shard.lock().unwrap().capacity()).sum();
        assert!(room <= SHARDS * SMALL * 2, "{room}");
    }

    #[test]
    fn another_plan_goes_on_counting_with_a_bound_of_its_own() {
        let before = limit(2);
        let _one = before.sit(&ip("192.0.2.1")).unwrap();
        let mut after = limit(1);
        assert!(after.take_over(&before));
        assert!(after.sit(&ip("192.0.2.1")).is_err());
        let mut other = SeatLimit::new(Key::parse("host", Variable::for_template).unwrap(), before.most());
        assert!(!other.take_over(&before));
    }

    #[test]
    fn no_seat_is_lost_however_many_take_them_at_once() {
        let limit = limit(3);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        drop(limit.sit(&ip("192.0.2.1")));
                    }
                });
            }
        });
        assert_eq!(keys(&limit), 0);
    }
}
