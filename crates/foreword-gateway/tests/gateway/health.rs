//! Endpoints that go down and come back: by their checks, by what becomes of those who come, and when none is left.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::admin::get;
use crate::nobody::nobody;
use crate::support::{Running, client, read_all, wait_until};

/// A web server that answers checks with one status and everybody else with its number, and can be told otherwise.
struct Web {
    address: String,
    /// What checks are answered; 0 resets them.
    health: Arc<AtomicU16>,
    /// What everybody else is answered; 0 resets them.
    status: Arc<AtomicU16>,
    checks: Arc<AtomicUsize>,
    visits: Arc<AtomicUsize>,
}

impl Web {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let web = Self {
            address: listener.local_addr().unwrap().to_string(),
            health: Arc::new(AtomicU16::new(200)),
            status: Arc::new(AtomicU16::new(200)),
            checks: Arc::default(),
            visits: Arc::default(),
        };
        let (health, status) = (Arc::clone(&web.health), Arc::clone(&web.status));
        let (checks, visits) = (Arc::clone(&web.checks), Arc::clone(&web.visits));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, [&health, &status], [&checks, &visits]);
            }
        });
        web
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, statuses: [&AtomicU16; 2], counts: [&AtomicUsize; 2]) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        head.extend_from_slice(&byte);
    }
    if head.is_empty() {
        return;
    }
    let which = usize::from(!head.starts_with(b"GET /health "));
    let status = statuses[which].load(Ordering::Relaxed);
    counts[which].fetch_add(1, Ordering::Relaxed);
    if status == 0 {
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        return;
    }
    let _gone = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

fn file(endpoints: &[&Web], cluster: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|web| format!("{:?}", web.address)).collect();
    format!(
        "workers = 1\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\n\
         [admin]\nbind = \"unix:admin.sock\"\n\
         [cluster.app]\nendpoints = [{}]\n{cluster}\n",
        list.join(", ")
    )
}

const CHECK: &str =
    "[cluster.app.health]\ncheck = \"http\"\npath = \"/health\"\ninterval = \"10ms\"\nrise = 2\nfall = 2\n";

fn start(endpoints: &[&Web], cluster: &str) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start_in(folder.path(), &file(endpoints, cluster));
    (folder, running)
}

