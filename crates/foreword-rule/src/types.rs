//! The written tree checked against the kinds of its variables, and its operands made ready.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::canonical::{self, NeverEqual};
use crate::error::shown;
use crate::named::Entries;
use crate::parser::{Comparison, Expression, Literal, Operand, Operator, Written, parse};
use crate::program::{Check, IpCheck, Join, Node, NumberCheck, Predicate, Test, TextCheck};
use crate::variable::{Kind, Variable};
use crate::{IpSet, List, ListError, NamedList, RuleError, Scope, TextSet, parse_network, pattern, suggest};

impl Predicate {
    /// Compiles a condition.
    ///
    /// # Errors
    /// The first mistake in the text: its grammar, a name, a type, or an operand that its variable could never equal.
    pub fn compile(text: &str, scope: &Scope<'_>) -> Result<Self, RuleError> {
        let root = node(parse(text)?, scope)?;
        Ok(Self { text: text.into(), root })
    }
}

fn node(expression: Expression, scope: &Scope<'_>) -> Result<Node, RuleError> {
    let nodes =
        |parts: Vec<Expression>| parts.into_iter().map(|part| node(part, scope)).collect::<Result<_, _>>();
    let join = match expression.join {
        Written::All(parts) => Join::All(nodes(parts)?),
        Written::Any(parts) => Join::Any(nodes(parts)?),
        Written::Not(part) => Join::Not(Box::new(node(*part, scope)?)),
        Written::Test(comparison) => Join::Test(test(comparison, scope)?),
    };
    Ok(Node { span: expression.span, join })
}

fn test(comparison: Comparison, scope: &Scope<'_>) -> Result<Test, RuleError> {
    has_value(&comparison, scope)?;
    let check = match comparison.variable.kind() {
        Kind::Ip => Check::Ip(ip_check(&comparison, scope)?),
        Kind::Number => Check::Number(number_check(&comparison)?),
        Kind::Text => Check::Text(text_check(&comparison, scope)?),
    };
    Ok(Test { variable: comparison.variable, check })
}

fn has_value(comparison: &Comparison, scope: &Scope<'_>) -> Result<(), RuleError> {
    let variable = &comparison.variable;
    scope.why_missing(variable).map_or(Ok(()), |why| {
        let found = format!("`{variable}`");
        let span = comparison.variable_span.clone();
        Err(RuleError::expected(span, "a variable that has a value here", found).with_hint(why))
    })
}

fn ip_check(comparison: &Comparison, scope: &Scope<'_>) -> Result<IpCheck, RuleError> {
    Ok(match (comparison.operator, &comparison.operand) {
        (Operator::Is, Operand::One(literal)) => IpCheck::Is(address(comparison, literal)?),
        (Operator::IsNot, Operand::One(literal)) => IpCheck::IsNot(address(comparison, literal)?),
        (Operator::In, Operand::Several(members)) => {
            let mut set = IpSet::default();
            for (member, span) in members {
                let text = text_of(comparison, member, span)?;
                set.insert(parse_network(text).map_err(|message| RuleError::new(span.clone(), message))?);
            }
            IpCheck::In(set)
        }
        (Operator::In, Operand::List(name)) => {
            let list = list(comparison, name, scope)?;
            if !matches!(*list.current(), List::Addresses(_)) {
                return Err(wrong_list(comparison, name, "addresses", "words"));
            }
            let as_it_is = Box::new(|word: &str| Ok(word.to_owned()));
            let asked = list.ask(as_it_is);
            IpCheck::InList(asked.map_err(|error| unfit_word(comparison, name, scope, error))?)
        }
        _ => return Err(wrong_operator(comparison)),
    })
}

fn address(comparison: &Comparison, literal: &Literal) -> Result<IpAddr, RuleError> {
    let span = &comparison.operand_span;
    let text = text_of(comparison, literal, span)?;
    text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(|_| {
        let error = RuleError::expected(span.clone(), "an IP address", quoted(text));
        match parse_network(text) {
            Ok(_) => error
                .with_hint(format!("ranges are asked with `in`: `{} in [\"{text}\"]`", comparison.variable)),
            Err(_) => error,
        }
    })
}

