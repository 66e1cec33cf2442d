//! A file of ours in the making: tables in order, each key with its reason beside it, written as people write them.

use std::fmt::{self, Write as _};

use toml_writer::{ToTomlKey as _, ToTomlValue as _, TomlKeyBuilder, TomlStringBuilder};

/// A whole file.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Lines that open it.
    about: Vec<String>,
    tables: Vec<Table>,
}

impl Draft {
    /// An empty file that these lines open. Whatever they hold, they stay comments.
    pub fn new(about: impl IntoIterator<Item = String>) -> Self {
        Self { about: about.into_iter().collect(), tables: Vec::new() }
    }

    /// Adds a table behind the others.
    pub fn push(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// One more line at the top.
    pub fn say(&mut self, line: impl Into<String>) {
        self.about.push(line.into());
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.about {
            write_comment(f, line)?;
        }
        let mut first = self.about.is_empty();
        for table in self.tables.iter().filter(|table| !table.keys.is_empty()) {
            if !first {
                f.write_str("\n")?;
            }
            first = false;
            write!(f, "{table}")?;
        }
        Ok(())
    }
}

/// A table with its keys in order, or the keys that stand above every table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    header: String,
    about: Vec<String>,
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    name: String,
    value: Value,
    why: Option<String>,
}

impl Table {
    /// The keys above every table.
    pub fn top() -> Self {
        Self::default()
    }

    /// `[kind.name]`.
    pub fn named(kind: &str, name: &str) -> Self {
        Self { header: format!("[{kind}.{}]", key(name)), ..Self::default() }
    }

    /// `[name]`.
    pub fn plain(name: &str) -> Self {
        Self { header: format!("[{}]", key(name)), ..Self::default() }
    }

    /// `[kind.name.part]`.
    pub fn below(kind: &str, name: &str, part: &str) -> Self {
        Self { header: format!("[{kind}.{}.{}]", key(name), key(part)), ..Self::default() }
    }

    /// One more `[[listener.name.rule]]`.
    pub fn rule(listener: &str) -> Self {
        Self { header: format!("[[listener.{}.rule]]", key(listener)), ..Self::default() }
    }

    /// One more line above it.
    #[must_use]
    pub fn about(mut self, line: impl Into<String>) -> Self {
        self.about.push(line.into());
        self
    }

    /// One more key.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.keys.push(Key { name: key(name), value: value.into(), why: None });
    }

    /// One more key, and why it is so.
    pub fn set_for(&mut self, name: &str, value: impl Into<Value>, why: impl Into<String>) {
        self.keys.push(Key { name: key(name), value: value.into(), why: Some(why.into()) });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.about {
            write_comment(f, line)?;
        }
        if !self.header.is_empty() {
            writeln!(f, "{}", self.header)?;
        }
        let width = self.keys.iter().map(|key| key.name.chars().count()).max().unwrap_or_default();
        for key in &self.keys {
            let start = format!("{:width$} = {}", key.name, key.value);
            match &key.why {
                Some(why) => writeln!(f, "{start}   # {}", one_line(why))?,
                None => writeln!(f, "{start}")?,
            }
        }
        Ok(())
    }
}

/// A value of TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, in the quotes that suit it.
    Text(String),
    /// A whole number.
    Number(u64),
    /// `true` or `false`.
    Flag(bool),
    /// `[…]`.
    List(Vec<Value>),
    /// `{ … }`.
    Table(Vec<(String, Value)>),
}

impl Value {
    /// A list of texts.
    pub fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    /// A table on one line.
    pub fn table<V: Into<Self>>(entries: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        Self::Table(entries.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(values) => write!(f, "[{}]", joined(values.iter().map(ToString::to_string))),
            Self::Table(entries) if entries.is_empty() => f.write_str("{}"),
            Self::Table(entries) => {
                let entries = entries.iter().map(|(name, value)| format!("{} = {value}", key(name)));
                write!(f, "{{ {} }}", joined(entries))
            }
        }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// On one line always: a file made by a program holds no multi-line strings.
fn quoted(text: &str) -> String {
    let builder = TomlStringBuilder::new(text);
    let literal = text.contains(['"', '\\']).then(|| builder.as_literal()).flatten();
    literal.unwrap_or_else(|| builder.as_basic()).to_toml_value()
}

fn key(name: &str) -> String {
    let builder = TomlKeyBuilder::new(name);
    builder.as_unquoted().unwrap_or_else(|| builder.as_basic()).to_toml_key()
}

fn write_comment(f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
    match line.is_empty() {
        true => writeln!(f, "#"),
        false => writeln!(f, "# {}", one_line(line)),
    }
}

/// A comment ends at the end of its line, and TOML allows no control characters in it.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for letter in text.chars() {
        match letter.is_control() {
            // Writing to a String cannot fail.
            true => drop(write!(line, "{}", letter.escape_debug())),
            false => line.push(letter),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_reads_as_people_write() {
        let mut draft = Draft::new(["What it is.".to_owned(), String::new(), "More.".to_owned()]);
        let mut top = Table::top();
        top.set("drain", "30s");
        draft.push(top);
        let mut listener = Table::named("listener", "web").about("The first.");
        listener.set("bind", Value::texts(["[::]:443"]));
        listener.set_for("timeout", Value::table([("idle", "60s")]), "as it was");
        draft.push(listener);
        let mut rule = Table::rule("web");
        rule.set("when", "host == \"a\"");
        draft.push(rule);
        draft.push(Table::named("cluster", "never filled"));
        assert_eq!(
            draft.to_string(),
            "# What it is.\n#\n# More.\n\ndrain = \"30s\"\n\n# The first.\n[listener.web]\nbind    = [\"[::]:443\"]\n\
             timeout = { idle = \"60s\" }   # as it was\n\n[[listener.web.rule]]\nwhen = 'host == \"a\"'\n"
        );
    }

    #[test]
    fn nothing_ends_a_comment_or_a_string_early() {
        let mut draft = Draft::new(["a\nb = 1".to_owned()]);
        let mut table = Table::named("listener", "a]\nb");
        table.set_for("x", "y\"\n'z", "why\nnot");
        draft.push(table);
        assert_eq!(
            draft.to_string(),
            "# a\\nb = 1\n\n[listener.\"a]\\nb\"]\nx = \"y\\\"\\n'z\"   # why\\nnot\n"
        );
    }
}
