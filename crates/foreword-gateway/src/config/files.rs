//! The file and those that it includes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Notes, Table, shown};
use super::keys::TOP;
use super::problem::{Problem, ProblemKind};
use super::source::{At, Place, Source, unreadable};
use super::syntax::parse;

/// The files that `source` includes, in the order in which they are named; those of one pattern by their names.
pub(crate) fn included(source: &Arc<Source>, notes: &Notes) -> Vec<Arc<Source>> {
    // What is wrong with the file itself is told when it is read for good.
    let quiet = Notes::default();
    let document = parse(source, &quiet);
    let place = Place::new(Arc::clone(source), 0..0, "include");
    let top = Table::open(&document, place, &TOP, &quiet);
    let Some(patterns) = top.get("include").and_then(|value| notes.keep(value.texts())) else {
        return Vec::new();
    };
    let mut sources = Vec::new();
    for pattern in &patterns {
        for path in notes.keep(matching(pattern)).unwrap_or_default() {
            let read = Source::read_named(&path).map_err(|problem| pattern.place.names(&problem));
            sources.extend(notes.keep(read).map(Arc::new));
        }
    }
    for included in &sources {
        let document = parse(included, &quiet);
        if document.contains_key("include") {
            let problem = Problem::of_file(
                included.name(),
                ProblemKind::Wrong,
                "an included file cannot include others",
            );
            notes.problem(problem.hint(format!("name them in `{}`", source.name())));
        }
    }
    sources
}

/// The files that a pattern names: itself, or all that fit where its last part holds `*`.
fn matching(pattern: &At<&str>) -> Result<Vec<PathBuf>, Problem> {
    let path = pattern.place.source().path(pattern.value);
    let Some(last) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(pattern.place.expected("a file", shown(pattern.value)));
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    if folder.to_string_lossy().contains('*') {
        let problem = pattern.place.expected("`*` in the last part of the path only", shown(pattern.value));
        return Err(problem);
    }
    if !last.contains('*') {
        return Ok(vec![path]);
    }
    // A file that was named without a folder lies where we run.
    let real = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let cannot = |error: &std::io::Error| {
        let why = unreadable("a folder", error);
        let problem = pattern.place.problem(format!("`{}`: {why}", real.display()));
        problem.of(ProblemKind::Unreadable)
    };
    let itself = Path::new(pattern.place.source().name()).canonicalize().ok();
    let mut paths = Vec::new();
    for entry in real.read_dir().map_err(|error| cannot(&error))? {
        let entry = entry.map_err(|error| cannot(&error))?;
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        // `*` beside the file means the others.
        let is_itself = || itself.is_some() && entry.path().canonicalize().ok() == itself;
        if !hidden && name.to_str().is_some_and(|name| fits(last, name)) && !is_itself() {
            paths.push(folder.join(&name));
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a name fits a pattern in which each `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("a*b*c", "a12b3c", true),
            ("a*b*c", "abbc", true),
            ("a*bc", "abcbc", true),
            ("a*b", "a", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
