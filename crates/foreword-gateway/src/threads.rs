//! Threads with a runtime of their own, whose tasks never leave them.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tracing::Dispatch;

/// Starts a thread that lives as long as the future which `story` makes on it.
///
/// # Errors
///
/// When the machine gives no thread, or no descriptors for its runtime.
pub(crate) fn start<F: Future<Output = ()>>(
    name: String,
    story: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let (started, outcome) = mpsc::channel();
    // The subscriber of whoever starts it, which in a test may be of its thread only.
    let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
    thread::Builder::new().name(name).spawn(move || {
        let _subscriber = tracing::dispatcher::set_default(&dispatch);
        // Whoever starts the thread waits for this word.
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                drop(started.send(Ok(())));
                runtime.block_on(story());
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    outcome.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended before it began")))
}
