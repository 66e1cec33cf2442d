//! Endpoints that are down, silent, early, broken or full of garbage; clients that leave.

use std::io::Write;
use std::time::Instant;

use crate::nobody::nobody;
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_endpoint_that_is_down_is_502_and_the_connection_goes_on() {
    let gateway = gateway(&file(&[nobody()], "cluster = \"app\"", ""));
    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        let answer = client.ask(GET);
        assert_eq!((answer.status, answer.text().as_str()), (502, "502 Bad Gateway\n"));
    }
}

#[test]
fn another_endpoint_is_asked_when_the_first_is_down() {
    let endpoint = Endpoint::polite();
    let gateway = gateway(&file(&[nobody(), endpoint.address], "cluster = \"app\"", ""));
    for _ in 0..6 {
        let mut client = Wire::to(&gateway);
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn an_endpoint_that_does_not_take_the_connection_is_504_and_another_one_is_asked() {
    let full = Full::new();
    let cluster = "timeout = { connect = \"100ms\" }";
    let alone = gateway(&file(&[full.address], "cluster = \"app\"", cluster));
    assert_eq!(Wire::to(&alone).ask(GET).status, 504);
    let endpoint = Endpoint::polite();
    let both = gateway(&file(&[full.address, endpoint.address], "cluster = \"app\"", cluster));
    for _ in 0..2 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(Wire::to(&both).ask(post).status, 200);
    }
}

#[test]
fn a_silent_endpoint_is_504() {
    let endpoint = Endpoint::new(|wire| while wire.fill() > 0 {});
    let gateway =
        gateway(&file(&[endpoint.address], "cluster = \"app\"", "timeout = { response = \"100ms\" }"));
    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        assert_eq!(client.ask(GET).status, 504);
    }
    assert_eq!(endpoint.seen.connections(), 2);
}

#[test]
fn an_endpoint_that_drips_its_head_does_not_outlast_its_time() {
    let endpoint = Endpoint::new(|wire| {
        wire.request();
        wire.write(b"HTTP/1.1 200 OK\r\nX: ");
        while wire.stream.peek(&mut [0]).is_err() {}
    });
    let gateway =
        gateway(&file(&[endpoint.address], "cluster = \"app\"", "timeout = { response = \"100ms\" }"));
    assert_eq!(Wire::to(&gateway).ask(GET).status, 504);
}

#[test]
fn garbage_for_an_answer_is_502() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "220 mail.example.com ESMTP\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: upgrade\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX",
        "HTTP/1.1 200",
        "",
    ] {
        let endpoint = Endpoint::once(garbage);
        let gateway = in_front_of(&endpoint);
        let answer = Wire::to(&gateway).ask(GET);
        assert_eq!((answer.status, answer.text().as_str()), (502, "502 Bad Gateway\n"), "{garbage:?}");
    }
}

#[test]
fn an_answer_head_over_32_kib_is_502_and_a_smaller_one_passes() {
    let with = |len: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "x".repeat(len));
    let large = Endpoint::once(with(31 * 1024));
    assert_eq!(Wire::to(&in_front_of(&large)).ask(GET).status, 200);
    let too_large = Endpoint::once(with(33 * 1024));
    assert_eq!(Wire::to(&in_front_of(&too_large)).ask(GET).status, 502);
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ] {
        let gateway = in_front_of(&Endpoint::once(answer));
        let mut client = Wire::to(&gateway);
        client.write(GET.as_bytes());
        assert_eq!(client.answer("GET"), None, "{answer}");
    }
}

#[test]
fn chunks_that_break_behind_a_head_that_was_passed_on_never_look_whole() {
    let (go, breaks) = events();
    let breaks = std::sync::Mutex::new(breaks);
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        breaks.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        wire.write(b"zz\r\n");
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    go.lock().unwrap().send(()).unwrap();
    assert!(client.is_closed());
}

