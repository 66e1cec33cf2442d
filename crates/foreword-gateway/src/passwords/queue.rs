//! Hashes are computed here, a few at a time, on threads that let everybody else go first.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::timeout;

use super::{Credentials, Mark, Stored};
use crate::threads;

/// Who waits for which hash. The threads live as long as there is something to do, and a little longer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    line: VecDeque<Job>,
    /// Those in line and those at work.
    pending: HashMap<Mark, Pending>,
    threads: usize,
    idle: usize,
}

#[derive(Debug)]
struct Job {
    mark: Mark,
    stored: Arc<Stored>,
    credentials: Credentials,
}

#[derive(Debug)]
struct Pending {
    client: Option<IpAddr>,
    waiting: Vec<Sender<bool>>,
}

impl Queue {
    /// Has credentials checked. Whoever asks for what is being checked already hears of it too; there is no room if too much
    /// is, of one client or of all.
    pub(super) fn ask(
        self: &Arc<Self>,
        mark: Mark,
        client: Option<IpAddr>,
        stored: Arc<Stored>,
        credentials: Credentials,
    ) -> Option<Receiver<bool>> {
        let client = client.map(neighbourhood);
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if let Some(pending) = state.pending.get_mut(&mark) {
            pending.add(sender);
            return Some(receiver);
        }
        let of_client = state.pending.values().filter(|pending| pending.client == client).count();
        if state.pending.len() >= MOST || of_client >= MOST_OF_CLIENT {
            return None;
        }
        if state.idle == 0 && state.threads < most_threads() {
            let queue = Arc::clone(self);
            match threads::spawn("passwords".to_owned(), move || queue.work()) {
                Ok(_) => state.threads += 1,
                // Nobody would ever answer.
                Err(_) if state.threads == 0 => return None,
                Err(_) => {}
            }
        }
        state.pending.insert(mark, Pending { client, waiting: vec![sender] });
        state.line.push_back(Job { mark, stored, credentials });
        self.came.notify_one();
        Some(receiver)
    }

    fn work(&self) {
        // Hashes are slow by design. Where the machine is busy, requests go first; that it may be refused changes nothing else.
        let _granted = rustix::process::nice(NICENESS);
        while let Some(Job { mark, stored, credentials }) = self.next() {
            let fits = stored.fits(credentials.password());
            let pending = self.state().pending.remove(&mark);
            for waiting in pending.into_iter().flat_map(|pending| pending.waiting) {
                // Some have left meanwhile.
                let _heard = waiting.send(fits);
            }
        }
    }

    /// The next in line; `None` where nobody came for long, and the thread is no more needed.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        state.idle += 1;
        let waited = self.came.wait_timeout_while(state, PATIENCE, |state| !state.is_asked());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        let job = state.line.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Those who left make room before more is taken, and there is as much of it as there are others, so that nobody who
    /// comes and goes has all of them looked at each time.
    fn add(&mut self, sender: Sender<bool>) {
        if self.waiting.len() == self.waiting.capacity() {
            self.waiting.retain(|waiting| !waiting.is_closed());
            self.waiting.reserve(self.waiting.len().max(1));
        }
        self.waiting.push(sender);
    }
}

impl State {
    /// Whether there is something to do, once those are left out whose askers have all gone.
    fn is_asked(&mut self) -> bool {
        while let Some(job) = self.line.front() {
            match self.pending.get(&job.mark) {
                Some(pending) if pending.waiting.iter().any(|waiting| !waiting.is_closed()) => return true,
                _ => _ = self.pending.remove(&job.mark),
            }
            self.line.pop_front();
        }
        false
    }
}

/// What came of it; `None` where it takes too long to be waited for.
pub(super) async fn heard(answer: Receiver<bool>) -> Option<bool> {
    timeout(LONGEST, answer).await.ok()?.ok()
}

/// Whoever has one address of a /64 has them all.
fn neighbourhood(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        address => address,
    }
}

/// Half of the cores, and one at least.
fn most_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// At a tenth of a second for each, the last of them waits for some seconds.
const MOST: usize = 64;

