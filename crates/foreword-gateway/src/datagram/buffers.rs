//! The room that datagrams pass through: one for each worker, since none stays longer than a turn.

use std::array;
use std::cell::RefCell;
use std::io::{self, IoSliceMut};

use foreword::spp;
use quinn_udp::RecvMeta;

use super::incoming::Arrived;

/// What all doors of a worker share.
pub(crate) struct Buffers {
    pub(super) batch: RefCell<Batch>,
    pub(super) answer: RefCell<Answer>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { batch: RefCell::new(Batch::new()), answer: RefCell::new(Answer::new()) }
    }
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

/// As many datagrams as one call to the kernel gives; several of one peer may lie in one place, one behind the other.
pub(super) struct Batch {
    bytes: Box<[u8]>,
    met: [RecvMeta; BATCH],
}

impl Batch {
    fn new() -> Self {
        // What is never written to takes no memory.
        Self { bytes: vec![0; BATCH * PLACE].into_boxed_slice(), met: [RecvMeta::default(); BATCH] }
    }

    /// Has `receive` fill it, and gives what that gives.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut places = self.bytes.chunks_exact_mut(PLACE);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            array::from_fn(|_| IoSliceMut::new(places.next().unwrap_or_default()));
        receive(&mut slices, &mut self.met)
    }

    /// The datagrams in the first `count` places; `bound` is where they came to, as far as the socket knows.
    pub(super) fn arrived(
        &self,
        count: usize,
        bound: std::net::SocketAddr,
    ) -> impl Iterator<Item = Arrived<'_>> {
        let places = self.met.iter().take(count).zip(self.bytes.chunks_exact(PLACE));
        places.flat_map(move |(met, place)| {
            let bytes = place.get(..met.len).unwrap_or(place);
            let to = met.dst_ip.unwrap_or(bound.ip());
            split(bytes, met.stride).map(move |bytes| Arrived {
                peer: met.addr,
                to,
                port: bound.port(),
                bytes,
            })
        })
    }
}

/// The datagrams of which `bytes` are made. An empty one is one, too.
fn split(bytes: &[u8], stride: usize) -> impl Iterator<Item = &[u8]> {
    let empty = bytes.is_empty().then_some(bytes);
    empty.into_iter().chain(bytes.chunks(stride.max(1)))
}

/// One answer of an endpoint, with room for a header in front of it.
pub(super) struct Answer {
    bytes: Box<[u8]>,
}

impl Answer {
    fn new() -> Self {
        Self { bytes: vec![0; spp::LEN + PLACE].into_boxed_slice() }
    }

    /// The room for the answer itself.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(spp::LEN..).unwrap_or_default()
    }

    /// The first `len` bytes of the answer, but for the first `skip`.
    pub(super) fn payload(&self, skip: usize, len: usize) -> &[u8] {
        self.bytes.get(spp::LEN + skip..spp::LEN + len).unwrap_or_default()
    }

    /// The same with `header` in front of it.
    pub(super) fn headed(&mut self, header: &[u8; spp::LEN], skip: usize, len: usize) -> &[u8] {
        if let Some(room) = self.bytes.get_mut(skip..skip + spp::LEN) {
            room.copy_from_slice(header);
        }
        self.bytes.get(skip..spp::LEN + len).unwrap_or_default()
    }
}

/// Half of what the kernel gives at once: beyond it little is saved.
const BATCH: usize = 16;

/// No datagram is larger, and neither is what the kernel puts together of several.
const PLACE: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_put_together_comes_apart_again() {
        let parts = |bytes: &'static [u8], stride| split(bytes, stride).collect::<Vec<_>>();
        assert_eq!(parts(b"aabbc", 2), [&b"aa"[..], b"bb", b"c"]);
        assert_eq!(parts(b"aabb", 4), [&b"aabb"[..]]);
        assert_eq!(parts(b"", 0), [&b""[..]]);
    }

    #[test]
    fn a_header_goes_in_front_of_an_answer_in_place() {
        let mut answer = Answer::new();
        answer.room()[..7].copy_from_slice(b"xxhello");
        assert_eq!(answer.payload(2, 7), b"hello");
        let headed = answer.headed(&[7; spp::LEN], 2, 7);
        assert_eq!((&headed[..spp::LEN], &headed[spp::LEN..]), (&[7; spp::LEN][..], &b"hello"[..]));
        let headed = answer.headed(&[8; spp::LEN], 0, 0);
        assert_eq!(headed, [8; spp::LEN]);
    }
}
