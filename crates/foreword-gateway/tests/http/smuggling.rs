//! Requests that two servers could read in two ways: none of them comes across, and the connection ends.

use foreword_http1::{Chunked, Framing, HeadEnd, Limits, RequestHead};

use crate::support::*;

/// Whether `bytes` are requests, each read to its end, with nothing between or behind them; how many there are.
fn plain_requests(mut bytes: &[u8]) -> Option<usize> {
    let limits = Limits { head: 64 * 1024, ..Limits::default() };
    let mut count = 0;
    while !bytes.is_empty() {
        let end = HeadEnd::request().find(bytes, &limits).ok()??;
        let (head, rest) = bytes.split_at(end);
        let mut index = RequestHead::default();
        index.parse(head, &limits).ok()?;
        bytes = match index.view(head).framing() {
            Framing::None => rest,
            Framing::Length(length) => rest.split_at_checked(usize::try_from(length).ok()?)?.1,
            Framing::Chunked => {
                let mut body = rest.to_vec();
                let step = Chunked::forwarding().advance(&mut body).ok()?;
                (step.done && step.kept == step.taken).then_some(())?;
                &rest[step.taken..]
            }
            Framing::UntilClose => return None,
        };
        count += 1;
    }
    Some(count)
}

/// What a hidden second request would look like.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Lines of which one, in front of or behind `Host`, makes a request ambiguous or malformed.
const LINES: &[&str] = &[
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 0\r\nTransfer-Encoding: chunked",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\ncontent-length: 0",
    "Content-Length: 5, 5",
    "Content-Length: 5,6",
    "Content-Length: 5 6",
    "Content-Length: 5;6",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: -0",
    "Content-Length: 0x5",
    "Content-Length: 5e0",
    "Content-Length: 5.0",
    "Content-Length: \"5\"",
    "Content-Length: five",
    "Content-Length:",
    "Content-Length: 5\0",
    "Content-Length: \x0b5",
    "Content-Length: 5\x0c",
    "Content-Length: 99999999999999999999",
    "Content-Length: 18446744073709551621",
    "Content-Length: 9223372036854775808",
    "Content-Length : 5",
    "Content-Length\t: 5",
    "Content-Length\0: 5",
    " Content-Length: 5",
    "\tContent-Length: 5",
    "Content_Length: 5",
    "Content Length: 5",
    "Content-Length\r\n: 5",
    "Content-Length:\r\n 5",
    "Content-Length: 5\r\n 6",
    "Content-Length: 5\n",
    "Content-Length: 5\r",
    "Content-Length: 5\rX: y",
    "X: y\nContent-Length: 5",
    "X: y\rContent-Length: 5",
    "X: y\r\n\tContent-Length: 5",
    "X: y\n\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\ntransfer-encoding: x",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: cow, chunked",
    "Transfer-Encoding: chunked, cow",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: , chunked",
    "Transfer-Encoding: chunked ,",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: x chunked",
    "Transfer-Encoding: chunked x",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked; x=y",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: \0chunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding: \x0cchunked",
    "Transfer-Encoding: chunked\x7f",
    "Transfer-Encoding: \u{a0}chunked",
    "Transfer-Encoding: chunked\u{a0}",
    "Transfer-Encoding: \u{212a}chunked",
    "Transfer-Encoding: ch\u{fc}nked",
    "Transfer-Encoding: chun\r\n ked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding:\r\n\tchunked",
    "Transfer-Encoding: chunked\r\n x",
    "Transfer-Encoding:\n chunked",
    "Transfer-Encoding:\rchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding\x0b: chunked",
    "Transfer-Encoding\0: chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding\u{a0}: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "\x0bTransfer-Encoding: chunked",
    "\0Transfer-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "transfer_encoding: chunked",
    "Transfer Encoding: chunked",
    "Transfer-Encoding: ",
    "Transfer-Encoding: chunked\n",
    "Transfer-Encoding: chunked\r",
    "Transfer-Encoding: chunked\rX: y",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding chunked",
    "\"Transfer-Encoding\": chunked",
    "Transfer-Encoding= chunked",
    ": chunked",
    "Host: b",
    "host: a",
    "HOST: a",
    " Host: b",
    "Host : b",
    "Host",
    "X: \x01",
    "X: \x08",
    "X: \x1b[2J",
    "X: \x7f",
    "X: a\0b",
    "X: a\rb",
    "X\x7f: y",
    "X(: y",
    "X\u{e9}: y",
    "X{}: y",
    "X@y: z",
    "X[0]: y",
    "X/y: z",
    "nonsense",
    "GET / HTTP/1.1",
];

