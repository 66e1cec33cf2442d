//! Clients that leave before they have their answer: their request holds nothing any more, and has its line.

use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foreword_gateway::Gateway;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::balance::held;
use crate::support::*;
use crate::tls::certificate;

/// A gateway whose endpoint takes no connection, and never says so.
pub(crate) struct Waiting {
    pub(crate) gateway: Gateway,
    endpoint: Full,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Waiting {
    /// `listener` is more keys of the listener.
    pub(crate) fn new(listener: &str) -> Self {
        Self::by_file(listener, |text| text)
    }

    /// The same in tcp mode.
    fn in_tcp_mode() -> Self {
        Self::by_file("", |text| text.replace("mode = \"http\"", "mode = \"tcp\""))
    }

    fn by_file(listener: &str, change: impl FnOnce(String) -> String) -> Self {
        let (endpoint, folder) = (Full::new(), tempfile::tempdir().unwrap());
        let log = folder.path().join("access.log");
        let (keys, cluster) = (format!("{listener}\ncluster = \"app\""), "timeout = { connect = \"5m\" }");
        let text = change(file(&[endpoint.address], &keys, cluster)) + &logging(&log);
        Self { gateway: gateway(&text), endpoint, log, _folder: folder }
    }

    /// How many sockets there are that connect, and how many places at the endpoint are taken.
    pub(crate) fn held(&self) -> (usize, usize) {
        let in_use = metric(&self.gateway, "foreword_endpoint_in_use{");
        (self.endpoint.connecting(), in_use as usize)
    }

    /// Waits until so many requests wait.
    pub(crate) fn until(&self, count: usize) {
        wait_until(&format!("{count} wait"), || self.held() == (count, count));
    }

    /// What the log says, once it tells of so many.
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        lines(&self.log, count)
    }
}

fn logging(log: &std::path::Path) -> String {
    let format = "{http.response.status_code} {termination} {termination.state}";
    format!("[log.access]\nto = \"file:{}\"\nformat = \"{format}\"\n", log.display())
}

fn lines(log: &std::path::Path, count: usize) -> Vec<String> {
    let lines = || -> Vec<String> {
        std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    wait_until(&format!("{count} lines"), || lines().len() >= count);
    lines()
}

/// The value of the first series whose line begins so.
pub(crate) fn metric(gateway: &Gateway, begins: &str) -> f64 {
    let mut page = String::new();
    gateway.observer().write_metrics(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with(begins));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_client_that_resets_while_we_connect_is_asked_for_no_more() {
    let begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    // More of it than is read ahead.
    let posted = [&begun[..], &[b'x'; 100_000]].concat();
    for said in [GET, begun, &posted] {
        let waiting = Waiting::new("");
        let mut client = Wire::to(&waiting.gateway);
        client.write(said);
        waiting.until(1);
        client.reset();
        assert_eq!(waiting.lines(1), ["- aborted CC--"], "{} bytes", said.len());
        waiting.until(0);
    }
}

#[test]
fn a_client_under_tls_that_resets_or_breaks_off_while_we_connect_is_asked_for_no_more() {
    for is_reset in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (keys, config) = certificate(folder.path());
        let waiting = Waiting::new(&keys);
        let tcp = Wire::to(&waiting.gateway).stream;
        let socket = tcp.try_clone().unwrap();
        let mut client = under_tls(tcp, config);
        std::io::Write::write_all(&mut client, GET).unwrap();
        waiting.until(1);
        drop(client);
        if is_reset {
            Wire::new(socket).reset();
        } else {
            // Nobody who means to hear an answer ends TLS so.
            drop(socket);
        }
        assert_eq!(waiting.lines(1), ["- aborted CC--"], "reset: {is_reset}");
        waiting.until(0);
    }
}

fn under_tls(
    tcp: std::net::TcpStream,
    config: ClientConfig,
) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

#[test]
fn a_client_in_tcp_mode_that_resets_while_we_connect_holds_nothing_any_more() {
    let waiting = Waiting::in_tcp_mode();
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::to(&waiting.gateway)).collect();
    clients[0].write(b"its first words");
    clients[1].finish();
    waiting.until(3);
    clients.remove(2).reset();
    clients.remove(0).reset();
    assert_eq!(waiting.lines(2), ["- aborted CC--"; 2]);
    // Who only says no more still wants to hear.
    waiting.until(1);
}

