//! Heads of HTTP/1.1 requests by a grammar: each rule of RFC 9112 broken in every place, by every byte that breaks it.

use super::bodies::CHUNKED;
use super::{Case, Must, is_token_byte};

/// The beginning of every head.
const HOST: &str = "Host: a\r\n";

/// Whether a place may hold a byte.
type MayHold = fn(u8) -> bool;

/// Bytes that are put where they do not belong; some do no harm in some places.
fn stray_bytes() -> impl Iterator<Item = u8> {
    (0..=0x20).chain(0x7f..=0x81).chain([0x85, 0xa0, 0xff]).chain(*b"\"#(,/:;<=>?@[\\]_{}'+-0")
}

/// All heads, bodies of the plainest kind behind them.
pub(super) fn all(out: &mut Vec<Case>) {
    request_lines(out);
    fields_with_stray_bytes(out);
    folds(out);
    lengths_and_codings(out);
    targets_and_hosts(out);
    options(out);
    lines_without_end(out);
}

/// A head with a body of five bytes, which another reader may take for a request.
fn framed(first: &[u8], lines: &[u8], is_chunked: bool) -> Vec<u8> {
    let mut bytes = first.to_vec();
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(lines);
    bytes.extend_from_slice(if is_chunked {
        CHUNKED
    } else {
        b"X-Case: {id}\r\nContent-Length: 5\r\n\r\nhello"
    });
    bytes
}

fn request_lines(out: &mut Vec<Case>) {
    // The places of a stray byte in `POST /case HTTP/1.1`, and what is told of it there.
    let places: [(usize, MayHold); 8] = [
        (0, is_token_byte),
        (2, is_token_byte),
        (4, is_token_byte),
        (5, |byte| byte == b'/'),
        (7, is_path_byte),
        (10, is_path_byte),
        (11, |_| false),
        (14, |_| false),
    ];
    for byte in stray_bytes() {
        for (at, may_be) in places {
            let mut first = b"POST /case HTTP/1.1".to_vec();
            first.insert(at, byte);
            let must = if may_be(byte) { Must::Safe } else { Must::Refused };
            for is_chunked in [false, true] {
                out.push(Case::new(
                    "a stray byte in the request line",
                    must,
                    framed(&first, HOST.as_bytes(), is_chunked),
                ));
            }
        }
        let mut first = b"POST /case HTTP/1.1".to_vec();
        first.push(byte);
        out.push(Case::new(
            "a stray byte behind the version",
            Must::Refused,
            framed(&first, HOST.as_bytes(), true),
        ));
    }
    for version in VERSIONS {
        for method in ["GET", "POST", "HEAD", "OPTIONS", "get"] {
            let first = format!("{method} /case {version}");
            for is_chunked in [false, true] {
                out.push(Case::new(
                    "another version",
                    Must::Refused,
                    framed(first.as_bytes(), HOST.as_bytes(), is_chunked),
                ));
            }
        }
    }
}

/// What a path may hold without being another kind of target. An empty segment and a query are harmless.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>\\".contains(&byte)
}

const VERSIONS: &[&str] = &[
    "HTTP/0.9",
    "HTTP/1.2",
    "HTTP/1.10",
    "HTTP/1.01",
    "HTTP/01.1",
    "HTTP/2.0",
    "HTTP/2",
    "HTTP/11",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/.1",
    "HTTP/1,1",
    "http/1.1",
    "Http/1.1",
    "HTTPS/1.1",
    "HTTP 1.1",
    "HTTP/1.1 HTTP/1.1",
    "1.1",
    "RTSP/1.0",
];

/// A field, its value, and what a value may hold besides controls.
const FIELDS: &[(&str, &str, MayHold)] = &[
    ("Content-Length", "5", |_| false),
    ("Transfer-Encoding", "chunked", |_| false),
    ("X-Any", "yy", |byte| byte >= b' ' && byte != 0x7f),
    ("Connection", "close", |byte| byte >= b' ' && byte != 0x7f),
    ("Upgrade", "h2c", |byte| byte >= b' ' && byte != 0x7f),
    ("Cookie", "a=b", |byte| byte >= b' ' && byte != 0x7f),
];

