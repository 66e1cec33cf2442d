//! The one with the fewest connections for its weight; equals in turn.

use super::tournament::Tournament;
use super::{Member, TRIES, WHOLE};

/// Knows the least at once: it is told of every connection that begins or ends.
#[derive(Debug)]
pub(crate) struct Least {
    burdens: Tournament<Burden>,
    members: Vec<Load>,
    turn: u64,
    /// Who was taken out while a free one is looked for; kept to use its memory again.
    aside: Vec<usize>,
}

#[derive(Debug)]
struct Load {
    weight: u32,
    share: u32,
    connections: u32,
    /// The turn in which it was chosen last.
    chosen: u64,
}

/// What it would carry with one connection more; of equals, whoever has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Burden {
    per_weight: u64,
    chosen: u64,
}

impl Load {
    fn burden(&self) -> Option<Burden> {
        if self.share == 0 {
            return None;
        }
        let weight = u64::from(self.weight).saturating_mul(u64::from(self.share));
        let per_weight = (u64::from(self.connections) + 1) * SCALE / weight.max(1);
        Some(Burden { per_weight, chosen: self.chosen })
    }
}

impl Least {
    pub(super) fn new(members: &[Member], seed: u64) -> Self {
        let count = members.len() as u64;
        let begin = seed.checked_rem(count).unwrap_or(0);
        let load = |(place, member): (usize, &Member)| {
            let chosen = (place as u64 + count - begin) % count;
            Load { weight: member.weight, share: WHOLE, connections: 0, chosen }
        };
        let members: Vec<_> = members.iter().enumerate().map(load).collect();
        let mut order =
            Self { burdens: Tournament::new(members.len()), members, turn: count, aside: Vec::new() };
        (0..order.members.len()).for_each(|place| order.weigh(place));
        order
    }

    pub(super) fn set_share(&mut self, place: usize, share: u32) {
        if let Some(load) = self.members.get_mut(place) {
            load.share = share;
            self.weigh(place);
        }
    }

    pub(super) fn set_connections(&mut self, place: usize, connections: u32) {
        if let Some(load) = self.members.get_mut(place) {
            load.connections = connections;
            self.weigh(place);
        }
    }

    fn weigh(&mut self, place: usize) {
        if let Some(load) = self.members.get(place) {
            self.burdens.set(place, load.burden());
        }
    }

    pub(super) fn next(&mut self, free: impl Fn(usize) -> bool) -> Option<usize> {
        let (least, _) = self.burdens.first()?;
        let place = if free(least) { least } else { self.least_of_the_free(least, free)? };
        self.turn += 1;
        if let Some(load) = self.members.get_mut(place) {
            load.chosen = self.turn;
        }
        self.weigh(place);
        Some(place)
    }

    fn least_of_the_free(&mut self, first: usize, free: impl Fn(usize) -> bool) -> Option<usize> {
        let mut aside = std::mem::take(&mut self.aside);
        aside.push(first);
        self.burdens.set(first, None);
        let mut found = None;
        while let Some((place, _)) = self.burdens.first() {
            if free(place) {
                found = Some(place);
                break;
            }
            if aside.len() == TRIES {
                let others = (0..self.members.len()).filter(|&place| free(place));
                let weighed = others.filter_map(|place| Some((self.burdens.key(place)?, place)));
                found = weighed.min().map(|(_, place)| place);
                break;
            }
            aside.push(place);
            self.burdens.set(place, None);
        }
        aside.drain(..).for_each(|place| self.weigh(place));
        self.aside = aside;
        found
    }
}

/// Connections are weighed as finely as weights and shares go.
const SCALE: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u32]) -> Least {
        let members: Vec<_> = weights.iter().map(|&weight| Member { weight, id: 0 }).collect();
        Least::new(&members, 0)
    }

    /// Lets connections come that stay.
    fn fill(order: &mut Least, count: u32) -> Vec<u32> {
        let mut had = vec![0; order.members.len()];
        for _ in 0..count {
            let place = order.next(|_| true).unwrap();
            had[place] += 1;
            order.set_connections(place, had[place]);
        }
        had
    }

    #[test]
    fn the_fewest_connections_win() {
        let mut order = order(&[1, 1, 1]);
        for (place, connections) in [3, 1, 2].into_iter().enumerate() {
            order.set_connections(place, connections);
        }
        assert_eq!([order.next(|_| true), order.next(|_| true)], [Some(1); 2]);
        assert_eq!(order.next(|place| place != 1), Some(2));
        assert_eq!(order.next(|_| true), Some(1), "whoever was put aside is back");
    }

    #[test]
    fn equals_are_taken_in_turn() {
        let mut order = order(&[1, 1]);
        let chosen: Vec<_> = (0..4).map(|_| order.next(|_| true).unwrap()).collect();
        assert_eq!(chosen, [0, 1, 0, 1]);
        let members = vec![Member { weight: 1, id: 0 }; 3];
        assert_eq!(Least::new(&members, 7).next(|_| true), Some(1), "and workers begin apart");
    }

    #[test]
    fn connections_that_stay_are_shared_by_weight() {
        assert_eq!(fill(&mut order(&[1, 2, 3]), 600), [100, 200, 300]);
        assert_eq!(fill(&mut order(&[1000, 1]), 1001), [1000, 1]);
    }

    #[test]
    fn the_least_of_a_few_that_are_free_is_found_among_many() {
        let mut order = order(&[1; 100]);
        for place in 0..100 {
            order.set_connections(place, place as u32);
        }
        assert_eq!(order.next(|place| place > 50), Some(51));
        order.set_connections(51, 99);
        assert_eq!(order.next(|place| place > 50), Some(52));
        assert_eq!(order.next(|_| true), Some(0));
    }
}
