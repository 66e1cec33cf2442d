//! A pattern that stands by itself, outside a rule.

use std::fmt;

use crate::pattern::{self, Pattern};

/// A pattern as `matches` takes it, for bytes that no rule asks about.
#[derive(Clone, Debug)]
pub struct Matcher {
    text: Box<str>,
    pattern: Pattern,
}

impl Matcher {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it, or that its table would be too large.
    pub fn compile(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.into(), pattern: pattern::compile(text, false)? })
    }

    /// Whether it fits anywhere in `bytes`.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        pattern::is_in(&self.pattern, bytes)
    }
}

/// As it was written.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Matcher {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_anywhere_and_is_what_was_written() {
        let matcher = Matcher::compile("status: (ok|fine)$").unwrap();
        assert!(matcher.is_in(b"\xffstatus: fine"));
        assert!(!matcher.is_in(b"status: fine, or not"));
        assert_eq!(matcher.to_string(), "status: (ok|fine)$");
        assert_eq!(matcher, Matcher::compile("status: (ok|fine)$").unwrap());
        assert!(Matcher::compile("(").unwrap_err().contains("unclosed group"));
    }
}
