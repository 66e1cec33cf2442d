//! What the access log holds of requests and connections.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use foreword_gateway::Gateway;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::nobody::nobody;
use crate::support::{Endpoint, Running, client, plan, read_all, wait_until};

const PROXY: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n";

/// A web server that answers every request with `ok`, and keeps its connections.
pub(crate) fn web() -> Endpoint {
    Endpoint::new(|mut stream| {
        while read_head(&mut stream).is_some() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    })
}

/// Reads a head byte by byte; `None` at the end.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

pub(crate) fn http(endpoint: &Endpoint, log: &str) -> String {
    format!(
        "[trust.local]\nfrom = [\"127.0.0.0/8\"]\nheader = \"optional\"\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ntrust = [\"local\"]\n\
         [[listener.web.rule]]\nname = \"no admin\"\nwhen = 'path.under(\"/admin\")'\nthen = {{ deny = 403 }}\n\
         [[listener.web.rule]]\nname = \"the rest\"\nthen = {{ forward = \"app\" }}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n{log}",
        endpoint.address
    )
}

/// Asks once on a connection that stays, and gives the status line.
pub(crate) fn ask(stream: &mut TcpStream, target: &str, fields: &str) -> String {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: www.example.com\r\n{fields}\r\n").unwrap();
    let head = read_head(stream).expect("an answer");
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    head.lines().next().unwrap_or_default().to_owned()
}

/// The lines of a log, once there are so many.
fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    wait_until("the lines reach the file", || read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

fn json(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).expect(line)
}

#[test]
fn each_request_has_a_line_with_client_peer_rule_and_endpoint() {
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let running = Running::start_in(dir.path(), &http(&endpoint, "[log.access]\nto = \"file:access.log\"\n"));
    let mut stream = client(running.address("web"));
    stream.write_all(PROXY).unwrap();
    assert_eq!(ask(&mut stream, "/a/../b?q=1", "User-Agent: a \"quoted\" agent\r\n"), "HTTP/1.1 200 OK");
    assert!(ask(&mut stream, "/%61dmin", "").contains("403"));

    let lines = lines(&dir.path().join("access.log"), 2);
    let (first, second) = (json(&lines[0]), json(&lines[1]));
    let port = stream.local_addr().unwrap().port();
    for line in [&first, &second] {
        assert_eq!(line["client.ip"], "203.0.113.7");
        assert_eq!(line["client.port"], 40_000);
        assert_eq!(line["peer.ip"], "127.0.0.1");
        assert_eq!(line["peer.port"], port);
        assert_eq!(line["header.version"], 1);
        assert_eq!(line["listener"], "web");
        assert_eq!(line["trust"], "local");
        assert_eq!(line["url.domain"], "www.example.com");
        assert!(line["http.request.id"].as_str().is_some_and(|id| !id.is_empty()));
    }
    assert_eq!(first["url.original"], "/a/../b?q=1");
    assert_eq!((&first["url.path"], &first["url.query"]), (&"/b".into(), &"q=1".into()));
    assert_eq!(first["user_agent.original"], "a \"quoted\" agent");
    assert_eq!(first["endpoint"], endpoint.address.to_string());
    assert_eq!((&first["rule"], &first["http.response.status_code"]), (&"the rest".into(), &200.into()));
    assert_eq!((&second["rule"], &second["http.response.status_code"]), (&"no admin".into(), &403.into()));
    assert_eq!((&second["refusal.code"], &second["event.outcome"]), (&"FW411".into(), &"failure".into()));
    assert_eq!(second["url.path"], "/admin");
    assert!(!second.contains_key("endpoint"));
    let told = running.log.line_with("FW411");
    assert!(told.contains(" for 203.0.113.7:40000: refused by rule `no admin`"), "{told}");
}

