//! How long is waited, and which limit it was that ended a wait.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// A wait that ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// How long was waited; after some bytes, since the last of them.
    pub waited: Duration,
    /// What ended it.
    pub limit: Limit,
}

/// The limits of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The time that name, TCP and TLS may take together.
    Connect,
    /// The time for which the peer may say nothing.
    Silence,
    /// The moment at which everything has to be over.
    Deadline,
}

/// In seconds, to the tenth: `0.4 s`, `30 s`.
impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.waited.as_millis() + 50) / 100;
        match tenths % 10 {
            0 => write!(f, "{} s", tenths / 10),
            tenth => write!(f, "{}.{tenth} s", tenths / 10),
        }
    }
}

/// A wait that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    began: Instant,
    pub(crate) until: Instant,
    limit: Limit,
}

impl Wait {
    /// From now on for so long, unless the deadline is sooner.
    pub(crate) fn of(limit: Limit, timeout: Duration, deadline: Option<Instant>) -> Self {
        let began = Instant::now();
        let until = began + timeout;
        match deadline.filter(|deadline| *deadline < until) {
            Some(deadline) => Self { began, until: deadline, limit: Limit::Deadline },
            None => Self { began, until, limit },
        }
    }

    /// What it was, now that it is over.
    pub(crate) fn over(&self) -> Overdue {
        Overdue { waited: self.until - self.began, limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_of_two_limits_is_the_one_that_is_named() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        let deadline = Some(Instant::now() + Duration::from_secs(10));
        assert_eq!(Wait::of(Limit::Silence, short, deadline).over().limit, Limit::Silence);
        assert_eq!(Wait::of(Limit::Silence, long, deadline).over().limit, Limit::Deadline);
        assert_eq!(Wait::of(Limit::Connect, long, None).over().limit, Limit::Connect);
    }

    #[test]
    fn seconds_are_told_to_the_tenth() {
        for (millis, told) in [(0, "0 s"), (401, "0.4 s"), (960, "1 s"), (30_002, "30 s"), (12_340, "12.3 s")]
        {
            let overdue = Overdue { waited: Duration::from_millis(millis), limit: Limit::Connect };
            assert_eq!(overdue.to_string(), told);
        }
    }
}
