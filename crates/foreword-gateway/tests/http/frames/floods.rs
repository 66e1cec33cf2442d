//! Frames that move nothing: whoever sends them is told to calm down, and nobody else notices.

use std::time::{Duration, Instant};

use super::*;

/// A name, what is said again and again (it is told how often it was said before), and how many frames that is.
type Flood = (&'static str, fn(&mut Vec<u8>, u32), u32);

const FLOODS: &[Flood] = &[
    ("PING", |out, _| out.extend(frame(PING, 0, 0, b"01234567")), 1),
    ("SETTINGS", |out, _| out.extend(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])), 1),
    ("empty SETTINGS", |out, _| out.extend(frame(SETTINGS, 0, 0, b"")), 1),
    ("WINDOW_UPDATE", |out, _| out.extend(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])), 1),
    ("PRIORITY", |out, n| out.extend(frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 1])), 1),
    ("unknown frames", |out, _| out.extend(frame(0x42, 0, 0, b"")), 1),
    (
        "empty DATA",
        |out, n| {
            if n == 0 {
                out.extend(frame(HEADERS, END_HEADERS, 1, &block(ROOT)));
            }
            out.extend(frame(DATA, 0, 1, b""));
        },
        1,
    ),
    (
        "DATA of one byte",
        |out, n| {
            if n == 0 {
                out.extend(frame(HEADERS, END_HEADERS, 1, &block(ROOT)));
            }
            out.extend(frame(DATA, 0, 1, b"x"));
        },
        1,
    ),
    (
        "DATA of padding",
        |out, n| {
            if n == 0 {
                out.extend(frame(HEADERS, END_HEADERS, 1, &block(ROOT)));
            }
            out.extend(frame(DATA, PADDED, 1, &[1, 0]));
        },
        1,
    ),
    (
        "CONTINUATION",
        |out, n| {
            if n == 0 {
                out.extend(frame(HEADERS, 0, 1, &block(ROOT)));
            }
            out.extend(frame(CONTINUATION, 0, 1, b""));
        },
        1,
    ),
    (
        "rapid reset",
        |out, n| {
            out.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &block(ROOT)));
            out.extend(frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]));
        },
        2,
    ),
    (
        "requests that make us reset",
        |out, n| {
            let wrong = block(&with(&[("connection", "close")]));
            out.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &wrong));
        },
        1,
    ),
    (
        "more streams than there may be",
        |out, n| out.extend(frame(HEADERS, END_HEADERS, 2 * n + 1, &block(&with(&[("x-hold", "1")])))),
        1,
    ),
];

/// A gateway whose endpoint answers nobody who holds.
fn calm(with_tls: bool) -> (Edge, Endpoint) {
    let endpoint = Endpoint::slow_reader();
    (Edge::new(&endpoint, with_tls), endpoint)
}

/// How many frames were sent until the connection ended, and the reasons that it was told.
fn flood(client: &mut Frames, (_, say, frames): Flood) -> (u32, Vec<u32>) {
    let mut reasons = Vec::new();
    let mut out = Vec::new();
    for n in 0..1000 / frames {
        say(&mut out, n);
    }
    client.write(&out);
    while let Some(frame) = client.next() {
        if frame.kind == GOAWAY {
            reasons.push(frame.reason());
        }
    }
    assert!(!client.is_silent);
    (1000, reasons)
}

#[test]
fn a_flood_ends_within_a_thousand_frames() {
    for with_tls in [false, true] {
        let (edge, _endpoint) = calm(with_tls);
        for &each in FLOODS {
            let mut client = edge.connect().greeted();
            let begun = Instant::now();
            let (frames, reasons) = flood(&mut client, each);
            assert_eq!(reasons, [ENHANCE_YOUR_CALM], "{} of {frames}", each.0);
            assert!(begun.elapsed() < Duration::from_secs(10), "{}: {:?}", each.0, begun.elapsed());
        }
    }
}

/// The threads of this process on which workers run.
fn workers() -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim() == "worker-0" {
            found.extend(task.file_name().to_str().and_then(|id| id.parse::<u32>().ok()));
        }
    }
    found
}