#[test]
fn the_combined_format_counts_content_as_apache_does() {
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let log = "[log.access]\nto = \"file:access.log\"\nformat = \"combined\"\n";
    let running = Running::start_in(dir.path(), &http(&endpoint, log));
    let mut stream = client(running.address("web"));
    stream.write_all(PROXY).unwrap();
    ask(&mut stream, "/a", "Referer: https://example.org/\r\n");
    let line = lines(&dir.path().join("access.log"), 1).remove(0);
    assert!(line.starts_with("203.0.113.7 127.0.0.1 - ["), "{line}");
    assert!(line.ends_with("] \"GET /a HTTP/1.1\" 200 2 \"https://example.org/\" \"-\""), "{line}");
}

#[test]
fn a_request_that_is_refused_has_a_line_with_its_code() {
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let running = Running::start_in(dir.path(), &http(&endpoint, "[log.access]\nto = \"file:access.log\"\n"));
    let mut stream = client(running.address("web"));
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert!(read_all(&mut stream).starts_with(b"HTTP/1.1 400"));
    let line = json(&lines(&dir.path().join("access.log"), 1)[0]);
    assert_eq!(line["refusal.code"], "FW402");
    assert_eq!(line["http.response.status_code"], 400);
    assert_eq!(line["client.ip"], "127.0.0.1");
    assert_eq!(line["termination.state"], "PR--");
}

