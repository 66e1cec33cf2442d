//! The numbers of all workers, added up and written as OpenMetrics text.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as Base};

use super::access_log::LogCounters;
use super::cluster::ClusterSeries;
use super::counters::{
    Closing, ClusterCounters, Counter, Dropped, HEADER_FAULTS, HistogramSum, Introduction, ListenerCounters,
    StatusClass,
};
use super::endpoint::EndpointSeries;
use super::journal::{ListenerSeries, Observer, Unit, locked};
use super::process::Process;
use crate::refusal::Code;

/// A family of metrics, as the reference lists it.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    base: Option<&'static Base>,
    kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, as a sentence without its full stop.
    pub help: &'static str,
}

/// What kind of number a family holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Sizes or durations, by bucket.
    Histogram,
    /// Always 1; its labels tell.
    Info,
}

impl Family {
    /// All families, in the order in which they are written.
    pub const ALL: &[&Self] = &FAMILIES;

    /// The name as a query spells it: with unit and suffix.
    pub fn name(&self) -> String {
        let unit = self.base.map_or(String::new(), |base| format!("_{}", base.as_str()));
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{suffix}", self.name)
    }

    /// What kind of number it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl Observer {
    /// Writes all metrics as OpenMetrics text, version 1.0.0.
    ///
    /// # Errors
    /// When `out` fails, which a `String` never does.
    pub fn write_metrics(self: &Arc<Self>, out: &mut impl fmt::Write) -> fmt::Result {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        text::encode(out, &registry)
    }
}

/// One look at everything that is counted.
#[derive(Debug)]
struct Scrape(Arc<Observer>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let observer = &*self.0;
        let listeners: Vec<Arc<ListenerSeries>> = locked(&observer.listeners).clone();
        let clusters: Vec<Arc<ClusterSeries>> = locked(&observer.clusters).clone();
        build(&mut page)?;
        connections(&mut page, &listeners)?;
        datagrams(&mut page, &listeners)?;
        refusals(&mut page, &listeners)?;
        requests(&mut page, &listeners)?;
        upstream(&mut page, &clusters)?;
        endpoints(&mut page, &observer.endpoints())?;
        configuration(&mut page, observer)?;
        access_log(&mut page, observer)?;
        process(&mut page, observer)
    }
}

/// Where families are written to.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric =
            self.0.encode_descriptor(family.name, family.help, family.base, MetricType::Counter)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut metric =
            self.0.encode_descriptor(family.name, family.help, family.base, MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, family: &Family, value: u64) -> fmt::Result {
        let mut metric =
            self.0.encode_descriptor(family.name, family.help, family.base, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, family: &Family, value: f64) -> fmt::Result {
        let mut metric =
            self.0.encode_descriptor(family.name, family.help, family.base, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }
}

fn build(page: &mut Page<'_>) -> fmt::Result {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", env!("FOREWORD_REVISION")),
        ("rustc", env!("FOREWORD_RUSTC")),
    ];
    let mut metric = page.0.encode_descriptor(BUILD.name, BUILD.help, BUILD.base, MetricType::Info)?;
    metric.encode_info(&labels)
}

fn connections(page: &mut Page<'_>, listeners: &[Arc<ListenerSeries>]) -> fmt::Result {
    let by_result = listeners.iter().flat_map(|series| {
        Closing::ALL.iter().enumerate().map(move |(place, closing)| {
            let labels =
                [("listener", &*series.name), ("proto", series.unit.as_str()), ("result", closing.as_str())];
            (labels, series.sum(|counters| counters.ended.get(place)))
        })
    });
    page.counters(&CONNECTIONS, by_result)?;
    page.gauges(
        &CONNECTIONS_OPEN,
        listeners.iter().map(|series| {
            ([("listener", &*series.name), ("proto", series.unit.as_str())], series.open() as f64)
        }),
    )?;
    let by_version = listeners.iter().flat_map(|series| {
        Introduction::ALL.iter().enumerate().map(move |(place, by)| {
            let labels = [("listener", &*series.name), ("version", by.as_str())];
            (labels, series.sum(|counters| counters.introductions.get(place)))
        })
    });
    page.counters(&PROXY_HEADERS, by_version)?;
    let of = |series: &Arc<ListenerSeries>| [("listener", series.name.to_string())];
    page.counters(&RECEIVED, listeners.iter().map(|series| (of(series), series.sum(|c| Some(&c.received)))))?;
    page.counters(&SENT, listeners.iter().map(|series| (of(series), series.sum(|c| Some(&c.sent)))))
}

