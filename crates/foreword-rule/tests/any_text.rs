//! Whatever the text, it is compiled or refused with a place in it; and what is compiled means what it says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use foreword_rule::{Facts, Predicate, RuleError, Scope, Template, Variable};
use proptest::prelude::*;

/// A request of which only the method and the query are known.
struct Request<'a> {
    method: &'a [u8],
    query: Option<&'a [u8]>,
}

impl Facts for Request<'_> {
    fn ip(&self, _: &Variable) -> Option<IpAddr> {
        None
    }
    fn number(&self, _: &Variable) -> Option<u64> {
        None
    }
    fn text(&self, variable: &Variable) -> Option<&[u8]> {
        match variable {
            Variable::Method => Some(self.method),
            Variable::Query => self.query,
            _ => None,
        }
    }
    fn any_field(&self, _: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.query.is_some_and(test)
    }
}

fn compile(text: &str) -> Result<Predicate, RuleError> {
    let lists = BTreeMap::new();
    Predicate::compile(text, &Scope::with_everything(&lists))
}

/// A condition as a tree, so that its meaning is known without parsing it.
#[derive(Clone, Debug)]
enum Tree {
    Test { query: bool, negated: bool, value: &'static str },
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

impl Tree {
    fn means(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Test { query, negated, value } => {
                let found = if *query { request.query } else { Some(request.method) };
                found.is_some_and(|found| (found == value.as_bytes()) != *negated)
            }
            Self::Not(part) => !part.means(request),
            Self::And(parts) => parts.iter().all(|part| part.means(request)),
            Self::Or(parts) => parts.iter().any(|part| part.means(request)),
        }
    }

    /// As text, with no more parentheses than the binding of the operators needs.
    fn text(&self, binding: u8) -> String {
        let (own, text) = match self {
            Self::Test { query, negated, value } => {
                let variable = if *query { "query" } else { "method" };
                (3, format!("{variable} {} \"{value}\"", if *negated { "!=" } else { "==" }))
            }
            Self::Not(part) => (3, format!("!{}", part.text(3))),
            Self::And(parts) => (2, joined(parts, " && ", 3)),
            Self::Or(parts) => (1, joined(parts, " || ", 2)),
        };
        if own < binding { format!("({text})") } else { text }
    }
}

fn joined(parts: &[Tree], sign: &str, binding: u8) -> String {
    parts.iter().map(|part| part.text(binding)).collect::<Vec<_>>().join(sign)
}

fn tree() -> impl Strategy<Value = Tree> {
    let test = (any::<bool>(), any::<bool>(), prop::sample::select(vec!["GET", "PUT"]))
        .prop_map(|(query, negated, value)| Tree::Test { query, negated, value });
    test.prop_recursive(5, 40, 4, |part| {
        prop_oneof![
            part.clone().prop_map(|part| Tree::Not(Box::new(part))),
            prop::collection::vec(part.clone(), 2..4).prop_map(Tree::And),
            prop::collection::vec(part, 2..4).prop_map(Tree::Or),
        ]
    })
}

const SOUP: &[&str] = &[
    "client.ip",
    "path",
    "field",
    "tlv",
    "[",
    "]",
    "(",
    ")",
    "\"a\"",
    "\"é\"",
    "\"/a",
    "==",
    "!=",
    "in",
    "&&",
    "||",
    "!",
    ".",
    ".under",
    ".matches",
    "@x",
    "0xE1",
    "7",
    "10.0.0.0/8",
    ",",
    " ",
    "é",
    "{",
    "}",
    "{host}",
    "=",
    "\n",
];

proptest! {
    #[test]
    fn a_condition_means_what_its_tree_means(tree in tree()) {
        let text = tree.text(0);
        let predicate = compile(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for method in [&b"GET"[..], b"PUT", b"POST"] {
            for query in [None, Some(&b"GET"[..]), Some(b"x")] {
                let request = Request { method, query };
                prop_assert_eq!(predicate.holds(&request), tree.means(&request), "{}", text);
                prop_assert_eq!(predicate.explain(&request).holds, tree.means(&request), "{}", text);
            }
        }
    }

    #[test]
    fn a_refusal_points_into_the_text(parts in prop::collection::vec(prop::sample::select(SOUP), 0..24)) {
        let text = parts.concat();
        for error in [compile(&text).err(), Template::compile(&text).err()].into_iter().flatten() {
            prop_assert!(text.get(error.span()).is_some(), "{:?} in {:?}", error.span(), text);
            prop_assert!(!error.to_string().contains(char::is_control), "{:?}", error.to_string());
        }
    }

    #[test]
    fn no_value_can_break_out_of_a_template(value in prop::collection::vec(any::<u8>(), 0..64)) {
        let template = Template::compile("{method}{field[\"a\"]}?{query}{uri}").expect("good");
        let mut out = Vec::new();
        template.write(&Request { method: &value, query: Some(&value) }, &mut out);
        prop_assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
    }
}
