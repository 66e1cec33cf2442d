//! The name inside the first bytes of a TLS ClientHello, as far as they were read anyway.

/// Finds the SNI in what was read of a ClientHello, RFC 8446 section 4.1.2 and RFC 6066 section 3.
///
/// Only for telling who it may have been: nothing is decided by it, and nothing more is read for it.
pub(crate) fn server_name(bytes: &[u8]) -> Option<&str> {
    let mut hello = Reader(bytes);
    hello.skip(RECORD_HEAD)?;
    if hello.number(1)? != CLIENT_HELLO {
        return None;
    }
    hello.skip(HANDSHAKE_LENGTH + VERSION_AND_RANDOM)?;
    for length_of_list in [SESSION_ID, CIPHER_SUITES, COMPRESSION] {
        let length = hello.number(length_of_list)?;
        hello.skip(length)?;
    }
    hello.skip(EXTENSIONS)?;
    loop {
        let kind = hello.number(2)?;
        let length = hello.number(2)?;
        if kind == SERVER_NAME {
            return host_name(Reader(hello.0));
        }
        hello.skip(length)?;
    }
}

fn host_name(mut extension: Reader<'_>) -> Option<&str> {
    extension.skip(2)?;
    if extension.number(1)? != HOST_NAME {
        return None;
    }
    let length = extension.number(2)?;
    let name = str::from_utf8(extension.0.get(..length)?).ok()?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (is_name && (1..=MAX_NAME).contains(&name.len())).then_some(name)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        Some(digits.iter().fold(0, |number, &digit| number << 8 | usize::from(digit)))
    }
}

const RECORD_HEAD: usize = 5;
const CLIENT_HELLO: usize = 1;
const HANDSHAKE_LENGTH: usize = 3;
const VERSION_AND_RANDOM: usize = 2 + 32;
/// The widths of the lengths in front of three lists, in their order, and of the length of all extensions.
const SESSION_ID: usize = 1;
const CIPHER_SUITES: usize = 2;
const COMPRESSION: usize = 1;
const EXTENSIONS: usize = 2;
const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
/// RFC 1035 section 2.3.4.
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
        bytes.extend([7; 32]);
        bytes.extend([2, 9, 9, 0, 4, 0x13, 1, 0x13, 2, 1, 0, 0, 99]);
        bytes.extend([0, 43, 0, 3, 2, 3, 4]);
        let length = name.len() as u8;
        bytes.extend([0, 0, 0, length + 5, 0, length + 3, 0, 0, length]);
        bytes.extend(name);
        bytes
    }

    #[test]
    fn the_name_is_found_behind_other_extensions() {
        assert_eq!(server_name(&hello(b"www.example.com")), Some("www.example.com"));
    }

    #[test]
    fn a_cut_hello_has_no_name_and_does_no_harm() {
        let whole = hello(b"www.example.com");
        for len in 0..whole.len() {
            assert_eq!(server_name(&whole[..len]), None, "cut at {len}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_not_shown_as_one() {
        for name in [&b"a b"[..], b"x\n", b"\xff\xfe", b"", "é.example".as_bytes()] {
            assert_eq!(server_name(&hello(name)), None);
        }
    }
}
