//! YAML and JSON as a tree in which every value knows its line, its column and its tag. What it costs is bounded before
//! it is built.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::fault::{Fault, Place, shown};

/// A value of the description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    /// A short tag without its `!`, such as `Ref`.
    pub(crate) tag: Option<String>,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, numbers, booleans: as they were written.
    Scalar(String),
    /// Nothing, or `null`.
    Null,
    List(Vec<Node>),
    /// In the order of the description; no key is there twice.
    Map(Vec<(Key, Node)>),
}

/// A key, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// What becomes of `*alias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aliases {
    /// The description's own reader does not know them either.
    Refused,
    /// They stand for what is anchored, and count as much as it does.
    Followed,
}

impl Node {
    /// The value of a key of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
    }

    /// The keys and values of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, for messages.
    pub(crate) fn found(&self) -> String {
        match &self.kind {
            Kind::Scalar(text) => shown(text),
            Kind::Null => "nothing".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

/// Reads all documents of a text.
pub(crate) fn read(text: &str, aliases: Aliases) -> Result<Vec<Node>, Fault> {
    if text.len() > MAX_LEN {
        return Err(Fault::new(format!("expected at most {} MiB, found more", MAX_LEN / (1024 * 1024))));
    }
    let mut events =
        Events { parser: Parser::new_from_str(text), aliases, left: MAX_NODES, anchors: BTreeMap::new() };
    let mut documents = Vec::new();
    while let Some((event, span)) = events.next()? {
        if matches!(event, Event::DocumentStart(_)) {
            events.anchors.clear();
            let root = events.node(0)?;
            if root.kind != Kind::Null {
                documents.push(root);
            }
            if documents.len() > MAX_DOCUMENTS {
                return Err(Fault::expected(
                    place(span),
                    format!("at most {MAX_DOCUMENTS} documents"),
                    "more",
                ));
            }
        }
    }
    Ok(documents)
}

/// The parser's events, and what is left of the bounds.
struct Events<'t> {
    parser: Parser<'t, StrInput<'t>>,
    aliases: Aliases,
    /// How many values may still come; an alias counts as many as it stands for.
    left: usize,
    /// What was anchored, and how many values it has.
    anchors: BTreeMap<usize, (Node, usize)>,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        self.parser.next_event().transpose().map_err(|error| syntax(&error))
    }

    /// Reads one value with all that is in it.
    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let Some((event, span)) = self.next()? else {
            return Err(Fault::new("expected a value, found the end"));
        };
        self.node_of(event, span, depth)
    }

    fn node_of(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        let place = place(span);
        if depth > MAX_DEPTH {
            return Err(Fault::expected(place, format!("at most {MAX_DEPTH} levels"), "more"));
        }
        self.take(1, place)?;
        let before = self.left;
        let (kind, anchor, tag) = match event {
            Event::Alias(id) => return self.alias(id, place),
            Event::Scalar(text, style, anchor, tag) => {
                let null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                // A tag makes something of nothing: `!Ref ""` and `!GetAZs` are no null.
                let null = null && tag.is_none();
                (if null { Kind::Null } else { Kind::Scalar(text.into_owned()) }, anchor, tag)
            }
            Event::SequenceStart(anchor, tag) => (Kind::List(self.list(depth)?), anchor, tag),
            Event::MappingStart(anchor, tag) => (Kind::Map(self.map(depth)?), anchor, tag),
            _ => return Err(Fault::expected(place, "a value", "none")),
        };
        let node = Node { place, tag: tag.as_deref().and_then(short), kind };
        if anchor != 0 && self.aliases == Aliases::Followed {
            // What is kept costs as much as what is used.
            let count = before.saturating_sub(self.left) + 1;
            self.take(count, place)?;
            self.anchors.insert(anchor, (node.clone(), count));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, _)) | None => return Ok(list),
                Some((event, span)) => list.push(self.node_of(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Fault> {
        let mut map = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let key = match self.next()? {
                Some((Event::MappingEnd, _)) | None => return Ok(map),
                Some((event, span)) => self.node_of(event, span, depth + 1)?,
            };
            let text = match key.kind {
                Kind::Scalar(text) if text == "<<" => {
                    return Err(Fault::at(key.place, "merge keys (`<<`) are not followed"));
                }
                Kind::Scalar(text) => text,
                _ => return Err(Fault::expected(key.place, "a key that is text", key.found())),
            };
            if !seen.insert(text.clone()) {
                return Err(Fault::expected(key.place, "each key once", format!("{} again", shown(&text))));
            }
            let value = self.node(depth + 1)?;
            map.push((Key { text, place: key.place }, value));
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Fault> {
        if self.aliases == Aliases::Refused {
            let fault = Fault::expected(place, "a value", "a YAML alias");
            return Err(fault.hint("CloudFormation takes none: write out what it stands for"));
        }
        let Some((node, count)) = self.anchors.get(&id).cloned() else {
            return Err(Fault::at(place, "this alias stands inside of what it is an alias of"));
        };
        self.take(count, place)?;
        Ok(node)
    }

    fn take(&mut self, count: usize, place: Place) -> Result<(), Fault> {
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            Fault::expected(place, format!("at most {MAX_NODES} values"), "more")
                .hint("aliases count as much as they stand for")
        })?;
        Ok(())
    }
}

