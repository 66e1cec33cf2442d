//! What a rule becomes: a small tree of tests, each with its operand ready.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::Input;
use regex_automata::dfa::Automaton as _;
use regex_automata::dfa::dense;

use crate::template::write_value;
use crate::{Facts, IpSet, List, TextSet, Variable};

/// A rule's condition, compiled: it cannot fail, and asking it allocates nothing.
#[derive(Clone)]
pub struct Predicate {
    pub(crate) text: Box<str>,
    pub(crate) root: Node,
}

impl Predicate {
    /// Whether the condition holds.
    pub fn holds(&self, facts: &impl Facts) -> bool {
        self.root.holds(facts)
    }

    /// The same answer, with the answer and the value of every part, those included that `&&` and `||` passed over.
    pub fn explain(&self, facts: &impl Facts) -> Explained<'_> {
        self.root.explain(&self.text, facts)
    }

    /// The condition as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every variable that it asks for, as often as it is written.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        let mut found = Vec::new();
        self.root.collect_variables(&mut found);
        found.into_iter()
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Predicate").field(&self.text).finish()
    }
}

/// A part of a condition, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained<'p> {
    /// The part as it was written.
    pub text: &'p str,
    /// Whether it holds.
    pub holds: bool,
    /// For a single test: what the variable's value was; `None` if it had none, or if this is no single test.
    pub value: Option<String>,
    /// Whether this is a single test, so that no `value` means that the value was missing.
    pub is_test: bool,
    /// What `&&`, `||` or `!` joins.
    pub parts: Vec<Explained<'p>>,
}

/// A part of the tree, and where it stands in the text.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) join: Join,
}

#[derive(Clone)]
pub(crate) enum Join {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test(Test),
}

impl Node {
    fn holds(&self, facts: &impl Facts) -> bool {
        match &self.join {
            Join::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Join::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Join::Not(part) => !part.holds(facts),
            Join::Test(test) => test.holds(facts),
        }
    }

    fn explain<'p>(&'p self, text: &'p str, facts: &impl Facts) -> Explained<'p> {
        let parts = match &self.join {
            Join::All(parts) | Join::Any(parts) => {
                parts.iter().map(|part| part.explain(text, facts)).collect()
            }
            Join::Not(part) => vec![part.explain(text, facts)],
            Join::Test(_) => Vec::new(),
        };
        let test = match &self.join {
            Join::Test(test) => Some(test),
            _ => None,
        };
        Explained {
            text: text.get(self.span.clone()).unwrap_or(text),
            holds: self.holds(facts),
            value: test.and_then(|test| test.value(facts)),
            is_test: test.is_some(),
            parts,
        }
    }

    fn collect_variables<'n>(&'n self, found: &mut Vec<&'n Variable>) {
        match &self.join {
            Join::All(parts) | Join::Any(parts) => {
                parts.iter().for_each(|part| part.collect_variables(found))
            }
            Join::Not(part) => part.collect_variables(found),
            Join::Test(test) => found.push(&test.variable),
        }
    }
}

/// A variable compared with an operand. A missing value makes it false, `!=` included.
#[derive(Clone)]
pub(crate) struct Test {
    pub(crate) variable: Variable,
    pub(crate) check: Check,
}

impl Test {
    fn holds(&self, facts: &impl Facts) -> bool {
        match (&self.check, &self.variable) {
            (Check::Ip(check), variable) => facts
                .ip(variable)
                .is_some_and(|address| check.holds(address.to_canonical())),
            (Check::Number(check), variable) => {
                facts.number(variable).is_some_and(|number| check.holds(number))
            }
            (Check::Text(TextCheck::IsNot(word)), Variable::Field(name)) => {
                facts.any_field(name, &mut |_| true) && !facts.any_field(name, &mut |value| value == &**word)
            }
            (Check::Text(check), Variable::Field(name)) => {
                facts.any_field(name, &mut |value| check.holds(value))
            }
            (Check::Text(check), variable) => facts.text(variable).is_some_and(|text| check.holds(text)),
        }
    }

    /// The value as `why` shows it; a field's occurrences all.
    fn value(&self, facts: &impl Facts) -> Option<String> {
        let mut shown = Vec::new();
        match &self.variable {
            Variable::Field(name) => {
                facts.any_field(name, &mut |value| {
                    shown.extend_from_slice(if shown.is_empty() { b"\"" } else { b", \"" });
                    shown.extend(value.escape_ascii());
                    shown.push(b'"');
                    false
                });
            }
            variable if matches!(self.check, Check::Text(_)) => {
                let text = facts.text(variable)?;
                shown.push(b'"');
                shown.extend(text.escape_ascii());
                shown.push(b'"');
            }
            variable => write_value(variable, facts, &mut shown),
        }
        (!shown.is_empty()).then(|| String::from_utf8_lossy(&shown).into_owned())
    }
}

#[derive(Clone)]
pub(crate) enum Check {
    Ip(IpCheck),
    Number(NumberCheck),
    Text(TextCheck),
}

#[derive(Clone)]
pub(crate) enum IpCheck {
    Is(IpAddr),
    IsNot(IpAddr),
    In(IpSet),
    /// Always of addresses: the types were checked.
    InList(Arc<List>),
}

impl IpCheck {
    fn holds(&self, address: IpAddr) -> bool {
        match self {
            Self::Is(operand) => address == *operand,
            Self::IsNot(operand) => address != *operand,
            Self::In(set) => set.contains(address),
            Self::InList(list) => matches!(&**list, List::Addresses(set) if set.contains(address)),
        }
    }
}

#[derive(Clone)]
pub(crate) enum NumberCheck {
    Is(u64),
    IsNot(u64),
    /// In order.
    In(Vec<u64>),
}

impl NumberCheck {
    fn holds(&self, number: u64) -> bool {
        match self {
            Self::Is(operand) => number == *operand,
            Self::IsNot(operand) => number != *operand,
            Self::In(numbers) => numbers.binary_search(&number).is_ok(),
        }
    }
}

#[derive(Clone)]
pub(crate) enum TextCheck {
    Is(Box<[u8]>),
    IsNot(Box<[u8]>),
    In(TextSet),
    /// Always of words: the types were checked.
    InList(Arc<List>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Contains(Box<Finder<'static>>),
    /// Without a slash at its end, so that the root is empty.
    Under(Box<[u8]>),
    /// Whole and ready, so that a search neither allocates nor shares a cache between workers.
    Matches(Arc<dense::DFA<Vec<u32>>>),
}

impl TextCheck {
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Is(word) => text == &**word,
            Self::IsNot(word) => text != &**word,
            Self::In(set) => set.contains(text),
            Self::InList(list) => matches!(&**list, List::Texts(set) if set.contains(text)),
            Self::StartsWith(word) => text.starts_with(word),
            Self::EndsWith(word) => text.ends_with(word),
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::Under(prefix) => text
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/')),
            // The search can give up only at bytes that a pattern was told to quit at, and none is told so.
            Self::Matches(dfa) => matches!(dfa.try_search_fwd(&Input::new(text).earliest(true)), Ok(Some(_))),
        }
    }
}
