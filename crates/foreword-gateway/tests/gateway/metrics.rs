//! The metrics: sound OpenMetrics text, and the right numbers.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use foreword_gateway::observe::{Family, Kind};

use crate::access_log::{ask, http, web};
use crate::support::{Endpoint, Running, client, read_all, wait_until};

pub(crate) fn scrape(running: &Running) -> String {
    let mut text = String::new();
    running.gateway.observer().write_metrics(&mut text).unwrap();
    text
}

/// The value of a sample, written as in a query.
pub(crate) fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in:\n{text}")).parse().unwrap()
}

/// Holds the text against the rules of OpenMetrics, and gives the kind of each family.
fn check(text: &str) -> HashMap<String, String> {
    let body = text.strip_suffix("# EOF\n").expect("the text ends with its mark");
    let mut kinds = HashMap::new();
    let mut seen = HashSet::new();
    let mut family = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            assert!(words.len() == 3 && ["HELP", "TYPE", "UNIT"].contains(&words[0]), "{line}");
            family = words[1].to_owned();
            match words[0] {
                "TYPE" => {
                    assert!(kinds.insert(family.clone(), words[2].to_owned()).is_none(), "twice: {line}")
                }
                "UNIT" => assert!(family.ends_with(&format!("_{}", words[2])), "{line}"),
                _ => assert!(!kinds.contains_key(&family), "HELP comes first: {line}"),
            }
            continue;
        }
        let (sample, number) = line.rsplit_once(' ').expect(line);
        assert!(number.parse::<f64>().is_ok_and(|number| number >= 0.0), "{line}");
        let name = sample.split('{').next().unwrap();
        let suffixes: &[&str] = match kinds[&family].as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(
            suffixes.iter().any(|suffix| name == format!("{family}{suffix}")),
            "{line} is not of {family}"
        );
        assert!(seen.insert(sample.to_owned()), "twice: {line}");
        check_labels(sample.strip_prefix(name).unwrap());
    }
    kinds
}

fn check_labels(labels: &str) {
    let Some(labels) = labels.strip_prefix('{') else {
        assert_eq!(labels, "");
        return;
    };
    for label in labels.strip_suffix('}').expect(labels).split("\",") {
        let (name, value) = label.split_once("=\"").expect(label);
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{label}");
        assert!(!value.trim_end_matches('"').contains('"'), "{label}");
    }
}

#[test]
fn the_text_is_sound_and_holds_every_documented_family() {
    let endpoint = web();
    let running = Running::start(&("max_memory = \"1000000MiB\"\n".to_owned() + &http(&endpoint, "")));
    ask(&mut client(running.address("web")), "/", "");
    wait_until("nobody looks at memory", || scrape(&running).contains("foreword_memory_mark_bytes "));
    let kinds = check(&scrape(&running));
    for family in Family::ALL {
        let name = family.name();
        let base = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(&name);
        let kind = match family.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        assert_eq!(kinds.get(base).map(String::as_str), Some(kind), "{name}");
    }
    assert_eq!(kinds.len(), Family::ALL.len());
}

#[test]
fn requests_and_their_durations_are_counted() {
    let endpoint = web();
    let running = Running::start(&http(&endpoint, ""));
    let mut stream = client(running.address("web"));
    for target in ["/", "/a", "/admin"] {
        ask(&mut stream, target, "");
    }
    // A record is closed behind its answer.
    let all = "foreword_request_duration_seconds_count{listener=\"web\"}";
    wait_until("all three are counted", || value(&scrape(&running), all) == 3.0);
    let text = scrape(&running);
    assert_eq!(value(&text, "foreword_requests_total{listener=\"web\",status=\"2xx\"}"), 2.0);
    assert_eq!(value(&text, "foreword_requests_total{listener=\"web\",status=\"4xx\"}"), 1.0);
    let all = "foreword_request_duration_seconds_bucket{le=\"+Inf\",listener=\"web\"}";
    assert_eq!(value(&text, all), 3.0);
    assert_eq!(value(&text, "foreword_connections_open{listener=\"web\",proto=\"http\"}"), 1.0);
    assert_eq!(value(&text, "foreword_upstream_connects_total{cluster=\"app\",result=\"connected\"}"), 1.0);
    assert_eq!(value(&text, "foreword_upstream_reuses_total{cluster=\"app\"}"), 1.0);
    assert!(value(&text, "foreword_received_bytes_total{listener=\"web\"}") > 100.0);
    assert!(value(&text, "foreword_sent_bytes_total{listener=\"web\"}") > 100.0);
    drop(stream);
    let closed = "foreword_connections_total{listener=\"web\",proto=\"http\",result=\"complete\"}";
    wait_until("the connection ends", || value(&scrape(&running), closed) == 1.0);
}

