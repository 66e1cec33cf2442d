//! Requests that HTTP/2 must not make, and those that would be two in HTTP/1.1: none reaches an endpoint.

use super::*;

/// Such a request is reset, and the others of its connection go on.
const MALFORMED: Becomes = Reset(1, &[PROTOCOL_ERROR]);
/// What `h2` cannot even hold in a field ends the connection.
const UNREADABLE: Becomes = Over(&[PROTOCOL_ERROR]);

/// Refused by `h2`, or by the parser behind it: the endpoint hears of none of them.
const REFUSED: &[Case] = &[
    // RFC 9113 §8.2.1: names and values
    ("upper case in a name", |c| c.get(1, &with(&[("X-A", "1")])), UNREADABLE),
    ("a space in a name", |c| c.get(1, &with(&[("x a", "1")])), UNREADABLE),
    ("a colon in a name", |c| c.get(1, &with(&[("x:a", "1")])), UNREADABLE),
    ("a line in a name", |c| c.get(1, &with(&[("x: 1\r\ny", "1")])), UNREADABLE),
    ("NUL in a name", |c| c.get(1, &with(&[("x\0", "1")])), UNREADABLE),
    ("an empty name", |c| c.get(1, &with(&[("", "1")])), UNREADABLE),
    ("a byte beyond ASCII in a name", |c| c.get(1, &with(&[("é", "1")])), UNREADABLE),
    ("CR in a value", |c| c.get(1, &with(&[("x-a", "1\r2")])), UNREADABLE),
    ("LF in a value", |c| c.get(1, &with(&[("x-a", "1\n2")])), UNREADABLE),
    ("a line in a value", |c| c.get(1, &with(&[("x-a", "1\r\ntransfer-encoding: chunked")])), UNREADABLE),
    (
        "a request in a value",
        |c| c.get(1, &with(&[("x-a", "1\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n")])),
        UNREADABLE,
    ),
    ("NUL in a value", |c| c.get(1, &with(&[("x-a", "1\0")])), UNREADABLE),
    ("DEL in a value", |c| c.get(1, &with(&[("x-a", "1\x7f")])), UNREADABLE),
    ("a line in a cookie", |c| c.get(1, &with(&[("cookie", "a=1\r\nx: y")])), UNREADABLE),
    // §8.2.2: fields of one HTTP/1.1 connection
    ("connection", |c| c.get(1, &with(&[("connection", "close")])), MALFORMED),
    ("keep-alive", |c| c.get(1, &with(&[("keep-alive", "timeout=5")])), MALFORMED),
    ("proxy-connection", |c| c.get(1, &with(&[("proxy-connection", "keep-alive")])), MALFORMED),
    ("transfer-encoding", |c| c.post(1, &with(&[("transfer-encoding", "chunked")])), MALFORMED),
    ("upgrade", |c| c.get(1, &with(&[("upgrade", "h2c")])), MALFORMED),
    ("te other than trailers", |c| c.get(1, &with(&[("te", "gzip")])), MALFORMED),
    ("te with more than trailers", |c| c.get(1, &with(&[("te", "trailers, chunked")])), MALFORMED),
    ("transfer_encoding", |c| c.post(1, &with(&[("transfer_encoding", "chunked")])), Answered(1, 400)),
    ("content_length", |c| c.post(1, &with(&[("content_length", "5")])), Answered(1, 400)),
    // §8.3: pseudo-fields
    ("an unknown pseudo-field", |c| c.get(1, &with(&[(":x", "1")])), UNREADABLE),
    ("a pseudo-field of answers", |c| c.get(1, &with(&[(":status", "200")])), MALFORMED),
    (
        "a pseudo-field behind a field",
        |c| {
            c.get(
                1,
                &[(":method", "GET"), (":scheme", "http"), ("x-a", "1"), (":path", "/"), (":authority", "a")],
            );
        },
        MALFORMED,
    ),
    ("no :method", |c| c.get(1, &ROOT[1..]), MALFORMED),
    ("no :scheme", |c| c.get(1, &[ROOT[0], ROOT[2], ROOT[3]]), MALFORMED),
    ("no :path", |c| c.get(1, &[ROOT[0], ROOT[1], ROOT[3]]), MALFORMED),
    ("an empty :path", |c| c.get(1, &[ROOT[0], ROOT[1], (":path", ""), ROOT[3]]), MALFORMED),
    ("two :method", |c| c.get(1, &with(&[(":method", "POST")])), MALFORMED),
    ("two :scheme", |c| c.get(1, &with(&[(":scheme", "http")])), MALFORMED),
    ("two :path", |c| c.get(1, &with(&[(":path", "/b")])), MALFORMED),
    ("two :authority", |c| c.get(1, &with(&[(":authority", "b")])), MALFORMED),
    (":protocol without CONNECT", |c| c.get(1, &with(&[(":protocol", "websocket")])), MALFORMED),
    ("neither :authority nor host", |c| c.get(1, &ROOT[..3]), Answered(1, 400)),
    ("CONNECT with a :path", |c| c.get(1, &[(":method", "CONNECT"), ROOT[2], ROOT[3]]), MALFORMED),
    ("CONNECT", |c| c.get(1, &[(":method", "CONNECT"), (":authority", "a:443")]), Answered(1, 501)),
    ("a :method with a space", |c| c.get(1, &[(":method", "GET /b"), ROOT[1], ROOT[2], ROOT[3]]), UNREADABLE),
    (
        "a :method with a line",
        |c| c.get(1, &[(":method", "GET / HTTP/1.1\r\nx:"), ROOT[1], ROOT[2], ROOT[3]]),
        UNREADABLE,
    ),
    ("an empty :method", |c| c.get(1, &[(":method", ""), ROOT[1], ROOT[2], ROOT[3]]), UNREADABLE),
    (
        "a :method too long",
        |c| {
            c.get(1, &[(":method", "AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDDDDDDDD"), ROOT[1], ROOT[2], ROOT[3]]);
        },
        Answered(1, 501),
    ),
    (
        "a :scheme that is not HTTP's",
        |c| c.get(1, &[ROOT[0], (":scheme", "ftp"), ROOT[2], ROOT[3]]),
        Answered(1, 400),
    ),
    (
        "a :scheme with a line",
        |c| c.get(1, &[ROOT[0], (":scheme", "http\r\nx: y"), ROOT[2], ROOT[3]]),
        MALFORMED,
    ),
    ("a :path with a space", |c| path(c, "/a b"), MALFORMED),
    ("a :path with a version", |c| path(c, "/ HTTP/1.1\r\nx: y"), MALFORMED),
    ("a :path with LF", |c| path(c, "/a\nb"), MALFORMED),
    ("a :path with NUL", |c| path(c, "/a\0b"), MALFORMED),
    ("a :path with a tab", |c| path(c, "/a\tb"), MALFORMED),
    ("a :path without a slash", |c| path(c, "a"), MALFORMED),
    ("a :path that begins with ?", |c| path(c, "?a"), Answered(1, 400)),
    ("a :path that is a URL", |c| path(c, "http://b/"), MALFORMED),
    ("a :path that is a host", |c| path(c, "b:80"), MALFORMED),
    ("a :path with a quotation mark", |c| path(c, "/\"a"), Answered(1, 400)),
    ("a :path beyond ASCII", |c| path(c, "/é"), Answered(1, 400)),
    ("a :path with %2F", |c| path(c, "/a%2fb"), Answered(1, 400)),
    ("a :path with a backslash", |c| path(c, "/a\\b"), Answered(1, 400)),
    ("* for GET", |c| path(c, "*"), Answered(1, 400)),
    ("an :authority with a user", |c| authority(c, "u@a"), Answered(1, 400)),
    ("an :authority with a line", |c| authority(c, "a\r\nx: y"), MALFORMED),
    ("an :authority with a space", |c| authority(c, "a b"), MALFORMED),
    ("an :authority with a path", |c| authority(c, "a/b"), MALFORMED),
    ("host that differs from :authority", |c| c.get(1, &with(&[("host", "b")])), Answered(1, 400)),
    ("host with another port", |c| c.get(1, &with(&[("host", "a:81")])), Answered(1, 400)),
    ("two hosts", |c| c.get(1, &with(&[("host", "a"), ("host", "a")])), Answered(1, 400)),
    // §8.1.1: lengths
    ("a length without a body", |c| c.get(1, &with(&[("content-length", "5")])), MALFORMED),
    ("two lengths", |c| c.post(1, &with(&[("content-length", "1"), ("content-length", "2")])), MALFORMED),
    (
        "two equal lengths",
        |c| c.post(1, &with(&[("content-length", "1"), ("content-length", "1")])),
        Answered(1, 400),
    ),
    ("a list of lengths", |c| c.post(1, &with(&[("content-length", "1, 1")])), MALFORMED),
    ("a length with a sign", |c| c.post(1, &with(&[("content-length", "+1")])), MALFORMED),
    ("a length in hexadecimal digits", |c| c.post(1, &with(&[("content-length", "0x1")])), MALFORMED),
    (
        "a length beyond 2^63",
        |c| c.post(1, &with(&[("content-length", "9223372036854775808")])),
        Answered(1, 400),
    ),
    // RFC 8441
    (
        "a tunnel for another protocol",
        |c| {
            c.post(1, &[(":method", "CONNECT"), (":protocol", "connect-udp"), ROOT[1], ROOT[2], ROOT[3]]);
        },
        Answered(1, 400),
    ),
    (
        "a WebSocket without a :path",
        |c| {
            c.post(1, &[(":method", "CONNECT"), (":protocol", "websocket"), ROOT[1], ROOT[3]]);
        },
        MALFORMED,
    ),
    // Limits
    ("more fields than there may be", |c| c.get(1, &with(&[("x", "1"); 120])), Answered(1, 431)),
    ("a :path longer than it may be", |c| path(c, &format!("/{}", "a".repeat(8001))), Answered(1, 414)),
    (
        "a head longer than it may be",
        |c| {
            let value = "a".repeat(8000);
            let fields =
                [ROOT, &[("x", value.as_str()), ("y", value.as_str()), ("z", value.as_str())]].concat();
            large(c, &fields);
        },
        Answered(1, 431),
    ),
    (
        "a head much longer than it may be",
        |c| {
            let value = "a".repeat(15_000);
            large(
                c,
                &[ROOT, &[("x", value.as_str()), ("y", value.as_str()), ("z", value.as_str())]].concat(),
            );
        },
        Answered(1, 431),
    ),
];

