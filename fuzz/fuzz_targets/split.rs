//! A reader that takes what it is told to take gets the same answer, in whatever pieces the bytes arrive, and never takes a
//! byte that follows the header.

#![no_main]

use foreword::{Malformed, Parse, Parser};
use foreword_fuzz::parser;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([choice, pieces @ ..], input)) =
        data.split_last_chunk::<5>().map(|(input, last)| (last, input))
    else {
        return;
    };
    let parser = parser(*choice);
    let whole = parser.parse(input).map(complete).map_err(|malformed| cause(&malformed));
    let read = read(&parser, input, pieces);
    assert_eq!(whole, read);
});

/// The length of the header, if it is whole.
fn complete(parse: Parse<'_>) -> Option<usize> {
    match parse {
        Parse::Complete { len, .. } => Some(len),
        Parse::Incomplete { .. } => None,
    }
}

fn cause(malformed: &Malformed) -> &'static str {
    malformed.requirement()
}

/// Takes as many bytes as are needed at a time, but not more than the next of `pieces`, and parses anew.
fn read(parser: &Parser, input: &[u8], pieces: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut have = 0;
    let mut pieces = pieces.iter().cycle();
    loop {
        match parser.parse(&input[..have]) {
            Err(malformed) => return Err(cause(&malformed)),
            Ok(Parse::Complete { len, .. }) => {
                assert_eq!(len, have, "a byte was taken that follows the header");
                return Ok(Some(len));
            }
            Ok(Parse::Incomplete { needed }) => {
                let piece = usize::from(*pieces.next().unwrap_or(&0)) + 1;
                let take = needed.get().min(piece).min(input.len() - have);
                if take == 0 {
                    return Ok(None);
                }
                have += take;
            }
        }
    }
}
