//! The answer about one header for a person, or for a program.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use foreword::{Looks, Malformed, Version};
use serde::Serialize;

use super::verdict::{Fields, Outcome, Verdict};
use crate::args::hex;
use crate::output::anatomy::{self, PER_LINE};

/// The fields of a vector, and what is wrong or missing.
#[derive(Debug, Serialize)]
struct Page {
    #[serde(flatten)]
    fields: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<NonZeroUsize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
}

#[derive(Debug, Serialize)]
struct Wrong {
    offset: usize,
    message: String,
    requirement: &'static str,
}

/// One JSON object.
pub(super) fn json(verdict: &Verdict<'_>) -> serde_json::Result<String> {
    let mut page = Page { fields: verdict.fields(), needed: None, error: None };
    match &verdict.outcome {
        Outcome::Rejected(malformed) => {
            page.error = Some(Wrong {
                offset: malformed.offset(),
                message: malformed.fault().to_string(),
                requirement: malformed.requirement(),
            });
        }
        Outcome::NeedMore(needed) => page.needed = Some(*needed),
        Outcome::Accepted(..) | Outcome::AcceptedSpp(_) => {}
    }
    serde_json::to_string(&page)
}

/// A few lines, or a page: what it is, and its bytes part by part.
pub(super) fn text(verdict: &Verdict<'_>, bytes: &[u8]) -> String {
    match &verdict.outcome {
        Outcome::Accepted(header, len) => {
            let (own, payload) = bytes.split_at_checked(*len).unwrap_or((bytes, &[]));
            let mut text =
                format!("{} header of {len} bytes: {}\n\n", header.version, anatomy::kind_of(header));
            for part in anatomy::parts(header, own) {
                let bytes = own.get(part.at..part.at + part.len).unwrap_or_default();
                push_part(&mut text, header.version, part.at, bytes, &part.meaning);
            }
            push_payload(&mut text, payload);
            text.trim_end().to_owned()
        }
        Outcome::AcceptedSpp(spp) => {
            format!("Simple Proxy Protocol header of 38 bytes\n\nclient {}\nproxy  {}", spp.client, spp.proxy)
        }
        Outcome::NeedMore(needed) => {
            let bytes_word = if needed.get() == 1 { "byte is" } else { "bytes are" };
            format!(
                "incomplete: nothing is wrong with these {} bytes, but at least {needed} more {bytes_word} needed",
                bytes.len()
            )
        }
        Outcome::Rejected(malformed) => {
            let what = wrong(bytes, verdict.announced.is_some(), malformed);
            format!("{what} [{}]\n\n{}", malformed.requirement(), pointed(bytes, malformed))
        }
    }
}

/// What is wrong. A `POST` begins like a header, too, and is none.
fn wrong(bytes: &[u8], begins_like_one: bool, malformed: &Malformed) -> String {
    match foreword::looks_like(bytes) {
        looks @ (Looks::Http | Looks::Http2Preface | Looks::TlsClientHello) => {
            format!("no PROXY header: expected one, found {looks}")
        }
        _ if begins_like_one => format!("malformed: {malformed}"),
        _ => format!("no PROXY header: {malformed}"),
    }
}

