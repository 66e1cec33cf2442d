//! The edge: what strangers send so that two servers read it in two ways, thousands of times, and what comes out behind us.

mod bodies;
mod bypass;
mod canary;
mod heads;
mod oracle;
mod recorder;
mod servers;
mod streams;

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::oracle::Verdict;
use self::recorder::Recorder;
use foreword_gateway::Gateway;

use crate::frames::client::*;
use crate::http2::CLEAR;
use crate::support::*;

/// What must become of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    /// A rule is broken: it is refused, and its connection ends.
    Refused,
    /// It is reset, when what came of it so far was right and may have gone on.
    Reset,
    /// It may be served. Then its endpoint got one request for each answer, and nobody can read those otherwise.
    Safe,
}

/// Bytes of a stranger. `{id}` in them becomes a number by which they are known again.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    what: &'static str,
    must: Must,
    bytes: Vec<u8>,
}

impl Case {
    fn new(what: &'static str, must: Must, bytes: Vec<u8>) -> Self {
        Self { what, must, bytes }
    }

    /// The bytes of the case with this number, and a hidden request behind them.
    fn numbered(&self, id: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 64);
        let mut rest = self.bytes.as_slice();
        while let Some(at) = find(rest, b"{id}") {
            bytes.extend_from_slice(&rest[..at]);
            bytes.extend_from_slice(id.to_string().as_bytes());
            rest = &rest[at + 4..];
        }
        bytes.extend_from_slice(rest);
        bytes
            .extend_from_slice(format!("GET /hidden HTTP/1.1\r\nHost: a\r\nX-Case: {id}\r\n\r\n").as_bytes());
        bytes
    }
}

/// The bytes of methods and field names, RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// By which door cases come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Plain,
    BehindV1,
    BehindV2,
}

impl Door {
    /// A gateway in front of `endpoint`, for those who come by this door.
    fn gateway(self, endpoint: SocketAddr, keys: &str) -> Gateway {
        let listener = format!("cluster = \"app\"\n{TIMES}\n{keys}");
        match self {
            Self::Plain => gateway(&file(&[endpoint], &listener, "")),
            Self::BehindV1 | Self::BehindV2 => {
                let trust = "[trust.lb]\nfrom = [\"127.0.0.1\"]\nheader = \"require\"\n";
                gateway(&(file(&[endpoint], &format!("{listener}\ntrust = [\"lb\"]"), "") + trust))
            }
        }
    }

    /// What is said before the first request.
    fn header(self) -> &'static [u8] {
        match self {
            Self::Plain => b"",
            Self::BehindV1 => b"PROXY TCP4 203.0.113.7 192.0.2.1 1234 443\r\n",
            Self::BehindV2 => {
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x04\xd2\x01\xbb"
            }
        }
    }
}

/// Nobody here is slow: whoever waits that long waits for what does not come.
const TIMES: &str = "timeout = { head = \"4s\", idle = \"4s\" }";

/// What a client was answered: the final statuses, and whether the gateway ended the connection.
#[derive(Clone, Debug, Default)]
struct Outcome {
    statuses: Vec<u16>,
    has_ended: bool,
    took: Duration,
}

/// Has `send` try all cases, several at a time.
fn outcomes<C: Sync, O: Clone + Default + Send>(cases: &[C], send: impl Fn(&C, usize) -> O + Sync) -> Vec<O> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![O::default(); cases.len()]);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(id) else { return };
                    let outcome = send(case, id);
                    outcomes.lock().unwrap()[id] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Sends all cases by this door, each on a connection of its own, and tells what is wrong with what came of them.
fn try_all(cases: &[Case], door: Door) -> Vec<String> {
    let recorder = Recorder::start();
    let gateway = door.gateway(recorder.address, "");
    let address = address(&gateway);
    let outcomes = outcomes(cases, |case, id| send(address, door, case, id));
    let Counted { counts, mut wrong } = count_received(&recorder, cases.len());
    for (id, ((case, outcome), &count)) in cases.iter().zip(&outcomes).zip(&counts).enumerate() {
        if let Some(why) = fault(case.must, outcome, count) {
            let bytes = case.numbered(id).escape_ascii().to_string();
            wrong.push(format!(
                "{door:?}: {}: {why}, found {outcome:?}, {count} received: {bytes}",
                case.what
            ));
        }
    }
    wrong
}

/// The same over HTTP/2.
fn try_all_streams(cases: &[streams::Case], door: Door) -> Vec<String> {
    let recorder = Recorder::start();
    let gateway = door.gateway(recorder.address, CLEAR);
    let address = address(&gateway);
    let outcomes = outcomes(cases, |case, id| send_stream(address, door, case, id));
    let Counted { counts, mut wrong } = count_received(&recorder, cases.len());
    for (id, ((case, outcome), &count)) in cases.iter().zip(&outcomes).zip(&counts).enumerate() {
        let is_refused =
            outcome.reason.is_some() || outcome.status.is_some_and(|status| REFUSALS.contains(&status));
        let is_right = match case.must {
            Must::Refused => is_refused && count == 0,
            Must::Reset => is_refused && count <= 1,
            Must::Safe => count == usize::from(outcome.status == Some(200)),
        };
        if !is_right {
            let bytes = case.numbered(id).escape_ascii().to_string();
            wrong.push(format!(
                "{door:?}: {}: {:?}, found {outcome:?}, {count} received: {bytes}",
                case.what, case.must
            ));
        }
    }
    wrong
}