fn datagrams(page: &mut Page<'_>, listeners: &[Arc<ListenerSeries>]) -> fmt::Result {
    let udp = || listeners.iter().filter(|series| series.unit == Unit::Flow);
    let of = |series: &Arc<ListenerSeries>| [("listener", series.name.to_string())];
    let received =
        udp().map(|series| (of(series), series.sum(|counters| Some(&counters.datagrams_received))));
    page.counters(&DATAGRAMS_RECEIVED, received)?;
    let sent = udp().map(|series| (of(series), series.sum(|counters| Some(&counters.datagrams_sent))));
    page.counters(&DATAGRAMS_SENT, sent)?;
    let by_cause = udp().flat_map(|series| {
        Dropped::ALL.iter().enumerate().map(move |(place, cause)| {
            let labels = [("listener", &*series.name), ("cause", cause.as_str())];
            (labels, series.sum(|counters| counters.dropped.get(place)))
        })
    });
    page.counters(&DATAGRAMS_DROPPED, by_cause)
}

fn refusals(page: &mut Page<'_>, listeners: &[Arc<ListenerSeries>]) -> fmt::Result {
    let by_code = listeners.iter().flat_map(|series| {
        Code::ALL.iter().filter(|code| happens_at_a_listener(**code)).map(move |code| {
            let labels = [("listener", series.name.to_string()), ("code", code.to_string())];
            (labels, series.sum(|counters| counters.refusals.get(code.index())))
        })
    });
    page.counters(&REFUSALS, by_code)?;
    let by_requirement = listeners.iter().flat_map(|series| {
        HEADER_FAULTS.iter().enumerate().map(move |(place, &requirement)| {
            let labels = [("listener", &*series.name), ("reason", requirement)];
            (labels, series.sum(|counters| counters.header_faults.get(place)))
        })
    });
    page.counters(&HEADER_ERRORS, by_requirement)
}

/// The others are about files, addresses and logs, which belong to no listener.
fn happens_at_a_listener(code: Code) -> bool {
    // Nobody is refused for a TLV that is left out: clusters count those.
    // Nor for a certificate that no CA issues.
    (code.number() < 600 && !matches!(code, Code::TlvsLeftOut | Code::CertificateNotIssued))
        || matches!(
            code,
            Code::OutOfDescriptors
                | Code::ConnectionLimit
                | Code::MemoryShort
                | Code::Panicked
                | Code::FlowLimit
                | Code::DatagramTooLarge
                | Code::DatagramsUnread
                | Code::RateLimited
                | Code::TooManyAtOnce
                | Code::PasswordsWaiting
                | Code::QueueFull
                | Code::QueueDeadline
        )
}

