//! Which of many conditions may hold at all: found in a table, so that a thousand of them for a host each cost as much as one.

use std::collections::HashMap;
use std::slice;

use crate::named::Entries;
use crate::program::{Check, Join, Node, Predicate, Test, TextCheck};
use crate::{Facts, List, Variable};

/// Conditions in order, sorted by what most of them ask first.
#[derive(Clone, Debug, Default)]
pub struct Index {
    key: Option<Key>,
    /// The places of conditions that can hold for one value only, or for a few.
    by_value: HashMap<Box<[u8]>, Vec<u32>>,
    /// Those of all others.
    others: Vec<u32>,
}

/// By what conditions are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// The value of a variable.
    Whole(Variable),
    /// What stands before the second slash of `path`.
    FirstSegment,
}

impl Index {
    /// An index of these conditions; where there is `None`, it always holds.
    pub fn of<'p>(conditions: impl IntoIterator<Item = Option<&'p Predicate>>) -> Self {
        let conditions: Vec<Option<&Predicate>> = conditions.into_iter().collect();
        let told_apart =
            |key: &Key| conditions.iter().flatten().filter(|when| key.values(when).is_some()).count();
        let best = KEYS.into_iter().map(|key| (told_apart(&key), key)).max_by_key(|(count, _)| *count);
        let key = best.filter(|(count, _)| *count >= WORTH_IT).map(|(_, key)| key);
        let mut index = Self { key, ..Self::default() };
        for (place, when) in (0..).zip(conditions) {
            match when.and_then(|when| index.key.as_ref()?.values(when)) {
                Some(values) => index.insert(values, place),
                None => index.others.push(place),
            }
        }
        index
    }

    fn insert(&mut self, values: Vec<&[u8]>, place: u32) {
        for value in values {
            let places = self.by_value.entry(value.into()).or_default();
            // A condition may name one value twice.
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }

    /// The places of all conditions that may hold, in order. Those that are left out do not.
    pub fn may_hold(&self, facts: &impl Facts) -> MayHold<'_> {
        let value = self.key.as_ref().and_then(|key| key.of(facts));
        let named = value.and_then(|value| self.by_value.get(value)).map_or(&[][..], Vec::as_slice);
        MayHold { named: named.iter(), others: self.others.iter() }
    }
}

/// Places of conditions, in order.
#[derive(Clone, Debug)]
pub struct MayHold<'i> {
    named: slice::Iter<'i, u32>,
    others: slice::Iter<'i, u32>,
}

impl Iterator for MayHold<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let next = match (self.named.as_slice().first(), self.others.as_slice().first()) {
            (Some(named), Some(other)) if named < other => self.named.next(),
            (Some(_), None) => self.named.next(),
            _ => self.others.next(),
        };
        next.map(|place| *place as usize)
    }
}

impl Key {
    /// The value of a connection or a request, by which its conditions are found.
    fn of<'f>(&self, facts: &'f impl Facts) -> Option<&'f [u8]> {
        match self {
            Self::Whole(variable) => facts.text(variable),
            Self::FirstSegment => first_segment(facts.text(&Variable::Path)?).map(|(segment, _)| segment),
        }
    }

    /// The values of which there has to be one for a condition to hold; `None` if it may hold with others, too.
    fn values<'p>(&self, when: &'p Predicate) -> Option<Vec<&'p [u8]>> {
        self.values_of_node(&when.root)
    }

    fn values_of_node<'p>(&self, node: &'p Node) -> Option<Vec<&'p [u8]>> {
        match &node.join {
            // Each part has to hold, so any one that tells will do.
            Join::All(parts) => {
                parts.iter().filter_map(|part| self.values_of_node(part)).min_by_key(Vec::len)
            }
            Join::Any(parts) => {
                let values: Option<Vec<_>> = parts.iter().map(|part| self.values_of_node(part)).collect();
                Some(values?.concat())
            }
            Join::Not(_) => None,
            Join::Test(Test { variable, check: Check::Text(check) }) => self.values_of_check(variable, check),
            Join::Test(_) => None,
        }
    }

    fn values_of_check<'p>(&self, variable: &Variable, check: &'p TextCheck) -> Option<Vec<&'p [u8]>> {
        match self {
            Self::Whole(key) if key == variable => words(check),
            Self::FirstSegment if *variable == Variable::Path => match check {
                TextCheck::Under(prefix) => Some(vec![first_segment(prefix)?.0]),
                TextCheck::StartsWith(prefix) => match first_segment(prefix)? {
                    (segment, true) => Some(vec![segment]),
                    (_, false) => None,
                },
                check => words(check)?.into_iter().map(|path| Some(first_segment(path)?.0)).collect(),
            },
            Self::Whole(_) | Self::FirstSegment => None,
        }
    }
}

/// The words of which a value has to be one.
fn words(check: &TextCheck) -> Option<Vec<&[u8]>> {
    match check {
        TextCheck::Is(word) => Some(vec![word]),
        TextCheck::In(set) => Some(set.words().collect()),
        TextCheck::InList(Entries::Fixed(list)) => match &**list {
            List::Texts(set) => Some(set.words().collect()),
            List::Addresses(_) => None,
        },
        // It may hold other words later.
        TextCheck::InList(Entries::Following(_)) => None,
        _ => None,
    }
}

