//! Rule and template text: whatever it is, it is compiled or refused with a place in it, and asking it cannot fail.

#![no_main]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use foreword_rule::{Facts, List, Predicate, RuleError, Scope, Template, Variable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data.split(|&byte| byte == 0).next().unwrap_or_default()) else { return };
    let facts = Request { value: data.get(text.len() + 1..).unwrap_or_default() };
    let lists = BTreeMap::from([
        ("a".to_owned(), Arc::new(List::parse(["10.0.0.0/8", "::1"]).expect("addresses").into())),
        ("w".to_owned(), Arc::new(List::parse(["x", "y"]).expect("words").into())),
    ]);
    for ignore_case in [false, true] {
        let scope = Scope { ignore_case, ..Scope::with_everything(&lists) };
        match Predicate::compile(text, &scope) {
            Ok(predicate) => {
                let holds = predicate.holds(&facts);
                assert_eq!(predicate.explain(&facts).holds, holds);
                assert_eq!(predicate.text(), text);
                let negated = format!("!({text})");
                // What is at a bound may be over it once negated.
                if let Ok(negated) = Predicate::compile(&negated, &scope) {
                    assert_eq!(negated.holds(&facts), !holds, "`!` negates as written");
                }
            }
            Err(error) => lies_in(text, &error),
        }
    }
    match Template::compile(text) {
        Ok(template) => {
            let mut out = Vec::new();
            template.write(&facts, &mut out);
            let text = String::from_utf8(out).expect("values become ASCII");
            assert!(!text.contains(|letter: char| letter.is_control()));
        }
        Err(error) => lies_in(text, &error),
    }
});

fn lies_in(text: &str, error: &RuleError) {
    assert!(text.get(error.span()).is_some(), "{:?} is no place in the text: {error}", error.span());
}

/// A request that answers everything with the same bytes, or with nothing if there are none.
struct Request<'a> {
    value: &'a [u8],
}

impl Facts for Request<'_> {
    fn ip(&self, _: &Variable) -> Option<IpAddr> {
        self.value.first_chunk().map(|&bytes: &[u8; 16]| Ipv6Addr::from(bytes).into())
    }

    fn number(&self, _: &Variable) -> Option<u64> {
        self.value.first().map(|&byte| byte.into())
    }

    fn text(&self, _: &Variable) -> Option<&[u8]> {
        (!self.value.is_empty()).then_some(self.value)
    }

    fn any_field(&self, _: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.value.chunks(8).any(test)
    }
}
