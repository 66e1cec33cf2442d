//! A file's text, and the places in it.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foreword_rule::RuleError;
use rustix::fs::OFlags;

use super::problem::{Problem, ProblemKind};

/// A file as it was read, and the folder that its relative paths start at.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    folder: PathBuf,
    text: String,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, folder: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { name: name.into(), folder: folder.into(), text: text.into() }
    }

    /// Reads the file that somebody names to the program. It may come through a pipe, which is waited for.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        Self::of_bytes(path, read_up_to(path, || File::open(path), MAX_LEN)?)
    }

    /// Reads a file that a configuration names, now or when it changes.
    pub(crate) fn read_named(path: &Path) -> Result<Self, Problem> {
        Self::of_bytes(path, read_bytes(path, MAX_LEN)?)
    }

    /// What it is when it is no text has a message of its own each.
    fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Problem> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let before =
                String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
            let message = "expected UTF-8 text, found other bytes";
            Problem::of_file(path.display(), ProblemKind::Unreadable, message)
                .at(position(&before, before.len()), "")
        })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self::new(path.display().to_string(), folder, text))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A path of the file: relative ones start at its folder.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }
}

/// Reads a file of at most so many bytes that a configuration names. A pipe is none: whoever opens one may wait for ever, and
/// it cannot be read again.
pub(crate) fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, Problem> {
    // What a path leads to may change at any time, so it is looked at once it is open, and opened without waiting.
    let at_once = || {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        match file.metadata()?.file_type().is_fifo() {
            true => Err(io::Error::other("it is a pipe, which cannot be read again")),
            false => Ok(file),
        }
    };
    read_up_to(path, at_once, most)
}

fn read_up_to(path: &Path, open: impl FnOnce() -> io::Result<File>, most: u64) -> Result<Vec<u8>, Problem> {
    let problem = |message: String| Problem::of_file(path.display(), ProblemKind::Unreadable, message);
    let metadata = path.metadata().map_err(|error| problem(unreadable("a file", &error)))?;
    if metadata.is_dir() {
        return Err(problem("expected a file, found a directory".to_owned()));
    }
    let mut bytes = Vec::new();
    // A device has no length to ask for, and may have no end.
    let read = open().and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    read.map_err(|error| problem(unreadable("a file", &error)))?;
    if bytes.len() as u64 > most {
        return Err(problem(format!("expected at most {} KiB, found more", most / 1024)));
    }
    Ok(bytes)
}

/// Bytes of a file, and which part of the configuration they belong to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    source: Arc<Source>,
    span: Range<usize>,
    context: Arc<str>,
}

