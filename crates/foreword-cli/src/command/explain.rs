//! `foreword explain`: what a refusal's code means, why it happens, what to do.

use std::fmt;

use clap::Args;
use foreword_gateway::refusal::Code;
use serde_json::json;

use crate::output::{Exit, Failure, answer};

/// Says what a refusal's code means, why it happens, and what to do.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  foreword explain FW101\n  foreword explain 101 --json\n  foreword explain"
)]
pub(crate) struct ExplainArgs {
    /// The code, with or without its letters; without one, all are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,

    /// Answer with JSON: one object, or a list of them
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let text = match &args.code {
        Some(text) => {
            let code = Code::parse(text).ok_or_else(|| unknown(text))?;
            if args.json { format!("{:#}\n", as_json(code)) } else { page(code) }
        }
        None if args.json => {
            format!("{:#}\n", Code::ALL.iter().copied().map(as_json).collect::<serde_json::Value>())
        }
        None => list(),
    };
    answer(Exit::DONE, &text)
}

fn unknown(text: &str) -> Failure {
    let failure = Failure::new(Exit::NOT_ASKED, UnknownCode(text.to_owned()));
    match nearest(text) {
        Some(code) => {
            failure.hint(format!("did you mean {code}, {}? `foreword explain` lists all", code.title()))
        }
        None => failure.hint("`foreword explain` lists all codes"),
    }
}

/// The code with the nearest number, if the text has a number at all.
fn nearest(text: &str) -> Option<Code> {
    let digits = text.trim_start_matches(|char: char| !char.is_ascii_digit());
    let number: u16 = digits.parse().ok()?;
    Code::ALL.iter().copied().min_by_key(|code| code.number().abs_diff(number))
}

/// A code that is none of ours.
#[derive(Debug)]
struct UnknownCode(String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a code such as FW101, found `{}`", self.0.escape_debug())
    }
}

impl std::error::Error for UnknownCode {}

fn page(code: Code) -> String {
    let page = code.page();
    let mut text = wrapped(&format!("{code}: {}", code.title()), "");
    for (heading, paragraph) in
        [("What happened", page.meaning), ("Why it happens", page.cause), ("What to do", page.remedy)]
    {
        text.push_str(&format!("\n{heading}\n{}", wrapped(paragraph, "  ")));
    }
    if let Some(requirement) = code.requirement() {
        text.push_str(&format!("\nIt rests on {requirement} of docs/spec.md.\n"));
    }
    text
}

fn list() -> String {
    let line = |code: &Code| format!("{code}  {}\n", code.title());
    Code::ALL.iter().map(line).collect()
}

fn as_json(code: Code) -> serde_json::Value {
    let page = code.page();
    json!({
        "code": code.to_string(),
        "title": code.title(),
        "meaning": page.meaning,
        "cause": page.cause,
        "remedy": page.remedy,
        "requirement": code.requirement(),
    })
}

/// Breaks a paragraph into lines that fit a terminal, each behind `margin`.
fn wrapped(paragraph: &str, margin: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in paragraph.split(' ') {
        let width = word.chars().count();
        if column == 0 {
            text.push_str(margin);
            column = margin.len();
        } else if column + 1 + width > COLUMNS {
            text.push('\n');
            text.push_str(margin);
            column = margin.len();
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
    text
}

const COLUMNS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_fits_into_80_columns_and_loses_no_word() {
        for &code in Code::ALL {
            let text = page(code);
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
            let written = words(&text);
            let page = code.page();
            for paragraph in [code.title(), page.meaning, page.cause, page.remedy] {
                assert!(written.contains(&words(paragraph)), "{text}");
            }
        }
        assert!(list().lines().all(|line| line.chars().count() <= COLUMNS));
    }

    #[test]
    fn an_unknown_code_is_met_with_the_nearest_one() {
        assert_eq!(nearest("FW118"), Some(Code::HeaderChain));
        assert_eq!(nearest("fw400"), Some(Code::MalformedHead));
        assert_eq!(nearest("help"), None);
    }
}
