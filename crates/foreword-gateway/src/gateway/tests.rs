use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::thread;

use foreword::Parser;
use foreword_http1::path::PathPolicy;

use super::*;
use crate::plan::{
    Cluster, Endpoint, HeaderPlan, Http2, Keepalive, Least, Limits, Listener, Mode, RequestId, SecondHeader,
    Target, Timeouts, UnknownHeader,
};
use crate::policy::rules::{Ending, Rule, Rules};
use crate::upstream::membership::States;
use crate::upstream::names::server::Server;

fn plan(binds: &[Bind], endpoint: SocketAddr) -> Plan {
    plan_to(binds, Target::Address(endpoint))
}

fn plan_to(binds: &[Bind], target: Target) -> Plan {
    let cluster = Arc::new(Cluster::new("echo", 0, vec![Endpoint::new("echo", target)]));
    let forward = Rule {
        authenticate: None,
        name: "all".into(),
        when: None,
        limits: Vec::new(),
        changes: Vec::new(),
        ending: Some(Ending::Forward(Arc::clone(&cluster))),
    };
    let listener = Listener {
        name: "edge".into(),
        binds: binds.to_vec(),
        mode: Mode::Tcp,
        trust: None,
        header: HeaderPlan {
            deadline: Duration::from_secs(3),
            max_len: 4096,
            waiting: 1024,
            parser: Parser::new(),
            second_header: SecondHeader::Payload,
            chain: NonZeroUsize::MIN,
            unknown: UnknownHeader::Accept,
            datagrams: Default::default(),
        },
        tls: None,
        bounds: Vec::new(),
        rules: Rules::new(vec![forward]),
        timeout: Timeouts::default(),
        keepalive: Keepalive::default(),
        max: Limits::default(),
        min: Least::default(),
        http2: Http2::default(),
        error_pages: Default::default(),
        path: PathPolicy::default(),
        request_id: RequestId::default(),
    };
    Plan {
        workers: NonZeroUsize::new(2).unwrap(),
        name_servers: Vec::new(),
        drain: Duration::from_secs(30),
        listeners: vec![Arc::new(listener)],
        clusters: vec![cluster],
        max_memory: None,
        watch: true,
        acme: None,
        lists: Vec::new(),
        access_log: None,
        admin: None,
        warnings: Vec::new(),
    }
}

fn open_port() -> Bind {
    Bind::Inet("127.0.0.1:0".parse().unwrap())
}

/// Sends back what comes, connection by connection, until the test ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    address
}

fn ask(address: &Bind) -> TcpStream {
    let Bind::Inet(address) = address else { panic!("bound to an inet address") };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    stream
}

#[tokio::test]
async fn bytes_go_both_ways_and_a_drain_ends_when_the_last_connection_does() {
    let gateway = Gateway::start(plan(&[open_port(), open_port()], echo())).unwrap();
    let addresses = gateway.addresses();
    assert_eq!(addresses.len(), 2);
    let open = ask(&addresses[0].address);
    drop(ask(&addresses[1].address));
    let Bind::Inet(address) = &addresses[0].address else { panic!("bound to an inet address") };

    let drain = gateway.drain();
    let close = async {
        tokio::task::spawn_blocking({
            let address = *address;
            move || {
                while TcpStream::connect(address).is_ok() {}
                drop(open);
            }
        })
        .await
        .unwrap();
    };
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(drain, close) }).await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_at_the_deadline() {
    let mut short = plan(&[open_port()], echo());
    short.drain = Duration::from_millis(50);
    let gateway = Gateway::start(short).unwrap();
    let mut open = ask(&gateway.addresses()[0].address);
    gateway.drain().await;
    assert_eq!(open.read(&mut [0]).unwrap_or(0), 0, "the connection is gone");
}

#[test]
fn a_reload_keeps_the_socket_of_a_listener_that_stays() {
    let gateway = Gateway::start(plan(&[open_port()], echo())).unwrap();
    let before = gateway.addresses();
    let open = ask(&before[0].address);
    gateway.reload(plan(&[open_port(), open_port()], echo())).unwrap();
    let after = gateway.addresses();
    assert_eq!(after[0], before[0]);
    assert_eq!(after.len(), 2);
    ask(&after[0].address);
    ask(&after[1].address);
    drop(open);
}