impl Place {
    pub(crate) fn new(source: Arc<Source>, span: Range<usize>, context: impl Into<Arc<str>>) -> Self {
        Self { source, span, context: context.into() }
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(crate) fn context(&self) -> Arc<str> {
        Arc::clone(&self.context)
    }

    pub(crate) fn start(&self) -> usize {
        self.span.start
    }

    /// The same source and part, other bytes.
    pub(crate) fn at(&self, span: Range<usize>) -> Self {
        Self { span, ..self.clone() }
    }

    /// The same bytes, seen as another part.
    pub(crate) fn called(&self, context: impl Into<Arc<str>>) -> Self {
        Self { context: context.into(), ..self.clone() }
    }

    /// The place of the byte `decoded` of the text that the string here means.
    pub(crate) fn inside(&self, decoded: usize) -> Self {
        let token = self.source.text.get(self.span.clone()).unwrap_or_default();
        let start = self.span.start + offset_in_string(token, decoded);
        self.at(start..start)
    }

    /// What is wrong with the rule or template that the string here is.
    pub(crate) fn in_rule(&self, error: &RuleError) -> Problem {
        self.inside(error.span().start).problem(error.to_string()).maybe_hint(error.hint())
    }

    pub(crate) fn problem(&self, message: impl Into<Box<str>>) -> Problem {
        let position = position(&self.source.text, self.span.start);
        Problem::of_file(&self.source.name, ProblemKind::Wrong, message).at(position, &self.context)
    }

    /// A file that cannot be read is a problem of the place that names it.
    pub(crate) fn names(&self, unread: &Problem) -> Problem {
        let at = unread.position().map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        self.problem(format!("`{}{at}`: {}", unread.file(), unread.message())).of(unread.kind())
    }

    pub(crate) fn expected(
        &self,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Problem {
        self.problem(format!("expected {expected}, found {found}"))
    }

    /// `foreword.toml:3:1`, for messages about another place.
    pub(crate) fn shown(&self) -> String {
        let (line, column) = position(&self.source.text, self.span.start);
        format!("{}:{line}:{column}", self.source.name)
    }
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// Line and column of a byte, from 1, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// Why a file or a folder could not be read, without the number that the system gives it.
pub(crate) fn unreadable(what: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("expected {what}, found none"),
        io::ErrorKind::PermissionDenied => {
            format!("expected {what} that may be read, found one that may not")
        }
        _ => format!("cannot be read: {error}"),
    }
}

/// Where byte `decoded` of a string's meaning stands in the string as written, quotes included.
fn offset_in_string(token: &str, decoded: usize) -> usize {
    let quote = if token.starts_with("\"\"\"") || token.starts_with("'''") { 3 } else { 1 };
    let newline = match token.get(quote..) {
        Some(rest) if quote == 3 && rest.starts_with("\r\n") => 2,
        Some(rest) if quote == 3 && rest.starts_with('\n') => 1,
        _ => 0,
    };
    let start = quote + newline;
    if token.starts_with('\'') {
        return start + decoded;
    }
    let mut meant = 0;
    let mut rest = token.get(start..).unwrap_or_default();
    while meant < decoded {
        let (written, bytes) = first_letter(rest);
        if written == 0 {
            break;
        }
        meant += bytes;
        rest = rest.get(written..).unwrap_or_default();
    }
    token.len() - rest.len()
}

/// How many bytes the first letter of a basic string takes as written, and how many as meant.
fn first_letter(rest: &str) -> (usize, usize) {
    let mut letters = rest.chars();
    let escaped = |digits: usize| {
        let code = rest
            .get(2..2 + digits)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32);
        (2 + digits, code.map_or(1, char::len_utf8))
    };
    match (letters.next(), letters.next()) {
        (Some('\\'), Some('x')) => escaped(2),
        (Some('\\'), Some('u')) => escaped(4),
        (Some('\\'), Some('U')) => escaped(8),
        // A backslash at the end of a line takes away all space up to the next letter.
        (Some('\\'), Some(space)) if space.is_whitespace() => {
            let kept = rest.get(1..).unwrap_or_default().trim_start();
            (rest.len() - kept.len(), 0)
        }
        (Some('\\'), Some(_)) => (2, 1),
        (Some(letter), _) => (letter.len_utf8(), letter.len_utf8()),
        (None, _) => (0, 0),
    }
}

/// No file that people write comes near it; it keeps a wrong path, such as a device or an image, from being read.
const MAX_LEN: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(position("ä = 1\nöö = 2", 0), (1, 1));
        assert_eq!(position("ä = 1\nöö = 2", "ä = 1\nöö".len()), (2, 3));
        assert_eq!(position("a", 9), (1, 2), "behind the end is the end");
    }

    #[test]
    fn a_place_inside_a_string_is_found_whatever_its_quotes() {
        for (token, decoded, expected) in [
            ("'abc'", 1, 2),
            ("'''\nabc'''", 1, 5),
            ("\"abc\"", 1, 2),
            (r#""\"bc""#, 1, 3),
            (r#""\u00e4bc""#, 2, 7),
            (r#""\x41bc""#, 1, 5),
            ("\"\"\"\na\\\n   b\"\"\"", 1, 5),
        ] {
            assert_eq!(offset_in_string(token, decoded), expected, "{token} {decoded}");
        }
    }
}
