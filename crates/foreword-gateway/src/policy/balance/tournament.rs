//! The least of many keys, known at once: each place plays against its neighbour, the winner against theirs.

/// Keys in places. Setting one takes as many steps as the number of places has binary digits.
#[derive(Debug)]
pub(super) struct Tournament<K> {
    keys: Vec<Option<K>>,
    /// A binary tree of places: the root is at 1, the children of `node` at `2 * node` and behind it.
    winners: Vec<usize>,
    leaves: usize,
}

impl<K: Ord + Copy> Tournament<K> {
    /// So many places, all empty.
    pub(super) fn new(places: usize) -> Self {
        let leaves = places.next_power_of_two();
        Self { keys: vec![None; places], winners: vec![NOBODY; 2 * leaves], leaves }
    }

    /// Puts a key into a place, or takes it out.
    pub(super) fn set(&mut self, place: usize, key: Option<K>) {
        let Some(kept) = self.keys.get_mut(place) else { return };
        *kept = key;
        let mut node = self.leaves + place;
        self.put(node, if key.is_some() { place } else { NOBODY });
        while node > 1 {
            node /= 2;
            let winner = self.better(self.winner(2 * node), self.winner(2 * node + 1));
            self.put(node, winner);
        }
    }

    /// The place with the least key; of equal keys, the first.
    pub(super) fn first(&self) -> Option<(usize, K)> {
        let place = self.winner(1);
        Some((place, self.key(place)?))
    }

    pub(super) fn key(&self, place: usize) -> Option<K> {
        *self.keys.get(place)?
    }

    fn better(&self, left: usize, right: usize) -> usize {
        match (self.key(left), self.key(right)) {
            (Some(key), Some(other)) if other < key => right,
            (None, Some(_)) => right,
            _ => left,
        }
    }

    fn winner(&self, node: usize) -> usize {
        self.winners.get(node).copied().unwrap_or(NOBODY)
    }

    fn put(&mut self, node: usize, place: usize) {
        if let Some(winner) = self.winners.get_mut(node) {
            *winner = place;
        }
    }
}

/// A place that no vector has.
const NOBODY: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_always_the_least() {
        for places in [1, 2, 3, 7, 8, 9, 100] {
            let mut tournament = Tournament::new(places);
            let mut keys = vec![None; places];
            assert_eq!(tournament.first(), None);
            let mut random = fastrand::Rng::with_seed(places as u64);
            for _ in 0..1000 {
                let place = random.usize(..places);
                let key = random.bool().then(|| random.u8(..));
                tournament.set(place, key);
                keys[place] = key;
                let least = keys.iter().enumerate().filter_map(|(place, key)| Some(((*key)?, place))).min();
                assert_eq!(tournament.first(), least.map(|(key, place)| (place, key)));
            }
        }
    }
}
