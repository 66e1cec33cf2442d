//! Bytes as hex, as people paste them: with or without `0x`, blanks, colons and line ends.

use std::fmt::Write as _;

/// Reads bytes from hex digits; whatever commonly stands between them is passed over.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if let Some(digit) = letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            let next_is_x = letters.peek().is_some_and(|(_, next)| matches!(next, 'x' | 'X'));
            match high.take() {
                None if letter == '0' && next_is_x => drop(letters.next()),
                None => high = Some(digit),
                Some(high) => bytes.push(high << 4 | digit),
            }
        } else if !(letter.is_ascii_whitespace() || matches!(letter, ':' | '-' | ',' | '_')) {
            return Err(HexError::Letter { at, letter });
        }
    }
    match high {
        None => Ok(bytes),
        Some(_) => Err(HexError::Odd),
    }
}

/// Writes bytes as lower-case hex.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Why a text is no hex.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HexError {
    #[error("letter {at}: expected hex digits, found `{}`", letter.escape_default())]
    Letter { at: usize, letter: char },
    #[error("expected two hex digits for each byte, found an odd number of them")]
    Odd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_as_people_paste_it() {
        for pasted in ["0d0aff", "0D:0a:FF", "0x0d 0x0a 0xff", "0d0a\nff\n", "0d, 0a, ff"] {
            assert_eq!(bytes(pasted).as_deref(), Ok(&[13, 10, 255][..]), "{pasted}");
        }
        assert_eq!(bytes(""), Ok(Vec::new()));
        assert_eq!(bytes("0d0"), Err(HexError::Odd));
        assert_eq!(bytes("0dzz"), Err(HexError::Letter { at: 2, letter: 'z' }));
    }

    #[test]
    fn bytes_come_back_from_their_hex() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes(&text(&all)), Ok(all));
    }
}
