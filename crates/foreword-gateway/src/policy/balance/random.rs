//! Two drawn by weight, and the one of them with fewer connections: nearly as even as the least of all, and no worker
//! runs after the same one as the others.

use super::{Member, TRIES, WHOLE};

/// Members with their weights added up, so that one is drawn by a single number.
#[derive(Debug)]
pub(crate) struct RandomOfTwo {
    /// Each member's weight and share.
    members: Vec<(u32, u32)>,
    /// Who has a share, and where its part of all weights ends.
    live: Vec<(usize, u64)>,
    /// Whether that is so no more.
    is_stale: bool,
    random: fastrand::Rng,
}

impl RandomOfTwo {
    pub(super) fn new(members: &[Member], seed: u64) -> Self {
        let members = members.iter().map(|member| (member.weight, WHOLE)).collect();
        Self { members, live: Vec::new(), is_stale: true, random: fastrand::Rng::with_seed(seed) }
    }

    pub(super) fn set_share(&mut self, place: usize, share: u32) {
        if let Some((_, kept)) = self.members.get_mut(place)
            && *kept != share
        {
            *kept = share;
            self.is_stale = true;
        }
    }

    fn add_up(&mut self) {
        self.is_stale = false;
        self.live.clear();
        let mut end = 0;
        for (place, (weight, share)) in self.members.iter().enumerate() {
            if *share > 0 {
                end += u64::from(*weight) * u64::from(*share);
                self.live.push((place, end));
            }
        }
    }

    pub(super) fn next(
        &mut self,
        connections: impl Fn(usize) -> u32,
        free: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.is_stale {
            self.add_up();
        }
        let burden = |place: usize| {
            let (weight, share) = self.members.get(place).copied().unwrap_or_default();
            let weight = u128::from(weight) * u128::from(share);
            // As a fraction, to be compared crosswise.
            (u128::from(connections(place)) + 1, weight.max(1))
        };
        let is_less = |one: (u128, u128), other: (u128, u128)| one.0 * other.1 < other.0 * one.1;
        for _ in 0..TRIES {
            let (one, other) = draw(&self.live, &mut self.random)?;
            let two = [one, other];
            let free = two.into_iter().filter(|&place| free(place));
            let less = |kept, place| if is_less(burden(place), burden(kept)) { place } else { kept };
            if let Some(place) = free.reduce(less) {
                return Some(place);
            }
        }
        let begin = self.random.usize(..self.live.len());
        let around = self.live.iter().cycle().skip(begin).take(self.live.len()).map(|(place, _)| *place);
        around
            .filter(|&place| free(place))
            .reduce(|kept, place| if is_less(burden(place), burden(kept)) { place } else { kept })
    }
}

/// Two different ones if there are two, each as likely as it weighs.
fn draw(live: &[(usize, u64)], random: &mut fastrand::Rng) -> Option<(usize, usize)> {
    let &(last, all) = live.last()?;
    let at = |number: u64| live.partition_point(|(_, end)| *end <= number);
    let index = at(random.u64(..all));
    let &(one, end) = live.get(index)?;
    let begin = index.checked_sub(1).and_then(|before| live.get(before)).map_or(0, |(_, end)| *end);
    let others = all - (end - begin);
    if others == 0 {
        return Some((one, one));
    }
    // The numbers of the first are left out.
    let number = random.u64(..others);
    let other = live.get(at(if number < begin { number } else { number + (end - begin) }));
    Some((one, other.map_or(last, |(place, _)| *place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u32]) -> RandomOfTwo {
        let members: Vec<_> = weights.iter().map(|&weight| Member { weight, id: 0 }).collect();
        let mut order = RandomOfTwo::new(&members, 11);
        order.add_up();
        order
    }

    #[test]
    fn of_two_that_are_drawn_the_one_with_fewer_connections_wins() {
        let mut order = order(&[1, 1]);
        for _ in 0..100 {
            assert_eq!(order.next(|place| [9, 3][place], |_| true), Some(1));
        }
    }

    #[test]
    fn the_two_are_never_the_same_one() {
        let order = order(&[1, 7, 1000, 2]);
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..10_000 {
            let (one, other) = draw(&order.live, &mut random).unwrap();
            assert_ne!(one, other);
        }
    }

    #[test]
    fn each_is_drawn_as_often_as_it_weighs() {
        let order = order(&[1, 2, 5]);
        let mut random = fastrand::Rng::with_seed(5);
        let mut had = [0_u32; 3];
        for _ in 0..80_000 {
            had[draw(&order.live, &mut random).unwrap().0] += 1;
        }
        for (had, expected) in had.iter().zip([10_000_u32, 20_000, 50_000]) {
            assert!(had.abs_diff(expected) < expected / 20, "{had} for {expected}");
        }
    }

    #[test]
    fn connections_that_stay_come_out_nearly_even() {
        let mut order = order(&[1; 100]);
        let mut had = [0_u32; 100];
        for _ in 0..10_000 {
            let place = order.next(|place| had[place], |_| true).unwrap();
            had[place] += 1;
        }
        // With one drawn at random the fullest would have about 130.
        assert!(had.iter().all(|&had| (94..=106).contains(&had)), "{had:?}");
    }

    #[test]
    fn connections_that_stay_are_shared_by_weight() {
        let mut order = order(&[1, 3]);
        let mut had = [0_u32; 2];
        for _ in 0..4000 {
            had[order.next(|place| had[place], |_| true).unwrap()] += 1;
        }
        assert!(had[0].abs_diff(1000) < 20, "{had:?}");
    }
}
