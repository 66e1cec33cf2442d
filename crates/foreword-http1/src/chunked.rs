//! The chunked coding, RFC 9112 §7.1: followed to its end, strictly, in whatever pieces it comes.
//!
//! Forwarding recodes nothing: sizes, data and trailers pass as they came, once they are checked. Only chunk
//! extensions are taken out. Nobody uses them, every recipient must ignore those that it does not know (§7.1.1), and
//! readers that disagree about where one ends are how bodies have been smuggled past proxies.

use std::fmt;

use crate::field::{Name, is_token_byte, is_value_byte};

/// Follows one chunked body.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    keep: Keep,
    /// The size being read, then the data still to come of this chunk.
    left: u64,
    digits: u8,
    extension_bytes: u16,
    trailer_bytes: u16,
    /// The beginning of a trailer's name: enough to tell the names that we know.
    name: [u8; NAME_KEPT],
    name_len: u8,
    /// Bytes of the coded body taken so far.
    taken: u64,
    /// Bytes of content among them.
    content: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerFeed,
    EndFeed,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// The coded body, without extensions.
    Coded,
    /// The same without trailers.
    CodedWithoutTrailers,
    /// The content alone.
    Content,
    /// The content, and behind it the trailers as they were written.
    ContentAndTrailers,
}

/// What came of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that belong to the body.
    pub taken: usize,
    /// How many of them are to be passed on. They were moved to the beginning of the input.
    pub kept: usize,
    /// How many of those, at their end, are trailers; counted only where they are kept apart from the coding.
    pub trailers: usize,
    /// Whether the body, trailers included, ended with the last byte taken.
    pub done: bool,
}

/// More than any server reads; RFC 9112 §7.1 warns of overflow.
const MAX_DIGITS: u8 = 16;
/// For a whole body: a sender cannot use extensions to send without end and without content.
const MAX_EXTENSION_BYTES: u16 = 4096;
const MAX_TRAILER_BYTES: u16 = 8192;
/// `proxy-authorization` is the longest name that we know.
const NAME_KEPT: usize = 24;

impl Chunked {
    /// Follows a body that is passed on in its coding.
    pub fn forwarding() -> Self {
        Self::new(Keep::Coded)
    }

    /// Follows a body that is passed on in its coding, and whose trailers are left out, as RFC 9110 §6.5.1 lets a gateway.
    pub fn forwarding_without_trailers() -> Self {
        Self::new(Keep::CodedWithoutTrailers)
    }

    /// Follows a body whose content alone is wanted.
    pub fn decoding() -> Self {
        Self::new(Keep::Content)
    }

    /// Follows a body of which the content is wanted, and the trailers as lines behind it.
    pub fn decoding_with_trailers() -> Self {
        Self::new(Keep::ContentAndTrailers)
    }

    fn new(keep: Keep) -> Self {
        Self {
            state: State::Size,
            keep,
            left: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            name: [0; NAME_KEPT],
            name_len: 0,
            taken: 0,
            content: 0,
        }
    }

