//! Answers that rules make smaller.

use std::io::{Read, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use foreword_gateway::Gateway;

use crate::http2::{CLEAR, ask, content, get, tell};
use crate::support::*;

const ON: &str = "rule = [{ then = { compress = true, forward = \"app\" } }]";

/// A page of some kilobytes.
fn page() -> String {
    (0..400).map(|line| format!("<li>line {line} of a page that repeats itself</li>\n")).collect()
}

/// An endpoint that answers every request so.
fn answering(head: &str, body: &str) -> Endpoint {
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Endpoint::new(move |wire| {
        while wire.request().is_some() {
            wire.write(answer.as_bytes());
        }
    })
}

fn in_front(endpoint: &Endpoint, keys: &str) -> Gateway {
    gateway(&file(&[endpoint.address], keys, ""))
}

fn accepting(coding: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n")
}

fn decoded(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut text),
        "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut text),
        "zstd" => zstd::Decoder::new(body).and_then(|mut decoder| decoder.read_to_string(&mut text)),
        other => panic!("{other}"),
    };
    read.unwrap_or_else(|error| panic!("{coding}: {error}, after {} bytes", text.len()));
    text
}

#[test]
fn a_page_is_sent_in_the_coding_that_the_client_likes_and_the_connection_goes_on() {
    let head = "200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"\r\nVary: Cookie\r\nVary: Origin\r\nAccept-Ranges: bytes";
    let endpoint = answering(head, &page());
    let gateway = in_front(&endpoint, ON);
    let mut client = Wire::to(&gateway);
    for coding in ["gzip", "br", "zstd"] {
        let answer = client.ask(&accepting(&format!("{coding}, deflate")));
        assert_eq!((answer.status, answer.field("Content-Encoding")), (200, Some(coding)));
        assert_eq!(answer.field("Vary"), Some("Cookie, Origin, Accept-Encoding"));
        assert_eq!(answer.field("ETag"), Some("W/\"v1\""));
        assert_eq!((answer.field("Content-Length"), answer.field("Accept-Ranges")), (None, None));
        assert!(answer.body.len() < page().len() / 5, "{coding}: {} bytes", answer.body.len());
        assert_eq!(decoded(coding, &answer.body), page(), "{coding}");
    }
    let answer = client.ask(&accepting("identity"));
    assert_eq!((answer.field("Content-Encoding"), answer.field("ETag")), (None, Some("\"v1\"")));
    assert_eq!(answer.field("Vary"), Some("Cookie, Origin, Accept-Encoding"));
    assert_eq!((answer.text(), answer.field("Accept-Ranges")), (page(), Some("bytes")));
    let head = client.ask(&accepting("gzip").replace("GET", "HEAD"));
    assert_eq!((head.field("Content-Encoding"), head.field("Vary")), (None, answer.field("Vary")));
    assert_eq!(head.field("Content-Length"), Some(&*page().len().to_string()));
    let old = Wire::to(&gateway).ask("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((old.field("Content-Encoding"), old.text()), (None, page()));
}

#[test]
fn what_is_coded_already_or_must_not_be_touched_is_left_alone() {
    let page = page();
    let short = &page[..1000];
    for (head, body) in [
        ("200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br", &*page),
        ("200 OK\r\nContent-Type: text/html\r\nCache-Control: public, No-Transform", &page),
        ("200 OK\r\nContent-Type: text/html\r\nContent-Digest: sha-256=:AA==:", &page),
        ("200 OK\r\nContent-Type: text/html\r\nTrailer: X-Sum, content-digest", &page),
        ("206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-1/2", &page),
        ("200 OK\r\nContent-Type: image/png", &page),
        ("200 OK\r\nContent-Type: text/html\r\nContent-Type: image/png", &page),
        ("200 OK\r\nX-No-Type: 1", &page),
        ("200 OK\r\nContent-Type: text/html", short),
    ] {
        let endpoint = answering(head, body);
        let answer = Wire::to(&in_front(&endpoint, ON)).ask(&accepting("gzip"));
        assert_eq!((answer.text().as_str(), answer.field("Vary")), (body, None), "{head}");
    }
    let endpoint = answering("200 OK\r\nContent-Type: text/html\r\nVary: *", &page);
    let gateway = in_front(&endpoint, ON);
    for accept in ["", "gzip;q=0", "gzip;q=1.5", "deflate", "gzip\r\nCache-Control: no-transform"] {
        let answer = Wire::to(&gateway).ask(&accepting(accept));
        assert_eq!((answer.text(), answer.field("Vary")), (page.clone(), Some("*")), "{accept}");
    }
    assert_eq!(Wire::to(&gateway).ask(&accepting("*")).field("Content-Encoding"), Some("zstd"));
}

#[test]
fn rules_say_what_and_how_and_the_last_word_counts() {
    let endpoint = answering("404 Not Found\r\nContent-Type: application/ld+json", "{\"a\": 1}");
    let rules = "rule = [{ then = { compress = { codings = [\"gzip\"], types = [\"*+JSON\"], min = 0 } } }, \
                 { when = 'path == \"/off\"', then = { compress = false } }, \
                 { when = 'path == \"/vary\"', then = { set_response_fields = { Vary = \"X\" } } }, \
                 { then = { forward = \"app\" } }]";
    let gateway = in_front(&endpoint, rules);
    let mut client = Wire::to(&gateway);
    let answer = client.ask(&accepting("zstd, br, gzip;q=0.1"));
    assert_eq!((answer.status, answer.field("Content-Encoding")), (404, Some("gzip")));
    assert_eq!(decoded("gzip", &answer.body), "{\"a\": 1}");
    let answer = client.ask(&accepting("gzip").replace("GET /", "GET /off"));
    assert_eq!((answer.field("Content-Encoding"), answer.field("Vary")), (None, None));
    let answer = client.ask(&accepting("gzip").replace("GET /", "GET /vary"));
    assert_eq!((answer.field("Content-Encoding"), answer.field("Vary")), (Some("gzip"), Some("X")));
}

#[test]
fn events_do_not_wait_for_the_next_ones_and_trailers_come_behind_them() {
    for coding in ["gzip", "br", "zstd"] {
        let (go_on, gone_on) = channel::<()>();
        let gone_on = Mutex::new(gone_on);
        let endpoint = Endpoint::new(move |wire| {
            if wire.request().is_none() {
                return;
            }
            wire.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            for event in 0..3 {
                let event = format!("data: {event}\n\n");
                wire.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
                gone_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            wire.write(b"0\r\nX-Sum: 3\r\n\r\n");
        });
        let gateway = in_front(&endpoint, ON);
        let mut client = Wire::to(&gateway);
        client.write(accepting(coding).as_bytes());
        let head = client.head().unwrap();
        assert_eq!(field(&head, "Content-Encoding"), Some(coding));
        let mut decoder = Decoder::new(coding);
        for event in 0..3 {
            let expected = format!("data: {event}\n\n");
            while !decoder.text().ends_with(&expected) {
                let chunk = client.chunk().expect("an event comes before the next one is there");
                decoder.feed(&chunk);
            }
            go_on.send(()).unwrap();
        }
        let (rest, trailers) = client.chunked().expect("the end comes");
        decoder.feed(&rest);
        assert_eq!(decoder.text(), "data: 0\n\ndata: 1\n\ndata: 2\n\n", "{coding}");
        assert_eq!(trailers, "X-Sum: 3\n", "{coding}");
    }
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    // Too irregular to be kept back until its end is seen, in any coding.
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (state >> 24) as u8 % 95)
    };
    let begun: String = (0..400_000).map(|_| letter()).collect();
    let endpoint = Endpoint::once(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 500000\r\n\r\n{begun}"
    ));
    let gateway = in_front(&endpoint, ON);
    let mut client = Wire::to(&gateway);
    client.write(accepting("gzip").as_bytes());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert!(client.chunked().is_none());
}

