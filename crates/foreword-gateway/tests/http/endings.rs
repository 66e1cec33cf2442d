//! Endpoints that answer early, close one side or reset: the status is right, and nobody is asked over what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use crate::support::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What an endpoint does once it has read the head of a request.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Says this and ends its own side; it goes on to read.
    HalfCloses(&'static [u8]),
    /// Says this and resets the connection.
    Resets(&'static [u8]),
    /// Says this and leaves the connection as it is.
    Stays(&'static [u8]),
}

/// Ends its first connection so, and serves all others as it should. `ended` hears when that is done.
fn endpoint(end: End, ended: std::sync::mpsc::Sender<()>) -> Endpoint {
    let is_first = Arc::new(AtomicBool::new(true));
    Endpoint::new(move |wire| {
        if !is_first.swap(false, Ordering::SeqCst) {
            while wire.request().is_some() {
                wire.write(OK);
            }
            return;
        }
        wire.head();
        match end {
            End::HalfCloses(said) => {
                wire.write(said);
                wire.finish();
                ended.send(()).unwrap();
                while wire.fill() > 0 {}
            }
            End::Resets(said) => {
                wire.write(said);
                wire.cut();
                ended.send(()).unwrap();
            }
            End::Stays(said) => {
                wire.write(said);
                ended.send(()).unwrap();
                while wire.fill() > 0 {}
            }
        }
    })
}

#[test]
fn however_an_endpoint_ends_the_status_is_right_and_the_next_request_goes_another_way() {
    let (get, post) = (
        "GET /first HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    );
    let early = "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhi";
    let refused: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    for (end, request, status) in [
        (End::HalfCloses(OK), get, 200),
        (End::HalfCloses(OK), post, 200),
        (End::HalfCloses(b""), get, 502),
        (End::HalfCloses(b""), post, 502),
        (End::HalfCloses(b"HTTP/1.1 200 OK\r\nContent-Le"), get, 502),
        (End::Resets(b""), get, 502),
        (End::Resets(b""), post, 502),
        (End::HalfCloses(refused), early, 403),
        (End::Stays(refused), early, 403),
    ] {
        let (ended, has_ended) = channel();
        let endpoint = endpoint(end, ended);
        let gateway = in_front_of(&endpoint);
        let answer = Wire::to(&gateway).ask(request);
        assert_eq!(answer.status, status, "{end:?} {request}");
        has_ended.recv_timeout(PATIENCE).unwrap();
        let next = Wire::to(&gateway).ask("POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((next.status, next.text().as_str()), (200, "ok"), "{end:?} {request}");
        assert_eq!(endpoint.seen.text().matches("POST /next").count(), 1, "it was said once: {end:?}");
    }
}

#[test]
fn an_answer_is_passed_on_whole_though_a_reset_follows_it() {
    for said in [OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"] {
        let (ended, has_ended) = channel();
        let (go, may_go) = channel::<()>();
        let may_go = std::sync::Mutex::new(may_go);
        let is_first = Arc::new(AtomicBool::new(true));
        let endpoint = Endpoint::new(move |wire| {
            let first = is_first.swap(false, Ordering::SeqCst);
            while wire.request().is_some() {
                wire.write(said);
                if first {
                    // Once the client has its answer, so that the reset cannot take any of it away.
                    may_go.lock().unwrap().recv().unwrap();
                    wire.cut();
                    ended.send(()).unwrap();
                    return;
                }
            }
        });
        let gateway = in_front_of(&endpoint);
        let mut client = Wire::to(&gateway);
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "ok");
        go.send(()).unwrap();
        has_ended.recv_timeout(PATIENCE).unwrap();
        let next = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((next.status, next.text().as_str()), (200, "ok"), "the kept connection was found dead");
    }
}
