//! Bodies in every framing, both ways, interim answers and trailers.

use std::sync::mpsc::channel;

use crate::support::*;

/// Answers with the body that it was sent, as long as it is asked.
fn echo() -> Endpoint {
    Endpoint::new(|wire| {
        while let Some((_, body)) = wire.request() {
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            wire.write(&body);
        }
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_body_with_a_length_comes_across_whole_however_large() {
    let gateway = in_front_of(&echo());
    let mut client = Wire::to(&gateway);
    for len in [0, 1, 100, 16 * 1024, 16 * 1024 + 1, 3_000_000] {
        let body = pattern(len);
        let mut writer = Wire::new(client.stream.try_clone().unwrap());
        let sent = body.clone();
        let writing = std::thread::spawn(move || {
            writer.write(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n").as_bytes());
            writer.write(&sent);
        });
        let answer = client.answer("PUT").unwrap();
        assert!(answer.body == body, "{len}");
        writing.join().unwrap();
    }
}

#[test]
fn a_chunked_body_comes_across_whole_byte_by_byte() {
    let endpoint = echo();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
    for byte in request {
        client.write(&[*byte]);
    }
    assert_eq!(client.answer("POST").unwrap().text(), "abc0123456789");
    let seen = endpoint.seen.text();
    assert!(seen.contains("Transfer-Encoding: chunked\r\n"), "{seen}");
    assert!(seen.ends_with("3\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"), "{seen}");
}

#[test]
fn no_trailer_gets_past_rules_that_set_or_remove_fields() {
    let endpoint = echo();
    let rules = "[[listener.web.rule]]\nthen = { set_fields = { X-User = \"nobody\" }, forward = \"app\" }\n";
    let gateway = gateway(&file(&[endpoint.address], rules, ""));
    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        let answer = client.ask(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-User: root\r\n\r\n",
        );
        assert_eq!(answer.text(), "abc");
    }
    let seen = endpoint.seen.text();
    assert!(seen.contains("X-User: nobody\r\n") && !seen.contains("root"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{seen}");
}

#[test]
fn a_chunked_answer_passes_with_its_trailers() {
    let endpoint = Endpoint::new(|wire| {
        while wire.request().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
            wire.write(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!(field(&head, "Transfer-Encoding"), Some("chunked"));
        assert_eq!(field(&head, "Trailer"), Some("X-Sum"));
        assert_eq!(client.chunked().unwrap(), (b"hello".to_vec(), "X-Sum: 1\n".to_owned()));
    }
    assert_eq!(endpoint.seen.connections(), 1);
    assert!(endpoint.seen.text().contains("TE: trailers\r\nConnection: TE\r\n"));
}

#[test]
fn an_old_client_gets_a_chunked_answer_without_its_chunks() {
    let endpoint = Endpoint::once(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    let gateway = in_front_of(&endpoint);
    let answer = Wire::to(&gateway).ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.text().as_str(), answer.field("Transfer-Encoding")), ("hello world", None));
    assert_eq!(answer.field("Connection"), Some("close"));
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    let endpoint = Endpoint::once("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.text().as_str(), answer.field("Connection")), ("until the end", Some("close")));
}

#[test]
fn answers_without_a_body_keep_their_connection() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, _)) = wire.request() {
            wire.write(match head.split(' ').nth(1).unwrap() {
                "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".as_slice(),
                "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"a\"\r\n\r\n",
                "/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            });
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("500")),
        ("HEAD", "/", 200, Some("500")),
        ("GET", "/empty", 200, Some("0")),
        ("HEAD", "/204", 204, None),
    ] {
        let answer = client.ask(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((answer.status, answer.field("Content-Length")), (status, length), "{method} {path}");
    }
    assert_eq!(endpoint.seen.connections(), 1);
}

#[test]
fn interim_answers_come_through_before_the_final_one() {
    let endpoint = Endpoint::new(|wire| {
        wire.head();
        wire.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert_eq!(client.head().unwrap(), "HTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(client.answer("GET").unwrap().text(), "ok");
    let old = Wire::to(&gateway).ask("GET / HTTP/1.0\r\n\r\n");
    assert!(old.head.starts_with("HTTP/1.1 200 "), "{}", old.head);
}

#[test]
fn a_client_that_expects_100_sends_its_body_once_the_endpoint_says_so() {
    let endpoint = Endpoint::new(|wire| {
        while let Some(head) = wire.head() {
            assert_eq!(field(&head, "Expect"), Some("100-continue"));
            assert!(wire.buffer.is_empty(), "the body came before it was asked for");
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n");
            let body = wire.exactly(5).unwrap();
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            wire.write(&body);
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.head().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.write(b"hello");
        assert_eq!(client.answer("POST").unwrap().text(), "hello");
    }
    assert_eq!(endpoint.seen.connections(), 1);
}

#[test]
fn both_bodies_move_at_the_same_time() {
    let endpoint = Endpoint::new(|wire| {
        wire.head();
        wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            let piece = wire.exactly(4).unwrap();
            wire.write(b"4\r\n");
            wire.write(&piece);
            wire.write(b"\r\n");
        }
        wire.write(b"0\r\n\r\n");
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    client.head().unwrap();
    for piece in ["ping", "pong", "peng"] {
        client.write(piece.as_bytes());
        assert_eq!(client.exactly(9).unwrap(), format!("4\r\n{piece}\r\n").into_bytes());
    }
    assert_eq!(client.exactly(5).unwrap(), b"0\r\n\r\n");
}

#[test]
fn a_slow_reader_holds_the_endpoint_back_and_loses_nothing() {
    const LEN: usize = 32 * 1024 * 1024;
    let (told, all_written) = channel();
    let told = std::sync::Mutex::new(told);
    let endpoint = Endpoint::new(move |wire| {
        wire.request();
        wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").as_bytes());
        wire.write(&vec![b'x'; LEN]);
        told.lock().unwrap().send(()).unwrap();
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().unwrap();
    assert!(all_written.try_recv().is_err(), "32 MiB were taken though nobody reads them");
    let mut left = LEN - client.buffer.len();
    while left > 0 {
        client.buffer.clear();
        left -= client.fill();
    }
    all_written.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_body_that_stops_coming_is_answered_with_408() {
    let endpoint = echo();
    let gateway =
        gateway(&file(&[endpoint.address], "cluster = \"app\"\ntimeout = { idle = \"100ms\" }", ""));
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    let answer = client.answer("POST").unwrap();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_body_that_drips_is_answered_with_408() {
    let endpoint = echo();
    let keys = "cluster = \"app\"\ntimeout = { idle = \"200ms\" }\nmin = { body_rate = 1000 }";
    let gateway = gateway(&file(&[endpoint.address], keys, ""));
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut dripping = Wire::new(client.stream.try_clone().unwrap());
    let (stop, stopped) = channel::<()>();
    let drip = std::thread::spawn(move || {
        while stopped.recv_timeout(std::time::Duration::from_millis(20)).is_err() {
            dripping.write(b"x");
        }
    });
    assert_eq!(client.answer("POST").unwrap().status, 408);
    stop.send(()).unwrap();
    drip.join().unwrap();
}

#[test]
fn a_body_with_broken_chunks_is_answered_with_400_and_never_ends_at_the_endpoint() {
    let endpoint = echo();
    let gateway = in_front_of(&endpoint);
    for body in [
        "5\r\nhelloX\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "-1\r\n",
    ] {
        endpoint.seen.forget();
        let mut client = Wire::to(&gateway);
        client.write(
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes(),
        );
        let answer = client.answer("POST").unwrap();
        assert_eq!((answer.status, answer.field("Connection")), (400, Some("close")), "{body}");
        assert!(client.is_closed());
    }
}
