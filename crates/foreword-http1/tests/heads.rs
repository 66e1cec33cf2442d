//! Request and response heads, good and bad: each with what becomes of it, whole and in pieces.

use foreword_http1::{
    Class, Framing, HeadEnd, HeadError, HeadFault, Limits, RequestHead, ResponseHead, Target, Version,
};
use proptest::prelude::*;

/// Reads one request head in pieces of `piece` bytes, as a connection would.
fn request_in(
    bytes: &[u8],
    piece: usize,
    limits: &Limits,
) -> Result<Option<(usize, RequestHead)>, HeadError> {
    let mut search = HeadEnd::request();
    let mut len = 0;
    while len < bytes.len() {
        len = (len + piece).min(bytes.len());
        if let Some(end) = search.find(&bytes[..len], limits)? {
            let mut head = RequestHead::default();
            head.parse(&bytes[..end], limits)?;
            return Ok(Some((end, head)));
        }
    }
    Ok(None)
}

fn end_of(found: &Option<(usize, RequestHead)>) -> Option<usize> {
    found.as_ref().map(|(end, _)| *end)
}

fn at_once(bytes: &[u8], limits: &Limits) -> Option<usize> {
    RequestHead::default().parse_at_once(bytes, limits)
}

fn request(bytes: &[u8]) -> Result<RequestHead, HeadError> {
    let whole = request_in(bytes, bytes.len(), &Limits::default());
    assert_eq!(at_once(bytes, &Limits::default()), whole.as_ref().ok().and_then(end_of));
    for piece in [1, 2, 7] {
        let pieces = request_in(bytes, piece, &Limits::default());
        match (&whole, &pieces) {
            (Ok(whole), Ok(pieces)) => assert_eq!(whole.is_some(), pieces.is_some()),
            (whole, pieces) => {
                assert_eq!(whole.as_ref().err(), pieces.as_ref().err(), "{}", bytes.escape_ascii())
            }
        }
    }
    whole.map(|found| found.unwrap_or_else(|| panic!("incomplete: {}", bytes.escape_ascii())).1)
}

fn fault(bytes: &[u8]) -> (HeadFault, usize) {
    match request(bytes) {
        Err(error) => (error.fault(), error.at()),
        Ok(_) => panic!("expected a fault in {}", bytes.escape_ascii()),
    }
}

/// A request with this line in front of `Host`.
fn with(line: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn a_request_is_read_as_it_was_written() {
    let bytes = b"POST /a?b HTTP/1.1\r\nHost: Example.COM:80\r\nX-A:  1 \r\nx-a:\r\nConnection: close, X-A\r\nContent-Length: 3\r\n\r\n";
    let head = request(bytes).unwrap();
    let request = head.view(bytes);
    assert_eq!((request.method(), request.raw_target()), ("POST", "/a?b"));
    assert_eq!((request.version(), request.host()), (Version::Http11, "example.com"));
    assert_eq!(request.authority(), Some("Example.COM:80"));
    assert_eq!(request.field("X-a").collect::<Vec<_>>(), [b"1".as_slice(), b""]);
    assert_eq!(request.framing(), Framing::Length(3));
    assert!(!request.keeps_alive());
    assert!(request.is_named_in_connection(b"x-a") && !request.is_named_in_connection(b"host"));
}

#[test]
fn an_index_that_is_used_again_keeps_nothing_of_the_last_head() {
    let first = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n";
    let second = b"GET / HTTP/1.0\r\n\r\n";
    let mut head = RequestHead::default();
    head.parse(first, &Limits::default()).unwrap();
    assert!(head.view(first).expects_continue());
    head.parse(second, &Limits::default()).unwrap();
    let request = head.view(second);
    assert_eq!((request.framing(), request.host(), request.fields().count()), (Framing::None, "", 0));
    assert!(!request.expects_continue() && !request.connection().close);
}

#[test]
fn keep_alive_follows_the_version_and_the_options() {
    for (bytes, keeps) in [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), true),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
    ] {
        assert_eq!(request(bytes).unwrap().view(bytes).keeps_alive(), keeps, "{}", bytes.escape_ascii());
    }
}

