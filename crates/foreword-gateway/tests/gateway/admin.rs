//! The admin socket: what it answers, to whom, and how it ends.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use foreword_gateway::plan::Bind;
use tempfile::TempDir;

use crate::access_log::http;
use crate::metrics::{scrape, value};
use crate::support::{Endpoint, PATIENCE, Running, client, read_all, wait_until};

fn start(dir: &TempDir, bind: &str) -> Running {
    let file = http(&Endpoint::echo(), &format!("[admin]\nbind = \"{bind}\"\n"));
    Running::start_in(dir.path(), &file)
}

/// Sends `request` as it is and gives the whole answer.
fn send(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be refused before it is whole.
    let _refused = stream.write_all(request);
    String::from_utf8(read_all(&mut stream)).unwrap()
}

pub(crate) fn get(path: &Path, target: &str) -> String {
    send(path, format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes())
}

#[test]
fn four_paths_are_answered_and_no_other() {
    let dir = TempDir::new().unwrap();
    let _running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);

    let metrics = get(&socket, "/metrics");
    assert!(
        metrics.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0")
    );
    assert!(metrics.ends_with("# EOF\n"));
    assert!(get(&socket, "/healthz").ends_with("\r\n\r\nok\n"));
    assert!(get(&socket, "/readyz?verbose").ends_with("\r\n\r\nready\n"));
    for target in ["/", "/metrics/", "/metricsx", "/healthz/../metrics"] {
        assert!(get(&socket, target).starts_with("HTTP/1.1 404 "), "{target}");
    }
}

