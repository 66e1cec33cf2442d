//! Flows are bounded, and a flood costs nobody else anything.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::{Echo, ask, client, client_at, dropped, file, metric};
use crate::support::{Running, wait_until};

fn flows_refused(running: &Running) -> u64 {
    metric(running, "foreword_refusals_total{listener=\"dns\",code=\"FW706\"}")
}

/// One worker: it alone decides who goes.
fn bounded(flows: usize, listener: &str, echo: &Echo) -> Running {
    let listener = format!("max = {{ flows = {flows} }}\n{listener}");
    Running::start(&file(&listener, "", &[echo.address]).replace("workers = 2", "workers = 1"))
}

#[test]
fn the_idlest_flow_that_is_not_proven_makes_room() {
    let echo = Echo::new();
    let running = bounded(3, "", &echo);
    let address = running.address("dns");
    let proven = client(address);
    ask(&proven, b"one");
    ask(&proven, b"two");
    let proven_socket = (echo.hear().0, echo.hear().0).1;
    let others: Vec<UdpSocket> = (0..2).map(|_| client(address)).collect();
    let first: Vec<SocketAddr> = others
        .iter()
        .map(|other| {
            ask(other, b"hello");
            echo.hear().0
        })
        .collect();
    assert_eq!((running.gateway.open_connections(), flows_refused(&running)), (3, 0));

    ask(&client(address), b"a newcomer");
    echo.hear();
    assert_eq!((running.gateway.open_connections(), flows_refused(&running)), (3, 1));
    let line = running.log.line_with("FW706");
    assert!(
        line.contains("at most 3 flows here (max.flows)") && line.contains("the idlest makes room"),
        "{line}"
    );
    assert!(line.contains(&format!("← {}", others[0].local_addr().unwrap())), "{line}");
    // The newcomer took the place of the idlest; the others have theirs.
    ask(&proven, b"three");
    assert_eq!(echo.hear().0, proven_socket);
    ask(&others[1], b"hello");
    assert_eq!(echo.hear().0, first[1]);
}

#[test]
fn where_every_flow_is_proven_the_newcomer_is_dropped_until_one_ends() {
    let echo = Echo::new();
    let running = bounded(2, "timeout = { idle = \"1s\" }", &echo);
    let address = running.address("dns");
    let proven: Vec<UdpSocket> = (0..2).map(|_| client(address)).collect();
    for _ in 0..2 {
        proven.iter().for_each(|client| assert_eq!(ask(client, b"hello"), b"hello"));
    }
    let newcomer = client(address);
    newcomer.send(b"me too").unwrap();
    wait_until("it is dropped", || dropped(&running, "full") == 1);
    let line = running.log.line_with("FW706");
    assert!(line.contains("found one more and none that may go"), "{line}");
    wait_until("they have ended", || running.gateway.open_connections() == 0);
    assert_eq!(ask(&newcomer, b"now"), b"now");
}

#[test]
fn ten_thousand_addresses_hold_no_more_flows_than_there_may_be() {
    const LIMIT: u64 = 1_000;
    const SOURCES: u64 = 10_000;
    let echo = Echo::new();
    // No flow ends while the flood lasts.
    let running = bounded(LIMIT as usize, "timeout = { idle = \"10m\" }", &echo);
    let address = running.address("dns");
    let friend = client_at(Ipv4Addr::new(127, 200, 0, 1), address);
    ask(&friend, b"one");
    ask(&friend, b"two");
    let received = || metric(&running, "foreword_datagrams_received_total{listener=\"dns\"}");
    let mut sent = 2;
    for source in 0..SOURCES {
        // Each has an address of its own: two at one address could be given one port, and be one flow.
        let (c, d) = ((source / 250) as u8, (source % 250) as u8 + 1);
        let spoofed = UdpSocket::bind((Ipv4Addr::new(127, 100, c, d), 0)).unwrap();
        spoofed.send_to(b"flood", address).unwrap();
        sent += 1;
        // Fewer than the kernel keeps for a gateway that is behind.
        if source % 100 == 99 {
            assert!(running.gateway.open_connections() <= LIMIT);
            assert_eq!(ask(&friend, b"still here"), b"still here");
            sent += 1;
            wait_until("they came", || received() == sent);
        }
    }
    assert_eq!(running.gateway.open_connections(), LIMIT);
    assert_eq!(flows_refused(&running), SOURCES + 1 - LIMIT);
}

#[test]
fn flows_that_nobody_answers_end_one_and_all() {
    let echo = Echo::answering(|_| Vec::new());
    let running = bounded(1_000, "timeout = { idle = \"1s\" }", &echo);
    let address = running.address("dns");
    for _ in 0..10 {
        (0..50).for_each(|_| _ = client(address).send(b"hello").unwrap());
        echo.hear();
    }
    wait_until("all of them end", || running.gateway.open_connections() == 0);
}

#[test]
fn ten_thousand_flows_live_side_by_side() {
    const FLOWS: usize = 8_000;
    let echo = Echo::new();
    let running = bounded(FLOWS, "timeout = { idle = \"60s\" }", &echo);
    let address = running.address("dns");
    let clients: Vec<UdpSocket> = (0..FLOWS).map(|_| client(address)).collect();
    for chunk in clients.chunks(64) {
        chunk.iter().for_each(|client| assert_eq!(client.send(b"hello").unwrap(), 5));
        chunk.iter().for_each(|client| assert_eq!(super::hear(client), b"hello"));
    }
    assert_eq!(running.gateway.open_connections(), FLOWS as u64);
    for (number, client) in clients.iter().enumerate().step_by(97) {
        assert_eq!(ask(client, &number.to_be_bytes()), number.to_be_bytes());
    }
}

#[test]
fn a_flood_of_one_source_is_one_flow_and_takes_nobody_s_place() {
    let echo = Echo::answering(|_| Vec::new());
    let running = bounded(10, "", &echo);
    let address = running.address("dns");
    let flood = client(address);
    let friend = client_at(Ipv4Addr::new(127, 0, 0, 5), address);
    for _ in 0..50 {
        for _ in 0..200 {
            flood.send(&[7; 100]).unwrap();
        }
        friend.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        // What the kernel had no room for is asked again.
        while friend.send(b"hello").is_ok() && friend.recv(&mut [0; 8]).is_err() {}
    }
    assert_eq!(running.gateway.open_connections(), 2);
    assert_eq!(flows_refused(&running), 0);
}

#[test]
fn a_client_has_so_many_flows_at_once_and_no_more() {
    let echo = Echo::new();
    let running = bounded(10, "limit_connections = { max = 2 }\ntimeout = { idle = \"1s\" }", &echo);
    let address = running.address("dns");
    let flows: Vec<UdpSocket> = (0..2).map(|_| client(address)).collect();
    flows.iter().for_each(|flow| assert_eq!(ask(flow, b"hello"), b"hello"));
    let third = client(address);
    third.send(b"me too").unwrap();
    wait_until("it is dropped", || dropped(&running, "rule") == 1);
    let line = running.log.line_with("FW712");
    assert!(line.contains("the listener takes 2 at once"), "{line}");
    wait_until("they have ended", || running.gateway.open_connections() == 0);
    assert_eq!(ask(&third, b"now"), b"now");
}
