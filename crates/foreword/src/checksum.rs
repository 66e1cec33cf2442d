//! CRC32C of a header, with the checksum's own bytes taken as zero, §2.2.3.

use crate::v2;

/// The checksum of a binary header, whose checksum TLV has its four bytes at `at`. All such headers begin with the same
/// bytes, whose part of the sum is known beforehand.
pub(crate) fn of_header(header: &[u8], at: usize) -> u32 {
    let (before, rest) = header.split_at_checked(at).unwrap_or((header, &[]));
    let before = before.get(v2::SIGNATURE.len()..).unwrap_or_default();
    let after = rest.get(LEN..).unwrap_or_default();
    !update(four::<0>(update(AFTER_SIGNATURE, before)), after)
}

/// The length of the checksum TLV's value.
pub(crate) const LEN: usize = 4;

/// The sum as it stands behind the signature.
const AFTER_SIGNATURE: u32 = {
    let (mut crc, mut rest) = (!0, v2::SIGNATURE.as_slice());
    while let [byte, behind @ ..] = rest {
        (crc, rest) = (one(*byte, crc), behind);
    }
    crc
};

/// Sixteen bytes a step: a step has to wait for the one before, so few long ones take less time than many short ones.
fn update(mut crc: u32, mut bytes: &[u8]) -> u32 {
    while let Some((step, rest)) = bytes.split_first_chunk::<16>() {
        let &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = step;
        let word = u32::from_le_bytes;
        let first = four::<12>(word([a, b, c, d]) ^ crc) ^ four::<8>(word([e, f, g, h]));
        crc = first ^ four::<4>(word([i, j, k, l])) ^ four::<0>(word([m, n, o, p]));
        bytes = rest;
    }
    if let Some((step, rest)) = bytes.split_first_chunk::<8>() {
        let &[a, b, c, d, e, f, g, h] = step;
        crc = four::<4>(u32::from_le_bytes([a, b, c, d]) ^ crc) ^ four::<0>(u32::from_le_bytes([e, f, g, h]));
        bytes = rest;
    }
    if let Some((step, rest)) = bytes.split_first_chunk::<4>() {
        (crc, bytes) = (four::<0>(u32::from_le_bytes(*step) ^ crc), rest);
    }
    for &byte in bytes {
        crc = one(byte, crc);
    }
    crc
}

/// Four bytes with so many behind them in the same step: each is looked up in the table that knows how far it is from the
/// end of the step.
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "a byte cannot reach past 256 entries, nor a place past 16 tables"
)]
fn four<const BEHIND: usize>(word: u32) -> u32 {
    let at = |place: usize| TABLES[BEHIND + place][(word >> (24 - 8 * place) & 0xff) as usize];
    at(3) ^ at(2) ^ at(1) ^ at(0)
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte cannot reach past 256 entries")]
const fn one(byte: u8, crc: u32) -> u32 {
    TABLES[0][((crc ^ byte as u32) & 0xff) as usize] ^ (crc >> 8)
}

static TABLES: [[u32; 256]; 16] = tables();

/// The first table has the checksums of single bytes; each other one, those of the same bytes with one more zero behind them.
#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a slip would not compile")]
const fn tables() -> [[u32; 256]; 16] {
    /// Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4 has test values).
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 16 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn the_check_value_of_the_polynomial_is_right() {
        assert_eq!(!update(!0, b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn another_implementation_agrees(before: Vec<u8>, sum: [u8; LEN], after: Vec<u8>) {
            let before = [&v2::SIGNATURE[..], &before].concat();
            let header = [&before[..], &sum, &after].concat();
            let zeroed = [&before[..], &[0; LEN], &after].concat();
            prop_assert_eq!(of_header(&header, before.len()), crc32c::crc32c(&zeroed));
        }
    }
}
