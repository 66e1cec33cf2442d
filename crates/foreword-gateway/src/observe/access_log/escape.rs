//! Bytes from the wire made harmless in each format: no byte of a stranger ever ends a line or leaves its quotes.

/// JSON, RFC 8259 section 7. Bytes that are not UTF-8 become the text `\xHH`.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    // Nearly all that is ever logged needs nothing but to be copied.
    if is_all_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            json_char(char, out);
        }
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            out.extend_from_slice(&hex(byte, LOWER));
        }
    }
}

fn json_char(char: char, out: &mut Vec<u8>) {
    match char {
        '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
        ' '..='~' => out.push(char as u8),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        char if is_plain(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        char => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                out.extend_from_slice(b"\\u");
                out.extend_from_slice(&hex(high, LOWER));
                out.extend_from_slice(&hex(low, LOWER));
            }
        }
    }
}

/// Beyond controls, what breaks lines or reorders text where a log is looked at is escaped too.
fn is_plain(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether nothing has to be escaped, but for HAProxy's format. Eight bytes are looked at as one number, the last eight
/// perhaps twice.
pub(super) fn is_all_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().all(|&byte| is_plain_ascii(byte));
    };
    let (eights, _) = bytes.as_chunks::<8>();
    eights.iter().chain([last]).fold(true, |all, eight| all & are_plain(u64::from_ne_bytes(*eight)))
}

/// Whether each of eight bytes [is plain](is_plain_ascii). A condition leaves the topmost bit of a byte set where it
/// holds; a sum that runs over into the next byte comes from one beyond ASCII, and that has failed already.
const fn are_plain(eight: u64) -> bool {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let at_least_space = eight.wrapping_add(each(0x80 - b' '));
    let delete = eight.wrapping_add(each(0x80 - 0x7f));
    let other_than_quote = (eight ^ each(b'"')).wrapping_add(each(0x7f));
    let other_than_backslash = (eight ^ each(b'\\')).wrapping_add(each(0x7f));
    let plain = !eight & at_least_space & !delete & other_than_quote & other_than_backslash;
    plain & each(0x80) == each(0x80)
}

/// Plain in every format but HAProxy's, which has its own list.
const fn is_plain_ascii(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Apache and nginx, and templates: what is not plain ASCII becomes `\xHH`, and quote and backslash get a backslash.
pub(super) fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    if is_all_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&hex(byte, LOWER));
            }
        }
    }
}

/// HAProxy's way: what is not plain ASCII, and whatever `also` names, becomes `#HH`.
pub(super) fn hashed(bytes: &[u8], also: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b' '..=b'~' if !also.contains(&byte) => out.push(byte),
            _ => {
                out.push(b'#');
                out.extend_from_slice(&hex(byte, UPPER));
            }
        }
    }
}

fn hex(byte: u8, ten: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { ten + (digit - 10) })
}

const LOWER: u8 = b'a';
const UPPER: u8 = b'A';

#[cfg(test)]
mod tests {
    use super::*;

    fn all_bytes() -> Vec<u8> {
        (0..=255).collect()
    }

    fn escaped(escape: impl FnOnce(&[u8], &mut Vec<u8>), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).expect("what is written is UTF-8")
    }

    #[test]
    fn no_byte_ends_a_line_or_leaves_its_quotes() {
        for byte in 0..=255 {
            let json = escaped(json, &[byte]);
            let parsed: String = serde_json::from_str(&format!("\"{json}\"")).expect("a JSON string");
            if byte.is_ascii() {
                assert_eq!(parsed.as_bytes(), [byte]);
            }
            let quoted = escaped(quoted, &[byte]);
            let hashed = escaped(|bytes, out| hashed(bytes, b"\"#", out), &[byte]);
            for text in [&json, &quoted, &hashed] {
                assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{byte}: {text:?}");
            }
            assert!(!hashed.contains('"') && (byte != b'"' || quoted == "\\\""));
        }
    }

    #[test]
    fn a_byte_to_escape_is_found_wherever_it_stands() {
        for length in 1..50 {
            for place in 0..length {
                let mut bytes = vec![b'x'; length];
                assert_eq!(escaped(json, &bytes).len(), length);
                bytes[place] = b'"';
                assert_eq!(escaped(json, &bytes).len(), length + 1);
            }
        }
    }

    #[test]
    fn eight_bytes_are_judged_as_each_of_them_would_be() {
        for byte in 0..=255 {
            for neighbour in [b' ', b'x', b'~', 0x00, 0x7f, 0x80, 0xff, b'"', b'\\'] {
                for place in 0..8 {
                    let mut eight = [neighbour; 8];
                    eight[place] = byte;
                    let each = eight.iter().all(|&byte| is_plain_ascii(byte));
                    assert_eq!(are_plain(u64::from_ne_bytes(eight)), each, "{eight:?}");
                }
            }
        }
    }

    #[test]
    fn text_beyond_ascii_stays_readable_in_json_and_tricks_do_not() {
        assert_eq!(escaped(json, "Grüße, 世界".as_bytes()), "Grüße, 世界");
        assert_eq!(escaped(json, "a\u{202e}b\u{2028}c\u{85}".as_bytes()), "a\\u202eb\\u2028c\\u0085");
        assert_eq!(escaped(json, b"a\xff\xc3(b"), "a\\\\xff\\\\xc3(b");
    }

    #[test]
    fn every_escape_can_be_told_from_what_it_stands_for() {
        assert_eq!(escaped(quoted, b"\\x0a\n"), "\\\\x0a\\x0a");
        assert_eq!(escaped(|bytes, out| hashed(bytes, b"\"#", out), b"#0A\n"), "#230A#0A");
        assert_eq!(escaped(quoted, &all_bytes()).len(), 95 + 2 + 161 * 4);
    }
}
