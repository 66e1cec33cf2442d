//! Finds where a head ends, as its bytes come in.

use memchr::memchr;

use crate::error::{HeadError, HeadFault};
use crate::field::is_token_byte;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, its empty line included.
    pub head: usize,
    /// Field lines.
    pub fields: usize,
    /// Bytes of the target.
    pub target: usize,
}

impl Default for Limits {
    /// 16 KiB and 100 fields; a target of 8000 bytes, which RFC 9112 §3 asks everyone to take.
    fn default() -> Self {
        Self { head: 16 * 1024, fields: 100, target: 8000 }
    }
}

/// What a first line holds beside the target: a method, a version that may be nonsense, two spaces and CR LF.
const FIRST_LINE_EXTRA: usize = MAX_METHOD + 14;

/// Registered methods have at most 17 bytes (UPDATEREDIRECTREF).
pub(crate) const MAX_METHOD: usize = 32;

/// How long the first line of a request may be, its CR LF included.
pub(crate) fn most_of_first_line(limits: &Limits) -> usize {
    (limits.target + FIRST_LINE_EXTRA).min(limits.head.saturating_sub(1))
}

/// The search for the end of one head. It looks at each byte once, however they are split.
#[derive(Clone, Debug)]
pub struct HeadEnd {
    of: Of,
    /// Bytes already looked at.
    scanned: usize,
    /// Where the line begins that is not yet ended.
    line: usize,
    /// Lines ended so far.
    lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Request,
    Response,
}

impl HeadEnd {
    /// Begins a search in a request.
    pub fn request() -> Self {
        Self { of: Of::Request, scanned: 0, line: 0, lines: 0 }
    }

    /// Begins a search in a response.
    pub fn response() -> Self {
        Self { of: Of::Response, scanned: 0, line: 0, lines: 0 }
    }

    /// Finds the length of the head that `buf` begins with, or `None` while it is incomplete.
    ///
    /// `buf` holds everything since the head's first byte; it may only have grown since the last call.
    ///
    /// # Errors
    ///
    /// As soon as the bytes can no longer become a head within `limits`: nobody waits for the end of what is
    /// plainly something else, and a bare line feed never ends a line.
    pub fn find(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
        if self.scanned == 0 {
            self.check_first_byte(buf)?;
        }
        let within = buf.get(..limits.head).unwrap_or(buf);
        while let Some(offset) = within.get(self.scanned..).and_then(|rest| memchr(b'\n', rest)) {
            let feed = self.scanned + offset;
            if let Some(end) = self.end_line(within, feed, limits)? {
                return Ok(Some(end));
            }
        }
        self.scanned = within.len();
        self.check_room(buf, limits)
    }

    fn check_first_byte(&self, buf: &[u8]) -> Result<(), HeadError> {
        let fault = match buf.first() {
            // The content type of a handshake record, RFC 8446 §5.1.
            Some(0x16) => HeadFault::TlsClientHello,
            Some(b'\r' | b'\n') => HeadFault::BlankLine,
            Some(b'H') | None => return Ok(()),
            Some(_) if self.of == Of::Response => HeadFault::StatusLine,
            Some(&byte) if is_token_byte(byte) => return Ok(()),
            Some(_) => HeadFault::Method,
        };
        Err(HeadError::new(0, fault))
    }

    /// Takes note of the line that ends with the line feed at `feed`; an empty one ends the head.
    fn end_line(&mut self, buf: &[u8], feed: usize, limits: &Limits) -> Result<Option<usize>, HeadError> {
        self.check_first_line_len(feed + 1, limits)?;
        let line = buf.get(self.line..feed).unwrap_or_default();
        let Some((b'\r', line)) = line.split_last() else {
            return Err(HeadError::new(feed, HeadFault::BareLf));
        };
        if line.is_empty() {
            return Ok(Some(feed + 1));
        }
        if self.lines == 0 {
            self.check_first_line(line)?;
        } else if self.lines > limits.fields {
            return Err(HeadError::new(self.line, HeadFault::TooManyFields));
        }
        self.lines += 1;
        self.line = feed + 1;
        self.scanned = feed + 1;
        Ok(None)
    }

