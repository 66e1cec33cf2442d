//! `foreword decode`: a header taken apart, in words or as JSON, one or a whole list of them.

mod lines;
mod show;
mod verdict;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use foreword::Looks;
use foreword::text::HexError;

use self::verdict::{Options, Verdict};
use crate::output::{Exit, Failure, answer};

/// Reads a PROXY header and says what it says, or what is wrong with it and where.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DecodeArgs {
    /// Hex digits, or a line that begins with `PROXY`; without it and --file, standard input is read
    #[arg(value_name = "HEADER", conflicts_with_all = ["file", "jsonl"])]
    input: Option<String>,

    /// Read this file, as bytes or as hex
    #[arg(long, value_name = "FILE", conflicts_with = "jsonl")]
    file: Option<PathBuf>,

    /// Take the input for bytes, whatever it looks like
    #[arg(long, conflicts_with_all = ["hex", "jsonl", "input"])]
    raw: bool,

    /// Take the input for hex, whatever it looks like
    #[arg(long, conflicts_with = "jsonl")]
    hex: bool,

    /// Answer with one JSON object
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,

    /// Read JSON objects, one a line, with `input_hex` and perhaps `id` and `opts`; answer with one a line
    #[arg(long)]
    jsonl: bool,

    /// Take the input for one datagram: what is incomplete is wrong
    #[arg(long, conflicts_with = "jsonl")]
    datagram: bool,

    /// Read the 38-byte header of the Simple Proxy Protocol
    #[arg(long, conflicts_with = "jsonl")]
    spp: bool,

    /// Refuse headers longer than this
    #[arg(long, value_name = "BYTES", conflicts_with = "jsonl", value_parser = verdict::max_len)]
    max_len: Option<usize>,
}

pub(crate) fn run(args: &DecodeArgs) -> Result<Exit, Failure> {
    if args.jsonl {
        return lines::answer(&mut io::stdin().lock(), &mut io::stdout().lock());
    }
    let bytes = input(args)?;
    if bytes.is_empty() {
        let error = "expected the bytes of a header, found none";
        return Err(Failure::new(Exit::NOT_ASKED, error));
    }
    let options = Options { max_header_len: args.max_len, datagram: args.datagram, spp: args.spp };
    let verdict = Verdict::of(&bytes, &options);
    let mut text = match args.json {
        true => show::json(&verdict).map_err(|error| Failure::new(Exit::NOT_ASKED, error))?,
        false => show::text(&verdict, &bytes),
    };
    text.push('\n');
    answer(if verdict.is_accepted() { Exit::DONE } else { Exit::NO }, &text)
}

/// The bytes in question, from wherever they are.
fn input(args: &DecodeArgs) -> Result<Vec<u8>, Failure> {
    if let Some(text) = &args.input {
        return argument(text, args.hex);
    }
    let unreadable = |what: String| move |source| Failure::new(Exit::NOT_ASKED, Unreadable { what, source });
    let mut bytes = Vec::new();
    match &args.file {
        Some(path) => {
            let what = format!("`{}`", path.display());
            let file = File::open(path).map_err(unreadable(what.clone()))?;
            file.take(MOST).read_to_end(&mut bytes).map_err(unreadable(what))?;
        }
        None => {
            let stdin = io::stdin().lock();
            if stdin.is_terminal() {
                let error = "expected a header as an argument, in --file, or on standard input";
                return Err(
                    Failure::new(Exit::NOT_ASKED, error).hint("see `foreword decode --help` for examples")
                );
            }
            stdin.take(MOST).read_to_end(&mut bytes).map_err(unreadable("standard input".to_owned()))?;
        }
    }
    if args.hex || (!args.raw && is_hex(&bytes)) {
        from_hex(&String::from_utf8_lossy(&bytes))
    } else {
        Ok(bytes)
    }
}

/// Hex digits; or a text, which may be the line that it should be. What begins like hex is meant so, and one of its letters is wrong.
fn argument(text: &str, is_hex: bool) -> Result<Vec<u8>, Failure> {
    if text.starts_with("PROXY") && !is_hex {
        return Ok(line(text));
    }
    let is_text = match foreword::text::hex(text) {
        Err(HexError::Letter { at: 0, .. }) => true,
        Err(_) => foreword::looks_like(text.as_bytes()) != Looks::Other,
        Ok(_) => false,
    };
    if is_text && !is_hex { Ok(text.as_bytes().to_owned()) } else { from_hex(text) }
}

/// A shell's argument can hardly hold a line end, so a line that has none gets the one it must have.
fn line(text: &str) -> Vec<u8> {
    let line = text.replace("\\r", "\r").replace("\\n", "\n");
    let end = if line.contains('\n') { "" } else { "\r\n" };
    [line.as_bytes(), end.as_bytes()].concat()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    foreword::text::hex(text).map_err(|error| {
        Failure::new(Exit::NOT_ASKED, error)
            .hint("bytes that are no hex come through --file or standard input")
    })
}

/// No header consists of hex digits and blanks alone: a line begins with `P`, and the signature holds a NUL.
fn is_hex(bytes: &[u8]) -> bool {
    let text = |byte: &u8| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace() || b"xX:,-_".contains(byte);
    bytes.iter().any(u8::is_ascii_hexdigit) && bytes.iter().all(text)
}

#[derive(Debug, thiserror::Error)]
#[error("could not read {what}")]
struct Unreadable {
    what: String,
    source: io::Error,
}

/// A header has 65551 bytes at the most; twice as many hex digits, blanks between them, and some payload.
const MOST: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  foreword decode 'PROXY TCP4 192.0.2.10 198.51.100.20 56324 443'
  foreword decode 0d0a0d0a000d0a515549540a20000000
  foreword encode --local | foreword decode
  foreword decode --json --file captured.bin

Exit codes: 0 it is a header; 1 it is malformed, incomplete, or none; 2 there was nothing to look at.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_hex_or_a_line() {
        assert_eq!(argument("0d0a", false).expect("hex"), b"\r\n");
        assert_eq!(argument("PROXY UNKNOWN", false).expect("a line"), b"PROXY UNKNOWN\r\n");
        assert_eq!(argument("PROXY UNKNOWN\\r\\nGET", false).expect("a line"), b"PROXY UNKNOWN\r\nGET");
        assert_eq!(argument("hello", false).expect("a text"), b"hello");
        assert_eq!(argument("DELETE / HTTP/1.1", false).expect("a text"), b"DELETE / HTTP/1.1");
        assert!(argument("0d0a0d0o", false).is_err());
        assert!(argument("hello", true).is_err());
    }

    #[test]
    fn hex_is_told_from_bytes_by_what_no_header_can_be() {
        assert!(is_hex(b"0d0a 0D0A\n"));
        assert!(!is_hex(b"PROXY UNKNOWN\r\n"));
        assert!(!is_hex(b"\r\n\r\n"));
        assert!(!is_hex(b"\r\n\r\n\0\r\nQUIT\n"));
    }
}
