//! A file's tables and values, each with its place; whatever does not fit is noted and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foreword::text::{self, HexError};
use foreword_http1::is_token;
use foreword_rule::suggest;
use toml::de::{DeTable, DeValue};

use super::keys::{CLUSTER, LISTENER, Section, TOP, TRUST};
use super::problem::{Problem, ProblemKind, Problems};
use super::source::{At, Place};
use super::units::{self, Unfit};

/// Problems and warnings, as they are found.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Notes {
    pub(crate) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn warning(&self, warning: Problem) {
        self.warnings.borrow_mut().push(warning);
    }

    /// The value, or a note of why there is none.
    pub(crate) fn keep<T>(&self, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.problem(problem)).ok()
    }

    /// What is wrong with the grammar of the files, if anything is.
    pub(crate) fn syntax(&self) -> Option<Problems> {
        let problems = self.problems.borrow();
        let syntax = problems.iter().filter(|problem| problem.kind() == ProblemKind::Syntax);
        Problems::of(syntax.cloned().collect())
    }

    pub(crate) fn take(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

/// A value, and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Value<'d> {
    value: &'d DeValue<'d>,
    /// As messages call it.
    name: String,
    pub(crate) place: Place,
}

impl<'d> Value<'d> {
    pub(crate) fn text(&self) -> Result<&'d str, Problem> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.expected("text")),
        }
    }

    pub(crate) fn boolean(&self) -> Result<bool, Problem> {
        match self.value {
            DeValue::Boolean(boolean) => Ok(*boolean),
            DeValue::String(text) if matches!(text.as_ref(), "true" | "false") => {
                Err(self.expected("`true` or `false`").hint(format!("write it without quotes: `{text}`")))
            }
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    pub(crate) fn number(&self, from: u64, to: u64) -> Result<u64, Problem> {
        let expected = || match to {
            u64::MAX => format!("a number from {from}"),
            to => format!("a number from {from} to {to}"),
        };
        match self.value {
            DeValue::Integer(written) => u64::from_str_radix(written.as_str(), written.radix())
                .ok()
                .filter(|number| (from..=to).contains(number))
                .ok_or_else(|| self.expected(expected())),
            DeValue::String(text) if text.parse::<u64>().is_ok() => {
                let problem = self.place.expected(
                    format_args!("{} for {}", expected(), shown(&self.name)),
                    format_args!("`\"{text}\"`"),
                );
                Err(problem.hint(format!("write it without quotes: `{text}`")))
            }
            _ => Err(self.expected(expected())),
        }
    }

    /// The bytes of a text that begins with `hex:`; `None` where it does not.
    pub(crate) fn hex(&self) -> Result<Option<Vec<u8>>, Problem> {
        let Some(digits) = self.text()?.strip_prefix(HEX) else { return Ok(None) };
        text::hex(digits).map(Some).map_err(|error| match error {
            HexError::Letter { at, letter } => {
                let found = format!("`{}`", letter.escape_default());
                self.place.inside(HEX.len() + at).expected("hex digits", found)
            }
            HexError::Odd => self.place.problem(error.to_string()),
        })
    }

    pub(crate) fn duration(&self) -> Result<Duration, Problem> {
        match self.value {
            DeValue::String(text) => units::duration(text).map_err(|unfit| self.unfit(unfit)),
            DeValue::Integer(number) => Err(self
                .expected("a duration such as `\"3s\"`")
                .hint(format!("add the unit: `\"{number}s\"`"))),
            _ => Err(self.expected("a duration such as `\"3s\"`")),
        }
    }

    pub(crate) fn size(&self, from: u64, to: u64) -> Result<usize, Problem> {
        let size = match self.value {
            DeValue::String(text) => units::size(text).map_err(|unfit| self.unfit(unfit))?,
            _ => {
                self.number(0, u64::MAX).map_err(|_| self.expected("a size such as `4096` or `\"16KiB\"`"))?
            }
        };
        let fits = usize::try_from(size).ok().filter(|_| (from..=to).contains(&size));
        fits.ok_or_else(|| self.expected(format_args!("a size from {from} to {to} bytes")))
    }

    /// One of several words, each with what it means.
    pub(crate) fn one_of<T: Clone>(&self, words: &[(&str, T)]) -> Result<T, Problem> {
        let expected = || listed(words.iter().map(|(word, _)| *word), "or");
        let text = self.text().map_err(|_| self.expected(expected()))?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(meaning.clone()),
            None => Err(self
                .expected(expected())
                .did_you_mean(suggest(text, words.iter().map(|(word, _)| *word)))),
        }
    }

    /// The values of a list, which may be empty.
    pub(crate) fn list(&self) -> Result<Vec<Value<'d>>, Problem> {
        let DeValue::Array(array) = self.value else {
            let problem = self.expected("a list");
            return Err(match self.value {
                DeValue::String(text) => problem.hint(format!("write `[\"{text}\"]`")),
                _ => problem,
            });
        };
        let value = |element: &'d toml::Spanned<DeValue<'d>>| Value {
            value: element.get_ref(),
            name: self.name.clone(),
            place: self.place.at(element.span()),
        };
        Ok(array.iter().map(value).collect())
    }

    /// The texts of a list, which may be empty.
    pub(crate) fn texts(&self) -> Result<Vec<At<&'d str>>, Problem> {
        self.list()?.into_iter().map(|value| Ok(At::new(value.text()?, value.place))).collect()
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// The entries of a table whose keys are names, in the order of the file.
    pub(crate) fn entries(&self) -> Result<Vec<(At<&'d str>, Value<'d>)>, Problem> {
        let DeValue::Table(table) = self.value else { return Err(self.expected("a table")) };
        Ok(entries(table, &self.place))
    }

    /// This value as a table of known keys. Unknown ones are noted.
    pub(crate) fn table<'n>(
        &self,
        section: &'static Section,
        notes: &'n Notes,
    ) -> Result<Table<'d, 'n>, Problem> {
        match self.value {
            DeValue::Table(table) => Ok(Table::open(table, self.place.clone(), section, notes)),
            _ => Err(self.expected("a table")),
        }
    }

    /// The same value, as part of what `place` belongs to.
    pub(crate) fn called(self, place: &Place) -> Self {
        Self { place: self.place.called(place.context()), ..self }
    }

    pub(crate) fn unfit(&self, unfit: Unfit) -> Problem {
        self.expected(unfit.expected).maybe_hint(unfit.hint)
    }

    pub(crate) fn expected(&self, expected: impl fmt::Display) -> Problem {
        self.place.expected(format_args!("{expected} for {}", shown(&self.name)), self.shown())
    }

    /// What stands here, as messages show it.
    pub(crate) fn shown(&self) -> String {
        match self.value {
            DeValue::String(text) => shown(text),
            DeValue::Integer(number) => format!("`{number}`"),
            DeValue::Float(number) => format!("`{number}`"),
            DeValue::Boolean(boolean) => format!("`{boolean}`"),
            DeValue::Datetime(time) => format!("the time `{time}`"),
            DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }
}