#[test]
fn only_sound_and_short_reads_are_answered() {
    let dir = TempDir::new().unwrap();
    let _running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    let head = send(&socket, b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(
        send(&socket, b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .starts_with("HTTP/1.1 405")
    );
    assert!(send(&socket, b"\x16\x03\x01").starts_with("HTTP/1.1 4"));
    assert!(send(&socket, b"GET / HTTP/1.1\nHost: a\n\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
    let long = |before: &[u8]| [before, &[b'x'; 100_000]].concat();
    let fields = send(&socket, &long(b"GET / HTTP/1.1\r\nHost: a\r\nX: "));
    assert!(fields.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{fields}");
    let target = send(&socket, &long(b"GET /"));
    assert!(target.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{target}");
}

#[test]
fn whoever_says_nothing_keeps_nobody_waiting() {
    let dir = TempDir::new().unwrap();
    let _running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    // More than there are places: the oldest make room.
    let mut held: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert!(get(&socket, "/healthz").starts_with("HTTP/1.1 200"));
    // So it is with those who ask and do not take the answer.
    for place in 0..100 {
        held.push(UnixStream::connect(&socket).unwrap());
        held.last_mut().unwrap().write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(get(&socket, "/healthz").starts_with("HTTP/1.1 200"), "{place}");
    }
}

#[test]
fn a_gateway_that_drains_is_alive_and_not_ready() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, "unix:admin.sock");
    let socket = dir.path().join("admin.sock");
    // An unfinished request holds the drain open.
    let mut stream = client(running.address("web"));
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    wait_until("the connection is taken", || running.gateway.open_connections() == 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let drained = running.gateway.drain();
        let asks = async {
            let socket = socket.clone();
            let asked = tokio::task::spawn_blocking(move || {
                wait_until("the drain begins", || get(&socket, "/readyz").starts_with("HTTP/1.1 503"));
                assert!(get(&socket, "/readyz").ends_with("draining\n"));
                assert!(get(&socket, "/healthz").starts_with("HTTP/1.1 200"));
                drop(stream);
            });
            asked.await.unwrap();
        };
        tokio::join!(drained, asks);
    });
    drop(running);
    assert!(!socket.exists(), "the socket goes with its gateway");
}

#[test]
fn a_reload_moves_the_socket_or_leaves_it_where_it_is() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, "unix:one.sock");
    let (one, two) = (dir.path().join("one.sock"), dir.path().join("two.sock"));
    let endpoint = Endpoint::echo();
    running.reload(&http(&endpoint, "[admin]\nbind = \"unix:one.sock\"\n"));
    assert!(get(&one, "/metrics").contains("foreword_config_reloads_total{result=\"success\"} 1\n"));
    running.reload(&http(&endpoint, "[admin]\nbind = \"unix:two.sock\"\n"));
    assert!(get(&two, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(!one.exists());
    running.reload(&http(&endpoint, ""));
    assert!(!two.exists());
}

#[test]
fn an_address_serves_as_well_as_a_socket_file() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, "127.0.0.1:0");
    let Some(Bind::Inet(address)) = running.gateway.admin_address() else { panic!("an address") };
    let mut stream = client(address);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
}

fn post(path: &Path, target: &str, fields: &str) -> String {
    send(
        path,
        format!("POST {target} HTTP/1.1\r\nHost: admin\r\n{fields}Content-Length: 0\r\n\r\n").as_bytes(),
    )
}

/// Two echoing endpoints behind a listener in tcp mode.
fn two(endpoints: &[Endpoint; 2]) -> String {
    let [one, two] = endpoints.each_ref().map(|endpoint| endpoint.address);
    format!(
        "workers = 1\n[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{one}\", \"{two}\"]\ntimeout = {{ drain = \"200ms\" }}\n\
         [admin]\nbind = \"unix:admin.sock\"\n"
    )
}

#[test]
fn an_endpoint_that_is_drained_by_hand_gets_nothing_new_until_it_is_let_come_back() {
    let dir = TempDir::new().unwrap();
    let endpoints = [(); 2].map(|()| Endpoint::echo());
    let running = Running::start_in(dir.path(), &two(&endpoints));
    let socket = dir.path().join("admin.sock");
    let address = endpoints[0].address;
    let order = |order: &str| post(&socket, &format!("/clusters/app/endpoints/{address}/{order}"), "");
    let chosen = || {
        let sample = format!("foreword_endpoint_chosen_total{{cluster=\"app\",endpoint=\"{address}\"}}");
        value(&scrape(&running), &sample)
    };
    let draining = || {
        let sample = format!("foreword_endpoint_draining{{cluster=\"app\",endpoint=\"{address}\"}}");
        value(&scrape(&running), &sample)
    };
    let echoed = || {
        let mut stream = client(running.address("edge"));
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream
    };
    // One connection is there on each of them, whichever turn it was.
    let mut open: Vec<_> = (0..4).map(|_| echoed()).collect();
    let told = order("drain");
    assert!(told.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"), "{told}");
    assert!(told.contains("\"state\": \"draining\"") && told.contains("\"admin\""), "{told}");
    assert_eq!(draining(), 1.0);
    let before = chosen();
    (0..6).for_each(|_| drop(echoed()));
    assert_eq!(chosen(), before);
    // The connections that it had are let go when their time is over, and no others.
    wait_until("its connections are cut", || running.gateway.open_connections() == 2);
    let still = |stream: &mut std::net::TcpStream| {
        let _cut = stream.write_all(b"hello");
        stream.read_exact(&mut [0; 5]).is_ok()
    };
    assert_eq!(open.iter_mut().map(still).filter(|still| *still).count(), 2);

    running.reload(&two(&endpoints));
    let listed = get(&socket, "/clusters");
    assert!(listed.contains("\"draining\""), "a reload forgets nothing: {listed}");
    let told = order("undrain");
    assert!(told.contains("\"state\": \"up\"") && told.contains("\"drained_by\": []"), "{told}");
    assert_eq!(draining(), 0.0);
    wait_until("it is chosen again", || {
        drop(echoed());
        chosen() > before
    });
}

#[test]
fn an_endpoint_that_the_file_drains_too_stays_drained() {
    let dir = TempDir::new().unwrap();
    let endpoints = [(); 2].map(|()| Endpoint::echo());
    let address = endpoints[0].address;
    let file = two(&endpoints).replacen(
        &format!("\"{address}\""),
        &format!("{{ address = \"{address}\", drain = true }}"),
        1,
    );
    let running = Running::start_in(dir.path(), &file);
    let socket = dir.path().join("admin.sock");
    post(&socket, &format!("/clusters/app/endpoints/{address}/drain"), "");
    let told = post(&socket, &format!("/clusters/app/endpoints/{address}/undrain"), "");
    assert!(
        told.contains("\"draining\"") && told.contains("\"file\"") && !told.contains("\"admin\""),
        "{told}"
    );
    running.reload(&two(&endpoints));
    assert!(!get(&socket, "/clusters").contains("\"draining\""));
}

#[test]
fn orders_that_make_no_sense_or_come_from_a_page_change_nothing() {
    let dir = TempDir::new().unwrap();
    let endpoints = [(); 2].map(|()| Endpoint::echo());
    let _running = Running::start_in(dir.path(), &two(&endpoints));
    let socket = dir.path().join("admin.sock");
    let path = format!("/clusters/app/endpoints/{}/drain", endpoints[0].address);
    for (target, fields, status) in [
        ("/clusters/other/endpoints/127.0.0.1:1/drain", "", "404"),
        ("/clusters/app/endpoints/127.0.0.1:1/drain", "", "404"),
        ("/clusters/app/endpoints/unix:%2Fnone/drain", "", "404"),
        ("/clusters/app/endpoints/%zz/drain", "", "405"),
        (&*format!("{path}/more"), "", "405"),
        (&path, "Origin: https://elsewhere.example\r\n", "403"),
    ] {
        let told = post(&socket, target, fields);
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {told}");
    }
    let told = post(&socket, "/clusters/app/drain", "");
    let why = "only GET and HEAD; POST is for /clusters/NAME/endpoints/ADDRESS/drain and …/undrain\n";
    assert!(told.contains("Allow: GET, HEAD\r\n") && told.ends_with(why), "{told}");
    let told = get(&socket, &path);
    assert!(told.starts_with("HTTP/1.1 405 ") && told.contains("Allow: POST\r\n"), "{told}");
    assert!(!get(&socket, "/clusters").contains("draining"));
}
