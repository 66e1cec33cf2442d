//! Log lines of the operator's own making: text with names in braces, `{client.ip} {http.request.method}`.

use foreword_rule::{RuleError, Template, suggest};

use crate::observe::Name;

/// A template over the access log's names, checked.
///
/// # Examples
///
/// ```
/// use foreword_gateway::observe::LogTemplate;
///
/// assert!(LogTemplate::parse(r#"{client.ip} "{http.request.method}" {field["x-shop"]}"#).is_ok());
/// let error = LogTemplate::parse("{client.ipp}").unwrap_err();
/// assert!(error.to_string().contains("did you mean `client.ip`?"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTemplate(pub(super) Template<Column>);

/// What stands in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name(Name),
    /// A request field, its name in lower case.
    Field(Box<str>),
}

impl LogTemplate {
    /// Checks a template.
    ///
    /// # Errors
    /// A brace without its partner, or a name that the access log does not have.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        Template::parse(text, column).map(Self)
    }
}

fn column(text: &str) -> Result<Column, String> {
    if let Some(field) = field_name(text) {
        return Ok(Column::Field(field.to_ascii_lowercase().into()));
    }
    if let Some(name) = Name::parse(text) {
        return Ok(Column::Name(name));
    }
    let found = format!("expected one of the access log's names, found `{}`", text.escape_debug());
    Err(match nearest(text) {
        Some(near) => format!("{found}; did you mean `{near}`? docs/reference/access-log.md lists them"),
        None => format!("{found}; docs/reference/access-log.md lists them"),
    })
}

/// The name that was probably meant: one that is spelled alike, or that ends in this word, as `status_code` for `status`.
fn nearest(text: &str) -> Option<&'static str> {
    let names = || Name::ALL.iter().map(|name| name.as_str());
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    let begins = |name: &&'static str| !text.is_empty() && last(name).starts_with(text);
    suggest(text, names()).or_else(|| names().find(begins)).or_else(|| {
        let near = suggest(text, names().map(last))?;
        names().find(|name| last(name) == near)
    })
}

/// The name in `field["name"]`, if it can be the name of a field (RFC 9110 section 5.1).
fn field_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix("field[\"")?.strip_suffix("\"]")?;
    foreword_http1::is_token(name.as_bytes()).then_some(name)
}