fn fields_with_stray_bytes(out: &mut Vec<Case>) {
    for byte in stray_bytes() {
        for &(name, value, may_hold) in FIELDS {
            let is_framing = matches!(name, "Content-Length" | "Transfer-Encoding");
            let line = format!("{name}: {value}");
            let value_at = name.len() + 2;
            // Name: at its beginning, inside, at its end. Value: behind the colon, at its beginning, inside, at its end.
            let in_name = [0, 3, name.len()];
            let in_value = [name.len() + 1, value_at, value_at + 1, line.len()];
            for at in in_name.into_iter().chain(in_value) {
                let is_name = at <= name.len();
                let is_blank = matches!(byte, b' ' | b'\t');
                let is_edge = at < value_at + 1 || at == line.len();
                let is_harmless = match (is_name, is_blank) {
                    // A colon ends the name early, and what is behind it is a value.
                    (true, _) if byte == b':' => at != 0,
                    (true, _) => is_token_byte(byte),
                    (false, true) => is_edge || !is_framing,
                    // Zeros before a number and behind it make another number.
                    (false, false) if name == "Content-Length" && byte == b'0' => true,
                    (false, false) => may_hold(byte),
                };
                let mut stray = line.as_bytes().to_vec();
                stray.insert(at, byte);
                stray.extend_from_slice(b"\r\n");
                let must = if is_harmless { Must::Safe } else { Must::Refused };
                push_with_neighbours(out, "a stray byte in a field", must, &stray);
            }
        }
    }
}

/// The same line in front of `Host` and behind it, with different bodies.
fn push_with_neighbours(out: &mut Vec<Case>, what: &'static str, must: Must, line: &[u8]) {
    let first = b"POST /case HTTP/1.1\r\n".as_slice();
    let ends = [b"X-Case: {id}\r\n\r\nhello".as_slice(), b"X-Case: {id}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"];
    out.push(Case::new(what, must, [first, HOST.as_bytes(), line, ends[0]].concat()));
    // A line that is folded onto the one before it is refused wherever it stands.
    out.push(Case::new(what, must, [first, line, HOST.as_bytes(), ends[1]].concat()));
}

fn folds(out: &mut Vec<Case>) {
    let lines = [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "X-Any: y",
        "Connection: close",
        "Cookie: a=b",
        "Host: b",
        "Expect: 100-continue",
        "Upgrade: websocket",
    ];
    for line in lines {
        let colon = line.find(':').unwrap_or_default();
        for at in [1, colon, colon + 1, colon + 2, colon + 3, line.len()] {
            for fold in [
                "\r\n ", "\r\n\t", "\n ", "\n\t", "\r ", "\r\t", "\r\n  \t", "\n", "\r", "\r\r\n ", "\0\r\n ",
            ] {
                let (before, behind) = line.split_at(at);
                let folded = format!("{before}{fold}{behind}\r\n");
                push_with_neighbours(out, "a folded line", Must::Refused, folded.as_bytes());
            }
        }
    }
}

/// What is no length, or none beside another framing.
const LENGTHS: &[&str] = &[
    "5",
    "05",
    "0",
    "6",
    "-5",
    "+5",
    " 5 5",
    "5,5",
    "5, 5",
    "5,6",
    "5;",
    "5.0",
    "5e0",
    "0x5",
    "0b101",
    "\"5\"",
    "'5'",
    "five",
    "",
    "5\0",
    "\x0b5",
    "5\x0c",
    "\u{665}",
    "\u{ff15}",
    "5_0",
    "1_0",
    "18446744073709551616",
    "18446744073709551621",
    "9223372036854775808",
    "99999999999999999999999999",
    "-0",
    "+0",
    "00000000000000000000005x",
];

/// What is no coding that we know, or known twice.
const CODINGS: &[&str] = &[
    "chunked",
    "Chunked",
    "CHUNKED",
    "identity",
    "gzip",
    "cow",
    "xchunked",
    "chunkedx",
    "x chunked",
    "chunked x",
    "chunked, chunked",
    "chunked,chunked",
    "chunked, identity",
    "identity, chunked",
    "gzip, chunked",
    "chunked, gzip",
    "cow, chunked",
    "chunked, cow",
    ",chunked",
    "chunked,",
    ", chunked",
    "chunked ,",
    ",",
    "",
    "\"chunked\"",
    "'chunked'",
    "chunked;q=1",
    "chunked; x=y",
    "chunked\0",
    "\x0bchunked",
    "chunked\x0b",
    "\x0cchunked",
    "chunked\x7f",
    "\u{a0}chunked",
    "chun\u{212a}ed",
    "ch\u{fc}nked",
    "chu\rnked",
    "chu\nnked",
    "(x)chunked",
    "chunked(x)",
    "trailers",
    "chunked/1",
    "deflate;chunked",
];