fn path(client: &mut Frames, path: &str) {
    client.get(1, &[ROOT[0], ROOT[1], (":path", path), ROOT[3]]);
}

fn authority(client: &mut Frames, authority: &str) {
    client.get(1, &[ROOT[0], ROOT[1], ROOT[2], (":authority", authority)]);
}

/// A head that takes more than one frame.
fn large(client: &mut Frames, fields: &[(&str, &str)]) {
    let head = block(fields);
    let mut pieces = head.chunks(16_384).peekable();
    client.send(HEADERS, END_STREAM, 1, pieces.next().unwrap());
    while let Some(piece) = pieces.next() {
        client.send(CONTINUATION, if pieces.peek().is_none() { END_HEADERS } else { 0 }, 1, piece);
    }
}

fn none_passes(with_tls: bool) {
    let endpoint = Endpoint::polite();
    let edge = Edge::new(&endpoint, with_tls);
    try_all(&edge, REFUSED);
    assert_eq!((endpoint.seen.text().as_str(), endpoint.seen.connections()), ("", 0));
}

#[test]
fn no_request_that_could_be_two_reaches_an_endpoint_in_the_clear() {
    none_passes(false);
}

#[test]
fn no_request_that_could_be_two_reaches_an_endpoint_under_tls() {
    none_passes(true);
}