    /// How many bytes of content were taken so far, the coding not counted.
    pub fn content(&self) -> u64 {
        self.content
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next bytes, and moves those that are to be passed on to the beginning of `bytes`.
    ///
    /// # Errors
    ///
    /// At the first byte that is not as RFC 9112 §7.1 writes it.
    pub fn advance(&mut self, bytes: &mut [u8]) -> Result<Step, ChunkError> {
        let (mut taken, mut kept, mut trailers) = (0, 0, 0);
        while self.state != State::Done
            && let Some(&byte) = bytes.get(taken)
        {
            let (len, keep) = match self.state {
                State::Data => (self.take_data(bytes.len() - taken), true),
                _ => (1, self.take_byte(byte)?),
            };
            if keep {
                if kept != taken {
                    bytes.copy_within(taken..taken + len, kept);
                }
                kept += len;
                if self.keep == Keep::ContentAndTrailers && self.is_in_trailers() {
                    trailers += len;
                }
            }
            taken += len;
            self.taken += len as u64;
        }
        Ok(Step { taken, kept, trailers, done: self.state == State::Done })
    }

    fn is_in_trailers(&self) -> bool {
        matches!(self.state, State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerFeed)
    }

    fn take_data(&mut self, at_hand: usize) -> usize {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(at_hand);
        self.left -= len as u64;
        self.content += len as u64;
        if self.left == 0 {
            self.state = State::DataReturn;
        }
        len
    }

    /// Takes one byte of coding, and tells whether it is passed on.
    fn take_byte(&mut self, byte: u8) -> Result<bool, ChunkError> {
        let next = match self.state {
            State::Size => self.size(byte),
            State::Extension => self.extension(byte),
            State::SizeFeed => feed(byte, if self.left == 0 { State::Trailer } else { State::Data }),
            State::DataReturn if byte == b'\r' => Ok(State::DataFeed),
            State::DataReturn => Err(ChunkFault::DataEnd),
            State::DataFeed => feed(byte, State::Size),
            State::Trailer | State::TrailerName | State::TrailerValue => self.trailer(byte),
            State::TrailerFeed => feed(byte, State::Trailer),
            State::EndFeed => feed(byte, State::Done),
            State::Data | State::Done => Ok(self.state),
        };
        let before = self.state;
        self.state = next.map_err(|fault| ChunkError { at: self.taken, fault })?;
        if self.state == State::SizeFeed {
            self.digits = 0;
        }
        let is_trailer = matches!(before, State::TrailerName | State::TrailerValue | State::TrailerFeed)
            || self.state == State::TrailerName;
        Ok(match self.keep {
            Keep::Coded => self.state != State::Extension,
            Keep::CodedWithoutTrailers => self.state != State::Extension && !is_trailer,
            Keep::Content => false,
            Keep::ContentAndTrailers => is_trailer,
        })
    }

    fn size(&mut self, byte: u8) -> Result<State, ChunkFault> {
        if self.digits == 0 {
            self.left = 0;
        }
        match (byte, char::from(byte).to_digit(16)) {
            (_, Some(digit)) => {
                if self.digits == MAX_DIGITS || self.left > i64::MAX as u64 >> 4 {
                    return Err(ChunkFault::SizeTooLarge);
                }
                self.digits += 1;
                self.left = self.left << 4 | u64::from(digit);
                Ok(State::Size)
            }
            _ if self.digits == 0 => Err(ChunkFault::Size(byte)),
            (b'\r', _) => Ok(State::SizeFeed),
            (b';', _) => self.extension(byte),
            _ => Err(ChunkFault::Size(byte)),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<State, ChunkFault> {
        if byte == b'\r' {
            return Ok(State::SizeFeed);
        }
        self.extension_bytes += 1;
        match byte {
            _ if self.extension_bytes > MAX_EXTENSION_BYTES => Err(ChunkFault::ExtensionsTooLong),
            byte if is_value_byte(byte) => Ok(State::Extension),
            byte => Err(ChunkFault::Extension(byte)),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, ChunkFault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(ChunkFault::TrailersTooLong);
        }
        match (self.state, byte) {
            (State::Trailer, b'\r') => Ok(State::EndFeed),
            (State::Trailer, byte) if is_token_byte(byte) => {
                self.name_len = 0;
                self.keep_name(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') if self.name().is_barred_from_trailers() => {
                Err(ChunkFault::BarredTrailer)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, byte) if is_token_byte(byte) => {
                self.keep_name(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerFeed),
            (State::TrailerValue, byte) if is_value_byte(byte) => Ok(State::TrailerValue),
            (_, byte) => Err(ChunkFault::Trailer(byte)),
        }
    }

    fn keep_name(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(usize::from(self.name_len)) {
            *place = byte;
            self.name_len += 1;
        }
    }

    fn name(&self) -> Name {
        Name::of(self.name.get(..usize::from(self.name_len)).unwrap_or_default())
    }
}

fn feed(byte: u8, next: State) -> Result<State, ChunkFault> {
    if byte == b'\n' { Ok(next) } else { Err(ChunkFault::BareCr) }
}

/// Why a chunked body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkError {
    at: u64,
    fault: ChunkFault,
}

impl ChunkError {
    /// The byte of the coded body that shows the fault, counted from 0.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What was wrong.
    pub fn fault(&self) -> ChunkFault {
        self.fault
    }
}

/// What was wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkFault {
    /// A size with this byte, or without any digit.
    Size(u8),
    /// A size of 2^63 or more, or with more than 16 digits.
    SizeTooLarge,
    /// An extension with this byte.
    Extension(u8),
    /// More extensions than anyone needs.
    ExtensionsTooLong,
    /// Data that does not end where its size says.
    DataEnd,
    /// A carriage return without a line feed after it.
    BareCr,
    /// A trailer with this byte where none such may be.
    Trailer(u8),
    /// A trailer that frames, routes, or says who the client is, RFC 9110 §6.5.1.
    BarredTrailer,
    /// More trailers than anyone needs.
    TrailersTooLong,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of the chunked body: {} (RFC 9112 §7.1)", self.at, self.fault)
    }
}

impl std::error::Error for ChunkError {}

impl fmt::Display for ChunkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(byte) => write!(f, "expected a size in hexadecimal digits, found 0x{byte:02x}"),
            Self::SizeTooLarge => f.write_str("expected a size below 2^63 in 16 digits, found a larger one"),
            Self::Extension(byte) => write!(f, "expected an extension, found 0x{byte:02x}"),
            Self::ExtensionsTooLong => {
                write!(f, "expected extensions within {MAX_EXTENSION_BYTES} bytes, found more")
            }
            Self::DataEnd => f.write_str("expected CR LF after the data, found another byte"),
            Self::BareCr => f.write_str("expected LF after CR, found another byte"),
            Self::Trailer(byte) => write!(f, "expected a trailer field, found 0x{byte:02x}"),
            Self::BarredTrailer => {
                f.write_str("expected no framing, routing or forwarding field among the trailers, found one")
            }
            Self::TrailersTooLong => {
                write!(f, "expected trailers within {MAX_TRAILER_BYTES} bytes, found more")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `body` in pieces of `piece` bytes; what was passed on, how much was taken, and whether it ended.
    fn feed_all(
        mut chunked: Chunked,
        body: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let (mut out, mut taken) = (Vec::new(), 0);
        for part in body.chunks(piece) {
            let mut part = part.to_vec();
            let step = chunked.advance(&mut part)?;
            out.extend_from_slice(part.get(..step.kept).unwrap());
            taken += step.taken;
        }
        Ok((out, taken, chunked.is_done()))
    }

    #[test]
    fn trailers_come_behind_the_content_when_they_are_asked_for() {
        let body = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nGrpc-Status: 0\r\nb:\r\n\r\n";
        for piece in 1..=body.len() {
            let mut chunked = Chunked::decoding_with_trailers();
            let (mut content, mut trailers) = (Vec::new(), Vec::new());
            for part in body.chunks(piece) {
                let mut part = part.to_vec();
                let step = chunked.advance(&mut part).unwrap();
                assert_eq!(step.taken, part.len());
                content.extend_from_slice(&part[..step.kept - step.trailers]);
                trailers.extend_from_slice(&part[step.kept - step.trailers..step.kept]);
            }
            assert!(chunked.is_done());
            assert_eq!(content, b"abcde", "{piece}");
            assert_eq!(trailers, b"Grpc-Status: 0\r\nb:\r\n", "{piece}");
        }
    }

    #[test]
    fn trailers_are_left_out_whole_however_they_are_split() {
        let body = b"3;x=y\r\nabc\r\n0\r\nX-User: root\r\nX-B:\r\n\r\nnext";
        for cut in 0..body.len() {
            let mut follower = Chunked::forwarding_without_trailers();
            let mut passed = Vec::new();
            for part in [&body[..cut], &body[cut..]] {
                let mut part = part.to_vec();
                let step = follower.advance(&mut part).unwrap();
                passed.extend_from_slice(&part[..step.kept]);
            }
            assert!(follower.is_done());
            assert_eq!(passed, b"3\r\nabc\r\n0\r\n\r\n", "{cut}");
        }
    }

    #[test]
    fn a_body_passes_as_it_came_but_for_its_extensions() {
        let body = b"5;a=b;c=\"d\"\r\nhello\r\n00a\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\n\r\n";
        let passed = b"5\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
        for piece in 1..=body.len() {
            let (out, taken, done) = feed_all(Chunked::forwarding(), body, piece).unwrap();
            assert_eq!((out.as_slice(), taken, done), (passed.as_slice(), body.len(), true), "{piece}");
            let (out, _, done) = feed_all(Chunked::decoding(), body, piece).unwrap();
            assert_eq!((out.as_slice(), done), (b"hello0123456789".as_slice(), true), "{piece}");
        }
    }

    #[test]
    fn what_follows_the_body_is_left_alone() {
        let mut bytes = *b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
        let step = Chunked::forwarding().advance(&mut bytes).unwrap();
        assert_eq!(step, Step { taken: 11, kept: 11, trailers: 0, done: true });
    }

    #[test]
    fn what_others_guess_at_is_refused_at_its_byte() {
        for (body, at) in [
            (b"\r\n".as_slice(), 0),
            (b" 5\r\nhello\r\n", 0),
            (b"+5\r\nhello\r\n", 0),
            (b"-5\r\n", 0),
            (b"0x5\r\nhello\r\n", 1),
            (b"5 \r\nhello\r\n", 1),
            (b"5\t\r\nhello\r\n", 1),
            (b"5_0\r\n", 1),
            (b"5\nhello\r\n", 1),
            (b"5\rhello\r\n", 2),
            (b"5;a\nhello\r\n", 3),
            (b"5;a\x00\r\nhello\r\n", 3),
            (b"5,a\r\nhello\r\n", 1),
            (b"5\r\nhelloX\r\n", 8),
            (b"5\r\nhello\n", 8),
            (b"5\r\nhello\r\r\n", 9),
            (b"8000000000000000\r\n", 15),
            (b"00000000000000005\r\n", 16),
            (b"FFFFFFFFFFFFFFFFF\r\n", 15),
            (b"g\r\n", 0),
            (b"0\r\n\n", 3),
            (b"0\r\n\rX", 4),
            (b"0\r\n folded: x\r\n\r\n", 3),
            (b"0\r\n: x\r\n\r\n", 3),
            (b"0\r\na b: x\r\n\r\n", 4),
            (b"0\r\na: \x01\r\n\r\n", 6),
            (b"0\r\na: x\n\r\n", 7),
            (b"0\r\nContent-Length: 5\r\n\r\n", 17),
            (b"0\r\ntransfer_encoding: chunked\r\n\r\n", 20),
            (b"0\r\nHost: x\r\n\r\n", 7),
            (b"0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", 18),
            (b"0\r\nX-Forwarded-Some-Longer-Name-Than-Kept: 1\r\n\r\n", 41),
        ] {
            let error = feed_all(Chunked::forwarding(), body, body.len()).unwrap_err();
            assert_eq!(error.at(), at, "{error}, {:?}", body.escape_ascii().to_string());
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension = [b"1;".as_slice(), &[b'a'; 5000]].concat();
        let error = feed_all(Chunked::forwarding(), &extension, 100).unwrap_err();
        assert_eq!(error.fault(), ChunkFault::ExtensionsTooLong);
        let many = b"1;aaaa\r\nx\r\n".repeat(1000);
        let error = feed_all(Chunked::forwarding(), &many, 100).unwrap_err();
        assert_eq!(error.fault(), ChunkFault::ExtensionsTooLong);
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(3000)].concat();
        let error = feed_all(Chunked::forwarding(), &trailers, 100).unwrap_err();
        assert_eq!(error.fault(), ChunkFault::TrailersTooLong);
    }

    proptest! {
        #[test]
        fn the_answer_is_the_same_however_the_bytes_are_split(
            body in r"([0-9a-fx]{0,2}(;[a-z]{0,3})?\r?\n[a-z]{0,12}\r?\n){0,4}(0\r\n(a: b\r\n)?\r\n)?.{0,8}",
            piece in 1usize..20,
        ) {
            let whole = feed_all(Chunked::forwarding(), body.as_bytes(), body.len().max(1));
            prop_assert_eq!(feed_all(Chunked::forwarding(), body.as_bytes(), piece), whole);
        }

        #[test]
        fn any_content_comes_out_as_it_went_in(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8), piece in 1usize..40) {
            let mut coded = Vec::new();
            for part in &parts {
                coded.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                coded.extend_from_slice(part);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(b"0\r\n\r\n");
            let (content, _, done) = feed_all(Chunked::decoding(), &coded, piece).unwrap();
            prop_assert_eq!((content, done), (parts.concat(), true));
            let (passed, _, _) = feed_all(Chunked::forwarding(), &coded, piece).unwrap();
            prop_assert_eq!(passed, coded);
        }
    }
}
