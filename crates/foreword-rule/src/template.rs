//! Text with variables in braces, as in `https://{host}{uri}`; `{{` and `}}` stand for the braces themselves.

use std::io::Write as _;
use std::ops::Range;

use crate::{Facts, Kind, RuleError, Variable};

/// A compiled template over the variables `V`: those of a rule, or the columns of a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<V = Variable> {
    parts: Vec<Part<V>>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<V> {
    /// Written as it is.
    Text(Box<str>),
    /// Written as what the variable's value is at that time.
    Value(V),
}

impl<V> Template<V> {
    /// Compiles a template. `resolve` knows the variables; its error is about the name in the braces.
    ///
    /// # Errors
    /// A brace without its partner, a name that `resolve` refuses, or a control character, which could end a field or a
    /// log line early.
    pub fn parse(text: &str, resolve: impl Fn(&str) -> Result<V, String>) -> Result<Self, RuleError> {
        if text.len() > MAX_LEN {
            return Err(RuleError::expected(
                0..text.len(),
                format_args!("at most {MAX_LEN} bytes"),
                text.len(),
            ));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let doubled = letters.peek().is_some_and(|&(_, next)| next == letter);
            match letter {
                '{' | '}' if doubled => {
                    letters.next();
                    literal.push(letter);
                }
                '{' => {
                    let name = name_after(text, at)?;
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal).into()));
                    }
                    let value = resolve(text.get(name.clone()).unwrap_or_default());
                    parts.push(Part::Value(value.map_err(|problem| RuleError::new(name.clone(), problem))?));
                    while letters.next_if(|&(at, _)| at <= name.end).is_some() {}
                }
                '}' => {
                    return Err(RuleError::expected(at..at + 1, "`{` before it", "`}` alone")
                        .with_hint("write `}}` for the brace itself"));
                }
                control if control.is_control() => {
                    let found = format!("`{}`", control.escape_debug());
                    return Err(RuleError::expected(
                        at..at + control.len_utf8(),
                        "no control character",
                        found,
                    ));
                }
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self { parts })
    }

    /// A template that writes one variable and nothing else.
    pub fn of(variable: V) -> Self {
        Self { parts: vec![Part::Value(variable)] }
    }

    /// What it is made of, in order.
    pub fn parts(&self) -> &[Part<V>] {
        &self.parts
    }

    /// What it always writes; `None` if that depends on a variable.
    pub fn constant(&self) -> Option<String> {
        let text = |part: &Part<V>| match part {
            Part::Text(text) => Some(text.to_string()),
            Part::Value(_) => None,
        };
        self.parts.iter().map(text).collect()
    }

    /// The variables that it writes.
    pub fn variables(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }
}

impl Template<Variable> {
    /// Compiles a template over the variables of a rule.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn compile(text: &str) -> Result<Self, RuleError> {
        Self::parse(text, Variable::for_template)
    }

    /// Writes it as bytes, each value as it is: for a place where length settles where it ends. Says whether every variable
    /// had a value; if one had none, `out` is as it was.
    pub fn write_bytes(&self, facts: &impl Facts, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        for part in &self.parts {
            let is_there = match part {
                Part::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    true
                }
                Part::Value(variable) => write_whole(variable, facts, out),
            };
            if !is_there {
                out.truncate(before);
                return false;
            }
        }
        true
    }

    /// Writes it. A missing value writes nothing. Whatever a value holds, only visible ASCII and spaces come out: every
    /// other byte is written as `%0A`, so that no value can end a field, begin another, or deceive a terminal.
    pub fn write(&self, facts: &impl Facts, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(variable) => write_value(variable, facts, out),
            }
        }
    }
}

/// Writes one variable's value as a template does.
pub(crate) fn write_value(variable: &Variable, facts: &impl Facts, out: &mut Vec<u8>) {
    match (variable, variable.kind()) {
        (Variable::Uri, _) => {
            write_value(&Variable::ForwardedPath, facts, out);
            if let Some(query) = facts.text(&Variable::Query) {
                out.push(b'?');
                write_visible(query, out);
            }
        }
        (Variable::Field(name), _) => {
            facts.any_field(name, &mut |value| {
                write_visible(value, out);
                true
            });
        }
        (variable, Kind::Ip) => {
            if let Some(address) = facts.ip(variable) {
                write_display(address.to_canonical(), out);
            }
        }
        (variable, Kind::Number) => {
            if let Some(number) = facts.number(variable) {
                write_display(number, out);
            }
        }
        (variable, Kind::Text) => {
            if let Some(text) = facts.text(variable) {
                write_visible(text, out);
            }
        }
    }
}

