//! Chunked bodies: never a panic, the same answer in pieces, and what is passed on holds what was decoded.
#![no_main]

use foreword_http1::{ChunkError, Chunked};
use libfuzzer_sys::fuzz_target;

/// What was passed on, how much was taken, and whether the body ended.
fn follow(mut chunked: Chunked, body: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
    let (mut passed, mut taken) = (Vec::new(), 0);
    for part in body.chunks(piece) {
        let mut part = part.to_vec();
        let step = chunked.advance(&mut part)?;
        assert!(step.kept <= step.taken && step.taken <= part.len());
        assert!(step.done || step.taken == part.len());
        passed.extend_from_slice(&part[..step.kept]);
        taken += step.taken;
    }
    Ok((passed, taken, chunked.is_done()))
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, body)) = data.split_first() else { return };
    let piece = usize::from(choice) + 1;
    let whole = follow(Chunked::forwarding(), body, body.len().max(1));
    assert_eq!(follow(Chunked::forwarding(), body, piece), whole);
    let decoded = follow(Chunked::decoding(), body, piece);
    assert_eq!(
        decoded.as_ref().map(|body| (body.1, body.2)).ok(),
        whole.as_ref().map(|body| (body.1, body.2)).ok()
    );
    if let (Ok((passed, _, true)), Ok((content, _, _))) = (whole, decoded) {
        // Whoever reads what was passed on takes all of it, and reads the same content.
        assert_eq!(follow(Chunked::decoding(), &passed, piece), Ok((content, passed.len(), true)));
    }
});
