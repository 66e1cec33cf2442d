//! What keeps a description from becoming a file, and what of it the file leaves out.

use std::borrow::Cow;
use std::fmt;

/// A line and a column of the description, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a description cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    place: Option<Place>,
    path: String,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { place: None, path: String::new(), message: message.into(), hint: None }
    }

    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::new(message) }
    }

    pub(crate) fn expected(place: Place, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::at(place, format!("expected {expected}, found {found}"))
    }

    /// Says which part of the description it is about, unless that is known better.
    pub(crate) fn within(self, path: &str) -> Self {
        if self.path.is_empty() { Self { path: path.to_owned(), ..self } } else { self }
    }

    /// Says which part the part is in that it is about.
    pub(crate) fn below(self, part: &str) -> Self {
        let path = if self.path.is_empty() { part.to_owned() } else { format!("{part}.{}", self.path) };
        Self { path, ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn did_you_mean(self, word: Option<&str>) -> Self {
        match word {
            Some(word) => self.hint(format!("did you mean {}?", shown(word))),
            None => self,
        }
    }

    /// Where in the description, unless it is about the whole of it.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&tame(&self.message)),
            false => write!(f, "{}: {}", tame(&self.path), tame(&self.message)),
        }
    }
}

impl std::error::Error for Fault {}

/// Everything that keeps a description from becoming a file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Each of them, in the order of the description.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// Sorts them; nothing if there is none.
    pub(crate) fn of(mut faults: Vec<Fault>) -> Option<Self> {
        faults.sort_by_key(|fault| fault.place);
        faults.dedup();
        (!faults.is_empty()).then_some(Self(faults))
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Something that the file leaves out or says otherwise, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the description says it.
    pub place: Place,
    /// Which part of the description it is.
    pub path: String,
    /// What becomes of it.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", tame(&self.path), tame(&self.message))
    }
}

/// A message without control characters, which keys of a description may bring along.
fn tame(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        true => Cow::Owned(text.chars().fold(String::new(), push_tame)),
        false => Cow::Borrowed(text),
    }
}

fn push_tame(mut line: String, letter: char) -> String {
    if letter.is_control() {
        line.extend(letter.escape_debug())
    } else {
        line.push(letter)
    }
    line
}

/// Text as messages show it: as it was written, but for control characters, which could deceive a terminal, and no
/// longer than a line.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::from("`");
    for (index, letter) in text.chars().enumerate() {
        if index == MAX_SHOWN {
            shown.push('…');
            break;
        }
        shown = push_tame(shown, letter);
    }
    shown.push('`');
    shown
}

const MAX_SHOWN: usize = 80;
