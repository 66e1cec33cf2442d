//! A header where it is payload: found in the first bytes of a stream that must not begin with one.

use std::time::Duration;

use foreword::{Signature, signature};

/// Looks at the first bytes as they pass by. Only those that may yet become a header have to wait, and not for long.
///
/// When all is seen that had to be, nothing is left of it: most of a connection's life comes after that.
#[derive(Debug)]
pub(crate) struct HeaderWatch(Option<Box<Watching>>);

#[derive(Debug)]
struct Watching {
    seen: [u8; LONGEST],
    len: usize,
    impatient: bool,
    patience: Duration,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The beginning of a header.
    Header,
    /// The next byte may tell: until then nobody is to have them.
    Unsettled,
    /// Payload.
    Payload,
}

impl HeaderWatch {
    /// For a stream where a header would be refused: `patience` is for how long bytes wait that may become one.
    pub(crate) fn refusing(patience: Duration) -> Self {
        Self(Some(Box::new(Watching { seen: [0; LONGEST], len: 0, impatient: false, patience })))
    }

    /// For a stream that may be what it likes.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Whether all was seen that had to be.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_none()
    }

    /// For how long bytes wait that may become a header.
    pub(crate) fn patience(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |watching| watching.patience)
    }

    /// Says what the stream turns out to begin with, now that these bytes came.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Seen {
        let Some(watching) = &mut self.0 else { return Seen::Payload };
        for (place, byte) in watching.seen.iter_mut().skip(watching.len).zip(bytes) {
            *place = *byte;
            watching.len += 1;
        }
        let seen = watching.seen.get(..watching.len).unwrap_or_default();
        match signature(seen) {
            Signature::Whole => Seen::Header,
            Signature::Begun if !watching.impatient && !seen.is_empty() => Seen::Unsettled,
            Signature::Begun => Seen::Payload,
            Signature::Absent => {
                self.0 = None;
                Seen::Payload
            }
        }
    }

    /// Lets what is unsettled pass from now on. It is too short to be a header, and the rest of one is still found.
    pub(crate) fn wait_no_longer(&mut self) {
        if let Some(watching) = &mut self.0 {
            watching.impatient = true;
        }
    }
}

/// The longer signature, §2.2.
const LONGEST: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(refuses: bool, pieces: &[&[u8]]) -> bool {
        let mut watch = if refuses { HeaderWatch::refusing(PATIENCE) } else { HeaderWatch::off() };
        pieces.iter().any(|piece| watch.look(piece) == Seen::Header)
    }

    const PATIENCE: Duration = Duration::from_secs(3);

    const HEADERS: [&[u8]; 2] = [b"PROXY TCP4 192.0.2.1", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"];

    #[test]
    fn a_header_is_found_however_it_is_split() {
        for header in HEADERS {
            assert!(found(true, &[header]));
            for cut in 0..header.len() {
                assert!(found(true, &[&header[..cut], &header[cut..]]), "cut at {cut}");
            }
            let bytes: Vec<&[u8]> = header.chunks(1).collect();
            assert!(found(true, &bytes));
        }
    }

    #[test]
    fn nothing_of_a_header_is_payload_while_it_may_become_one() {
        for header in HEADERS {
            let mut watch = HeaderWatch::refusing(PATIENCE);
            let seen: Vec<Seen> = header.chunks(1).map(|byte| watch.look(byte)).collect();
            let settled = seen.iter().position(|&seen| seen == Seen::Header).unwrap();
            assert!(seen[..settled].iter().all(|&seen| seen == Seen::Unsettled), "{seen:?}");
        }
    }

    #[test]
    fn what_took_too_long_passes_and_the_rest_of_a_header_is_found_all_the_same() {
        let mut watch = HeaderWatch::refusing(PATIENCE);
        assert_eq!(watch.look(b"\r\n"), Seen::Unsettled);
        watch.wait_no_longer();
        assert_eq!(watch.look(b"\r"), Seen::Payload);
        assert_eq!(watch.look(b"\n\0\r\nQUIT\n"), Seen::Header);
    }

    #[test]
    fn payload_is_none_even_if_a_header_follows() {
        assert!(!found(true, &[b"\r\n\r\n\0\r\nQUIT!"]));
        assert!(!found(true, &[b"GET / HTTP/1.1\r\n", b"PROXY TCP4 "]));
        assert!(!found(true, &[b"PROX", b"Y", b"!PROXY "]));
        assert!(!found(true, &[b""]));
    }

    #[test]
    fn where_it_is_payload_nothing_is_found() {
        assert!(!found(false, &[b"PROXY TCP4 192.0.2.1"]));
    }
}