#[test]
fn a_client_that_resets_leaves_the_line_and_one_that_only_says_no_more_has_its_turn() {
    let (endpoint, came, go) = held();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let cluster = "max = { connections = 1 }\ntimeout = { queue = \"5m\" }";
    let gateway = gateway(&(file(&[endpoint.address], "cluster = \"app\"", cluster) + &logging(&log)));
    let stands = |count: usize| {
        wait_until("the line", || metric(&gateway, "foreword_cluster_queue{") == count as f64);
    };
    let mut clients: Vec<Wire> = Vec::new();
    for place in 0..4 {
        let mut client = Wire::to(&gateway);
        client.write(GET);
        if place == 0 {
            came.recv_timeout(PATIENCE).unwrap();
        }
        stands(place);
        clients.push(client);
    }
    clients.remove(1).reset();
    stands(2);
    assert_eq!(lines(&log, 1), ["- aborted CQ--"]);
    let left = "foreword_cluster_queued_total{cluster=\"app\",result=\"abandoned\"}";
    assert_eq!(metric(&gateway, left), 1.0);
    clients[1].finish();
    for (place, client) in clients.iter_mut().enumerate() {
        if place > 0 {
            came.recv_timeout(PATIENCE).unwrap();
        }
        go.send(()).unwrap();
        assert_eq!(client.answer("GET").unwrap().status, 200);
    }
    stands(0);
}

/// An endpoint that tells when a request has come, says `begins`, and then tells when its connection is over.
fn thinking(begins: &'static [u8]) -> (Endpoint, Receiver<&'static str>) {
    let (tell, told) = events();
    let endpoint = Endpoint::new(move |wire| {
        wire.head().unwrap();
        wire.write(begins);
        tell.lock().unwrap().send("asked").unwrap();
        while wire.fill() > 0 {}
        tell.lock().unwrap().send("left").unwrap();
    });
    (endpoint, told)
}

const SLOW: &str = "timeout = { response = \"5m\" }\nmax = { connections = 1 }";

/// A gateway that waits long for its clients and its endpoint, and its log.
fn patient(endpoint: &Endpoint) -> (Gateway, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let listener = "cluster = \"app\"\ntimeout = { idle = \"5m\" }";
    (gateway(&(file(&[endpoint.address], listener, SLOW) + &logging(&log))), log, folder)
}

#[test]
fn a_client_that_resets_while_its_endpoint_thinks_takes_its_request_with_it_however_much_it_said_ahead() {
    for ahead in [0, 20 * 1024, 200 * 1024] {
        let (endpoint, told) = thinking(b"");
        let (gateway, log, _folder) = patient(&endpoint);
        let mut client = Wire::to(&gateway);
        client.write(&[GET, &vec![b'x'; ahead]].concat());
        assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
        client.reset();
        assert_eq!(told.recv_timeout(PATIENCE), Ok("left"), "{ahead} bytes");
        assert_eq!(lines(&log, 1), ["- aborted CH--"], "{ahead} bytes");
        wait_until("its place is free", || metric(&gateway, "foreword_endpoint_in_use{") == 0.0);
    }
}

#[test]
fn a_client_that_said_no_more_and_then_resets_takes_an_answer_with_it_that_has_begun() {
    let (endpoint, told) = thinking(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nit ");
    let (gateway, log, _folder) = patient(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET);
    client.finish();
    assert!(client.head().is_some());
    client.reset();
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("left"));
    assert_eq!(lines(&log, 1), ["200 aborted CD--"]);
}

