//! The admin socket: what it answers, to whom, and how it ends.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use foreword_gateway::plan::Bind;
use tempfile::TempDir;

use crate::access_log::http;
use crate::support::{Endpoint, PATIENCE, Running, client, read_all, wait_until};

fn start(dir: &TempDir, bind: &str) -> Running {
    let file = http(&Endpoint::echo(), &format!("[admin]\nbind = \"{bind}\"\n"));
    Running::start_in(dir.path(), &file)
}

/// Sends `request` as it is and gives the whole answer.
fn send(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be refused before it is whole.
    let _refused = stream.write_all(request);
    String::from_utf8(read_all(&mut stream)).unwrap()
}

pub(crate) fn get(path: &Path, target: &str) -> String {
    send(path, format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes())
}

#[test]
fn four_paths_are_answered_and_no_other() {
    let dir = TempDir::new().unwrap();
    let _running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);

    let metrics = get(&socket, "/metrics");
    assert!(
        metrics.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0")
    );
    assert!(metrics.ends_with("# EOF\n"));
    assert!(get(&socket, "/healthz").ends_with("\r\n\r\nok\n"));
    assert!(get(&socket, "/readyz?verbose").ends_with("\r\n\r\nready\n"));
    for target in ["/", "/metrics/", "/metricsx", "/healthz/../metrics"] {
        assert!(get(&socket, target).starts_with("HTTP/1.1 404 "), "{target}");
    }
}

#[test]
fn only_sound_and_short_reads_are_answered() {
    let dir = TempDir::new().unwrap();
    let _running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    let head = send(&socket, b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(
        send(&socket, b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .starts_with("HTTP/1.1 405")
    );
    assert!(send(&socket, b"\x16\x03\x01").starts_with("HTTP/1.1 4"));
    assert!(send(&socket, b"GET / HTTP/1.1\nHost: a\n\n").starts_with("HTTP/1.1 400"));
    let long = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'x'; 100_000]].concat();
    assert!(send(&socket, &long).starts_with("HTTP/1.1 4"));
}

#[test]
fn whoever_says_nothing_keeps_nobody_waiting() {
    let dir = TempDir::new().unwrap();
    let _running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert!(get(&socket, "/healthz").starts_with("HTTP/1.1 200"));
    drop(silent);
}

#[test]
fn a_gateway_that_drains_is_alive_and_not_ready() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    // An unfinished request holds the drain open.
    let mut stream = client(running.address("web"));
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    wait_until("the connection is taken", || running.gateway.open_connections() == 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let drained = running.gateway.drain();
        let asks = async {
            let socket = socket.clone();
            let asked = tokio::task::spawn_blocking(move || {
                wait_until("the drain begins", || get(&socket, "/readyz").starts_with("HTTP/1.1 503"));
                assert!(get(&socket, "/readyz").ends_with("draining\n"));
                assert!(get(&socket, "/healthz").starts_with("HTTP/1.1 200"));
                drop(stream);
            });
            asked.await.unwrap();
        };
        tokio::join!(drained, asks);
    });
    drop(running);
    assert!(!socket.exists(), "the socket goes with its gateway");
}

#[test]
fn a_reload_moves_the_socket_or_leaves_it_where_it_is() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, "unix:one.sock");
    let (one, two) = (dir.path().join("one.sock"), dir.path().join("two.sock"));
    let endpoint = Endpoint::echo();
    running.reload(&http(&endpoint, "[admin]\nbind = \"unix:one.sock\"\n"));
    assert!(get(&one, "/metrics").contains("foreword_config_reloads_total{result=\"success\"} 1\n"));
    running.reload(&http(&endpoint, "[admin]\nbind = \"unix:two.sock\"\n"));
    assert!(get(&two, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(!one.exists());
    running.reload(&http(&endpoint, ""));
    assert!(!two.exists());
}

#[test]
fn an_address_serves_as_well_as_a_socket_file() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, "127.0.0.1:0");
    let Some(Bind::Inet(address)) = running.gateway.admin_address() else { panic!("an address") };
    let mut stream = client(address);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
}
