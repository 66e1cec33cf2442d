//! What can hold, and hardly says what was meant.

use std::ops::Range;

use crate::error::shown;
use crate::program::{Check, Join, Node, Predicate, Test, TextCheck};
use crate::{RuleError, Variable};

impl Predicate {
    /// Where the condition is probably not meant as it is written, and what to write instead.
    pub fn doubts(&self) -> Vec<RuleError> {
        let mut doubts = Vec::new();
        collect(&self.root, &mut doubts);
        doubts
    }
}

fn collect(node: &Node, doubts: &mut Vec<RuleError>) {
    match &node.join {
        Join::All(parts) | Join::Any(parts) => parts.iter().for_each(|part| collect(part, doubts)),
        Join::Not(part) => collect(part, doubts),
        Join::Test(test) => doubts.extend(star(&node.span, test)),
    }
}

/// A star that others take for any text. Fields hold stars of their own, as `Accept` does: there it may be meant.
fn star(span: &Range<usize>, test: &Test) -> Option<RuleError> {
    let Check::Text(check) = &test.check else { return None };
    if !matches!(test.variable, Variable::Path | Variable::TlsSni) {
        return None;
    }
    let word = match check {
        TextCheck::Is(word)
        | TextCheck::IsNot(word)
        | TextCheck::StartsWith(word)
        | TextCheck::EndsWith(word)
        | TextCheck::Under(word) => &**word,
        TextCheck::In(words) => words.iter().filter(|word| has_star(word)).min()?,
        TextCheck::InList(_) | TextCheck::Contains(_) | TextCheck::Matches(_) => return None,
    };
    has_star(word).then(|| {
        let word = shown(&String::from_utf8_lossy(word));
        let message = format!("`*` in `{word}` stands for itself: only a value with this very letter fits");
        RuleError::new(span.clone(), message).with_hint(instead(&test.variable, check, &word))
    })
}

/// `*` alone is what `OPTIONS *` asks for.
fn has_star(word: &[u8]) -> bool {
    word.len() > 1 && word.contains(&b'*')
}

/// The test that says what the star was to say, if it was to stand for any text.
fn instead(variable: &Variable, check: &TextCheck, word: &str) -> String {
    let not = if matches!(check, TextCheck::IsNot(_)) { "!" } else { "" };
    let (without_first, without_last) = (word.strip_prefix('*'), word.strip_suffix('*'));
    let begins_anyhow = without_first.is_some() || matches!(check, TextCheck::EndsWith(_));
    let ends_anyhow = without_last.is_some() || matches!(check, TextCheck::StartsWith(_));
    let rest = without_first.unwrap_or(word);
    let rest = rest.strip_suffix('*').unwrap_or(rest);
    if rest.is_empty() || rest.contains('*') {
        return format!("`{variable}.matches(\"…\")` takes a pattern");
    }
    match (begins_anyhow, ends_anyhow) {
        (true, true) => format!("write `{not}{variable}.contains(\"{rest}\")`"),
        (true, false) => format!("write `{not}{variable}.ends_with(\"{rest}\")`"),
        (false, _) => match rest.strip_suffix('/') {
            Some(folder) if !folder.is_empty() && *variable == Variable::Path => {
                format!("write `{not}path.under(\"{folder}\")`")
            }
            _ => format!("write `{not}{variable}.starts_with(\"{rest}\")`"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::{Predicate, RuleError, Scope};

    fn doubts(text: &str) -> Vec<RuleError> {
        let condition = Predicate::compile(text, &Scope::with_everything(&BTreeMap::new()));
        condition.unwrap_or_else(|error| panic!("{text}: {error}")).doubts()
    }

    #[test]
    fn a_star_that_was_meant_as_a_pattern_is_doubted_with_what_says_so() {
        for (text, instead) in [
            (r#"path == "/x*""#, "write `path.starts_with(\"/x\")`"),
            (r#"path == "/x/*""#, "write `path.under(\"/x\")`"),
            (r#"path != "/x/*""#, "write `!path.under(\"/x\")`"),
            (r#"path.under("/x/*")"#, "write `path.under(\"/x\")`"),
            (r#"path.starts_with("/x*")"#, "write `path.starts_with(\"/x\")`"),
            (r#"path.ends_with("*.php")"#, "write `path.ends_with(\".php\")`"),
            (r#"path.ends_with(".php*")"#, "write `path.contains(\".php\")`"),
            (r#"path.ends_with("/edit/*")"#, "write `path.contains(\"/edit/\")`"),
            (r#"tls.sni.starts_with("*.edit")"#, "write `tls.sni.contains(\".edit\")`"),
            (r#"path.starts_with("/x/*")"#, "write `path.under(\"/x\")`"),
            (r#"tls.sni == "*.edit*""#, "write `tls.sni.contains(\".edit\")`"),
            (r#"tls.sni != "*.edit*""#, "write `!tls.sni.contains(\".edit\")`"),
            (r#"tls.sni == "**""#, "`tls.sni.matches(\"…\")` takes a pattern"),
            (r#"path.under("/x*")"#, "write `path.starts_with(\"/x\")`"),
            (r#"tls.sni.ends_with("example.*")"#, "write `tls.sni.contains(\"example.\")`"),
            (r#"path in ["/b", "/a*"]"#, "write `path.starts_with(\"/a\")`"),
            (r#"path == "/a/*/b""#, "`path.matches(\"…\")` takes a pattern"),
            (
                r#"!(method == "GET" && tls.sni == "*.example.com")"#,
                "write `tls.sni.ends_with(\".example.com\")`",
            ),
        ] {
            let doubts = doubts(text);
            let [doubt] = &doubts[..] else { panic!("{text}: {doubts:?}") };
            assert_eq!(doubt.hint(), Some(instead), "{text}");
            assert!(doubt.to_string().contains("stands for itself"), "{doubt}");
        }
    }

    #[test]
    fn a_star_that_may_be_meant_is_not_doubted() {
        for text in [
            r#"path == "*""#,
            r#"path.contains("*")"#,
            r#"path.matches("^/x.*")"#,
            r#"field["accept"] == "*/*""#,
            r#"path == "/x""#,
        ] {
            assert_eq!(doubts(text), [], "{text}");
        }
    }
}