fn lengths_and_codings(out: &mut Vec<Case>) {
    let mut both = |version: &str, what: &'static str, must: Must, lines: &str| {
        let bodies = ["hello", "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n"];
        let body = bodies[out.len() % bodies.len()];
        let head = format!("POST /case HTTP/{version}\r\n{HOST}X-Case: {{id}}\r\n{lines}\r\n{body}");
        out.push(Case::new(what, must, head.into_bytes()));
    };
    for (row, first) in LENGTHS.iter().enumerate() {
        for (column, second) in LENGTHS.iter().enumerate() {
            let name = ["Content-Length", "content-length", "CONTENT-LENGTH"][(row + column) % 3];
            let lines = format!("Content-Length: {first}\r\n{name}: {second}\r\n");
            both("1.1", "two lengths", Must::Refused, &lines);
        }
        for (column, coding) in CODINGS.iter().enumerate() {
            let (length, coding) =
                (format!("Content-Length: {first}\r\n"), format!("Transfer-Encoding: {coding}\r\n"));
            let is_first = (row + column) % 2 == 0;
            let lines = if is_first { length + &coding } else { coding + &length };
            both("1.1", "a length and a coding", Must::Refused, &lines);
        }
    }
    for (row, first) in CODINGS.iter().enumerate() {
        for (column, second) in CODINGS.iter().enumerate() {
            let name = ["Transfer-Encoding", "transfer-encoding"][(row + column) % 2];
            let lines = format!("Transfer-Encoding: {first}\r\n{name}: {second}\r\n");
            both("1.1", "two codings", Must::Refused, &lines);
        }
        let is_known = first.eq_ignore_ascii_case("chunked");
        let lines = format!("Transfer-Encoding: {first}\r\n");
        both("1.1", "one coding", if is_known { Must::Safe } else { Must::Refused }, &lines);
        for more in ["", "Connection: keep-alive\r\n", "Connection: close\r\n", "Content-Length: 5\r\n"] {
            both("1.0", "a coding in HTTP/1.0", Must::Refused, &format!("{lines}{more}"));
        }
        for name in [
            "Transfer_Encoding",
            "Transfer-Encoding ",
            " Transfer-Encoding",
            "Transfer-Encoding\t",
            "TransferEncoding",
        ] {
            let must = if name == "TransferEncoding"
                && !first.contains(['\0', '\x0b', '\x0c', '\x7f', '\r', '\n'])
            {
                Must::Safe
            } else {
                Must::Refused
            };
            both("1.1", "a coding by another name", must, &format!("{name}: {first}\r\n"));
        }
    }
}

/// An authority in the target, and whether `Host: a` says the same.
const AUTHORITIES: &[(&str, bool)] = &[
    ("a", true),
    ("A", true),
    ("a:80", true),
    ("b", false),
    ("a.b", false),
    ("b.a", false),
    ("a:81", false),
    ("a:", true),
    ("a:x", false),
    ("a:99999", false),
    ("a@b", false),
    ("b@a", false),
    ("u:p@a", false),
    ("", false),
    (":80", false),
    ("a\\b", false),
    ("a%2eb", false),
    ("[::1]", false),
    ("a,b", false),
    ("a;b", false),
    ("a b", false),
    ("a\tb", false),
    ("a\0", false),
    ("a#b", false),
    ("127.1", false),
    ("0x7f.1", false),
    ("\u{ff41}", false),
];

