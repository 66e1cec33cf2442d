//! What is told of HTTP/2 afterwards: one line for each request, one code for each refusal.

use std::path::Path;
use std::time::Instant;

use super::*;

/// What ends a file with a line for each request in `log`.
pub(super) fn logged_to(log: &Path) -> String {
    let format = "{http.version} {http.response.status_code} {refusal.code} {termination}";
    format!("[log.access]\nto = \"file:{}\"\nformat = \"{format}\"\n", log.display())
}

/// So many lines of `log`, or more.
pub(super) fn lines(log: &Path, least: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let written = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<String> = written.lines().map(str::to_owned).collect();
        if lines.len() >= least || begun.elapsed() > PATIENCE {
            break lines;
        }
        std::thread::yield_now();
    }
}

#[test]
fn each_request_has_one_line_and_each_refusal_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let endpoint = Endpoint::polite();
    let keys = "http2 = \"prior-knowledge\"\ncluster = \"app\"";
    let gateway = gateway(&format!("{}{}", file(&[endpoint.address], keys, ""), logged_to(&log)));
    let connect = || Frames::in_clear(Wire::to(&gateway).stream).greeted();
    let mut client = connect();
    client.get(1, ROOT);
    client.wait(|frame| frame.kind == DATA && frame.flags & END_STREAM != 0).unwrap();
    client.get(3, &with(&[("connection", "close")]));
    client.wait(|frame| frame.kind == RST_STREAM).unwrap();
    client.post(5, &with(&[("content_length", "5")]));
    client.wait(|frame| frame.kind == HEADERS).unwrap();
    client.write(&frame(PING, 0, 0, b"01234567").repeat(1000));
    assert!(client.wait(|frame| frame.kind == GOAWAY).is_some());
    let mut broken = connect();
    broken.send(DATA, 0, 0, b"");
    assert!(broken.wait(|frame| frame.kind == GOAWAY).is_some());

    let begun = Instant::now();
    assert_eq!(lines(&log, 3), ["2 200 - complete", "- - FW423 refused", "- 400 FW402 refused"]);
    let count = |code: &str| {
        let mut metrics = String::new();
        gateway.observer().write_metrics(&mut metrics).unwrap();
        metrics.lines().any(|line| line.contains(code) && line.ends_with(" 1"))
    };
    for code in ["FW402", "FW421", "FW422", "FW423"] {
        // A connection is recorded when both sides are done with it.
        while !count(code) && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert!(count(code), "{code}");
    }
}

#[test]
fn a_request_beside_as_many_as_there_may_be_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let endpoint = Endpoint::polite();
    let keys = "http2 = \"prior-knowledge\"\ncluster = \"app\"\nmax = { streams = 3 }";
    let gateway = gateway(&format!("{}{}", file(&[endpoint.address], keys, ""), logged_to(&log)));
    let mut client = Frames::in_clear(Wire::to(&gateway).stream).greeted();
    (0..5).for_each(|n| client.post(2 * n + 1, ROOT));
    for stream in [7, 9] {
        let reset = client.wait(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!((reset.stream, reset.reason()), (stream, REFUSED_STREAM));
    }
    assert_eq!(lines(&log, 2), ["- - FW426 refused"; 2]);
}
