//! Endpoints that speak HTTP/2 as it should not be spoken: their connection ends, and only their own requests are lost.

use super::*;

/// What an endpoint says again and again; it is told how often it was said before.
type Flood = (&'static str, fn(&mut Vec<u8>, u32));

const FLOODS: &[Flood] = &[
    ("PING", |out, _| out.extend(frame(PING, 0, 0, b"01234567"))),
    ("SETTINGS", |out, _| out.extend(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]))),
    ("WINDOW_UPDATE", |out, _| out.extend(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
    ("PRIORITY", |out, _| out.extend(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]))),
    ("unknown frames", |out, _| out.extend(frame(0x42, 0, 0, b""))),
    // 103, by its name and digits.
    ("interim answers", |out, _| out.extend(frame(HEADERS, END_HEADERS, 1, &literal(b":status", b"103")))),
    ("empty DATA", |out, n| {
        if n == 0 {
            out.extend(frame(HEADERS, END_HEADERS, 1, &literal(b":status", b"200")));
        }
        out.extend(frame(DATA, 0, 1, b""));
    }),
    ("CONTINUATION", |out, n| {
        if n == 0 {
            out.extend(frame(HEADERS, 0, 1, &literal(b":status", b"200")));
        }
        out.extend(frame(CONTINUATION, 0, 1, b""));
    }),
];

/// What an endpoint says once, in place of its settings.
const WRONG: &[Flood] = &[
    ("no settings", |out, _| out.extend(frame(PING, 0, 0, b"01234567"))),
    ("HTTP/1.1", |out, _| out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
];

/// An endpoint that greets as it should where `greets` says so, and then says this so often. Tells when its connection ended.
fn endpoint(
    say: fn(&mut Vec<u8>, u32),
    times: u32,
    greets: bool,
) -> (Endpoint, std::sync::mpsc::Receiver<()>) {
    let (told, ended) = events();
    let endpoint = Endpoint::new(move |wire| {
        // The preface and the settings of the gateway, or what came of them in one piece.
        wire.exactly(PREFACE.len()).unwrap();
        let mut out = if greets { frame(SETTINGS, 0, 0, b"") } else { Vec::new() };
        (0..times).for_each(|n| say(&mut out, n));
        wire.write(&out);
        while wire.fill() > 0 {}
        told.lock().unwrap().send(()).unwrap();
    });
    (endpoint, ended)
}

/// A counter of the cluster `app`.
fn broken(gateway: &Gateway) -> u64 {
    let mut page = String::new();
    gateway.observer().write_metrics(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with("foreword_upstream_http2_broken_total{"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn an_endpoint_that_floods_is_left_within_a_thousand_frames() {
    for &(name, say) in FLOODS {
        let (endpoint, ended) = endpoint(say, 1000, true);
        let keys = "cluster = \"app\"\ntimeout = { head = \"60s\" }";
        let gateway =
            gateway(&file(&[endpoint.address], keys, "protocol = \"h2\"\ntimeout = { response = \"60s\" }"));
        let mut client = Wire::to(&gateway);
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name}: the connection goes on"));
        match client.answer("GET") {
            Some(answer) => assert_eq!(answer.status, 502, "{name}"),
            // Its answer had begun.
            None => assert_eq!(name, "empty DATA"),
        }
        assert_eq!(broken(&gateway), 1, "{name}");
    }
}

#[test]
fn an_endpoint_that_speaks_something_else_is_told_of() {
    for &(name, say) in WRONG {
        let (endpoint, ended) = endpoint(say, 1, false);
        let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", "protocol = \"h2\""));
        let answer = Wire::to(&gateway).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, 502, "{name}");
        ended.recv_timeout(PATIENCE).unwrap();
        assert!(broken(&gateway) >= 1, "{name}");
    }
}
