//! Answers that are made smaller on their way: decided by what both sides say, coded piece by piece.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::pin::pin;

use flate2::write::GzEncoder;
use foreword_http1::{Field, Framing, Request, Response, Version, list};
use foreword_tokio::write_together;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::carry::{Body, CarryError, Head, Meter};
use super::fields::{
    Asked, NewCookie, Persistence, write_answer_fields, write_cookie, write_field, write_framing,
    write_persistence,
};
use super::pace::Pace;
use super::shelf::{BUFFER, Buffer};
use crate::alarm::patience::Over;
use crate::policy::compress::{Coding, Compress};

/// How an answer goes out that is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it is. Caches must know that others may get it otherwise.
    Plain,
    /// In the coding that this client likes best.
    Coded(Coding),
    /// The client has it, and by what it accepts it got it in a coding: the tag is that of those bytes.
    Known,
}

/// How an answer goes out, if it is worth it.
pub(super) fn negotiate(
    compress: &Compress,
    asked: &Asked<'_>,
    response: &Response<'_>,
    framing: Framing,
) -> Option<Shape> {
    let is_known = response.status() == 304;
    let is_whole = !matches!(response.status(), 204..=206);
    let is_long = response.content_length().is_none_or(|length| length >= compress.min);
    let mut types = response.field("content-type");
    // A 304 varies as the 200 would, and need not tell its type: RFC 9110 §15.4.5.
    let is_worth_it = types.next().map_or(is_known, |value| compress.takes(value)) && types.next().is_none();
    let is_left_alone = response.fields().any(|field| is_left_alone(field.name))
        || response.field("trailer").flat_map(list).any(is_left_alone)
        || response.field("cache-control").any(forbids)
        || is_left_alone_for(asked);
    if !is_whole || !is_long || !is_worth_it || is_left_alone {
        return None;
    }
    let coding = choose(compress, &asked.request()).filter(|_| is_known || framing != Framing::None);
    Some(match coding {
        Some(_) if is_known => Shape::Known,
        Some(coding) => Shape::Coded(coding),
        None => Shape::Plain,
    })
}

/// The coding that a client likes best. HTTP/1.0 knows no chunks, and without them nobody could tell the end from a break.
pub(super) fn choose(compress: &Compress, request: &Request<'_>) -> Option<Coding> {
    let knows_chunks = request.version() == Version::Http11;
    knows_chunks.then(|| compress.choose(request.field("accept-encoding"))).flatten()
}

/// Whether its client, or another rule, wants every answer to this as it is.
pub(super) fn is_left_alone_for(asked: &Asked<'_>) -> bool {
    asked.changes.replace_in_response(b"Content-Encoding")
        || asked.request().field("cache-control").any(forbids)
}

fn is_left_alone(name: &[u8]) -> bool {
    LEFT_ALONE.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

fn forbids(cache_control: &[u8]) -> bool {
    list(cache_control).any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

/// Writes the head of an answer that is worth it.
pub(super) fn write_head(
    asked: &Asked<'_>,
    response: &Response<'_>,
    shape: Shape,
    framing: Framing,
    persistence: Persistence,
    cookie: Option<NewCookie<'_>>,
    out: &mut Vec<u8>,
) {
    out.clear();
    // Ranges would be of other bytes.
    let is_ours = |field: &Field<'_>| {
        let is_of_the_coding = || field.is("etag") || field.is("accept-ranges");
        field.is("vary") || (shape != Shape::Plain && is_of_the_coding())
    };
    write_answer_fields(asked, response, |field| !is_ours(field), out);
    if !asked.changes.replace_in_response(b"Vary") {
        write_vary(response, out);
    }
    if let Shape::Coded(coding) = shape {
        write_field(b"Content-Encoding", coding.name().as_bytes(), out);
    }
    if shape != Shape::Plain {
        let etag = response.field("etag").next().filter(|_| !asked.changes.replace_in_response(b"ETag"));
        // Other bytes, the same meaning: RFC 9110 §8.8.1.
        if let Some(etag) = etag {
            out.extend_from_slice(b"ETag: ");
            out.extend_from_slice(if etag.starts_with(b"\"") { b"W/" } else { b"" });
            out.extend_from_slice(etag);
            out.extend_from_slice(b"\r\n");
        }
    }
    write_framing(framing, response.content_length().filter(|_| shape == Shape::Plain), out);
    write_persistence(persistence, asked.request().version(), out);
    write_cookie(asked, cookie, out);
    asked.write_set_in_response(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes what the answer depends on: what the endpoint says, and what the client accepts.
fn write_vary(response: &Response<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Vary: ");
    let mut is_said = false;
    for name in response.field("vary").flat_map(list).filter(|name| !name.is_empty()) {
        is_said |= name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
        out.extend_from_slice(name);
        out.extend_from_slice(b", ");
    }
    if is_said {
        out.truncate(out.len().saturating_sub(2));
    } else {
        out.extend_from_slice(b"Accept-Encoding");
    }
    out.extend_from_slice(b"\r\n");
}

/// How many answers a worker codes at once: each holds memory while it lasts, however little of it comes.
#[derive(Debug, Default)]
pub(super) struct Seats(Cell<usize>);

/// How many of them are of one connection.
#[derive(Debug, Default)]
pub(in crate::connection) struct OwnSeats(Cell<usize>);

/// The seats of a worker, as far as one connection may take them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatsOf<'s> {
    all: &'s Cell<usize>,
    own: &'s Cell<usize>,
}

#[derive(Debug)]
struct Seat<'s>(SeatsOf<'s>);

impl Seats {
    pub(super) fn shared<'s>(&'s self, own_seats: &'s OwnSeats) -> SeatsOf<'s> {
        SeatsOf { all: &self.0, own: &own_seats.0 }
    }
}

impl<'s> SeatsOf<'s> {
    /// An encoder, unless there are too many.
    pub(super) fn encoder(self, coding: Coding) -> Option<Encoder<'s>> {
        if self.all.get() >= MOST_AT_ONCE || self.own.get() >= MOST_OF_ONE {
            return None;
        }
        let kind = Kind::new(coding).ok()?;
        self.all.set(self.all.get() + 1);
        self.own.set(self.own.get() + 1);
        Some(Encoder { kind, has_more: false, _seat: Seat(self) })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let SeatsOf { all, own } = self.0;
        all.set(all.get() - 1);
        own.set(own.get() - 1);
    }
}