/// The status that a client gets.
fn ask(running: &Running) -> u16 {
    let mut stream = client(running.address("web"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_all(&mut stream)).unwrap();
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

fn metric(running: &Running, sample: &str) -> f64 {
    let mut text = String::new();
    running.gateway.observer().write_metrics(&mut text).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in:\n{text}")).parse().unwrap()
}

#[test]
fn whoever_fails_its_checks_gets_nobody_until_it_passes_them_again() {
    let webs = [Web::new(), Web::new()];
    let (folder, running) = start(&[&webs[0], &webs[1]], CHECK);
    wait_until("both are checked", || webs.iter().all(|web| web.checks.load(Ordering::Relaxed) > 2));
    assert!(!running.log.holds("is down"), "{}", running.log.all());

    webs[0].health.store(500, Ordering::Relaxed);
    let line = running.log.line_with("is down");
    let address = &webs[0].address;
    let expected = format!(
        "cluster `app`: endpoint {address} is down: its check failed twice: expected status 200-399, found 500 [FW521]"
    );
    assert!(line.ends_with(&expected), "{line}");
    let up = format!("foreword_endpoint_up{{cluster=\"app\",endpoint=\"{address}\"}}");
    wait_until("the metric says so", || metric(&running, &up) < 1.0);
    let before = webs[0].visits();
    assert!((0..10).all(|_| ask(&running) == 200));
    assert_eq!(webs[0].visits(), before);

    let clusters = get(&folder.path().join("admin.sock"), "/clusters");
    let json: serde_json::Value = serde_json::from_str(clusters.split_once("\r\n\r\n").unwrap().1).unwrap();
    let told = json["clusters"][0]["endpoints"].as_array().unwrap();
    assert_eq!(json["clusters"][0]["name"], "app");
    assert_eq!(told[0]["address"], **address);
    assert_eq!(
        (&told[0]["state"], &told[0]["why"]),
        (&"down".into(), &"expected status 200-399, found 500".into())
    );
    assert_eq!((&told[1]["state"], &told[1]["why"]), (&"up".into(), &serde_json::Value::Null));

    webs[0].health.store(204, Ordering::Relaxed);
    running.log.line_with(&format!("endpoint {address} is up again: its check passed twice"));
    wait_until("it gets somebody", || {
        ask(&running);
        webs[0].visits() > before
    });
    assert!(metric(&running, &up) > 0.0);
    let failed =
        format!("foreword_endpoint_checks_total{{cluster=\"app\",endpoint=\"{address}\",result=\"failed\"}}");
    assert!(metric(&running, &failed) >= 2.0);
}

#[test]
fn what_is_known_survives_a_reload_and_checks_end_with_their_plan() {
    let webs = [Web::new(), Web::new(), Web::new()];
    webs[0].health.store(500, Ordering::Relaxed);
    let (_folder, running) = start(&[&webs[0], &webs[1]], CHECK);
    running.log.line_with("is down");
    let checked = || webs.each_ref().map(|web| web.checks.load(Ordering::Relaxed));
    running.reload(&file(&[&webs[0], &webs[2]], CHECK));
    let before = webs[0].visits();
    assert!((0..10).all(|_| ask(&running) == 200));
    assert_eq!(webs[0].visits(), before, "it is still down");
    wait_until("the new one is checked", || checked()[2] > 2);
    let [_, gone, there] = checked();
    wait_until("the new one is checked again", || checked()[2] > there + 5);
    assert!(checked()[1] <= gone + 1, "the one that is gone is not");
    assert_eq!(running.log.lines_with("is down", 1).len(), 1, "nothing is told twice");

    running.reload(&file(&[&webs[0]], ""));
    assert_eq!(ask(&running), 200, "without a check nobody says that it is down");
    let [first, ..] = checked();
    (0..20).for_each(|_| assert_eq!(ask(&running), 200));
    assert!(checked()[0] <= first + 1, "nobody checks it any more");
}

#[test]
fn when_all_are_down_the_cluster_says_whether_any_will_do() {
    for (key, status) in
        [("", 200), ("when_all_down = \"try-all\"\n", 200), ("when_all_down = \"refuse\"\n", 503)]
    {
        let webs = [Web::new(), Web::new()];
        webs.iter().for_each(|web| web.health.store(500, Ordering::Relaxed));
        let (_folder, running) = start(&[&webs[0], &webs[1]], &format!("{key}{CHECK}"));
        let line = running.log.line_with("none of its 2 endpoints is up");
        assert!(
            line.contains("[FW523]") && line.contains(if status == 200 { "try-all" } else { "refuse" }),
            "{line}"
        );
        assert_eq!(ask(&running), status);
        assert!(metric(&running, "foreword_upstream_all_down_total{cluster=\"app\"}") >= 1.0);
        if status == 503 {
            let line = running.log.line_with("none of the 2 endpoints of cluster `app` is up");
            assert!(line.contains("expected status 200-399, found 500") && line.contains("[FW523"), "{line}");
        }
        webs[1].health.store(200, Ordering::Relaxed);
        running.log.line_with("cluster `app`: an endpoint is up again");
        assert_eq!(ask(&running), 200);
    }
}

/// Longer than any test lasts.
const EJECTION: &str =
    "[cluster.app.ejection]\nfailures = 3\nserver_errors = true\ntime = \"1h\"\nmax_time = \"1h\"\n";

/// An ejection whose end is waited for.
const SHORT_EJECTION: &str =
    "[cluster.app.ejection]\nfailures = 3\nserver_errors = true\ntime = \"200ms\"\nmax_time = \"400ms\"\n";

#[test]
fn whoever_fails_those_who_come_is_left_alone() {
    let webs = [Web::new(), Web::new()];
    let (_folder, running) = start(&[&webs[0], &webs[1]], EJECTION);
    webs[0].status.store(500, Ordering::Relaxed);
    let answers: Vec<_> = (0..10).map(|_| ask(&running)).collect();
    assert_eq!(answers.iter().filter(|status| **status == 500).count(), 3, "{answers:?}");
    let line = running.log.line_with("is ejected");
    let expected = "is ejected for 3600 s: 3 failed answers in a row, the last: status 500 [FW522]";
    assert!(line.ends_with(expected), "{line}");
}

#[test]
fn whoever_was_left_alone_is_tried_with_one_after_ever_longer_times() {
    let webs = [Web::new(), Web::new()];
    let (_folder, running) = start(&[&webs[0], &webs[1]], SHORT_EJECTION);
    webs[0].status.store(500, Ordering::Relaxed);
    // One trial after each ejection, each of which is twice as long up to its bound.
    let failed = thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let asking = scope.spawn({
            let address = running.address("web");
            move || {
                let mut failed = 0;
                while let Err(mpsc::TryRecvError::Empty) = stopped.try_recv() {
                    let mut stream = client(address);
                    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
                    failed += usize::from(read_all(&mut stream).starts_with(b"HTTP/1.1 500"));
                }
                failed
            }
        });
        let line = running.log.line_with("is ejected");
        assert!(line.contains("is ejected for 0.2 s: 3 failed answers"), "{line}");
        let lines = running.log.lines_with("its trial failed: status 500", 2);
        assert!(lines.iter().all(|line| line.contains("for 0.4 s")), "{lines:?}");
        webs[0].status.store(200, Ordering::Relaxed);
        running.log.line_with(&format!("endpoint {} is up again: it passed its trial", webs[0].address));
        drop(stop);
        asking.join().unwrap()
    });
    let ejections =
        format!("foreword_endpoint_ejections_total{{cluster=\"app\",endpoint=\"{}\"}}", webs[0].address);
    let ejections = metric(&running, &ejections);
    assert!(ejections >= 3.0);
    assert_eq!(failed as f64, 3.0 + ejections - 1.0, "three, and then each trial alone");
}

