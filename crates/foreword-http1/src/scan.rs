//! How far a token, a target or a value goes: each byte is looked at once.

use crate::field::{is_token_byte, is_value_byte};
use crate::target::is_target_byte;

/// How many bytes at the beginning could be part of a token.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    len_in(&TOKEN, bytes)
}

/// How many bytes at the beginning could be part of a target.
pub(crate) fn target_len(bytes: &[u8]) -> usize {
    len_in(&TARGET, bytes)
}

/// How many bytes at the beginning could be part of a field value, eight of them at a time.
pub(crate) fn value_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        rest = match controls(u64::from_le_bytes(*eight)) {
            0 => behind,
            found => {
                // The lowest bit that is set belongs to a control byte; those above it may be borrowed.
                let place = found.trailing_zeros() as usize / 8;
                match rest.split_at_checked(place) {
                    Some((_, [b'\t', behind @ ..])) => behind,
                    _ => return bytes.len() - rest.len() + place,
                }
            }
        };
    }
    let left = rest.iter().position(|&byte| !is_value_byte(byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + left
}

/// The highest bit of each of eight bytes that is a control byte, tabs and DEL included: exact up to the first of them.
fn controls(eight: u64) -> u64 {
    let is_below_blank = eight.wrapping_sub(EACH * 0x20) & !eight;
    let from_del = eight ^ (EACH * 0x7f);
    let is_del = from_del.wrapping_sub(EACH) & !from_del;
    (is_below_blank | is_del) & (EACH * 0x80)
}

/// A one in each of eight bytes.
const EACH: u64 = 0x0101_0101_0101_0101;

fn len_in(table: &[bool; 256], bytes: &[u8]) -> usize {
    #[expect(clippy::indexing_slicing, reason = "the table has a place for every byte")]
    let is_in = |byte: u8| table[usize::from(byte)];
    bytes.iter().position(|&byte| !is_in(byte)).unwrap_or(bytes.len())
}

/// For each byte whether it is of a class.
macro_rules! table_of {
    ($is_in:path) => {{
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < table.len() {
            table[byte] = $is_in(byte as u8);
            byte += 1;
        }
        table
    }};
}

pub(crate) use table_of;

#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
static TOKEN: [bool; 256] = table_of!(is_token_byte);

#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
static TARGET: [bool; 256] = table_of!(is_target_byte);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_of_another_class_wherever_that_is() {
        type Class = (fn(&[u8]) -> usize, fn(u8) -> bool);
        let classes: [Class; 3] =
            [(token_len, is_token_byte), (target_len, is_target_byte), (value_len, is_value_byte)];
        for (len_of, is_in) in classes {
            for place in 0..20 {
                for byte in 0..=u8::MAX {
                    for behind in [b"".as_slice(), b"a", b"\x00\x7f\x1f\t\r", b"abcdefgh\x00"] {
                        let bytes = [vec![b'a'; place].as_slice(), &[byte], behind].concat();
                        let expected = bytes.iter().position(|&byte| !is_in(byte)).unwrap_or(bytes.len());
                        assert_eq!(len_of(&bytes), expected, "{bytes:?}");
                    }
                }
            }
        }
    }
}