    /// A client of HTTP/0.9 sends one line and waits: it must not have to wait for a deadline.
    fn check_first_line(&self, line: &[u8]) -> Result<(), HeadError> {
        if self.of == Of::Response {
            return Ok(());
        }
        let last_word = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        if last_word.starts_with(b"HTTP/") {
            return Ok(());
        }
        let spaces = line.iter().filter(|&&byte| byte == b' ').count();
        let fault = if spaces == 1 { HeadFault::Http09 } else { HeadFault::Version };
        Err(HeadError::new(line.len() - last_word.len(), fault))
    }

    /// A first line of `len` bytes, or more, is too long by its target, even where the whole head may be no longer.
    fn check_first_line_len(&self, len: usize, limits: &Limits) -> Result<(), HeadError> {
        if self.lines == 0 && self.of == Of::Request && len > most_of_first_line(limits) {
            return Err(HeadError::new(limits.target, HeadFault::TargetTooLong));
        }
        Ok(())
    }

    fn check_room(&self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
        self.check_first_line_len(buf.len(), limits)?;
        if buf.len() >= limits.head {
            return Err(HeadError::new(limits.head, HeadFault::HeadTooLong));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn whole(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        HeadEnd::request().find(bytes, &Limits::default())
    }

    #[test]
    fn the_end_is_found_once_the_empty_line_is_there_and_not_before() {
        let mut search = HeadEnd::request();
        for len in 0..HEAD.len() {
            assert_eq!(search.find(HEAD.get(..len).unwrap(), &Limits::default()), Ok(None), "{len}");
        }
        assert_eq!(search.find(HEAD, &Limits::default()), Ok(Some(HEAD.len())));
        assert_eq!(whole(&[HEAD, b"more"].concat()), Ok(Some(HEAD.len())));
    }

    #[test]
    fn what_cannot_become_a_request_is_refused_at_its_first_byte() {
        let fault = |bytes: &[u8]| whole(bytes).unwrap_err().fault();
        assert_eq!(fault(b"\x16"), HeadFault::TlsClientHello);
        assert_eq!(fault(b"\r"), HeadFault::BlankLine);
        assert_eq!(fault(b"\n"), HeadFault::BlankLine);
        assert_eq!(fault(b" "), HeadFault::Method);
        assert_eq!(fault(b"\x00"), HeadFault::Method);
    }

    #[test]
    fn one_line_without_a_version_is_refused_without_waiting_for_more() {
        let error = whole(b"GET /index.html\r\n").unwrap_err();
        assert_eq!((error.fault(), error.at()), (HeadFault::Http09, 4));
    }

    #[test]
    fn a_bare_line_feed_never_ends_a_line() {
        let error = whole(b"GET / HTTP/1.1\nHost: a\r\n\r\n").unwrap_err();
        assert_eq!((error.fault(), error.at()), (HeadFault::BareLf, 14));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nHost: a\r\n\n").unwrap_err().fault(), HeadFault::BareLf);
    }

    #[test]
    fn limits_hold_while_the_head_is_still_coming() {
        let limits = Limits { head: 200, fields: 3, target: 20 };
        let find = |bytes: &[u8]| HeadEnd::request().find(bytes, &limits).unwrap_err();
        assert_eq!(find(&[b'A'; 100]).status(), 414);
        assert_eq!(find(&[b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 200]].concat()).status(), 431);
        assert_eq!(find(b"GET / HTTP/1.1\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\n").fault(), HeadFault::TooManyFields);
    }

    #[test]
    fn a_first_line_is_too_long_at_the_same_byte_in_pieces() {
        for (head, target) in [(2048, 512), (100, 100), (64, 512)] {
            let limits = Limits { head, fields: 10, target };
            let in_pieces = |bytes: &[u8], piece: usize| {
                let mut search = HeadEnd::request();
                let ends = (1..=bytes.len()).filter(|end| end % piece == 0 || *end == bytes.len());
                ends.map(|end| search.find(&bytes[..end], &limits)).find(|found| *found != Ok(None))
            };
            for len in 0..700 {
                for end in [b"\n".as_slice(), b"\r\n", b" HTTP/1.1\r\n\r\n"] {
                    let bytes = [vec![b'A'; len].as_slice(), end].concat();
                    let whole = in_pieces(&bytes, bytes.len());
                    assert!(
                        [1, 7].iter().all(|&piece| in_pieces(&bytes, piece) == whole),
                        "{len} {limits:?}"
                    );
                }
            }
        }
    }
}
