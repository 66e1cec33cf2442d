//! What is wrong with a rule, a template or a list entry, and where in its text.

use std::fmt;
use std::ops::Range;

/// A rule or template that cannot be compiled.
///
/// It displays as `expected …, found …`; [`RuleError::span`] says which bytes of the text are meant, and
/// [`RuleError::hint`] what to write instead, where that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    span: Range<usize>,
    message: String,
    hint: Option<String>,
}

impl RuleError {
    /// An error about the bytes `span` of the text.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    /// The usual form of the message.
    pub(crate) fn expected(
        span: Range<usize>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::new(span, format!("expected {expected}, found {found}"))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds `did you mean …?` if there is a word to offer.
    #[must_use]
    pub(crate) fn did_you_mean(self, word: Option<&str>) -> Self {
        match word {
            Some(word) => self.with_hint(format!("did you mean `{word}`?")),
            None => self,
        }
    }

    /// The bytes of the text that are meant. Empty at the end of the text, where something is missing.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What to do about it, without the word `hint:`.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Text as messages show it: as it was written, but for control characters, which could deceive a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_debug());
        } else {
            shown.push(letter);
        }
    }
    shown
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}