#[test]
fn an_answer_that_is_broken_before_it_is_passed_on_has_the_status_that_was_sent() {
    let dir = TempDir::new().unwrap();
    let endpoint = Endpoint::new(|mut stream| {
        read_head(&mut stream);
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    });
    let running = Running::start_in(dir.path(), &http(&endpoint, "[log.access]\nto = \"file:access.log\"\n"));
    let mut stream = client(running.address("web"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let answer = read_all(&mut stream);
    assert!(answer.starts_with(b"HTTP/1.1 502"));
    let line = json(&lines(&dir.path().join("access.log"), 1)[0]);
    assert_eq!(line["refusal.code"], "FW506");
    assert_eq!(line["http.response.status_code"], 502);
    assert_eq!(line["bytes.sent"], answer.len());
}

#[test]
fn a_client_that_ended_and_got_no_answer_in_a_while_is_aborted() {
    let dir = TempDir::new().unwrap();
    let endpoint = Endpoint::new(|mut stream| while read_head(&mut stream).is_some() {});
    let log = "[log.access]\nto = \"file:access.log\"\nformat = \"{bytes.sent} {termination}\"\n";
    let running = Running::start_in(dir.path(), &http(&endpoint, log));
    let mut stream = client(running.address("web"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    assert_eq!(lines(&dir.path().join("access.log"), 1), ["0 aborted"]);
}

#[test]
fn a_tcp_connection_has_one_line_with_its_bytes() {
    let (dir, endpoint) = (TempDir::new().unwrap(), Endpoint::echo());
    let file = format!(
        "[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n\
         [log.access]\nto = \"file:access.log\"\nformat = \"{{listener}} {{bytes.received}} {{bytes.sent}} {{termination}}\"\n",
        endpoint.address
    );
    let running = Running::start_in(dir.path(), &file);
    let mut stream = client(running.address("edge"));
    stream.write_all(b"hello").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"hello");
    assert_eq!(lines(&dir.path().join("access.log"), 1), ["edge 5 5 complete"]);
}

#[test]
fn a_request_that_no_endpoint_took_names_the_cluster_and_the_last_endpoint() {
    let dir = TempDir::new().unwrap();
    let (one, other) = (nobody(), nobody());
    for mode in ["http", "tcp"] {
        let file = format!(
            "[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"{mode}\"\ncluster = \"app\"\n\
             [cluster.app]\nendpoints = [\"{one}\", \"{other}\"]\n\
             [log.access]\nto = \"file:{mode}.log\"\nformat = \"{{cluster}} {{endpoint}} {{upstream.retries}}\"\n",
        );
        let running = Running::start_in(dir.path(), &file);
        let mut stream = client(running.address("web"));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        read_all(&mut stream);
        let lines = lines(&dir.path().join(format!("{mode}.log")), 1);
        let expected = [one, other].map(|endpoint| format!("app {endpoint} 1"));
        assert!(expected.contains(&lines[0]), "{mode}: {lines:?}");
    }
}

/// Has so many clients ask so often, each on one connection.
fn crowd(address: SocketAddr, clients: usize, each: usize) -> Vec<std::thread::JoinHandle<()>> {
    (0..clients)
        .map(|number| {
            std::thread::spawn(move || {
                let mut stream = client(address);
                for count in 0..each {
                    assert_eq!(ask(&mut stream, &format!("/{number}/{count}"), ""), "HTTP/1.1 200 OK");
                }
            })
        })
        .collect()
}

#[test]
fn lines_requests_and_counters_agree_to_the_unit() {
    const CLIENTS: usize = 8;
    const EACH: usize = 50;
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let running = Running::start_in(
        dir.path(),
        &http(&endpoint, "[log.access]\nto = \"file:access.log\"\nformat = \"{url.path}\"\n"),
    );
    for client in crowd(running.address("web"), CLIENTS, EACH) {
        client.join().unwrap();
    }
    let mut logged = lines(&dir.path().join("access.log"), CLIENTS * EACH);
    logged.sort_unstable();
    logged.dedup();
    assert_eq!(logged.len(), CLIENTS * EACH);
    let mut metrics = String::new();
    running.gateway.observer().write_metrics(&mut metrics).unwrap();
    let counted = format!("foreword_requests_total{{listener=\"web\",status=\"2xx\"}} {}\n", CLIENTS * EACH);
    assert!(metrics.contains(&counted), "{metrics}");
    assert!(metrics.contains(&format!("foreword_access_log_lines_total {}\n", CLIENTS * EACH)), "{metrics}");
}

#[test]
fn rotation_under_traffic_loses_no_line() {
    const CLIENTS: usize = 4;
    const EACH: usize = 200;
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let log = "[log.access]\nto = \"file:access.log\"\nformat = \"{url.path}\"\n";
    let running = Running::start_in(dir.path(), &http(&endpoint, log));
    let clients = crowd(running.address("web"), CLIENTS, EACH);
    let current = dir.path().join("access.log");
    let mut rotated = 0;
    while clients.iter().any(|client| !client.is_finished()) {
        if fs::rename(&current, dir.path().join(format!("access.log.{rotated}"))).is_ok() {
            rotated += 1;
            running.gateway.reopen_logs();
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    assert!(rotated > 0);
    let all = || {
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| fs::read_to_string(path).unwrap().lines().count()).sum::<usize>()
    };
    wait_until("every line is in one of the files", || all() >= CLIENTS * EACH);
    assert_eq!(all(), CLIENTS * EACH);
}

#[test]
fn a_reload_that_cannot_open_its_log_changes_nothing() {
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let running = Running::start_in(
        dir.path(),
        &http(&endpoint, "[log.access]\nto = \"file:access.log\"\nformat = \"one {url.path}\"\n"),
    );
    let broken = http(&endpoint, "[log.access]\nto = \"file:missing/access.log\"\n");
    assert!(running.gateway.reload(plan(dir.path(), &broken)).is_err());
    let mut stream = client(running.address("web"));
    ask(&mut stream, "/a", "");
    // The thread of another log may be quicker than that of this one.
    lines(&dir.path().join("access.log"), 1);
    running.reload(&http(&endpoint, "[log.access]\nto = \"file:access.log\"\nformat = \"two {url.path}\"\n"));
    let mut stream = client(running.address("web"));
    ask(&mut stream, "/b", "");
    assert_eq!(lines(&dir.path().join("access.log"), 2), ["one /a", "two /b"]);
}

#[test]
fn a_gateway_whose_log_cannot_be_opened_does_not_start() {
    let (dir, endpoint) = (TempDir::new().unwrap(), web());
    let file = http(&endpoint, "[log.access]\nto = \"file:missing/access.log\"\n");
    let error = Gateway::start(plan(dir.path(), &file)).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("missing/access.log`, found: ") && told.contains("/missing` is missing"), "{told}");
    assert!(told.ends_with("[FW709]"), "{told}");
}