/// First lines that are none.
const FIRST_LINES: &[&str] = &[
    "POST  / HTTP/1.1",
    "POST /  HTTP/1.1",
    "POST / HTTP/1.1 ",
    "POST / HTTP/1.1 x",
    " POST / HTTP/1.1",
    "POST\t/ HTTP/1.1",
    "POST /\tHTTP/1.1",
    "POST\x0b/ HTTP/1.1",
    "POST / HTTP/1.1\r",
    "POST /\r HTTP/1.1",
    "POST / HTTP/1.1\nX: y",
    "POST /\n HTTP/1.1",
    "POST /",
    "POST",
    "POST / HTTP/0.9",
    "POST / HTTP/1.2",
    "POST / HTTP/1.11",
    "POST / HTTP/11",
    "POST / HTTP/2.0",
    "POST / HTTP/3",
    "POST / http/1.1",
    "POST / HTTP/1,1",
    "POST / HTTP / 1.1",
    "POST / HTTPS/1.1",
    "POST / ICY/1.1",
    "P\0ST / HTTP/1.1",
    "P(ST / HTTP/1.1",
    "P\u{d6}ST / HTTP/1.1",
    "POST:/ / HTTP/1.1",
    "POST /\0 HTTP/1.1",
    "POST /\x7f HTTP/1.1",
    "POST /\u{e9} HTTP/1.1",
    "POST /#x HTTP/1.1",
    "POST /?x#y HTTP/1.1",
    "POST /<x> HTTP/1.1",
    "POST /\" HTTP/1.1",
    "POST /x y HTTP/1.1",
    "POST x HTTP/1.1",
    "POST * HTTP/1.1",
    "POST a:80 HTTP/1.1",
    "POST ftp://a/ HTTP/1.1",
    "POST http:a HTTP/1.1",
    "POST http:///x HTTP/1.1",
    "POST http://b/ HTTP/1.1",
    "POST http://a:99/ HTTP/1.1",
    "POST http://a@b/ HTTP/1.1",
    "POST http://a\\@b/ HTTP/1.1",
    "POST //a/../%2f HTTP/1.1",
    "CONNECT a:80 HTTP/1.1",
    "PRI * HTTP/2.0",
    "",
    "\n",
    "\r\nPOST / HTTP/1.1",
    "HTTP/1.1 200 OK",
];

/// Chunked bodies that some read otherwise.
const CHUNKS: &[&str] = &[
    "5 \r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5h\r\nhello\r\n0\r\n\r\n",
    "5_0\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\r\nhello\r\n0\r\n\r\n",
    "5\n\nhello\r\n0\r\n\r\n",
    "\r\n5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r0\r\n\r\n",
    "5\r\nhello\r\n\r\n0\r\n\r\n",
    "5;x\nhello\r\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "5;x\rhello\r\n0\r\n\r\n",
    "5;x=\"\n\"\r\nhello\r\n0\r\n\r\n",
    "5;x\0\r\nhello\r\n0\r\n\r\n",
    "5,x\r\nhello\r\n0\r\n\r\n",
    "5 ;x\r\nhello\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "8000000000000005\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\n\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\n\rX",
    "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    "5\r\nhello\r\n0\r\nX_Real_IP: 6.6.6.6\r\n\r\n",
    "5\r\nhello\r\n0\r\nConnection: close\r\n\r\n",
    "5\r\nhello\r\n0\r\n X: y\r\n\r\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
    "5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "5\r\nhello\r\n0\r\n: x\r\n\r\n",
    "five\r\nhello\r\n0\r\n\r\n",
    "\u{ff15}\r\nhello\r\n0\r\n\r\n",
];