fn requests(page: &mut Page<'_>, listeners: &[Arc<ListenerSeries>]) -> fmt::Result {
    let http = || listeners.iter().filter(|series| series.unit == Unit::Request);
    let by_class = http().flat_map(|series| {
        StatusClass::ALL.iter().enumerate().map(move |(place, class)| {
            let labels = [("listener", &*series.name), ("status", class.as_str())];
            (labels, series.sum(|counters| counters.requests.get(place)))
        })
    });
    page.counters(&REQUESTS, by_class)?;
    let left_uncoded = http().map(|series| {
        ([("listener", series.name.to_string())], series.sum(|counters| Some(&counters.left_uncoded)))
    });
    page.counters(&LEFT_UNCODED, left_uncoded)?;
    let family = &DURATION;
    let mut metric =
        page.0.encode_descriptor(family.name, family.help, family.base, MetricType::Histogram)?;
    for series in http() {
        let mut sum = HistogramSum::default();
        for counters in &series.counters {
            counters.durations.add_to(&mut sum);
        }
        let buckets: Vec<(f64, u64)> = sum.buckets().collect();
        metric.encode_family(&[("listener", &*series.name)])?.encode_histogram::<NoLabelSet>(
            sum.seconds(),
            sum.count(),
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn upstream(page: &mut Page<'_>, clusters: &[Arc<ClusterSeries>]) -> fmt::Result {
    type Read = fn(&ClusterCounters) -> &Counter;
    let results: [(&str, Read); 4] = [
        ("connected", |counters| &counters.connects),
        ("failed", |counters| &counters.refused),
        ("timed_out", |counters| &counters.timed_out),
        ("unresolved", |counters| &counters.unresolved),
    ];
    let by_result = clusters.iter().flat_map(|series| {
        results
            .iter()
            .map(move |&(result, read)| ([("cluster", &*series.name), ("result", result)], series.sum(read)))
    });
    page.counters(&UPSTREAM_CONNECTS, by_result)?;
    let reasons: [(&str, Read); 2] =
        [("no_room", |counters| &counters.tlvs_without_room), ("unfit", |counters| &counters.tlvs_unfit)];
    let by_reason = clusters.iter().flat_map(|series| {
        reasons
            .iter()
            .map(move |&(reason, read)| ([("cluster", &*series.name), ("reason", reason)], series.sum(read)))
    });
    page.counters(&UPSTREAM_TLVS_LEFT_OUT, by_reason)?;
    let queue: [(&str, Read); 5] = [
        ("served", |counters| &counters.queue_served),
        ("timed_out", |counters| &counters.queue_timed_out),
        ("no_endpoint", |counters| &counters.queue_without_endpoint),
        ("abandoned", |counters| &counters.queue_abandoned),
        ("full", |counters| &counters.queue_full),
    ];
    let by_result = clusters.iter().flat_map(|series| {
        queue
            .iter()
            .map(move |&(result, read)| ([("cluster", &*series.name), ("result", result)], series.sum(read)))
    });
    page.counters(&CLUSTER_QUEUED, by_result)?;
    let waiting = clusters.iter().map(|series| {
        let left = series.sum(|counters| &counters.queue_left);
        let waiting = series.sum(|counters| &counters.queue_joined).saturating_sub(left);
        ([("cluster", &*series.name)], waiting as f64)
    });
    page.gauges(&CLUSTER_QUEUE, waiting)?;
    let rest: [(&Family, Read); 5] = [
        (&UPSTREAM_HTTP2_BROKEN, |counters| &counters.http2_broken),
        (&UPSTREAM_REUSES, |counters| &counters.reuses),
        (&UPSTREAM_RETRIES, |counters| &counters.retries),
        (&UPSTREAM_REPLAYS, |counters| &counters.replays),
        (&UPSTREAM_ALL_DOWN, |counters| &counters.all_down),
    ];
    for (family, read) in rest {
        page.counters(
            family,
            clusters.iter().map(|series| ([("cluster", &*series.name)], series.sum(read))),
        )?;
    }
    Ok(())
}

fn endpoints(page: &mut Page<'_>, endpoints: &[Arc<EndpointSeries>]) -> fmt::Result {
    fn labels(series: &EndpointSeries) -> [(&'static str, &str); 2] {
        [("cluster", &series.cluster), ("endpoint", &series.address)]
    }
    let uses =
        |read: fn([u64; 3]) -> u64| endpoints.iter().map(move |series| (labels(series), read(series.uses())));
    page.counters(&ENDPOINT_CHOSEN, uses(|[began, ..]| began))?;
    let in_use = uses(|[began, ended, _]| began.saturating_sub(ended));
    page.gauges(&ENDPOINT_IN_USE, in_use.map(|(labels, count)| (labels, count as f64)))?;
    page.counters(&ENDPOINT_FAILURES, uses(|[.., failed]| failed))?;
    let up = endpoints.iter().map(|series| (labels(series), f64::from(u8::from(series.up()))));
    page.gauges(&ENDPOINT_UP, up)?;
    let draining = endpoints.iter().map(|series| (labels(series), f64::from(u8::from(series.draining()))));
    page.gauges(&ENDPOINT_DRAINING, draining)?;
    let checks = endpoints.iter().flat_map(|series| {
        series.checks().map(move |(result, count)| {
            let labels =
                [("cluster", &*series.cluster), ("endpoint", &*series.address), ("result", result.as_str())];
            (labels, count)
        })
    });
    page.counters(&ENDPOINT_CHECKS, checks)?;
    let ejections = endpoints.iter().map(|series| (labels(series), series.ejections()));
    page.counters(&ENDPOINT_EJECTIONS, ejections)
}

fn configuration(page: &mut Page<'_>, observer: &Observer) -> fmt::Result {
    let reloads = &observer.reloads;
    let by_result = [("success", &reloads.succeeded), ("failure", &reloads.failed)];
    page.counters(
        &RELOADS,
        by_result.map(|(result, count)| ([("result", result)], count.load(Ordering::Relaxed))),
    )?;
    let failed = reloads.last_failed.load(Ordering::Relaxed) != 0;
    page.gauge(&RELOAD_SUCCESSFUL, f64::from(u8::from(!failed)))?;
    page.gauge(&RELOAD_TIME, reloads.last_success_millis.load(Ordering::Relaxed) as f64 / 1e3)?;
    let by_result = [("success", &observer.files.taken), ("failure", &observer.files.refused)];
    page.counters(
        &FILE_CHANGES,
        by_result.map(|(result, count)| ([("result", result)], count.load(Ordering::Relaxed))),
    )?;
    let by_result = [("success", &observer.issued.succeeded), ("failure", &observer.issued.failed)];
    page.counters(
        &ACME_ORDERS,
        by_result.map(|(result, count)| ([("result", result)], count.load(Ordering::Relaxed))),
    )?;
    certificates(page, observer)?;
    let switches = locked(&observer.switches).clone();
    let on =
        switches.iter().map(|(listener, switch)| ([("listener", &**listener), ("switch", *switch)], 1.0));
    page.gauges(&SWITCHES, on)?;
    page.gauge(&READY, f64::from(u8::from(observer.is_ready())))?;
    page.gauge(&WORKERS, observer.workers() as f64)?;
    page.counter(&PIPES_MISSED, observer.pipes_missed.iter().map(Counter::get).sum())?;
    memory(page, observer)
}

/// One for each file of each listener: which of them is near its end is for whoever asks to say.
fn certificates(page: &mut Page<'_>, observer: &Observer) -> fmt::Result {
    let listeners = locked(&observer.certificates).clone();
    let ends = listeners.iter().flat_map(|(listener, tls)| {
        let store = tls.certificates();
        let ends = store.loaded().iter().map(|certificate| {
            let not_after = certificate.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
            let file = certificate.file.display().to_string();
            ([("listener", listener.to_string()), ("file", file)], not_after.as_secs_f64())
        });
        ends.collect::<Vec<_>>()
    });
    page.gauges(&CERTIFICATE_NOT_AFTER, ends)
}

fn access_log(page: &mut Page<'_>, observer: &Observer) -> fmt::Result {
    let sum = |read: fn(&LogCounters) -> u64| observer.log_counters.iter().map(read).sum();
    page.counter(&LOG_LINES, sum(|counters| counters.lines.get()))?;
    page.counter(&LOG_LEFT_OUT, sum(|counters| counters.left_out.get()))?;
    page.counter(&LOG_LOST, sum(LogCounters::lost))?;
    page.counter(&LOG_ERRORS, sum(|counters| counters.errors.load(Ordering::Relaxed)))
}

fn memory(page: &mut Page<'_>, observer: &Observer) -> fmt::Result {
    let mark = observer.memory.mark.load(Ordering::Relaxed);
    if mark > 0 {
        page.gauge(&MEMORY_HELD, observer.memory.held.load(Ordering::Relaxed) as f64)?;
        page.gauge(&MEMORY_MARK, mark as f64)?;
    }
    page.counter(&IDLE_SHED, observer.idle_shed.iter().map(Counter::get).sum())
}

/// What the system does not tell is left out, as the conventions for these names say.
fn process(page: &mut Page<'_>, observer: &Observer) -> fmt::Result {
    let process = Process::now();
    if let Some(seconds) = process.cpu_seconds {
        let family = &PROCESS_CPU;
        let mut metric =
            page.0.encode_descriptor(family.name, family.help, family.base, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
    }
    for (family, value) in [
        (&PROCESS_OPEN_FDS, process.open_descriptors),
        (&PROCESS_MAX_FDS, process.max_descriptors),
        (&PROCESS_VIRTUAL, process.virtual_bytes),
        (&PROCESS_RESIDENT, process.resident_bytes),
        (&PROCESS_THREADS, process.threads),
    ] {
        if let Some(value) = value {
            page.gauge(family, value as f64)?;
        }
    }
    let started = observer.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    page.gauge(&PROCESS_START, started.as_secs_f64())
}

impl ListenerSeries {
    fn sum(&self, read: impl Fn(&ListenerCounters) -> Option<&Counter>) -> u64 {
        self.counters.iter().filter_map(read).map(Counter::get).sum()
    }
}

impl ClusterSeries {
    fn sum(&self, read: impl Fn(&ClusterCounters) -> &Counter) -> u64 {
        self.counters.iter().map(|counters| read(counters).get()).sum()
    }
}

/// Makes the families, and the list of them that the reference is held against.
macro_rules! families {
    ($($id:ident $name:literal ($($base:ident)?) $kind:ident [$($label:literal)*] $help:literal;)*) => {
        $(static $id: Family = Family {
            name: $name,
            base: families!(@ $($base)?),
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        static FAMILIES: [&Family; [$($name),*].len()] = [$(&$id),*];
    };
    (@ $base:ident) => { Some(&Base::$base) };
    (@) => { None };
}

families! {
    BUILD "foreword_build" () Info ["version" "revision" "rustc"] "What this program was built from, and with";
    CONNECTIONS "foreword_connections" () Counter ["listener" "proto" "result"] "Connections that ended, by how they ended";
    CONNECTIONS_OPEN "foreword_connections_open" () Gauge ["listener" "proto"] "Connections that are open now";
    PROXY_HEADERS "foreword_proxy_headers" () Counter ["listener" "version"] "Connections by the version of the PROXY header that introduced their client";
    RECEIVED "foreword_received" (Bytes) Counter ["listener"] "Bytes from downstream";
    SENT "foreword_sent" (Bytes) Counter ["listener"] "Bytes to downstream";
    DATAGRAMS_RECEIVED "foreword_datagrams_received" () Counter ["listener"] "Datagrams from downstream that went to an endpoint";
    DATAGRAMS_SENT "foreword_datagrams_sent" () Counter ["listener"] "Datagrams of endpoints that went downstream";
    DATAGRAMS_DROPPED "foreword_datagrams_dropped" () Counter ["listener" "cause"] "Datagrams that were dropped, in either direction, by cause";
    REFUSALS "foreword_refusals" () Counter ["listener" "code"] "Refusals by the code that foreword explain describes";
    HEADER_ERRORS "foreword_proxy_header_errors" () Counter ["listener" "reason"] "Refused headers by the requirement that was broken";
    REQUESTS "foreword_requests" () Counter ["listener" "status"] "Requests by the class of their status; none where nothing was answered";
    LEFT_UNCODED "foreword_answers_left_uncoded" () Counter ["listener"] "Answers that a rule would have made smaller, and that went out as they were since the worker coded as many others as it may";
    DURATION "foreword_request_duration" (Seconds) Histogram ["listener"] "From the first byte of a request to the last of its answer";
    UPSTREAM_CONNECTS "foreword_upstream_connects" () Counter ["cluster" "result"] "Attempts to connect to an endpoint";
    UPSTREAM_TLVS_LEFT_OUT "foreword_upstream_tlvs_left_out" () Counter ["cluster" "reason"] "TLVs that were left out of a header: there was no room, or the value did not fit its kind";
    UPSTREAM_HTTP2_BROKEN "foreword_upstream_http2_broken" () Counter ["cluster"] "HTTP/2 connections to endpoints that were ended as they broke the rules, or sent frames that carry nothing";
    UPSTREAM_REUSES "foreword_upstream_reuses" () Counter ["cluster"] "Requests that went out on a kept connection";
    UPSTREAM_RETRIES "foreword_upstream_retries" () Counter ["cluster"] "Attempts on another endpoint after one that could not be reached";
    UPSTREAM_REPLAYS "foreword_upstream_replays" () Counter ["cluster"] "Requests repeated because their kept connection was dead";
    UPSTREAM_ALL_DOWN "foreword_upstream_all_down" () Counter ["cluster"] "Connections that came while no endpoint was up";
    CLUSTER_QUEUED "foreword_cluster_queued" () Counter ["cluster" "result"] "Connections or requests for which no connection to an endpoint was free, by what came of it";
    CLUSTER_QUEUE "foreword_cluster_queue" () Gauge ["cluster"] "Connections or requests that wait for one to end";
    ENDPOINT_CHOSEN "foreword_endpoint_chosen" () Counter ["cluster" "endpoint"] "Connections in tcp mode, and attempts of requests in http mode, that an endpoint was chosen for";
    ENDPOINT_IN_USE "foreword_endpoint_in_use" () Gauge ["cluster" "endpoint"] "How many of them it has now";
    ENDPOINT_FAILURES "foreword_endpoint_failures" () Counter ["cluster" "endpoint"] "Connections that an endpoint did not take, or on which it did not answer";
    ENDPOINT_UP "foreword_endpoint_up" () Gauge ["cluster" "endpoint"] "Whether an endpoint may be chosen: 0 while its check fails, it is ejected or it drains";
    ENDPOINT_DRAINING "foreword_endpoint_draining" () Gauge ["cluster" "endpoint"] "Whether an endpoint gets nothing new, because of the file or of somebody at the admin socket";
    ENDPOINT_CHECKS "foreword_endpoint_checks" () Counter ["cluster" "endpoint" "result"] "Health checks, by how they ended";
    ENDPOINT_EJECTIONS "foreword_endpoint_ejections" () Counter ["cluster" "endpoint"] "How often an endpoint was left alone for failing those who came";
    RELOADS "foreword_config_reloads" () Counter ["result"] "Reloads of the configuration";
    RELOAD_SUCCESSFUL "foreword_config_last_reload_successful" () Gauge [] "Whether the last reload succeeded";
    RELOAD_TIME "foreword_config_last_reload_success_timestamp" (Seconds) Gauge [] "When the plan in force took over";
    FILE_CHANGES "foreword_file_changes" () Counter ["result"] "Changes of files that are watched, by whether what they hold is in use";
    ACME_ORDERS "foreword_acme_orders" () Counter ["result"] "Attempts to obtain a certificate by ACME";
    CERTIFICATE_NOT_AFTER "foreword_certificate_not_after_timestamp" (Seconds) Gauge ["listener" "file"] "When a certificate of a listener stops being valid";
    SWITCHES "foreword_listener_switch" () Gauge ["listener" "switch"] "1 for each switch that lets a listener take headers which it would refuse by default";
    READY "foreword_ready" () Gauge [] "Whether new connections are welcome; 0 while draining";
    WORKERS "foreword_workers" () Gauge [] "Worker threads";
    PIPES_MISSED "foreword_pipes_missed" () Counter [] "Times that bytes of a large transfer were copied, since no pipe could be had for them";
    LOG_LINES "foreword_access_log_lines" () Counter [] "Access-log lines that were queued to be written";
    LOG_LEFT_OUT "foreword_access_log_lines_left_out" () Counter [] "Access-log lines that were not written, since a rule with `log` says so";
    LOG_LOST "foreword_access_log_lines_lost" () Counter [] "Access-log lines that were lost";
    LOG_ERRORS "foreword_access_log_write_errors" () Counter [] "Attempts to write access-log lines that failed";
    MEMORY_HELD "foreword_memory_held" (Bytes) Gauge [] "Memory in use where it is limited: in the cgroup, or by the process; told where there is a mark";
    MEMORY_MARK "foreword_memory_mark" (Bytes) Gauge [] "How much may be in use before new connections are refused and idle ones are closed";
    IDLE_SHED "foreword_idle_connections_shed" () Counter [] "Idle connections that were closed since memory was short";
    PROCESS_CPU "process_cpu" (Seconds) Counter [] "Time that the process has used processors for";
    PROCESS_OPEN_FDS "process_open_fds" () Gauge [] "Open file descriptors";
    PROCESS_MAX_FDS "process_max_fds" () Gauge [] "The limit of open file descriptors";
    PROCESS_VIRTUAL "process_virtual_memory" (Bytes) Gauge [] "Virtual memory";
    PROCESS_RESIDENT "process_resident_memory" (Bytes) Gauge [] "Resident memory";
    PROCESS_THREADS "process_threads" () Gauge [] "Threads of the process";
    PROCESS_START "process_start_time" (Seconds) Gauge [] "When the process started";
}