/// Codes one body.
pub(super) struct Encoder<'s> {
    kind: Kind,
    /// Whether something went in that may not have come out.
    has_more: bool,
    _seat: Seat<'s>,
}

enum Kind {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Kind {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => {
                Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))))
            }
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                4096,
                BROTLI_QUALITY,
                WINDOW,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self) -> &mut dyn io::Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }
}

impl Encoder<'_> {
    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.has_more |= !piece.is_empty();
        self.kind.write().write_all(piece)
    }

    /// Lets out all that is in it, so that the other side can read that far.
    fn flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.has_more) { self.kind.write().flush() } else { Ok(()) }
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.kind {
            Kind::Gzip(encoder) => encoder.finish(),
            Kind::Brotli(encoder) => Ok(encoder.into_inner()),
            Kind::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// As [`carry`](super::carry::carry), in a coding and in chunks. What came is let out as soon as no more is at hand: an
/// event does not wait for the next one.
#[expect(clippy::too_many_arguments, reason = "as `carry`, and what it is coded with")]
pub(super) async fn carry_coded(
    head: Head<'_>,
    body: &mut Body,
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer<'_>,
    target: &mut (impl AsyncWrite + Unpin),
    mut pace: Pace<'_>,
    meter: &impl Meter,
    mut encoder: Encoder<'_>,
) -> Result<(), CarryError> {
    let mut head = head.head;
    let mut trailers = Vec::new();
    loop {
        let step = body.take(buffer.bytes_mut()).map_err(CarryError::Framing)?;
        let kept = buffer.bytes().get(..step.kept).unwrap_or_default();
        let (content, lines) = kept.split_at_checked(step.kept - step.trailers).unwrap_or((kept, &[]));
        trailers.extend_from_slice(lines);
        encoder.push(content).map_err(CarryError::Source)?;
        pace.moved();
        meter.moved(step.taken, 0);
        buffer.consume(step.taken);
        if body.is_done() {
            break;
        }
        if encoder.kind.out().len() >= PIECE {
            let coded = std::mem::take(encoder.kind.out());
            write_chunk(std::mem::take(&mut head), &coded, b"", target, &pace, meter).await?;
        }
        let at_hand = buffer.fill(source, BUFFER).now_or_never();
        let read = match at_hand {
            Some(read) => read.map_err(CarryError::Source)?,
            None => {
                encoder.flush().map_err(CarryError::Source)?;
                let coded = std::mem::take(encoder.kind.out());
                write_chunk(std::mem::take(&mut head), &coded, b"", target, &pace, meter).await?;
                pace.fill(buffer, source).await?
            }
        };
        match (read, &*body) {
            (0, Body::UntilClose) => break,
            (0, _) => return Err(CarryError::Short),
            (_, _) => {}
        }
    }
    let coded = encoder.finish().map_err(CarryError::Source)?;
    let end = [b"0\r\n", &trailers[..], b"\r\n"].concat();
    write_chunk(head, &coded, &end, target, &pace, meter).await
}

/// Writes a head, content as one chunk, and the end of the body. Each may be empty: only the end has a chunk of none.
async fn write_chunk(
    head: &[u8],
    content: &[u8],
    end: &[u8],
    target: &mut (impl AsyncWrite + Unpin),
    pace: &Pace<'_>,
    meter: &impl Meter,
) -> Result<(), CarryError> {
    let mut size = Vec::with_capacity(SIZE_LINE);
    if !content.is_empty() {
        // Writing to a `Vec` cannot fail.
        let _ = write!(size, "{:x}\r\n", content.len());
    }
    let close: &[u8] = if content.is_empty() { b"" } else { b"\r\n" };
    let pieces = [head, &size, content, close, end];
    if pieces.iter().all(|piece| piece.is_empty()) {
        return Ok(());
    }
    // Not before: while nothing has left the encoder, an answer that breaks off can still be refused.
    if !head.is_empty() {
        meter.begins();
    }
    pace.write(pin!(write_together(target, pieces)))
        .await
        .map_err(|Over| CarryError::TargetIdle)?
        .map_err(|_| CarryError::Target)?;
    pace.moved();
    meter.moved(0, pieces.iter().map(|piece| piece.len()).sum());
    Ok(())
}

/// Fields that say that the body is coded already, a part of something, or vouched for byte by byte; those that come behind
/// it are announced in `Trailer`.
const LEFT_ALONE: [&str; 7] = [
    "content-encoding",
    "content-range",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "signature",
];

/// Measured, gzip holds 400 KiB for each, zstd 1 MiB and Brotli 2 MiB: a quarter of a gibibyte at the worst.
const MOST_AT_ONCE: usize = 128;
/// How many of them one connection has: with fewer requests at once than that, all of its answers are made smaller.
const MOST_OF_ONE: usize = 16;

/// What is coded before it is written, though more is at hand.
const PIECE: usize = 16 * 1024;

/// Levels that a core keeps up with at a hundred megabytes a second, or nearly.
const GZIP_LEVEL: u32 = 4;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// 256 KiB: what is repeated in a page is not further away.
const WINDOW: u32 = 18;

/// As long as a size in hexadecimal digits and its line end can be.
const SIZE_LINE: usize = 18;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::super::sending::Progress;
    use super::super::shelf::Shelf;
    use super::*;
    use crate::alarm::Alarms;
    use crate::alarm::patience::Patience;

    /// Whether an answer has begun.
    #[derive(Default)]
    struct Begun(Cell<bool>);

    impl Meter for Begun {
        fn begins(&self) {
            self.0.set(true);
        }

        fn moved(&self, _taken: usize, _written: usize) {}
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_inside_the_encoder_has_not_begun() {
        let (mut endpoint, mut source) = duplex(4096);
        let (mut target, mut client) = duplex(4096);
        endpoint.write_all(&[b'a'; 4096]).await.unwrap();
        drop(endpoint);
        let (shelf, begun) = (Shelf::default(), Begun::default());
        let (progress, alarm) = (Progress::default(), Alarms::new().alarm());
        let patience = Patience::new(&alarm);
        let pace = Pace::of_answer(&progress, &patience, Duration::from_secs(1));
        let head = Head { head: b"head", ..Head::default() };
        let (mut body, mut buffer) = (Body::unframed(Framing::Length(5000)), shelf.buffer());
        let (seats, own_seats) = (Seats::default(), OwnSeats::default());
        let encoder = seats.shared(&own_seats).encoder(Coding::Gzip).unwrap();
        let carried =
            carry_coded(head, &mut body, &mut source, &mut buffer, &mut target, pace, &begun, encoder);
        assert!(matches!(carried.await, Err(CarryError::Short)));
        drop(target);
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        assert!(seen.is_empty() && !begun.0.get(), "{seen:?}");
    }

    #[test]
    fn a_worker_codes_no_more_at_once_than_it_has_seats() {
        let seats = Seats::default();
        let clients: Vec<OwnSeats> = (0..=MOST_AT_ONCE).map(|_| OwnSeats::default()).collect();
        let mut taken: Vec<Encoder<'_>> =
            clients.iter().filter_map(|own_seats| seats.shared(own_seats).encoder(Coding::Gzip)).collect();
        assert_eq!(taken.len(), MOST_AT_ONCE);
        assert!(seats.shared(&OwnSeats::default()).encoder(Coding::Zstd).is_none());
        taken.pop();
        assert!(seats.shared(&OwnSeats::default()).encoder(Coding::Brotli).is_some());
    }

    #[test]
    fn one_connection_leaves_seats_to_the_others() {
        let (seats, one, another) = (Seats::default(), OwnSeats::default(), OwnSeats::default());
        let mut taken: Vec<Encoder<'_>> =
            (0..MOST_AT_ONCE).filter_map(|_| seats.shared(&one).encoder(Coding::Gzip)).collect();
        assert_eq!(taken.len(), MOST_OF_ONE);
        assert!(seats.shared(&another).encoder(Coding::Gzip).is_some());
        taken.pop();
        assert!(seats.shared(&one).encoder(Coding::Gzip).is_some());
    }
}
