//! Requests over HTTP/2 by a grammar: what RFC 9113 forbids in a head, and what HTTP/1.1 could not say, in every place.

use super::{Must, is_token_byte};
use crate::frames::client::{DATA, END_HEADERS, END_STREAM, HEADERS, frame, literal};

/// A field by name and value, each of any bytes.
type Field = (Vec<u8>, Vec<u8>);

/// One request: its head, the data behind it if any, and its trailers if any.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) must: Must,
    head: Vec<Field>,
    data: Option<&'static [u8]>,
    trailers: Vec<Field>,
}

impl Case {
    fn new(what: &'static str, must: Must, head: Vec<Field>) -> Self {
        Self { what, must, head, data: None, trailers: Vec::new() }
    }

    /// Asks for this path, with these fields behind it, pseudo-fields first.
    pub(super) fn asking(path: &str, fields: &[(&str, &str)]) -> Self {
        let mut head = vec![field(":method", "GET"), field(":scheme", "http"), field(":path", path)];
        head.extend(fields.iter().map(|&(name, value)| field(name, value)));
        Self::new("a question", Must::Safe, head)
    }

    /// Its frames on stream 1, with a field by which it is known again.
    pub(super) fn numbered(&self, id: usize) -> Vec<u8> {
        let mut head = self.head.clone();
        head.push(field("x-case", id.to_string()));
        let end = |is_end: bool| if is_end { END_STREAM } else { 0 };
        let is_short = self.data.is_none() && self.trailers.is_empty();
        let mut bytes = frame(HEADERS, END_HEADERS | end(is_short), 1, &block(&head));
        if let Some(data) = self.data {
            bytes.extend(frame(DATA, end(self.trailers.is_empty()), 1, data));
        }
        if !self.trailers.is_empty() {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&self.trailers)));
        }
        bytes
    }
}

