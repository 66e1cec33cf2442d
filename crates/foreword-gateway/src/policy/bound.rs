//! How much each key may have of something: so much in some time, or so much at once.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foreword_rule::Facts;

use super::rate::RateLimit;
use super::seats::{Seat, SeatLimit};

/// What bounds those who come.
#[derive(Clone, Debug)]
pub enum Bound {
    /// So many in some time.
    Rate(Arc<RateLimit>),
    /// So many at once.
    Seats(SeatLimit),
}

/// A bound that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// After this time the next one is welcome.
    Rate(Duration),
    /// So many go on already.
    Seats(NonZeroU32),
}

impl Bound {
    /// Counts one more for the key that the facts have. What goes on from now on is put into `held`, and counts until that
    /// is dropped.
    ///
    /// # Errors
    /// It is one too many. What is refused does not count.
    pub(crate) fn ask(
        &self,
        facts: &impl Facts,
        now: impl FnOnce() -> Instant,
        held: &mut Vec<Seat>,
    ) -> Result<(), Over> {
        match self {
            Self::Rate(limit) => limit.take(facts, now()).map_err(Over::Rate),
            Self::Seats(limit) => {
                held.extend(limit.sit(facts).map_err(|_| Over::Seats(limit.most()))?);
                Ok(())
            }
        }
    }

    /// Goes on counting where the first of those `before` did that bounds the same.
    pub(crate) fn take_over<'b>(&mut self, before: impl IntoIterator<Item = &'b Self>) {
        for before in before {
            let same = match (&mut *self, before) {
                (Self::Rate(rate), Self::Rate(before)) if rate.rate() == before.rate() => {
                    *rate = Arc::clone(before);
                    true
                }
                (Self::Seats(seats), Self::Seats(before)) => seats.take_over(before),
                _ => false,
            };
            if same {
                return;
            }
        }
    }
}

impl Over {
    /// After how long the next one is welcome, where that can be known.
    pub(crate) const fn wait(self) -> Option<Duration> {
        match self {
            Self::Rate(wait) => Some(wait),
            Self::Seats(_) => None,
        }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(wait) => write!(f, "takes the next one in {} s", wait.as_secs_f32()),
            Self::Seats(most) => write!(f, "takes {most} at once, found one more"),
        }
    }
}
