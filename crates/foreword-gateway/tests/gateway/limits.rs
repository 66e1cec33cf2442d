//! Whatever can be too much is bounded, and said.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Endpoint, Running, client, read_all};

fn file(listener: &str, endpoint: &Endpoint) -> String {
    format!(
        "[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n{listener}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    )
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn one_connection_too_many_is_closed_and_there_is_room_again_when_one_ends() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("max = { connections = 2 }", &endpoint));
    let address = running.address("edge");
    let mut first = client(address);
    let mut second = client(address);
    ask(&mut first);
    ask(&mut second);
    let mut third = client(address);
    assert_eq!(read_all(&mut third), b"");
    let line = running.log.line_with("FW702");
    assert!(line.contains("at most 2 connections"), "{line}");
    ask(&mut first);

    drop(second);
    crate::support::wait_until("it has ended", || running.gateway.open_connections() == 1);
    ask(&mut client(address));
}

#[test]
fn a_gateway_holds_as_many_connections_as_it_opens_and_lets_all_go() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("", &endpoint));
    let address = running.address("edge");
    for _ in 0..3 {
        let mut clients: Vec<TcpStream> = (0..200).map(|_| client(address)).collect();
        clients.iter_mut().for_each(ask);
        assert_eq!(running.gateway.open_connections(), 200);
        drop(clients);
        crate::support::wait_until("all have ended", || running.gateway.open_connections() == 0);
    }
}
