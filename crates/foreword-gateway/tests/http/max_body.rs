//! How large a body may be: known beforehand or counted on its way, by the listener or by a rule.

use std::io::Write as _;
use std::sync::mpsc::channel;

use bytes::Bytes;
use foreword_gateway::Gateway;
use http::Method;

use crate::http2;
use crate::support::*;

/// Ten bytes and no more, but for `/large`, which takes twenty.
fn limited(endpoint: &Endpoint, more: &str) -> Gateway {
    let rules = format!(
        "max = {{ body = 10 }}\n{more}\n\
         [[listener.web.rule]]\nwhen = 'path == \"/large\"'\nthen = {{ max_body = 20 }}\n\
         [[listener.web.rule]]\nthen = {{ forward = \"app\" }}\n"
    );
    gateway(&file(&[endpoint.address], &rules, ""))
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_length_that_is_too_large_is_answered_with_413_and_nothing_is_forwarded() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint, "");
    let mut client = Wire::to(&gateway);
    for (path, len, status) in [("/", 10, 200), ("/", 11, 413), ("/large", 20, 200), ("/large", 21, 413)] {
        endpoint.seen.forget();
        assert_eq!(client.ask(&post(path, &"x".repeat(len))).status, status, "{path} {len}");
        assert_eq!(endpoint.seen.all().is_empty(), status == 413);
    }
    assert_eq!(client.ask(&post("/", "")).status, 200, "the body was at hand: the connection goes on");

    // Of a body that is not at hand nobody waits for the end.
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nxxx");
    let answer = client.answer("POST").unwrap();
    assert_eq!((answer.status, answer.field("Connection")), (413, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn whoever_waits_for_100_continue_is_refused_instead() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint, "");
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(endpoint.seen.connections(), 0);
}

#[test]
fn a_chunked_body_is_counted_without_its_coding() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint, "");
    let mut client = Wire::to(&gateway);
    let ten = "1\r\nx\r\n".repeat(10);
    let answer = client.ask(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{ten}0\r\nX-Trailer: of no account\r\n\r\n"
    ));
    assert_eq!(answer.status, 200);
}

#[test]
fn a_chunked_body_that_becomes_too_long_never_ends_at_the_endpoint() {
    let (told, ended) = channel();
    let endpoint = Endpoint::new(move |wire| {
        // Where all of it came at once, nothing of it is forwarded.
        told.send(wire.head().is_none() || wire.chunked().is_none()).unwrap();
    });
    let gateway = limited(&endpoint, "");
    for first in ["5\r\nxxxxx\r\n", ""] {
        let mut client = Wire::to(&gateway);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write(format!("{head}{first}").as_bytes());
        client.write(b"6\r\nyyyyyy\r\n5\r\nzzzzz\r\n0\r\n\r\n");
        let answer = client.answer("POST").unwrap();
        assert_eq!((answer.status, answer.field("Connection")), (413, Some("close")));
        assert!(client.is_closed());
        assert!(ended.recv_timeout(PATIENCE).unwrap(), "the body was cut off");
    }
}

#[test]
fn once_the_answer_has_begun_a_body_that_becomes_too_long_ends_the_connection() {
    let endpoint = Endpoint::new(|wire| {
        if wire.head().is_some() {
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun");
            while wire.fill() > 0 {}
        }
    });
    let gateway = limited(&endpoint, "");
    let mut client = Wire::to(&gateway);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.exactly(5).unwrap(), b"begun");
    client.write(b"b\r\nxxxxxxxxxxx\r\n");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_listens_only_when_all_is_said_hears_the_refusal() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint, "");
    within_its_second(|| {
        let mut client = Wire::to(&gateway);
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n");
        // More than all buffers in between have room for: whoever is not read from cannot say it.
        for _ in 0..6 {
            let said = client.stream.write_all(&vec![b'x'; 1_000_000]);
            said.map_err(|error| format!("somebody reads it: {error}"))?;
        }
        let answer = client.answer("POST").ok_or("no answer")?;
        assert_eq!(answer.status, 413);
        assert!(client.is_closed());
        Ok(())
    });
}

#[test]
fn a_stream_of_http_2_has_the_same_bound_with_a_length_and_without() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint, http2::CLEAR);
    http2::tell(&gateway, |mut client| async move {
        let post = |length: Option<usize>| {
            let mut request = http2::get("/");
            *request.method_mut() = Method::POST;
            if let Some(length) = length {
                request.headers_mut().insert("content-length", length.into());
            }
            request
        };
        for (length, body, status) in
            [(Some(10), 10, 200), (Some(11), 11, 413), (None, 10, 200), (None, 11, 413)]
        {
            client = client.ready().await.unwrap();
            let (answer, mut stream) = client.send_request(post(length), false).unwrap();
            // A refusal may come, and take the stream with it, before all is sent.
            let _refused = stream.send_data(Bytes::from(vec![b'x'; body]), true);
            assert_eq!(answer.await.unwrap().status(), status, "{length:?} {body}");
        }
    });
}