#[test]
fn a_body_that_ends_with_its_connection_is_coded_whole() {
    let endpoint = Endpoint::once(format!("HTTP/1.0 200 OK\r\nContent-Type: text/css\r\n\r\n{}", page()));
    let gateway = in_front(&endpoint, ON);
    let answer = Wire::to(&gateway).ask(&accepting("br"));
    assert_eq!((answer.field("Transfer-Encoding"), decoded("br", &answer.body)), (Some("chunked"), page()));
}

#[test]
fn long_answers_are_coded_over_http_2() {
    let long = page().repeat(100);
    let endpoint = answering("200 OK\r\nContent-Type: application/json", &long);
    let gateway = in_front(&endpoint, &format!("{CLEAR}\n{ON}"));
    tell(&gateway, |mut client| async move {
        for coding in ["gzip", "br", "zstd"] {
            let mut request = get("/");
            request.headers_mut().insert("accept-encoding", coding.parse().unwrap());
            let answer = ask(&mut client, request, b"").await.unwrap();
            assert_eq!(answer.headers()["content-encoding"], coding);
            assert!(!answer.headers().contains_key("content-length"));
            let body = content(&mut answer.into_body()).await.unwrap();
            assert!(decoded(coding, &body) == long, "{coding}");
        }
    });
}