/// `offset  bytes  meaning`; more bytes than fit go on below. A line is text, and shown as it.
fn push_part(text: &mut String, version: Version, at: usize, bytes: &[u8], meaning: &str) {
    for (index, row) in bytes.chunks(PART_ROW).take(PART_ROWS).enumerate() {
        let said = if index == 0 { meaning } else { "" };
        let shown = match version {
            Version::One => row.escape_ascii().to_string(),
            Version::Two => hex::text(row),
        };
        let line = format!("{:5}  {shown:<24}  {said}", at + index * PART_ROW);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if bytes.len() > PART_ROW * PART_ROWS {
        let _ = writeln!(text, "       … {} bytes more", bytes.len() - PART_ROW * PART_ROWS);
    }
}

fn push_payload(text: &mut String, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    let shown = payload.get(..payload.len().min(PAYLOAD_SHOWN)).unwrap_or_default();
    let dots = if shown.len() < payload.len() { "…" } else { "" };
    let looks = foreword::looks_like(payload);
    let _ = write!(text, "\n{} bytes follow, {looks}: `{}{dots}`", payload.len(), shown.escape_ascii());
}

/// The place of a fault: the bytes around it, and a caret under the one in question.
fn pointed(bytes: &[u8], malformed: &Malformed) -> String {
    let at = malformed.offset();
    if bytes.starts_with(b"PROXY") { pointed_text(bytes, at) } else { pointed_hex(bytes, at) }
}

/// A line as text; letters that have no glyph are escaped, and take the room that their escape takes.
fn pointed_text(bytes: &[u8], at: usize) -> String {
    let escape = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let from = at.saturating_sub(LINE_BEFORE);
    let dots = if from > 0 { "…" } else { "" };
    let before = escape(bytes.get(from..at.min(bytes.len())).unwrap_or_default());
    let rest = bytes.get(at.min(bytes.len())..).unwrap_or_default();
    let shown = escape(rest.get(..rest.len().min(LINE_AFTER)).unwrap_or_default());
    let more = if rest.len() > LINE_AFTER { "…" } else { "" };
    let indent = dots.chars().count() + before.len();
    let width = rest.first().map_or(1, |byte| byte.escape_ascii().count());
    format!("  {dots}{before}{shown}{more}\n  {:indent$}{}", "", "^".repeat(width))
}

/// The row of hex that the byte is in, with the rows around it.
fn pointed_hex(bytes: &[u8], at: usize) -> String {
    let row = at / PER_LINE;
    let mut lines = anatomy::hex_lines(bytes);
    if lines.len() <= row {
        // The fault is that nothing is there.
        lines.resize(row + 1, format!("{:04x}", row * PER_LINE));
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate().skip(row.saturating_sub(1)).take(3) {
        let _ = writeln!(text, "  {}", line.trim_end());
        if index == row {
            let indent = HEX_INDENT + at % PER_LINE * 3;
            let _ = writeln!(text, "{:indent$}^^", "");
        }
    }
    text.trim_end().to_owned()
}

/// How many bytes of a part stand in a row, and how many rows are shown.
const PART_ROW: usize = 12;
const PART_ROWS: usize = 4;
const PAYLOAD_SHOWN: usize = 40;
/// How much of a line is shown before and behind a fault.
const LINE_BEFORE: usize = 60;
const LINE_AFTER: usize = 40;
/// Where hex begins in a row: two blanks, four digits, two blanks.
const HEX_INDENT: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::verdict::Options;
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        text(&Verdict::of(bytes, &Options::default()), bytes)
    }

    #[test]
    fn a_caret_stands_under_the_byte_in_question() {
        let said = shown(b"PROXY TCP4 192.0.02.10 198.51.100.20 1 2\r\n");
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[0].starts_with("malformed: byte 18"), "{said}");
        assert_eq!(lines[2].find("2.10 198"), lines[3].find('^'), "{said}");
    }

    #[test]
    fn a_caret_stands_under_a_byte_of_hex() {
        let said = shown(b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c");
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[0].starts_with("malformed: byte 12"), "{said}");
        assert_eq!(lines[2].find("31 11"), lines[3].find("^^"), "{said}");
    }

    #[test]
    fn what_is_incomplete_says_how_much_is_missing() {
        assert_eq!(
            shown(b"\r\n\r\n"),
            "incomplete: nothing is wrong with these 4 bytes, but at least 12 more bytes are needed"
        );
    }

    #[test]
    fn what_comes_in_place_of_a_header_is_named() {
        for (bytes, said) in [
            (&b"GET / HTTP/1.1"[..], "expected one, found an HTTP request"),
            (b"POST / HTTP/1.1\r\n", "expected one, found an HTTP request"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "expected one, found an HTTP/2 preface"),
            (b"\x16\x03\x01\x00\x05\x01", "expected one, found a TLS ClientHello"),
            (b"xyz", "byte 0: expected a PROXY header, found `x`"),
        ] {
            let shown = shown(bytes);
            assert!(shown.starts_with(&format!("no PROXY header: {said} [R-")), "{shown}");
        }
    }

    #[test]
    fn payload_is_named_and_not_taken_for_header() {
        let said = shown(b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n");
        assert!(said.ends_with("16 bytes follow, an HTTP request: `GET / HTTP/1.1\\r\\n`"), "{said}");
    }
}
