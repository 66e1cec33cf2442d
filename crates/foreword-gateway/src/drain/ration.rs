//! What a look at memory has found, and what the workers may take of it until the next: a flood is faster than any look, and must
//! find a bound.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::Strain;

/// What is found and given out at each look, for all workers.
#[derive(Debug)]
pub(crate) struct Rations {
    /// The number of the last look.
    look: AtomicU32,
    /// The strain as one number: a worker in the midst of much to do must not wait for its turn to be told.
    strain: AtomicU64,
    /// What each worker may take until the next.
    each: AtomicUsize,
    is_asked: AtomicBool,
    asked: Notify,
}

impl Default for Rations {
    fn default() -> Self {
        Self {
            look: AtomicU32::new(0),
            strain: AtomicU64::new(Strain::default().packed()),
            each: AtomicUsize::new(usize::MAX),
            is_asked: AtomicBool::new(false),
            asked: Notify::new(),
        }
    }
}

impl Rations {
    /// Says what was found, and gives `each` worker so many bytes anew. Whether any of them had none left, and waits.
    pub(crate) fn give(&self, strain: Strain, each: usize) -> bool {
        self.strain.store(strain.packed(), Ordering::Relaxed);
        self.each.store(each, Ordering::Relaxed);
        // Whoever sees the look sees what it gave.
        self.look.fetch_add(1, Ordering::Release);
        self.is_asked.swap(false, Ordering::AcqRel)
    }

    /// Waits until a worker has none left.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    fn ask(&self) {
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            self.asked.notify_one();
        }
    }
}

/// One worker's.
#[derive(Debug)]
pub(crate) struct Ration {
    rations: Arc<Rations>,
    /// The look that it was given at.
    look: Cell<u32>,
    left: Cell<usize>,
}

impl Ration {
    pub(crate) fn of(rations: Arc<Rations>) -> Self {
        // Of a look that never was, so that the first who takes is given something.
        Self { look: Cell::new(u32::MAX), left: Cell::new(0), rations }
    }

    /// What the last look has found.
    pub(crate) fn strain(&self) -> Strain {
        Strain::unpacked(self.rations.strain.load(Ordering::Relaxed))
    }

    /// Takes note that about so many bytes are held from now on. What is held must be noted though nothing is left: to ask before
    /// is for those who can wait.
    pub(crate) fn take(&self, bytes: usize) {
        self.left.set(self.left().saturating_sub(bytes));
    }

    /// Whether nothing is left until the next look, which is asked for then. All who wait hear of it.
    pub(crate) fn is_used_up(&self) -> bool {
        let is_used_up = self.left() == 0;
        if is_used_up {
            self.rations.ask();
        }
        is_used_up
    }

    fn left(&self) -> usize {
        let look = self.rations.look.load(Ordering::Acquire);
        if look != self.look.replace(look) {
            self.left.set(self.rations.each.load(Ordering::Relaxed));
        }
        self.left.get()
    }
}

impl Default for Ration {
    /// Where nobody looks, nothing is ever used up.
    fn default() -> Self {
        Self::of(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_used_up_is_asked_for_once_and_is_there_anew_with_the_next_look() {
        let rations = Arc::new(Rations::default());
        let ration = Ration::of(Arc::clone(&rations));
        assert!(!ration.is_used_up());
        assert!(!rations.give(Strain::default(), 100));
        ration.take(99);
        assert!(!ration.is_used_up());
        ration.take(2);
        assert!(ration.is_used_up() && ration.is_used_up());
        rations.asked().await;
        assert!(rations.give(Strain::default(), 50), "somebody waits");
        assert!(!ration.is_used_up());
        assert!(!rations.give(Strain::default(), 50), "nobody does");
    }

    #[test]
    fn what_was_not_taken_at_one_look_is_not_there_at_the_next() {
        let rations = Arc::new(Rations::default());
        let ration = Ration::of(Arc::clone(&rations));
        rations.give(Strain::default(), 1000);
        ration.take(1);
        rations.give(Strain::default(), 10);
        ration.take(10);
        assert!(ration.is_used_up());
    }

    #[test]
    fn without_a_mark_nothing_is_ever_used_up() {
        let ration = Ration::default();
        for _ in 0..10 {
            ration.take(1 << 40);
            assert!(!ration.is_used_up());
        }
    }
}
