//! Field lines: found one after the other, and written out again.

use crate::field::{Field, FieldSpan, Name, NameSet};
use crate::scan::{token_len, value_len};
use crate::span::Span;

/// Indexes the field lines of a head from `start` on, and tells where its empty line ends and which names there are.
///
/// `None` where there is no whole field line or empty line, or where there are more fields than `most`. Each line must end
/// in CR LF and hold no other control byte but tabs, and no white space may stand before the colon, RFC 9112 §5.
pub(crate) fn index_fields(
    head: &[u8],
    start: usize,
    most: usize,
    index: &mut Vec<FieldSpan>,
) -> Option<(usize, NameSet)> {
    let mut names = NameSet::default();
    let mut rest = head.get(start..)?;
    loop {
        let at = head.len() - rest.len();
        if let [b'\r', b'\n', ..] = rest {
            return Some((at + 2, names));
        }
        let (name, behind) = rest.split_at_checked(token_len(rest)).filter(|(name, _)| !name.is_empty())?;
        let value = behind.strip_prefix(b":").filter(|_| index.len() < most)?;
        let (blank, value) = value.split_at_checked(blanks_before(value))?;
        let (value, end) = value.split_at_checked(value_len(value))?;
        let [b'\r', b'\n', next @ ..] = end else { return None };
        let trimmed = blanks_behind(value);
        let name_end = at + name.len();
        let value_at = name_end + 1 + blank.len();
        let known = Name::of(name);
        names.insert(known);
        index.push(FieldSpan {
            name: Span::new(at, name_end),
            value: Span::new(value_at, value_at + value.len() - trimmed),
            known,
            is_usual: matches!(blank, [b' ']) && trimmed == 0,
        });
        rest = next;
    }
}

/// How many blanks a value begins with: nearly always one.
fn blanks_before(value: &[u8]) -> usize {
    match value {
        [b' ', next, ..] if !is_blank(next) => 1,
        _ => value.iter().take_while(|byte| is_blank(byte)).count(),
    }
}

/// How many blanks it ends with: nearly always none.
fn blanks_behind(value: &[u8]) -> usize {
    match value {
        [.., last] if !is_blank(last) => 0,
        _ => value.iter().rev().take_while(|byte| is_blank(byte)).count(),
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Writes the field lines that `passes` lets through, in order, as `Name: value`.
///
/// Nearly all are spelled so already: those that stand together are copied together.
pub(crate) fn write_fields<'b>(
    head: &'b [u8],
    index: &[FieldSpan],
    passes: impl Fn(&Field<'b>) -> bool,
    out: &mut Vec<u8>,
) {
    let mut run = 0..0;
    for span in index {
        let field = span.of(head);
        if !passes(&field) {
            continue;
        }
        if !span.is_usual {
            out.extend_from_slice(head.get(std::mem::take(&mut run)).unwrap_or_default());
            for part in [field.name, b": ", field.value, b"\r\n"] {
                out.extend_from_slice(part);
            }
            continue;
        }
        if run.end != span.name.start() {
            out.extend_from_slice(head.get(run).unwrap_or_default());
            run = span.name.start()..span.name.start();
        }
        run.end = span.value.end() + 2;
    }
    out.extend_from_slice(head.get(run).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(lines: &str) -> Option<(Vec<FieldSpan>, usize)> {
        let mut index = Vec::new();
        let (end, _) = index_fields(lines.as_bytes(), 0, 100, &mut index)?;
        Some((index, end))
    }

    fn written(lines: &str, passes: impl Fn(&[u8]) -> bool) -> String {
        let (index, _) = index(lines).unwrap();
        let mut out = b"before ".to_vec();
        write_fields(lines.as_bytes(), &index, |field| passes(field.name), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_written_in_their_usual_spelling_and_in_order() {
        let lines = "A: 1\r\nB:2\r\nC:  3 \r\nD: \t4\r\nE: 5\t\r\nF:\r\nG: \r\nH: 8\r\nI: 9\r\n\r\nA: 2\r\n";
        assert_eq!(
            written(lines, |_| true),
            "before A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: \r\nG: \r\nH: 8\r\nI: 9\r\n"
        );
        assert_eq!(
            written(lines, |name| b"ACHI".contains(&name[0])),
            "before A: 1\r\nC: 3\r\nH: 8\r\nI: 9\r\n"
        );
        assert_eq!(written(lines, |name| b"BI".contains(&name[0])), "before B: 2\r\nI: 9\r\n");
        assert_eq!(written(lines, |_| false), "before ");
    }

    #[test]
    fn only_an_empty_line_ends_the_fields() {
        let lines = "A: 1\r\nB: 2\r\n\r\n";
        for len in 0..lines.len() {
            assert!(index(&lines[..len]).is_none(), "{len}");
        }
        assert_eq!(index(lines).unwrap().1, lines.len());
        assert_eq!(index("\r\nA: 1\r\n").unwrap().1, 2);
    }
}
