//! How short memory is, as all workers see it: how many connections are let in meanwhile, and what is let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::drain::Strain;
use crate::drain::ration::Rations;

/// What the control thread finds at each of its looks, and workers act on.
#[derive(Debug)]
pub(crate) struct Pressure {
    /// How many connections may be open when another one is let in. Asked for each of them, so it is one number.
    most: AtomicUsize,
    mark: AtomicU64,
    held: AtomicU64,
    strain: watch::Sender<Strain>,
    rations: Arc<Rations>,
}

impl Pressure {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(usize::MAX),
            mark: AtomicU64::new(u64::MAX),
            held: AtomicU64::new(0),
            strain: watch::Sender::new(Strain::default()),
            rations: Arc::default(),
        })
    }

    /// Tells the workers what a look has found, and that each may take `ration` bytes until the next.
    pub(crate) fn found(&self, mark: u64, held: u64, strain: Strain, ration: usize) {
        self.mark.store(mark, Ordering::Relaxed);
        self.held.store(held, Ordering::Relaxed);
        let most = if strain.is_any() { few(mark) } else { usize::MAX };
        self.most.store(most, Ordering::Relaxed);
        let is_waited_for = self.rations.give(strain, ration);
        // As long as it lasts each look is told: what was idle too briefly to be let go at one is not at the next.
        self.strain.send_if_modified(|before| {
            let is_news = is_waited_for || *before != strain;
            *before = strain;
            is_news
        });
    }

    /// What the workers take from.
    pub(crate) fn rations(&self) -> &Arc<Rations> {
        &self.rations
    }

    /// What follows the looks.
    pub(crate) fn strain(&self) -> watch::Receiver<Strain> {
        self.strain.subscribe()
    }

    /// The mark and what was held at the last look, if the connection that makes `number` of them is one too many.
    pub(super) fn refuses(&self, number: usize) -> Option<(u64, u64)> {
        (number > self.most.load(Ordering::Relaxed))
            .then(|| (self.mark.load(Ordering::Relaxed), self.held.load(Ordering::Relaxed)))
    }
}

/// How many connections are let in however little memory there is: what is held may be held for ever, by an allocator or by a
/// neighbour in the cgroup, and nobody is served by a gateway that then takes none.
fn few(mark: u64) -> usize {
    usize::try_from(mark / OF_EACH).unwrap_or(usize::MAX).max(LEAST)
}

/// More than a connection is likely to hold: so many of them make one eighth of the mark at the most common sizes.
const OF_EACH: u64 = 512 * 1024;

const LEAST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Level;
    use crate::drain::ration::Ration;

    const TIGHT: Strain = Strain { level: Level::Tight, urgency: 0, dire: 0 };

    #[test]
    fn a_few_are_let_in_however_little_there_is_and_all_when_it_is_over() {
        let pressure = Pressure::new();
        let mark = 64 * OF_EACH;
        assert_eq!(pressure.refuses(1_000_000), None);
        pressure.found(mark, mark + 1, TIGHT, 1);
        assert_eq!((pressure.refuses(64), pressure.refuses(65)), (None, Some((mark, mark + 1))));
        pressure.found(mark, 0, Strain::default(), 1);
        assert_eq!(pressure.refuses(65), None);
        pressure.found(1, 2, TIGHT, 1);
        assert_eq!((pressure.refuses(LEAST), pressure.refuses(LEAST + 1)), (None, Some((1, 2))));
    }

    #[test]
    fn a_look_that_finds_nothing_new_is_told_to_those_who_wait_for_it() {
        let pressure = Pressure::new();
        let (mut strain, ration) = (pressure.strain(), Ration::of(Arc::clone(pressure.rations())));
        pressure.found(10, 1, Strain::default(), 5);
        ration.take(5);
        assert!(ration.is_used_up());
        pressure.found(10, 1, Strain::default(), 5);
        assert!(strain.has_changed().unwrap() && !ration.is_used_up());
        strain.mark_unchanged();
        pressure.found(10, 1, Strain::default(), 5);
        assert!(!strain.has_changed().unwrap());
    }

    #[test]
    fn each_look_is_told_while_memory_is_short_and_none_while_it_is_not() {
        let pressure = Pressure::new();
        let mut strain = pressure.strain();
        pressure.found(10, 1, Strain::default(), 1);
        assert!(!strain.has_changed().unwrap());
        for urgency in 0..3 {
            pressure.found(10, 11, Strain { urgency, ..TIGHT }, 1);
            assert!(strain.has_changed().unwrap());
            assert_eq!(strain.borrow_and_update().urgency, urgency);
        }
    }
}
