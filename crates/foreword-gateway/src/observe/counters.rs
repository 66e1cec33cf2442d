//! Numbers that each worker counts alone and a scrape adds up: no worker ever waits for another, or locks the bus.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::refusal::Code;

/// A number with one writer: the worker that it belongs to. So a plain load and store counts, and loses nothing.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker has seen at one listener.
///
/// Aligned so that two workers never write to one cache line: on x86-64 lines are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct ListenerCounters {
    pub(crate) opened: Counter,
    pub(crate) ended: [Counter; Closing::ALL.len()],
    pub(crate) introductions: [Counter; Introduction::ALL.len()],
    pub(crate) refusals: [Counter; Code::COUNT],
    pub(crate) header_faults: [Counter; HEADER_FAULTS.len()],
    pub(crate) requests: [Counter; StatusClass::ALL.len()],
    pub(crate) durations: Histogram,
    pub(crate) left_uncoded: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) datagrams_received: Counter,
    pub(crate) datagrams_sent: Counter,
    pub(crate) dropped: [Counter; Dropped::ALL.len()],
}

impl ListenerCounters {
    pub(crate) fn new() -> Self {
        Self {
            opened: Counter::default(),
            ended: zeros(),
            introductions: zeros(),
            refusals: zeros(),
            header_faults: zeros(),
            requests: zeros(),
            durations: Histogram::new(),
            left_uncoded: Counter::default(),
            received: Counter::default(),
            sent: Counter::default(),
            datagrams_received: Counter::default(),
            datagrams_sent: Counter::default(),
            dropped: zeros(),
        }
    }

    /// Counts a refusal by its code, and by the requirement that was broken, where there is one.
    pub(crate) fn refused(&self, code: Code, requirement: Option<&str>) {
        count(&self.refusals, code.index());
        let broken = requirement.or(code.requirement());
        if let Some(place) = HEADER_FAULTS.iter().position(|&known| Some(known) == broken) {
            count(&self.header_faults, place);
        }
    }

    /// Connections that were opened and have not ended.
    pub(crate) fn open(&self) -> u64 {
        // What ended is read first: the other way round, one that ends in between would make it negative.
        let ended = self.ended.iter().map(Counter::get).sum();
        self.opened.get().saturating_sub(ended)
    }
}

/// What one worker has seen of one cluster.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ClusterCounters {
    pub(crate) connects: Counter,
    pub(crate) refused: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) unresolved: Counter,
    pub(crate) all_down: Counter,
    pub(crate) retries: Counter,
    pub(crate) replays: Counter,
    pub(crate) reuses: Counter,
    pub(crate) tlvs_without_room: Counter,
    pub(crate) tlvs_unfit: Counter,
    pub(crate) http2_broken: Counter,
    pub(crate) queue_joined: Counter,
    pub(crate) queue_left: Counter,
    pub(crate) queue_served: Counter,
    pub(crate) queue_timed_out: Counter,
    pub(crate) queue_without_endpoint: Counter,
    pub(crate) queue_abandoned: Counter,
    pub(crate) queue_full: Counter,
}

/// What one worker has seen of one endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EndpointCounters {
    pub(crate) began: Counter,
    pub(crate) ended: Counter,
    pub(crate) failed: Counter,
}

/// Counts one of a closed set.
pub(crate) fn count(counters: &[Counter], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.add(1);
    }
}

/// How connections end, as the metrics tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    Complete,
    Probe,
    Refused,
    Aborted,
    TimedOut,
    CutOff,
    Panicked,
}

impl Closing {
    pub(crate) const ALL: [Self; 7] = [
        Self::Complete,
        Self::Probe,
        Self::Refused,
        Self::Aborted,
        Self::TimedOut,
        Self::CutOff,
        Self::Panicked,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Probe => "probe",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::TimedOut => "timed_out",
            Self::CutOff => "cut_off",
            Self::Panicked => "panicked",
        }
    }
}

/// Why datagrams are dropped, as the metrics tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    /// Its peer is in no trust group.
    Stranger,
    /// Its header is missing, malformed, or not believed.
    Header,
    /// A rule refuses it, or none takes it.
    Rule,
    /// There is no room for its flow.
    Full,
    /// No endpoint can be reached.
    Endpoint,
    /// It is larger than the path takes.
    TooLarge,
    /// The kernel does not take it: no room, or no way.
    Unsent,
    /// An answer without the header that it should carry back.
    Answer,
    /// It would begin a flow, and the gateway takes no more.
    Draining,
    /// A mistake of ours.
    Panicked,
}

impl Dropped {
    pub(crate) const ALL: [Self; 10] = [
        Self::Stranger,
        Self::Header,
        Self::Rule,
        Self::Full,
        Self::Endpoint,
        Self::TooLarge,
        Self::Unsent,
        Self::Answer,
        Self::Draining,
        Self::Panicked,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Header => "header",
            Self::Rule => "rule",
            Self::Full => "full",
            Self::Endpoint => "endpoint",
            Self::TooLarge => "too_large",
            Self::Unsent => "unsent",
            Self::Answer => "answer",
            Self::Draining => "draining",
            Self::Panicked => "panicked",
        }
    }
}

/// How a client was introduced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Introduction {
    /// Without a header: the peer speaks for itself.
    Direct,
    /// By a header of version 1.
    V1,
    /// By a header of version 2.
    V2,
}

impl Introduction {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::V1, Self::V2];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "none",
            Self::V1 => "1",
            Self::V2 => "2",
        }
    }
}

