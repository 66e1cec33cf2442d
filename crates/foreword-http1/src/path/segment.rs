//! One segment of a path: its bytes settled, its kind told.

use super::{EncodedSlash, PathError, PathFault, PathPolicy};

/// What a segment does to the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Dot,
    DotDot,
    Named,
}

/// Appends `segment`, which begins at byte `start` of the target, in its one spelling.
pub(super) fn write_segment(
    segment: &str,
    start: usize,
    policy: &PathPolicy,
    out: &mut String,
) -> Result<Kind, PathError> {
    let from = out.len();
    let mut rest = segment.as_bytes();
    while let Some(&byte) = rest.first() {
        let fault = |fault| PathError { at: start + segment.len() - rest.len(), fault };
        let len = match byte {
            b'%' => write_encoded(rest, policy, out).map_err(fault)?,
            byte if is_segment_byte(byte) => {
                out.push(char::from(byte));
                1
            }
            // Browsers send these as they are; encoded, all servers read them alike.
            b'^' | b'`' | b'{' | b'|' | b'}' | b'[' | b']' => {
                push_encoded(byte, out);
                1
            }
            byte => return Err(fault(PathFault::Byte(byte))),
        };
        rest = rest.get(len..).unwrap_or_default();
    }
    let written = out.get(from..).unwrap_or_default();
    kind(written, policy).map_err(|fault| PathError { at: start, fault })
}

/// Settles the percent-encoding that `rest` begins with, and tells how many bytes it took.
fn write_encoded(rest: &[u8], policy: &PathPolicy, out: &mut String) -> Result<usize, PathFault> {
    let byte = decode(rest).ok_or(PathFault::Percent)?;
    match byte {
        byte if is_unreserved(byte) => out.push(char::from(byte)),
        b'/' | b'\\' if policy.encoded_slash == EncodedSlash::Refuse => return Err(PathFault::EncodedSlash),
        0..0x20 | 0x7f => return Err(PathFault::EncodedControl),
        0x80.. => return write_beyond_ascii(rest, byte, out),
        byte => push_encoded(byte, out),
    }
    Ok(3)
}

/// Settles one encoded character beyond ASCII: it must be whole, and UTF-8 in its shortest form.
fn write_beyond_ascii(rest: &[u8], lead: u8, out: &mut String) -> Result<usize, PathFault> {
    let len = match lead {
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Err(PathFault::Utf8),
    };
    let mut bytes = [0; 4];
    for (place, encoded) in bytes.iter_mut().take(len).zip(rest.chunks(3)) {
        *place = decode(encoded).ok_or(PathFault::Utf8)?;
    }
    let bytes = bytes.get(..len).unwrap_or_default();
    match str::from_utf8(bytes).ok().and_then(|text| text.chars().next()) {
        None => Err(PathFault::Utf8),
        Some(c) if c.is_control() => Err(PathFault::EncodedControl),
        Some(_) => {
            bytes.iter().for_each(|&byte| push_encoded(byte, out));
            Ok(len * 3)
        }
    }
}

/// Tells what a written segment is, and refuses those that servers tell apart.
fn kind(written: &str, policy: &PathPolicy) -> Result<Kind, PathFault> {
    match written {
        "" => return Ok(Kind::Empty),
        "." => return Ok(Kind::Dot),
        ".." => return Ok(Kind::DotDot),
        _ => {}
    }
    if params(written).is_some_and(|params| first_of(params, ["%2F", "%5C"]).is_some()) {
        // Some servers drop `;params` before they decode, and would not see that a segment begins there.
        return Err(PathFault::EncodedSlash);
    }
    if pieces(written, policy.encoded_slash).any(|piece| matches!(without_params(piece), "." | "..")) {
        return Err(PathFault::DotSegment);
    }
    let mut rest = written;
    while let Some((_, after)) = rest.split_once("%25") {
        if decode_pair(after.as_bytes()).is_some_and(is_settled) {
            return Err(PathFault::DoubleEncoding);
        }
        rest = after;
    }
    Ok(Kind::Named)
}

/// Whether an encoding of this byte is never needed a second time, or would be refused the first time.
///
/// `%25` before two digits that encode something else, as in a name like `100%25ab`, is what it says.
fn is_settled(byte: u8) -> bool {
    is_unreserved(byte) || byte.is_ascii_control() || b"/\\%;?#".contains(&byte)
}

/// Appends what rules see of a path in its one spelling.
pub(super) fn write_matched(path: &str, policy: &PathPolicy, out: &mut String) {
    let mut ends_open = true;
    for piece in path.split('/').skip(1).flat_map(|segment| pieces(segment, policy.encoded_slash)) {
        let name = without_params(piece);
        ends_open = name.is_empty();
        if !ends_open {
            out.push('/');
            write_name(name, out);
        }
    }
    if ends_open {
        out.push('/');
    }
    if policy.ignore_case {
        out.make_ascii_lowercase();
    }
}

fn write_name(name: &str, out: &mut String) {
    let mut rest = name;
    while let Some((plain, after)) = rest.split_once('%') {
        out.push_str(plain);
        match decode_pair(after.as_bytes()) {
            Some(byte) if b"!$&'()*+,=:@".contains(&byte) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(after.get(..2).unwrap_or_default());
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The parts of a segment that some servers take for segments: none but itself, unless encoded slashes are kept.
fn pieces(segment: &str, encoded_slash: EncodedSlash) -> impl Iterator<Item = &str> {
    let mut rest = Some(segment);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = match encoded_slash {
            EncodedSlash::Refuse => None,
            EncodedSlash::Keep => first_of(text, ["%2F", "%5C"]),
        };
        rest = at.and_then(|at| text.get(at + 3..));
        text.get(..at.unwrap_or(text.len()))
    })
}

/// The segment up to its first `;`, encoded or not: some servers decode before they look for it. The same servers end
/// the path at an encoded `?` or `#`.
fn without_params(segment: &str) -> &str {
    let end = first_of(segment, [";", "%3B", "%3F", "%23"]).unwrap_or(segment.len());
    segment.get(..end).unwrap_or_default()
}

/// The segment from its first `;` on, encoded or not.
fn params(segment: &str) -> Option<&str> {
    segment.get(first_of(segment, [";", "%3B"])?..)
}

fn first_of<const N: usize>(text: &str, needles: [&str; N]) -> Option<usize> {
    needles.iter().filter_map(|needle| text.find(needle)).min()
}

/// The byte of `%XX` at the beginning.
fn decode(encoded: &[u8]) -> Option<u8> {
    encoded.strip_prefix(b"%").and_then(decode_pair)
}

fn decode_pair(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

fn push_encoded(byte: u8, out: &mut String) {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0').to_ascii_uppercase();
    out.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// `pchar` without percent-encodings, RFC 3986 §3.3.
fn is_segment_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}
