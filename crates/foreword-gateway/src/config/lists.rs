//! `[list]`: inline, or one entry a line from a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use foreword_rule::{List, NamedList};

use super::document::{Notes, Table, Value, shown};
use super::keys::LIST_FILE;
use super::problem::Problem;
use super::source::{At, Place, Source};
use crate::watch::{FromFiles, Look, Watched};

/// The lists of all files.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Those that could be read.
    pub(crate) good: BTreeMap<String, Arc<NamedList>>,
    /// Those that follow a file.
    files: Vec<Watched>,
    /// The names of those that could not: what asks them has no problem of its own.
    pub(crate) broken: BTreeSet<String>,
    places: BTreeMap<String, Place>,
}

impl Lists {
    /// Reads the `[list]` of one file.
    pub(crate) fn add(&mut self, top: &Table<'_, '_>) {
        let notes = top.notes();
        let entries = top.get("list").and_then(|value| notes.keep(value.entries())).unwrap_or_default();
        for (name, value) in entries {
            let place = name.place.called(format!("list {}", shown(name.value)));
            let value = value.called(&place);
            if !is_name(name.value) {
                // Conditions must be able to write it behind `@`.
                notes.problem(place.expected("a name of letters, digits, `_` and `-`", shown(name.value)));
            }
            if let Some(first) = self.places.get(name.value) {
                notes.problem(
                    place.expected("a name of its own", format_args!("the one at {}", first.shown())),
                );
                continue;
            }
            self.places.insert(name.value.to_owned(), place);
            match read(&value, notes) {
                Some((list, file)) => {
                    self.files.extend(file);
                    self.good.insert(name.value.to_owned(), list);
                }
                None => drop(self.broken.insert(name.value.to_owned())),
            }
        }
    }

    /// Whether `condition` asks a list that could not be read.
    pub(crate) fn asks_broken(&self, condition: &str) -> bool {
        self.broken.iter().any(|name| asks(condition, name))
    }

    /// Those that follow a file.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        self.files.clone()
    }

    /// Warns of lists that no condition asks.
    pub(crate) fn warn_of_unused(&self, conditions: &[String], notes: &Notes) {
        for (name, place) in &self.places {
            if !conditions.iter().any(|condition| asks(condition, name)) {
                notes.warning(place.problem("no rule asks it"));
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-')
}

/// Whether a condition names `@list`. One that only quotes it counts too, which at worst saves a warning.
fn asks(condition: &str, list: &str) -> bool {
    condition.split('@').skip(1).any(|rest| {
        rest.strip_prefix(list).is_some_and(|after| {
            !after.starts_with(|letter: char| letter.is_alphanumeric() || "_-".contains(letter))
        })
    })
}

/// Reads a list, and how it follows its file if it has one.
fn read(value: &Value<'_>, notes: &Notes) -> Option<(Arc<NamedList>, Option<Watched>)> {
    if value.is_list() {
        let texts = notes.keep(value.texts())?;
        let entries: Vec<At<String>> =
            texts.into_iter().map(|at| At::new(at.value.to_owned(), at.place)).collect();
        return Some((Arc::new(from_entries(&entries, &value.place, notes)?.into()), None));
    }
    let table = match value.table(&LIST_FILE, notes) {
        Ok(table) => table,
        Err(_) => {
            notes.problem(value.expected("a list of entries, or `{ file = \"…\" }`"));
            return None;
        }
    };
    let file = table.require("file", |value| value.text())?;
    let path = file.place.source().path(file.value);
    let context = value.place.context();
    let seen = Look::at(std::slice::from_ref(&path));
    let source = Source::read_named(&path).map_err(|problem| file.place.names(&problem));
    let (list, _) = from_source(notes.keep(source)?, &context, notes)?;
    let list = Arc::new(NamedList::following(list));
    let made = ListFile { path, seen, list: Arc::clone(&list) };
    Some((list, Some(Watched { name: context.to_string(), made: Arc::new(made) })))
}

/// A list, and the file that it follows.
#[derive(Debug)]
struct ListFile {
    path: PathBuf,
    seen: Look,
    list: Arc<NamedList>,
}

impl FromFiles for ListFile {
    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn seen(&self) -> Look {
        self.seen.clone()
    }

    fn read_again(&self, _: SystemTime) -> Result<Vec<String>, Vec<String>> {
        let notes = Notes::default();
        let read = notes.keep(Source::read_named(&self.path));
        // Whoever watches says which list it is.
        let list = read.and_then(|source| from_source(source, &Arc::default(), &notes));
        if let Some((list, entries)) = list
            && let Err(error) = self.list.replace(list)
        {
            // Entries are never all left out, so there is one to point at.
            let place = error.entry.as_ref().and_then(|unfit| entries.iter().find(|at| at.value == *unfit));
            let place = place.or(entries.first()).map(|at| at.place.problem(error.to_string()));
            place.into_iter().for_each(|problem| notes.problem(problem));
        }
        let (problems, warnings) = notes.take();
        let shown = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
        if problems.is_empty() { Ok(shown(warnings)) } else { Err(shown(problems)) }
    }
}

fn from_source(source: Source, context: &Arc<str>, notes: &Notes) -> Option<(List, Vec<At<String>>)> {
    let source = Arc::new(source);
    let place = Place::new(Arc::clone(&source), 0..0, Arc::clone(context));
    let entries = lines(&place, source.text());
    Some((from_entries(&entries, &place, notes)?, entries))
}

/// One entry a line; empty lines and what follows `#` are left out.
pub(crate) fn lines(place: &Place, text: &str) -> Vec<At<String>> {
    let mut entries = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default();
        let entry = content.trim();
        if !entry.is_empty() {
            let at = start + content.len() - content.trim_start().len();
            entries.push(At::new(entry.to_owned(), place.at(at..at + entry.len())));
        }
        start += line.len();
    }
    entries
}

fn from_entries(entries: &[At<String>], place: &Place, notes: &Notes) -> Option<List> {
    if entries.is_empty() {
        notes.problem(place.expected("at least one entry", "none"));
        return None;
    }
    match List::parse(entries.iter().map(|entry| entry.value.as_str())) {
        Ok(list) => Some(list),
        Err(problems) => {
            let more = problems.len().saturating_sub(MOST_TOLD);
            for problem in problems.into_iter().take(MOST_TOLD) {
                let place = entries.get(problem.index).map_or(place, |entry| &entry.place);
                notes.problem(place.problem(problem.message));
            }
            if more > 0 {
                notes.problem(place.problem(format!("{more} more entries do not fit")));
            }
            None
        }
    }
}

/// A list that is wrong as a whole is told so; nobody reads ten thousand lines.
const MOST_TOLD: usize = 20;
