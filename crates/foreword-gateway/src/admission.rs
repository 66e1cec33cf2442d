//! Who is let in: how many connections there may be, at one listener and in all, and who waits for its header.

pub(crate) mod awaited;
pub(crate) mod pressure;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;

use self::awaited::Awaited;
use self::pressure::Pressure;
use crate::observe::journal::OpenNow;
use crate::refusal::Code;

/// What all workers know together of one listener; it outlives plans.
#[derive(Debug)]
pub(crate) struct Post {
    /// The connections that owe a header.
    pub(crate) awaited: Awaited,
    open: Arc<AtomicUsize>,
    pub(crate) everywhere: Arc<Capacity>,
}

/// How many connections the process can hold.
#[derive(Debug)]
pub(crate) struct Capacity {
    open: Arc<AtomicUsize>,
    limit: usize,
    /// How short memory is.
    pub(crate) pressure: Arc<Pressure>,
    began: Instant,
    /// The last second, counted from the beginning, in which a shortage was told.
    told: AtomicU64,
}

impl Capacity {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Arc::default(),
            limit,
            pressure: Pressure::new(),
            began: Instant::now(),
            told: AtomicU64::new(u64::MAX),
        })
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Says that there are no descriptors left, once a second however many loops find it.
    pub(crate) fn tell_shortage(&self, listener: &str, error: &io::Error) {
        let second = self.began.elapsed().as_secs();
        if self.told.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(
                "{listener}: no connection can be accepted: {error}. Raise LimitNOFILE. [{}]",
                Code::OutOfDescriptors
            );
        }
    }
}

impl Post {
    pub(crate) fn new(everywhere: &Arc<Capacity>) -> Arc<Self> {
        Arc::new(Self {
            awaited: Awaited::default(),
            open: Arc::default(),
            everywhere: Arc::clone(everywhere),
        })
    }

    /// The connections that are open now, for whoever has to tell of them.
    pub(crate) fn open_now(&self) -> OpenNow {
        OpenNow { everywhere: Arc::clone(&self.everywhere.open), here: Arc::clone(&self.open) }
    }

    /// Counts one more, unless there are too many: here, or anywhere in the process.
    pub(crate) fn admit(&self, here: Option<usize>) -> Result<(Place, Place), Full> {
        let (everywhere, number) = Place::take(&self.everywhere.open);
        if number > self.everywhere.limit {
            return Err(Full::Everywhere { limit: self.everywhere.limit });
        }
        if let Some((mark, held)) = self.everywhere.pressure.refuses(number) {
            return Err(Full::Memory { mark, held });
        }
        let (place, number) = Place::take(&self.open);
        match here {
            Some(limit) if number > limit => Err(Full::Here { limit }),
            _ => Ok((everywhere, place)),
        }
    }
}

/// There is no room for another connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    /// At this listener.
    #[error("expected at most {limit} connections here (max.connections), found one more")]
    Here {
        /// How many there may be.
        limit: usize,
    },
    /// In the process.
    #[error("expected at most {limit} connections in all (RLIMIT_NOFILE), found one more")]
    Everywhere {
        /// How many there may be.
        limit: usize,
    },
    /// In memory.
    #[error("expected less than {mark} bytes of memory in use (max_memory), found {held}")]
    Memory {
        /// Where room ends.
        mark: u64,
        /// How many bytes were in use at the last look.
        held: u64,
    },
    /// In memory, until that is looked at again.
    #[error("expected memory for one more until it is looked at again (max_memory), found none left")]
    Ration,
}

impl Full {
    /// What the refusal is told as, where it is one of `room` unless memory is short.
    pub(crate) fn code(&self, room: Code) -> Code {
        match self {
            Self::Here { .. } | Self::Everywhere { .. } => room,
            Self::Memory { .. } | Self::Ration => Code::MemoryShort,
        }
    }
}

/// The same where it is a flow that there is no room for.
pub(crate) struct FullOfFlows<'f>(pub(crate) &'f Full);

impl fmt::Display for FullOfFlows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, what) = match self.0 {
            Full::Here { limit } => (limit, "flows here (max.flows)"),
            Full::Everywhere { limit } => (limit, "connections and flows in all (RLIMIT_NOFILE)"),
            Full::Memory { .. } | Full::Ration => return self.0.fmt(f),
        };
        write!(f, "expected at most {limit} {what}, found one more")
    }
}

/// One of those who are counted.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes one more, and tells the how many-eth it is.
    fn take(counter: &Arc<AtomicUsize>) -> (Self, usize) {
        let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(Arc::clone(counter)), number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::{Level, Strain};

    #[test]
    fn while_memory_is_short_only_a_few_are_admitted() {
        let post = Post::new(&Capacity::new(100));
        let pressure = &post.everywhere.pressure;
        let _many: Vec<_> = (0..50).map(|_| post.admit(None).unwrap()).collect();
        pressure.found(1000, 1001, Strain { level: Level::Tight, urgency: 0, dire: 0 }, 1);
        let full = post.admit(None).unwrap_err();
        assert_eq!(
            full.to_string(),
            "expected less than 1000 bytes of memory in use (max_memory), found 1001"
        );
        assert_eq!(full.code(Code::ConnectionLimit), Code::MemoryShort);
        assert_eq!(FullOfFlows(&full).to_string(), full.to_string());
        pressure.found(1000, 1, Strain::default(), 1);
        assert!(post.admit(None).is_ok());
    }

    #[test]
    fn whoever_is_not_admitted_takes_no_place() {
        let post = Post::new(&Capacity::new(2));
        let other = Post::new(&post.everywhere);
        let _first = post.admit(Some(1)).unwrap();
        for _ in 0..3 {
            assert!(matches!(post.admit(Some(1)), Err(Full::Here { limit: 1 })));
        }
        let second = other.admit(None).unwrap();
        assert!(matches!(other.admit(None), Err(Full::Everywhere { limit: 2 })));
        drop(second);
        assert!(other.admit(None).is_ok());
    }
}
