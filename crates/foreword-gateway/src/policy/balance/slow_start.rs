//! How much of its weight an endpoint gets while it warms up.

use std::time::Duration;

/// The whole of a weight: shares are hundredths.
pub(crate) const WHOLE: u32 = 100;

/// The share of an endpoint that has been usable for so long, with so long to warm up: a tenth at first, then more in
/// proportion to the time.
pub(crate) fn ramp(usable_for: Duration, slow_start: Duration) -> u32 {
    if usable_for >= slow_start {
        return WHOLE;
    }
    let part = usable_for.as_secs_f64() / slow_start.as_secs_f64();
    // Between 0 and 100, so it fits.
    ((part * f64::from(WHOLE)) as u32).clamp(LEAST, WHOLE)
}

/// With less, it would be tried so seldom that nothing got warm.
const LEAST: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_with_time_from_a_tenth_to_the_whole() {
        let after = |seconds| ramp(Duration::from_secs(seconds), Duration::from_secs(30));
        assert_eq!([0, 1, 3, 15, 29, 30, 31].map(after), [10, 10, 10, 50, 96, 100, 100]);
        assert_eq!(ramp(Duration::ZERO, Duration::ZERO), WHOLE);
    }
}
