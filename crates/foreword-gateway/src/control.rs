//! The control thread: what must go on beside the workers and never in front of them.

mod files;
mod memory;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use hickory_resolver::net::NetError;
use tokio::sync::{mpsc as async_mpsc, watch};
use tokio::task::{AbortHandle, spawn_local};

pub(crate) use self::files::Files;
pub(crate) use self::memory::MemoryWatch;
use crate::acme::Keeper;
use crate::admin::Admin;
use crate::plan::Plan;
use crate::threads;
use crate::upstream::health::Watching;
use crate::upstream::membership::States;
use crate::upstream::names::{Ask, Names, Resolving};

/// The way to the control thread. The thread ends with it.
#[derive(Debug)]
pub(crate) struct Control {
    tasks: async_mpsc::UnboundedSender<Task>,
}

#[derive(Debug)]
enum Task {
    /// Resolve the names of this plan from now on, and answer when each was asked for once.
    Follow(Arc<Plan>, mpsc::Sender<()>),
    /// Answer on this admin socket from now on, and on no other.
    Answer(Option<Admin>),
}

impl Control {
    /// Starts the control thread. `find` says whom to ask for names.
    pub(crate) fn start<A: Ask>(
        names: Arc<Names>,
        states: Arc<States>,
        keeper: impl FnOnce() -> Keeper + Send + 'static,
        memory: MemoryWatch,
        find: impl Fn(&[SocketAddr]) -> Result<A, NetError> + Send + 'static,
    ) -> io::Result<Self> {
        let (tasks, received) = async_mpsc::unbounded_channel();
        threads::start("control".to_owned(), move || {
            let watching = Watching::new(states, Arc::clone(&names));
            run(received, Resolving::new(names, find), watching, keeper(), memory)
        })?;
        Ok(Self { tasks })
    }

    /// Has the names of `plan` resolved, and waits until each was asked for once, or for as long as a start may wait.
    pub(crate) fn follow(&self, plan: &Arc<Plan>) {
        let (done, followed) = mpsc::channel();
        // It ends after us; if not, the channel is closed and there is nothing to wait for.
        let _gone = self.tasks.send(Task::Follow(Arc::clone(plan), done));
        let _done = followed.recv();
    }

    /// Has the admin socket answered on; without one, or with another one, the one before is closed.
    pub(crate) fn answer(&self, admin: Option<Admin>) {
        let _gone = self.tasks.send(Task::Answer(admin));
    }
}

async fn run<A: Ask, F: Fn(&[SocketAddr]) -> Result<A, NetError>>(
    mut tasks: async_mpsc::UnboundedReceiver<Task>,
    mut resolving: Resolving<F>,
    mut watching: Watching,
    mut keeper: Keeper,
    memory: MemoryWatch,
) {
    // Beside all else: names may take long.
    let (max_memory, asked) = watch::channel(None);
    spawn_local(memory.run(asked));
    let mut answering: Option<AbortHandle> = None;
    loop {
        let task = tokio::select! {
            task = tasks.recv() => task,
            () = watching.names_changed() => {
                watching.look_again();
                continue;
            }
        };
        match task {
            None => break,
            Some(Task::Follow(plan, done)) => {
                max_memory.send_replace(plan.max_memory);
                resolving.follow(&plan.clusters, &plan.name_servers).await;
                watching.follow(&plan.clusters);
                keeper.follow(&plan);
                // Whoever waits may have given up.
                let _gone = done.send(());
            }
            Some(Task::Answer(admin)) => {
                if let Some(before) = answering.take() {
                    before.abort();
                }
                answering = admin.map(|admin| spawn_local(admin.serve()).abort_handle());
            }
        }
    }
}
