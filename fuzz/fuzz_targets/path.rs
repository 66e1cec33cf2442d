//! Paths: never a panic, normalising twice is the same as once, and no spelling survives that a server could take otherwise.
#![no_main]

use foreword_http1::{EncodedSlash, NormalPath, PathPolicy};
use libfuzzer_sys::fuzz_target;

/// Decodes once, as a server does that rules have passed a path on to.
fn decoded(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|hex| str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, target)) = data.split_first() else { return };
    let Ok(target) = str::from_utf8(target) else { return };
    let keep = choice & 1 != 0;
    let policy = PathPolicy {
        encoded_slash: if keep { EncodedSlash::Keep } else { EncodedSlash::Refuse },
        ignore_case: choice & 2 != 0,
    };
    let mut once = NormalPath::default();
    if once.normalise(target, &policy).is_err() {
        return assert_eq!((once.target(), once.matched()), ("", ""));
    }
    let mut twice = NormalPath::default();
    twice.normalise(once.target(), &policy).expect("a normal path is settled");
    assert_eq!((twice.target(), twice.matched()), (once.target(), once.matched()));
    if once.forwarded() == "*" {
        return;
    }
    for path in [once.forwarded(), once.matched()] {
        assert!(path.starts_with('/') && !path.contains("//"), "{path}");
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
    }
    let text = String::from_utf8(decoded(once.forwarded())).expect("encoded bytes are UTF-8");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(keep || !text.contains('\\'), "{text:?}");
    for segment in text.split(['/', '\\']) {
        assert!(!matches!(segment.split(';').next(), Some("." | "..")), "{text:?}");
    }
});
