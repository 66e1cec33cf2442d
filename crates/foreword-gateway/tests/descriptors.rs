//! Out of descriptors: alone in its process, since the limit is the process's.

#[path = "gateway/support.rs"]
#[expect(dead_code, reason = "the other tests of the gateway use the rest")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use support::{Endpoint, Running, client};

#[test]
fn without_descriptors_those_who_wait_are_served_as_soon_as_there_are_some() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&format!(
        "[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    ));
    let mut waiting: Vec<TcpStream> = (0..4).map(|_| client(running.address("edge"))).collect();
    waiting.iter_mut().for_each(ask);

    let before = getrlimit(Resource::Nofile);
    let mut late = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Descriptors are given from the lowest free one up: from here on there is none.
    let lowest_free = {
        use std::os::fd::AsRawFd;
        std::fs::File::open("/dev/null").unwrap().as_raw_fd()
    };
    setrlimit(Resource::Nofile, Rlimit { current: u64::try_from(lowest_free).ok(), maximum: before.maximum })
        .unwrap();
    late.connect(&running.address("edge").into()).unwrap();
    late.write_all(b"hello").unwrap();
    let line = running.log.line_with("FW701");
    assert!(line.contains("LimitNOFILE"), "{line}");
    // Those who are there notice nothing.
    waiting.iter_mut().for_each(ask);

    setrlimit(Resource::Nofile, before).unwrap();
    let mut answer = [0; 5];
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    let lines = running.log.all().matches("FW701").count();
    assert!(lines <= 3, "one line a second: {}", running.log.all());
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}
