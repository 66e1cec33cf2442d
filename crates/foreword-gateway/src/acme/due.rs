//! When a certificate is renewed, and when somebody who failed tries again. The time is handed in.

use std::time::{Duration, SystemTime};

/// When to renew: somewhere in here, so that not everybody comes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    start: SystemTime,
    end: SystemTime,
}

impl Window {
    /// The one that the CA suggests, RFC 9773 §4.1; none if it is no window.
    pub(super) fn suggested(start: SystemTime, end: SystemTime) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The one of a certificate of which the CA says nothing: it ends when a third of the time is left.
    pub(super) fn of_lifetime(not_before: SystemTime, not_after: SystemTime) -> Self {
        let lifetime = not_after.duration_since(not_before).unwrap_or_default();
        let end = not_after - lifetime / 3;
        Self { start: end - lifetime / 30, end }
    }

    /// A moment in it; `lot` is from 0 to 1, and the same for as long as the certificate lasts.
    pub(super) fn at(&self, lot: f64) -> SystemTime {
        let length = self.end.duration_since(self.start).unwrap_or_default();
        self.start + length.mul_f64(lot.clamp(0.0, 1.0))
    }
}

/// How long to wait after so many failures in a row. CAs count failures by the hour, so it soon becomes long. `lot` is
/// from 0 to 1.
pub(super) fn rest(failures: u32, lot: f64) -> Duration {
    let doubled =
        FIRST_REST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_REST).mul_f64(0.8 + 0.4 * lot.clamp(0.0, 1.0))
}

/// What was wrong may be over in a minute.
const FIRST_REST: Duration = Duration::from_secs(60);

/// Often enough for a certificate with weeks to go.
const LONGEST_REST: Duration = Duration::from_secs(6 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left_or_a_little_before() {
        let window = Window::of_lifetime(UNIX_EPOCH, UNIX_EPOCH + 90 * DAY);
        assert_eq!(window.at(1.0), UNIX_EPOCH + 60 * DAY);
        assert_eq!(window.at(0.0), UNIX_EPOCH + 57 * DAY);
        assert_eq!(window.at(0.5), UNIX_EPOCH + 58 * DAY + DAY / 2);
        // One that ends before it begins is due at once.
        assert_eq!(Window::of_lifetime(UNIX_EPOCH + DAY, UNIX_EPOCH).at(0.5), UNIX_EPOCH);
    }

    #[test]
    fn the_suggestion_of_the_ca_is_taken_if_it_is_one() {
        let window = Window::suggested(UNIX_EPOCH + DAY, UNIX_EPOCH + 3 * DAY).unwrap();
        assert_eq!(window.at(0.5), UNIX_EPOCH + 2 * DAY);
        assert_eq!(Window::suggested(UNIX_EPOCH + DAY, UNIX_EPOCH), None);
    }

    #[test]
    fn rests_double_up_to_six_hours_and_differ() {
        let minutes = |failures| rest(failures, 0.5).as_secs() / 60;
        assert_eq!([1, 2, 3, 9, 10, 100].map(minutes), [1, 2, 4, 256, 360, 360]);
        assert_eq!(rest(1, 0.0), Duration::from_secs(48));
        assert_eq!(rest(1, 1.0), Duration::from_secs(72));
    }
}
