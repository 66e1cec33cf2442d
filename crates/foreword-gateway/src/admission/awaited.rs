//! The connections of a listener that still owe their header: bounded, and the oldest makes room.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

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
    waiting: BTreeMap<Place, oneshot::Sender<()>>,
}

/// Oldest first: since when it waits, then who came first. Workers do not get to their connections in the order in which
/// these were accepted.
type Place = (Instant, u64);

/// A place in the queue; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    awaited: &'a Awaited,
    place: Place,
    evicted: oneshot::Receiver<()>,
}

impl Awaited {
    /// Takes a seat for one that waits `since` then. If more than `limit` are taken now, whoever waits longest is told to go.
    pub(crate) fn sit(&self, since: Instant, limit: usize) -> Seat<'_> {
        let (evict, evicted) = oneshot::channel();
        let mut queue = self.lock();
        let place = (since, queue.next);
        queue.next += 1;
        queue.waiting.insert(place, evict);
        if queue.waiting.len() > limit.max(1)
            && let Some((_, oldest)) = queue.waiting.pop_first()
        {
            // It may have got its header in this very moment; then nobody needs to go.
            let _gone = oldest.send(());
        }
        Seat { awaited: self, place, evicted }
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
        self.awaited.lock().waiting.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_when_one_too_many_comes() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let mut first = awaited.sit(now, 2);
        let mut second = awaited.sit(now, 2);
        let _third = awaited.sit(now, 2);
        first.evicted().await;
        assert!(second.evicted.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_oldest_is_who_was_accepted_first_whichever_worker_is_faster() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        let mut seats: Vec<_> = [3, 2, 1].map(|millis| awaited.sit(after(millis), 3)).into();
        let mut late = awaited.sit(now, 3);
        late.evicted().await;
        assert!(seats.iter_mut().all(|seat| seat.evicted.try_recv().is_err()));
    }

    #[tokio::test]
    async fn whoever_leaves_makes_room() {
        let (awaited, now) = (Awaited::default(), Instant::now());
        let mut first = awaited.sit(now, 2);
        drop(awaited.sit(now, 2));
        let _third = awaited.sit(now, 2);
        assert!(first.evicted.try_recv().is_err());
        assert_eq!(awaited.lock().waiting.len(), 2);
    }
}
