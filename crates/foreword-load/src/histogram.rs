//! Latencies in buckets whose width is 3 % of what they hold, so that recording one is an addition.

use std::time::Duration;

/// Buckets per power of two.
const FINE: u32 = 32;
const FINE_BITS: u32 = FINE.ilog2();
/// Below `FINE` a bucket per nanosecond, above it `FINE` for each of the remaining powers of two.
const BUCKETS: usize = ((64 - FINE_BITS + 1) * FINE) as usize;

/// How long units took.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into(), count: 0 }
    }
}

impl Histogram {
    /// Records one.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(nanos)) {
            *bucket += 1;
            self.count += 1;
        }
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What `share` of all took at most, to 3 %; `None` where nothing was recorded.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        // A share of a count is meant roughly: the few bits that a float lacks do not matter.
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(Duration::from_nanos(last_of(index)));
            }
        }
        None
    }
}

fn bucket_of(nanos: u64) -> usize {
    if nanos < u64::from(FINE) {
        return nanos as usize;
    }
    let power = nanos.ilog2() - FINE_BITS;
    (power * FINE) as usize + (nanos >> power) as usize
}

/// The longest time that falls into a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let fine = u64::from(FINE);
    if bucket < fine {
        return bucket;
    }
    let power = bucket / fine - 1;
    let first = (fine + bucket % fine) << power;
    first + ((1 << power) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_bucket_that_is_hardly_wider_than_itself() {
        for nanos in
            (0..64).flat_map(|power| [1_u64 << power, (1 << power) | 1, (1 << power) - 1]).chain([u64::MAX])
        {
            let bucket = bucket_of(nanos);
            assert!(bucket < BUCKETS, "{nanos}");
            let last = last_of(bucket);
            assert!(last >= nanos, "{nanos} {last}");
            assert!(last - nanos <= nanos / 32, "{nanos} {last}");
            assert_eq!(bucket_of(last), bucket);
        }
    }

    #[test]
    fn quantiles_are_found_among_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        assert_eq!(histogram.count(), 100);
        for (share, micros) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            let found = histogram.quantile(share).unwrap();
            let expected = Duration::from_micros(micros);
            assert!(found >= expected && found <= expected.mul_f64(1.04), "{share}: {found:?}");
        }
    }
}
