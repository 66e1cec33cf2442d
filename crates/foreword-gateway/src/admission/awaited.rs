//! The connections of a listener that still owe their header: bounded, and the oldest makes room.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Everyone who waits on one listener, whichever worker has the connection.
///
/// It is locked only by connections whose header did not come along with them, for as long as a map takes.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place in the queue; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    awaited: &'a Awaited,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Awaited {
    /// Takes a seat. If more than `limit` are taken now, the one that waits longest is told to go.
    pub(crate) fn sit(&self, limit: usize) -> Seat<'_> {
        let (evict, evicted) = oneshot::channel();
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.insert(number, evict);
        if queue.waiting.len() > limit.max(1)
            && let Some((_, oldest)) = queue.waiting.pop_first()
        {
            // It may have got its header in this very moment; then nobody needs to go.
            let _gone = oldest.send(());
        }
        Seat { awaited: self, number, evicted }
    }

    /// How many seats were ever taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        self.lock().next
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere cannot leave the map half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Waits until a newcomer takes this seat. It must not be polled again after that.
    pub(crate) async fn evicted(&mut self) {
        if (&mut self.evicted).await.is_err() {
            // Nobody drops the sender without sending, but this very seat.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.awaited.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_when_one_too_many_comes() {
        let awaited = Awaited::default();
        let mut first = awaited.sit(2);
        let mut second = awaited.sit(2);
        let _third = awaited.sit(2);
        first.evicted().await;
        assert!(second.evicted.try_recv().is_err());
    }

    #[tokio::test]
    async fn whoever_leaves_makes_room() {
        let awaited = Awaited::default();
        let mut first = awaited.sit(2);
        drop(awaited.sit(2));
        let _third = awaited.sit(2);
        assert!(first.evicted.try_recv().is_err());
        assert_eq!(awaited.lock().waiting.len(), 2);
    }
}
