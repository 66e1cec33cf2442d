//! What a rule becomes: a small tree of tests, each with its operand ready.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::dfa::dense;

use crate::named::Entries;
use crate::template::write_value;
use crate::{Facts, IpSet, List, TextSet, Variable, pattern};

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
            (Check::Ip(check), variable) => {
                facts.ip(variable).is_some_and(|address| check.holds(address.to_canonical()))
            }
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
    InList(Entries),
}

impl IpCheck {
    fn holds(&self, address: IpAddr) -> bool {
        match self {
            Self::Is(operand) => address == *operand,
            Self::IsNot(operand) => address != *operand,
            Self::In(set) => set.contains(address),
            Self::InList(list) => {
                list.with(|list| matches!(list, List::Addresses(set) if set.contains(address)))
            }
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
    InList(Entries),
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
            Self::InList(list) => list.with(|list| matches!(list, List::Texts(set) if set.contains(text))),
            Self::StartsWith(word) => text.starts_with(word),
            Self::EndsWith(word) => text.ends_with(word),
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::Under(prefix) => text
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/')),
            Self::Matches(dfa) => pattern::is_in(dfa, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Kind, Scope};

    /// A request as a table: what is not in it is missing.
    #[derive(Default)]
    struct Request {
        values: Vec<(Variable, &'static str)>,
        fields: Vec<(&'static str, &'static [u8])>,
    }

    impl Request {
        fn with(name: &str, value: &'static str) -> Self {
            Self::default().and(name, value)
        }

        fn and(mut self, name: &str, value: &'static str) -> Self {
            self.values.push((Variable::for_rule(name).expect("a known name"), value));
            self
        }

        fn field(mut self, name: &'static str, value: &'static [u8]) -> Self {
            self.fields.push((name, value));
            self
        }

        fn value(&self, variable: &Variable, kind: Kind) -> Option<&'static str> {
            assert_eq!(variable.kind(), kind, "asked through the method of its kind");
            self.values.iter().find(|(known, _)| known == variable).map(|&(_, value)| value)
        }
    }

    impl Facts for Request {
        fn ip(&self, variable: &Variable) -> Option<IpAddr> {
            self.value(variable, Kind::Ip).map(|value| value.parse().expect("an address"))
        }
        fn number(&self, variable: &Variable) -> Option<u64> {
            self.value(variable, Kind::Number).map(|value| value.parse().expect("a number"))
        }
        fn text(&self, variable: &Variable) -> Option<&[u8]> {
            self.value(variable, Kind::Text).map(str::as_bytes)
        }
        fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            self.fields.iter().filter(|&&(known, _)| known == name).any(|(_, value)| test(value))
        }
    }

    fn compile_for(text: &str, ignore_case: bool) -> Predicate {
        let lists = BTreeMap::from([
            ("office".to_owned(), List::parse(["198.51.100.0/24", "2001:db8:42::/48"])),
            ("sites".to_owned(), List::parse(["WWW.example.com"])),
        ]);
        let lists =
            lists.into_iter().map(|(name, list)| (name, Arc::new(list.expect("a list").into()))).collect();
        let scope = Scope { ignore_case, ..Scope::with_everything(&lists) };
        Predicate::compile(text, &scope).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn holds(text: &str, request: &Request) -> bool {
        compile_for(text, false).holds(request)
    }

    #[test]
    fn under_takes_whole_segments() {
        for (path, expected) in
            [("/admin", true), ("/admin/", true), ("/admin/x", true), ("/administrator", false), ("/", false)]
        {
            assert_eq!(holds("path.under(\"/admin\")", &Request::with("path", path)), expected, "{path}");
        }
        assert!(holds("path.under(\"/\")", &Request::with("path", "/x")));
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        let get = Request::with("method", "GET").and("host", "a");
        assert!(holds("method == \"GET\" || host == \"b\" && host == \"c\"", &get));
        assert!(!holds("(method == \"GET\" || host == \"b\") && host == \"c\"", &get));
        assert!(
            !holds("!method == \"GET\" || host == \"b\"", &get),
            "`!` takes the whole comparison, and only it"
        );
        assert!(holds("!(method == \"PUT\") && host == \"a\"", &get));
    }

    #[test]
    fn a_missing_value_makes_every_comparison_false() {
        let nothing = Request::default();
        let tests = [
            "client.ip == \"192.0.2.1\"",
            "client.ip != \"192.0.2.1\"",
            "client.ip in [\"0.0.0.0/0\", \"::/0\"]",
            "header.version != 1",
            "tls.sni != \"a\"",
            "query.matches(\"\")",
            "field[\"a\"] != \"b\"",
            "tlv[0xE1] != \"b\"",
        ];
        for test in tests {
            assert!(!holds(test, &nothing), "{test}");
            assert!(holds(&format!("!({test})"), &nothing), "`!` negates as written: {test}");
        }
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let mapped = Request::with("client.ip", "::ffff:198.51.100.7");
        assert!(holds("client.ip in @office", &mapped));
        assert!(holds("client.ip == \"198.51.100.7\"", &mapped));
        assert!(holds("client.ip in [\"::ffff:198.51.100.0/120\"]", &mapped));
        assert!(!holds("client.ip in [\"::/0\"]", &mapped), "IPv4 clients are no part of IPv6 ranges");
    }

    #[test]
    fn any_occurrence_of_a_field_will_do() {
        let request = Request::default().field("x-role", b"user").field("x-role", b"admin");
        assert!(holds("field[\"X-Role\"] == \"admin\"", &request));
        assert!(holds("field[\"x-role\"] in [\"admin\"]", &request));
        assert!(
            !holds("field[\"x-role\"] != \"admin\"", &request),
            "`!=` is the opposite of `==` where there is a value"
        );
        assert!(holds("field[\"x-role\"] != \"guest\"", &request));
    }

    #[test]
    fn words_are_compared_in_the_spelling_of_their_variable() {
        let request = Request::with("host", "www.example.com").and("path", "/admin");
        assert!(holds("host == \"WWW.Example.com\"", &request));
        assert!(holds("host in @sites", &request));
        assert!(holds("host.matches(\"^WWW\")", &request));
        assert!(!holds("path == \"/Admin\"", &request));
        assert!(compile_for("path.under(\"/Admin\")", true).holds(&request));
        assert!(compile_for("path.matches(\"^/ADMIN$\")", true).holds(&request));
    }

    #[test]
    fn patterns_look_anywhere_and_are_linear() {
        let long: &'static str = Box::leak(format!("{}!", "a".repeat(100_000)).into_boxed_str());
        assert!(!holds("query.matches(\"^(a+)+$\")", &Request::with("query", long)));
        assert!(holds("query.matches(\"a!\")", &Request::with("query", long)));
        assert!(holds("query.matches(\"^(?:x=)?\\d{4}$\")", &Request::with("query", "x=2026")));
    }

    #[test]
    fn numbers_are_members_in_any_order() {
        let request = Request::with("client.port", "443");
        assert!(holds("client.port in [8443, 443, 80]", &request));
        assert!(!holds("client.port in [8443, 80]", &request));
    }

    #[test]
    fn an_explanation_answers_every_part() {
        let predicate = compile_for("path.under(\"/admin\") && !(client.ip in @office)", false);
        let request = Request::with("path", "/index").and("client.ip", "203.0.113.7");
        let explained = predicate.explain(&request);
        assert!(!explained.holds);
        let [under, not] = &explained.parts[..] else { panic!("two parts") };
        assert_eq!(
            (under.text, under.holds, under.value.as_deref()),
            ("path.under(\"/admin\")", false, Some("\"/index\""))
        );
        assert_eq!((not.text, not.holds, not.value.as_deref()), ("!(client.ip in @office)", true, None));
        assert_eq!(not.parts[0].value.as_deref(), Some("203.0.113.7"));
        assert!(!not.parts[0].holds);
    }

    #[test]
    fn a_template_writes_values_that_cannot_break_out() {
        let template =
            crate::Template::compile("{{x}} {client.ip}:{client.port} {field[\"A\"]}{tlv.authority}")
                .expect("good");
        let request = Request::with("client.ip", "::ffff:192.0.2.1")
            .and("client.port", "7")
            .and("tlv.authority", "é")
            .field("a", b"b\r\nSet-Cookie: c\x7f");
        let mut out = Vec::new();
        template.write(&request, &mut out);
        assert_eq!(out, b"{x} 192.0.2.1:7 b%0D%0ASet-Cookie: c%7F%C3%A9");
    }

    #[test]
    fn uri_has_a_query_only_where_there_is_one() {
        let template = crate::Template::compile("https://{host}{uri}").expect("good");
        let mut request = Request::with("host", "a.example");
        request.values.push((Variable::ForwardedPath, "/x;y"));
        let mut out = Vec::new();
        template.write(&request, &mut out);
        assert_eq!(out, b"https://a.example/x;y");
        out.clear();
        template.write(&request.and("query", "z"), &mut out);
        assert_eq!(out, b"https://a.example/x;y?z");
    }
}