impl At<&str> {
    pub(crate) fn unfit(&self, unfit: Unfit) -> Problem {
        self.place.expected(unfit.expected, shown(self.value)).maybe_hint(unfit.hint)
    }
}

/// A table of known keys.
#[derive(Debug)]
pub(crate) struct Table<'d, 'n> {
    table: &'d DeTable<'d>,
    section: &'static Section,
    notes: &'n Notes,
    pub(crate) place: Place,
}

impl<'d, 'n> Table<'d, 'n> {
    /// Opens a table, and notes every key that is not one of its section's.
    pub(crate) fn open(
        table: &'d DeTable<'d>,
        place: Place,
        section: &'static Section,
        notes: &'n Notes,
    ) -> Self {
        for (key, _) in entries(table, &place) {
            if !section.names().any(|name| name == key.value) {
                let expected = format!("one of the keys {}", listed(section.names(), "and"));
                let problem = key.place.expected(expected, shown(key.value));
                notes.problem(match home_of(key.value) {
                    Some(home) => problem.hint(format!("`{}` belongs to {home}", key.value)),
                    None if key.value.contains("proxy") => problem.hint(PROXY_ELSEWHERE),
                    None => problem.did_you_mean(suggest(key.value, section.names())),
                });
            }
        }
        Self { table, section, notes, place }
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, name: &'static str) -> Option<Value<'d>> {
        debug_assert!(
            self.section.names().any(|known| known == name),
            "`{name}` is a key of {}",
            self.section.title
        );
        self.table.get(name).map(|value| Value {
            value: value.get_ref(),
            name: name.to_owned(),
            place: self.place.at(value.span()),
        })
    }

    /// Reads a key that may be left out.
    pub(crate) fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value<'d>) -> Result<T, Problem>,
    ) -> Option<At<T>> {
        let value = self.get(name)?;
        self.notes.keep(read(&value)).map(|read| At::new(read, value.place))
    }