/// What stands between the first slash and the second, and whether there is a second.
fn first_segment(path: &[u8]) -> Option<(&[u8], bool)> {
    let path = path.strip_prefix(b"/")?;
    let end = memchr::memchr(b'/', path);
    Some((path.get(..end.unwrap_or(path.len()))?, end.is_some()))
}

const KEYS: [Key; 4] = [
    Key::FirstSegment,
    Key::Whole(Variable::TlvAuthority),
    Key::Whole(Variable::TlsSni),
    Key::Whole(Variable::Host),
];

/// Fewer are asked sooner than found.
const WORTH_IT: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{List, Scope};

    struct Request {
        host: Option<&'static str>,
        path: &'static str,
    }

    impl Facts for Request {
        fn ip(&self, _: &Variable) -> Option<IpAddr> {
            None
        }
        fn number(&self, _: &Variable) -> Option<u64> {
            None
        }
        fn text(&self, variable: &Variable) -> Option<&[u8]> {
            match variable {
                Variable::Host => self.host.map(str::as_bytes),
                Variable::Path => Some(self.path.as_bytes()),
                Variable::Method => Some(b"GET"),
                _ => None,
            }
        }
        fn any_field(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            false
        }
    }

    fn compile(conditions: &[String]) -> Vec<Option<Predicate>> {
        let sites = Arc::new(List::parse(["a.example.com", "c.example.com"]).unwrap().into());
        let lists = BTreeMap::from([("sites".to_owned(), sites)]);
        let scope = Scope::with_everything(&lists);
        let compile = |text: &String| match text.as_str() {
            "" => None,
            text => Some(Predicate::compile(text, &scope).unwrap_or_else(|error| panic!("{text}: {error}"))),
        };
        conditions.iter().map(compile).collect()
    }

    fn places(conditions: &[String], request: &Request) -> Vec<usize> {
        Index::of(compile(conditions).iter().map(Option::as_ref)).may_hold(request).collect()
    }

    #[test]
    fn of_a_thousand_hosts_only_the_one_at_hand_is_asked() {
        let mut conditions: Vec<_> = (0..1000).map(|n| format!("host == \"h{n}.example.com\"")).collect();
        conditions.insert(500, String::new());
        let of = |host| places(&conditions, &Request { host, path: "/" });
        assert_eq!(of(Some("h7.example.com")), [7, 500]);
        assert_eq!(of(Some("h999.example.com")), [500, 1000]);
        assert_eq!(of(Some("other.example.com")), [500]);
        assert_eq!(of(None), [500]);
    }

    #[test]
    fn of_a_thousand_paths_only_those_with_its_beginning_are_asked() {
        let mut conditions: Vec<_> = (0..1000).map(|n| format!("path.under(\"/p{n}/x\")")).collect();
        conditions.extend(
            ["path.starts_with(\"/p7/\")", "path.starts_with(\"/p7\")", "path == \"/p7\""].map(String::from),
        );
        let of = |path| places(&conditions, &Request { host: None, path });
        assert_eq!(of("/p7/x/y"), [7, 1000, 1001, 1002]);
        assert_eq!(of("/p70"), [70, 1001]);
        assert_eq!(of("/"), [1001]);
    }

    #[test]
    fn a_few_are_all_asked() {
        let conditions = ["host == \"a\"".to_owned(), "host == \"b\"".to_owned()];
        assert_eq!(places(&conditions, &Request { host: Some("b"), path: "/" }), [0, 1]);
    }

    /// Conditions over few values, so that many hold.
    fn condition() -> impl Strategy<Value = String> {
        let test = prop::sample::select(vec![
            "host == \"a.example.com\"",
            "host == \"b.example.com\"",
            "host != \"a.example.com\"",
            "host in [\"b.example.com\", \"c.example.com\", \"b.example.com\"]",
            "host in @sites",
            "host.ends_with(\".example.com\")",
            "path.under(\"/a\")",
            "path.under(\"/\")",
            "path.under(\"/a/b\")",
            "path.starts_with(\"/a\")",
            "path.starts_with(\"/a/\")",
            "path in [\"/a/b\", \"/b\"]",
            "path == \"/\"",
            "method == \"GET\"",
        ]);
        test.prop_map(String::from).prop_recursive(3, 12, 3, |part| {
            prop_oneof![
                part.clone().prop_map(|part| format!("!({part})")),
                (part.clone(), part.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
                (part.clone(), part).prop_map(|(a, b)| format!("({a} || {b})")),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_holds_is_asked_and_in_order(
            conditions in prop::collection::vec(prop_oneof![9 => condition(), 1 => Just(String::new())], 0..40),
            host in prop::sample::select(vec![None, Some("a.example.com"), Some("b.example.com"), Some("c.example.com")]),
            path in prop::sample::select(vec!["/", "/a", "/a/", "/a/b", "/ab", "/b", "*"]),
        ) {
            let (request, compiled) = (Request { host, path }, compile(&conditions));
            let asked: Vec<_> = Index::of(compiled.iter().map(Option::as_ref)).may_hold(&request).collect();
            prop_assert!(asked.is_sorted_by(|a, b| a < b), "{asked:?}");
            for (place, when) in compiled.iter().enumerate() {
                let holds = when.as_ref().is_none_or(|when| when.holds(&request));
                prop_assert!(!holds || asked.contains(&place), "{}", conditions[place]);
            }
        }
    }
}
