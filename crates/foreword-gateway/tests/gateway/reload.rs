//! Another plan in place of the one in force: nothing lost, or nothing changed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::{Endpoint, Running, client, read_all};

/// Answers every request on a connection with its target.
fn web() -> Endpoint {
    Endpoint::new(|stream| {
        let mut reads = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(target) = next_target(&mut reads) {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn next_target(reads: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reads.read_line(&mut line).ok().filter(|len| *len > 0)?;
    let target = line.split(' ').nth(1).unwrap().to_owned();
    while line != "\r\n" {
        line.clear();
        reads.read_line(&mut line).ok().filter(|len| *len > 0)?;
    }
    Some(target)
}

fn file(endpoint: &Endpoint, status: u16) -> String {
    format!(
        "workers = 2\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\n\
         [[listener.web.rule]]\nwhen = 'path == \"/status\"'\nthen = {{ deny = {status} }}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    )
}

/// A client that keeps its connection as long as it is not told to close it.
struct Browser {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Browser {
    fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Asks for `target`, and gives status and content.
    fn get(&mut self, target: &str) -> (u16, String) {
        let address = self.address;
        let connection = self.connection.get_or_insert_with(|| BufReader::new(client(address)));
        write!(connection.get_mut(), "GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        let status = line
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no answer to {target}: {line:?}"))
            .parse()
            .unwrap();
        let (mut len, mut close) = (0, false);
        while line != "\r\n" {
            line.clear();
            connection.read_line(&mut line).unwrap();
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
            close |= line.trim_end() == "connection: close";
        }
        let mut content = vec![0; len];
        connection.read_exact(&mut content).unwrap();
        if close {
            self.connection = None;
        }
        (status, String::from_utf8(content).unwrap())
    }
}

#[test]
fn a_thousand_requests_on_fifty_kept_connections_survive_ten_plans() {
    const CLIENTS: usize = 50;
    const REQUESTS: usize = 20;
    let endpoint = web();
    let running = Running::start(&file(&endpoint, 403));
    let address = running.address("web");
    let done = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let mut browser = Browser::new(address);
                for request in 0..REQUESTS {
                    let target = format!("/{number}/{request}");
                    assert_eq!(browser.get(&target), (200, target));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for plan in 1..=10 {
            // Spread over the whole load, whatever the machine's pace is.
            while done.load(Ordering::Relaxed) < plan * CLIENTS * REQUESTS / 11 {
                thread::yield_now();
            }
            running.reload(&file(&endpoint, 403));
        }
    });
    assert_eq!(done.load(Ordering::Relaxed), CLIENTS * REQUESTS);
}

#[test]
fn a_kept_connection_ends_with_its_next_answer_and_the_next_one_meets_the_new_plan() {
    let endpoint = web();
    let running = Running::start(&file(&endpoint, 403));
    let mut browser = Browser::new(running.address("web"));
    assert_eq!(browser.get("/status").0, 403);
    browser.get("/");
    assert!(browser.connection.is_some());
    running.reload(&file(&endpoint, 410));
    assert_eq!(browser.get("/status").0, 403, "a connection lives under the plan that it began with");
    assert!(browser.connection.is_none(), "it was told to close");
    assert_eq!(browser.get("/status").0, 410);
}

#[test]
fn a_listener_that_is_gone_takes_nobody_and_keeps_whom_it_has() {
    let endpoint = Endpoint::echo();
    let one = |name: &str| {
        format!(
            "[listener.{name}]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
             [cluster.app]\nendpoints = [\"{}\"]\n",
            endpoint.address
        )
    };
    let running = Running::start(&one("old"));
    let address = running.address("old");
    let mut kept = client(address);
    kept.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    kept.read_exact(&mut answer).unwrap();

    running.reload(&one("new"));
    crate::support::wait_until("nobody listens there", || crate::support::is_refused(address));
    kept.write_all(b"still").unwrap();
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still");
    kept.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut kept), b"");
}

#[test]
fn another_number_of_workers_is_said_to_take_a_restart() {
    let endpoint = web();
    let running = Running::start(&file(&endpoint, 403));
    running.reload(&file(&endpoint, 403).replace("workers = 2", "workers = 3"));
    let line = running.log.line_with("restart");
    assert!(line.contains("workers = 3") && line.contains("2 are running"), "{line}");
    assert_eq!(running.gateway.workers(), 2);
}
