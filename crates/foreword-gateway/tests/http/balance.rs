//! Several endpoints: who is asked, who waits, who is asked again, and what becomes of requests while endpoints come and go.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use foreword_gateway::{Gateway, config};
use socket2::SockRef;

use crate::nobody::nobody;
use crate::support::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Tells of each request by its path, and answers it when it is told to go on.
pub(crate) fn held() -> (Endpoint, Receiver<String>, Sender<()>) {
    let (come, came) = channel();
    let (go, goes) = channel();
    let both = Mutex::new((come, goes));
    let endpoint = Endpoint::new(move |wire| {
        while let Some((head, _)) = wire.request() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let both = both.lock().unwrap();
            both.0.send(path).unwrap();
            both.1.recv_timeout(PATIENCE).unwrap();
            drop(both);
            wire.write(OK);
        }
    });
    (endpoint, came, go)
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Waits until a line of the metrics is there.
pub(crate) fn wait_for(gateway: &Gateway, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut text = String::new();
        gateway.observer().write_metrics(&mut text).unwrap();
        if text.lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < deadline, "never `{line}` in:\n{text}");
        thread::yield_now();
    }
}

/// Waits until so many wait in the queue of the cluster `app`.
pub(crate) fn wait_for_queue(gateway: &Gateway, count: u32) {
    wait_for(gateway, &format!("foreword_cluster_queue{{cluster=\"app\"}} {count}.0"));
}

fn limited(endpoint: &Endpoint, cluster: &str) -> String {
    let text = file(&[], "cluster = \"app\"", cluster);
    let endpoints = format!("endpoints = [{{ address = \"{}\", max_connections = 1 }}]", endpoint.address);
    // Limits are those of all workers together.
    text.replace("endpoints = []", &endpoints).replace("workers = 1", "workers = 2")
}

#[test]
fn who_comes_when_an_endpoint_has_as_many_as_it_may_waits_and_who_came_first_is_served_first() {
    let (endpoint, came, go) = held();
    let gateway = gateway(&limited(&endpoint, ""));
    let mut clients = Vec::new();
    for (waiting, path) in ["/0", "/1", "/2", "/3"].into_iter().enumerate() {
        let mut client = Wire::to(&gateway);
        client.write(get(path).as_bytes());
        if waiting == 0 {
            assert_eq!(came.recv_timeout(PATIENCE).unwrap(), "/0");
        }
        wait_for_queue(&gateway, waiting as u32);
        clients.push(client);
    }
    for (place, client) in clients.iter_mut().enumerate() {
        assert!(came.try_recv().is_err(), "nobody is asked before their turn");
        go.send(()).unwrap();
        assert_eq!(client.answer("GET").unwrap().status, 200);
        if place < 3 {
            assert_eq!(came.recv_timeout(PATIENCE).unwrap(), format!("/{}", place + 1));
        }
    }
    wait_for_queue(&gateway, 0);
}

#[test]
fn where_the_queue_is_full_or_nobody_ends_in_time_503_is_answered() {
    for (cluster, code) in [("max = { queue = 0 }", "FW721"), ("timeout = { queue = \"100ms\" }", "FW722")] {
        let (endpoint, came, go) = held();
        let gateway = gateway(&limited(&endpoint, cluster));
        let mut first = Wire::to(&gateway);
        first.write(get("/first").as_bytes());
        came.recv_timeout(PATIENCE).unwrap();
        let mut other = Wire::to(&gateway);
        let answer = other.ask(&get("/other"));
        assert_eq!((answer.status, answer.text().as_str()), (503, "503 Service Unavailable\n"), "{cluster}");
        wait_for(&gateway, &format!("foreword_refusals_total{{listener=\"web\",code=\"{code}\"}} 1"));
        go.send(()).unwrap();
        assert_eq!(first.answer("GET").unwrap().status, 200);
        go.send(()).unwrap();
        // The place is given back behind the answer, and another worker may look before.
        let begun = Instant::now();
        while other.ask(&get("/again")).status != 200 {
            assert!(begun.elapsed() < PATIENCE, "there is room again");
        }
    }
}

#[test]
fn who_had_the_only_endpoint_in_vain_is_told_so_though_others_wait_for_it() {
    let endpoint = Full::new();
    let cluster = "max = { connections = 1 }\ntimeout = { connect = \"200ms\", queue = \"5m\" }";
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", cluster));
    let mut clients: Vec<Wire> = (0..4).map(|_| Wire::to(&gateway)).collect();
    for client in &mut clients {
        client.write(get("/").as_bytes());
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").unwrap().status, 504);
    }
    wait_for(&gateway, "foreword_refusals_total{listener=\"web\",code=\"FW502\"} 4");
}