#[test]
fn framing_that_two_readers_could_differ_about_is_refused() {
    use HeadFault as F;
    for (lines, expected) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", F::LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", F::LengthAndCoding),
        ("Content-Length: 5\r\nContent-Length: 6", F::SeveralLengths),
        ("Content-Length: 5\r\nContent-Length: 5", F::SeveralLengths),
        ("Content-Length: 5, 5", F::SeveralLengths),
        ("Content-Length: 5,", F::SeveralLengths),
        ("Content-Length: +5", F::Length),
        ("Content-Length: -5", F::Length),
        ("Content-Length: 0x5", F::Length),
        ("Content-Length: 5 5", F::Length),
        ("Content-Length: 5.0", F::Length),
        ("Content-Length: 5;a", F::Length),
        ("Content-Length: \"5\"", F::Length),
        ("Content-Length:", F::Length),
        ("Content-Length: 9223372036854775808", F::Length),
        ("Content-Length: 18446744073709551616", F::Length),
        ("Content-Length: 99999999999999999999999999", F::Length),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", F::SeveralCodings),
        ("Transfer-Encoding: chunked, chunked", F::UnknownCoding),
        ("Transfer-Encoding: gzip, chunked", F::UnknownCoding),
        ("Transfer-Encoding: chunked, gzip", F::UnknownCoding),
        ("Transfer-Encoding: identity", F::UnknownCoding),
        ("Transfer-Encoding: xchunked", F::UnknownCoding),
        ("Transfer-Encoding: \"chunked\"", F::UnknownCoding),
        ("Transfer-Encoding: chunked;q=1", F::UnknownCoding),
        ("Transfer-Encoding: chunked x", F::UnknownCoding),
        ("Transfer-Encoding:", F::SeveralCodings),
        ("Transfer-Encoding: chunked,", F::SeveralCodings),
        ("Transfer-Encoding: ,chunked", F::SeveralCodings),
        ("Transfer_Encoding: chunked", F::UnderscoredFraming),
        ("Content_Length: 5", F::UnderscoredFraming),
    ] {
        let error = request(&with(lines)).unwrap_err();
        assert_eq!(error.fault(), expected, "{lines}");
        assert!(matches!(error.status(), 400 | 501), "{lines}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(request(old).unwrap_err().fault(), F::CodingInHttp10);
}

#[test]
fn what_is_no_head_is_refused_at_its_byte() {
    use HeadFault as F;
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".as_slice(), (F::Folded, 25)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n", (F::Folded, 25)),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", (F::Folded, 16)),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", (F::SpaceBeforeColon, 20)),
        (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", (F::SpaceBeforeColon, 20)),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", (F::BareCr, 23)),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", (F::BareCr, 23)),
        (b"GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n", (F::BareLf, 23)),
        (b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", (F::ValueByte(0), 23)),
        (b"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n", (F::ValueByte(0x7f), 23)),
        (b"GET / HTTP/1.1\r\nX: a\x0b\r\n\r\n", (F::ValueByte(0x0b), 20)),
        (b"GET / HTTP/1.1\r\nX\0: a\r\n\r\n", (F::NameByte(0), 17)),
        (b"GET / HTTP/1.1\r\nX(y): a\r\n\r\n", (F::NameByte(b'('), 17)),
        (b"GET / HTTP/1.1\r\nX\xc3\xa9: a\r\n\r\n", (F::NameByte(0xc3), 17)),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", (F::EmptyName, 16)),
        (b"GET / HTTP/1.1\r\nnothing\r\n\r\n", (F::NoColon, 23)),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(0), 5)),
        (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(b'#'), 5)),
        (b"GET /\"a HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(b'"'), 5)),
        (b"GET /<a HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(b'<'), 5)),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(0xc3), 5)),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(0x7f), 5)),
        (b"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetByte(9), 5)),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetForm, 4)),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetForm, 4)),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", (F::TargetForm, 4)),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", (F::Version, 6)),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", (F::Version, 15)),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", (F::Version, 6)),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", (F::Version, 6)),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", (F::Version, 6)),
        (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", (F::Version, 6)),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", (F::Version, 6)),
        (b"GET /\r\n", (F::Http09, 4)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (F::Http2Preface, 0)),
        (b"\x16\x03\x01\x02\x00\x01", (F::TlsClientHello, 0)),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", (F::BlankLine, 0)),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", (F::BlankLine, 0)),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", (F::Method, 0)),
        (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", (F::Method, 1)),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", (F::Method, 3)),
        (b"GET / HTTP/1.1\r\n\r\n", (F::NoHost, 18)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", (F::SeveralHosts, 25)),
        (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", (F::HostDisagrees, 4)),
        (b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", (F::HostDisagrees, 4)),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n", (F::MethodTooLong, 32)),
    ] {
        assert_eq!(fault(bytes), expected, "{}", bytes.escape_ascii());
    }
    for host in ["", "a b", "a,b", "u@a", "a:b", "a:99999", "a/b", "[::1", "a..b", "a%00", "a\"b"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(fault(bytes.as_bytes()).0, F::Host, "{host}");
    }
}

