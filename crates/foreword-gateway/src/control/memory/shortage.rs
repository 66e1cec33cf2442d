//! How short memory is, from look to look.

use super::meter::Found;
use crate::drain::{Level, MOST_URGENT, Strain};

/// What was made of the looks so far.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    strain: Strain,
    settling: Settling,
}

/// What is made of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// The mark that holds.
    pub(super) mark: u64,
    /// Whether it is no shortage any more, though nothing was given back.
    pub(super) has_settled: bool,
}

impl Shortage {
    /// How short it is.
    pub(super) fn strain(&self) -> Strain {
        self.strain
    }

    /// Takes note of what a look has found.
    pub(super) fn found(&mut self, &Found { held, mark: asked, limit, .. }: &Found) -> Noted {
        let mark = self.settling.mark(asked, held);
        let dire = dire_from(asked, limit);
        self.strain =
            next(self.strain, mark, self.settling.enough(mark), self.settling.dire_from(dire, limit), held);
        let has_settled = self.settling.has_settled(self.strain, dire, limit, held);
        if has_settled {
            self.strain = Strain::default();
        }
        Noted { mark, has_settled }
    }
}

/// It is dire where two fifths are gone of what is between the mark and the limit.
fn dire_from(mark: u64, limit: u64) -> u64 {
    mark + limit.saturating_sub(mark) / 5 * 2
}

/// Memory that is short stays so until a sixteenth of the mark is free: it would else come and go with each connection. Where it comes
/// and goes all the same, as an allocator gives back what is taken again at once, it goes on where it was: urgency passes as slowly as it grows.
fn next(before: Strain, mark: u64, enough: u64, dire: u64, held: u64) -> Strain {
    let bound = if before.is_any() { enough } else { mark };
    if held <= bound {
        return Strain { urgency: before.urgency.saturating_sub(1), ..Strain::default() };
    }
    let is_dire = held > dire;
    let (level, step) = if is_dire { (Level::Dire, 3) } else { (Level::Tight, 1) };
    let was_dire = before.level == Level::Dire;
    Strain {
        level,
        urgency: if before == Strain::default() {
            0
        } else {
            before.urgency.saturating_add(step).min(MOST_URGENT)
        },
        dire: if is_dire && was_dire { before.dire.saturating_add(1) } else { 0 },
    }
}

/// Whether what is held is what an allocator keeps: it takes from there before it asks for more, but seldom gives it back.
#[derive(Debug, Default)]
struct Settling {
    /// The least that was held since memory is short.
    least: u64,
    /// For how many looks it has been no less.
    looks: u32,
    /// The mark that holds instead, while so much is held.
    mark: u64,
    /// What was held then.
    stays: u64,
}

impl Settling {
    /// The mark that holds: the one that was asked for, or one above what stays whatever is let go.
    fn mark(&mut self, asked: u64, held: u64) -> u64 {
        if held <= asked - asked / 16 {
            *self = Self::default();
        }
        self.mark.max(asked)
    }

    /// Beyond what it is dire: as it was before, unless more than that stays.
    fn dire_from(&self, dire: u64, limit: u64) -> u64 {
        if self.mark > dire { dire_from(self.mark, limit) } else { dire }
    }

    /// With how much in use it is over, once it is more than the mark.
    fn enough(&self, mark: u64) -> u64 {
        if mark == self.mark { self.stays } else { mark - mark / 16 }
    }

    /// Whether all that can be let go is gone, and it did not help. What is held then is the measure from there on. As long as there
    /// are requests that would be let go where it is `dire`, it may come that far and no farther; once they are gone, nothing holds
    /// what stays but an allocator, which uses it again, or a neighbour: then there must be some way from it to the limit.
    fn has_settled(&mut self, strain: Strain, dire: u64, limit: u64, held: u64) -> bool {
        if !strain.is_any() || self.looks == 0 || held < self.least {
            (self.least, self.looks) = (held, u32::from(strain.is_any()));
            return false;
        }
        self.looks += 1;
        let left = limit.saturating_sub(held);
        let has_settled = strain.is_all_that_helps() && self.looks > STEADY && left > LEAST_WAY;
        if has_settled {
            let most = if strain.level == Level::Dire { u64::MAX } else { dire };
            (self.mark, self.stays, self.looks) =
                (held.saturating_add(left / 4).min(most), held.saturating_add(left / 16).min(most), 0);
        }
        has_settled
    }
}

/// With less than that between, the next few requests would end in the limit.
const LEAST_WAY: u64 = 1024 * 1024;

/// Half a second of looks.
const STEADY: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(held: u64, mark: u64, limit: u64) -> Found {
        Found { held, mark, limit, whose: "by a test" }
    }

    #[test]
    fn memory_is_short_from_above_the_mark_until_well_below_it() {
        let mark = 1600;
        let mut strain = Strain::default();
        let mut found = |held| {
            strain = next(strain, mark, 1500, dire_from(mark, 2000), held);
            (strain.is_any(), strain.urgency)
        };
        assert_eq!(
            [1600, 1601, 1600, 1501, 1500, 1600].map(&mut found),
            [(false, 0), (true, 0), (true, 1), (true, 2), (false, 1), (false, 0)]
        );
    }

    #[test]
    fn it_is_dire_far_above_the_mark_and_more_so_with_each_look() {
        let mut strain = Strain::default();
        let mut found = |held| {
            strain = next(strain, 1600, 1500, dire_from(1600, 2000), held);
            (strain.level, strain.urgency, strain.dire)
        };
        assert_eq!(
            [1761, 1761, 1761, 1760, 1761].map(&mut found),
            [
                (Level::Dire, 0, 0),
                (Level::Dire, 3, 1),
                (Level::Dire, 6, 2),
                (Level::Tight, 7, 0),
                (Level::Dire, 10, 0)
            ]
        );
    }

    #[test]
    fn what_is_dire_stays_so_until_requests_without_an_answer_are_gone_as_well() {
        let (asked, limit) = (1600 << 20, 2000 << 20);
        let mut shortage = Shortage::default();
        let mut look = |mib: u64| {
            let before = shortage.strain();
            let noted = shortage.found(&found(mib << 20, asked, limit));
            (before, shortage.strain(), noted.has_settled)
        };
        let before = std::iter::repeat_with(|| look(1800)).find(|&(.., has_settled)| has_settled).unwrap().0;
        assert_eq!((before.level, before.unanswered_at_most()), (Level::Dire, Some(0)));
        assert_eq!([1800, 1850, 1851, 1911].map(|held| look(held).1.level), {
            [Level::Enough, Level::Enough, Level::Tight, Level::Dire]
        });
    }

    #[test]
    fn what_stays_whatever_is_let_go_is_no_shortage_until_it_grows() {
        let mut shortage = Shortage::default();
        let mut look = |mib: u64| {
            let noted = shortage.found(&found(mib << 20, 1600 << 20, 2000 << 20));
            (shortage.strain().is_any(), noted.has_settled)
        };
        // As long as it helps, it goes on.
        for held in (1700..1900).rev() {
            assert_eq!(look(held), (true, false));
        }
        let looks = (0..1000).take_while(|_| look(1700) == (true, false)).count();
        assert_eq!(looks + 1, STEADY as usize);
        assert_eq!([1700, 1760, 1761].map(|held| look(held).0), [false, false, true]);
        // And is over where it was.
        assert_eq!([1719, 1718].map(|held| look(held).0), [true, false]);
        // What was given back counts no more.
        assert_eq!([1500, 1600, 1601].map(|held| look(held).0), [false, false, true]);
    }
}
