//! Chunked bodies by a grammar: sizes, extensions, line ends, data, last chunks and trailers, each right and wrong.

use super::{Case, Must};

/// The rest of a head with a chunked body, and the body.
pub(super) const CHUNKED: &[u8] =
    b"X-Case: {id}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

/// A part, and whether nothing is wrong with it.
type Part = (&'static str, bool);

/// All bodies: every two parts in all their forms, the others as they should be.
pub(super) fn all(out: &mut Vec<Case>) {
    let parts = [SIZES, EXTENSIONS, ENDS, DATA, LASTS, TRAILERS, BEHIND];
    for (first, of_first) in parts.iter().enumerate() {
        for (second, of_second) in parts.iter().enumerate().skip(first + 1) {
            for (n, &one) in of_first.iter().enumerate() {
                for &two in of_second.iter().skip(usize::from(n > 0)) {
                    let mut chosen: Vec<Part> = parts.iter().map(|forms| forms[0]).collect();
                    (chosen[first], chosen[second]) = (one, two);
                    if !make_one_right(one, two) {
                        push(out, &chosen);
                    }
                }
            }
        }
    }
}

/// Whether two wrongs make a right: halves of a line end, and a line end too many in front of a byte too few.
fn make_one_right((one, one_is_right): Part, (two, two_is_right): Part) -> bool {
    let is_line_end = one.ends_with('\r') && two.starts_with('\n');
    let is_data = one.len() == 3 && one.starts_with("\r\n") && two == "hell\r\n";
    !one_is_right && !two_is_right && (is_line_end || is_data)
}

fn push(out: &mut Vec<Case>, parts: &[Part]) {
    let body: String = parts.iter().map(|(text, _)| *text).collect();
    let must = if parts.iter().all(|&(_, is_right)| is_right) { Must::Safe } else { Must::Refused };
    let head = "POST /case HTTP/1.1\r\nHost: a\r\nX-Case: {id}\r\nTransfer-Encoding: chunked\r\n\r\n";
    out.push(Case::new("a chunked body", must, format!("{head}{body}").into_bytes()));
}

/// The size of a chunk with `hello` in it.
const SIZES: &[Part] = &[
    ("5", true),
    ("05", true),
    ("0000005", true),
    ("+5", false),
    ("-5", false),
    ("0x5", false),
    ("5h", false),
    ("h", false),
    ("", false),
    (" 5", false),
    ("\t5", false),
    ("5_0", false),
    ("5.0", false),
    ("5,5", false),
    ("\"5\"", false),
    ("5\0", false),
    ("\x005", false),
    ("\x0b5", false),
    ("FFFFFFFFFFFFFFFF", false),
    ("FFFFFFFFFFFFFFFB", false),
    ("10000000000000005", false),
    ("00000000000000000000000000005", false),
    ("\u{ff15}", false),
    ("\u{665}", false),
    ("five", false),
    ("5\u{a0}", false),
];

const EXTENSIONS: &[Part] = &[
    ("", true),
    (";x", true),
    (";x=y", true),
    (";x=\"y\"", true),
    (";x;y=z", true),
    (" 6", false),
    (";x\0", false),
    (";x\r", false),
    (";x\n", false),
    (";x=\"\n\"", false),
    (";x=\"\r\"", false),
    (";\x0b", false),
    (";x\x7f", false),
    (",x", false),
    ("=x", false),
    ("x", false),
    (";x\x01=y", false),
    (";\x1b[2J", false),
];

/// What ends the line of a size.
const ENDS: &[Part] = &[
    ("\r\n", true),
    ("\n", false),
    ("\r", false),
    ("\r\r\n", false),
    ("\n\n", false),
    ("\n\r", false),
    ("\r\n\n", false),
    ("\r\n\r", false),
    ("\0\r\n", false),
    ("\x0b\r\n", false),
    ("\u{85}", false),
    ("", false),
];

/// The data of five bytes, and what ends it.
const DATA: &[Part] = &[
    ("hello\r\n", true),
    ("hello", false),
    ("hello\n", false),
    ("hello\r", false),
    ("hello\r\r\n", false),
    ("helloX\r\n", false),
    ("hell\r\n", false),
    ("helloXX", false),
    ("hello\n\r", false),
    ("hello \r\n", false),
    ("hello\0\r\n", false),
    ("hello\r\n\r\n", false),
];

const LASTS: &[Part] = &[
    ("0\r\n", true),
    ("000\r\n", true),
    ("0;x\r\n", true),
    ("5\r\nhello\r\n0\r\n", true),
    ("0\n", false),
    ("0\r", false),
    ("-0\r\n", false),
    ("+0\r\n", false),
    ("0x0\r\n", false),
    ("\r\n", false),
    ("0 0\r\n", false),
    ("0\0\r\n", false),
    ("0;\n\r\n", false),
    ("O\r\n", false),
    ("0\r\r\n", false),
    ("00000000000000000000000000\r\n", false),
];

const TRAILERS: &[Part] = &[
    ("", true),
    ("X-Sum: 1\r\n", true),
    ("X-Sum: 1\r\nX-More: 2\r\n", true),
    ("Content-Length: 5\r\n", false),
    ("Transfer-Encoding: chunked\r\n", false),
    ("Transfer_Encoding: chunked\r\n", false),
    ("Host: b\r\n", false),
    ("Connection: close\r\n", false),
    ("X-Forwarded-For: 6.6.6.6\r\n", false),
    ("X_Real_IP: 6.6.6.6\r\n", false),
    (" X: y\r\n", false),
    ("X : y\r\n", false),
    ("X: y\r\n z\r\n", false),
    ("X: \0\r\n", false),
    ("X: y\n", false),
    ("X: y\r", false),
    ("X: y\rY: z\r\n", false),
    ("X: y\nY: z\r\n", false),
    ("nonsense\r\n", false),
    (": x\r\n", false),
    ("X\0: y\r\n", false),
    ("X: \x7f\r\n", false),
    ("GET /hidden HTTP/1.1\r\n", false),
    ("\"X\": y\r\n", false),
    ("X\u{e9}: y\r\n", false),
];

/// The empty line, and a request behind it that is one in any case.
const BEHIND: &[Part] = &[
    ("\r\n", true),
    ("\r\nGET /hidden HTTP/1.1\r\nHost: a\r\nX-Case: {id}\r\n\r\n", true),
    ("\n", false),
    ("\r\r\n", false),
    ("\rX\r\n\r\n", false),
    (" \r\n\r\n", false),
];
