//! The gateway under signals, with the real binary: reloads and ends lose nothing.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::caller::{Caller, request};
use crate::gateway::{self, Gateway};
use crate::ground::Ground;
use crate::header;
use crate::origin::Origin;
use crate::program::{PATIENCE, eventually};

struct Running {
    foreword: Gateway,
    origin: Origin,
    web: SocketAddr,
    /// The gateway's file, as it was at the start.
    text: String,
    ground: Ground,
}

fn running() -> Running {
    let ground = Ground::new();
    let origin = Origin::start(&ground);
    let web = ground.address();
    let text = gateway::web(web, origin.address, "require", "");
    let foreword = Gateway::start(&ground, &text, &[web]);
    Running { foreword, origin, web, text, ground }
}

const CONNECTIONS: usize = 50;
const BATCHES: usize = 5;
const PIPELINED: usize = 4;
const REQUESTS: usize = CONNECTIONS * BATCHES * PIPELINED;
const RELOADS: usize = 10;

#[test]
fn a_thousand_requests_over_fifty_connections_survive_ten_reloads() {
    let running = running();
    let web = running.web;
    let pace = Arc::new(Pace::default());
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let pace = Arc::clone(&pace);
            thread::spawn(move || keep_asking(web, number, &pace))
        })
        .collect();

    // Each reload comes in the middle of its share of the batches, and the next share starts while it goes on.
    let share = CONNECTIONS * BATCHES / (RELOADS + 1);
    pace.allow(share);
    for reload in 1..=RELOADS {
        let due = (reload * share - share / 2) * PIPELINED;
        eventually("answers come in", || pace.answered.load(Ordering::SeqCst) >= due);
        running.foreword.program.signal(Signal::HUP);
        pace.allow(share);
        running.foreword.program.lines(RELOADED, reload);
    }
    pace.allow(CONNECTIONS * BATCHES);

    for caller in callers {
        if let Err(lost) = caller.join().expect("a caller's thread") {
            panic!("{lost}\n{}", running.foreword.program.transcript());
        }
    }
    assert_eq!(pace.answered.load(Ordering::SeqCst), REQUESTS);
    assert_eq!(running.origin.heads().len(), REQUESTS, "each request reached the origin once");
}

/// How far the callers may go, and how far they are.
#[derive(Default)]
struct Pace {
    batches: Mutex<usize>,
    more: Condvar,
    answered: AtomicUsize,
}

impl Pace {
    fn allow(&self, batches: usize) {
        *self.batches.lock().expect("the pace") += batches;
        self.more.notify_all();
    }

    fn take(&self) {
        let batches = self.batches.lock().expect("the pace");
        *self.more.wait_while(batches, |batches| *batches == 0).expect("the pace") -= 1;
    }
}

