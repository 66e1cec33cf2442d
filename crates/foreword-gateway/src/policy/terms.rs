//! What rules say of how somebody is served: how large a body may be, how long is waited, what is logged.

use std::num::NonZeroU32;
use std::time::Duration;

/// What rules say; what they do not, the listener and the cluster do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The longest content of a request, in bytes.
    pub max_body: Option<u64>,
    /// In place of the listener's `timeout.idle`, for this request, connection or flow.
    pub idle: Option<Duration>,
    /// In place of the cluster's `timeout.response`.
    pub response: Option<Duration>,
    /// In place of the listener's `timeout.total`.
    pub total: Option<Duration>,
    /// Which lines are written to the access log.
    pub log: Option<LogShare>,
}

impl Terms {
    /// Hears what a later rule says: its word counts.
    pub(crate) fn hear(&mut self, later: &Self) {
        let Self { max_body, idle, response, total, log } = *later;
        self.max_body = max_body.or(self.max_body);
        self.idle = idle.or(self.idle);
        self.response = response.or(self.response);
        self.total = total.or(self.total);
        self.log = log.or(self.log);
    }
}

/// Which of many lines are written to the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogShare {
    /// One in so many, drawn; `None` for no line.
    pub one_in: Option<NonZeroU32>,
    /// Whether what went wrong is written besides.
    pub errors: bool,
}

impl LogShare {
    /// Every line.
    pub const ALL: Self = Self { one_in: Some(NonZeroU32::MIN), errors: true };
    /// No line.
    pub const NONE: Self = Self { one_in: None, errors: false };

    /// Whether a line is written. `draw` gives a number below the one it is given.
    pub(crate) fn takes(self, is_error: bool, draw: impl FnOnce(u32) -> u32) -> bool {
        match self.one_in {
            Some(NonZeroU32::MIN) => true,
            _ if is_error && self.errors => true,
            Some(one_in) => draw(one_in.get()) == 0,
            None => false,
        }
    }
}

impl Default for LogShare {
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_word_counts_and_what_nobody_speaks_of_stays_unsaid() {
        let second = |seconds| Some(Duration::from_secs(seconds));
        let mut terms = Terms { max_body: Some(1), idle: second(1), ..Terms::default() };
        terms.hear(&Terms { idle: second(2), log: Some(LogShare::NONE), ..Terms::default() });
        let told =
            Terms { max_body: Some(1), idle: second(2), log: Some(LogShare::NONE), ..Terms::default() };
        assert_eq!(terms, told);
    }

    #[test]
    fn a_sample_is_drawn_and_errors_are_written_if_they_should_be() {
        let sample = |errors| LogShare { one_in: NonZeroU32::new(3), errors };
        let draws = |share: LogShare, is_error| [0, 1, 2].map(|drawn| share.takes(is_error, |_| drawn));
        assert_eq!(draws(sample(true), false), [true, false, false]);
        assert_eq!(draws(sample(true), true), [true; 3]);
        assert_eq!(draws(sample(false), true), [true, false, false]);
        assert_eq!(draws(LogShare::ALL, false), [true; 3]);
        assert_eq!(draws(LogShare::NONE, true), [false; 3]);
        assert_eq!(draws(LogShare { one_in: None, errors: true }, true), [true; 3]);
    }
}