    /// Reads a number within the bounds of its key.
    pub(crate) fn number(&self, name: &'static str) -> Option<At<u64>> {
        let (from, to) = self.bounds(name);
        self.read(name, |value| value.number(from, to))
    }

    /// Reads a size within the bounds of its key.
    pub(crate) fn size(&self, name: &'static str) -> Option<At<usize>> {
        let (from, to) = self.bounds(name);
        self.read(name, |value| value.size(from, to))
    }

    fn bounds(&self, name: &'static str) -> (u64, u64) {
        let key = self.section.keys.iter().find(|key| key.name == name);
        let bounds = key.and_then(|key| key.takes.bounds());
        debug_assert!(bounds.is_some(), "`{name}` of {} takes a number", self.section.title);
        bounds.unwrap_or_default()
    }

    /// Reads a key that must be there.
    pub(crate) fn require<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value<'d>) -> Result<T, Problem>,
    ) -> Option<At<T>> {
        if self.table.get(name).is_none() {
            self.notes.problem(self.place.expected(format_args!("the key `{name}`"), "none"));
        }
        self.read(name, read)
    }

    /// A table of known keys below this one.
    pub(crate) fn table(&self, name: &'static str, section: &'static Section) -> Option<Table<'d, 'n>> {
        self.get(name).and_then(|value| self.notes.keep(value.table(section, self.notes)))
    }

    /// The same without noting anything, for a look ahead.
    pub(crate) fn peek_table(&self, name: &'static str, section: &'static Section) -> Option<Table<'d, 'n>> {
        let value = self.get(name)?;
        match value.value {
            DeValue::Table(table) => Some(Table { table, section, notes: self.notes, place: value.place }),
            _ => None,
        }
    }

    /// Tables with names of the operator's, below a key, in the order of the file. `what` says what they are.
    pub(crate) fn named(
        &self,
        key: &'static str,
        section: &'static Section,
    ) -> Vec<(At<&'d str>, Table<'d, 'n>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let entries = self.notes.keep(value.entries()).unwrap_or_default();
        let named = entries.into_iter().filter_map(|(name, value)| {
            let context: Arc<str> = format!("{key} {}", shown(name.value)).into();
            self.notes.keep(check_name(&name));
            let called = At::new(name.value, name.place.called(Arc::clone(&context)));
            let value = Value { place: value.place.called(context), ..value };
            self.notes.keep(value.table(section, self.notes)).map(|table| (called, table))
        });
        named.collect()
    }

    /// The tables of a list of tables (`[[…]]`), in order.
    pub(crate) fn tables(&self, name: &'static str, section: &'static Section) -> Vec<Table<'d, 'n>> {
        let values = self.get(name).and_then(|value| self.notes.keep(value.list())).unwrap_or_default();
        values.iter().filter_map(|value| self.notes.keep(value.table(section, self.notes))).collect()
    }

    /// The keys of `names` that are there, and where.
    pub(crate) fn present(&self, names: &'static [&'static str]) -> Vec<(&'static str, Place)> {
        let key_place = |name: &'static str| {
            let (key, _) = self.table.get_key_value(name)?;
            Some((name, self.place.at(key.span())))
        };
        names.iter().filter_map(|name| key_place(name)).collect()
    }

    /// Every key that is there, and where.
    pub(crate) fn all_present(&self) -> Vec<(&'d str, Place)> {
        entries(self.table, &self.place).into_iter().map(|(key, _)| (key.value, key.place)).collect()
    }

    pub(crate) fn notes(&self) -> &'n Notes {
        self.notes
    }

    /// The same table, called something else in messages.
    pub(crate) fn called(self, context: impl Into<Arc<str>>) -> Self {
        Self { place: self.place.called(context), ..self }
    }
}

