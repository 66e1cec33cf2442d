//! What a strict reader makes of the bytes that an endpoint was sent: byte by byte from RFC 9112, and with none of the code that
//! is put to the test.

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

/// What bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One request, and nothing behind it.
    Whole(Received),
    /// The beginning of one, in which nothing is wrong: nobody takes it for a whole one.
    Beginning,
    /// Something that two servers could read in two ways, or that nobody may send.
    Wrong(&'static str),
}

/// Reads all that came on a connection which was meant for one request.
pub(crate) fn judge(bytes: &[u8]) -> Verdict {
    match request(bytes) {
        Ok(received) => Verdict::Whole(received),
        Err(Stop::Short) => Verdict::Beginning,
        Err(Stop::Wrong(why)) => Verdict::Wrong(why),
    }
}

enum Stop {
    /// More bytes could make it whole.
    Short,
    Wrong(&'static str),
}

fn check(holds: bool, otherwise: &'static str) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Wrong(otherwise)) }
}

fn request(bytes: &[u8]) -> Result<Received, Stop> {
    let mut rest = bytes;
    let first = line(&mut rest)?;
    let target = request_line(first)?;
    let mut fields = Vec::new();
    loop {
        match line(&mut rest)? {
            b"" => break,
            text => fields.push(field(text)?),
        }
    }
    let mut received = Received { target, fields, body: Vec::new() };
    check_fields(&received)?;
    let (length, is_chunked) = framing(&received)?;
    if is_chunked {
        received.body = chunked(&mut rest)?;
    } else {
        if rest.len() < length {
            return Err(Stop::Short);
        }
        received.body = rest[..length].to_vec();
        rest = &rest[length..];
    }
    check(rest.is_empty(), "bytes behind the request")?;
    Ok(received)
}

/// Takes a line and its CR LF. Whatever is no part of a line is told even where the line has not ended.
fn line<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], Stop> {
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            b'\r' => {
                match rest.get(at + 1) {
                    None => return Err(Stop::Short),
                    Some(next) => check(*next == b'\n', "a bare CR")?,
                }
                let text = &rest[..at];
                *rest = &rest[at + 2..];
                return Ok(text);
            }
            b'\n' => return Err(Stop::Wrong("a bare LF")),
            b'\t' => {}
            0..0x20 | 0x7f => return Err(Stop::Wrong("a control byte")),
            _ => {}
        }
    }
    Err(Stop::Short)
}

fn request_line(text: &[u8]) -> Result<String, Stop> {
    let text = std::str::from_utf8(text).map_err(|_| Stop::Wrong("a request line beyond ASCII"))?;
    let parts: Vec<&str> = text.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(Stop::Wrong("a request line without three parts, or of another version"));
    };
    check(is_token(method.as_bytes()), "a method that is no token")?;
    let is_target = target.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>#\\^`{|}".contains(&byte));
    check(
        is_target && (target.starts_with('/') || target == "*"),
        "a target with bytes or a form of its own",
    )?;
    Ok(target.to_owned())
}

fn field(text: &[u8]) -> Result<(String, Vec<u8>), Stop> {
    let colon = text.iter().position(|&byte| byte == b':').ok_or(Stop::Wrong("a field without a colon"))?;
    check(is_token(&text[..colon]), "a field name that is no token")?;
    let name = String::from_utf8_lossy(&text[..colon]).into_owned();
    Ok((name, text[colon + 1..].trim_ascii().to_vec()))
}

fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// What must be there once, and what must not be there at all.
fn check_fields(received: &Received) -> Result<(), Stop> {
    let named = |name: &str| {
        // Some servers take `_` and `-` for the same.
        received
            .fields
            .iter()
            .filter(move |(found, _)| found.replace('_', "-").eq_ignore_ascii_case(name))
            .count()
    };
    check(named("host") == 1, "not one Host")?;
    let host = received.field("host").ok_or(Stop::Wrong("a Host with `_`"))?;
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
    check(!host.is_empty() && host.iter().all(is_host), "a Host that is none")?;
    check(named("content-length") <= 1 && named("transfer-encoding") <= 1, "a body framed twice")?;
    check(named("content-length") + named("transfer-encoding") <= 1, "a body framed in two ways")?;
    for hop in ["keep-alive", "proxy-connection", "http2-settings"] {
        check(named(hop) == 0, "a field for another connection")?;
    }
    let forwarded = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"];
    check(
        forwarded.iter().all(|name| named(name) <= 1),
        "two forwarding fields, of which one is a stranger's",
    )
}

fn framing(received: &Received) -> Result<(usize, bool), Stop> {
    let stated = |name: &str| {
        received.fields.iter().find(|(found, _)| found.replace('_', "-").eq_ignore_ascii_case(name))
    };
    if let Some((name, value)) = stated("transfer-encoding") {
        check(
            !name.contains('_') && value.eq_ignore_ascii_case(b"chunked"),
            "a coding other than `chunked`",
        )?;
        return Ok((0, true));
    }
    let Some((name, value)) = stated("content-length") else { return Ok((0, false)) };
    let is_number = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    check(!name.contains('_') && is_number, "a length that is no number")?;
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    Ok((number.ok_or(Stop::Wrong("a length that is no number"))?, false))
}

fn chunked(rest: &mut &[u8]) -> Result<Vec<u8>, Stop> {
    let mut body = Vec::new();
    loop {
        let size = line(rest)?;
        let is_size = (1..=15).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
        check(is_size, "a chunk size that is no number, or has an extension")?;
        let size = std::str::from_utf8(size).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or(Stop::Wrong("a chunk size that is no number"))?;
        if size == 0 {
            break;
        }
        if rest.len() < size {
            return Err(Stop::Short);
        }
        body.extend_from_slice(&rest[..size]);
        *rest = &rest[size..];
        for expected in b"\r\n" {
            let (found, behind) = rest.split_first().ok_or(Stop::Short)?;
            check(found == expected, "a chunk longer than its size")?;
            *rest = behind;
        }
    }
    loop {
        match line(rest)? {
            b"" => return Ok(body),
            text => {
                let (name, _) = field(text)?;
                let is_head = [
                    "host",
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "x-forwarded-for",
                    "x-real-ip",
                ]
                .iter()
                .any(|head| name.replace('_', "-").eq_ignore_ascii_case(head));
                check(!is_head, "a trailer that belongs into a head")?;
            }
        }
    }
}

#[test]
fn the_oracle_knows_what_is_right_and_what_is_wrong() {
    let whole = |bytes: &[u8]| matches!(judge(bytes), Verdict::Whole(_));
    assert!(whole(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(whole(b"GET /a?b HTTP/1.1\r\nHost: a:80\r\nX:\ty z \r\nContent-Length: 2\r\n\r\nab"));
    let chunked =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n";
    assert!(whole(chunked));
    for end in 0..chunked.len() {
        assert_eq!(judge(&chunked[..end]), Verdict::Beginning, "{end}");
    }
    for wrong in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0",
        "GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nG",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent_Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
    ] {
        assert!(matches!(judge(wrong.as_bytes()), Verdict::Wrong(_)), "{wrong:?}");
    }
}
