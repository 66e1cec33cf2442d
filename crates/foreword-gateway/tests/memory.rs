//! What connections weigh that wait: alone in its process, since memory is the process's.

#![cfg(target_os = "linux")]

#[path = "gateway/support.rs"]
#[expect(dead_code, reason = "the other tests of the gateway use the rest")]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
         [[listener.web.rule]]\nthen = {{ respond = {{ status = 204 }} }}\n",
        endpoint.local_addr().unwrap()
    ));
    // The ends of these connections take no memory of this process. All are held, so that nothing is used twice.
    let (each, _tunnels) = weigh(|| tunnel(client(running.address("edge")), &endpoint));
    assert!((512..=MOST_FOR_A_TUNNEL).contains(&each), "{each} bytes for a tunnel");
    let (each, _kept) = weigh(|| kept(client(running.address("web"))));
    assert!((512..=MOST_BETWEEN_REQUESTS).contains(&each), "{each} bytes for a connection between requests");
}

/// How many bytes each of many has that are open and idle.
fn weigh<T>(open: impl Fn() -> T) -> (usize, Vec<T>) {
    let mut all = Vec::with_capacity(FIRST + MORE);
    // What a worker makes once, and keeps.
    all.extend((0..FIRST).map(|_| open()));
    let before = resident();
    all.extend((0..MORE).map(|_| open()));
    (resident().saturating_sub(before) / MORE, all)
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

/// A tunnel has four descriptors in this process, a kept connection two; some systems grant no more than 4,096.
const MORE: usize = 550;

/// In a release build, of thousands, it is 2,048. Here are few of them, so the allocator's own chunks weigh too.
const MOST_FOR_A_TUNNEL: usize = 2800;

/// In a debug build it was measured to be 1,962; the rest is for what other systems' allocators round up.
const MOST_BETWEEN_REQUESTS: usize = 2200;