fn number_check(comparison: &Comparison) -> Result<NumberCheck, RuleError> {
    Ok(match (comparison.operator, &comparison.operand) {
        (Operator::Is, Operand::One(literal)) => {
            NumberCheck::Is(number(comparison, literal, &comparison.operand_span)?)
        }
        (Operator::IsNot, Operand::One(literal)) => {
            NumberCheck::IsNot(number(comparison, literal, &comparison.operand_span)?)
        }
        (Operator::In, Operand::Several(members)) => {
            let numbers = members.iter().map(|(member, span)| number(comparison, member, span));
            let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
            numbers.sort_unstable();
            NumberCheck::In(numbers)
        }
        (Operator::In, Operand::List(name)) => {
            return Err(wrong_list(comparison, name, "numbers", "addresses or words"));
        }
        _ => return Err(wrong_operator(comparison)),
    })
}

fn number(comparison: &Comparison, literal: &Literal, span: &Range<usize>) -> Result<u64, RuleError> {
    let number = match literal {
        Literal::Number(number) => *number,
        Literal::Text(text) => {
            let error = RuleError::expected(span.clone(), "a number", quoted(text));
            return Err(match text.parse::<u64>() {
                Ok(number) => error.with_hint(format!("numbers are written without quotes: `{number}`")),
                Err(_) => error,
            });
        }
    };
    let (fits, range) = match comparison.variable {
        Variable::HeaderVersion => (matches!(number, 1 | 2), "1 or 2"),
        Variable::ClientPort | Variable::PeerPort | Variable::DestinationPort => {
            (number <= u64::from(u16::MAX), "a port from 0 to 65535")
        }
        Variable::TlvAzureLinkId => (number <= u64::from(u32::MAX), "a number of 32 bits"),
        _ => (true, ""),
    };
    if fits { Ok(number) } else { Err(RuleError::expected(span.clone(), range, number)) }
}

/// The operand of `==`, `!=` and `in`, if the variable can equal it here.
fn whole(variable: &Variable, text: &str, scope: &Scope<'_>) -> Result<String, NeverEqual> {
    let word = canonical::whole(variable, text, scope.ignore_case)?;
    match (variable, word.as_str()) {
        (Variable::Scheme, "http") if scope.tls && !scope.forwarded => Err(NeverEqual::new(
            "`https`, since this listener ends TLS and no trust group of it says `forwarded = true`",
        )),
        (Variable::Scheme, "https") if !scope.tls && !scope.header && !scope.forwarded => {
            Err(NeverEqual::new("`http`, since this listener ends no TLS and takes nobody's word for it"))
        }
        _ => Ok(word),
    }
}

fn text_check(comparison: &Comparison, scope: &Scope<'_>) -> Result<TextCheck, RuleError> {
    let variable = &comparison.variable;
    let ignore_case = scope.ignore_case;
    let literal = match &comparison.operand {
        Operand::List(name) => return Ok(TextCheck::InList(words(comparison, name, scope)?)),
        Operand::Several(members) => {
            let mut words = Vec::new();
            for (member, span) in members {
                let text = text_of(comparison, member, span)?;
                words.push(whole(variable, text, scope).map_err(|never| never.at(span, quoted(text)))?);
            }
            return Ok(TextCheck::In(TextSet::of(words.iter().map(String::as_str))));
        }
        Operand::One(literal) => literal,
    };
    let span = &comparison.operand_span;
    let text = text_of(comparison, literal, span)?;
    let at = |never: NeverEqual| never.at(span, quoted(text));
    let whole = || whole(variable, text, scope).map_err(at).map(|word| word.into_bytes().into());
    let part = |at_start| {
        if text.is_empty() {
            return Err(RuleError::expected(span.clone(), "some text to look for", "none"));
        }
        canonical::part(variable, text, at_start, ignore_case).map_err(at).map(String::into_bytes)
    };
    Ok(match comparison.operator {
        Operator::Is => TextCheck::Is(whole()?),
        Operator::IsNot => TextCheck::IsNot(whole()?),
        Operator::StartsWith => TextCheck::StartsWith(part(true)?.into()),
        Operator::EndsWith => TextCheck::EndsWith(part(false)?.into()),
        Operator::Contains => TextCheck::Contains(Box::new(Finder::new(&part(false)?).into_owned())),
        Operator::Under if *variable == Variable::Path => {
            TextCheck::Under(canonical::under(text, ignore_case).map_err(at)?.into_bytes().into())
        }
        Operator::Matches => {
            let caseless = *variable == Variable::Host || *variable == Variable::Path && ignore_case;
            let pattern = pattern::compile(text, caseless);
            TextCheck::Matches(pattern.map_err(|message| RuleError::new(span.clone(), message))?)
        }
        Operator::Under | Operator::In => return Err(wrong_operator(comparison)),
    })
}