#[test]
fn a_limit_of_the_cluster_holds_for_all_of_its_endpoints() {
    let (one, came, go) = held();
    let two = Endpoint::polite();
    let cluster = "max = { connections = 1, queue = 0 }\nbalance = \"first\"";
    let gateway = gateway(&file(&[one.address, two.address], "cluster = \"app\"", cluster));
    let mut first = Wire::to(&gateway);
    first.write(get("/first").as_bytes());
    came.recv_timeout(PATIENCE).unwrap();
    assert_eq!(Wire::to(&gateway).ask(&get("/other")).status, 503);
    assert_eq!(two.seen.connections(), 0);
    go.send(()).unwrap();
    assert_eq!(first.answer("GET").unwrap().status, 200);
}

#[test]
fn a_client_that_asks_nothing_holds_no_place_that_is_limited() {
    let endpoint = Endpoint::polite();
    // A connection that carried a header is its client's alone, and would be kept for the next request.
    let gateway = gateway(&limited(&endpoint, "send_header = \"v1\""));
    let mut clients = [(); 3].map(|()| Wire::to(&gateway));
    for client in &mut clients {
        assert_eq!(client.ask(&get("/")).status, 200);
    }
    assert_eq!(clients[0].ask(&get("/again")).status, 200);
}

/// Answers every request with a name.
fn named(name: &'static str) -> Endpoint {
    Endpoint::new(move |wire| {
        while wire.request().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            wire.write(head.as_bytes());
        }
    })
}

#[test]
fn the_same_value_leads_to_the_same_endpoint_and_without_one_each_has_its_turn() {
    let all = ["a", "b", "c"].map(named);
    let addresses = all.each_ref().map(|endpoint| endpoint.address);
    let cluster = "balance = { hash = 'field[\"x-user\"]' }";
    let text = file(&addresses, "cluster = \"app\"", cluster).replace("workers = 1", "workers = 2");
    let gateway = gateway(&text);
    let ask = |user: Option<u32>| {
        let field = user.map_or(String::new(), |user| format!("X-User: {user}\r\n"));
        Wire::to(&gateway).ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n")).text()
    };
    let led: Vec<String> = (0..30).map(|user| ask(Some(user))).collect();
    let again: Vec<String> = (0..30).map(|user| ask(Some(user))).collect();
    assert_eq!(led, again, "whichever worker and connection it is");
    for name in ["a", "b", "c"] {
        assert!(led.iter().any(|led| led == name), "{name} gets nobody: {led:?}");
    }
    let mut keyless = HashMap::<String, u32>::new();
    let mut client = Wire::to(&gateway);
    for _ in 0..30 {
        *keyless.entry(client.ask(&get("/")).text()).or_default() += 1;
    }
    assert_eq!(keyless.into_values().collect::<Vec<_>>(), [10; 3]);
}

#[test]
fn weights_are_honoured_and_backups_wait() {
    let [heavy, light, backup] = ["heavy", "light", "backup"].map(named);
    let endpoints = format!(
        "endpoints = [{{ address = \"{}\", weight = 3 }}, \"{}\", {{ address = \"{}\", backup = true }}]",
        heavy.address, light.address, backup.address
    );
    let text = file(&[], "cluster = \"app\"", "").replace("endpoints = []", &endpoints);
    let gateway = gateway(&text);
    let mut client = Wire::to(&gateway);
    let mut had = HashMap::<String, u32>::new();
    for _ in 0..40 {
        *had.entry(client.ask(&get("/")).text()).or_default() += 1;
    }
    assert_eq!(had, HashMap::from([("heavy".to_owned(), 30), ("light".to_owned(), 10)]));
}

#[test]
fn a_backup_is_asked_when_the_others_cannot_be() {
    let backup = named("backup");
    let nobody = nobody();
    let endpoints =
        format!("endpoints = [\"{nobody}\", {{ address = \"{}\", backup = true }}]", backup.address);
    let gateway = gateway(&file(&[], "cluster = \"app\"", "").replace("endpoints = []", &endpoints));
    assert_eq!(Wire::to(&gateway).ask(&get("/")).text(), "backup");
}