#[test]
fn a_client_that_resets_while_its_endpoint_takes_no_more_of_its_body_takes_its_request_with_it() {
    let (go, goes) = channel();
    let goes = Mutex::new(goes);
    let endpoint = Endpoint::new(move |wire| {
        wire.head().unwrap();
        // It reads again once its client is gone.
        goes.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    });
    let (gateway, log, _folder) = patient(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    // Until nobody takes any more.
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while std::io::Write::write(&mut client.stream, &[b'x'; 65536]).is_ok() {}
    client.reset();
    assert_eq!(lines(&log, 1), ["- aborted CH--"]);
    wait_until("its place is free", || metric(&gateway, "foreword_endpoint_in_use{") == 0.0);
    go.send(()).unwrap();
}

/// Has clients come one after the other, each of which resets as soon as it is connected for. `endpoint` is known to be chosen.
fn come_and_go(gateway: &Gateway, endpoint: &Full, times: usize) {
    for place in 0..times {
        let mut client = Wire::to(gateway);
        client.write(GET);
        wait_until("it is connected for", || endpoint.connecting() > 0);
        client.reset();
        wait_until("its place is free", || metric(gateway, "foreword_endpoint_in_use{") == 0.0);
        let going_on = endpoint.connecting();
        assert!(going_on <= 3.min(place + 1), "{going_on} go on connecting after {place}");
    }
}

const IMPATIENT: &str = "timeout = { connect = \"1s\" }\nbalance = \"first\"\n\
                         ejection = { failures = 3, time = \"1h\", max_time = \"1h\", max_share = 100 }";

#[test]
fn an_endpoint_that_takes_no_connection_is_ejected_though_no_client_waits_for_that() {
    let endpoint = Full::new();
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", IMPATIENT));
    come_and_go(&gateway, &endpoint, 12);
    wait_until("it is ejected", || metric(&gateway, "foreword_endpoint_ejections_total{") == 1.0);
    wait_until("nobody goes on", || endpoint.connecting() == 0);
}

/// An endpoint that takes connections, tells of each when it begins to speak and when it is over, and says nothing. The connections
/// are there as well, for who would end them.
fn silent() -> (Endpoint, Receiver<&'static str>, Receiver<TcpStream>) {
    let (tell, told) = events();
    let (give, taken) = events();
    let endpoint = Endpoint::new(move |wire| {
        assert!(wire.fill() > 0);
        let _nobody_asks = give.lock().unwrap().send(wire.stream.try_clone().unwrap());
        tell.lock().unwrap().send("hello").unwrap();
        while wire.fill() > 0 {}
        let _nobody_asks = tell.lock().unwrap().send("over");
    });
    (endpoint, told, taken)
}

const UNDER_TLS: &str = "tls = { verify = false }\nbalance = \"first\"\n\
                         ejection = { failures = 3, time = \"1h\", max_time = \"1h\", max_share = 100 }";

#[test]
fn an_endpoint_whose_tls_never_answers_is_ejected_though_no_client_waits_for_that() {
    for mode in ["http", "tcp"] {
        let (endpoint, told, _) = silent();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let cluster = format!("timeout = {{ connect = \"1s\" }}\n{UNDER_TLS}");
        let text = file(&[endpoint.address], "cluster = \"app\"", &cluster) + &logging(&log);
        let gateway = gateway(&text.replace("mode = \"http\"", &format!("mode = \"{mode}\"")));
        for place in 1..=3 {
            let mut client = Wire::to(&gateway);
            client.write(GET);
            while told.recv_timeout(PATIENCE).unwrap() != "hello" {}
            client.reset();
            let aborted = lines(&log, place).iter().all(|line| line.starts_with("- aborted "));
            assert!(aborted, "{:?} in {mode} mode", lines(&log, place));
            wait_until("its place is free", || metric(&gateway, "foreword_endpoint_in_use{") == 0.0);
        }
        wait_until("it is ejected", || metric(&gateway, "foreword_endpoint_ejections_total{") == 1.0);
        assert_eq!(metric(&gateway, "foreword_endpoint_failures_total{"), 3.0, "{mode} mode");
    }
}

#[test]
fn no_more_handshakes_go_on_for_clients_that_left_than_it_takes_to_tell_how_the_endpoint_is() {
    let (endpoint, told, taken) = silent();
    let cluster = format!("timeout = {{ connect = \"5m\" }}\n{UNDER_TLS}");
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", &cluster));
    let mut clients: Vec<Wire> = (0..5).map(|_| Wire::to(&gateway)).collect();
    for client in &mut clients {
        client.write(GET);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("hello"));
    }
    clients.into_iter().for_each(Wire::reset);
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(PATIENCE), Ok("over"));
    }
    wait_until("their places are free", || metric(&gateway, "foreword_endpoint_in_use{") == 0.0);
    // What goes on hears of the end, and tells of it.
    for stream in taken.try_iter() {
        let _over_already = stream.shutdown(Shutdown::Both);
    }
    wait_until("three went on", || metric(&gateway, "foreword_endpoint_failures_total{") == 3.0);
}

