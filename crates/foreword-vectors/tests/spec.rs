//! Requirements, vectors, tests and `docs/spec.md` are kept in step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use foreword_vectors::{Level, requirements, vectors};

/// What `docs/spec.md` says of one requirement.
struct Entry {
    heading: String,
    text: String,
    /// Every name in backticks behind `Vectors:`.
    vectors: BTreeSet<String>,
    /// Every name in backticks behind `Tests:`.
    tests: BTreeSet<String>,
}

#[test]
fn every_requirement_has_its_entry_word_for_word() {
    let entries = entries();
    for requirement in requirements() {
        let entry = entries.get(&requirement.id).unwrap_or_else(|| panic!("no entry for {}", requirement.id));
        let level = match requirement.level {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::Choice => "CHOICE",
        };
        let section = match requirement.section.as_str() {
            "" => String::new(),
            section => format!(", §{section}"),
        };
        assert_eq!(entry.heading, format!("{} ({level}{section})", requirement.id));
        assert!(entry.text.contains(&requirement.text), "{}", requirement.id);
        assert!(entry.text.contains(&requirement.choice), "{}", requirement.id);
    }
    assert_eq!(entries.len(), requirements().len(), "an entry without a requirement");
}

#[test]
fn every_vector_is_listed_under_its_requirement_and_no_other_is() {
    let mut expected: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for vector in vectors() {
        expected.entry(&vector.req).or_default().insert(vector.id.clone());
    }
    let entries = entries();
    for req in expected.keys() {
        assert!(entries.contains_key(*req), "vectors stand for {req}, which is no requirement");
    }
    for (id, entry) in &entries {
        assert_eq!(entry.vectors, expected.remove(id.as_str()).unwrap_or_default(), "under {id}");
    }
}

#[test]
fn every_test_that_is_named_is_a_test() {
    let tests = test_names();
    for (id, entry) in entries() {
        for test in entry.tests {
            assert!(tests.contains(&test), "{id} names `{test}`, which is no test under crates/");
        }
    }
}

#[test]
fn an_entry_is_shown_by_something_or_says_that_it_is_not() {
    for (id, entry) in entries() {
        let shown = !entry.vectors.is_empty() || !entry.tests.is_empty();
        assert_eq!(shown, !entry.text.contains("Not shown yet."), "{id}");
    }
}

#[test]
fn no_vector_or_requirement_is_there_twice() {
    let ids: BTreeSet<_> = vectors().iter().map(|vector| &vector.id).collect();
    assert_eq!(ids.len(), vectors().len());
    let ids: BTreeSet<_> = requirements().iter().map(|requirement| &requirement.id).collect();
    assert_eq!(ids.len(), requirements().len());
}

fn entries() -> BTreeMap<String, Entry> {
    let page = fs::read_to_string(root().join("docs/spec.md")).expect("docs/spec.md is there");
    let mut entries = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let (heading, text) = section.split_once('\n').expect("an entry has a text");
        // The next area's heading belongs to no entry.
        let text = text.split("\n## ").next().unwrap_or(text);
        let id = heading.split(' ').next().expect("a heading begins with an id");
        let entry = Entry {
            heading: heading.to_owned(),
            text: text.to_owned(),
            vectors: names(paragraph(text, "Vectors:")),
            tests: names(paragraph(text, "Tests:")),
        };
        assert!(entries.insert(id.to_owned(), entry).is_none(), "{id} has two entries");
    }
    entries
}

/// The paragraph that begins with this word.
fn paragraph<'a>(text: &'a str, begin: &str) -> &'a str {
    text.split("\n\n").map(str::trim).find(|paragraph| paragraph.starts_with(begin)).unwrap_or_default()
}

fn names(paragraph: &str) -> BTreeSet<String> {
    paragraph.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every function under `crates/` that an attribute ending in `test` stands above, or that proptest runs.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in sources(&root().join("crates")) {
        let source = fs::read_to_string(&file).expect("a source is text");
        let mut after_attribute = false;
        for line in source.lines().map(str::trim) {
            let name =
                line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            match name {
                Some(name) if after_attribute => {
                    names.insert(name.to_owned());
                    after_attribute = false;
                }
                _ if line.starts_with("#[") && line.contains("test") => after_attribute = true,
                _ if line.starts_with("#[") => {}
                _ => after_attribute = false,
            }
        }
    }
    names
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
