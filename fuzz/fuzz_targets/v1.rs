//! Lines: every answer, at every cut, with the switch on and off.

#![no_main]

use foreword::{Parse, Parser};
use foreword_fuzz::{check_prefixes, look_at_everything, signed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let input = signed(b"PROXY ", data);
    let sum = data.iter().copied().map(usize::from).sum::<usize>();
    for ipv4_in_tcp6 in [false, true] {
        let parser = Parser::new().ipv4_in_tcp6(ipv4_in_tcp6);
        // Nothing past the longest line can matter. Which cuts are tried hangs on the input, so that in time all are.
        check_prefixes(&parser, &input, (sum % STEP..=108).step_by(STEP));
        if let Ok(Parse::Complete { header, len }) = parser.parse(&input) {
            assert!(len <= 107 && input[..len].ends_with(b"\r\n"));
            look_at_everything(&header);
        }
    }
});

const STEP: usize = 11;
