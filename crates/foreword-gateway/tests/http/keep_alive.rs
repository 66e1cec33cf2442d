//! Connections that last: requests one behind the other, downstream and upstream.

use std::io::Write;

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn requests_share_one_connection_on_both_sides() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..20 {
        let answer = client.ask(GET);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.field("Connection"), None);
    }
    assert_eq!(endpoint.seen.connections(), 1);
}

#[test]
fn clients_share_the_connections_to_the_endpoint() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    for _ in 0..5 {
        assert_eq!(Wire::to(&gateway).ask(GET).status, 200);
    }
    assert_eq!(endpoint.seen.connections(), 1);
}

#[test]
fn an_endpoint_that_is_still_asked_has_one_connection_more_and_a_kept_one_counts_for_nothing() {
    let endpoint = |name: &'static str| {
        Endpoint::new(move |wire| {
            while let Some((head, _)) = wire.request() {
                if head.starts_with("GET /held ") {
                    // Held for as long as the client waits.
                    wire.fill();
                    return;
                }
                wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}").as_bytes());
            }
        })
    };
    let (one, two) = (endpoint("1"), endpoint("2"));
    let text = file(&[one.address, two.address], "cluster = \"app\"", "balance = \"least-connections\"");
    let gateway = gateway(&text);
    let mut client = Wire::to(&gateway);
    let mut ask = || client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text();
    let turns = [ask(), ask()];
    assert_ne!(turns[0], turns[1], "kept connections are not in use");

    let mut held = Wire::to(&gateway);
    held.write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    let is_held = |endpoint: &Endpoint| endpoint.seen.text().contains("/held");
    while !is_held(&one) && !is_held(&two) {
        std::thread::yield_now();
    }
    let free = if is_held(&one) { "2" } else { "1" };
    assert_eq!([ask(), ask(), ask()], [free; 3]);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, _)) = wire.request() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).as_bytes());
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    let requests: String = (0..200).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let mut writer = Wire::new(client.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || writer.write(requests.as_bytes()));
    for n in 0..200 {
        assert_eq!(client.answer("GET").unwrap().text(), format!("/{n}"));
    }
    writing.join().unwrap();
}

#[test]
fn a_pipeline_may_mix_bodies_and_heads() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((_, body)) = wire.request() {
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            wire.write(&body);
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: a\r\n\r\n\
          POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for expected in ["one", "", "two", ""] {
        assert_eq!(client.answer("POST").unwrap().text(), expected);
    }
}

#[test]
fn whoever_asks_to_close_is_told_so_and_closed() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn whoever_goes_on_after_the_last_answer_is_not_listened_to_for_long() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    socket2::SockRef::from(&client.stream).set_send_buffer_size(64 * 1024).unwrap();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    let more = [b'x'; 16 * 1024];
    // 4 MiB: far more than buffers on the way take, and less than is read of a request that is not whole.
    assert!((0..256).any(|_| client.stream.write_all(&more).is_err()));
}

#[test]
fn http_1_0_is_closed_unless_it_asks_to_stay() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("keep-alive")));
    let answer = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    assert!(client.is_closed());
    assert!(endpoint.seen.text().contains("HTTP/1.1\r\nHost: 127.0.0.1:"), "{}", endpoint.seen.text());
}

#[test]
fn an_endpoint_that_closes_is_not_asked_again_on_that_connection() {
    let endpoint = Endpoint::new(|wire| {
        if wire.request().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..3 {
        let answer = client.ask(GET);
        assert_eq!((answer.status, answer.field("Connection")), (200, None));
    }
    assert_eq!(endpoint.seen.connections(), 3);
}

#[test]
fn a_connection_that_is_idle_too_long_is_closed_without_a_word() {
    let endpoint = Endpoint::polite();
    let gateway =
        gateway(&file(&[endpoint.address], "cluster = \"app\"\ntimeout = { idle = \"100ms\" }", ""));
    let mut client = Wire::to(&gateway);
    assert_eq!(client.ask(GET).status, 200);
    assert!(client.is_closed());
}

#[test]
fn an_endpoints_connection_that_is_unused_too_long_is_closed() {
    let (told, closed) = events();
    let endpoint = Endpoint::new(move |wire| {
        while wire.request().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        told.lock().unwrap().send(()).unwrap();
    });
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", "timeout = { idle = \"100ms\" }"));
    let mut client = Wire::to(&gateway);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    closed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    assert_eq!(endpoint.seen.connections(), 2);
}

#[test]
fn a_client_that_says_nothing_and_leaves_disturbs_nobody() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    for _ in 0..10 {
        drop(Wire::to(&gateway));
    }
    assert_eq!(Wire::to(&gateway).ask(GET).status, 200);
    assert_eq!(endpoint.seen.connections(), 1);
}

#[test]
fn a_client_that_only_ends_its_own_side_gets_its_answer() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    client.finish();
    assert_eq!(client.answer("GET").unwrap().status, 200);
    assert!(client.is_closed());
}

#[test]
fn an_answer_with_bytes_behind_it_costs_the_connection_and_nobody_gets_them() {
    let endpoint = Endpoint::new(|wire| {
        while wire.request().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
    });
    let gateway = in_front_of(&endpoint);
    for _ in 0..3 {
        let mut client = Wire::to(&gateway);
        for _ in 0..3 {
            assert_eq!(client.ask(GET).text(), "ok");
        }
    }
    assert_eq!(endpoint.seen.connections(), 9);
}

#[test]
fn a_connection_that_speaks_for_one_client_is_closed_when_it_is_unused_for_too_long() {
    let (told, closed) = events();
    let endpoint = Endpoint::new(move |wire| {
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n") {
            header.extend(wire.exactly(1).unwrap());
        }
        while wire.request().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        told.lock().unwrap().send(()).unwrap();
    });
    let cluster = "send_header = \"v1\"\ntimeout = { idle = \"100ms\" }";
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", cluster));
    let mut client = Wire::to(&gateway);
    for connections in 1..3 {
        assert_eq!(client.ask(GET).status, 200);
        closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(endpoint.seen.connections(), connections);
    }
}
