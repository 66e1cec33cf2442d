//! What an expression of a template comes to: text, lists and maps, or something that only a running stack knows.

use crate::fault::{Place, shown};
use crate::tree::Key;

/// A value, and where the template says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) kind: ValueKind,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueKind {
    Text(String),
    List(Vec<Value>),
    Map(Vec<(Key, Value)>),
    /// A resource of the template, or one of its attributes.
    Resource {
        id: String,
        attribute: Option<String>,
    },
    /// What the template does not say; the name by which `--param` would.
    Unknown(String),
    /// `AWS::NoValue`: as if the property were not there.
    Nothing,
}

impl Value {
    pub(super) fn new(place: Place, kind: ValueKind) -> Self {
        Self { place, kind }
    }

    pub(super) fn text(place: Place, text: impl Into<String>) -> Self {
        Self::new(place, ValueKind::Text(text.into()))
    }

    /// The name by which `--param` would say it, if the template does not.
    pub(super) fn param(&self) -> Option<String> {
        match &self.kind {
            ValueKind::Resource { id, attribute: None } => Some(id.clone()),
            ValueKind::Resource { id, attribute: Some(attribute) } => Some(format!("{id}.{attribute}")),
            ValueKind::Unknown(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The resource that it refers to.
    pub(super) fn resource(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::Resource { id, .. } => Some(id),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(super) fn found(&self) -> String {
        match &self.kind {
            ValueKind::Text(text) => shown(text),
            ValueKind::List(_) => "a list".to_owned(),
            ValueKind::Map(_) => "a map".to_owned(),
            ValueKind::Resource { .. } => {
                format!("the resource {}", shown(&self.param().unwrap_or_default()))
            }
            ValueKind::Unknown(name) => format!("what only the stack knows ({})", shown(name)),
            ValueKind::Nothing => "nothing".to_owned(),
        }
    }
}