/// The words of a list, in the spelling of the variable.
fn words(comparison: &Comparison, name: &str, scope: &Scope<'_>) -> Result<Entries, RuleError> {
    let list = list(comparison, name, scope)?;
    if !matches!(*list.current(), List::Texts(_)) {
        return Err(wrong_list(comparison, name, "words", "addresses"));
    }
    let (variable, lasting) = (comparison.variable.clone(), scope.without_lists());
    let spell = move |word: &str| whole(&variable, word, &lasting).map_err(|never| never.expected);
    list.ask(Box::new(spell)).map_err(|error| unfit_word(comparison, name, scope, error))
}

/// Says of a word of a list what would be said of it in the condition itself.
fn unfit_word(comparison: &Comparison, name: &str, scope: &Scope<'_>, error: ListError) -> RuleError {
    let span = &comparison.operand_span;
    let word = error.entry.unwrap_or_default();
    let found = format!("{} in the list `@{name}`", quoted(&word));
    match whole(&comparison.variable, &word, scope) {
        Err(never) => never.at(span, found),
        Ok(_) => RuleError::new(span.clone(), error.message),
    }
}

fn list<'s>(comparison: &Comparison, name: &str, scope: &Scope<'s>) -> Result<&'s Arc<NamedList>, RuleError> {
    if let Some(list) = scope.lists.get(name) {
        return Ok(list);
    }
    let span = comparison.operand_span.clone();
    let names = || scope.lists.keys().map(String::as_str);
    let expected = match names().map(|name| format!("`@{name}`")).take(SHOWN_LISTS).collect::<Vec<_>>() {
        none if none.is_empty() => "a list of the file, which has none".to_owned(),
        shown => format!("one of the lists {}", shown.join(", ")),
    };
    let near = suggest(name, names()).map(|near| format!("@{near}"));
    let error = RuleError::expected(span, expected, format_args!("`@{name}`"));
    Err(match (scope.lists.is_empty(), comparison.variable.kind()) {
        (true, Kind::Ip) => error.with_hint(format!("add `{name} = [\"198.51.100.0/24\"]` below a `[list]`")),
        (true, _) => error.with_hint(format!("add `{name} = [\"…\"]` below a `[list]`")),
        (false, _) => error.did_you_mean(near.as_deref()),
    })
}

fn text_of<'l>(
    comparison: &Comparison,
    literal: &'l Literal,
    span: &Range<usize>,
) -> Result<&'l str, RuleError> {
    match literal {
        Literal::Text(text) => Ok(text),
        Literal::Number(number) => {
            let kind = comparison.variable.kind();
            let expected = format!("{kind} in quotes, since `{}` is {kind}", comparison.variable);
            Err(RuleError::expected(span.clone(), expected, format_args!("the number {number}")))
        }
    }
}

fn wrong_operator(comparison: &Comparison) -> RuleError {
    let operators = match comparison.variable.kind() {
        Kind::Ip | Kind::Number => "`==`, `!=` or `in`",
        Kind::Text => "`==`, `!=`, `in`, `.starts_with`, `.ends_with`, `.contains` or `.matches`",
    };
    let expected = format!("{operators} after `{}`", comparison.variable);
    let error = RuleError::expected(comparison.operator_span.clone(), expected, comparison.operator);
    match (comparison.operator, comparison.variable.kind()) {
        (Operator::Under, Kind::Text) => error.with_hint("`under` takes whole segments of `path`"),
        (Operator::Under | Operator::StartsWith, Kind::Ip) => error
            .with_hint(format!("ranges are asked with `in`: `{} in [\"10.0.0.0/8\"]`", comparison.variable)),
        _ => error,
    }
}

fn wrong_list(comparison: &Comparison, name: &str, expected: &str, found: &str) -> RuleError {
    let expected = format!("a list of {expected} for `{}`", comparison.variable);
    RuleError::expected(
        comparison.operand_span.clone(),
        expected,
        format_args!("`@{name}`, a list of {found}"),
    )
}

fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

impl NeverEqual {
    fn at(self, span: &Range<usize>, found: String) -> RuleError {
        let error = RuleError::expected(span.clone(), self.expected, found);
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Is => "`==`",
            Self::IsNot => "`!=`",
            Self::In => "`in`",
            Self::StartsWith => "`.starts_with`",
            Self::EndsWith => "`.ends_with`",
            Self::Contains => "`.contains`",
            Self::Under => "`.under`",
            Self::Matches => "`.matches`",
        })
    }
}

