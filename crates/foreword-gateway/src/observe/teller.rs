//! The thread that writes refusal lines to the log: a log that stands still stops this thread, never a worker.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::cluster::ClusterSeries;
use super::journal::{ListenerSeries, Observer, locked};
use crate::refusal::{self, Code};
use crate::threads;

/// Where lines are handed over.
#[derive(Clone, Debug)]
pub(super) struct Teller(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(Code, String),
    /// Everything before it was written, and so were the counts that no line has told: say so.
    Flush(SyncSender<()>),
}

impl Teller {
    /// Starts the thread. It ends when the last [`Teller`] is gone.
    pub(super) fn start(observer: Weak<Observer>) -> Self {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        if let Err(error) = threads::spawn("refusals".into(), move || tell(&receiver, &observer)) {
            tracing::error!("expected a thread for refusal lines, found {error}: refusals are only counted");
        }
        Self(sender)
    }

    /// Hands a line over, unless too many wait already.
    pub(super) fn line(&self, code: Code, line: String) -> bool {
        self.0.try_send(Message::Line(code, line)).is_ok()
    }

    /// Waits, no longer than `patience`, until everything handed over so far is written.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, finished) = sync_channel(1);
        if self.0.try_send(Message::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(patience);
        }
    }
}

fn tell(messages: &Receiver<Message>, observer: &Weak<Observer>) {
    let mut next_tick = Instant::now() + refusal::TICK;
    loop {
        match messages.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
            Ok(Message::Line(code, line)) => write(code, &line),
            Ok(Message::Flush(done)) => {
                tell_rest(observer, Instant::now() + FAR);
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                tell_rest(observer, Instant::now());
                next_tick = Instant::now() + refusal::TICK;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn write(code: Code, line: &str) {
    match code.is_fault() {
        true => tracing::warn!("{line}"),
        false => tracing::info!("{line}"),
    }
}

/// Tells the counts that are overdue at `now`.
fn tell_rest(observer: &Weak<Observer>, now: Instant) {
    let Some(observer) = observer.upgrade() else { return };
    let listeners: Vec<Arc<ListenerSeries>> = locked(&observer.listeners).clone();
    for listener in listeners {
        let overdue: Vec<(Code, u64)> = listener.gates.overdue(now).collect();
        for (code, left_out) in overdue {
            write(code, &refusal::rest(&listener.name, code, left_out));
        }
    }
    let clusters: Vec<Arc<ClusterSeries>> = locked(&observer.clusters).clone();
    for cluster in clusters {
        let overdue: Vec<(Code, u64)> = cluster.gates.overdue(now).collect();
        for (code, left_out) in overdue {
            write(code, &refusal::rest(&refusal::cluster(&cluster.name), code, left_out));
        }
    }
    observer.tell_lost_lines(now);
}

/// Some seconds of lines at the pace that the gates allow, for a log that stands still.
const MAX_WAITING: usize = 1_024;
/// So late that everything is overdue.
const FAR: Duration = Duration::from_secs(3_600);
