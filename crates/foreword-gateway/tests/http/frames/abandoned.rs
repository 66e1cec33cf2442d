//! Requests whose connection has ended: nobody waits for their answers, so they hold nothing any more, and each has its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

/// As many as are asked, each of which waits for a connection to the endpoint.
const ASKED: usize = 50;

/// A gateway whose endpoint takes no connection, and never says so.
struct Waiting {
    gateway: Gateway,
    endpoint: Full,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Waiting {
    fn new() -> Self {
        let (endpoint, folder) = (Full::new(), tempfile::tempdir().unwrap());
        let log = folder.path().join("access.log");
        let text = format!(
            "{}[log.access]\nto = \"file:{}\"\nformat = \"{{http.response.status_code}} {{termination}} {{termination.state}}\"\n",
            file(
                &[endpoint.address],
                "http2 = \"prior-knowledge\"\ncluster = \"app\"",
                "timeout = { connect = \"5m\" }"
            ),
            log.display()
        );
        Self { gateway: gateway(&text), endpoint, log, _folder: folder }
    }

    /// A client all of whose requests wait, and its socket.
    fn client(&self) -> (Frames, TcpStream) {
        let tcp = Wire::to(&self.gateway).stream;
        let socket = tcp.try_clone().unwrap();
        let mut client = Frames::in_clear(tcp).greeted();
        (0..ASKED as u32).for_each(|n| client.get(2 * n + 1, ROOT));
        wait_until("all connect", || connecting(self.endpoint.address) == ASKED);
        assert_eq!(self.in_use(), ASKED as f64);
        (client, socket)
    }

    /// How many places at the endpoint are taken.
    fn in_use(&self) -> f64 {
        let mut page = String::new();
        self.gateway.observer().write_metrics(&mut page).unwrap();
        let line = page.lines().find(|line| line.starts_with("foreword_endpoint_in_use{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
    }

    /// What the log says of as many requests as were asked.
    fn lines(&self) -> Vec<String> {
        let lines = |log: &Path| -> Vec<String> {
            std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
        };
        wait_until("each has its line", || lines(&self.log).len() >= ASKED);
        lines(&self.log)
    }
}

/// How many sockets of this machine wait for an answer from there.
fn connecting(address: SocketAddr) -> usize {
    let there = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_one = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        // SYN-SENT, proc_net_tcp(5).
        fields.next().is_some_and(|remote| remote.ends_with(&there)) && fields.next() == Some("02")
    };
    table.lines().filter(is_one).count()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn whoever_floods_is_told_so_when_nothing_of_its_requests_is_left() {
    let waiting = Waiting::new();
    let (mut client, _socket) = waiting.client();
    client.write(&frame(PING, 0, 0, b"01234567").repeat(1000));
    let goaway = client.wait(|frame| frame.kind == GOAWAY).expect("a GOAWAY");
    assert_eq!((connecting(waiting.endpoint.address), waiting.in_use()), (0, 0.0));
    assert_eq!(goaway.reason(), ENHANCE_YOUR_CALM);
    assert_eq!(waiting.lines(), ["- aborted CC--"; ASKED]);
}

#[test]
fn requests_of_a_connection_that_is_closed_or_reset_do_not_go_on() {
    for is_reset in [false, true] {
        let waiting = Waiting::new();
        let (client, socket) = waiting.client();
        if is_reset {
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop((client, socket));
        assert_eq!(waiting.lines(), ["- aborted CC--"; ASKED]);
        wait_until("all is given back", || {
            (connecting(waiting.endpoint.address), waiting.in_use()) == (0, 0.0)
        });
    }
}