#[test]
fn each_fault_has_its_status_and_class() {
    let error = |bytes: &[u8]| request(bytes).unwrap_err();
    assert_eq!(error(b"GET / HTTP/3.0\r\n\r\n").status(), 505);
    assert_eq!(error(b"GET / HTTP/3.0\r\n\r\n").class(), Class::Version);
    assert_eq!(error(b"\x16\x03\x01").class(), Class::Tls);
    assert_eq!(error(&with("Transfer-Encoding: gzip")).status(), 501);
    assert_eq!(error(&with("Transfer-Encoding: gzip")).class(), Class::UnknownCoding);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8000));
    assert_eq!((error(long.as_bytes()).status(), error(long.as_bytes()).class()), (414, Class::TooLarge));
    let many = with(&["a: b"; 100].join("\r\n"));
    assert_eq!((error(&many).status(), error(&many).class()), (431, Class::TooLarge));
    let naming = with(&format!("Connection: {}", ["x"; 33].join(",")));
    assert_eq!(error(&naming).status(), 431);
    let wide = with(&format!("a: {}", "b".repeat(17_000)));
    assert_eq!(error(&wide).status(), 431);
    let shown = error(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").to_string();
    assert_eq!(
        shown,
        "byte 20: expected a colon right after the field name, found white space (RFC 9112 §5.1)"
    );
}

#[test]
fn a_hundred_fields_are_taken_and_more_where_the_limit_says_so() {
    let hundred = with(&["a: b"; 99].join("\r\n"));
    assert_eq!(request(&hundred).unwrap().view(&hundred).fields().count(), 100);
    let many = with(&["a: b"; 299].join("\r\n"));
    let limits = Limits { fields: 300, ..Limits::default() };
    let (_, head) = request_in(&many, many.len(), &limits).unwrap().unwrap();
    assert_eq!(head.view(&many).fields().count(), 300);
}

#[test]
fn the_target_may_name_the_host_as_long_as_it_is_the_same() {
    for (line, host_field) in [
        ("GET http://Example.com/x HTTP/1.1", "example.COM"),
        ("GET http://example.com:80/x HTTP/1.1", "example.com"),
        ("GET https://example.com/x HTTP/1.1", "example.com:443"),
        ("GET http://example.com./x HTTP/1.1", "example.com"),
    ] {
        let bytes = format!("{line}\r\nHost: {host_field}\r\n\r\n").into_bytes();
        let head = request(&bytes).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(head.view(&bytes).host(), "example.com");
        assert_eq!(head.view(&bytes).target().path_and_query(), "/x");
    }
    let old = b"GET http://b:1/ HTTP/1.0\r\n\r\n";
    let head = request(old).unwrap();
    assert_eq!((head.view(old).host(), head.view(old).authority()), ("b", Some("b:1")));
    assert!(matches!(head.view(old).target(), Target::Absolute { https: false, .. }));
}

