//! What a key takes: said in words by the reference, as a shape by the schema.

use std::fmt;

use super::document::listed;
use super::keys::Section;

/// What a key takes. Words in it are the reference's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    /// `true` or `false`.
    Flag,
    /// `true`, and nothing else.
    True,
    /// A number from one to another.
    Number(u64, u64),
    /// A number above zero.
    Count,
    /// One of these numbers.
    OneNumber(&'static [u64]),
    /// A status from this one to 599.
    Status(u64),
    /// `500ms`, `3s`, `1m`, `2h`, `7d`.
    Duration,
    /// Bytes, from so many to so many.
    Size(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a table of these keys.
    WordOrTable(&'static [&'static str], &'static Section),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A text.
    Text(&'static str),
    /// A list of texts.
    Texts(&'static str),
    /// A list of texts, or of tables of these keys.
    TextsOrTables(&'static str, &'static Section),
    /// A list of statuses, and of texts that say a range of them.
    Statuses,
    /// A table of these keys.
    Table(&'static Section),
    /// A text, or a table of these keys.
    TextOrTable(&'static str, &'static Section),
    /// `true`, `false`, a text, or a table of these keys.
    FlagOrTextOrTable(&'static str, &'static Section),
    /// `true` or `false`, or a table of these keys.
    FlagOrTable(&'static Section),
    /// A text, or a list of tables of these keys.
    TextOrTables(&'static str, &'static Section),
    /// A list of these words, and of tables of these keys.
    WordsOrTables(&'static [&'static str], &'static Section),
    /// A kind of TLV by name or number.
    Kind,
    /// `all`, or a list of kinds of TLVs by name or number.
    AllOrKinds,
    /// A list of tables of these keys.
    Tables(&'static Section),
    /// Tables of these keys, each under a name of the operator's.
    Named(&'static Section),
    /// Lists of texts, or tables of these keys, each under a name of the operator's.
    Lists(&'static Section),
    /// Texts, each under a name of the operator's.
    NamedTexts(&'static str),
    /// Texts or lists of them, each under a name of the operator's.
    NamedTextsOrLists(&'static str),
}

impl Takes {
    /// Whether it is written as a table, or several.
    pub(crate) const fn is_table(self) -> bool {
        matches!(self, Self::Table(_) | Self::Tables(_) | Self::Named(_) | Self::Lists(_))
    }

    /// The least and the greatest number that it takes; `None` if it takes no number, or only certain ones.
    pub(crate) const fn bounds(self) -> Option<(u64, u64)> {
        match self {
            Self::Number(from, to) | Self::Size(from, to) => Some((from, to)),
            Self::Status(from) => Some((from, LAST_STATUS)),
            Self::Count => Some((1, u32::MAX as u64)),
            _ => None,
        }
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Flag => f.write_str("`true` or `false`"),
            Self::FlagOrTable(_) => f.write_str("`true`, `false` or a table"),
            Self::True => f.write_str("`true`"),
            Self::Number(from, to) => write!(f, "a number from {from} to {to}"),
            Self::Count => f.write_str("a number"),
            Self::OneNumber(numbers) => {
                let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
                f.write_str(&listed(words.iter().map(String::as_str), "or").replace('`', ""))
            }
            Self::Status(from) => write!(f, "a status from {from} to {LAST_STATUS}"),
            Self::Duration => f.write_str("a duration"),
            Self::Size(from, to) => write!(f, "a size from {} to {}", Bytes(from), Bytes(to)),
            Self::Word(words) => f.write_str(&listed(words.iter().copied(), "or")),
            Self::WordOrTable(words, _) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                write!(f, "{} or a table", words.join(", "))
            }
            Self::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                write!(f, "a list of {}", words.join(", "))
            }
            Self::WordsOrTables(words, _) => write!(f, "{}, and tables", Self::Words(words)),
            Self::Kind => f.write_str("a name or a number"),
            Self::AllOrKinds => f.write_str("`all`, or a list of names and numbers"),
            Self::Texts(words) => write!(f, "a list of {words}"),
            Self::Statuses => f.write_str("a list of statuses, such as `200`, or ranges of them"),
            Self::Table(_) => f.write_str("a table"),
            Self::Tables(_) | Self::Named(_) => f.write_str("tables"),
            Self::Lists(_) => f.write_str("lists"),
            Self::Text(words)
            | Self::TextOrTable(words, _)
            | Self::FlagOrTextOrTable(words, _)
            | Self::TextOrTables(words, _)
            | Self::TextsOrTables(words, _)
            | Self::NamedTexts(words)
            | Self::NamedTextsOrLists(words) => f.write_str(words),
        }
    }
}

/// A number of bytes as people write it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= GIB && bytes.is_multiple_of(GIB) => write!(f, "{}GiB", bytes / GIB),
            bytes if bytes >= MIB && bytes.is_multiple_of(MIB) => write!(f, "{}MiB", bytes / MIB),
            bytes if bytes >= KIB && bytes.is_multiple_of(KIB) => write!(f, "{}KiB", bytes / KIB),
            bytes => bytes.fmt(f),
        }
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// RFC 9110 §15: what is beyond has no meaning.
const LAST_STATUS: u64 = 599;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_sentence() {
        for (takes, words) in [
            (Takes::OneNumber(&[301, 302, 303]), "301, 302 or 303"),
            (Takes::Size(1024, 1024 * 1024), "a size from 1KiB to 1MiB"),
            (Takes::Size(536, 65551), "a size from 536 to 65551"),
            (Takes::Status(400), "a status from 400 to 599"),
            (Takes::Word(&["http", "tcp"]), "`http` or `tcp`"),
            (Takes::Words(&["query", "cookies"]), "a list of `query`, `cookies`"),
        ] {
            assert_eq!(takes.to_string(), words);
        }
    }
}