fn block(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

fn field(name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Field {
    (name.into(), value.into())
}

/// The pseudo-fields of a request.
fn root() -> Vec<Field> {
    vec![
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", "/case"),
        field(":authority", "a"),
    ]
}

fn with(more: &[(&str, &str)]) -> Vec<Field> {
    root().into_iter().chain(more.iter().map(|&(name, value)| field(name, value))).collect()
}

/// All of them.
pub(super) fn all(out: &mut Vec<Case>) {
    stray_bytes(out);
    injections(out);
    pseudo_fields(out);
    fields_of_http1(out);
    lengths(out);
    trailers(out);
    hosts(out);
}

/// Every byte at the beginning, inside and at the end of each pseudo-field, of a name and of a value.
fn stray_bytes(out: &mut Vec<Case>) {
    for byte in 0..=u8::MAX {
        for at in 0..3 {
            let stray = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                bytes.insert([0, 1, text.len()][at], byte);
                bytes
            };
            for place in 0..4 {
                let mut head = root();
                let Some((name, value)) = head.get_mut(place) else { continue };
                *value = stray(std::str::from_utf8(value).unwrap());
                let is_harmless = match name.as_slice() {
                    b":method" => is_token_byte(byte),
                    // Then it is `https`.
                    b":scheme" => byte == b's' && at == 2,
                    // What is behind a `#` never reaches us, as our reader of HTTP/2 leaves it out: nor does it go on.
                    b":path" => {
                        (at > 0 || b"/#".contains(&byte))
                            && byte.is_ascii_graphic()
                            && !b"\"<>\\".contains(&byte)
                    }
                    _ => is_host_byte(byte),
                };
                out.push(Case::new("a stray byte in a pseudo-field", must(is_harmless), head));
            }
            let is_name = is_token_byte(byte) && !byte.is_ascii_uppercase();
            let mut head = root();
            head.push((stray("x-any"), b"yy".to_vec()));
            out.push(Case::new("a stray byte in a name", must(is_name), head));
            let is_blank = matches!(byte, b' ' | b'\t');
            let is_value = is_blank || (byte >= b' ' && byte != 0x7f);
            for name in ["x-any", "cookie"] {
                let mut head = root();
                head.push((name.as_bytes().to_vec(), stray("yy")));
                out.push(Case::new("a stray byte in a value", must(is_value), head));
            }
            for name in ["content-length", "te"] {
                let mut head = root();
                head.push((name.as_bytes().to_vec(), stray(if name == "te" { "trailers" } else { "5" })));
                let mut case = Case::new("a stray byte in a field of meaning", Must::Safe, head);
                case.data = Some(b"hello");
                out.push(case);
            }
        }
    }
}

fn must(is_harmless: bool) -> Must {
    if is_harmless { Must::Safe } else { Must::Refused }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,;=-._~:[]".contains(&byte)
}

/// Whole lines and requests in every value and name.
fn injections(out: &mut Vec<Case>) {
    const INJECTED: &[&str] = &[
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\r\nX: y",
        "\nX: y",
        "\rX: y",
        "\r\n\r\n",
        "\n\n",
        "\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nTransfer-Encoding: chunked",
        "\r\nContent-Length: 5",
        "\nContent-Length: 0\n\n",
        "\r\nHost: b",
        " HTTP/1.1\r\nHost: b\r\n",
        " HTTP/1.1\r\nHost: b\r\n\r\nGET /hidden",
        "\u{0}\r\n",
        "\u{85}\r\n",
        "\r\n x",
        "\x0b\r\n",
        "\x7f\r\n",
        "\u{10a}\u{10d}\r\n",
    ];
    for injected in INJECTED {
        for front in ["", "x"] {
            for end in ["", "x"] {
                let text = format!("{front}{injected}{end}");
                for place in 0..4 {
                    let mut head = root();
                    if let Some((_, value)) = head.get_mut(place) {
                        value.extend_from_slice(text.as_bytes());
                    }
                    out.push(Case::new("an injected line", Must::Refused, head));
                }
                for (name, value) in [
                    ("x-any".to_owned(), text.clone()),
                    (format!("x-any{text}"), "y".to_owned()),
                    ("cookie".to_owned(), text.clone()),
                    ("host".to_owned(), format!("a{text}")),
                    ("content-length".to_owned(), format!("5{text}")),
                    (text.clone(), "y".to_owned()),
                    ("te".to_owned(), format!("trailers{text}")),
                    ("content-type".to_owned(), text.clone()),
                ] {
                    let mut head = root();
                    head.push(field(name, value));
                    out.push(Case::new("an injected line", Must::Refused, head));
                }
            }
        }
    }
}

/// Pseudo-fields that are missing, doubled, unknown, empty, late or of another kind of message.
fn pseudo_fields(out: &mut Vec<Case>) {
    let mut refuse = |head: Vec<Field>| out.push(Case::new("wrong pseudo-fields", Must::Refused, head));
    for place in 0..4 {
        let mut doubled = root();
        let again = doubled[place].clone();
        doubled.push(again.clone());
        refuse(doubled);
        let mut empty = root();
        empty[place].1.clear();
        // Without an authority there is no host.
        refuse(empty);
        let mut late = root();
        late.remove(place);
        refuse(late.clone());
        late.push(field("x-any", "y"));
        late.push(again);
        refuse(late);
        for other in ["GET", "http", "/other", "b"] {
            let mut second = root();
            second.insert(place, (root()[place].0.clone(), other.into()));
            refuse(second);
        }
    }
    for unknown in [
        ":",
        ":status",
        ":host",
        ":protocol",
        ":path ",
        ": path",
        ":Path",
        ":PATH",
        ":version",
        ":x",
        "::path",
    ] {
        for value in ["", "200", "/hidden", "a"] {
            refuse(with(&[(unknown, value)]));
            let mut first = with(&[]);
            first.insert(0, field(unknown, value));
            refuse(first);
        }
    }
    for path in ["*", "a", "case", "http://a/case", "//", "?q", "#", "/ /", "/\t", "/case HTTP/1.1", "/a b"] {
        let mut head = root();
        head[2].1 = path.into();
        let is_path = matches!(path, "//" | "#");
        out.push(Case::new("another path", must(is_path), head));
    }
    for scheme in ["ftp", "HTTP ", "htt", "https:", "http://", "http://b/", "httpx", "http\0", "data", "x"] {
        let mut head = root();
        head[1].1 = scheme.into();
        out.push(Case::new("another scheme", Must::Refused, head));
    }
    for method in ["", " ", "GET /hidden HTTP/1.1", "GET /", "P OST", "POST\t", "(POST)", "CONNECT", "PRI"] {
        let mut head = root();
        head[0].1 = method.into();
        out.push(Case::new("another method", must(method == "PRI"), head));
    }
}

/// Fields that hold for one connection of HTTP/1.1, in all their spellings.
fn fields_of_http1(out: &mut Vec<Case>) {
    let values = [
        "",
        "close",
        "chunked",
        "keep-alive",
        "x-any",
        "host",
        "h2c",
        "websocket",
        "identity",
        "cow, chunked",
        "timeout=5",
        "\"\"",
        "x, y",
    ];
    for name in
        ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "transfer_encoding"]
    {
        for value in values {
            for data in
                [None, Some(b"hello".as_slice()), Some(b"0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")]
            {
                let mut case = Case::new("a field of HTTP/1.1", Must::Refused, with(&[(name, value)]));
                case.data = data;
                out.push(case);
                let spelt: String = name
                    .chars()
                    .enumerate()
                    .map(|(n, c)| if n % 3 == 0 { c.to_ascii_uppercase() } else { c })
                    .collect();
                out.push(Case::new("a field in upper case", Must::Refused, with(&[(&spelt, value)])));
            }
        }
    }
    for value in ["gzip", "chunked", "trailers, chunked", "trailers;q=1", "", "x"] {
        out.push(Case::new("another TE", Must::Safe, with(&[("te", value)])));
    }
    for name in [
        "expect",
        "trailer",
        "http2-settings",
        "x_forwarded_for",
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "max-forwards",
    ] {
        for value in ["100-continue", "content-length", "AAMAAABkAAQAAP__", "6.6.6.6", "for=6.6.6.6", "0"] {
            out.push(Case::new("a field that we write or answer", Must::Safe, with(&[(name, value)])));
        }
    }
}

