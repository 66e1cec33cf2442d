//! `--jsonl`: a question a line, an answer a line, in the same order, whatever a line holds.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::verdict::{self, Fields, Options, Verdict};
use crate::output::{Exit, Failure};

/// A question.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `input_hex`")]
struct Question {
    input_hex: String,
    opts: Option<Opts>,
}

/// What is not default about it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `max_header_len`, `context` or `format`")]
struct Opts {
    max_header_len: Option<u64>,
    context: Option<Context>,
    format: Option<FormatName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Context {
    Stream,
    Datagram,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    Proxy,
    Spp,
}

/// An answer; its id is null where none could be read.
#[derive(Debug, Serialize)]
struct Answer {
    id: Value,
    #[serde(flatten)]
    said: Said,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Said {
    Fields(Fields),
    Error { error: String },
}

/// Answers each line as it comes. Blank lines are no questions.
pub(super) fn answer(questions: &mut impl BufRead, answers: &mut impl Write) -> Result<Exit, Failure> {
    let mut answers = io::BufWriter::new(answers);
    let mut line = Vec::new();
    loop {
        let whole = match next_line(questions, &mut line).map_err(unreadable)? {
            Line::End => break,
            Line::Whole => true,
            Line::TooLong => false,
        };
        if whole && line.trim_ascii().is_empty() {
            continue;
        }
        let said = if whole { reply(&line) } else { too_long() };
        serde_json::to_writer(&mut answers, &said).map_err(|error| Failure::write(error.into()))?;
        answers.write_all(b"\n").map_err(Failure::write)?;
        // Whoever asks one at a time waits for the answer before the next question.
        answers.flush().map_err(Failure::write)?;
    }
    Ok(Exit::DONE)
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads a line, but keeps no more of it than a question can have.
fn next_line(questions: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut too_long = false;
    loop {
        let available = match questions.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(match (too_long, line.is_empty()) {
                (true, _) => Line::TooLong,
                (false, true) => Line::End,
                (false, false) => Line::Whole,
            });
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        too_long |= line.len() + taken > LONGEST;
        if !too_long {
            line.extend_from_slice(available.get(..taken).unwrap_or_default());
        }
        questions.consume(taken);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

fn reply(line: &[u8]) -> Answer {
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => {
            return Answer { id: Value::Null, said: wrong(format!("expected a JSON object: {error}")) };
        }
    };
    if !value.is_object() {
        return Answer { id: Value::Null, said: wrong("expected a JSON object with `input_hex`".to_owned()) };
    }
    let id = value.get("id").cloned().unwrap_or_default();
    let said =
        serde_json::from_value(value).map_err(|error| error.to_string()).and_then(|question| look(&question));
    Answer { id, said: said.map_or_else(wrong, Said::Fields) }
}

fn look(question: &Question) -> Result<Fields, String> {
    let bytes = foreword::text::hex(&question.input_hex).map_err(|error| format!("input_hex: {error}"))?;
    let opts = question.opts.unwrap_or_default();
    let max_header_len = match opts.max_header_len {
        Some(len) => {
            Some(verdict::max_len(&len.to_string()).map_err(|error| format!("max_header_len: {error}"))?)
        }
        None => None,
    };
    let options = Options {
        max_header_len,
        datagram: opts.context == Some(Context::Datagram),
        spp: opts.format == Some(FormatName::Spp),
    };
    Ok(Verdict::of(&bytes, &options).fields())
}

fn wrong(error: String) -> Said {
    Said::Error { error }
}

fn too_long() -> Answer {
    Answer {
        id: Value::Null,
        said: wrong(format!("expected a line of at most {LONGEST} bytes, found a longer one")),
    }
}

fn unreadable(source: io::Error) -> Failure {
    Failure::new(Exit::NOT_ASKED, super::Unreadable { what: "standard input".to_owned(), source })
}

/// The longest header in hex, some payload, and what else a line may hold.
const LONGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(questions: &str) -> Vec<Value> {
        let mut out = Vec::new();
        let exit = answer(&mut questions.as_bytes(), &mut out).expect("answers");
        assert_eq!(exit, Exit::DONE);
        let text = String::from_utf8(out).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_bad_line_is_answered_and_does_not_stop_the_rest() {
        let said = answers(
            "{\"id\":1,\"input_hex\":\"50\"}\nnonsense\n\n{\"id\":{\"a\":2}}\n{\"id\":3,\"input_hex\":\"5\"}\n[1]\n\
             {\"id\":4,\"input_hex\":\"\",\"opts\":{\"contxt\":\"datagram\"}}\n{\"id\":5,\"input_hex\":\"58\"}",
        );
        assert_eq!(said.len(), 7);
        assert_eq!((&said[0]["id"], &said[0]["expect"]), (&Value::from(1), &Value::from("need_more")));
        assert!(said[1]["error"].is_string() && said[1]["id"].is_null());
        assert_eq!(said[2]["id"]["a"], 2);
        assert!(said[2]["error"].as_str().expect("a reason").contains("input_hex"));
        assert_eq!((&said[3]["id"], said[3]["error"].is_string()), (&Value::from(3), true));
        assert!(said[4]["error"].is_string());
        assert!(said[5]["error"].as_str().expect("a reason").contains("contxt"));
        assert_eq!((&said[6]["id"], &said[6]["expect"]), (&Value::from(5), &Value::from("reject")));
    }

    #[test]
    fn options_that_are_null_are_the_default() {
        let said = answers("{\"input_hex\":\"50\",\"opts\":null}\r\n[]\n{\"input_hex\":\"50\",\"opts\":[]}");
        assert_eq!((&said[0]["id"], &said[0]["expect"]), (&Value::Null, &Value::from("need_more")));
        assert_eq!(said[1]["error"], "expected a JSON object with `input_hex`");
        assert!(said[2]["error"].as_str().expect("a reason").contains("an object with `max_header_len`"));
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let said = answers(&format!("{}\n{{\"input_hex\":\"50\"}}\n", "x".repeat(LONGEST + 1)));
        assert!(said[0]["error"].as_str().expect("a reason").contains("at most"));
        assert_eq!(said[1]["expect"], "need_more");
    }

    #[test]
    fn an_answer_has_every_field_that_a_vector_has() {
        let said = answers("{\"id\":\"a\",\"input_hex\":\"50524f585920554e4b4e4f574e0d0a\"}");
        let expected = serde_json::json!({
            "id": "a", "expect": "accept", "version": 1, "command": "PROXY", "family": "UNSPEC",
            "transport": "UNSPEC", "src": null, "dst": null, "tlvs": [], "header_len": 15,
        });
        assert_eq!(said, [expected]);
    }
}
