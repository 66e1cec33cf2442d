//! The heads of HTTP/2 frames as they pass, RFC 9113 §4.1: counted before `h2` answers them.

/// Follows one direction of a connection from frame to frame.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    /// Bytes before the first frame: what a client says first, RFC 9113 §3.4.
    preface: u32,
    head: [u8; HEAD_LEN],
    /// How much of the head has come.
    len: usize,
    /// What is still to come behind it.
    payload: u32,
    /// The beginning of the payload of a reset, which is its reason.
    reason: u32,
    reason_left: u8,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) len: u32,
    /// Why, if it resets a stream.
    pub(super) reason: u32,
}

impl Frames {
    /// What a client sends.
    pub(super) fn of_client() -> Self {
        Self { preface: PREFACE_LEN, ..Self::of_server() }
    }

    /// What a server sends.
    pub(super) fn of_server() -> Self {
        Self { preface: 0, head: [0; HEAD_LEN], len: 0, payload: 0, reason: 0, reason_left: 0 }
    }

    /// Follows the next bytes to the first frame in them of which enough has come to be told; `None` if there is none.
    /// Behind it, `bytes` is what comes after.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        skip(bytes, &mut self.preface);
        loop {
            while self.reason_left > 0 {
                let (byte, rest) = bytes.split_first()?;
                *bytes = rest;
                self.reason = self.reason << 8 | u32::from(*byte);
                self.reason_left -= 1;
                self.payload -= 1;
                if self.reason_left == 0 {
                    return Some(self.frame());
                }
            }
            skip(bytes, &mut self.payload);
            while self.len < HEAD_LEN {
                let (byte, rest) = bytes.split_first()?;
                *bytes = rest;
                if let Some(place) = self.head.get_mut(self.len) {
                    *place = *byte;
                }
                self.len += 1;
            }
            let frame = Frame { reason: 0, ..self.frame() };
            self.len = 0;
            self.payload = frame.len;
            if frame.kind != RST_STREAM || frame.len < 4 {
                return Some(frame);
            }
            (self.reason, self.reason_left) = (0, 4);
        }
    }

    fn frame(&self) -> Frame {
        let [a, b, c, kind, flags, d, e, f, g] = self.head;
        Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
            len: u32::from_be_bytes([0, a, b, c]),
            reason: self.reason,
        }
    }
}

fn skip(bytes: &mut &[u8], left: &mut u32) {
    let len = bytes.len().min(*left as usize);
    *bytes = bytes.get(len..).unwrap_or_default();
    *left -= len as u32;
}

const HEAD_LEN: usize = 9;
const PREFACE_LEN: u32 = 24;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const PADDED: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_told_once_however_it_is_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]);
        bytes.extend([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]);
        bytes.extend([0, 0, 4, RST_STREAM, 0, 0x80, 0, 1, 3, 0, 0, 0, 8]);
        bytes.extend([0, 0, 1, DATA, END_STREAM, 0, 0, 0, 1, 7]);
        for piece in 1..=bytes.len() {
            let mut frames = Frames::of_client();
            let mut told = Vec::new();
            for mut part in bytes.chunks(piece) {
                while let Some(frame) = frames.next(&mut part) {
                    told.push((frame.kind, frame.flags, frame.stream, frame.len, frame.reason));
                }
                assert!(part.is_empty());
            }
            let expected = [
                (SETTINGS, 0, 0, 6, 0),
                (SETTINGS, 1, 0, 0, 0),
                (RST_STREAM, 0, 0x103, 4, 8),
                (DATA, 1, 1, 1, 0),
            ];
            assert_eq!(told, expected, "{piece}");
        }
    }
}