/// More names than this do not help the one who looks for theirs.
const SHOWN_LISTS: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn error_in(text: &str, listener: &Scope<'_>) -> RuleError {
        Predicate::compile(text, listener).expect_err(text)
    }

    fn told(text: &str) -> String {
        let lists = BTreeMap::from([
            ("office".to_owned(), Arc::new(List::parse(["198.51.100.0/24"]).expect("addresses").into())),
            ("sites".to_owned(), Arc::new(List::parse(["www.example.com"]).expect("words").into())),
        ]);
        let scope = Scope::with_everything(&lists);
        let error = error_in(text, &scope);
        let place = text.get(error.span()).unwrap_or_else(|| panic!("{:?} lies in {text}", error.span()));
        match error.hint() {
            Some(hint) => format!("[{place}] {error}; {hint}"),
            None => format!("[{place}] {error}"),
        }
    }

    #[test]
    fn every_mistake_is_underlined_and_explained() {
        let cases = [
            ("", "[] expected a variable, `!` or `(`, found the end"),
            ("host", "[] expected `==`, `!=`, `in` or a method after `host`, found the end"),
            (
                "client_ip == \"10.0.0.1\"",
                "[client_ip] expected a variable such as `client.ip` or `host`, found `client_ip`; did you mean `client.ip`?",
            ),
            (
                "hots == \"a\"",
                "[hots] expected a variable such as `client.ip` or `host`, found `hots`; did you mean `host`?",
            ),
            (
                "header.user_agent == \"a\"",
                "[header.user_agent] expected a variable such as `client.ip` or `host`, found `header.user_agent`; a request field is written `field[\"user-agent\"]`",
            ),
            ("host = \"a\"", "[=] expected a variable or an operator, found `=`; did you mean `==`?"),
            (
                "host == 'a'",
                "['] expected a variable or an operator, found `'`; text is written in double quotes: `host == \"www.example.com\"`",
            ),
            (
                "host == \"a\" and path == \"/\"",
                "[and] expected `&&`, `||` or the end, found `and`; and is written `&&`",
            ),
            ("(host == \"a\"", "[] expected `)`, `&&` or `||`, found the end"),
            ("host == \"a\")", "[)] expected `(` before it, found `)` alone"),
            (
                "path.undr(\"/a\")",
                "[undr] expected one of `starts_with`, `ends_with`, `contains`, `under`, `matches`, found `undr`; did you mean `under`?",
            ),
            (
                "path under \"/a\"",
                "[under] expected `==`, `!=`, `in` or a method after `path`, found `under`; write `path.under(\"…\")`",
            ),
            (
                "host.under(\"/a\")",
                "[under] expected `==`, `!=`, `in`, `.starts_with`, `.ends_with`, `.contains` or `.matches` after `host`, found `.under`; `under` takes whole segments of `path`",
            ),
            (
                "path.under(\"/admin/\")",
                "[\"/admin/\"] expected a path without `/` at its end, since `under` takes whole segments, found `/admin/`; did you mean `/admin`?",
            ),
            (
                "path == \"admin\"",
                "[\"admin\"] expected a path that starts with `/`, found `admin`; did you mean `/admin`?",
            ),
            (
                "host == \"*.example.com\"",
                "[\"*.example.com\"] expected a host, since no host holds `*`, found `*.example.com`; write `host.ends_with(\".example.com\")`",
            ),
            (
                "path == \"/%61\"",
                "[\"/%61\"] expected `a` as it is, since paths are normalised, found `/%61`; did you mean `/a`?",
            ),
            (
                "path == \"/für\"",
                "[\"/für\"] expected a path of the characters that a path can hold, found `/für`; write `ü` as `%C3%BC`",
            ),
            (
                "path.under(\"/a b\")",
                "[\"/a b\"] expected a path of the characters that a path can hold, found `/a b`; write ` ` as `%20`",
            ),
            (
                "path == \"/a?b\"",
                "[\"/a?b\"] expected a path without query, found `/a?b`; the query is the variable `query`",
            ),
            (
                "client.port == \"80\"",
                "[\"80\"] expected a number, found `80`; numbers are written without quotes: `80`",
            ),
            ("client.port == 65536", "[65536] expected a port from 0 to 65535, found 65536"),
            ("host == 3", "[3] expected text in quotes, since `host` is text, found the number 3"),
            (
                "host == \"example.com:443\"",
                "[\"example.com:443\"] expected a host without port or trailing dot, since `host` has none, found `example.com:443`; did you mean `example.com`? The port is `destination.port`",
            ),
            (
                "client.ip == \"10.0.0.0/8\"",
                "[\"10.0.0.0/8\"] expected an IP address, found `10.0.0.0/8`; ranges are asked with `in`: `client.ip in [\"10.0.0.0/8\"]`",
            ),
            (
                "client.ip in [\"10.0.0.1/8\"]",
                "[\"10.0.0.1/8\"] expected the first address of a range, found `10.0.0.1/8`; its range is `10.0.0.0/8`",
            ),
            (
                "client.ip in [\"300.0.0.1\"]",
                "[\"300.0.0.1\"] expected an address or CIDR such as `10.0.0.0/8`, found `300.0.0.1`",
            ),
            (
                "client.ip in [10.0.0.0/8]",
                "[10.0.0.0/8] expected a number, found `10.0.0.0/8`; addresses are written in quotes: `client.ip in [\"10.0.0.0/8\"]`",
            ),
            (
                "client.ip in @offic",
                "[@offic] expected one of the lists `@office`, `@sites`, found `@offic`; did you mean `@office`?",
            ),
            (
                "client.ip in office",
                "[office] expected a list such as `[\"a\", \"b\"]` or `@name` after `in`, found `office`; a list of the file is written with `@`: `in @office`",
            ),
            (
                "client.ip in @sites",
                "[@sites] expected a list of addresses for `client.ip`, found `@sites`, a list of words",
            ),
            (
                "host in @office",
                "[@office] expected a list of words for `host`, found `@office`, a list of addresses",
            ),
            ("host in []", "[]] expected an entry of the list, found `]`"),
            ("tlv[256] == \"a\"", "[256] expected a TLV kind from 0 to 255 (0x00 to 0xFF), found `256`"),
            ("field[\"a b\"] == \"a\"", "[\"a b\"] expected the name of a field, found `a b`"),
            (
                "method == \"get\"",
                "[\"get\"] expected a method in capitals, since case counts, found `get`; did you mean `GET`?",
            ),
            (
                "tls.client.fingerprint == \"AB:CD\"",
                "[\"AB:CD\"] expected 64 hexadecimal digits, found `AB:CD`",
            ),
            ("tls.version == \"1.3\"", "[\"1.3\"] expected one of `TLSv1.2`, `TLSv1.3`, found `1.3`"),
            ("header.version == 3", "[3] expected 1 or 2, found 3"),
            (
                "path.matches(\"(\")",
                "[\"(\"] expected a pattern, found one that cannot be read: unclosed group",
            ),
            (
                "path.matches(\"(a.{0,99}){50}\")",
                "[\"(a.{0,99}){50}\"] expected a pattern whose table fits in 1 MiB, found a larger one",
            ),
            ("path.contains(\"\")", "[\"\"] expected some text to look for, found none"),
        ];
        for (text, expected) in cases {
            assert_eq!(told(text), expected, "for {text}");
        }
    }

    #[test]
    fn a_scheme_that_no_request_has_here_is_refused() {
        let lists = BTreeMap::new();
        let scope = |tls, header, forwarded| Scope {
            tls,
            client_certificate: tls,
            hello: tls,
            header,
            forwarded,
            ..Scope::with_everything(&lists)
        };
        let fits = |scheme: &str, scope: Scope<'_>| {
            let texts = [format!("scheme == \"{scheme}\""), format!("scheme in [\"{scheme}\"]")];
            let compiled = texts.map(|text| Predicate::compile(&text, &scope).is_ok());
            assert_eq!(compiled[0], compiled[1]);
            compiled[0]
        };
        assert!(!fits("http", scope(true, true, false)));
        assert!(fits("http", scope(true, true, true)));
        assert!(fits("https", scope(true, false, false)));
        assert!(!fits("https", scope(false, false, false)));
        assert!(fits("https", scope(false, true, false)), "the SSL TLV says so");
        assert!(fits("http", scope(false, false, false)));
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        let lists = BTreeMap::new();
        let scope = Scope::with_everything(&lists);
        let deep = format!("{}host == \"a\"{}", "(".repeat(33), ")".repeat(33));
        assert!(error_in(&deep, &scope).to_string().contains("at most 32 levels"));
        let ample = format!("{}host == \"a\"{}", "(".repeat(32), ")".repeat(32));
        assert!(Predicate::compile(&ample, &scope).is_ok());
        let negated = format!("{}host == \"a\"", "!".repeat(10_000));
        assert!(error_in(&negated, &scope).to_string().starts_with("expected a rule of at most"));
        let long = vec!["host == \"a\""; 500].join(" || ");
        assert!(Predicate::compile(&long, &scope).is_ok(), "a long row is no nesting");
    }
}