/// Sends a case and checks that the client is refused and closed.
fn is_refused(gateway: &foreword_gateway::Gateway, case: &str) {
    let mut client = Wire::to(gateway);
    client.write(case.as_bytes());
    client.finish();
    let answer = client.answer("POST").unwrap_or_else(|| panic!("no answer to {case:?}"));
    assert!(matches!(answer.status, 400 | 501 | 505), "{} for {case:?}", answer.status);
    assert_eq!(answer.field("Connection"), Some("close"), "{case:?}");
    assert!(client.is_closed(), "{case:?}");
}

#[test]
fn no_ambiguous_head_comes_across() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    let mut cases = 0;
    for line in LINES {
        for request in [
            format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\nhello{HIDDEN}"),
            format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n0\r\n\r\n{HIDDEN}"),
            format!("GET / HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\n5\r\nhello\r\n0\r\n\r\n{HIDDEN}"),
        ] {
            is_refused(&gateway, &request);
            cases += 1;
        }
    }
    for first in FIRST_LINES {
        is_refused(&gateway, &format!("{first}\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}"));
        cases += 1;
    }
    assert!(cases >= 400, "{cases}");
    assert_eq!(endpoint.seen.connections(), 0);
}

#[test]
fn no_ambiguous_body_ends_at_the_endpoint() {
    let (told, ended) = events();
    let endpoint = Endpoint::new(move |wire| {
        while wire.fill() > 0 {}
        told.lock().unwrap().send(std::mem::take(&mut wire.buffer)).unwrap();
    });
    let gateway = in_front_of(&endpoint);
    for chunks in CHUNKS {
        let before = endpoint.seen.connections();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        is_refused(&gateway, &format!("{head}{chunks}{HIDDEN}"));
        if endpoint.seen.connections() > before {
            // The body was found out after its beginning had gone out. It never ends there.
            let seen = ended.recv_timeout(PATIENCE).unwrap();
            assert_eq!(plain_requests(&seen), seen.is_empty().then_some(0), "{chunks:?}");
            assert!(find(&seen, b"/hidden").is_none(), "{chunks:?}");
        }
    }
}

#[test]
fn transfer_codings_in_http_1_0_are_refused() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    for lines in ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nConnection: keep-alive"] {
        let request = format!("POST / HTTP/1.0\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n{HIDDEN}");
        is_refused(&gateway, &request);
    }
}

#[test]
fn what_is_behind_a_body_is_a_request_of_its_own_and_judged_as_one() {
    let endpoint = Endpoint::polite();
    let keys = "[[listener.web.rule]]\nwhen = 'path.under(\"/hidden\")'\nthen = { deny = 403 }\n\
                [[listener.web.rule]]\nthen = { forward = \"app\" }\n";
    let gateway = gateway(&file(&[endpoint.address], keys, ""));
    for request in [
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}"),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{HIDDEN}"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n{HIDDEN}"
        ),
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: chunked\r\n\r\n{HIDDEN}"),
    ] {
        endpoint.seen.forget();
        let mut client = Wire::to(&gateway);
        client.write(request.as_bytes());
        assert_eq!(client.answer("POST").unwrap().status, 200, "{request:?}");
        assert_eq!(client.answer("GET").unwrap().status, 403, "{request:?}");
        assert!(find(&endpoint.seen.all(), b"/hidden").is_none(), "{request:?}");
    }
}

#[test]
fn tls_and_http_2_and_headers_on_a_plain_port_are_refused() {
    let endpoint = Endpoint::polite();
    let gateway = in_front_of(&endpoint);
    for first in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1234 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x04\xd2\x01\xbb",
        b"GET /\r\n",
    ] {
        let mut client = Wire::to(&gateway);
        client.write(first);
        let answer = client.answer("GET").unwrap();
        assert!(matches!(answer.status, 400 | 505), "{}", first.escape_ascii());
        assert!(client.is_closed());
    }
    assert_eq!(endpoint.seen.connections(), 0);
}
