//! The conditions of an ALB's rules, as conditions of ours.

use super::properties::{At, Properties};
use crate::fault::{Fault, shown};
use crate::parts::rule_text as quoted;

/// All conditions of a rule; none holds always.
pub(super) fn condition(conditions: &[Properties<'_, '_>]) -> Result<Option<String>, Fault> {
    let mut parts = Vec::new();
    for condition in conditions {
        let field = condition.require_text("Field")?;
        let part = match field.value.as_str() {
            "host-header" => texts(condition, "HostHeaderConfig", "host", Case::Folded)?,
            "path-pattern" => texts(condition, "PathPatternConfig", "path", Case::Kept)?,
            "http-request-method" => texts(condition, "HttpRequestMethodConfig", "method", Case::Kept)?,
            "http-header" => header(condition)?,
            "query-string" => query(condition)?,
            "source-ip" => addresses(condition)?,
            other => {
                let fault = Fault::expected(field.place, "a condition that is known", shown(other));
                return Err(fault.within(&condition.path));
            }
        };
        parts.extend(part);
    }
    let joined = match parts.as_slice() {
        [only] => only.clone(),
        parts => parts.iter().map(|part| grouped(part)).collect::<Vec<_>>().join(" && "),
    };
    Ok((!joined.is_empty()).then_some(joined))
}

/// Whether a comparison looks at case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Folded,
}

/// What has alternatives needs parentheses beside others.
fn grouped(part: &str) -> String {
    if part.contains(" || ") { format!("({part})") } else { part.to_owned() }
}

fn texts(
    condition: &Properties<'_, '_>,
    config: &'static str,
    variable: &str,
    case: Case,
) -> Result<Option<String>, Fault> {
    let [values, patterns] = values(condition, config)?;
    if values.iter().any(|value| value.value == "*") {
        return Ok(None);
    }
    // Hosts are in lower case already.
    let values = values.into_iter().map(|at| match case {
        Case::Folded => At { value: at.value.to_ascii_lowercase(), ..at },
        Case::Kept => at,
    });
    let mut exact = Vec::new();
    let mut parts = Vec::new();
    for value in values {
        match value.value.contains(['*', '?']) {
            true => parts.push(wildcard(variable, &value.value)),
            false => exact.push(quoted(&value.value)),
        }
    }
    match exact.as_slice() {
        [] => {}
        [only] => parts.insert(0, format!("{variable} == {only}")),
        several => parts.insert(0, format!("{variable} in [{}]", several.join(", "))),
    }
    parts.extend(patterns.iter().map(|pattern| format!("{variable}.matches({})", quoted(&pattern.value))));
    joined(condition, &parts)
}

/// The values of a condition, in either spelling, and its patterns.
fn values(condition: &Properties<'_, '_>, config: &'static str) -> Result<[Vec<At<String>>; 2], Fault> {
    let inner = condition.map(config)?;
    let (mut values, patterns) = match &inner {
        Some(inner) => (inner.texts("Values")?, inner.texts("RegexValues")?),
        None => (Vec::new(), Vec::new()),
    };
    values.extend(condition.texts("Values")?);
    Ok([values, patterns])
}

fn joined(condition: &Properties<'_, '_>, parts: &[String]) -> Result<Option<String>, Fault> {
    match parts {
        [] => Err(Fault::expected(condition.place, "values to compare with", "none").within(&condition.path)),
        parts => Ok(Some(parts.join(" || "))),
    }
}

/// `*` is any text, `?` any letter.
fn wildcard(variable: &str, text: &str) -> String {
    let inner = |text: &str| !text.contains(['*', '?']);
    match (text.strip_suffix('*'), text.strip_prefix('*')) {
        (Some(start), _) if inner(start) => format!("{variable}.starts_with({})", quoted(start)),
        (_, Some(end)) if inner(end) => format!("{variable}.ends_with({})", quoted(end)),
        _ => format!("{variable}.matches({})", quoted(&format!("^{}$", pattern(text, ".")))),
    }
}

/// A wildcard as a pattern whose `*` takes these letters.
fn pattern(text: &str, letter: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '*' => {
                out.push_str(letter);
                out.push('*');
            }
            '?' => out.push_str(letter),
            other if other.is_alphanumeric() || "_-/ &=%".contains(other) => out.push(other),
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out
}

fn header(condition: &Properties<'_, '_>) -> Result<Option<String>, Fault> {
    let Some(config) = condition.map("HttpHeaderConfig")? else {
        return Err(Fault::expected(condition.place, "`HttpHeaderConfig`", "none").within(&condition.path));
    };
    let name = config.require_text("HttpHeaderName")?;
    let field = format!("field[{}]", quoted(&name.value.to_ascii_lowercase()));
    let values = config.texts("Values")?;
    let parts: Vec<String> = values
        .iter()
        .map(|value| format!("{field}.matches({})", quoted(&format!("(?i)^{}$", pattern(&value.value, ".")))))
        .chain(
            config
                .texts("RegexValues")?
                .iter()
                .map(|value| format!("{field}.matches({})", quoted(&value.value))),
        )
        .collect();
    joined(condition, &parts)
}

fn query(condition: &Properties<'_, '_>) -> Result<Option<String>, Fault> {
    let Some(config) = condition.map("QueryStringConfig")? else {
        return Err(Fault::expected(condition.place, "`QueryStringConfig`", "none").within(&condition.path));
    };
    let mut parts = Vec::new();
    for pair in config.maps("Values")? {
        let key = pair.text("Key")?.map(|key| pattern(&key.value, "[^&]"));
        let value = pattern(&pair.require_text("Value")?.value, "[^&]");
        let whole = match key {
            Some(key) => format!("{key}={value}"),
            None => format!("([^&]*=)?{value}"),
        };
        parts.push(format!("query.matches({})", quoted(&format!("(?i)(^|&){whole}(&|$)"))));
    }
    joined(condition, &parts)
}

fn addresses(condition: &Properties<'_, '_>) -> Result<Option<String>, Fault> {
    let [values, _] = values(condition, "SourceIpConfig")?;
    let ranges: Vec<String> = values.iter().map(|value| quoted(&value.value)).collect();
    match ranges.is_empty() {
        true => joined(condition, &[]),
        false => Ok(Some(format!("client.ip in [{}]", ranges.join(", ")))),
    }
}