/// Sends batches of requests, and checks that each is answered, in order. A gateway that says `Connection: close` answers
/// nothing behind that, and what was sent behind it goes over a new connection, as RFC 9112 §9.6 wants it.
fn keep_asking(web: SocketAddr, number: usize, pace: &Pace) -> Result<(), String> {
    let mut caller = Caller::connect(web, &header::client_v2());
    for batch in 0..BATCHES {
        pace.take();
        let mut left: VecDeque<String> =
            (0..PIPELINED).map(|step| format!("/{number}/{batch}/{step}")).collect();
        while let Some(first) = left.front() {
            let lost = |error: io::Error| format!("{first} was lost: {error}");
            let requests: String = left.iter().map(|target| request("peers.test", target)).collect();
            caller.write(requests.as_bytes()).map_err(lost)?;
            while let Some(target) = left.front() {
                let answer = caller.answer().map_err(|error| format!("{target} was lost: {error}"))?;
                if answer.status != 200 || !answer.text().starts_with(&format!("{target} ")) {
                    return Err(format!("{target} was answered with {answer:?}"));
                }
                pace.answered.fetch_add(1, Ordering::SeqCst);
                left.pop_front();
                if answer.closes() {
                    caller = Caller::connect(web, &header::client_v2());
                    break;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_termination_loses_no_request_in_flight_and_ends_with_zero() {
    const IN_FLIGHT: usize = 40;
    let mut running = running();
    let mut callers: Vec<_> = (0..IN_FLIGHT)
        .map(|number| {
            let mut caller = Caller::connect(running.web, &header::client_v1());
            caller
                .write(request("peers.test", &format!("/held/{number}")).as_bytes())
                .expect("the request is taken");
            caller
        })
        .collect();
    // One whose body is not sent yet, and one that is idle.
    let mut uploading = Caller::connect(running.web, &header::client_v1());
    uploading
        .write(b"POST /upload HTTP/1.1\r\nHost: peers.test\r\nContent-Length: 6\r\n\r\nabc")
        .expect("half a body is taken");
    let mut idle = Caller::connect(running.web, &header::client_v1());
    assert_eq!(idle.get("peers.test", "/idle").status, 200);
    running.origin.holds(IN_FLIGHT);

    running.foreword.program.signal(Signal::TERM);
    eventually("new connections are refused", || TcpStream::connect(running.web).is_err());
    assert!(running.foreword.program.runs(), "{}", running.foreword.program.transcript());
    running.origin.release();
    uploading.write(b"def").expect("the rest of the body is taken");

    for (number, caller) in callers.iter_mut().enumerate() {
        let answer = caller.answer().unwrap_or_else(|error| {
            panic!("request {number}: {error}\n{}", running.foreword.program.transcript())
        });
        assert_eq!((answer.status, answer.text()), (200, format!("/held/{number} 0 bytes\n")));
        assert!(answer.closes(), "{}", answer.head);
    }
    let answer = uploading.answer().expect("an answer to the upload");
    assert_eq!((answer.status, answer.text().as_str()), (200, "/upload 6 bytes\n"));
    let status = running.foreword.program.ended(SOON);
    assert_eq!(status.code(), Some(0), "{status}\n{}", running.foreword.program.transcript());
    assert_eq!(idle.rest().expect("a quiet end"), b"", "an idle connection ends without a word");
    assert_eq!(
        running.foreword.program.answers_with("\"/held/", IN_FLIGHT).len(),
        IN_FLIGHT,
        "all is logged"
    );
}

#[test]
fn under_load_whatever_reached_the_origin_is_answered_before_the_end() {
    let mut running = running();
    let web = running.web;
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let answered = Arc::clone(&answered);
            thread::spawn(move || ask_until_it_closes(web, number, &answered))
        })
        .collect();
    eventually("all are at work", || answered.load(Ordering::SeqCst) >= 4 * CONNECTIONS);
    running.foreword.program.signal(Signal::TERM);
    for caller in callers {
        if let Err(lost) = caller.join().expect("a caller's thread") {
            panic!("{lost}\n{}", running.foreword.program.transcript());
        }
    }
    let status = running.foreword.program.ended(SOON);
    assert_eq!(status.code(), Some(0), "{status}\n{}", running.foreword.program.transcript());
    let answered = answered.load(Ordering::SeqCst);
    assert_eq!(running.origin.heads().len(), answered);
    assert_eq!(
        running.foreword.program.answers_with("\"cluster\":\"app\"", answered).len(),
        answered,
        "all is logged"
    );
}

/// Asks over one connection for as long as it is open. It may close with an answer that says so, or between two requests:
/// then nothing of the next answer has come. Anything else is a loss.
fn ask_until_it_closes(web: SocketAddr, number: usize, answered: &AtomicUsize) -> Result<(), String> {
    let mut caller = Caller::connect(web, &header::client_v1());
    for step in 0.. {
        let target = format!("/{number}/{step}");
        if caller.write(request("peers.test", &target).as_bytes()).is_err() {
            break;
        }
        let answer = match caller.answer() {
            Ok(answer) => answer,
            Err(_) if caller.begun().is_empty() => break,
            Err(error) => return Err(format!("{target} was lost after {:?}: {error}", caller.begun())),
        };
        if answer.status != 200 || !answer.text().starts_with(&format!("{target} ")) {
            return Err(format!("{target} was answered with {answer:?}"));
        }
        answered.fetch_add(1, Ordering::SeqCst);
        if answer.closes() {
            break;
        }
    }
    Ok(())
}

#[test]
fn a_second_termination_cuts_what_the_first_one_waits_for() {
    let mut running = running();
    let mut caller = Caller::connect(running.web, &header::client_v1());
    caller.write(request("peers.test", "/held").as_bytes()).expect("the request is taken");
    running.origin.holds(1);

    running.foreword.program.signal(Signal::TERM);
    eventually("new connections are refused", || TcpStream::connect(running.web).is_err());
    assert!(running.foreword.program.runs(), "{}", running.foreword.program.transcript());
    let cut = Instant::now();
    running.foreword.program.signal(Signal::TERM);
    running.foreword.program.ended(SOON);
    assert!(cut.elapsed() < SOON);
    let left = caller.answer();
    assert!(left.is_err(), "the request was cut off, and yet answered: {left:?}");
}

#[test]
fn usr1_opens_the_log_anew_where_it_was() {
    let ground = Ground::new();
    let origin = Origin::start(&ground);
    let (web, log) = (ground.address(), ground.path("access.log"));
    let text = gateway::web(web, origin.address, "require", "");
    let text = text.replace("\"stdout\"", &format!("\"file:{}\"", log.display()));
    let foreword = Gateway::start(&ground, &text, &[web]);

    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let mut caller = Caller::connect(web, &header::client_v1());
    assert_eq!(caller.get("peers.test", "/before").status, 200);
    eventually("the first line is in the log", || read(&log).contains("/before"));

    let rotated = ground.path("access.log.1");
    std::fs::rename(&log, &rotated).expect("a log to rotate");
    foreword.program.signal(Signal::USR1);
    eventually("the log is opened anew", || log.exists());
    assert_eq!(caller.get("peers.test", "/after").status, 200);
    eventually("the second line is in the new log", || read(&log).contains("/after"));
    assert!(!read(&log).contains("/before"), "{}", read(&log));
    assert!(!read(&rotated).contains("/after"), "{}", read(&rotated));
}

#[test]
fn a_broken_file_changes_nothing_and_is_named_in_the_log() {
    let mut running = running();
    let mut caller = Caller::connect(running.web, &header::client_v1());
    assert_eq!(caller.get("peers.test", "/1").status, 200);

    let broken = running.text.replace("cluster = \"app\"", "cluster = \"apo\"");
    running.foreword.reload_with(&broken);
    let line = running.foreword.program.line("expected one of the clusters");
    let place = broken.lines().position(|line| line.contains("apo")).expect("the broken line") + 1;
    assert!(line.contains(&format!("foreword.toml:{place}:")), "{line}");
    assert!(line.contains("found `apo`"), "{line}");
    running.foreword.program.line("FW605");

    // The kept-alive connection is not told to go, and new ones are served as before.
    let answer = caller.get("peers.test", "/2");
    assert_eq!(answer.status, 200);
    assert!(!answer.closes(), "{}", answer.head);
    assert_eq!(Caller::connect(running.web, &header::client_v1()).get("peers.test", "/3").status, 200);

    running.foreword.reload_with("this is [not toml");
    running.foreword.program.lines("FW605", 2);
    assert_eq!(caller.get("peers.test", "/4").status, 200);

    // And the way back is open.
    running.foreword.reload_with(&running.text);
    running.foreword.program.line(RELOADED);
    assert_eq!(caller.get("peers.test", "/5").status, 200);
    assert!(running.foreword.program.runs());
}

#[test]
fn a_rule_that_a_reload_brings_holds_for_a_kept_connection_after_its_next_answer() {
    let running = running();
    let mut caller = Caller::connect(running.web, &header::client_v1());
    assert_eq!(caller.get("peers.test", "/admin").status, 200);

    let denying =
        "cluster = \"app\"\n[[listener.web.rule]]\nwhen = 'path.under(\"/admin\")'\nthen = { deny = 403 }\n";
    running.foreword.reload_with(&running.text.replace("cluster = \"app\"", denying));
    running.foreword.program.line(RELOADED);
    assert_eq!(Caller::connect(running.web, &header::client_v1()).get("peers.test", "/admin").status, 403);
    let last = caller.get("peers.test", "/plain");
    assert_eq!(last.status, 200);
    assert!(last.closes(), "{}", last.head);
}

#[test]
fn a_certificate_replaced_on_disk_is_served_after_a_reload() {
    let ground = Ground::new();
    let origin = Origin::start(&ground);
    let old = ground.certificate(&["localhost"]);
    let web = ground.address();
    let text = gateway::web(web, origin.address, "require", "tls = { certificates = \"certs/\" }");
    let foreword = Gateway::start(&ground, &text, &[web]);
    let mut kept = Caller::connect_tls(web, &header::client_v1(), &old, "localhost");
    assert_eq!(kept.get("localhost", "/1").status, 200);

    let new = ground.certificate(&["localhost"]);
    foreword.program.signal(Signal::HUP);
    foreword.program.line(RELOADED);

    // This caller trusts the new one alone.
    let mut caller = Caller::connect_tls(web, &header::client_v1(), &new, "localhost");
    assert_eq!(caller.get("localhost", "/2").status, 200);
    assert_eq!(kept.get("localhost", "/3").status, 200);

    std::fs::write(&new.file, "no certificate").expect("a broken certificate");
    foreword.program.signal(Signal::HUP);
    foreword.program.line("FW605");
    let mut caller = Caller::connect_tls(web, &header::client_v1(), &new, "localhost");
    assert_eq!(caller.get("localhost", "/4").status, 200);
}

#[test]
fn a_reload_opens_new_addresses_and_lets_go_of_old_ones() {
    let running = running();
    let mut kept = Caller::connect(running.web, &header::client_v1());
    assert_eq!(kept.get("peers.test", "/1").status, 200);

    let moved = running.ground.address();
    running.foreword.reload_with(&running.text.replace(&running.web.to_string(), &moved.to_string()));
    running.foreword.program.line(RELOADED);

    assert_eq!(Caller::connect(moved, &header::client_v1()).get("peers.test", "/2").status, 200);
    eventually("the old address is let go of", || TcpStream::connect(running.web).is_err());
    // Who came to the old address is served to the end.
    let last = kept.get("peers.test", "/3");
    assert_eq!(last.status, 200);
    assert!(last.closes(), "{}", last.head);
}

#[test]
fn a_tunnel_goes_on_while_the_plan_it_began_under_is_replaced() {
    let ground = Ground::new();
    let listener = TcpListener::bind(ground.address()).expect("an address for the far end");
    let receiver = listener.local_addr().expect("a bound address");
    let edge = ground.address();
    let text = gateway::edge(edge, receiver, "", "");
    let foreword = Gateway::start(&ground, &text, &[edge]);
    let mut caller = Caller::connect(edge, &header::client_v1());
    caller.write(b"before\n").expect("a line is taken");
    let (mut far, _) = listener.accept().expect("a connection at the far end");
    far.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut lines = BufReader::new(far.try_clone().expect("the far end"));
    let mut heard = || {
        let mut line = String::new();
        lines.read_line(&mut line).map(|_| line)
    };
    assert_eq!(heard().expect("a line"), "before\n");

    foreword.reload_with(
        &text.replace("[cluster.receivers]", "[cluster.receivers]\nbalance = \"least-connections\""),
    );
    foreword.program.line(RELOADED);

    caller.write(b"after\n").expect("a line is taken");
    assert_eq!(heard().expect("a line"), "after\n");
    far.write_all(b"and back\n").expect("a line is taken");
    assert_eq!(caller.line().expect("a line"), "and back");
}

/// What the log says once a reload holds.
const RELOADED: &str = "the new configuration is in force";

/// Well under the thirty seconds that a drain may take.
const SOON: Duration = Duration::from_secs(10);
