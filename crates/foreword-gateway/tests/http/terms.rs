//! Time-outs and silence that rules ask for.

use std::time::Duration;

use crate::support::*;

#[test]
fn a_rule_gives_slow_answers_more_time_than_the_cluster_does_and_another_less() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, _)) = wire.request() {
            let wait = if head.starts_with("GET /slow") { 600 } else { 20_000 };
            std::thread::park_timeout(Duration::from_millis(wait));
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rules = "[[listener.web.rule]]\nwhen = 'path == \"/slow\"'\nthen = { timeout = { response = \"20s\" } }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/never\"'\nthen = { timeout = { response = \"100ms\" } }\n\
                 [[listener.web.rule]]\nthen = { forward = \"app\" }\n";
    let gateway = gateway(&file(&[endpoint.address], rules, "timeout = { response = \"200ms\" }"));
    let mut client = Wire::to(&gateway);
    assert_eq!(client.ask("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    for path in ["/never", "/other"] {
        assert_eq!(client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status, 504);
    }
}

#[test]
fn a_rule_says_for_how_long_a_websocket_or_a_body_may_be_quiet() {
    let endpoint = Endpoint::new(|wire| {
        if let Some(head) = wire.head() {
            if field(&head, "Upgrade").is_some() {
                wire.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n",
                );
            }
            while wire.fill() > 0 {}
        }
    });
    let rules = "[[listener.web.rule]]\nthen = { timeout = { idle = \"150ms\" }, forward = \"app\" }\n";
    let gateway = gateway(&file(&[endpoint.address], rules, ""));
    let mut socket = Wire::to(&gateway);
    socket.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    assert!(socket.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert!(socket.is_closed(), "long before the listener's minute");

    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nxxx");
    assert_eq!(client.answer("POST").unwrap().status, 408);
}

/// The value of a sample of the metrics.
fn counted(gateway: &foreword_gateway::Gateway, sample: &str) -> usize {
    let mut text = String::new();
    gateway.observer().write_metrics(&mut text).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in:\n{text}")).parse().unwrap()
}

#[test]
fn lines_that_are_left_out_are_counted_and_those_of_errors_are_not_left_out() {
    const SAMPLED: usize = 300;
    let folder = tempfile::TempDir::new().unwrap();
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, _)) = wire.request() {
            let status = if head.contains("broken") { "500 Oh" } else { "200 OK" };
            wire.write(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").as_bytes());
        }
    });
    let rules = "[[listener.web.rule]]\nthen = { log = \"1/10\" }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/healthz\"'\nthen = { log = false }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/audited\"'\nthen = { log = true }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/quiet-broken\"'\nthen = { log = { sample = \"1/1000000000\", errors = false } }\n\
                 [[listener.web.rule]]\nthen = { forward = \"app\" }\n";
    let log = "[log.access]\nto = \"file:access.log\"\nformat = \"{url.path}\"\n";
    let text = format!("{}{log}", file(&[endpoint.address], rules, ""));
    let configuration = foreword_gateway::config::parse(&text, "test.toml", folder.path()).unwrap();
    let gateway = foreword_gateway::Gateway::start(configuration.plan).unwrap();
    let mut client = Wire::to(&gateway);
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status;
    (0..SAMPLED).for_each(|_| assert_eq!(ask("/"), 200));
    (0..20).for_each(|_| assert_eq!(ask("/healthz"), 200));
    (0..20).for_each(|_| assert_eq!(ask("/quiet-broken"), 500));
    (0..5).for_each(|_| assert_eq!(ask("/audited"), 200));
    (0..5).for_each(|_| assert_eq!(ask("/broken"), 500));
    gateway.observer().flush(PATIENCE);

    let lines = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    let of = |path: &str| lines.lines().filter(|line| *line == path).count();
    assert_eq!([of("/healthz"), of("/quiet-broken"), of("/audited"), of("/broken")], [0, 0, 5, 5]);
    // 30 of 300 are expected; one chance in a million is outside this.
    assert!((5..=70).contains(&of("/")), "{}", of("/"));
    let left_out = counted(&gateway, "foreword_access_log_lines_left_out_total");
    let written = counted(&gateway, "foreword_access_log_lines_total");
    assert_eq!(written, lines.lines().count());
    assert_eq!(written + left_out, SAMPLED + 20 + 20 + 5 + 5, "as many as there were requests");
    let answered = |status: &str| {
        counted(&gateway, &format!("foreword_requests_total{{listener=\"web\",status=\"{status}\"}}"))
    };
    assert_eq!(answered("2xx") + answered("5xx"), written + left_out, "counters count all");
}