#[test]
fn a_server_that_resets_before_it_answers_is_ejected_in_tcp_mode_too() {
    let webs = [Web::new(), Web::new()];
    let (_folder, running) = {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&[&webs[0], &webs[1]], EJECTION).replace("mode = \"http\"", "mode = \"tcp\"");
        let running = Running::start_in(folder.path(), &file);
        (folder, running)
    };
    webs[0].status.store(0, Ordering::Relaxed);
    wait_until("it is ejected", || {
        let mut stream = client(running.address("web"));
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        read_all(&mut stream);
        running.log.holds("is ejected")
    });
    assert!(
        running.log.line_with("is ejected").contains("3 failed answers in a row"),
        "{}",
        running.log.all()
    );
}

#[test]
fn a_server_that_is_gone_is_ejected_and_one_of_one_is_not() {
    let gone = nobody();
    let web = Web::new();
    let with = |endpoints: &[&Web]| {
        file(endpoints, EJECTION).replace("endpoints = [", &format!("endpoints = [\"{gone}\", "))
    };
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start_in(folder.path(), &with(&[&web]));
    assert!((0..10).all(|_| ask(&running) == 200), "whoever meets it is sent to the other one");
    let line = running.log.line_with("is ejected");
    assert!(line.contains("3 failed connections in a row, the last: Connection refused"), "{line}");
    running.reload(&file(&[&web], EJECTION).replace(&web.address, &gone.to_string()));
    assert!((0..10).all(|_| ask(&running) == 502));
}

#[test]
fn a_request_that_is_not_answered_is_one_failure() {
    let web = Web::new();
    let (_folder, running) = start(&[&web], &format!("{EJECTION}max_share = 100\n"));
    web.status.store(0, Ordering::Relaxed);
    assert!((0..2).all(|_| ask(&running) == 502));
    assert!(!running.log.holds("is ejected"), "{}", running.log.all());
    assert_eq!(ask(&running), 502);
    let line = running.log.line_with("is ejected");
    assert!(line.contains("3 failed answers in a row, the last: the connection was closed"), "{line}");
}
