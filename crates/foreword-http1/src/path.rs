//! One spelling for each path, RFC 3986 §6.2.2: rules see it, and it is what is forwarded.
//!
//! Servers differ in what they make of a path: they decode once or twice, drop `;params` before or after they resolve
//! dots, take `\` for `/`. So each path is brought to the one spelling on which they cannot differ, and where there is
//! none it is refused.

use std::fmt;

mod segment;
#[cfg(test)]
mod tricks;

use memchr::memchr;
use segment::write_segment;

use crate::scan::{table_of, target_len};

/// What an operator may decide about paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// What becomes of `%2F` and `%5C`.
    pub encoded_slash: EncodedSlash,
    /// Whether rules see the path in lower case, for servers on file systems without case.
    pub ignore_case: bool,
}

/// What becomes of an encoded slash or backslash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// The request is refused.
    #[default]
    Refuse,
    /// It is forwarded as it is; rules see a `/`, since some servers do.
    Keep,
}

/// A path in its one spelling. Used again for the next, it allocates no more.
#[derive(Clone, Debug, Default)]
pub struct NormalPath {
    /// Path and query, as they go upstream.
    target: String,
    path_len: usize,
    /// The path that rules see, where it differs from the forwarded one.
    matched: String,
    matched_differs: bool,
}

impl NormalPath {
    /// Settles the path of a request target in origin, absolute or asterisk form.
    ///
    /// Unreserved characters are decoded, dot segments resolved, empty segments dropped. Doing it twice is the same as
    /// once. The query passes as it is.
    ///
    /// # Errors
    ///
    /// Where no spelling is safe: see [`PathFault`]. The path is empty then.
    pub fn normalise(&mut self, target: &str, policy: &PathPolicy) -> Result<(), PathError> {
        self.clear();
        let settled = self.settle(target, policy);
        if settled.is_err() {
            self.clear();
        }
        settled
    }

    /// The path that goes upstream, `;params` included.
    pub fn forwarded(&self) -> &str {
        self.target.get(..self.path_len).unwrap_or_default()
    }

    /// Path and query, as they go upstream.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path that rules see: without `;params`, in lower case where the policy says so, and with the delimiters
    /// that a segment may hold (such as `+` and `@`) decoded, since most servers cannot tell `%2B` from `+`.
    pub fn matched(&self) -> &str {
        if self.matched_differs { &self.matched } else { self.forwarded() }
    }

    /// What follows the `?`, as it was written.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_len..)?.strip_prefix('?')
    }

    fn clear(&mut self) {
        self.target.clear();
        self.matched.clear();
        self.path_len = 0;
        self.matched_differs = false;
    }

    fn settle(&mut self, target: &str, policy: &PathPolicy) -> Result<(), PathError> {
        if target == "*" {
            self.target.push('*');
            self.path_len = 1;
            return Ok(());
        }
        let plain = plain_len(target);
        // Most targets are plain to their end, or to the query.
        let end = plain
            + memchr(b'?', target.as_bytes().get(plain..).unwrap_or_default())
                .unwrap_or(target.len() - plain);
        let (path, rest) = target.split_at_checked(end).unwrap_or((target, ""));
        let query = rest.strip_prefix('?');
        let is_plain = plain > 0 && plain == end;
        if is_plain {
            self.target.push_str(path);
        } else {
            self.write_path(path, policy)?;
        }
        self.path_len = self.target.len();
        let may_differ = || self.forwarded().bytes().any(|byte| matches!(byte, b';' | b'%'));
        if policy.ignore_case || !is_plain && may_differ() {
            self.write_matched(policy);
        }
        if let Some(query) = query {
            check_query(query, path.len() + 1)?;
            self.target.push('?');
            self.target.push_str(query);
        }
        Ok(())
    }

    fn write_path(&mut self, path: &str, policy: &PathPolicy) -> Result<(), PathError> {
        let mut start = 0;
        let mut ends_open = true;
        for (number, segment) in path.split('/').enumerate() {
            if number == 0 && !segment.is_empty() {
                return Err(PathError { at: 0, fault: PathFault::NotAbsolute });
            }
            let before = self.target.len();
            self.target.push('/');
            let kind = write_segment(segment, start, policy, &mut self.target)?;
            ends_open = kind != segment::Kind::Named;
            match kind {
                segment::Kind::Named => {}
                segment::Kind::Empty | segment::Kind::Dot => self.target.truncate(before),
                segment::Kind::DotDot => {
                    self.target.truncate(before);
                    // Above the root there is only the root, RFC 3986 §5.2.4.
                    self.target.truncate(self.target.rfind('/').unwrap_or(0));
                }
            }
            start += segment.len() + 1;
        }
        if ends_open {
            self.target.push('/');
        }
        Ok(())
    }

    fn write_matched(&mut self, policy: &PathPolicy) {
        let path = self.target.get(..self.path_len).unwrap_or_default();
        self.matched.reserve(path.len());
        segment::write_matched(path, policy, &mut self.matched);
        self.matched_differs = true;
    }
}

