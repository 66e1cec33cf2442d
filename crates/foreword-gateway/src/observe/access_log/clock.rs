//! Times of day as log formats write them, made anew only when the second changes.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::digits;

/// What the formats know of the time. One for each worker.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    began: Second,
    now: Second,
}

/// The last second that was asked for, as text.
#[derive(Debug, Default)]
struct Second {
    second: Option<i64>,
    text: String,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { zone: TimeZone::system(), began: Second::default(), now: Second::default() }
    }

    /// `2026-11-23T05:48:46.123Z`, RFC 3339.
    pub(super) fn rfc3339(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let millis = self.began.text(time, &TimeZone::UTC, "%Y-%m-%dT%H:%M:%S");
        out.extend_from_slice(self.began.text.as_bytes());
        out.push(b'.');
        digits::millis(millis, out);
        out.push(b'Z');
    }

    /// `23/Nov/2026:05:48:46 +0000`, as Apache and nginx write it.
    pub(super) fn clf(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        self.began.text(time, &self.zone, "%d/%b/%Y:%H:%M:%S %z");
        out.extend_from_slice(self.began.text.as_bytes());
    }

    /// `23/Nov/2026:05:48:46.123`, as HAProxy writes it.
    pub(super) fn haproxy(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let millis = self.began.text(time, &self.zone, "%d/%b/%Y:%H:%M:%S");
        out.extend_from_slice(self.began.text.as_bytes());
        out.push(b'.');
        digits::millis(millis, out);
    }

    /// `Nov 23 05:48:46`, as syslog has always written it.
    pub(super) fn syslog(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        self.now.text(time, &self.zone, "%b %e %H:%M:%S");
        out.extend_from_slice(self.now.text.as_bytes());
    }
}

impl Second {
    /// Makes the text that of `time`, and gives the milliseconds that it leaves out.
    fn text(&mut self, time: SystemTime, zone: &TimeZone, form: &str) -> u32 {
        // A clock before 1970 has not been set yet.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = i64::try_from(since.as_secs()).unwrap_or_default();
        if self.second != Some(second) {
            let timestamp = Timestamp::from_second(second).unwrap_or_default();
            self.text = timestamp.to_zoned(zone.clone()).strftime(form).to_string();
            self.second = Some(second);
        }
        since.subsec_millis()
    }
}

/// Writing to a `Vec` cannot fail.
pub(super) fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(write: impl FnOnce(&mut Clock, SystemTime, &mut Vec<u8>)) -> String {
        let mut clock = Clock { zone: TimeZone::UTC, ..Clock::new() };
        let mut out = Vec::new();
        write(&mut clock, UNIX_EPOCH + Duration::from_millis(1_793_598_526_007), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_has_its_own_way_to_write_a_time() {
        assert_eq!(written(Clock::rfc3339), "2026-11-02T05:48:46.007Z");
        assert_eq!(written(Clock::clf), "02/Nov/2026:05:48:46 +0000");
        assert_eq!(written(Clock::haproxy), "02/Nov/2026:05:48:46.007");
        assert_eq!(written(Clock::syslog), "Nov  2 05:48:46");
    }

    #[test]
    fn a_second_is_remembered_and_the_next_one_is_not_mistaken_for_it() {
        let mut clock = Clock::new();
        let mut out = Vec::new();
        for second in [1, 1, 2, 1] {
            clock.rfc3339(UNIX_EPOCH + Duration::from_secs(second), &mut out);
            out.push(b' ');
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01T00:00:01.000Z 1970-01-01T00:00:01.000Z 1970-01-01T00:00:02.000Z 1970-01-01T00:00:01.000Z "
        );
    }
}