#[test]
fn a_path_or_query_that_holds_an_address_names_no_host() {
    for target in
        ["/?x=http://internal.example/", "/x://internal.example/y", "/?x=:///a", "//internal.example/"]
    {
        let bytes = format!("GET {target} HTTP/1.0\r\n\r\n").into_bytes();
        let head = request(&bytes).unwrap();
        assert_eq!((head.view(&bytes).host(), head.view(&bytes).authority()), ("", None), "{target}");
    }
}

fn response(bytes: &[u8]) -> Result<ResponseHead, HeadError> {
    let mut search = HeadEnd::response();
    let end = search.find(bytes, &ResponseHead::LIMITS)?;
    let mut head = ResponseHead::default();
    head.parse(&bytes[..end.unwrap_or_else(|| panic!("incomplete"))], &ResponseHead::LIMITS)?;
    Ok(head)
}

#[test]
fn the_end_of_an_answer_follows_status_method_and_fields() {
    for (bytes, method, framing) in [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".as_slice(), "GET", Framing::Length(5)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", Framing::None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", Framing::None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", Framing::None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET", Framing::Chunked),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", Framing::Length(5)),
        (b"HTTP/1.1 200 OK\r\n\r\n", "GET", Framing::UntilClose),
        (b"HTTP/1.0 200\r\n\r\n", "GET", Framing::UntilClose),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", Framing::None),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", Framing::None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "POST", Framing::None),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "GET", Framing::None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "CONNECT", Framing::None),
    ] {
        let head = response(bytes).unwrap_or_else(|error| panic!("{}: {error}", bytes.escape_ascii()));
        assert_eq!(head.view(bytes).framing(method), framing, "{method} {}", bytes.escape_ascii());
    }
    let bytes = b"HTTP/1.1 200 caf\xc3\xa9 au lait\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(response(bytes).unwrap().view(bytes).reason(), "café au lait".as_bytes());
}

#[test]
fn an_answer_that_could_be_read_in_two_ways_is_refused() {
    for bytes in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".as_slice(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"220 mail.example.com ESMTP\r\n",
    ] {
        assert!(response(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    let long = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'b'; 33_000]].concat();
    assert_eq!(response(&long).unwrap_err().fault(), HeadFault::HeadTooLong);
}