/// `!Ref` is `Ref`; the tags of YAML itself say nothing that text does not.
fn short(tag: &Tag) -> Option<String> {
    (tag.handle == "!" && !tag.suffix.is_empty()).then(|| tag.suffix.clone())
}

fn place(span: Span) -> Place {
    Place { line: span.start.line().max(1), column: span.start.col() + 1 }
}

fn syntax(error: &ScanError) -> Fault {
    let marker = error.marker();
    let place = Place { line: marker.line().max(1), column: marker.col() + 1 };
    Fault::at(place, format!("expected YAML or JSON: {}", error.info()))
}

/// CloudFormation takes 1 MiB at most.
const MAX_LEN: usize = 4 * 1024 * 1024;

/// A template of 500 resources has some 20,000.
const MAX_NODES: usize = 200_000;

/// Reading goes down once a level; nothing that people write is half as deep.
const MAX_DEPTH: usize = 64;

const MAX_DOCUMENTS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        read(text, Aliases::Refused).expect("sound text").remove(0)
    }

    #[test]
    fn json_and_yaml_make_the_same_tree() {
        let yaml = one("A:\n  - 1\n  - \"two\"\nB: null\n");
        let json = one("{\n\t\"A\": [1, \"two\"],\n\t\"B\": null}");
        let texts = |node: &Node| match &node.get("A").expect("there").kind {
            Kind::List(list) => list.iter().map(|node| node.kind.clone()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(texts(&yaml), texts(&json));
        assert_eq!(yaml.get("B").map(|node| &node.kind), Some(&Kind::Null));
    }

    #[test]
    fn json_escapes_are_read_as_json_means_them() {
        let json = one(r#"{"a": "\u00e4 \"x\" \/ \n"}"#);
        assert_eq!(json.get("a").map(|node| &node.kind), Some(&Kind::Scalar("ä \"x\" / \n".to_owned())));
    }

    #[test]
    fn a_tag_and_its_place_are_kept() {
        let tree = one("A:\n  B: !Ref C\n");
        let b = tree.get("A").and_then(|a| a.get("B")).expect("there");
        assert_eq!(b.tag.as_deref(), Some("Ref"));
        assert_eq!(b.place.line, 2);
    }

    #[test]
    fn an_alias_bomb_is_refused_before_it_bursts() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = level - 1;
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 9].join(", ")));
        }
        let fault = read(&text, Aliases::Followed).expect_err("a bomb");
        assert!(fault.to_string().contains("at most 200000 values"), "{fault}");
        let fault = read(&text, Aliases::Refused).expect_err("aliases");
        assert!(fault.to_string().contains("a YAML alias"), "{fault}");
    }

    #[test]
    fn deep_nesting_a_huge_text_and_doubled_keys_are_refused() {
        for (text, told) in [
            ("[".repeat(100), "levels"),
            ("[".repeat(100_000), "limit"),
            (format!("{}x", "- ".repeat(50_000)), "levels"),
            (format!("a: {}", "x".repeat(MAX_LEN)), "at most 4 MiB"),
            ("a: 1\na: 2\n".to_owned(), "each key once"),
            ("a: {b".to_owned(), "expected YAML or JSON"),
            ("a: &a {b: *a}\n".to_owned(), "inside of what"),
            ("a: {<<: {b: 1}}\n".to_owned(), "merge keys"),
        ] {
            let fault = read(&text, Aliases::Followed).expect_err(told);
            assert!(fault.to_string().contains(told), "{fault}");
        }
    }
}