/// What a stranger is told of rules that were broken.
const REFUSALS: [u16; 3] = [400, 501, 505];

/// What is wrong with the outcome of a case of which the endpoint received `count` whole requests.
fn fault(must: Must, outcome: &Outcome, count: usize) -> Option<&'static str> {
    let served = outcome.statuses.iter().filter(|&&status| status == 200).count();
    let is_refusal = |status: &u16| REFUSALS.contains(status);
    match must {
        _ if !outcome.has_ended => Some("expected the end of the connection"),
        _ if count != served => Some("expected as many answers as requests"),
        Must::Safe => None,
        Must::Refused | Must::Reset
            if outcome.statuses.len() != 1 || !outcome.statuses.iter().all(is_refusal) =>
        {
            Some("expected one refusal")
        }
        Must::Refused | Must::Reset => None,
    }
}

struct Counted {
    /// How many whole requests came of each case.
    counts: Vec<usize>,
    wrong: Vec<String>,
}

fn count_received(recorder: &Recorder, len: usize) -> Counted {
    let mut counted = Counted { counts: vec![0; len], wrong: Vec::new() };
    for bytes in recorder.seen() {
        let why = match oracle::judge(&bytes) {
            Verdict::Beginning => continue,
            Verdict::Wrong(why) => why,
            Verdict::Whole(received) => {
                let id = received
                    .field("x-case")
                    .and_then(|id| std::str::from_utf8(id).ok()?.parse::<usize>().ok());
                match id.and_then(|id| counted.counts.get_mut(id)) {
                    Some(count) => {
                        *count += 1;
                        continue;
                    }
                    None => "a request of nobody",
                }
            }
        };
        counted.wrong.push(format!("an endpoint was sent {why}: {}", bytes.escape_ascii()));
    }
    counted
}

fn send(address: SocketAddr, door: Door, case: &Case, id: usize) -> Outcome {
    let begun = Instant::now();
    let mut wire = Wire::new(TcpStream::connect(address).unwrap());
    wire.write(&[door.header(), &case.numbered(id)].concat());
    if case.must == Must::Safe {
        wire.finish();
    }
    let mut outcome = Outcome::default();
    while let Some(answer) = wire.answer("POST") {
        outcome.statuses.push(answer.status);
    }
    outcome.has_ended = wire.is_closed();
    outcome.took = begun.elapsed();
    outcome
}

/// As many as keep one worker busy.
const CLIENTS: usize = 4;

/// All cases by this door in the nightly set, a share of them in any other: another one at each door.
fn share<C>(cases: Vec<C>, door: Door) -> Vec<C> {
    if is_nightly() {
        return cases;
    }
    cases.into_iter().skip(door as usize).step_by(EACH).collect()
}

/// A prime, so that every dimension of the grammar is met in all of its values.
const EACH: usize = 5;

#[test]
fn no_request_that_two_servers_could_read_in_two_ways_comes_across() {
    let mut cases = Vec::new();
    heads::all(&mut cases);
    bodies::all(&mut cases);
    let (mut count, mut wrong) = (0, Vec::new());
    for door in [Door::Plain, Door::BehindV1, Door::BehindV2] {
        let cases = share(cases.clone(), door);
        wrong.extend(try_all(&cases, door));
        count += cases.len();
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 10_000, "{count}");
}

/// What became of a request over HTTP/2.
#[derive(Clone, Debug, Default)]
struct StreamOutcome {
    status: Option<u16>,
    /// The reason of a reset, or of the end of the connection.
    reason: Option<u32>,
}

fn send_stream(address: SocketAddr, door: Door, case: &streams::Case, id: usize) -> StreamOutcome {
    let mut wire = Wire::new(TcpStream::connect(address).unwrap());
    wire.write(door.header());
    let mut client = Frames::in_clear(wire.stream);
    client.write(&[PREFACE, &frame(SETTINGS, 0, 0, b""), &case.numbered(id)].concat());
    let mut outcome = StreamOutcome::default();
    while let Some(frame) = client.next() {
        let is_end = frame.flags & END_STREAM != 0;
        match frame.kind {
            HEADERS if frame.status() >= 200 => {
                outcome.status = Some(frame.status());
                if is_end {
                    break;
                }
            }
            DATA if is_end => break,
            RST_STREAM | GOAWAY => {
                outcome.reason = Some(frame.reason());
                break;
            }
            _ => {}
        }
    }
    assert!(!client.is_silent, "silence after {}", case.numbered(id).escape_ascii());
    outcome
}

#[test]
fn no_request_over_http_2_says_more_in_http_1_than_it_said() {
    let mut cases = Vec::new();
    streams::all(&mut cases);
    let (mut count, mut wrong) = (0, Vec::new());
    for door in [Door::Plain, Door::BehindV2] {
        let cases = share(cases.clone(), door);
        wrong.extend(try_all_streams(&cases, door));
        count += cases.len();
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 4000, "{count}");
}
