//! By what connections and requests are told apart: a value of theirs, or several in a template.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;

use foreword_rule::{Facts, Kind, Part, RuleError, Template, Variable};

/// What two connections, or requests, have in common that lead to the same endpoint, or count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: Box<str>,
    template: Template,
}

impl Key {
    /// Reads the name of a value, such as `client.ip`, or a template with several in braces. `resolve` knows the values.
    ///
    /// # Errors
    /// When there is no such value, or the template holds none: then every key would be the same.
    pub fn parse(text: &str, resolve: impl Fn(&str) -> Result<Variable, String>) -> Result<Self, RuleError> {
        let template = if text.contains(['{', '}']) {
            Template::parse(text, resolve)?
        } else {
            // The name is underlined where it stands; braces that nobody wrote would move it.
            let value = resolve(text).map_err(|problem| RuleError::new(0..text.len(), problem))?;
            Template::of(value)
        };
        if template.variables().next().is_none() {
            return Err(RuleError::new(0..text.len(), "expected a value in braces, found only text"));
        }
        Ok(Self { text: text.into(), template })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values that it is made of.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.template.variables()
    }

    /// The key as a number by which somebody is counted here; `None` where none of its values is there.
    pub(crate) fn hashed(&self, hash: &RandomState, facts: &impl Facts) -> Option<u64> {
        let mut hasher = hash.build_hasher();
        let is_there = self.read(facts, &mut |piece| match piece {
            // With its length, since two values side by side must not read as two others.
            Piece::Bytes(bytes) => bytes.hash(&mut hasher),
            Piece::Ip(IpAddr::V4(ip)) => ip.octets().hash(&mut hasher),
            // With IPv6 everybody has a /64 to choose from.
            Piece::Ip(IpAddr::V6(ip)) => (ip.to_bits() >> 64).hash(&mut hasher),
        });
        is_there.then(|| hasher.finish())
    }

    /// Gives what the key is made of, piece by piece, without writing it out first; `false` where none of the values is there.
    pub(crate) fn read(&self, facts: &impl Facts, each: &mut impl FnMut(Piece<'_>)) -> bool {
        let mut is_there = false;
        for part in self.template.parts() {
            match part {
                Part::Text(text) => each(Piece::Bytes(text.as_bytes())),
                Part::Value(variable) => is_there |= read(variable, facts, each),
            }
        }
        is_there
    }
}

/// Something that a key is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    /// However it was written.
    Ip(IpAddr),
}

/// Gives a value as it is; `false` if there is none.
fn read(variable: &Variable, facts: &impl Facts, each: &mut impl FnMut(Piece<'_>)) -> bool {
    match (variable, variable.kind()) {
        (Variable::Uri, _) => {
            let is_there = read(&Variable::ForwardedPath, facts, each);
            each(Piece::Bytes(b"?"));
            read(&Variable::Query, facts, each) | is_there
        }
        (Variable::Field(name), _) => facts.any_field(name, &mut |value| {
            each(Piece::Bytes(value));
            true
        }),
        (_, Kind::Ip) => facts.ip(variable).inspect(|ip| each(Piece::Ip(ip.to_canonical()))).is_some(),
        (_, Kind::Number) => {
            let number = facts.number(variable);
            number.inspect(|number| each(Piece::Bytes(&number.to_be_bytes()))).is_some()
        }
        (_, Kind::Text) => facts.text(variable).inspect(|text| each(Piece::Bytes(text))).is_some(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::policy::balance;

    /// Facts of which only some are there.
    pub(crate) struct Known {
        pub(crate) ip: Option<&'static str>,
        pub(crate) host: Option<&'static str>,
        pub(crate) field: Option<&'static str>,
    }

    impl Known {
        pub(crate) const NOBODY: Self = Self { ip: None, host: None, field: None };
    }

    impl Facts for Known {
        fn ip(&self, _: &Variable) -> Option<IpAddr> {
            self.ip.map(|ip| ip.parse().unwrap())
        }

        fn number(&self, _: &Variable) -> Option<u64> {
            None
        }

        fn text(&self, variable: &Variable) -> Option<&[u8]> {
            self.host.filter(|_| *variable == Variable::Host).map(str::as_bytes)
        }

        fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            self.field.filter(|_| name == "x-user").is_some_and(|value| test(value.as_bytes()))
        }
    }

    fn key(text: &str) -> Key {
        Key::parse(text, Variable::for_template).unwrap()
    }

    fn number(text: &str, facts: &Known) -> Option<u64> {
        balance::number(&key(text), facts)
    }

    #[test]
    fn the_same_value_is_the_same_key_however_an_address_is_written() {
        let of = |ip| number("client.ip", &Known { ip: Some(ip), ..Known::NOBODY });
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
    }

    #[test]
    fn a_field_or_several_values_make_a_key() {
        let of = |text: &str, host, field| number(text, &Known { ip: Some("192.0.2.1"), host, field });
        assert_ne!(of("field[\"X-User\"]", None, Some("a")), of("field[\"X-User\"]", None, Some("b")));
        let both = "{client.ip} {host}";
        assert_eq!(of(both, Some("a"), None), of(both, Some("a"), Some("x")));
        assert_ne!(of(both, Some("a"), None), of(both, Some("b"), None));
        assert!(of(both, None, None).is_some(), "one of them is there");
    }

    #[test]
    fn where_no_value_is_there_is_no_key() {
        for text in ["client.ip", "host", "client.port", "field[\"x-user\"]", "{host}{client.ip}", "{uri}"] {
            assert_eq!(number(text, &Known::NOBODY), None, "{text}");
        }
        assert!(number("host", &Known { host: Some(""), ..Known::NOBODY }).is_some(), "empty is not missing");
    }

    #[test]
    fn what_is_no_value_is_told_with_its_place() {
        for (text, place, message) in [
            ("clint.ip", 0..8, "expected a variable, found `clint.ip`; did you mean `client.ip`?"),
            ("{client.ip}{hots}", 12..16, "expected a variable, found `hots`; did you mean `host`?"),
            ("{{}}", 0..4, "expected a value in braces, found only text"),
        ] {
            let error = Key::parse(text, Variable::for_template).unwrap_err();
            assert_eq!((error.span(), error.to_string().as_str()), (place, message));
        }
    }
}
