//! A client that writes HTTP/2 frame by frame, the wrong ones too.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Whatever HTTP/2 goes over.
pub(crate) trait Line: Read + Write {}

impl<T: Read + Write> Line for T {}

/// A connection on which nothing was said yet.
pub(crate) struct Frames {
    line: Box<dyn Line>,
    buffer: Vec<u8>,
    /// Whether nothing came for so long that nothing will.
    pub(crate) is_silent: bool,
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Frames {
    pub(crate) fn over(line: impl Line + 'static) -> Self {
        Self { line: Box::new(line), buffer: Vec::new(), is_silent: false }
    }

    pub(crate) fn in_clear(tcp: TcpStream) -> Self {
        Self::over(tcp)
    }

    /// Says what every client says first.
    pub(crate) fn greeted(mut self) -> Self {
        self.write(PREFACE);
        self.send(SETTINGS, 0, 0, b"");
        self
    }

    /// Writes; the other side may be gone already.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.line.write_all(bytes);
        let _ = self.line.flush();
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    /// Opens a stream with these fields, and ends it.
    pub(crate) fn get(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
    }

    /// Opens a stream with these fields, and does not end it.
    pub(crate) fn post(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS, stream, &block(fields));
    }

    /// The next frame; `None` at the end, however it came.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.line.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.is_silent = true;
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let [a, b, c, kind, flags, d, e, f, g] = *self.buffer.first_chunk()?;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.buffer.get(9..9 + len)?.to_vec();
        self.buffer.drain(..9 + len);
        Some(Frame { kind, flags, stream: u32::from_be_bytes([d & 0x7f, e, f, g]), payload })
    }

    /// The next frame for which `wanted` holds.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Whether the other side still answers.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.send(PING, 0, 0, b"is alive");
        self.wait(|frame| frame.kind == PING && frame.flags == ACK && frame.payload == b"is alive").is_some()
    }
}

impl Frame {
    /// The reason of a reset or a GOAWAY.
    pub(crate) fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status of an answer; those that tests ask about are in the static table, RFC 7541 appendix A.
    pub(crate) fn status(&self) -> u16 {
        match self.payload.first() {
            Some(0x88) => 200,
            Some(0x89) => 204,
            Some(0x8b) => 304,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            // A status by name and value: three digits, as they are or in Huffman's code, which is shorter.
            Some(0x08 | 0x48) => match self.payload.get(1) {
                Some(3) => std::str::from_utf8(&self.payload[2..5]).unwrap().parse().unwrap(),
                Some(len) => huffman_status(&self.payload[2..2 + usize::from(len & 0x7f)]),
                None => panic!("half a status"),
            },
            other => panic!("no status: {other:?}"),
        }
    }
}

/// Digits are coded in five bits (0, 1, 2) or six, RFC 7541 appendix B.
fn huffman_status(bytes: &[u8]) -> u16 {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut status, mut rest) = (0, bits.as_str());
    for _ in 0..3 {
        let short = ["00000", "00001", "00010"].iter().position(|code| rest.starts_with(code));
        let (digit, len) = match short {
            Some(digit) => (digit as u16, 5),
            None => (u16::from_str_radix(&rest[..6], 2).unwrap() - 0b01_1001 + 3, 6),
        };
        (status, rest) = (status * 10 + digit, &rest[len..]);
    }
    status
}

/// A frame in bytes, with the length that it has.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_of(payload.len() as u32, kind, flags, stream, payload)
}

/// A frame in bytes, with the length that it claims.
pub(crate) fn frame_of(claimed: u32, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = claimed.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Requests whose heads weigh some twelve kilobytes each. What makes them heavy is said once, and then named by its index.
pub(crate) fn heavy(streams: usize) -> Vec<u8> {
    heavy_with(streams, 0)
}

/// The same, with so many short fields more.
pub(crate) fn heavy_with(streams: usize, more: usize) -> Vec<u8> {
    let mut long = literal(b"x-long", "v".repeat(3900).as_bytes());
    long[0] = REMEMBER;
    let ask = |stream: usize, first: &[u8]| {
        let head = [&block(HELD), first, &[REMEMBERED; 2], &[GZIP].repeat(more)].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream as u32 + 1, &head)
    };
    (0..streams).flat_map(|n| if n == 0 { ask(n, &long) } else { ask(n, &[REMEMBERED]) }).collect()
}

/// The head of one of those, once the first was sent.
pub(crate) fn heavy_again() -> Vec<u8> {
    [&*block(HELD), &[REMEMBERED; 3]].concat()
}

const HELD: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("x-hold", "1")];

/// A literal that is remembered, and the index of the one that was remembered last, RFC 7541 §6.
const REMEMBER: u8 = 0x40;
/// `accept-encoding: gzip, deflate`, RFC 7541 appendix A.
const GZIP: u8 = 0x80 | 16;
const REMEMBERED: u8 = 0x80 | 62;

/// A head, each field by name and value, without an index or Huffman's code: any byte can be said so.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for part in [name, value] {
        bytes.extend(integer(part.len()));
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A length with a prefix of seven bits, RFC 7541 §5.1.
fn integer(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push((value % 128) as u8 | 128);
        value /= 128;
    }
    bytes.push(value as u8);
    bytes
}
