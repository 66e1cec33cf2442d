//! The first in the order of the file, as long as it takes any more: few machines are full, and the others can sleep.

use super::{Member, WHOLE};

#[derive(Debug)]
pub(crate) struct First {
    shares: Vec<u32>,
    /// Who has a share, in order.
    live: Vec<usize>,
    /// Whether that is so no more.
    is_stale: bool,
}

impl First {
    pub(super) fn new(members: &[Member]) -> Self {
        Self { shares: vec![WHOLE; members.len()], live: Vec::new(), is_stale: true }
    }

    /// What is first has no use for parts of a share.
    pub(super) fn set_share(&mut self, place: usize, share: u32) {
        let Some(kept) = self.shares.get_mut(place) else { return };
        let had_one = std::mem::replace(kept, share) > 0;
        self.is_stale |= had_one != (share > 0);
    }

    pub(super) fn next(&mut self, free: impl Fn(usize) -> bool) -> Option<usize> {
        if std::mem::take(&mut self.is_stale) {
            let is_live = |place: &usize| self.shares.get(*place).is_some_and(|share| *share > 0);
            self.live = (0..self.shares.len()).filter(is_live).collect();
        }
        self.live.iter().copied().find(|place| free(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_taken_until_it_is_not_free() {
        let mut order = First::new(&[Member { weight: 1, id: 0 }; 3]);
        assert_eq!([order.next(|_| true), order.next(|_| true)], [Some(0); 2]);
        assert_eq!(order.next(|place| place > 0), Some(1));
        order.set_share(1, 0);
        assert_eq!(order.next(|place| place > 0), Some(2));
        order.set_share(1, 3);
        assert_eq!(order.next(|place| place > 0), Some(1));
    }
}