/// A name, what is said, and what the endpoint hears of it.
type Served = (&'static str, fn(&mut Frames), &'static str);

/// Served, and told to the endpoint as one request with these lines in it.
const SERVED: &[Served] = &[
    ("a host without :authority", |c| c.get(1, &[ROOT[0], ROOT[1], ROOT[2], ("host", "b")]), "Host: b\r\n"),
    ("a host in other letters", |c| c.get(1, &with(&[("host", "A")])), "Host: a\r\n"),
    ("a fragment, which is no part of a request", |c| path(c, "/a#b"), "GET /a HTTP/1.1\r\n"),
    (
        "cookies in crumbs",
        |c| c.get(1, &with(&[("cookie", "a=1"), ("cookie", "b=2")])),
        "cookie: a=1; b=2\r\n",
    ),
    ("te: trailers", |c| c.get(1, &with(&[("te", "trailers")])), "TE: trailers\r\nConnection: TE\r\n"),
    ("an empty value", |c| c.get(1, &with(&[("x-a", "")])), "x-a: \r\n"),
    ("a value beyond ASCII", |c| c.get(1, &with(&[("x-a", "é")])), "x-a: é\r\n"),
    (
        "OPTIONS *",
        |c| c.get(1, &[(":method", "OPTIONS"), ROOT[1], (":path", "*"), ROOT[3]]),
        "OPTIONS * HTTP/1.1\r\n",
    ),
    ("a length of nothing", |c| c.get(1, &with(&[("content-length", "0")])), "Content-Length: 0\r\n"),
    (
        "a body with a length",
        |c| {
            c.post(1, &with(&[("content-length", "2")]));
            c.send(DATA, 0, 1, b"x");
            c.send(DATA, END_STREAM, 1, b"y");
        },
        "\r\n\r\nxy",
    ),
    (
        "a body without a length",
        |c| {
            c.post(1, ROOT);
            // Two pieces may go on as one.
            c.send(DATA, END_STREAM, 1, b"xyz");
        },
        "\r\n\r\n3\r\nxyz\r\n0\r\n\r\n",
    ),
    (
        "an empty body without a length",
        |c| {
            c.post(1, ROOT);
            c.send(DATA, END_STREAM, 1, b"");
        },
        "\r\n\r\n0\r\n\r\n",
    ),
    (
        "a body with trailers",
        |c| {
            c.post(1, ROOT);
            c.send(DATA, 0, 1, b"x");
            c.get(1, &[("x-sum", "7")]);
        },
        "\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n",
    ),
    (
        "pseudo-fields among the trailers, which are left out",
        |c| {
            c.post(1, ROOT);
            c.get(1, &[(":path", "/b"), ("x-sum", "7")]);
        },
        "\r\n0\r\nx-sum: 7\r\n\r\n",
    ),
    (
        "a body that holds a request",
        |c| {
            c.post(1, &with(&[("content-length", "18")]));
            c.send(DATA, END_STREAM, 1, b"GET /b HTTP/1.1\r\n\n");
        },
        "GET /b HTTP/1.1\r\n\n",
    ),
];

