//! The same key to the same endpoint: Maglev's table, after "Maglev: A Fast and Reliable Software Network Load Balancer"
//! (NSDI 2016), §3.4, with weights.

use super::digest::mix;
use super::{Member, TRIES, WHOLE};

/// A table of places, in which each member has as many as it weighs. It depends on nothing but the members' ids and
/// weights, so that every worker and every machine has the same one.
///
/// Who is not there just now keeps its places: their keys go elsewhere until it is back, and no other key moves.
#[derive(Debug)]
pub(crate) struct Maglev {
    table: Box<[u16]>,
    members: Vec<(u64, u32)>,
}

impl Maglev {
    pub(super) fn new(members: &[Member]) -> Self {
        // The file has fewer, and a name that resolved to more would not fit into an answer.
        let members = members.get(..usize::from(NOBODY)).unwrap_or(members);
        let table = if members.is_empty() { Box::default() } else { fill(members) };
        Self { table, members: members.iter().map(|member| (member.id, WHOLE)).collect() }
    }

    pub(super) fn set_share(&mut self, place: usize, share: u32) {
        if let Some((_, kept)) = self.members.get_mut(place) {
            *kept = share;
        }
    }

    pub(super) fn get(&self, key: u64, free: impl Fn(usize) -> bool) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        // Other places of the table, each as random as the first one, so that those of one who is away scatter.
        let mut number = key;
        for _ in 0..2 * TRIES {
            let slot = self.table.get((number % SLOTS) as usize);
            let place = usize::from(slot.copied().unwrap_or(NOBODY));
            if self.takes(place, key) && free(place) {
                return Some(place);
            }
            number = mix(number.wrapping_add(STEP));
        }
        let begin = (number % self.members.len() as u64) as usize;
        let has_a_share = |place: &usize| self.members.get(*place).is_some_and(|(_, share)| *share > 0);
        (begin..self.members.len()).chain(0..begin).find(|place| has_a_share(place) && free(*place))
    }

    /// Whether a member takes this key with the share that it has: one that starts slowly takes more keys from moment to
    /// moment, and gives none of them back.
    fn takes(&self, place: usize, key: u64) -> bool {
        let Some(&(id, share)) = self.members.get(place) else { return false };
        share == WHOLE || mix(key ^ id) % u64::from(WHOLE) < u64::from(share)
    }
}

/// Deals the slots: round by round, each member takes the next free one of its own order of all slots. Whoever weighs less
/// passes in some rounds.
fn fill(members: &[Member]) -> Box<[u16]> {
    let heaviest = u64::from(members.iter().map(|member| member.weight).max().unwrap_or(1));
    let mut hands: Vec<Hand> = members.iter().map(Hand::new).collect();
    let mut table = vec![NOBODY; SLOTS as usize].into_boxed_slice();
    let mut left = table.len();
    loop {
        for (place, hand) in hands.iter_mut().enumerate() {
            hand.credit += hand.weight;
            if hand.credit < heaviest {
                continue;
            }
            hand.credit -= heaviest;
            hand.take_a_free_one(&mut table, place as u16);
            left -= 1;
            if left == 0 {
                return table;
            }
        }
    }
}

/// One member while the slots are dealt.
struct Hand {
    weight: u64,
    credit: u64,
    next: u64,
    /// Never a divisor of the number of slots, which is prime: so it comes by each slot once.
    skip: u64,
}

impl Hand {
    fn new(member: &Member) -> Self {
        Self {
            weight: u64::from(member.weight.max(1)),
            credit: 0,
            next: mix(member.id) % SLOTS,
            skip: mix(member.id ^ STEP) % (SLOTS - 1) + 1,
        }
    }

    fn take_a_free_one(&mut self, table: &mut [u16], place: u16) {
        for _ in 0..SLOTS {
            let slot = table.get_mut(self.next as usize);
            self.next = (self.next + self.skip) % SLOTS;
            if let Some(slot) = slot.filter(|slot| **slot == NOBODY) {
                *slot = place;
                return;
            }
        }
    }
}

/// A prime. It is the same for few members and for many: with another number nearly every key would move.
const SLOTS: u64 = 65_537;

/// No member's place.
const NOBODY: u16 = u16::MAX;