#[test]
fn a_gateway_that_ends_leaves_no_handshake_that_goes_on() {
    let (endpoint, told, _) = silent();
    let cluster = format!("timeout = {{ connect = \"5m\" }}\n{UNDER_TLS}");
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", &cluster));
    let mut client = Wire::to(&gateway);
    client.write(GET);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("hello"));
    client.reset();
    wait_until("its place is free", || metric(&gateway, "foreword_endpoint_in_use{") == 0.0);
    drop(gateway);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("over"));
}

#[test]
fn a_gateway_that_ends_leaves_no_connection_that_goes_on() {
    let endpoint = Full::new();
    let cluster = IMPATIENT.replace("1s", "5m");
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", &cluster));
    come_and_go(&gateway, &endpoint, 1);
    assert_eq!(endpoint.connecting(), 1);
    let mut waits = Wire::to(&gateway);
    waits.write(GET);
    wait_until("two connect", || endpoint.connecting() == 2);
    drop(gateway);
    wait_until("nobody goes on", || endpoint.connecting() == 0);
}

const MULTIPLEXED: &str = "protocol = \"h2\"\ntimeout = { connect = \"5m\" }";

#[test]
fn a_connection_that_all_share_is_opened_though_the_client_that_wanted_it_first_has_left() {
    let endpoint = Full::new();
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", MULTIPLEXED));
    let in_use = |count: usize| {
        wait_until("its place", || metric(&gateway, "foreword_endpoint_in_use{") == count as f64);
    };
    let mut first = Wire::to(&gateway);
    first.write(GET);
    wait_until("it is connected for", || endpoint.connecting() == 1);
    first.reset();
    in_use(0);
    assert_eq!(endpoint.connecting(), 1, "it is for everyone");
    let mut second = Wire::to(&gateway);
    second.write(GET);
    in_use(1);
    let mut taken = endpoint.takes_one();
    taken.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    // A frame HEADERS of the first stream, which ends with it.
    while !said.windows(6).any(|bytes| bytes == [1, 5, 0, 0, 0, 1]) {
        let mut more = [0; 1024];
        let count = std::io::Read::read(&mut taken, &mut more).unwrap();
        assert!(count > 0, "{said:?}");
        said.extend_from_slice(&more[..count]);
    }
    assert!(said.starts_with(b"PRI * HTTP/2.0"));
    assert!(!endpoint.has_another());
}

#[test]
fn a_connection_that_speaks_for_one_client_is_given_up_with_it() {
    let endpoint = Full::new();
    let cluster = format!("{MULTIPLEXED}\nsend_header = \"v2\"");
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", &cluster));
    let mut client = Wire::to(&gateway);
    client.write(GET);
    wait_until("it is connected for", || endpoint.connecting() == 1);
    client.reset();
    wait_until("it is given up", || endpoint.connecting() == 0);
}

#[test]
fn who_waits_for_the_same_connection_is_told_at_once_that_it_cannot_be_had() {
    let endpoint = Full::new();
    let cluster = MULTIPLEXED.replace("5m", "3s");
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", &cluster));
    let mut clients: Vec<Wire> = (0..5).map(|_| Wire::to(&gateway)).collect();
    clients.iter_mut().for_each(|client| client.write(GET));
    wait_until("all wait", || metric(&gateway, "foreword_endpoint_in_use{") == 5.0);
    for client in &mut clients {
        assert_eq!(client.answer("GET").unwrap().status, 504);
    }
    assert_eq!(metric(&gateway, "foreword_endpoint_failures_total{"), 1.0, "one connection was not made");
}