/// How far a path is normal already, as nearly all are to their end: letters, digits and such, and no dot or slash after a
/// slash.
fn plain_len(path: &str) -> usize {
    if !path.starts_with('/') {
        return 0;
    }
    let mut after_slash = false;
    let mut is_plain = |byte: u8| {
        let fits = match byte {
            b'/' | b'.' => !after_slash,
            byte => is_plain_in_place(byte),
        };
        after_slash = byte == b'/';
        fits
    };
    path.bytes().take_while(|&byte| is_plain(byte)).count()
}
#[expect(clippy::indexing_slicing, reason = "the table has a place for every byte")]
fn is_plain_in_place(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

const fn is_plain_byte(byte: u8) -> bool {
    let is_mark = matches!(
        byte,
        b'-' | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b'='
            | b':'
            | b'@'
    );
    is_mark || byte.is_ascii_alphanumeric()
}

#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
static PLAIN: [bool; 256] = table_of!(is_plain_byte);

/// A query decides nothing by itself and passes as it is, as long as a target may hold it.
fn check_query(query: &str, start: usize) -> Result<(), PathError> {
    let len = target_len(query.as_bytes());
    match query.as_bytes().get(len) {
        Some(&byte) => Err(PathError { at: start + len, fault: PathFault::Byte(byte) }),
        None => Ok(()),
    }
}

/// Why a path could not be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    pub(crate) at: usize,
    pub(crate) fault: PathFault,
}

impl PathError {
    /// The byte of the target that shows the fault, counted from 0.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was wrong.
    pub fn fault(&self) -> PathFault {
        self.fault
    }
}

/// What cannot be settled about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A byte that no path has, such as `\`, `#`, a control, or one beyond ASCII.
    Byte(u8),
    /// A `%` without two hexadecimal digits after it.
    Percent,
    /// `%2F` or `%5C`, which some servers take for a slash.
    EncodedSlash,
    /// An encoded control character.
    EncodedControl,
    /// An encoding of something that is encoded already, which some servers decode twice.
    DoubleEncoding,
    /// Encoded bytes that are not UTF-8, overlong forms included.
    Utf8,
    /// `.` or `..` with `;params`, or beside an encoded slash, which only some servers resolve.
    DotSegment,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of the target: {} (RFC 3986 §6.2.2)", self.at, self.fault)
    }
}

impl std::error::Error for PathError {}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "expected a path that begins with `/`, found another",
            Self::Byte(byte) => {
                return write!(f, "expected a byte that a path may have, found 0x{byte:02x}");
            }
            Self::Percent => "expected two hexadecimal digits after `%`, found something else",
            Self::EncodedSlash => "expected slashes as they are, found an encoded one",
            Self::EncodedControl => "expected visible characters, found an encoded control",
            Self::DoubleEncoding => "expected one level of encoding, found two",
            Self::Utf8 => "expected UTF-8 in encoded bytes, found something else",
            Self::DotSegment => "expected `.` and `..` alone between slashes, found one with more to it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(target: &str, policy: PathPolicy) -> Result<NormalPath, PathError> {
        let mut path = NormalPath::default();
        path.normalise(target, &policy).map(|()| path)
    }

    #[test]
    fn the_query_passes_as_it_is() {
        let path = normal("/a/../b?x=/../%2e;y#".trim_end_matches('#'), PathPolicy::default()).unwrap();
        assert_eq!((path.forwarded(), path.query()), ("/b", Some("x=/../%2e;y")));
        assert_eq!(path.target(), "/b?x=/../%2e;y");
        assert_eq!(normal("/a?", PathPolicy::default()).unwrap().query(), Some(""));
        assert_eq!(normal("/a", PathPolicy::default()).unwrap().query(), None);
        assert_eq!(normal("/a?b#c", PathPolicy::default()).unwrap_err().at(), 4);
    }

    #[test]
    fn an_asterisk_and_the_root_are_what_they_are() {
        assert_eq!(normal("*", PathPolicy::default()).unwrap().forwarded(), "*");
        assert_eq!(normal("", PathPolicy::default()).unwrap().forwarded(), "/");
        assert_eq!(normal("?q", PathPolicy::default()).unwrap().target(), "/?q");
    }

    #[test]
    fn a_refused_path_leaves_nothing_behind() {
        let mut path = NormalPath::default();
        path.normalise("/secret?q", &PathPolicy::default()).unwrap();
        path.normalise("/x/%2f", &PathPolicy::default()).unwrap_err();
        assert_eq!((path.target(), path.matched()), ("", ""));
    }

    fn any_policy() -> impl Strategy<Value = PathPolicy> {
        (any::<bool>(), any::<bool>()).prop_map(|(keep, ignore_case)| PathPolicy {
            encoded_slash: if keep { EncodedSlash::Keep } else { EncodedSlash::Refuse },
            ignore_case,
        })
    }

    proptest! {
        #[test]
        fn normalising_twice_is_the_same_as_once(
            target in "(/|[.]|%2[eEfF5bB]|%5[cC]|%25|%61|%C3%A9|%c3|;|[a-cA-C+{|@]|[?]){0,24}",
            policy in any_policy(),
        ) {
            if let Ok(once) = normal(&format!("/{target}"), policy) {
                let twice = normal(once.target(), policy).unwrap();
                prop_assert_eq!(twice.target(), once.target());
                prop_assert_eq!(twice.matched(), once.matched());
            }
        }

        #[test]
        fn no_dot_segment_or_empty_segment_survives(
            target in "(/|[.]|%2[eE]|;|[ab]){0,24}",
            policy in any_policy(),
        ) {
            if let Ok(path) = normal(&format!("/{target}"), policy) {
                for seen in [path.forwarded(), path.matched()] {
                    prop_assert!(!seen.contains("//"), "{}", seen);
                    prop_assert!(!seen.split('/').any(|segment| matches!(segment, "." | "..")), "{}", seen);
                }
            }
        }

        #[test]
        fn arbitrary_text_never_panics(target in any::<String>(), policy in any_policy()) {
            let _ = normal(&target, policy);
        }
    }
}