#[test]
fn an_endpoint_that_dies_before_it_answers_is_no_loss_where_a_request_may_be_said_twice() {
    let dying = Endpoint::new(|wire| {
        wire.request();
    });
    let living = Endpoint::polite();
    let gateway = gateway(&file(&[dying.address, living.address], "cluster = \"app\"", ""));
    let mut client = Wire::to(&gateway);
    for _ in 0..4 {
        assert_eq!(client.ask(&get("/")).status, 200);
    }
    let statuses: Vec<u16> = (0..4)
        .map(|n| client.ask(&format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).status)
        .collect();
    assert!(statuses.contains(&502), "{statuses:?}");
    for n in 0..4 {
        let said =
            format!("{}{}", dying.seen.text(), living.seen.text()).matches(&format!("POST /{n} ")).count();
        assert_eq!(said, 1, "POST /{n}");
    }
}

#[test]
fn without_retries_nothing_is_said_twice() {
    let dying = Endpoint::new(|wire| {
        wire.request();
    });
    let living = Endpoint::polite();
    let cluster = "retries = 0\nbalance = \"first\"";
    let gateway = gateway(&file(&[dying.address, living.address], "cluster = \"app\"", cluster));
    assert_eq!(Wire::to(&gateway).ask(&get("/")).status, 502);
    assert_eq!(living.seen.connections(), 0);
}

/// Reads the file anew, with other endpoints.
pub(crate) fn reload(gateway: &Gateway, text: &str) {
    let configuration =
        config::parse(text, "test.toml", Path::new(".")).unwrap_or_else(|told| panic!("{told}"));
    gateway.reload(configuration.plan).unwrap();
}

/// Clients that ask all the time, until they are told to stop: what they got, by status; and which requests were said.
struct Crowd {
    stop: Arc<AtomicBool>,
    /// How many requests were begun.
    number: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<Got>>,
}

#[derive(Default)]
struct Got {
    /// GETs that were not answered with 200, and what came instead.
    lost: Vec<String>,
    gets: u64,
    posts: u64,
    failed_posts: u64,
}

impl Crowd {
    fn of(count: u64, gateway: &Gateway) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let number = Arc::<AtomicU64>::default();
        let address = address(gateway);
        let client = |_| {
            let (stop, number) = (Arc::clone(&stop), Arc::clone(&number));
            thread::spawn(move || ask_until(&stop, &number, address))
        };
        let clients = (0..count).map(client).collect();
        Self { stop, number, clients }
    }

    /// Waits for so long, and until so many more were asked: on a busy machine that is what takes time.
    fn has_asked(&self, more: u64, pause: Duration) {
        let (deadline, before) = (Instant::now() + PATIENCE, self.number.load(Ordering::SeqCst));
        thread::sleep(pause);
        while self.number.load(Ordering::SeqCst) < before + more {
            assert!(Instant::now() < deadline, "nobody asks any more");
            thread::yield_now();
        }
    }

    fn stop(self) -> Got {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Got::default();
        for client in self.clients {
            let got = client.join().unwrap();
            all.lost.extend(got.lost);
            all.gets += got.gets;
            all.posts += got.posts;
            all.failed_posts += got.failed_posts;
        }
        all
    }
}

fn ask_until(stop: &AtomicBool, number: &AtomicU64, address: SocketAddr) -> Got {
    let mut got = Got::default();
    let mut wire: Option<Wire> = None;
    while !stop.load(Ordering::SeqCst) {
        let n = number.fetch_add(1, Ordering::SeqCst);
        let method = if n.is_multiple_of(4) { "POST" } else { "GET" };
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let client = wire.get_or_insert_with(|| Wire::new(TcpStream::connect(address).unwrap()));
        client.write(format!("{method} /{n} HTTP/1.1\r\nHost: a\r\n{length}\r\n").as_bytes());
        let answer = client.answer(method);
        let is_good = answer.as_ref().is_some_and(|answer| answer.status == 200);
        match (method, is_good) {
            ("GET", good) => {
                got.gets += 1;
                if !good {
                    got.lost.push(format!("{n}: {answer:?}"));
                }
            }
            (_, good) => {
                got.posts += 1;
                got.failed_posts += u64::from(!good);
            }
        }
        let goes_on = answer.is_some_and(|answer| answer.field("Connection") != Some("close"));
        if !goes_on {
            wire = None;
        }
    }
    got
}

/// An endpoint that can be killed and started again, and remembers which requests it was sent.
struct Mortal {
    address: SocketAddr,
    said: Arc<Mutex<HashMap<String, u32>>>,
    life: Option<Life>,
}

struct Life {
    listener: TcpListener,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    accepting: thread::JoinHandle<()>,
}

impl Mortal {
    /// At an address that nobody else has: while it is dead its port is free, and all that is bound or connects meanwhile
    /// takes ports of 127.0.0.1.
    fn new() -> Self {
        let address = TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
        let mut mortal = Self { address, said: Arc::default(), life: None };
        mortal.live();
        mortal
    }

