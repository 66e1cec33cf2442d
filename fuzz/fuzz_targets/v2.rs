//! Binary headers: every answer, at the cuts where something is decided, under all switches.

#![no_main]

use foreword::Parse;
use foreword_fuzz::{check_prefixes, look_at_everything, parser, signed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_last() else { return };
    let input = signed(b"\r\n\r\n\0\r\nQUIT\n", data);
    let parser = parser(choice);
    check_prefixes(&parser, &input, (0..=64).chain([input.len().saturating_sub(1)]));
    if let Ok(Parse::Complete { header, len }) = parser.parse(&input) {
        assert_eq!(len, 16 + usize::from(u16::from_be_bytes([input[14], input[15]])));
        look_at_everything(&header);
    }
    match parser.parse_datagram(&input) {
        Ok((header, len)) => {
            assert!(matches!(parser.parse(&input), Ok(Parse::Complete { header: other, len: same })
            if other == header && same == len))
        }
        Err(_) => assert!(!matches!(parser.parse(&input), Ok(Parse::Complete { .. }))),
    }
});
