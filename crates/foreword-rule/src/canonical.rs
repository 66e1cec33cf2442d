//! Operands in the one form in which their variable's value comes, since another form could never be equal.

use crate::error::shown;
use crate::suggest;
use crate::variable::Variable;

/// What is wrong with an operand that its variable can never equal: the message's `expected`, and a hint.
pub(crate) struct NeverEqual {
    pub(crate) expected: String,
    pub(crate) hint: Option<String>,
}

impl NeverEqual {
    pub(crate) fn new(expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The operand of `==`, `!=` and `in`, as its variable's value would be spelled.
pub(crate) fn whole(variable: &Variable, text: &str, ignore_case: bool) -> Result<String, NeverEqual> {
    match variable {
        Variable::Host => host(text),
        Variable::Path if text == "*" => Ok(text.to_owned()),
        Variable::Path if !text.starts_with('/') => {
            let hint = match text.strip_prefix('*') {
                Some(end) => format!("write `path.ends_with(\"{end}\")`"),
                None => format!("did you mean `/{text}`?"),
            };
            Err(NeverEqual::new("a path that starts with `/`").hint(hint))
        }
        Variable::Path => path(text, ignore_case),
        Variable::Method => method(text),
        Variable::Scheme => one_of(text, &["http", "https"]),
        Variable::TlsVersion => one_of(text, &["TLSv1.2", "TLSv1.3"]),
        Variable::TlsClientFingerprint => fingerprint(text),
        Variable::TlsClientSerial => Ok(hexadecimal(text)),
        _ => Ok(text.to_owned()),
    }
}

/// As tools show it: with colons or without, in either case.
fn hexadecimal(text: &str) -> String {
    text.chars().filter(|&c| c != ':').map(|c| c.to_ascii_lowercase()).collect()
}

fn fingerprint(text: &str) -> Result<String, NeverEqual> {
    let digits = hexadecimal(text);
    let is_whole = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Nothing but what is there differs from the empty text.
    if is_whole || text.is_empty() { Ok(digits) } else { Err(NeverEqual::new("64 hexadecimal digits")) }
}

/// The operand of a method that looks for a part of the value. `at_start` says that the part is its beginning.
pub(crate) fn part(
    variable: &Variable,
    text: &str,
    at_start: bool,
    ignore_case: bool,
) -> Result<String, NeverEqual> {
    match variable {
        Variable::Host => Ok(text.to_ascii_lowercase()),
        Variable::Path if at_start => whole(variable, text, ignore_case),
        Variable::Path => path(text, ignore_case),
        _ => Ok(text.to_owned()),
    }
}

/// The operand of `under`: whole segments, without a slash at its end.
pub(crate) fn under(text: &str, ignore_case: bool) -> Result<String, NeverEqual> {
    let text = whole(&Variable::Path, text, ignore_case)?;
    match text.strip_suffix('/') {
        Some("") => Ok(String::new()),
        Some(trimmed) => {
            let expected = "a path without `/` at its end, since `under` takes whole segments";
            Err(NeverEqual::new(expected).hint(format!("did you mean `{trimmed}`?")))
        }
        None => Ok(text),
    }
}

/// Hosts are compared in lower case, without port or trailing dot.
fn host(text: &str) -> Result<String, NeverEqual> {
    let expected = "a host without port or trailing dot, since `host` has none";
    if let Some(name) = text.strip_suffix('.') {
        return Err(NeverEqual::new(expected).hint(format!("did you mean `{name}`?")));
    }
    if let Some(domain) = text.strip_prefix('*') {
        return Err(NeverEqual::new("a host, since no host holds `*`")
            .hint(format!("write `host.ends_with(\"{domain}\")`")));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let hint = format!("did you mean `{name}`? The port is `destination.port`");
            Err(NeverEqual::new(expected).hint(hint))
        }
        _ => Ok(text.to_ascii_lowercase()),
    }
}

fn method(text: &str) -> Result<String, NeverEqual> {
    let upper = text.to_ascii_uppercase();
    if upper != text && METHODS.contains(&upper.as_str()) {
        return Err(NeverEqual::new("a method in capitals, since case counts")
            .hint(format!("did you mean `{upper}`?")));
    }
    Ok(text.to_owned())
}

fn one_of(text: &str, words: &[&str]) -> Result<String, NeverEqual> {
    if words.contains(&text) {
        return Ok(text.to_owned());
    }
    let listed = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let problem = NeverEqual::new(format!("one of {listed}"));
    Err(match suggest(text, words.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    })
}

/// A path, or a part of one, as normalisation leaves it (RFC 3986 §6.2.2): what has another spelling is never seen.
fn path(text: &str, ignore_case: bool) -> Result<String, NeverEqual> {
    if text.contains(['?', '#']) {
        return Err(NeverEqual::new("a path without query").hint("the query is the variable `query`"));
    }
    if text.contains(';') {
        return Err(NeverEqual::new("a path without `;`, since parameters do not count for matching"));
    }
    if text.contains("//")
        || text.split('/').any(|segment| matches!(segment, "." | "..")) && text.contains('/')
    {
        return Err(NeverEqual::new("a path without `//`, `/./` and `/../`, since paths are normalised"));
    }
    for (at, char) in text.char_indices() {
        match char {
            '%' => escape(text, at)?,
            '!'..='~' if !"\"<>[\\]^`{|}".contains(char) => {}
            other => {
                let escaped: String =
                    other.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect();
                return Err(NeverEqual::new("a path of the characters that a path can hold")
                    .hint(format!("write `{}` as `{escaped}`", shown(other.encode_utf8(&mut [0; 4])))));
            }
        }
    }
    Ok(if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() })
}

/// The escape at the byte `at`.
fn escape(text: &str, at: usize) -> Result<(), NeverEqual> {
    let (before, rest) = text.split_at_checked(at).unwrap_or_default();
    let (escape, after) = rest.split_at_checked(3).unwrap_or_default();
    let mut digits = escape.chars().skip(1).map(|digit| digit.to_digit(16));
    let (Some(Some(high_digit)), Some(Some(low_digit))) = (digits.next(), digits.next()) else {
        return Err(NeverEqual::new("two hexadecimal digits after `%`"));
    };
    let meant = |spelling: &str| format!("did you mean `{before}{spelling}{after}`?");
    let value = char::from_u32(high_digit * 16 + low_digit).unwrap_or('\0');
    if matches!(value, '/' | '\\' | ';') {
        return Err(NeverEqual::new(
            "a path without it, since rules never see an encoded slash, backslash or semicolon",
        ));
    }
    if value.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@".contains(value) {
        let hint = meant(&value.to_string());
        return Err(NeverEqual::new(format!("`{value}` as it is, since paths are normalised")).hint(hint));
    }
    if escape.contains(|digit: char| digit.is_ascii_lowercase()) {
        let hint = meant(&escape.to_ascii_uppercase());
        return Err(NeverEqual::new("`%` with capitals, since paths are normalised").hint(hint));
    }
    Ok(())
}

/// The methods that people write; others are taken as they are.
const METHODS: &[&str] = &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
