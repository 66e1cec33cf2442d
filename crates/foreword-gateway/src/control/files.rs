//! The thread that looks at files: a file system that stands still stops this thread and no other.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use crate::observe::Observer;
use crate::refusal::Code;
use crate::threads;
use crate::watch::{Change, Watch, Watched};

/// The way to the thread. The thread ends with it.
#[derive(Debug)]
pub(crate) struct Files(Sender<Vec<Watched>>);

impl Files {
    /// Starts the thread, which has nothing to look at yet.
    pub(crate) fn start(observer: Arc<Observer>) -> io::Result<Self> {
        let (sender, received) = channel();
        threads::spawn("files".to_owned(), move || look(&received, &observer))?;
        Ok(Self(sender))
    }

    /// Has these looked at from now on, and nothing else.
    pub(crate) fn follow(&self, watched: Vec<Watched>) {
        // A thread that is gone has said why.
        let _gone = self.0.send(watched);
    }
}

/// Looks every now and then. That needs no word from the kernel, which tells nothing of changes on network file systems, nor
/// of those behind links.
fn look(orders: &Receiver<Vec<Watched>>, observer: &Observer) {
    let mut watches: Vec<Watch> = Vec::new();
    let mut pause = INTERVAL;
    loop {
        let order = match watches.is_empty() {
            true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => orders.recv_timeout(pause),
        };
        match order {
            Ok(watched) => watches = watched.into_iter().map(Watch::new).collect(),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let settling = watches.iter_mut().filter_map(|watch| see_to(watch, observer)).count();
                pause = if settling > 0 { SETTLE } else { INTERVAL };
            }
        }
    }
}

/// Looks once. `Some` says that a change goes on.
fn see_to(watch: &mut Watch, observer: &Observer) -> Option<()> {
    match watch.look(SystemTime::now()) {
        Change::None => {}
        Change::Settling => return Some(()),
        Change::Taken(warnings) => {
            observer.files_were_taken();
            for warning in warnings {
                tracing::warn!("{}: {warning}", watch.name());
            }
            tracing::info!("{}: the files changed, and what they hold now is in use", watch.name());
        }
        Change::Refused(problems) => {
            observer.files_were_refused();
            for problem in problems {
                tracing::error!(
                    "{}: {problem}; what was read before goes on [{}]",
                    watch.name(),
                    Code::FilesRefused
                );
            }
        }
    }
    None
}

/// Soon enough for an operator who looks at the log; a look at a hundred files takes a fraction of a millisecond.
const INTERVAL: Duration = Duration::from_millis(500);

/// Whoever writes a certificate and then its key takes less.
const SETTLE: Duration = Duration::from_millis(100);