    fn live(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let connections = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (accepts, all, said) =
            (listener.try_clone().unwrap(), Arc::clone(&connections), Arc::clone(&self.said));
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = accepts.accept() {
                all.lock().unwrap().push(stream.try_clone().unwrap());
                let said = Arc::clone(&said);
                thread::spawn(move || answer(stream, &said));
            }
        });
        self.life = Some(Life { listener, connections, accepting });
    }

    /// Dies as a process does: nobody is let go, and whoever still waits to be accepted is reset.
    fn die(&mut self) {
        let Some(Life { listener, connections, accepting }) = self.life.take() else { return };
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        accepting.join().unwrap();
        drop(listener);
        for stream in connections.lock().unwrap().drain(..) {
            let _gone = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

fn answer(stream: TcpStream, said: &Mutex<HashMap<String, u32>>) {
    let mut wire = Wire::new(stream);
    while let Some((head, _)) = wire.request() {
        let line = head.lines().next().unwrap().to_owned();
        *said.lock().unwrap().entry(line).or_default() += 1;
        wire.write(OK);
    }
}

#[test]
fn endpoints_that_are_killed_and_started_again_cost_no_get_and_repeat_no_post() {
    let mut all = [(); 3].map(|()| Mortal::new());
    let addresses = all.each_ref().map(|mortal| mortal.address);
    let gateway = gateway(&file(&addresses, "cluster = \"app\"", "").replace("workers = 1", "workers = 2"));
    let crowd = Crowd::of(6, &gateway);
    for round in 0..12 {
        let mortal = &mut all[round % 3];
        crowd.has_asked(50, Duration::from_millis(150));
        mortal.die();
        crowd.has_asked(50, Duration::from_millis(150));
        mortal.live();
    }
    let got = crowd.stop();
    assert!(got.gets > 500 && got.posts > 100, "{} and {} are too few to tell", got.gets, got.posts);
    assert!(got.lost.is_empty(), "{} of {} were lost: {:?}", got.lost.len(), got.gets, got.lost);
    let mut said = HashMap::<String, u32>::new();
    for mortal in &all {
        for (line, times) in mortal.said.lock().unwrap().iter() {
            *said.entry(line.clone()).or_default() += times;
        }
    }
    let twice: Vec<_> = said.iter().filter(|(line, times)| line.starts_with("POST") && **times > 1).collect();
    assert!(twice.is_empty(), "said twice: {twice:?}");
    all.iter_mut().for_each(Mortal::die);
}

#[test]
fn a_set_that_changes_under_load_loses_nothing() {
    let all = [(); 3].map(|()| Endpoint::polite());
    let text = |set: &[usize]| {
        let addresses: Vec<_> = set.iter().map(|place| all[*place].address).collect();
        file(&addresses, "cluster = \"app\"", "").replace("workers = 1", "workers = 2")
    };
    let gateway = gateway(&text(&[0, 1]));
    let crowd = Crowd::of(4, &gateway);
    for round in 0..20 {
        crowd.has_asked(50, Duration::from_millis(50));
        reload(&gateway, &text([&[1, 2][..], &[2, 0], &[0, 1]][round % 3]));
    }
    let got = crowd.stop();
    assert!(got.gets > 500, "{} are too few to tell", got.gets);
    assert!(got.lost.is_empty() && got.failed_posts == 0, "{:?}, {} POSTs", got.lost, got.failed_posts);
}

#[test]
fn an_endpoint_that_drains_answers_what_it_has_and_gets_nothing_new() {
    let (leaving, came, go) = held();
    let staying = named("staying");
    let text = |drain: bool| {
        let endpoints = format!(
            "endpoints = [{{ address = \"{}\", drain = {drain} }}, {{ address = \"{}\", backup = true }}]",
            leaving.address, staying.address
        );
        file(&[], "cluster = \"app\"", "").replace("endpoints = []", &endpoints)
    };
    let gateway = gateway(&text(false));
    let mut first = Wire::to(&gateway);
    let mut kept = Wire::to(&gateway);
    first.write(get("/held").as_bytes());
    came.recv_timeout(PATIENCE).unwrap();
    reload(&gateway, &text(true));
    for client in [&mut kept, &mut Wire::to(&gateway)] {
        assert_eq!(client.ask(&get("/new")).text(), "staying", "one that came before the reload as well");
    }
    go.send(()).unwrap();
    assert_eq!(first.answer("GET").unwrap().text(), "ok");
    reload(&gateway, &text(false));
    go.send(()).unwrap();
    assert_eq!(Wire::to(&gateway).ask(&get("/back")).text(), "ok");
}