#[test]
fn what_may_be_asked_is_told_to_the_endpoint_in_one_way() {
    for with_tls in [false, true] {
        for &(name, say, expected) in SERVED {
            let endpoint = Endpoint::polite();
            let edge = Edge::new(&endpoint, with_tls);
            let mut client = edge.connect().greeted();
            say(&mut client);
            let answer = client.wait(|frame| frame.kind == HEADERS).unwrap();
            assert_eq!((answer.stream, answer.status()), (1, 200), "{name}");
            assert!(endpoint.seen.text().contains(expected), "{name}: {}", endpoint.seen.text());
        }
    }
}

/// Found wrong when its request is already told: the endpoint never sees its end.
#[test]
fn a_body_that_turns_out_wrong_never_ends_for_the_endpoint() {
    type Wrong = (&'static str, &'static [(&'static str, &'static str)], fn(&mut Frames));
    let cases: &[Wrong] = &[
        ("longer than it said", &[("content-length", "2")], |c| c.send(DATA, END_STREAM, 1, b"yz")),
        ("shorter than it said", &[("content-length", "3")], |c| c.send(DATA, END_STREAM, 1, b"y")),
        ("trailers that frame", &[], |c| c.get(1, &[("content-length", "5")])),
        ("trailers that say who the client is", &[], |c| c.get(1, &[("x-forwarded-for", "1.2.3.4")])),
        ("trailers of one connection", &[], |c| c.get(1, &[("connection", "close")])),
        ("trailers that do not end the stream", &[], |c| c.post(1, &[("x-sum", "7")])),
        ("a reset", &[], |c| c.send(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("the end of the connection", &[], |c| c.send(DATA, 0, 0, b"")),
    ];
    for (name, fields, say) in cases {
        let (told, events) = events();
        let endpoint = Endpoint::new(move |wire| {
            wire.head();
            told.lock().unwrap().send(()).unwrap();
            while wire.fill() > 0 {}
            told.lock().unwrap().send(()).unwrap();
        });
        let edge = Edge::new(&endpoint, false);
        let mut client = edge.connect().greeted();
        client.post(1, &with(fields));
        client.send(DATA, 0, 1, b"x");
        events.recv_timeout(PATIENCE).unwrap();
        say(&mut client);
        events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name}: the endpoint still waits"));
        let seen = endpoint.seen.text();
        assert!(!seen.contains("\r\n0\r\n") && !seen.contains("xy"), "{name}: {seen}");
    }
}