/// An edge, and the thread of its only worker: tried again where another test has started one meanwhile.
fn alone() -> (Edge, Endpoint, u32) {
    loop {
        let before = workers();
        let (edge, endpoint) = calm(false);
        let new: Vec<u32> = workers().into_iter().filter(|id| !before.contains(id)).collect();
        if let [worker] = new[..] {
            return (edge, endpoint, worker);
        }
    }
}

/// The time for which a thread has had a processor.
fn cpu_of(thread: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    // `utime` and `stime`, in hundredths of a second, proc_pid_stat(5).
    let ticks: u64 = behind_name.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn a_flood_costs_little_until_it_ends() {
    let most = Duration::from_millis(if cfg!(debug_assertions) { 300 } else { 100 });
    let (edge, _endpoint, worker) = alone();
    for &each in FLOODS {
        let mut client = edge.connect().greeted();
        let before = cpu_of(worker);
        flood(&mut client, each);
        let cost = cpu_of(worker) - before;
        assert!(cost <= most, "{}: {cost:?}", each.0);
    }
}

#[test]
fn a_head_that_unpacks_to_far_more_than_it_is_ends_its_connection() {
    let (edge, _endpoint) = calm(false);
    let mut client = edge.connect().greeted();
    // A field of 4000 bytes in the table, and then by its index, as often as a frame has room for.
    let mut head = block(ROOT);
    head.extend([0x40]);
    head.extend_from_slice(&literal(b"x", &[b'a'; 3900])[1..]);
    head.resize(16_000, 0xbe);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    let end = client.wait(|frame| frame.kind == GOAWAY || frame.kind == RST_STREAM || frame.kind == HEADERS);
    let end = end.expect("an answer, or the end");
    assert!(end.kind == GOAWAY || end.status() == 431, "{end:?}");
}

#[test]
fn a_good_client_is_served_while_others_flood() {
    let (edge, _endpoint) = calm(false);
    let ask = |client: &mut Frames, n: u32| {
        let begun = Instant::now();
        client.get(2 * n + 1, ROOT);
        let answer = client.wait(|frame| frame.kind == HEADERS).expect("an answer");
        assert_eq!((answer.stream, answer.status()), (2 * n + 1, 200));
        client.wait(|frame| frame.kind == DATA && frame.flags & END_STREAM != 0).expect("all of it");
        begun.elapsed()
    };
    let mut good = edge.connect().greeted();
    (0..20).for_each(|n| _ = ask(&mut good, n));
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            for &each in FLOODS {
                let mut client = edge.connect().greeted();
                flood(&mut client, each);
            }
        });
        let mut n = 20;
        while !flooding.is_finished() {
            assert!(ask(&mut good, n) < Duration::from_secs(2));
            n += 1;
        }
    });
}

#[test]
fn a_head_that_was_answered_unseen_is_in_the_log() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let text = format!(
        "{}[log.access]\nto = \"file:{}\"\nformat = \"{{http.response.status_code}} {{refusal.code}}\"\n",
        file(
            &[endpoint.address],
            "http2 = \"prior-knowledge\"\ncluster = \"app\"\nmax = { head = \"4KiB\" }",
            ""
        ),
        log.display()
    );
    let gateway = gateway(&text);
    let mut client = Frames::in_clear(Wire::to(&gateway).stream).greeted();
    // More than twice the limit, and less than what ends the connection.
    let mut head = block(ROOT);
    head.extend(literal(b"x-large", &[b'a'; 9000]));
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    let answer = client.wait(|frame| frame.kind == HEADERS).expect("an answer");
    assert_eq!((answer.stream, answer.status()), (1, 431));
    client.get(3, ROOT);
    assert_eq!(client.wait(|frame| frame.kind == HEADERS).map(|answer| answer.status()), Some(200));
    drop(client);
    let deadline = Instant::now() + PATIENCE;
    let lines = loop {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        if lines.lines().count() >= 2 {
            break lines;
        }
        assert!(Instant::now() < deadline, "{lines}");
        std::thread::yield_now();
    };
    assert_eq!(lines.lines().collect::<Vec<_>>(), ["431 FW407", "200 -"]);
}