/// Writes one variable's value with every byte of it, and says whether there is one.
fn write_whole(variable: &Variable, facts: &impl Facts, out: &mut Vec<u8>) -> bool {
    match (variable, variable.kind()) {
        (Variable::Uri, _) => {
            let is_there = write_whole(&Variable::ForwardedPath, facts, out);
            if let Some(query) = facts.text(&Variable::Query).filter(|_| is_there) {
                out.push(b'?');
                out.extend_from_slice(query);
            }
            is_there
        }
        (Variable::Field(name), _) => facts.any_field(name, &mut |value| {
            out.extend_from_slice(value);
            true
        }),
        (variable, Kind::Ip) => facts.ip(variable).map(|ip| write_display(ip.to_canonical(), out)).is_some(),
        (variable, Kind::Number) => facts.number(variable).map(|number| write_display(number, out)).is_some(),
        (variable, Kind::Text) => facts.text(variable).map(|text| out.extend_from_slice(text)).is_some(),
    }
}

fn write_display(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

fn write_visible(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b' '..=b'~' => out.push(byte),
            other => write_display(format_args!("%{other:02X}"), out),
        }
    }
}

/// Where the name lies whose `{` is at `open`.
fn name_after(text: &str, open: usize) -> Result<Range<usize>, RuleError> {
    let start = open + 1;
    let rest = text.get(start..).unwrap_or_default();
    match rest.find('}') {
        Some(0) => Err(RuleError::expected(open..start + 1, "a variable in the braces", "nothing")),
        Some(len) => Ok(start..start + len),
        None => Err(RuleError::expected(open..text.len(), "`}` after the variable", "the end of the text")
            .with_hint("write `{{` for the brace itself")),
    }
}

/// Ample for a policy field, and far from costing anything to write.
const MAX_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_braces_are_braces() {
        let template = Template::compile("a{{b}}c").expect("good");
        assert_eq!(template.parts(), [Part::Text("a{b}c".into())]);
        let template = Template::compile("{{{host}}}").expect("good");
        assert_eq!(
            template.parts(),
            [Part::Text("{".into()), Part::Value(Variable::Host), Part::Text("}".into())]
        );
    }

    struct Two;

    impl Facts for Two {
        fn ip(&self, variable: &Variable) -> Option<std::net::IpAddr> {
            (*variable == Variable::ClientIp).then(|| "::ffff:192.0.2.1".parse().unwrap())
        }

        fn number(&self, _: &Variable) -> Option<u64> {
            None
        }

        fn text(&self, variable: &Variable) -> Option<&[u8]> {
            (*variable == Variable::Tlv(0xE1)).then_some(b"\x01\xff")
        }

        fn any_field(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            false
        }
    }

    #[test]
    fn bytes_are_written_as_they_are_and_all_or_none_of_them() {
        let write = |text: &str| {
            let mut out = b"-".to_vec();
            let is_there = Template::compile(text).expect("good").write_bytes(&Two, &mut out);
            (is_there, out)
        };
        assert_eq!(write("{client.ip}/{tlv[0xE1]}"), (true, b"-192.0.2.1/\x01\xff".to_vec()));
        for missing in ["{client.ip}{client.port}", "{tlv[0xE2]}", "{field[\"x\"]}", "{uri}"] {
            assert_eq!(write(missing), (false, b"-".to_vec()), "{missing}");
        }
    }

    #[test]
    fn mistakes_are_underlined() {
        for (text, place, message) in [
            ("a{b", "{b", "expected `}` after the variable, found the end of the text"),
            ("a}b", "}", "expected `{` before it, found `}` alone"),
            ("{}", "{}", "expected a variable in the braces, found nothing"),
            ("{clint.ip}", "clint.ip", "expected a variable, found `clint.ip`; did you mean `client.ip`?"),
            ("{tlv[0x1FF]}", "tlv[0x1FF]", "expected a TLV kind from 0 to 255 (0x00 to 0xFF), found `0x1FF`"),
            ("{field[x]}", "field[x]", "expected a quoted field name, found `x`"),
            ("a\r\nb", "\r", "expected no control character, found `\\r`"),
        ] {
            let error = Template::compile(text).expect_err(text);
            assert_eq!((&text[error.span()], error.to_string().as_str()), (place, message));
        }
    }

    #[test]
    fn indexed_variables_are_read_as_in_rules() {
        let template = Template::compile("{field[\"X-A\"]}{tlv[0xE1]}").expect("good");
        let variables: Vec<_> = template.variables().cloned().collect();
        assert_eq!(variables, [Variable::Field("x-a".into()), Variable::Tlv(0xE1)]);
    }
}
