//! Each in turn, as often as its weight says, and the turns of each as far apart as can be.

use super::tournament::Tournament;
use super::{Member, TRIES, WHOLE};

/// Every member is due at moments that lie apart the less the more it weighs; whoever is due first is next.
///
/// The first moment is half such a distance away, so that heavy members do not all come before light ones: of weights 5, 1
/// and 1 the order is `a a a b c a a`, not `a a a a a b c`.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    due: Tournament<u64>,
    members: Vec<Turn>,
    /// The moment of whoever was chosen last.
    now: u64,
}

#[derive(Debug)]
struct Turn {
    weight: u32,
    share: u32,
    due: u64,
}

impl Turn {
    fn distance(&self) -> u64 {
        SCALE / u64::from(self.weight).saturating_mul(u64::from(self.share)).max(1)
    }
}

impl RoundRobin {
    pub(super) fn new(members: &[Member], seed: u64) -> Self {
        let turn = |member: &Member| Turn { weight: member.weight, share: WHOLE, due: 0 };
        let mut order =
            Self { due: Tournament::new(members.len()), members: members.iter().map(turn).collect(), now: 0 };
        for place in 0..members.len() {
            order.let_in(place);
        }
        // Somewhere on the first round: workers that all began with the first endpoint would send it their first
        // requests together.
        for _ in 0..seed.checked_rem(members.len() as u64).unwrap_or(0) {
            order.next(|_| true);
        }
        order
    }

    pub(super) fn set_share(&mut self, place: usize, share: u32) {
        let Some(turn) = self.members.get_mut(place) else { return };
        let before = std::mem::replace(&mut turn.share, share);
        match (before, share) {
            (_, 0) => self.due.set(place, None),
            (0, _) => self.let_in(place),
            // Its next turn stays; those behind it come at the new distance.
            (_, _) => {}
        }
    }

    /// Whoever comes back has no claim to the turns that it missed.
    fn let_in(&mut self, place: usize) {
        let Some(turn) = self.members.get_mut(place) else { return };
        turn.due = turn.due.max(self.now.saturating_add(turn.distance() / 2));
        self.due.set(place, Some(turn.due));
    }

    pub(super) fn next(&mut self, free: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..TRIES {
            let (place, due) = self.due.first()?;
            self.now = due;
            self.has_had_its_turn(place);
            if free(place) {
                return Some(place);
            }
        }
        let (last, _) = self.due.first()?;
        let is_free = |&place: &usize| self.due.key(place).is_some() && free(place);
        let place = (last..self.members.len()).chain(0..last).find(is_free)?;
        self.has_had_its_turn(place);
        Some(place)
    }

    fn has_had_its_turn(&mut self, place: usize) {
        let Some(turn) = self.members.get_mut(place) else { return };
        turn.due = turn.due.max(self.now).saturating_add(turn.distance());
        self.due.set(place, Some(turn.due));
        if turn.due > END {
            self.begin_anew();
        }
    }

    /// Takes the past off every moment, once in millions of millions of turns.
    fn begin_anew(&mut self) {
        for (place, turn) in self.members.iter_mut().enumerate() {
            turn.due = turn.due.saturating_sub(self.now);
            if turn.share > 0 {
                self.due.set(place, Some(turn.due));
            }
        }
        self.now = 0;
    }
}

/// The distance of a member of weight 1 with the least share: far enough that every distance is exact to a thousandth.
const SCALE: u64 = 1 << 30;

/// Far from the end of the numbers.
const END: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u32]) -> RoundRobin {
        let members: Vec<_> = weights.iter().map(|&weight| Member { weight, id: 0 }).collect();
        RoundRobin::new(&members, 0)
    }

    fn take(order: &mut RoundRobin, count: usize) -> Vec<usize> {
        (0..count).map(|_| order.next(|_| true).unwrap()).collect()
    }

    #[test]
    fn equals_have_their_turn_and_then_the_first_again() {
        assert_eq!(take(&mut order(&[1, 1, 1]), 7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(take(&mut order(&[7, 7]), 4), [0, 1, 0, 1]);
    }

    #[test]
    fn a_heavy_one_comes_often_and_never_all_at_once() {
        assert_eq!(take(&mut order(&[5, 1, 1]), 7), [0, 0, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn each_gets_exactly_its_weight_in_each_round_and_is_never_far_from_it_within() {
        for weights in [&[5, 1, 1][..], &[1, 2, 3, 4], &[256, 1], &[10, 10, 3], &[1; 50], &[1000, 999, 1]] {
            let total: u32 = weights.iter().sum();
            let mut order = order(weights);
            let mut had = vec![0_u32; weights.len()];
            for turn in 1..=3 * total {
                had[order.next(|_| true).unwrap()] += 1;
                for (had, weight) in had.iter().zip(weights) {
                    let owed = f64::from(turn) * f64::from(*weight) / f64::from(total);
                    let off = (f64::from(*had) - owed).abs();
                    assert!(off < 2.0, "{weights:?} after {turn} turns: {off} off");
                }
            }
            let expected: Vec<u32> = weights.iter().map(|weight| 3 * weight).collect();
            let off = had.iter().zip(&expected).map(|(had, owed)| had.abs_diff(*owed)).max().unwrap();
            assert!(off <= 1, "{weights:?}: {had:?}");
        }
    }

    #[test]
    fn whoever_was_away_does_not_catch_up() {
        let mut order = order(&[1, 1]);
        order.set_share(0, 0);
        assert_eq!(take(&mut order, 100), [1; 100]);
        order.set_share(0, WHOLE);
        let after = take(&mut order, 10);
        assert_eq!(after.iter().filter(|&&place| place == 0).count(), 5, "{after:?}");
    }

    #[test]
    fn a_tenth_of_its_share_is_a_tenth_of_its_turns() {
        let mut order = order(&[1, 1]);
        order.set_share(0, WHOLE / 10);
        let had = take(&mut order, 1100).into_iter().filter(|&place| place == 0).count();
        assert!((99..=101).contains(&had), "{had}");
    }

    #[test]
    fn the_next_takes_the_turn_of_one_that_is_not_free() {
        let mut order = order(&[1, 1, 1]);
        assert_eq!(order.next(|place| place != 0), Some(1));
        assert_eq!(take(&mut order, 3), [2, 0, 1]);
    }

    #[test]
    fn the_end_of_the_numbers_is_not_the_end_of_the_turns() {
        let mut order = order(&[3, 1]);
        order.now = END - 10;
        for turn in &mut order.members {
            turn.due += END - 10;
        }
        for place in 0..2 {
            let due = order.members[place].due;
            order.due.set(place, Some(due));
        }
        let had = take(&mut order, 400).into_iter().filter(|&place| place == 0).count();
        assert!((299..=301).contains(&had), "{had}");
        assert!(order.now < END);
    }

    #[test]
    fn workers_begin_apart() {
        let members = vec![Member { weight: 1, id: 0 }; 4];
        let first = |seed| RoundRobin::new(&members, seed).next(|_| true);
        assert_eq!([first(0), first(1), first(6), first(u64::MAX)], [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(RoundRobin::new(&[], 5).next(|_| true), None);
    }
}
