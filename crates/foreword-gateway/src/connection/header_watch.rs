//! A header where it is payload: found in the first bytes of a stream that must not begin with one.

use foreword::{Signature, signature};

/// Looks at the first bytes as they pass by. Nobody is made to wait: what is passed on before the twelfth byte is known is
/// too short to be a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderWatch {
    seen: [u8; LONGEST],
    len: usize,
    over: bool,
}

impl HeaderWatch {
    /// For a stream where a header would be refused, or where it may be what it likes.
    pub(crate) fn new(refuses: bool) -> Self {
        Self { seen: [0; LONGEST], len: 0, over: !refuses }
    }

    /// Whether the stream turns out to begin with a header, now that these bytes came.
    pub(crate) fn finds(&mut self, bytes: &[u8]) -> bool {
        if self.over {
            return false;
        }
        for (place, byte) in self.seen.iter_mut().skip(self.len).zip(bytes) {
            *place = *byte;
            self.len += 1;
        }
        let seen = self.seen.get(..self.len).unwrap_or_default();
        let found = signature(seen);
        self.over = found == Signature::Absent;
        found == Signature::Whole
    }
}

/// The longer signature, §2.2.
const LONGEST: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(refuses: bool, pieces: &[&[u8]]) -> bool {
        let mut watch = HeaderWatch::new(refuses);
        pieces.iter().any(|piece| watch.finds(piece))
    }

    #[test]
    fn a_header_is_found_however_it_is_split() {
        for header in [&b"PROXY TCP4 192.0.2.1"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
            assert!(found(true, &[header]));
            for cut in 0..header.len() {
                assert!(found(true, &[&header[..cut], &header[cut..]]), "cut at {cut}");
            }
            let bytes: Vec<&[u8]> = header.chunks(1).collect();
            assert!(found(true, &bytes));
        }
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