#[test]
fn an_endpoint_that_is_reset_resets_the_client_where_only_that_tells() {
    let (go, resets) = events();
    let resets = std::sync::Mutex::new(resets);
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        wire.write(b"HTTP/1.1 200 OK\r\n\r\nhalf");
        resets.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        socket2::SockRef::from(&wire.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    client.head().unwrap();
    assert_eq!(client.exactly(4).unwrap(), b"half");
    go.lock().unwrap().send(()).unwrap();
    let end = std::io::Read::read(&mut client.stream, &mut [0; 10]);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_kept_connection_that_died_is_replaced_and_the_request_said_again() {
    // Each connection serves one request and dies at the sight of the second, as after an idle time of its own.
    let endpoint = Endpoint::new(|wire| {
        wire.request();
        wire.write(OK);
        wire.fill();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..5 {
        assert_eq!(client.ask(GET).status, 200);
    }
}

#[test]
fn what_must_not_be_said_twice_is_not() {
    let endpoint = Endpoint::new(|wire| {
        wire.request();
        wire.write(OK);
        wire.fill();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    assert_eq!(client.ask(GET).status, 200);
    let post = "POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(client.ask(post).status, 502);
    assert_eq!(endpoint.seen.text().matches("/once").count(), 1);
    assert_eq!(client.ask(GET).status, 200);
    let put = "PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(client.ask(put).status, 502);
    assert_eq!(endpoint.seen.text().matches("/body").count(), 1);
}

#[test]
fn a_request_is_said_again_once_and_no_more() {
    // The first connection lives for one request; no later one answers at all.
    let first = std::sync::atomic::AtomicBool::new(true);
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            wire.write(OK);
            wire.fill();
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    assert_eq!(client.ask(GET).status, 200);
    assert_eq!(client.ask(GET).status, 502);
    assert_eq!(endpoint.seen.connections(), 2);
}

#[test]
fn a_dead_connection_in_the_pool_is_noticed_before_it_is_used() {
    let (told, closed) = events();
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        wire.write(OK);
        wire.stream.shutdown(std::net::Shutdown::Both).unwrap();
        told.lock().unwrap().send(()).unwrap();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..3 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(client.ask(post).status, 200);
        closed.recv_timeout(PATIENCE).unwrap();
        // The farewell crosses loopback before a new request can, since it was sent before.
    }
}

#[test]
fn an_early_answer_reaches_the_client_and_ends_its_connection() {
    let endpoint = Endpoint::new(|wire| {
        wire.head();
        wire.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n");
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let mut writer = Wire::new(client.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || writer.write(&vec![b'x'; 50_000]));
    let answer = client.answer("POST").unwrap();
    assert_eq!(
        (answer.status, answer.field("Connection"), answer.text().as_str()),
        (413, Some("close"), "no\n")
    );
    writing.join().unwrap();
}

#[test]
fn after_an_early_answer_the_endpoints_connection_is_not_used_again() {
    let endpoint = Endpoint::new(|wire| {
        while wire.head().is_some() {
            wire.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.answer("POST").unwrap().status, 403);
    assert_eq!(Wire::to(&gateway).ask(GET).status, 403);
    assert_eq!(endpoint.seen.connections(), 2);
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    let (told, gone) = events();
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        told.lock().unwrap().send("asked").unwrap();
        while wire.fill() > 0 {}
        told.lock().unwrap().send("gone").unwrap();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "asked");
    client.reset();
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "gone");
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    drop(client);
    // What came of the body was no request; then the endpoint's connection ends.
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "asked");
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "gone");
}

#[test]
fn a_client_that_closed_is_found_out_by_its_answer() {
    let (told, gone) = events();
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        told.lock().unwrap().send("asked").unwrap();
        wire.write(b"HTTP/1.1 200 OK\r\n\r\n");
        // Whoever writes to a gateway that has let go gets an error, once it is told.
        while wire.stream.write_all(&[b'x'; 1024]).is_ok() {}
        told.lock().unwrap().send("gone").unwrap();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "asked");
    drop(client);
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "gone");
}

#[test]
fn a_client_that_closed_holds_its_endpoint_no_longer_than_an_answer_may_take() {
    let (told, gone) = events();
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        told.lock().unwrap().send("asked").unwrap();
        while wire.fill() > 0 {}
        told.lock().unwrap().send("gone").unwrap();
    });
    let gateway =
        gateway(&file(&[endpoint.address], "cluster = \"app\"", "timeout = { response = \"100ms\" }"));
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "asked");
    drop(client);
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "gone");
}

#[test]
fn a_client_that_closed_frees_its_seat_while_a_slow_answer_to_a_closed_side_goes_on() {
    let (told, gone) = events();
    let (go, may_end) = events();
    let may_end = std::sync::Mutex::new(may_end);
    let endpoint = Endpoint::new(move |wire| {
        let (head, _) = wire.request().unwrap();
        if head.starts_with("GET /slow ") {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsl");
            may_end.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            wire.write(b"ow");
        } else if head.starts_with("GET /never ") {
            told.lock().unwrap().send("asked").unwrap();
            while wire.fill() > 0 {}
            told.lock().unwrap().send("gone").unwrap();
        } else {
            wire.write(OK);
        }
    });
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"\nmax = { connections = 2 }", ""));
    let mut slow = Wire::to(&gateway);
    slow.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.finish();
    let head = slow.head().unwrap();
    assert_eq!(slow.exactly(2).unwrap(), b"sl", "{head}");
    let mut never = Wire::to(&gateway);
    never.write(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "asked");
    drop(never);
    // Both clients have ended their sides, the slow one first: when the other is given up, its own time is over as well.
    assert_eq!(gone.recv_timeout(PATIENCE).unwrap(), "gone");
    let deadline = Instant::now() + PATIENCE;
    while gateway.open_connections() > 1 {
        assert!(Instant::now() < deadline, "the seat is still taken");
        std::thread::yield_now();
    }
    assert_eq!(Wire::to(&gateway).ask(GET).status, 200);
    go.lock().unwrap().send(()).unwrap();
    assert_eq!(slow.exactly(2).unwrap(), b"ow");
    assert!(slow.is_closed());
}

#[test]
fn an_endpoint_that_answers_before_it_reads_and_closes_is_heard() {
    let endpoint = Endpoint::new(|wire| {
        wire.head();
        wire.write(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        wire.finish();
    });
    let gateway = in_front_of(&endpoint);
    for _ in 0..20 {
        let mut client = Wire::to(&gateway);
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        client.write(&vec![b'x'; 200_000]);
        assert_eq!(client.answer("POST").unwrap().status, 401);
    }
}