#[test]
fn a_plan_that_cannot_be_bound_changes_nothing() {
    let gateway = Gateway::start(plan(&[open_port()], echo())).unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Bind::Inet(held.local_addr().unwrap());
    let before = gateway.addresses();
    let error = gateway.reload(plan(&[open_port(), taken], echo())).unwrap_err();
    assert!(error.to_string().contains("the address is taken"), "{error}");
    assert_eq!(gateway.addresses(), before);
    ask(&before[0].address);
}

#[test]
fn the_same_address_twice_is_taken_the_second_time() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Gateway::start(plan(&[Bind::Inet(free), Bind::Inet(free)], echo())).unwrap_err();
    assert!(error.to_string().contains("the address is taken"), "{error}");
}

#[test]
fn every_address_and_one_of_them_may_both_be_ours_whichever_comes_first() {
    let open = Bind::Inet("0.0.0.0:0".parse().unwrap());
    let gateway = Gateway::start(plan(std::slice::from_ref(&open), echo())).unwrap();
    let all = gateway.addresses().remove(0).address;
    let Bind::Inet(address) = all else { panic!("bound to an inet address") };
    let one = Bind::Inet(([127, 0, 0, 9], address.port()).into());
    let other = Bind::Inet(([127, 0, 0, 8], address.port()).into());
    gateway.reload(plan(&[open, one.clone()], echo())).unwrap();
    ask(&one);
    ask(&other);
    gateway.reload(plan(std::slice::from_ref(&one), echo())).unwrap();
    ask(&one);
    gateway.reload(plan(&[one.clone(), all], echo())).unwrap();
    ask(&one);
    ask(&other);
}

#[test]
fn a_gateway_that_is_dropped_lets_go_of_its_addresses() {
    let gateway = Gateway::start(plan(&[open_port()], echo())).unwrap();
    let Bind::Inet(address) = gateway.addresses().remove(0).address else {
        panic!("bound to an inet address")
    };
    let mut open = ask(&Bind::Inet(address));
    drop(gateway);
    assert_eq!(open.read(&mut [0]).unwrap_or(0), 0, "the connection is gone");
    while TcpStream::connect(address).is_ok() {}
}

#[test]
fn a_reload_that_brings_another_name_serves_by_the_old_one_until_the_new_one_is_known() {
    let echo = echo();
    let named = |host: &str| Target::Name { host: host.into(), port: echo.port() };
    let server = Server::start();
    server.knows("old.test", &["127.0.0.1"], 300);
    let resolver = server.clone();
    let old = plan_to(&[open_port()], named("old.test"));
    let gateway = Gateway::start_asking(old, move |_: &[SocketAddr]| resolver.resolver()).unwrap();
    let address = gateway.addresses().remove(0).address;
    drop(ask(&address));
    thread::scope(|scope| {
        let reload = scope.spawn(|| gateway.reload(plan_to(&[open_port()], named("new.test"))));
        server.was_asked_for("new.test");
        drop(ask(&address));
        server.knows("new.test", &["127.0.0.1"], 300);
        reload.join().unwrap().unwrap();
    });
    drop(ask(&address));
}

#[test]
fn whoever_the_kernel_took_in_is_served_even_if_the_drain_comes_right_behind_the_plan() {
    let plan = plan(&[open_port()], echo());
    let mut sockets = Sockets::new(&plan, 1);
    let doors = sockets.follow(&plan).unwrap().iter_mut().map(Doorway::for_next_worker).collect();
    let Bind::Inet(address) = sockets.addresses().remove(0).address else { panic!("an inet address") };
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(b"hello").unwrap();

    let (order, orders) = async_mpsc::unbounded_channel();
    let (taken, _answers) = mpsc::channel();
    order.send(Order::Plan(NewPlan { generation: 1, doors, taken })).unwrap();
    order.send(Order::Drain).unwrap();
    let (running, _) = watch::channel(1);
    let (observer, names) = (Observer::new(1), Arc::default());
    let states = States::new(Arc::clone(&observer));
    let start = worker::Start {
        number: 0,
        observer,
        names,
        states,
        challenges: Arc::default(),
        kept: 0,
        pipes: 0,
        pressure: crate::admission::pressure::Pressure::new(),
        orders,
        running,
    };
    worker::start(start).unwrap();
    let mut answer = [0; 5];
    early.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}
