//! What connections weigh that wait: alone in its process, since memory is the process's.

#![cfg(target_os = "linux")]

#[path = "gateway/support.rs"]
#[expect(dead_code, reason = "the other tests of the gateway use the rest")]
mod support;

#[path = "http/frames/client.rs"]
#[expect(dead_code, reason = "the frames that are wrong are another test's")]
mod frames;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use frames::{Frames, heavy};
use support::{Running, client};

#[test]
fn connections_that_wait_weigh_little() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Running::start(&format!(
        "workers = 1\n[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n\
         [trust.local]\nfrom = [\"127.0.0.1\"]\nheader = \"require\"\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ntrust = [\"local\"]\n\
         [[listener.web.rule]]\nthen = {{ respond = {{ status = 204 }} }}\n\
         [listener.many]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\nhttp2 = \"prior-knowledge\"\ncluster = \"app\"\n\
         timeout = {{ head = \"5m\" }}\n",
        endpoint.local_addr().unwrap()
    ));
    // The ends of these connections take no memory of this process. All are held, so that nothing is used twice.
    let (each, _tunnels) = weigh(FIRST, MORE, || tunnel(client(running.address("edge")), &endpoint));
    assert!((512..=MOST_FOR_A_TUNNEL).contains(&each), "{each} bytes for a tunnel");
    let (each, _kept) = weigh(FIRST, MORE, || kept(client(running.address("web"))));
    assert!((512..=MOST_BETWEEN_REQUESTS).contains(&each), "{each} bytes for a connection between requests");
    let (each, _heavy) = weigh(1, 3, || weighing_much(client(running.address("many")), &endpoint));
    assert!(
        (64 * 1024..=MOST_FOR_HEAVY_HEADS).contains(&each),
        "{each} bytes for a hundred requests with heads of 12 KB"
    );
    let (each, _many) = weigh(1, 3, || waiting(client(running.address("many")), &endpoint));
    let each = each / AT_ONCE;
    assert!((512..=MOST_FOR_A_REQUEST).contains(&each), "{each} bytes for a request among many that wait");
}

/// How many bytes each of many has that are open and idle.
fn weigh<T>(first: usize, more: usize, open: impl Fn() -> T) -> (usize, Vec<T>) {
    let mut all = Vec::with_capacity(first + more);
    // What a worker makes once, and keeps.
    all.extend((0..first).map(|_| open()));
    let before = resident();
    all.extend((0..more).map(|_| open()));
    (resident().saturating_sub(before) / more, all)
}

/// A connection with many requests on it whose endpoint has them and says nothing.
fn waiting(client: TcpStream, endpoint: &TcpListener) -> (Frames, Vec<TcpStream>) {
    let mut client = Frames::in_clear(client).greeted();
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    for stream in (1..).step_by(2).take(AT_ONCE) {
        client.get(stream, &fields);
    }
    let asked = heads(endpoint, AT_ONCE);
    (client, asked)
}

/// A connection with as many requests on it as there may be, of few bytes each and with heads of twelve kilobytes. Some wait for
/// their answer, and the others for those.
fn weighing_much(client: TcpStream, endpoint: &TcpListener) -> (Frames, Vec<TcpStream>) {
    let mut client = Frames::in_clear(client).greeted();
    client.write(&heavy(100));
    let asked = heads(endpoint, HEAVY_AT_ONCE);
    assert!(client.is_alive());
    (client, asked)
}

/// So many requests, as an endpoint has them that says nothing.
fn heads(endpoint: &TcpListener, count: usize) -> Vec<TcpStream> {
    let asked = (0..count).map(|_| {
        let (mut asked, _) = endpoint.accept().unwrap();
        let (mut head, mut some) = (Vec::new(), [0; 512]);
        while !head.ends_with(b"\r\n\r\n") {
            let read = asked.read(&mut some).unwrap();
            assert!(read > 0, "{}", head.escape_ascii());
            head.extend_from_slice(&some[..read]);
        }
        asked
    });
    asked.collect()
}

/// A connection over which a request was answered.
fn kept(mut client: TcpStream) -> TcpStream {
    client
        .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        .unwrap();
    let (mut answer, mut some) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"\r\n\r\n") {
        let read = client.read(&mut some).unwrap();
        assert!(read > 0, "{}", answer.escape_ascii());
        answer.extend_from_slice(&some[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", answer.escape_ascii());
    client
}

/// A tunnel through which something went both ways: its two ends.
fn tunnel(mut client: TcpStream, endpoint: &TcpListener) -> (TcpStream, TcpStream) {
    client.write_all(b"ask").unwrap();
    let (mut served, _) = endpoint.accept().unwrap();
    let mut three = [0; 3];
    served.read_exact(&mut three).unwrap();
    served.write_all(&three).unwrap();
    client.read_exact(&mut three).unwrap();
    (client, served)
}

/// The bytes of memory that this process alone has.
fn resident() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

const FIRST: usize = 50;

/// Each has two descriptors more, of the connection to its endpoint.
const AT_ONCE: usize = 60;

/// A tunnel has four descriptors in this process, a kept connection two; some systems grant no more than 4,096.
const MORE: usize = 550;

/// In a release build, of thousands, it is 2,048. Here are few of them, so the allocator's own chunks weigh too.
const MOST_FOR_A_TUNNEL: usize = 2800;

/// In a debug build it was measured to be 6,326: its state, its desk, its connection to the endpoint and what `h2` keeps.
const MOST_FOR_A_REQUEST: usize = 7200;

/// So many of these heads are within what a connection may weigh.
const HEAVY_AT_ONCE: usize = 38;

/// Their heads are 450 KB of it; a hundred are 1.2 MB, and as much again where they are kept as they go to the endpoint.
const MOST_FOR_HEAVY_HEADS: usize = 1024 * 1024;

/// In a debug build it was measured to be 1,962; the rest is for what other systems' allocators round up.
const MOST_BETWEEN_REQUESTS: usize = 2200;
