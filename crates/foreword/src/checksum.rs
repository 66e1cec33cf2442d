//! CRC32C of a header, with the checksum's own bytes taken as zero, §2.2.3.

/// The checksum of `header`, whose checksum TLV has its four bytes at `at`.
pub(crate) fn of_header(header: &[u8], at: usize) -> u32 {
    let (before, rest) = header.split_at_checked(at).unwrap_or((header, &[]));
    let after = rest.get(LEN..).unwrap_or_default();
    !update(update(update(!0, before), &[0; LEN]), after)
}

/// The length of the checksum TLV's value.
pub(crate) const LEN: usize = 4;

#[expect(clippy::indexing_slicing, reason = "a byte cannot reach past 256 entries; the compiler sees it too")]
fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    for &byte in bytes {
        let [low, ..] = crc.to_le_bytes();
        crc = TABLE[usize::from(low ^ byte)] ^ (crc >> 8);
    }
    crc
}

static TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a slip would not compile")]
const fn table() -> [u32; 256] {
    /// Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4 has test values).
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
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
            let header = [&before[..], &sum, &after].concat();
            let zeroed = [&before[..], &[0; LEN], &after].concat();
            prop_assert_eq!(of_header(&header, before.len()), crc32c::crc32c(&zeroed));
        }
    }
}
