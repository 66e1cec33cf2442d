//! How threads are started: each tells the one whom its starter tells.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, LocalOptions};
use tracing::Dispatch;

/// Starts a thread with a runtime of its own, whose tasks never leave it. It lives as long as the future which `story`
/// makes on it.
///
/// # Errors
///
/// When the machine gives no thread, or no descriptors for its runtime.
pub(crate) fn start<F: Future<Output = ()>>(
    name: String,
    story: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let (started, outcome) = mpsc::channel();
    spawn(name, move || {
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

/// Starts a thread.
///
/// # Errors
///
/// When the machine gives none.
pub(crate) fn spawn(name: String, story: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // The subscriber of whoever starts it, which in a test may be of its thread only.
    let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
    thread::Builder::new().name(name).spawn(move || tracing::dispatcher::with_default(&dispatch, story))
}

/// A subscriber for a test, and what it was told.
#[cfg(test)]
pub(crate) fn told() -> (impl Fn() -> String, impl tracing::Subscriber + Send + Sync + 'static) {
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let told = Told::default();
    let writer = told.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    (move || String::from_utf8_lossy(&told.0.lock().unwrap()).into_owned(), subscriber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_tells_whom_its_starter_tells() {
        let (told, subscriber) = told();
        let started = tracing::subscriber::with_default(subscriber, || {
            spawn("teller".into(), || tracing::warn!("from another thread"))
        });
        started.unwrap().join().unwrap();
        assert!(told().contains("from another thread"));
    }
}
