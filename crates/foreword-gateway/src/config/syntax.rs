//! A file that is not TOML: the first thing that is wrong with it. What a parser says behind that follows from it.

use std::sync::Arc;

use toml::de::{DeTable, Error};

use super::document::Notes;
use super::problem::{Problem, ProblemKind};
use super::source::{Source, position};

/// Parses a file's TOML. What is wrong with its grammar is noted; what could be read is returned all the same.
pub(crate) fn parse<'s>(source: &'s Arc<Source>, notes: &Notes) -> DeTable<'s> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let start = |error: &Error| error.span().map_or(0, |span| span.start);
    if let Some(first) = errors.iter().min_by_key(|error| start(error)) {
        notes.problem(problem(source, start(first), first.message()));
    }
    table.into_inner()
}

fn problem(source: &Source, at: usize, message: &str) -> Problem {
    let text = source.text();
    let told = |at: usize, message: String| {
        let problem = Problem::of_file(source.name(), ProblemKind::Syntax, format!("not TOML: {message}"));
        problem.at(position(text, at), "")
    };
    if let Some(open) = unclosed(text, at) {
        let (what, close) = if open.list { ("array", ']') } else { ("inline table", '}') };
        let (line, _) = position(text, at);
        let found = match text.get(at..).is_some_and(|rest| !rest.trim().is_empty()) {
            true => format!("line {line}"),
            false => "the end of the file".to_owned(),
        };
        return told(open.at, format!("unclosed {what}: expected `{close}` before {found}"));
    }
    let problem = told(at, message.trim().replace('\n', ", "));
    match is_condition(text, at) {
        true => problem.hint(
            "write conditions in single quotes, and the texts in them in double quotes: \
             `when = 'host == \"www.example.com\"'`",
        ),
        false => problem,
    }
}

/// Whether the value that the byte `at` belongs to is that of a `when`.
fn is_condition(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.match_indices("when").any(|(start, word)| {
        let alone = !line.get(..start).is_some_and(|left| left.ends_with(is_key_letter));
        let after = line.get(start + word.len()..).unwrap_or_default();
        alone && after.trim_start().starts_with('=')
    })
}

/// A bracket that is open.
#[derive(Clone, Copy)]
struct Open {
    at: usize,
    list: bool,
}

/// The bracket that is open at the byte `at`, if what stands there can only come behind its end.
fn unclosed(text: &str, at: usize) -> Option<Open> {
    let open = innermost_open(text.get(..at)?)?;
    let rest = text.get(at..).unwrap_or_default();
    let begins_line = text.get(..at)?.rsplit('\n').next()?.trim().is_empty();
    let elsewhere = rest.trim().is_empty() || begins_line && begins_statement(rest);
    elsewhere.then_some(open)
}

/// Whether a line begins as `[table]` or `key =` do.
fn begins_statement(line: &str) -> bool {
    let line = line.lines().next().unwrap_or_default().trim();
    if let Some(header) = line.strip_prefix('[') {
        return header.trim_start_matches('[').starts_with(is_key_letter) && header.contains(']');
    }
    let key = line.trim_start_matches(|letter| is_key_letter(letter) || letter == '.');
    key.len() < line.len() && key.trim_start().starts_with('=')
}

fn is_key_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

/// The last bracket of a value in `text` that nothing closes.
fn innermost_open(text: &str) -> Option<Open> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    let mut begins_line = true;
    while let Some(rest) = text.get(at..)
        && let Some(letter) = rest.chars().next()
    {
        at += match letter {
            '#' => line_len(rest),
            // The head of a table is no array.
            '[' if begins_line && open.is_empty() => line_len(rest),
            '"' | '\'' => string_len(rest),
            _ => letter.len_utf8(),
        };
        match letter {
            '[' if !(begins_line && open.is_empty()) => open.push(Open { at: at - 1, list: true }),
            '{' => open.push(Open { at: at - 1, list: false }),
            ']' | '}' => drop(open.pop()),
            _ => {}
        }
        begins_line = letter == '\n' || begins_line && letter.is_whitespace();
    }
    open.last().copied()
}

fn line_len(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// The length of the string that `text` begins with, or of its line if the string has no end.
fn string_len(text: &str) -> usize {
    let quote = text.get(..1).unwrap_or_default();
    let many = text.get(..3).filter(|start| *start == quote.repeat(3));
    let quote = many.unwrap_or(quote);
    let mut at = quote.len();
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        match rest.chars().next() {
            _ if rest.starts_with(quote) => return at + quote.len(),
            Some('\n') if many.is_none() => return at,
            Some('\\') if quote.starts_with('"') => {
                at += 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
            }
            letter => at += letter.map_or(1, char::len_utf8),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;

    fn told(text: &str) -> String {
        parse(text, "f", Path::new("")).expect_err("it is not TOML").to_string()
    }

    #[test]
    fn one_missing_bracket_is_one_problem_where_it_was_opened() {
        for (text, expected) in [
            (
                "[l]\nbind = [\"[::]:1\" # one\nmode = \"http\"\n[[l.rule]]\nwhen = 'a'\n",
                "f:2:8: not TOML: unclosed array: expected `]` before line 3",
            ),
            ("a = [1, 2\n", "f:1:5: not TOML: unclosed array: expected `]` before the end of the file"),
            ("a = [[1], [2\n\n[x]\nb = 1", "f:1:11: not TOML: unclosed array: expected `]` before line 3"),
            (
                "a = { b = 1\n[x]\nc = 1\n",
                "f:1:5: not TOML: unclosed inline table: expected `}` before line 2",
            ),
            ("a = [\n'x'\n'y'\n]", "f:3:1: not TOML: missing comma between array elements, expected `,`"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn a_condition_in_the_wrong_quotes_is_shown_the_right_ones() {
        for when in [
            "\"path.under(\"/admin\")\"",
            "'path.under('/admin')'",
            "path.under(\"/admin\")",
            "host == \"a\"",
        ] {
            for text in [format!("[l]\nwhen = {when}\n"), format!("r = [{{ when = {when} }}]\n")] {
                let told = told(&text);
                assert!(told.contains("hint: write conditions in single quotes"), "{text}: {told}");
            }
        }
        assert!(!told("whenever = a\n").contains("hint"));
    }
}
