//! The line of those who wait for a connection to an endpoint: who comes again, who lets others pass, and who waits for nobody.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::balance::{get, held, reload, wait_for, wait_for_queue};
use crate::support::*;

/// What an endpoint does with a request once it is told.
enum Then {
    Answer,
    Close,
}

/// An endpoint that tells its name and the path of each request, and then waits for what to do.
fn told(name: &'static str, come: &Sender<String>) -> (SocketAddr, Sender<Then>) {
    let (go, goes) = channel();
    let both = Mutex::new((come.clone(), goes));
    let endpoint = Endpoint::new(move |wire| {
        while let Some((head, _)) = wire.request() {
            let both = both.lock().unwrap();
            both.0.send(format!("{name} {}", head.split(' ').nth(1).unwrap())).unwrap();
            match both.1.recv_timeout(PATIENCE).unwrap() {
                Then::Answer => wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                Then::Close => return,
            }
        }
    });
    (endpoint.address, go)
}

/// The two endpoints of a cluster, and what comes to either. The first is asked first.
struct Two {
    came: Receiver<String>,
    one: Sender<Then>,
    other: Sender<Then>,
    addresses: [SocketAddr; 2],
}

impl Two {
    fn new() -> Self {
        let (come, came) = channel();
        let ((one_at, one), (other_at, other)) = (told("one", &come), told("other", &come));
        Self { came, one, other, addresses: [one_at, other_at] }
    }

    #[track_caller]
    fn comes(&self, what: &str) {
        assert_eq!(self.came.recv_timeout(PATIENCE).unwrap(), what);
    }
}

#[test]
fn a_request_that_is_said_again_comes_before_all_who_came_later() {
    let two = Two::new();
    let cluster = "balance = \"first\"\nmax = { connections = 1 }\ntimeout = { queue = \"5m\" }";
    let gateway = gateway(&file(&two.addresses, "cluster = \"app\"", cluster));
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::to(&gateway)).collect();
    for (place, client) in clients.iter_mut().enumerate() {
        client.write(get(&format!("/{place}")).as_bytes());
        if place == 0 {
            two.comes("one /0");
        }
        wait_for_queue(&gateway, place as u32);
    }
    two.one.send(Then::Close).unwrap();
    two.comes("other /0");
    wait_for_queue(&gateway, 2);
    two.other.send(Then::Answer).unwrap();
    assert_eq!(clients[0].answer("GET").unwrap().status, 200);
    for (place, client) in clients.iter_mut().enumerate().skip(1) {
        two.comes(&format!("one /{place}"));
        two.one.send(Then::Answer).unwrap();
        assert_eq!(client.answer("GET").unwrap().status, 200);
    }
    wait_for(&gateway, "foreword_cluster_queued_total{cluster=\"app\",result=\"served\"} 3");
}

#[test]
fn who_may_not_go_where_there_is_room_keeps_nobody_from_it() {
    let two = Two::new();
    let each = |address| format!("{{ address = \"{address}\", max_connections = 1 }}");
    let endpoints = two.addresses.map(each).join(", ");
    let cluster = "balance = \"first\"\ntimeout = { queue = \"5m\" }";
    let text = file(&[], "cluster = \"app\"", cluster);
    let gateway = gateway(&text.replace("endpoints = []", &format!("endpoints = [{endpoints}]")));
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::to(&gateway)).collect();
    for (client, (path, at)) in clients.iter_mut().zip([("/0", "one"), ("/1", "other"), ("/2", "")]) {
        client.write(get(path).as_bytes());
        if at.is_empty() {
            wait_for_queue(&gateway, 1);
        } else {
            two.comes(&format!("{at} {path}"));
        }
    }
    // It is in the way of nobody who waits, though it waits for the other alone.
    two.one.send(Then::Close).unwrap();
    two.comes("one /2");
    wait_for_queue(&gateway, 1);
    two.other.send(Then::Answer).unwrap();
    assert_eq!(clients[1].answer("GET").unwrap().status, 200);
    two.comes("other /0");
    for (client, go) in [(0, &two.other), (2, &two.one)] {
        go.send(Then::Answer).unwrap();
        assert_eq!(clients[client].answer("GET").unwrap().status, 200);
    }
}

#[test]
fn who_waits_for_an_endpoint_that_goes_is_told_so_and_counted() {
    let (endpoint, came, go) = held();
    let text = |drain: bool| {
        let endpoints = format!("endpoints = [{{ address = \"{}\", drain = {drain} }}]", endpoint.address);
        let cluster = "max = { connections = 1 }\ntimeout = { queue = \"5m\" }";
        file(&[], "cluster = \"app\"", cluster).replace("endpoints = []", &endpoints)
    };
    let gateway = gateway(&text(false));
    let (mut first, mut second) = (Wire::to(&gateway), Wire::to(&gateway));
    first.write(get("/first").as_bytes());
    came.recv_timeout(PATIENCE).unwrap();
    second.write(get("/second").as_bytes());
    wait_for_queue(&gateway, 1);
    reload(&gateway, &text(true));
    assert_eq!(second.answer("GET").unwrap().status, 503);
    wait_for(&gateway, "foreword_cluster_queued_total{cluster=\"app\",result=\"no_endpoint\"} 1");
    go.send(()).unwrap();
    assert_eq!(first.answer("GET").unwrap().status, 200);
}