proptest! {
    #[test]
    fn the_answer_is_the_same_however_the_bytes_are_split(
        head in r"(GET|P)( ){1,2}(/|[*]|http://a/)[a-z#]{0,3} (HTTP/1[.][01])(\r)?\n((Host|X[ -]Y|Content-Length|Transfer-Encoding)(: )(a|5|chunked|)(\r)?\n){0,4}(\r)?\n",
        piece in 1usize..20,
    ) {
        let whole = request_in(head.as_bytes(), head.len(), &Limits::default());
        let pieces = request_in(head.as_bytes(), piece, &Limits::default());
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole.map(|found| found.0), pieces.map(|found| found.0)),
            (whole, pieces) => prop_assert_eq!(whole.err(), pieces.err()),
        }
    }

    #[test]
    fn a_head_is_parsed_at_once_where_it_is_found_and_parsed_one_after_the_other(
        head in r"(GET|P)( )(/|http://a/)[a-z]{0,30} HTTP/1[.]1\r\n(Host: a\r\n)?(X|Content-Length)(: )(a|5|chunked|)\r\n(Y: 1\r\n){0,4}(\r\n)?(more)?",
        (most_head, fields, target) in (20usize..90, 0usize..6, 0usize..40),
    ) {
        let limits = Limits { head: most_head, fields, target };
        for limits in [limits, Limits::default()] {
            let whole = request_in(head.as_bytes(), head.len(), &limits);
            prop_assert_eq!(at_once(head.as_bytes(), &limits), whole.ok().as_ref().and_then(end_of));
        }
    }

    #[test]
    fn httparse_reads_what_is_taken_in_the_same_way(
        head in r"(GET|P)(/)?( ){1,2}(/|[*]|http://a/)[a-z#]{0,3} HTTP/1[.][01](\r)?\n((Host|X[ -]?Y|)( )?:[ \t]{0,2}(a|b\tc|\x7f|\xff|\x01|)[ \t]{0,2}(\r)?\n){0,4}(\r)?\n",
    ) {
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut theirs = httparse::Request::new(&mut fields);
        let status = theirs.parse(head.as_bytes());
        let mut ours = RequestHead::default();
        match ours.parse(head.as_bytes(), &Limits::default()) {
            Ok(()) => {
                prop_assert_eq!(status, Ok(httparse::Status::Complete(head.len())));
                let request = ours.view(head.as_bytes());
                prop_assert_eq!((theirs.method, theirs.path), (Some(request.method()), Some(request.raw_target())));
                let theirs = theirs.headers.iter().map(|field| (field.name.as_bytes(), field.value));
                prop_assert!(theirs.eq(request.fields().map(|field| (field.name, field.value))));
            }
            // What has no name of its own is none of the things that httparse takes and we do not.
            Err(error) if error.fault() == HeadFault::Malformed => prop_assert!(status.is_err()),
            Err(_) => {}
        }
    }

    #[test]
    fn httparse_reads_an_answer_that_is_taken_in_the_same_way(
        head in r"HTTP/1[.][01]( ){1,2}[0-2][0-9]{2}( )?(OK|No Content|\xff|\x01|)\r\n(X[ -]?Y( )?:[ \t]{0,2}(a|\x7f|)[ \t]{0,2}(\r)?\n){0,3}\r\n",
    ) {
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut theirs = httparse::Response::new(&mut fields);
        let status = theirs.parse(head.as_bytes());
        let mut ours = ResponseHead::default();
        let parsed = ours.parse(head.as_bytes(), &ResponseHead::LIMITS);
        prop_assert_eq!(ours.parse_at_once(head.as_bytes(), &ResponseHead::LIMITS), parsed.ok().map(|()| head.len()));
        if parsed.is_ok() {
            prop_assert_eq!(status, Ok(httparse::Status::Complete(head.len())));
            let response = ours.view(head.as_bytes());
            prop_assert_eq!(theirs.code, Some(response.status()));
            // It drops a phrase that is not ASCII.
            prop_assert!(!response.reason().is_ascii() || theirs.reason.map(str::as_bytes) == Some(response.reason()));
            let theirs = theirs.headers.iter().map(|field| (field.name.as_bytes(), field.value));
            prop_assert!(theirs.eq(response.fields().map(|field| (field.name, field.value))));
        } else if status == Ok(httparse::Status::Complete(head.len())) {
            // Statuses below 100 and bare line feeds are all that it takes beyond that.
            prop_assert!(theirs.code.is_some_and(|code| code < 100) || head.replace("\r\n", "").contains('\n'));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = request_in(&bytes, 300, &Limits::default());
        let _ = RequestHead::default().parse(&bytes, &Limits::default());
        let _ = ResponseHead::default().parse(&bytes, &ResponseHead::LIMITS);
    }

    #[test]
    fn what_is_taken_holds_no_control_byte_and_no_bare_line_end(
        insert in any::<u8>(), at in 0usize..60,
    ) {
        let mut bytes = b"GET /path?query HTTP/1.1\r\nHost: example\r\nAccept: text/html\r\n\r\n".to_vec();
        bytes.insert(at.min(bytes.len() - 4), insert);
        if let Ok(Some((end, head))) = request_in(&bytes, bytes.len(), &Limits::default()) {
            let request = head.view(&bytes[..end]);
            prop_assert!(request.raw_target().bytes().all(|byte| byte.is_ascii_graphic()));
            for field in request.fields() {
                prop_assert!(foreword_http1::is_token(field.name));
                prop_assert!(!field.value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
            }
        }
    }
}
