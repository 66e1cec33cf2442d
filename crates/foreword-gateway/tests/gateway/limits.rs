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

/// A listener that believes headers from this machine, so that each connection can have a client of its own.
fn behind_a_proxy(keys: &str, endpoint: &Endpoint) -> String {
    let listener = format!("trust = [\"local\"]\n{keys}");
    format!("[trust.local]\nfrom = [\"127.0.0.0/8\"]\n{}", file(&listener, endpoint))
}

fn introduced(running: &Running, client_ip: &str) -> TcpStream {
    let mut stream = client(running.address("edge"));
    let family = if client_ip.contains(':') { "TCP6" } else { "TCP4" };
    let to = if client_ip.contains(':') { "2001:db8:ffff::1" } else { "192.0.2.254" };
    write!(stream, "PROXY {family} {client_ip} {to} 5000 443\r\n").unwrap();
    stream
}

fn is_let_in(running: &Running, client_ip: &str) -> Option<TcpStream> {
    let mut stream = introduced(running, client_ip);
    // A connection that is refused may be reset before the question is written.
    let _refused = stream.write_all(b"hello");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).is_ok().then_some(stream)
}

#[test]
fn a_client_that_a_header_names_has_so_many_connections_and_no_more() {
    let endpoint = Endpoint::echo();
    for keys in [
        "limit_connections = { max = 2 }",
        "rule = [{ name = \"few\", then = { limit_connections = { max = 2 }, forward = \"app\" } }]",
    ] {
        let text = behind_a_proxy(keys, &endpoint);
        let text = if keys.contains("rule") { text.replace("cluster = \"app\"\n", "") } else { text };
        let running = Running::start(&text);
        let mut first = is_let_in(&running, "2001:db8::1").unwrap();
        let second = is_let_in(&running, "2001:db8::2").unwrap();
        assert!(is_let_in(&running, "2001:db8::3").is_none(), "the same /64");
        let line = running.log.line_with("FW712");
        assert!(line.contains("takes 2 at once, found one more"), "{line}");
        let _others = ["2001:db8:0:1::1", "192.0.2.1"].map(|other| is_let_in(&running, other).unwrap());
        ask(&mut first);
        drop(second);
        crate::support::wait_until("it has ended", || running.gateway.open_connections() == 3);
        assert!(is_let_in(&running, "2001:db8::3").is_some());
    }
}

#[test]
fn a_client_that_connects_too_often_is_closed_before_its_handshake() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&behind_a_proxy(
        "rate_limit = { connections = 1, every = \"1h\", burst = 2 }",
        &endpoint,
    ));
    for _ in 0..2 {
        assert!(is_let_in(&running, "192.0.2.1").is_some());
    }
    assert!(is_let_in(&running, "192.0.2.1").is_none());
    assert!(is_let_in(&running, "192.0.2.2").is_some(), "another client of the same proxy");
    let line = running.log.line_with("FW711");
    assert!(line.contains("the listener takes the next one in"), "{line}");
}

#[test]
fn a_rule_says_for_how_long_a_connection_may_be_quiet_and_may_last() {
    let endpoint = Endpoint::echo();
    for times in ["idle = \"150ms\"", "total = \"300ms\""] {
        let rule = format!("rule = [{{ then = {{ timeout = {{ {times} }}, forward = \"app\" }} }}]");
        let running = Running::start(&file(&rule, &endpoint).replace("cluster = \"app\"\n", ""));
        let mut stream = client(running.address("edge"));
        ask(&mut stream);
        assert_eq!(read_all(&mut stream), b"", "long before the listener's minute");
    }
}