/// 2⁶⁴ by the golden ratio: steps of it fall nowhere twice for long.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::super::digest;
    use super::*;

    fn members(names: std::ops::Range<usize>) -> Vec<Member> {
        let id = |name| digest::of(format!("10.0.{}.{}:80", name / 256, name % 256).as_bytes());
        names.map(|name| Member { weight: 1, id: id(name) }).collect()
    }

    /// For each of many keys, the id of the member that it leads to.
    fn led(members: &[Member]) -> Vec<u64> {
        let table = Maglev::new(members);
        (0..KEYS).map(|key| members[table.get(digest::mix(key), |_| true).unwrap()].id).collect()
    }

    const KEYS: u64 = 20_000;

    fn moved(before: &[u64], after: &[u64]) -> f64 {
        let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
        moved as f64 / before.len() as f64
    }

    #[test]
    fn keys_are_shared_evenly() {
        for count in [2, 10, 100, 1000] {
            let mut slots = vec![0_usize; count];
            for place in &Maglev::new(&members(0..count)).table {
                slots[usize::from(*place)] += 1;
            }
            let (least, most) = (slots.iter().min().unwrap(), slots.iter().max().unwrap());
            assert!(most - least <= 1, "{count} members have from {least} to {most} slots");
        }
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let mut members = members(0..3);
        for (member, weight) in members.iter_mut().zip([1, 2, 5]) {
            member.weight = weight;
        }
        let table = Maglev::new(&members);
        for (place, weight) in [1.0, 2.0, 5.0].into_iter().enumerate() {
            let slots = table.table.iter().filter(|slot| usize::from(**slot) == place).count();
            let part = slots as f64 / SLOTS as f64 * 8.0 / weight;
            assert!((0.999..1.001).contains(&part), "{part} of its part");
        }
    }

    #[test]
    fn one_more_endpoint_moves_little_more_than_the_keys_that_it_gets() {
        for count in [2, 10, 100] {
            let moved = moved(&led(&members(0..count)), &led(&members(0..count + 1)));
            let least = 1.0 / (count as f64 + 1.0);
            assert!((0.8 * least..least + 0.03).contains(&moved), "{moved} of all keys, of {least} needed");
        }
    }

    #[test]
    fn one_endpoint_less_moves_little_more_than_its_own_keys() {
        let (before, after) = (members(0..10), members(1..10));
        let moved = moved(&led(&before), &led(&after));
        assert!((0.09..0.13).contains(&moved), "{moved}");
    }

    #[test]
    fn the_order_in_the_file_moves_hardly_a_key() {
        let mut turned = members(0..10);
        turned.reverse();
        let moved = moved(&led(&members(0..10)), &led(&turned));
        assert!(moved < 0.05, "{moved}");
    }

    #[test]
    fn one_that_is_away_moves_its_own_keys_and_no_others_and_gets_them_back() {
        let members = members(0..5);
        let before = led(&members);
        let mut table = Maglev::new(&members);
        table.set_share(2, 0);
        let mut heirs = [0_usize; 5];
        for (key, before) in before.iter().enumerate() {
            let place = table.get(digest::mix(key as u64), |_| true).unwrap();
            if *before == members[2].id {
                heirs[place] += 1;
            } else {
                assert_eq!(members[place].id, *before, "key {key}");
            }
        }
        assert_eq!(heirs[2], 0);
        let inherited: usize = heirs.iter().sum();
        for heir in [0, 1, 3, 4] {
            assert!(heirs[heir].abs_diff(inherited / 4) < inherited / 20, "{heirs:?}");
        }
        table.set_share(2, WHOLE);
        for (key, before) in before.iter().enumerate() {
            assert_eq!(members[table.get(digest::mix(key as u64), |_| true).unwrap()].id, *before);
        }
    }

    #[test]
    fn one_that_starts_slowly_takes_its_own_keys_little_by_little() {
        let members = members(0..4);
        let mut table = Maglev::new(&members);
        let mut had = vec![false; KEYS as usize];
        for share in [10, 50, WHOLE] {
            table.set_share(1, share);
            let has: Vec<bool> =
                (0..KEYS).map(|key| table.get(digest::mix(key), |_| true) == Some(1)).collect();
            assert!(had.iter().zip(&has).all(|(had, has)| has | !had), "it gives none back");
            let part = has.iter().filter(|has| **has).count() as f64 / KEYS as f64 * 4.0;
            let expected = f64::from(share) / f64::from(WHOLE);
            // Keys that others pass on may come to it a second time.
            assert!((expected - 0.05..expected + 0.2).contains(&part), "{part} with {share}");
            had = has;
        }
    }
}
