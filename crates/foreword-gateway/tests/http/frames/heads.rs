//! Heads that weigh far more than what was sent of them: they wait for one another, and none is lost.

use std::path::Path;

use super::super::http2::{CLEAR, ask, get, tell};
use super::records::{lines, logged_to};
use super::*;

/// What a client may have at once.
const STREAMS: usize = 100;

#[test]
fn a_hundred_requests_with_more_cookies_than_there_is_room_for_at_once_are_all_served() {
    let endpoint = Endpoint::polite();
    let gateway = gateway(&file(&[endpoint.address], &format!("{CLEAR}\ncluster = \"app\""), ""));
    for cookies in [4 * 1024, 12 * 1024] {
        tell(&gateway, |client| async move {
            let asked = (0..STREAMS).map(|_| {
                let mut client = client.clone();
                let mut request = get("/");
                request.headers_mut().insert("cookie", format!("a={}", "b".repeat(cookies)).parse().unwrap());
                tokio::spawn(async move { ask(&mut client, request, b"").await.unwrap().status() })
            });
            for asked in asked.collect::<Vec<_>>() {
                assert_eq!(asked.await.unwrap(), 200, "{cookies} bytes of cookies");
            }
        });
    }
}

#[test]
fn heads_beyond_what_a_connection_may_weigh_wait_and_are_then_refused_so_that_they_may_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let (endpoint, gateway) = logging("1s", &log);
    let mut client = burdened(&gateway);
    let mut refused = Vec::new();
    while refused.len() + SERVED < STREAMS {
        let frame = client.wait(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!(frame.reason(), REFUSED_STREAM);
        refused.push(frame.stream);
    }
    // Those that came last, in order.
    let last: Vec<u32> = (1..).step_by(2).take(STREAMS).skip(SERVED).collect();
    assert_eq!(refused, last);
    assert_eq!(lines(&log, last.len()), vec!["2 - FW425 refused"; last.len()]);
    assert!(client.is_alive());
    wait_until("those that were begun are forwarded", || endpoint.seen.connections() == SERVED);
    // When one has ended, the next begins.
    client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 2 * STREAMS as u32 + 1, &heavy_again());
    wait_until("it begins", || endpoint.seen.connections() > SERVED);
}

#[test]
fn where_as_much_waits_as_may_the_next_is_refused_at_once() {
    const FIELDS: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    // Nobody is refused because of his wait.
    let (_endpoint, gateway) = logging("1h", &log);
    let mut client = greeted(&gateway);
    client.write(&heavy_with(STREAMS, FIELDS));
    // Those that wait have 32 fields for each of as many as may.
    let begun = STREAMS - 32 * STREAMS / (FIELDS + 4) - 1;
    let refused = client.wait(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!(refused.reason(), REFUSED_STREAM);
    assert!((refused.stream as usize) > 2 * (STREAMS - begun), "stream {}", refused.stream);
    assert_eq!(lines(&log, 1).first().unwrap(), "2 - FW425 refused");
    assert!(client.is_alive());
}

#[test]
fn a_request_that_its_client_takes_back_waits_for_others_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let (endpoint, gateway) = logging("1h", &log);
    let mut client = burdened(&gateway);
    wait_until("those that were begun are forwarded", || endpoint.seen.connections() == SERVED);
    // The one that waits longest, and the last.
    for stream in [2 * SERVED + 1, 2 * STREAMS - 1] {
        client.send(RST_STREAM, 0, stream as u32, &[0, 0, 0, 8]);
    }
    assert_eq!(lines(&log, 2), ["2 - - aborted"; 2]);
    drop(client);
    // Those that waited too have their line, though nobody looked at them.
    assert_eq!(lines(&log, STREAMS), vec!["2 - - aborted"; STREAMS]);
    assert_eq!(endpoint.seen.connections(), SERVED);
}

/// A client that asks for so much that it has to wait for itself.
fn burdened(gateway: &Gateway) -> Frames {
    let mut client = greeted(gateway);
    client.write(&heavy(STREAMS));
    client
}

fn greeted(gateway: &Gateway) -> Frames {
    Frames::in_clear(Wire::new(TcpStream::connect(address(gateway)).unwrap()).stream).greeted()
}

/// A gateway that writes a line for each request, and an endpoint that keeps it waiting. Requests wait for others for `head`.
fn logging(head: &str, log: &Path) -> (Endpoint, Gateway) {
    let endpoint = Endpoint::slow_reader();
    let keys = format!("{CLEAR}\ncluster = \"app\"\ntimeout = {{ head = \"{head}\" }}");
    let gateway = gateway(&format!("{}{}", file(&[endpoint.address], &keys, ""), logged_to(log)));
    (endpoint, gateway)
}

/// So many of these are within 4 KiB for each stream and two heads more.
const SERVED: usize = 38;
