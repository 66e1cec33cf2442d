//! The field that says when an answer was made.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// The time as `Date` has it, RFC 9110 §5.6.7, made anew only when the second changes. One for each worker.
#[derive(Debug, Default)]
pub(super) struct Date(RefCell<(u64, String)>);

impl Date {
    /// Lends the text of this second.
    pub(super) fn with<T>(&self, now: SystemTime, read: impl FnOnce(&str) -> T) -> T {
        // A clock before 1970 has not been set yet.
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut kept = self.0.borrow_mut();
        if kept.0 != second || kept.1.is_empty() {
            let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
            let timestamp = timestamp.unwrap_or_default();
            let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).unwrap_or_default();
            *kept = (second, text);
        }
        read(&kept.1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_is_remembered_and_the_next_one_is_not_mistaken_for_it() {
        let date = Date::default();
        let text = |seconds| date.with(UNIX_EPOCH + Duration::from_secs(seconds), str::to_owned);
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        for _ in 0..2 {
            assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        }
        assert_eq!(text(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
