//! The control thread: what must go on beside the workers and never in front of them.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc as async_mpsc;

use crate::plan::Plan;
use crate::upstream::names::{Names, Resolving};

/// The way to the control thread. The thread ends with it.
#[derive(Debug)]
pub(crate) struct Control {
    tasks: async_mpsc::UnboundedSender<Task>,
}

#[derive(Debug)]
enum Task {
    /// Resolve the names of this plan from now on, and answer when each was asked for once.
    Follow(Arc<Plan>, mpsc::Sender<()>),
}

impl Control {
    /// Starts the control thread.
    pub(crate) fn start(names: Arc<Names>) -> io::Result<Self> {
        let (tasks, received) = async_mpsc::unbounded_channel();
        let (started, outcome) = mpsc::channel();
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    // Whoever started us waits for this word.
                    let _waits = started.send(Ok(()));
                    runtime.block_on(run(received, names));
                }
                Err(error) => _ = started.send(Err(error)),
            }
        })?;
        match outcome.recv() {
            Ok(started) => started.map(|()| Self { tasks }),
            Err(_) => Err(io::Error::other("the control thread ended before it began")),
        }
    }

    /// Has the names of `plan` resolved, and waits until each was asked for once, or for as long as a start may wait.
    pub(crate) fn follow(&self, plan: &Arc<Plan>) {
        let (done, followed) = mpsc::channel();
        // It ends after us; if not, the channel is closed and there is nothing to wait for.
        let _gone = self.tasks.send(Task::Follow(Arc::clone(plan), done));
        let _done = followed.recv();
    }
}

async fn run(mut tasks: async_mpsc::UnboundedReceiver<Task>, names: Arc<Names>) {
    let mut resolving = Resolving::new(names);
    while let Some(task) = tasks.recv().await {
        match task {
            Task::Follow(plan, done) => {
                resolving.follow(&plan).await;
                // Whoever waits may have given up.
                let _gone = done.send(());
            }
        }
    }
}
