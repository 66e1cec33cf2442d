//! Takes a header off a stream, and no byte of what follows it.

use std::io;

use foreword::{HeaderBuf, Malformed, ParseBuf, Parser, Signature, signature};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How many bytes of a refused connection are kept for its log line (R-SEC-14).
pub const FIRST_BYTES: usize = 256;

/// Why there is no header.
#[derive(Debug, Error)]
pub enum ReadError {
    /// What came is none. With the first bytes of it.
    #[error("malformed PROXY header")]
    Malformed(#[source] Malformed, Box<[u8]>),
    /// The peer closed before the header was whole; `after` no byte at all, it was none who wanted anything (R-SEC-10).
    #[error("closed after {after} bytes, before the PROXY header was whole")]
    Closed {
        /// How many bytes came.
        after: usize,
        /// The first of them.
        bytes: Box<[u8]>,
    },
    /// The stream failed.
    #[error("the stream failed before the PROXY header was whole")]
    Io(#[source] io::Error),
}

impl ReadError {
    /// The first bytes that came.
    #[must_use]
    pub fn first_bytes(&self) -> &[u8] {
        match self {
            Self::Malformed(_, bytes) | Self::Closed { bytes, .. } => bytes,
            Self::Io(_) => &[],
        }
    }
}

/// Reads a header and not one byte more, so that `stream` can be handed on as it is. That takes a few reads; where they
/// count, use [`read_header_buffered`].
///
/// There is no deadline: put one around it (R-SEC-07). Whoever drops the future loses the bytes it had read.
///
/// # Errors
///
/// When what comes is no header, ends too early, or cannot be read.
pub async fn read_header<S>(stream: &mut S, parser: &Parser) -> Result<HeaderBuf, ReadError>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = Vec::new();
    loop {
        let needed = match parse(parser, &buffer)? {
            ParseBuf::Complete(header) => return Ok(header),
            ParseBuf::Incomplete { needed } => needed.get(),
        };
        // Memory follows what arrives, not what a length field claims (R-SEC-08).
        let mut at_most_needed = (&mut *stream).take(needed.min(CHUNK) as u64);
        buffer.reserve(needed.min(CHUNK));
        let read = at_most_needed.read_buf(&mut buffer).await.map_err(ReadError::Io)?;
        if read == 0 {
            return Err(closed(&buffer));
        }
    }
}

/// Reads a header by way of `buffer`, in as few reads as the peer allows. `buffer` may hold bytes from before; what
/// follows the header stays in it.
///
/// There is no deadline: put one around it (R-SEC-07). Whoever drops the future finds all that came in `buffer`, as does
/// whoever gets an error.
///
/// # Errors
///
/// When what comes is no header, ends too early, or cannot be read.
pub async fn read_header_buffered<S>(
    stream: &mut S,
    parser: &Parser,
    buffer: &mut Vec<u8>,
) -> Result<HeaderBuf, ReadError>
where
    S: AsyncRead + Unpin,
{
    loop {
        match parse(parser, buffer)? {
            ParseBuf::Complete(header) => {
                buffer.drain(..header.len());
                return Ok(header);
            }
            ParseBuf::Incomplete { .. } => {}
        }
        if fill(stream, buffer).await? == 0 {
            return Err(closed(buffer));
        }
    }
}

/// Reads a header where one is optional. It is settled at the first byte that differs from both signatures: then there
/// is none, and `buffer` holds all that came. Once a signature is whole, a valid header must follow.
///
/// There is no deadline: put one around it, and when it passes ask [`signature`] about `buffer`. A peer that
/// has not finished one came without; after a [whole](Signature::Whole) one, it broke off inside a header.
///
/// # Errors
///
/// When a signature comes and no valid header after it, or the stream cannot be read.
pub async fn read_header_if_any<S>(
    stream: &mut S,
    parser: &Parser,
    buffer: &mut Vec<u8>,
) -> Result<Option<HeaderBuf>, ReadError>
where
    S: AsyncRead + Unpin,
{
    loop {
        match signature(buffer) {
            Signature::Absent => return Ok(None),
            Signature::Whole => return read_header_buffered(stream, parser, buffer).await.map(Some),
            Signature::Begun => {}
        }
        if fill(stream, buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Most headers come with room to spare in so many bytes.
const CHUNK: usize = 512;

async fn fill<S>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<usize, ReadError>
where
    S: AsyncRead + Unpin,
{
    buffer.reserve(CHUNK);
    stream.read_buf(buffer).await.map_err(ReadError::Io)
}

fn parse(parser: &Parser, buffer: &[u8]) -> Result<ParseBuf, ReadError> {
    parser.parse_buf(buffer).map_err(|malformed| ReadError::Malformed(malformed, first_bytes(buffer)))
}

fn closed(buffer: &[u8]) -> ReadError {
    ReadError::Closed { after: buffer.len(), bytes: first_bytes(buffer) }
}

fn first_bytes(buffer: &[u8]) -> Box<[u8]> {
    buffer.get(..FIRST_BYTES).unwrap_or(buffer).into()
}

#[cfg(test)]
mod tests {
    use foreword_vectors::{Answer, Vector, vectors};
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A stream that gives `input` in pieces of `piece` bytes, then ends.
    fn dripping(input: &'static [u8], piece: usize) -> DuplexStream {
        let (reader, mut writer) = duplex(piece);
        // The reader may have had enough before all is written.
        tokio::spawn(async move { writer.write_all(input).await });
        reader
    }

    fn streams() -> impl Iterator<Item = (&'static Vector, Parser)> {
        vectors().iter().filter(|vector| !vector.opts.datagram && !vector.opts.spp).map(|vector| {
            let parser = Parser::new();
            (vector, vector.opts.max_header_len.map_or(parser, |max| parser.max_len(max)))
        })
    }

    fn assert_answer(vector: &Vector, found: &Result<HeaderBuf, ReadError>) {
        match (&vector.answer, found) {
            (Answer::Accept(expected), Ok(header)) => {
                assert_eq!(header.as_bytes(), &vector.input[..expected.header_len], "{}", vector.id);
            }
            (Answer::Reject { .. }, Err(ReadError::Malformed(..))) => {}
            (Answer::NeedMore, Err(ReadError::Closed { after, .. })) => {
                assert_eq!(*after, vector.input.len(), "{}", vector.id);
            }
            (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", vector.id),
        }
    }

    fn payload(vector: &Vector) -> Option<&[u8]> {
        match &vector.answer {
            Answer::Accept(expected) => Some(&vector.input[expected.header_len..]),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_vector_reads_the_same_however_it_arrives() {
        for (vector, parser) in streams() {
            for piece in [1, 2, 7, 16, 64 * 1024 + 100] {
                let mut stream = dripping(&vector.input, piece);
                let found = read_header(&mut stream, &parser).await;
                assert_answer(vector, &found);
                if let Some(payload) = payload(vector) {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await.unwrap();
                    assert_eq!(rest, payload, "{} in pieces of {piece}", vector.id);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_vector_reads_the_same_by_way_of_a_buffer_and_loses_nothing() {
        for (vector, parser) in streams() {
            for piece in [1, 13, 64 * 1024 + 100] {
                let mut stream = dripping(&vector.input, piece);
                let mut buffer = Vec::new();
                let found = read_header_buffered(&mut stream, &parser, &mut buffer).await;
                assert_answer(vector, &found);
                if let Some(payload) = payload(vector) {
                    stream.read_to_end(&mut buffer).await.unwrap();
                    assert_eq!(buffer, payload, "{} in pieces of {piece}", vector.id);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_inside_the_header_is_said_at_once_with_what_came() {
        let mut stream = dripping(b"PROXY TCP4 192.0", 3);
        let Err(ReadError::Closed { after: 16, bytes }) = read_header(&mut stream, &Parser::new()).await
        else {
            panic!("it ended inside the header");
        };
        assert_eq!(&*bytes, b"PROXY TCP4 192.0");
        let nothing = read_header(&mut dripping(b"", 1), &Parser::new()).await;
        assert!(matches!(nothing, Err(ReadError::Closed { after: 0, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_future_leaves_what_came_in_the_buffer() {
        let (mut reader, mut writer) = duplex(64);
        writer.write_all(b"PROXY TC").await.unwrap();
        let mut buffer = Vec::new();
        let parser = Parser::new();
        let read = read_header_buffered(&mut reader, &parser, &mut buffer);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(3), read).await.is_err());
        assert_eq!(buffer, b"PROXY TC");
        writer.write_all(b"P4 1.2.3.4 5.6.7.8 1 2\r\nxyz").await.unwrap();
        let header = read_header_buffered(&mut reader, &Parser::new(), &mut buffer).await.unwrap();
        assert_eq!((header.len(), &buffer[..]), (32, &b"xyz"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_header_is_optional_the_first_other_byte_settles_it() {
        for (input, header) in [
            (&b"PROXY UNKNOWN\r\nhello"[..], true),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0hello", true),
            (b"PROPFIND / HTTP/1.1\r\n", false),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", false),
            (b"\x16\x03\x01", false),
            (b"PROX", false),
            (b"", false),
        ] {
            for piece in [1, 64] {
                let mut stream = dripping(input, piece);
                let mut buffer = Vec::new();
                let found = read_header_if_any(&mut stream, &Parser::new(), &mut buffer).await.unwrap();
                assert_eq!(found.is_some(), header, "{}", input.escape_ascii());
                stream.read_to_end(&mut buffer).await.unwrap();
                assert_eq!(buffer, if header { b"hello" } else { input });
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_signature_is_whole_a_valid_header_must_follow() {
        let mut buffer = Vec::new();
        let mut stream = dripping(b"PROXY / HTTP/1.1\r\n", 64);
        let found = read_header_if_any(&mut stream, &Parser::new(), &mut buffer).await;
        assert!(matches!(found, Err(ReadError::Malformed(..))));
    }
}
