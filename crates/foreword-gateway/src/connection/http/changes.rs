//! What the rules change about a request and its answer: the last word on each field counts.

use foreword_http1::read_alike;

use crate::policy::compress::Compress;
use crate::policy::pages::ErrorPage;
use crate::policy::rules::{Change, SetField};
use crate::policy::terms::Terms;

/// The changes of the rules that held, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes<'r>(Vec<&'r Change>);

/// One step of a change, as it concerns the side that is asked about.
enum Word<'r> {
    Set(&'r SetField),
    Remove(&'r str),
}

impl<'r> Changes<'r> {
    pub(super) fn push(&mut self, change: &'r Change) {
        self.0.push(change);
    }

    /// What they say of how the request is served.
    pub(super) fn terms(&self) -> Terms {
        let mut terms = Terms::default();
        self.0.iter().for_each(|change| change.tell(&mut terms));
        terms
    }

    /// Whether any field of the request is set or removed.
    pub(super) fn are_about_the_request(&self) -> bool {
        self.request().next().is_some()
    }

    /// Whether a field of the request that came under this name stays behind.
    pub(super) fn replace_in_request(&self, name: &[u8]) -> bool {
        !self.0.is_empty() && self.request().any(|word| word.is_about(name))
    }

    /// Whether a field of the answer that came under this name stays behind.
    pub(super) fn replace_in_response(&self, name: &[u8]) -> bool {
        !self.0.is_empty() && self.response().any(|word| word.is_about(name))
    }

    /// The fields that the request gets.
    pub(super) fn set_in_request(&self) -> impl Iterator<Item = &'r SetField> {
        last_words(|| self.request())
    }

    /// The fields that the answer gets.
    pub(super) fn set_in_response(&self) -> impl Iterator<Item = &'r SetField> {
        last_words(|| self.response())
    }

    /// What is made smaller; the last word counts.
    pub(super) fn compress(&self) -> Option<&'r Compress> {
        let said = self.0.iter().rev().find_map(|change| match change {
            Change::Compress(compress) => Some(compress.as_deref()),
            _ => None,
        });
        said.flatten()
    }

    /// The page that a rule has for a status; the last one counts.
    pub(super) fn error_page(&self, status: u16) -> Option<&'r ErrorPage> {
        self.0.iter().rev().find_map(|change| match change {
            Change::ErrorPages(pages) => pages.find(status),
            _ => None,
        })
    }

    fn request(&self) -> impl Iterator<Item = Word<'r>> + use<'_, 'r> {
        self.0.iter().flat_map(|change| match change {
            Change::SetRequestFields(fields) => Words::Set(fields.iter()),
            Change::RemoveRequestFields(names) => Words::Remove(names.iter()),
            _ => Words::None,
        })
    }

    fn response(&self) -> impl Iterator<Item = Word<'r>> + use<'_, 'r> {
        self.0.iter().flat_map(|change| match change {
            Change::SetResponseFields(fields) => Words::Set(fields.iter()),
            Change::RemoveResponseFields(names) => Words::Remove(names.iter()),
            _ => Words::None,
        })
    }
}

/// The fields that are set and not spoken of again later. There are few; comparing each with each costs nothing.
fn last_words<'r, I>(words: impl Fn() -> I) -> impl Iterator<Item = &'r SetField>
where
    I: Iterator<Item = Word<'r>>,
{
    let later = words;
    later().enumerate().filter_map(move |(place, word)| match word {
        Word::Set(field) if !later().skip(place + 1).any(|next| next.is_about(field.name.as_bytes())) => {
            Some(field)
        }
        _ => None,
    })
}

impl Word<'_> {
    /// Whether it speaks of this name, or of one that some server could take for it.
    fn is_about(&self, name: &[u8]) -> bool {
        let ours = match self {
            Self::Set(field) => &field.name,
            Self::Remove(name) => *name,
        };
        read_alike(ours.as_bytes(), name)
    }
}

enum Words<'r> {
    Set(std::slice::Iter<'r, SetField>),
    Remove(std::slice::Iter<'r, Box<str>>),
    None,
}

impl<'r> Iterator for Words<'r> {
    type Item = Word<'r>;
    fn next(&mut self) -> Option<Word<'r>> {
        match self {
            Self::Set(fields) => fields.next().map(Word::Set),
            Self::Remove(names) => names.next().map(|name| Word::Remove(name)),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use foreword_rule::Template;

    use super::*;

    fn set(name: &str) -> Change {
        Change::SetRequestFields(vec![SetField { name: name.into(), value: Template::compile("x").unwrap() }])
    }

    fn remove(name: &str) -> Change {
        Change::RemoveRequestFields(vec![name.into()])
    }

    fn names(changes: &[Change]) -> Vec<&str> {
        let mut said = Changes::default();
        changes.iter().for_each(|change| said.push(change));
        said.set_in_request().map(|field| &*field.name).collect()
    }

    #[test]
    fn the_last_word_on_a_field_counts() {
        assert_eq!(names(&[set("X-A"), set("X-B")]), ["X-A", "X-B"]);
        assert_eq!(names(&[set("X-A"), set("x_a")]), ["x_a"]);
        assert_eq!(names(&[set("X-A"), remove("x-a")]), [""; 0]);
        assert_eq!(names(&[remove("X-A"), set("x-a")]), ["x-a"]);
    }

    #[test]
    fn what_came_under_a_name_that_rules_speak_of_stays_behind() {
        let changes = [set("X-A"), remove("X-B")];
        let mut said = Changes::default();
        changes.iter().for_each(|change| said.push(change));
        assert!(said.replace_in_request(b"x_a") && said.replace_in_request(b"X-B"));
        assert!(!said.replace_in_request(b"X-C") && !said.replace_in_response(b"X-A"));
    }
}