/// The hundreds of a status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StatusClass {
    /// The request ended unanswered.
    None,
    Informational,
    Successful,
    Redirection,
    ClientError,
    ServerError,
}

impl StatusClass {
    pub(crate) const ALL: [Self; 6] = [
        Self::None,
        Self::Informational,
        Self::Successful,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    pub(crate) const fn of(status: u16) -> Self {
        match status / 100 {
            0 => Self::None,
            1 => Self::Informational,
            2 => Self::Successful,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Informational => "1xx",
            Self::Successful => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// Request durations by size. The bounds are fixed, so that every worker and every version can be added up.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// One more than there are bounds: the last takes whatever is longer.
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
    micros: Counter,
}

impl Histogram {
    fn new() -> Self {
        Self { buckets: zeros(), micros: Counter::default() }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_MICROS.iter().position(|&bound| micros <= bound);
        count(&self.buckets, place.unwrap_or(BOUNDS_MICROS.len()));
        self.micros.add(micros);
    }

    /// Adds what was counted here to `sum`.
    pub(crate) fn add_to(&self, sum: &mut HistogramSum) {
        for (sum, counter) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += counter.get();
        }
        sum.micros = sum.micros.wrapping_add(self.micros.get());
    }
}

/// Several [`Histogram`]s added up.
#[derive(Debug, Default, Clone)]
pub(crate) struct HistogramSum {
    buckets: [u64; BOUNDS_MICROS.len() + 1],
    micros: u64,
}

impl HistogramSum {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// Upper bounds in seconds, each with how many fell between it and the one below.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().copied())
    }
}

/// From half a millisecond, which a loopback answer takes, to a minute, at which answers time out by default.
const BOUNDS_MICROS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The requirements on headers that a connection can break, as `docs/spec.md` numbers them.
/// R-SEC-21: one counter for each.
pub(crate) const HEADER_FAULTS: [&str; 55] = [
    "R-V1-01", "R-V1-02", "R-V1-03", "R-V1-04", "R-V1-05", "R-V1-06", "R-V1-07", "R-V1-08", "R-V1-09",
    "R-V1-10", "R-V1-11", "R-V1-12", "R-V1-13", "R-V1-16", "R-V1-17", "R-V2-01", "R-V2-02", "R-V2-03",
    "R-V2-04", "R-V2-05", "R-V2-06", "R-V2-07", "R-V2-08", "R-V2-09", "R-V2-10", "R-V2-11", "R-V2-14",
    "R-V2-15", "R-V2-17", "R-TLV-01", "R-TLV-02", "R-TLV-05", "R-TLV-06", "R-TLV-07", "R-TLV-09", "R-TLV-10",
    "R-TLV-11", "R-TLV-12", "R-TLV-14", "R-TLV-18", "R-SEC-01", "R-SEC-02", "R-SEC-03", "R-SEC-07",
    "R-SEC-08", "R-SEC-10", "R-SEC-12", "R-SEC-15", "R-SEC-16", "R-SEC-19", "R-SEC-20", "R-UDP-02",
    "R-UDP-06", "R-UDP-07", "R-UDP-08",
];

fn zeros<const N: usize>() -> [Counter; N] {
    array::from_fn(|_| Counter::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_under_the_first_bound_that_holds_it() {
        let histogram = Histogram::new();
        for micros in [0, 500, 501, 60_000_000, 60_000_001, u64::MAX / 4] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        let counts: Vec<u64> = sum.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts.first_chunk(), Some(&[2, 1]));
        assert_eq!(counts.last_chunk(), Some(&[1, 2]));
        assert_eq!(sum.count(), 6);
    }

    #[test]
    fn a_refusal_is_counted_by_its_code_and_by_the_requirement_that_was_broken() {
        let counters = ListenerCounters::new();
        counters.refused(Code::MalformedV1, Some("R-V1-05"));
        counters.refused(Code::TlsForHeader, None);
        counters.refused(Code::NoConnection, None);
        let fault = |requirement| {
            let place = HEADER_FAULTS.iter().position(|&known| known == requirement).expect(requirement);
            counters.header_faults[place].get()
        };
        assert_eq!(counters.refusals.iter().map(Counter::get).sum::<u64>(), 3);
        assert_eq!(counters.header_faults.iter().map(Counter::get).sum::<u64>(), 2);
        assert_eq!((fault("R-V1-05"), fault("R-SEC-20")), (1, 1));
    }

    #[test]
    fn every_requirement_that_a_code_names_has_a_counter() {
        for requirement in Code::ALL.iter().filter_map(|code| code.requirement()) {
            assert!(HEADER_FAULTS.contains(&requirement), "{requirement}");
        }
    }

    #[test]
    fn every_header_that_is_malformed_has_a_counter_for_its_requirement() {
        for vector in foreword_vectors::vectors() {
            if let Err(malformed) = foreword::Parser::new().parse(&vector.input) {
                assert!(HEADER_FAULTS.contains(&malformed.requirement()), "{}: {malformed}", vector.id);
            }
        }
    }

    #[test]
    fn the_labels_are_in_the_order_of_their_counters() {
        assert!(Closing::ALL.iter().enumerate().all(|(place, &closing)| closing as usize == place));
        assert!(Introduction::ALL.iter().enumerate().all(|(place, &by)| by as usize == place));
        assert!(Dropped::ALL.iter().enumerate().all(|(place, &dropped)| dropped as usize == place));
        assert!(StatusClass::ALL.iter().enumerate().all(|(place, &class)| class as usize == place));
    }
}