#[test]
fn a_304_varies_as_the_answer_does_that_the_client_has_and_bears_its_tag() {
    let endpoint = Endpoint::new(|wire| {
        while wire.request().is_some() {
            wire.write(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 7000\r\n\r\n");
        }
    });
    let gateway = in_front(&endpoint, ON);
    let mut client = Wire::to(&gateway);
    for (accepts, tag, length) in [("gzip", "W/\"v1\"", None), ("identity", "\"v1\"", Some("7000"))] {
        client.write(accepting(accepts).as_bytes());
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 304 "), "{head}");
        assert_eq!((field(&head, "Vary"), field(&head, "ETag")), (Some("Accept-Encoding"), Some(tag)));
        assert_eq!((field(&head, "Content-Encoding"), field(&head, "Content-Length")), (None, length));
    }
    let endpoint = Endpoint::once("HTTP/1.1 304 Not Modified\r\nContent-Type: image/png\r\n\r\n");
    let gateway = in_front(&endpoint, ON);
    let mut client = Wire::to(&gateway);
    client.write(accepting("gzip").as_bytes());
    assert_eq!(field(&client.head().unwrap(), "Vary"), None);
}

#[test]
fn what_a_rule_says_itself_is_made_smaller_and_is_known_by_its_tag() {
    let folder = tempfile::tempdir().unwrap();
    let (style, image) = (folder.path().join("a.css"), folder.path().join("a.png"));
    // Several turns' work.
    let long = page().repeat(20);
    std::fs::write(&style, &long).unwrap();
    std::fs::write(&image, &long).unwrap();
    let rules = format!(
        "rule = [{{ then = {{ compress = true }} }}, \
         {{ when = 'path == \"/image\"', then = {{ respond = {{ file = {image:?} }} }} }}, \
         {{ when = 'path == \"/short\"', then = {{ respond = {{ body = \"short\" }} }} }}, \
         {{ when = 'path == \"/off\"', then = {{ compress = false, respond = {{ file = {style:?} }} }} }}, \
         {{ then = {{ compress = true, respond = {{ file = {style:?} }} }} }}]"
    );
    let gateway = gateway(&file(&[], &rules, "").replace("[cluster.app]\nendpoints = []\n", ""));
    let mut client = Wire::to(&gateway);
    let plain = client.ask(&accepting("identity"));
    assert_eq!((plain.text(), plain.field("Vary")), (long.clone(), Some("Accept-Encoding")));
    let weak = format!("W/{}", plain.field("ETag").unwrap());
    for coding in ["gzip", "br", "zstd", "gzip"] {
        let answer = client.ask(&accepting(coding));
        assert_eq!((answer.status, answer.field("Content-Encoding")), (200, Some(coding)));
        assert_eq!((answer.field("Vary"), answer.field("ETag")), (Some("Accept-Encoding"), Some(&*weak)));
        assert_eq!(answer.field("Content-Length"), Some(&*answer.body.len().to_string()));
        assert_eq!(decoded(coding, &answer.body), long, "{coding}");
        let head = client.ask(&accepting(coding).replace("GET", "HEAD"));
        assert_eq!((head.field("Content-Encoding"), head.field("ETag")), (Some(coding), Some(&*weak)));
        assert_eq!(head.field("Content-Length"), answer.field("Content-Length"));
        client.write(accepting(&format!("{coding}\r\nIf-None-Match: {weak}")).as_bytes());
        let known = client.head().unwrap();
        assert!(known.starts_with("HTTP/1.1 304 "), "{known}");
        assert_eq!((field(&known, "Vary"), field(&known, "ETag")), (Some("Accept-Encoding"), Some(&*weak)));
    }
    for path in ["image", "short", "off"] {
        let answer = client.ask(&accepting("gzip").replace("GET /", &format!("GET /{path}")));
        assert_eq!((answer.status, answer.field("Content-Encoding")), (200, None), "{path}");
        assert_eq!(answer.field("Vary"), None, "{path}");
    }
    let old = Wire::to(&gateway).ask("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((old.field("Content-Encoding"), old.text()), (None, long));
}

#[test]
fn beyond_as_many_as_a_worker_codes_at_once_answers_pass_as_they_are_and_are_counted() {
    let endpoint = Endpoint::new(|wire| {
        wire.request();
        wire.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n",
        );
        // Until the gateway goes.
        while wire.fill() > 0 {}
    });
    let gateway = in_front(&endpoint, ON);
    let mut clients: Vec<Wire> = Vec::new();
    for n in 0..130 {
        let mut client = Wire::to(&gateway);
        client.write(accepting("gzip").as_bytes());
        let head = client.head().unwrap();
        assert_eq!(field(&head, "Content-Encoding"), (n < 128).then_some("gzip"), "{n}");
        clients.push(client);
    }
    let mut page = String::new();
    gateway.observer().write_metrics(&mut page).unwrap();
    let line = "foreword_answers_left_uncoded_total{listener=\"web\"} 2";
    assert!(page.lines().any(|found| found == line), "{page}");
}

/// Decodes as it is fed.
enum Decoder {
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Decoder {
    fn new(coding: &str) -> Self {
        match coding {
            "gzip" => Self::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            "br" => Self::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 4096))),
            _ => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new()).unwrap()),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let fed = match self {
            Self::Gzip(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Self::Zstd(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
        };
        fed.unwrap();
    }

    fn text(&mut self) -> String {
        let out = match self {
            Self::Gzip(decoder) => decoder.get_ref().clone(),
            Self::Brotli(decoder) => decoder.get_mut().clone(),
            Self::Zstd(decoder) => decoder.get_ref().clone(),
        };
        String::from_utf8(out).unwrap()
    }
}
