//! Bytes written as hex; `foreword::text` reads them.

use std::fmt::Write as _;

/// Writes bytes as lower-case hex.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_hex() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(foreword::text::hex(&text(&all)), Ok(all));
    }
}