/// Whether a key holds for the whole gateway: TOML gives it to the table above it.
/// For whoever writes `send_proxy`, `accept-proxy` or `proxy_protocol`, as other programs call it.
const PROXY_ELSEWHERE: &str =
    "`send_header` of `[cluster.NAME]` sends a PROXY header, and `[trust.NAME]` says from whom one is read";

/// Where a key would have its place, if there is only one.
fn home_of(key: &str) -> Option<&'static str> {
    if TOP.keys.iter().any(|top| top.name == key && !top.takes.is_table()) {
        return Some("the top of the file, above the first `[…]`");
    }
    let homes =
        [(&TRUST, "`[trust.NAME]`"), (&LISTENER, "`[listener.NAME]`"), (&CLUSTER, "`[cluster.NAME]`")];
    let mut homes = homes.iter().filter(|(section, _)| section.names().any(|name| name == key));
    match (homes.next(), homes.next()) {
        (Some((_, home)), None) => Some(home),
        _ => None,
    }
}

fn entries<'d>(table: &'d DeTable<'d>, place: &Place) -> Vec<(At<&'d str>, Value<'d>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let name: &str = key.get_ref();
            let at = At::new(name, place.at(key.span()));
            (at, Value { value: value.get_ref(), name: name.to_owned(), place: place.at(value.span()) })
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.place.start());
    entries
}

/// Text as messages show it: as it was written, but for control characters, which could deceive a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::from("`");
    for letter in text.chars() {
        if letter.is_control() { shown.extend(letter.escape_debug()) } else { shown.push(letter) }
    }
    shown.push('`');
    shown
}

/// `a`, `b` or `c`.
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>, last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((end, before)) => format!("{} {last} {end}", before.join(", ")),
    }
}

/// What the operator may call things by: names end up in logs, metrics and messages.
pub(crate) fn check_name(name: &At<&str>) -> Result<(), Problem> {
    let fits = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    match !name.value.is_empty() && name.value.chars().all(fits) {
        true => Ok(()),
        false => Err(name.place.expected("a name of letters, digits, `_`, `-` and `.`", shown(name.value))),
    }
}

/// A name in a sentence of its own: any visible text.
pub(crate) fn title<'d>(value: &Value<'d>) -> Result<&'d str, Problem> {
    let text = value.text()?;
    let fits = !text.trim().is_empty() && !text.contains(char::is_control);
    if fits { Ok(text) } else { Err(value.expected("a name of visible text")) }
}

/// A name as HTTP writes those of fields and cookies, RFC 9110 §5.6.2. `what` has such a name.
pub(crate) fn token<'d>(name: &At<&'d str>, what: &str) -> Result<&'d str, Problem> {
    match is_token(name.value.as_bytes()) {
        true => Ok(name.value),
        false => Err(name.place.expected(format_args!("the name of a {what}"), shown(name.value))),
    }
}

/// The one of several names that is meant, or what was found instead. `what` is their plural: `clusters`.
pub(crate) fn find_name<'m, T>(
    map: &'m BTreeMap<String, T>,
    name: &At<&str>,
    what: &str,
) -> Result<&'m T, Problem> {
    map.get(name.value).ok_or_else(|| unknown_name(map.keys().map(String::as_str), name, what))
}

/// A name that points nowhere.
pub(crate) fn unknown_name<'n>(
    names: impl Iterator<Item = &'n str> + Clone,
    name: &At<&str>,
    what: &str,
) -> Problem {
    let expected = match names.clone().count() {
        0 => format!("one of the {what}, of which there is none"),
        _ => format!(
            "one of the {what} {}",
            names.clone().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    name.place.expected(expected, shown(name.value)).did_you_mean(suggest(name.value, names))
}

/// What begins bytes that are written as digits.
const HEX: &str = "hex:";