fn targets_and_hosts(out: &mut Vec<Case>) {
    let mut push = |must: Must, target: &str, hosts: &str| {
        let head = format!("GET {target} HTTP/1.1\r\n{hosts}X-Case: {{id}}\r\n\r\n");
        out.push(Case::new("targets and hosts", must, head.into_bytes()));
    };
    for &(authority, agrees) in AUTHORITIES {
        for (scheme, is_ours) in
            [("http", true), ("HTTP", true), ("https", true), ("ftp", false), ("file", false), ("", false)]
        {
            for path in ["", "/", "/case", "?q", "/../x", "//x"] {
                let must = match agrees && is_ours {
                    // `a:80` is not what `https` and `a` mean, and the other way round.
                    true => Must::Safe,
                    false => Must::Refused,
                };
                push(must, &format!("{scheme}://{authority}{path}"), HOST);
            }
        }
        let must = if agrees { Must::Safe } else { Must::Refused };
        // Two opinions on the same head, whatever they are.
        push(Must::Refused, "/case", &format!("{HOST}Host: {authority}\r\n"));
        push(Must::Refused, "/case", &format!("Host: {authority}\r\nHost: {authority}\r\n"));
        push(Must::Refused, "/case", &format!("Host : {authority}\r\n"));
        push(Must::Refused, "/case", &format!(" Host: {authority}\r\n{HOST}"));
        if agrees {
            push(must, "/case", &format!("Host: {authority}\r\n"));
        }
    }
    for target in [
        "*", "a", "a:80", "case", "http:a", "http:/a", "http//a/", "://a/", "/case#x", "/case#", "#", "?q",
        "\\case",
    ] {
        push(Must::Refused, target, HOST);
    }
    for hosts in [
        "",
        "Host:\r\n",
        "Host: \t\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a\\b\r\n",
        "Host: u@a\r\n",
        "Host: a:b\r\n",
        "Host: a:80:80\r\n",
        "Host: [a\r\n",
        "Host: a#\r\n",
        "Host: a?\r\n",
        "Host: \"a\"\r\n",
        "Host: http://a/\r\n",
        "Host: \u{e4}\r\n",
    ] {
        push(Must::Refused, "/case", hosts);
    }
}

/// What `Connection`, `Upgrade` and their like can be made to say: nothing here need be refused, all of it must be safe.
fn options(out: &mut Vec<Case>) {
    let options = [
        "close",
        "keep-alive",
        "close, keep-alive",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "X-Forwarded-For",
        "X-Real-IP",
        "Authorization",
        "Cookie",
        "TE",
        "Trailer",
        "Upgrade",
        "Connection",
        "host, x",
        "x, Content-Length",
        ",",
        "",
        "X-Request-Id",
        "Forwarded",
        "Via",
        "Expect",
        "HTTP2-Settings",
        "Upgrade, HTTP2-Settings",
    ];
    let others = [
        "",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: TLS/1.0, HTTP/1.1\r\n",
        "Upgrade: h2c\r\nContent-Length: 5\r\n",
        "Expect: 100-continue\r\n",
        "Expect: 200-maybe\r\nContent-Length: 5\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n",
        "Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n",
        "TE: trailers, chunked\r\n",
        "Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n",
        "Max-Forwards: 0\r\n",
    ];
    for option in options {
        for other in others {
            for version in ["1.1", "1.0"] {
                let body = match other {
                    other if other.contains("chunked\r\n") && other.contains("Transfer") => {
                        "5\r\nhello\r\n0\r\n\r\n"
                    }
                    other if other.contains("Content-Length: 5") => "hello",
                    _ => "",
                };
                let head = format!(
                    "POST /case HTTP/{version}\r\n{HOST}Connection: {option}\r\n{other}X-Case: {{id}}\r\n\r\n{body}"
                );
                out.push(Case::new("options of the connection", Must::Safe, head.into_bytes()));
            }
        }
    }
}

/// Line ends of which only one is right, in each line of a head.
fn lines_without_end(out: &mut Vec<Case>) {
    let lines = ["POST /case HTTP/1.1", "Host: a", "X-Case: {id}", "Content-Length: 5", ""];
    for place in 0..lines.len() {
        for end in ["\n", "\r", "\r\r\n", "\n\r", "\r\0\n", "\0\r\n", "\x0b\r\n", "\x0c\r\n", "\x7f\r\n"] {
            for body in ["hello", "5\r\nhello\r\n0\r\n\r\n"] {
                let mut head = String::new();
                for (number, line) in lines.iter().enumerate() {
                    head.push_str(line);
                    head.push_str(if number == place { end } else { "\r\n" });
                }
                head.push_str(body);
                out.push(Case::new("another line end", Must::Refused, head.into_bytes()));
            }
        }
    }
}