/// Lengths that are none, are two, or are not those of the data.
fn lengths(out: &mut Vec<Case>) {
    let values = [
        "5",
        "0",
        "4",
        "6",
        "05",
        "-5",
        "+5",
        "5,5",
        "5, 5",
        "5;",
        "5.0",
        "0x5",
        "five",
        "",
        " 5",
        "5 ",
        "5_0",
        "\"5\"",
        "18446744073709551616",
        "18446744073709551621",
        "9223372036854775808",
        "\u{665}",
    ];
    let right = |value: &str, data: Option<&[u8]>| match data {
        Some(data) => matches!(value.trim(), "5" | "05") && data.len() == 5,
        None => value == "0",
    };
    for data in
        [None, Some(b"hello".as_slice()), Some(b"helloGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"), Some(b"")]
    {
        for first in values {
            let mut case = Case::new("a length", Must::Refused, with(&[("content-length", first)]));
            case.data = data;
            let is_empty = data.is_some_and(<[u8]>::is_empty) && first == "0";
            if right(first, data) || is_empty {
                case.must = Must::Safe;
            } else if first == "0" && data.is_some() {
                // Without a body it is whole, until there is one.
                case.must = Must::Reset;
            }
            out.push(case);
            for second in values {
                let fields = [("content-length", first), ("content-length", second)];
                let mut case = Case::new("two lengths", Must::Refused, with(&fields));
                case.data = data;
                out.push(case);
            }
            for name in ["content_length", "Content-Length", "content-length "] {
                let mut case = Case::new("a length by another name", Must::Refused, with(&[(name, first)]));
                case.data = data;
                out.push(case);
            }
        }
    }
}

fn trailers(out: &mut Vec<Case>) {
    for name in [
        ":path",
        ":method",
        ":status",
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "upgrade",
        "X-Sum",
        "x sum",
        "x\r\ny",
        "x\0",
        "",
        "x-forwarded-for",
        "x_real_ip",
        "transfer_encoding",
        "te",
        "x:y",
    ] {
        for value in ["", "y", "5", "chunked", "a", "/hidden"] {
            for data in [None, Some(b"hello".as_slice())] {
                // Our reader of HTTP/2 leaves pseudo-fields out of trailers: nothing of them goes on.
                let must = must(matches!(name, ":path" | ":method"));
                let mut case = Case::new("a wrong trailer", must, root());
                (case.data, case.trailers) = (data, vec![field(name, value)]);
                out.push(case);
            }
        }
    }
    for value in ["y\r\nz: 1", "y\r\n\r\nGET /hidden HTTP/1.1", "y\n", "\r", "\0", "\x7f", "y\x01"] {
        let mut case = Case::new("a wrong trailer", Must::Refused, root());
        (case.data, case.trailers) = (Some(b"hello".as_slice()), vec![field("x-sum", value)]);
        out.push(case);
    }
    let mut case = Case::new("a right trailer", Must::Safe, root());
    (case.data, case.trailers) = (Some(b"hello".as_slice()), vec![field("x-sum", "y")]);
    out.push(case);
}

/// An authority, and hosts beside it.
fn hosts(out: &mut Vec<Case>) {
    let hosts = [
        "a",
        "A",
        "b",
        "a:80",
        "a:81",
        "a,b",
        "a b",
        "u@a",
        "",
        "a/",
        "a.",
        "a\\b",
        "a#",
        "a?",
        "\"a\"",
        "[a",
        "a:x",
        "http://a/",
    ];
    for authority in hosts {
        let is_plain = matches!(authority, "a" | "A" | "b" | "a:80" | "a:81" | "a.");
        let mut head = root();
        head[3].1 = authority.into();
        let may_be =
            is_plain || authority == "a,b" || authority == "a#" || authority == "a?" || authority == "a/";
        out.push(Case::new("an authority", must(may_be), head.clone()));
        for host in hosts {
            let mut both = head.clone();
            both.push(field("host", host));
            let agree = authority.eq_ignore_ascii_case(host) && may_be;
            out.push(Case::new("an authority and a host", must(agree), both.clone()));
            both.push(field("host", host));
            out.push(Case::new("two hosts", Must::Refused, both));
        }
    }
}