/// A browser asks for many things at once, with the same credentials; several people behind one address, with few others.
const MOST_OF_CLIENT: usize = 8;

/// How long an asker waits. On a machine that has no time for hashes the line is longer than it seems.
const LONGEST: Duration = Duration::from_secs(10);

/// How long a thread waits for more to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of twenty steps, ten.
const NICENESS: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(queue: &Arc<Queue>, number: u8, client: &str, stored: &Arc<Stored>) -> Option<Receiver<bool>> {
        let client = client.parse().ok();
        queue.ask([number; 32], client, Arc::clone(stored), Credentials::of("a", b"secret"))
    }

    #[tokio::test]
    async fn one_client_has_a_share_of_the_queue_and_all_of_them_a_bound() {
        let stored = Arc::new(Stored::parse(&bcrypt::hash("secret", 4).unwrap()).unwrap());
        let queue = Arc::new(Queue::default());
        // No thread takes anything out while this one is counted as idle.
        (queue.state().idle, queue.state().threads) = (1, 1);
        let mut waiting: Vec<_> = (0..8).map(|number| ask(&queue, number, "192.0.2.1", &stored)).collect();
        assert!(waiting.iter().all(Option::is_some));
        assert!(ask(&queue, 8, "192.0.2.1", &stored).is_none(), "one too many of this client");
        assert!(ask(&queue, 7, "192.0.2.1", &stored).is_some(), "what is asked already");
        for number in 8..64 {
            let client = format!("192.0.2.{}", 2 + number / 8);
            waiting.push(ask(&queue, number, &client, &stored));
        }
        assert!(waiting.iter().all(Option::is_some));
        assert!(ask(&queue, 64, "2001:db8::1", &stored).is_none(), "one too many of all");
        let working = Arc::clone(&queue);
        threads::spawn("test".to_owned(), move || working.work()).unwrap();
        for checked in waiting.into_iter().flatten() {
            assert_eq!(checked.await, Ok(true));
        }
        assert!(queue.state().pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_what_nobody_waits_for_is_left_out() {
        let stored = Arc::new(Stored::parse(&bcrypt::hash("secret", 4).unwrap()).unwrap());
        let queue = Arc::new(Queue::default());
        // No thread takes anything out while this one is counted as idle.
        (queue.state().idle, queue.state().threads) = (1, 1);
        let [gone, late, waits] = [0, 1, 2].map(|number| ask(&queue, number, "192.0.2.1", &stored).unwrap());
        drop(gone);
        let begun = tokio::time::Instant::now();
        assert_eq!(heard(late).await, None);
        assert_eq!(begun.elapsed(), LONGEST);
        assert_eq!(queue.next().map(|job| job.mark), Some([2; 32]));
        assert_eq!(queue.state().pending.len(), 1, "those who left hold no place");
        drop(waits);
    }

    #[tokio::test]
    async fn whoever_asks_for_the_same_and_leaves_holds_nothing() {
        let stored = Arc::new(Stored::parse(&bcrypt::hash("secret", 4).unwrap()).unwrap());
        let queue = Arc::new(Queue::default());
        // No thread takes anything out while this one is counted as idle.
        (queue.state().idle, queue.state().threads) = (1, 1);
        let stays = ask(&queue, 0, "192.0.2.1", &stored).unwrap();
        for _ in 0..100 {
            drop(ask(&queue, 0, "192.0.2.1", &stored).unwrap());
        }
        let held = queue.state().pending[&[0; 32]].waiting.capacity();
        assert!(held < 10, "room for {held}");
        let working = Arc::clone(&queue);
        threads::spawn("test".to_owned(), move || working.work()).unwrap();
        assert_eq!(stays.await, Ok(true));
    }

    #[test]
    fn neighbours_in_one_network_share() {
        let of = |text: &str| neighbourhood(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((of("192.0.2.1"), of("::ffff:192.0.2.1")), ("192.0.2.1".into(), "192.0.2.1".into()));
    }
}