#[test]
fn a_refusal_is_counted_by_its_code_and_its_requirement() {
    let file = format!(
        "[trust.elb]\nfrom = [\"127.0.0.0/8\"]\nheader = \"require\"\n\
         [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"elb\"]\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        Endpoint::echo().address
    );
    let running = Running::start(&file);
    for (bytes, code, requirement) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "FW101", "R-SEC-20"),
        (b"GET / HTTP/1.1\r\n", "FW102", "R-SEC-02"),
        (b"PROXY TCP4 203.0.113.07 192.0.2.1 1 2\r\n", "FW104", "R-V1-05"),
    ] {
        let mut stream = client(running.address("edge"));
        stream.write_all(bytes).unwrap();
        assert_eq!(read_all(&mut stream), b"");
        let refused = format!("foreword_refusals_total{{listener=\"edge\",code=\"{code}\"}}");
        wait_until("the refusal is counted", || value(&scrape(&running), &refused) == 1.0);
        let broken =
            format!("foreword_proxy_header_errors_total{{listener=\"edge\",reason=\"{requirement}\"}}");
        assert_eq!(value(&scrape(&running), &broken), 1.0);
    }
    drop(client(running.address("edge")));
    let probes = "foreword_connections_total{listener=\"edge\",proto=\"tcp\",result=\"probe\"}";
    wait_until("the probe is counted", || value(&scrape(&running), probes) == 1.0);
    assert!(!running.log.holds("FW109"), "a probe is no refusal");
}

#[test]
fn counters_go_on_over_reloads_and_reloads_are_counted() {
    let endpoint = web();
    let running = Running::start(&http(&endpoint, ""));
    ask(&mut client(running.address("web")), "/", "");
    running.reload(&http(&endpoint, ""));
    ask(&mut client(running.address("web")), "/", "");
    running.gateway.reload_failed();
    let answered = "foreword_requests_total{listener=\"web\",status=\"2xx\"}";
    wait_until("both are counted", || value(&scrape(&running), answered) == 2.0);
    let text = scrape(&running);
    assert_eq!(value(&text, "foreword_config_reloads_total{result=\"success\"}"), 1.0);
    assert_eq!(value(&text, "foreword_config_reloads_total{result=\"failure\"}"), 1.0);
    assert_eq!(value(&text, "foreword_config_last_reload_successful"), 0.0);
    assert!(value(&text, "foreword_config_last_reload_success_timestamp_seconds") > 1.7e9);
}

#[test]
fn a_switch_that_loosens_a_listener_is_seen_until_a_reload_takes_it_away() {
    let endpoint = web();
    let strict = http(&endpoint, "");
    let loose =
        strict.replace("trust = [\"local\"]\n", "trust = [\"local\"]\nheader = { ipv4_in_tcp6 = true }\n");
    let running = Running::start(&loose);
    let switch = "foreword_listener_switch{listener=\"web\",switch=\"ipv4_in_tcp6\"}";
    assert_eq!(value(&scrape(&running), switch), 1.0);
    running.reload(&strict);
    assert!(!scrape(&running).contains(switch));
}
