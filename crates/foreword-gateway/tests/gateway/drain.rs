//! On the way out: nobody new, nothing in flight lost, no longer than the deadline.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Endpoint, Running, client, is_refused, read_all, wait_until};

fn file(mode: &str, endpoint: &Endpoint, drain: &str) -> String {
    format!(
        "drain = \"{drain}\"\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"{mode}\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    )
}

/// Drains until it is over, and gives how long that took.
fn drain(running: &Running) -> Duration {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(running.gateway.drain());
    begun.elapsed()
}

#[test]
fn a_request_in_flight_is_answered_and_then_the_connection_closed() {
    let (arrived, begun) = mpsc::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let endpoint = Endpoint::new(move |mut stream| {
        let mut head = [0; 1024];
        let _head = stream.read(&mut head).unwrap();
        arrived.send(()).unwrap();
        told.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").unwrap();
    });
    let running = Running::start(&file("http", &endpoint, "20s"));
    let address = running.address("web");
    let mut stream = client(address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    begun.recv().unwrap();
    let client = thread::spawn(move || {
        wait_until("nobody new is taken", || is_refused(address));
        go_on.send(()).unwrap();
        String::from_utf8(read_all(&mut stream)).unwrap()
    });
    let took = drain(&running);
    let answer = client.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("late"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{answer}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn an_idle_connection_has_a_moment_for_a_request_that_is_on_its_way() {
    let endpoint = Endpoint::new(|mut stream| {
        let mut head = [0; 1024];
        while stream.read(&mut head).is_ok_and(|len| len > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let running = Running::start(&file("http", &endpoint, "20s"));
    let address = running.address("web");
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let ask = || {
        let mut stream = client(address);
        stream.write_all(request).unwrap();
        let mut answer = [0; 512];
        assert!(stream.read(&mut answer).unwrap() > 0);
        stream
    };
    let (mut late, mut silent) = (ask(), ask());
    let clients = thread::spawn(move || {
        wait_until("nobody new is taken", || is_refused(address));
        late.write_all(request).unwrap();
        let answer = String::from_utf8(read_all(&mut late)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{answer}");
        assert_eq!(read_all(&mut silent), b"");
    });
    let took = drain(&running);
    clients.join().unwrap();
    assert!((900..8000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_tunnel_goes_on_until_it_ends() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("tcp", &endpoint, "20s"));
    let address = running.address("web");
    let mut tunnel = client(address);
    tunnel.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    tunnel.read_exact(&mut answer).unwrap();
    let user = thread::spawn(move || {
        wait_until("nobody new is taken", || is_refused(address));
        thread::sleep(Duration::from_millis(1500));
        tunnel.write_all(b"still").unwrap();
        tunnel.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"still");
    });
    let took = drain(&running);
    user.join().unwrap();
    assert!((1400..8000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn what_has_not_ended_by_the_deadline_is_cut_off() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("tcp", &endpoint, "1s"));
    let mut tunnel = client(running.address("web"));
    tunnel.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    tunnel.read_exact(&mut answer).unwrap();
    let took = drain(&running);
    assert!((900..5000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(read_all(&mut tunnel), b"");
    running.log.line_with("1 connections are cut off");
}

#[test]
fn a_cut_ends_a_drain_at_once() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("tcp", &endpoint, "20s"));
    let mut tunnel = client(running.address("web"));
    tunnel.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    tunnel.read_exact(&mut answer).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        let cut = async {
            tokio::task::yield_now().await;
            running.gateway.cut();
        };
        tokio::join!(running.gateway.drain(), cut);
    });
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(read_all(&mut tunnel), b"");
}

#[test]
fn with_nobody_there_a_drain_is_over_at_once() {
    let endpoint = Endpoint::echo();
    // A busy machine may take its time, but not half of what a drain may take.
    let took = drain(&Running::start(&file("tcp", &endpoint, "20s")));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn whoever_waits_in_the_queue_when_the_drain_begins_is_served() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("tcp", &endpoint, "20s"));
    let address = running.address("web");
    // Connected as far as the kernel is concerned, whether or not a worker has seen them.
    let clients: Vec<TcpStream> = (0..100).map(|_| client(address)).collect();
    let users = thread::spawn(move || {
        for mut stream in clients {
            stream.write_all(b"hello").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut stream), b"hello");
        }
    });
    drain(&running);
    users.join().unwrap();
}
