//! `then = { basic_auth = { … } }`: whose passwords are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{Table, Value, shown};
use super::keys::BASIC_AUTH;
use super::lists::lines;
use super::problem::Problem;
use super::source::{At, Place, Source};
use crate::passwords::{Passwords, Stored};
use crate::policy::rules::{BasicAuth, Ending};

/// Reads whom a rule lets pass, if it asks for passwords.
pub(crate) fn read(then: &Table<'_, '_>) -> Option<Ending> {
    let table = then.table("basic_auth", &BASIC_AUTH)?;
    let notes = table.notes();
    let realm = table.read("realm", realm).map_or("restricted", |at| at.value);
    if let (Some(_), Some(file)) = (table.get("users"), table.get("file")) {
        notes.problem(file.place.expected("either `users` or `file`", "both"));
    }
    let entries = match table.get("file") {
        Some(_) => from_file(&table)?,
        None => from_table(&table)?,
    };
    let mut users = BTreeMap::new();
    for (name, hash) in entries {
        let stored = Stored::parse(&hash.value).map_err(|unfit| {
            hash.place
                .expected(unfit.expected, unfit.found)
                .hint(format!("`htpasswd -nBC 10 {}` prints one", name.value))
        });
        let Some(stored) = notes.keep(stored) else { continue };
        if users.insert(name.value.as_str().into(), stored).is_some() {
            notes
                .problem(name.place.expected("each user once", format_args!("{} again", shown(&name.value))));
        }
    }
    let passwords =
        Passwords::new(users).map_err(|_| table.place.problem("this machine gives no random bytes"));
    Some(Ending::Authenticate(BasicAuth {
        // A realm holds no quotation mark and no backslash.
        challenge: format!("Basic realm=\"{realm}\", charset=\"UTF-8\"").into(),
        passwords: Arc::new(notes.keep(passwords)?),
    }))
}

/// Whether a rule of this listener asks for passwords. What is wrong with its rules is told elsewhere.
pub(crate) fn is_asked_for(listener: &Table<'_, '_>) -> bool {
    let rules = listener.get("rule").and_then(|rules| rules.list().ok()).unwrap_or_default();
    rules.iter().any(|rule| {
        let then = below(rule, "then");
        then.is_some_and(|then| below(&then, "basic_auth").is_some())
    })
}

fn below<'d>(value: &Value<'d>, wanted: &str) -> Option<Value<'d>> {
    let mut entries = value.entries().ok()?.into_iter();
    entries.find(|(name, _)| name.value == wanted).map(|(_, value)| value)
}

/// A user and the hash of the password.
type Entry = (At<String>, At<String>);

fn from_table(table: &Table<'_, '_>) -> Option<Vec<Entry>> {
    let notes = table.notes();
    if table.get("users").is_none() {
        notes.problem(table.place.expected("the key `users` or `file`", "none"));
        return None;
    }
    let entries = table.read("users", |value| value.entries())?;
    if entries.value.is_empty() {
        notes.problem(entries.place.expected("at least one user", "none"));
        return None;
    }
    let entry = |(name, value): (At<&str>, Value<'_>)| {
        notes.keep(check_name(&name))?;
        let hash = notes.keep(value.text())?.to_owned();
        Some((At::new(name.value.to_owned(), name.place), At::new(hash, value.place)))
    };
    Some(entries.value.into_iter().filter_map(entry).collect())
}

fn from_file(table: &Table<'_, '_>) -> Option<Vec<Entry>> {
    let notes = table.notes();
    let file = table.read("file", |value| value.text())?;
    let path = file.place.source().path(file.value);
    let source = Source::read_named(&path).map_err(|problem| file.place.names(&problem));
    let source = Arc::new(notes.keep(source)?);
    let whole = Place::new(Arc::clone(&source), 0..0, file.place.context());
    let lines = lines(&whole, source.text());
    if lines.is_empty() {
        notes.problem(whole.expected("at least one user", "none"));
        return None;
    }
    let entry = |line: At<String>| {
        let Some((name, hash)) = line.value.split_once(':') else {
            // It may be a password.
            notes.problem(line.place.expected("a name, `:` and a hash", "another line"));
            return None;
        };
        let name = At::new(name, line.place.clone());
        notes.keep(check_name(&name))?;
        Some((At::new(name.value.to_owned(), name.place), At::new(hash.to_owned(), line.place.clone())))
    };
    Some(lines.into_iter().filter_map(entry).collect())
}

/// RFC 7617 §2: a name holds neither colons nor control characters. Blanks would tear a line of the log apart.
fn check_name(name: &At<&str>) -> Result<(), Problem> {
    let fits = |letter: char| letter != ':' && !letter.is_control() && !letter.is_whitespace();
    match !name.value.is_empty() && name.value.len() <= 255 && name.value.chars().all(fits) {
        true => Ok(()),
        false => Err(name.place.expected("a name without blanks and `:`", shown(name.value))),
    }
}

fn realm<'d>(value: &Value<'d>) -> Result<&'d str, Problem> {
    let text = value.text()?;
    let fits = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.bytes().all(fits) {
        Ok(text)
    } else {
        Err(value.expected("visible text without quotation marks"))
    }
}
