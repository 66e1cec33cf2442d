//! The properties of a resource, asked for one by one; whatever nobody asked for is told in the end.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Import;
use super::intrinsics::missing;
use super::value::{Value, ValueKind};
use crate::fault::{Fault, Place, shown};
use crate::tree::Key;

/// A map of the template, and how it is called.
pub(super) struct Properties<'i, 't> {
    pub(super) import: &'i Import<'t>,
    pub(super) path: String,
    pub(super) place: Place,
    entries: Vec<(Key, Value)>,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// A value, and where it was said.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<'i, 't> Properties<'i, 't> {
    pub(super) fn of(import: &'i Import<'t>, value: Value, path: String) -> Result<Self, Fault> {
        let place = value.place;
        match value.kind {
            ValueKind::Map(entries) => Ok(Self { import, path, place, entries, asked: RefCell::default() }),
            ValueKind::Nothing => {
                Ok(Self { import, path, place, entries: Vec::new(), asked: RefCell::default() })
            }
            _ => Err(missing(&value, "a map").within(&path)),
        }
    }

    /// Where a property is said, and how it is called.
    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    pub(super) fn get(&self, name: &'static str) -> Option<&Value> {
        self.asked.borrow_mut().insert(name);
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<At<String>>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match self.import.template.given(value) {
            Some(ValueKind::Text(text)) => Ok(Some(At { value: text, place: value.place })),
            _ => Err(missing(value, "text").within(&self.path_of(name))),
        }
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Option<At<u64>>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.value.parse().map_err(|_| {
            Fault::expected(text.place, "a number", shown(&text.value)).within(&self.path_of(name))
        })?;
        Ok(Some(At { value: number, place: text.place }))
    }

    pub(super) fn port(&self, name: &'static str) -> Result<Option<At<u16>>, Fault> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        match u16::try_from(number.value) {
            Ok(port) if port > 0 => Ok(Some(At { value: port, place: number.place })),
            _ => {
                let fault = Fault::expected(number.place, "a port from 1 to 65535", number.value);
                Err(fault.within(&self.path_of(name)))
            }
        }
    }

    pub(super) fn require_port(&self, name: &'static str) -> Result<At<u16>, Fault> {
        self.port(name)?.ok_or_else(|| self.lacks(name))
    }

    pub(super) fn require_text(&self, name: &'static str) -> Result<At<String>, Fault> {
        self.text(name)?.ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> Fault {
        Fault::expected(self.place, format!("`{name}`"), "none").within(&self.path)
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        flag(&text).map(Some).map_err(|fault| fault.within(&self.path_of(name)))
    }

    /// The values of a list; a single value counts as a list of one.
    pub(super) fn list(&self, name: &'static str) -> Result<Vec<Value>, Fault> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        match &value.kind {
            ValueKind::List(values) => Ok(values.clone()),
            ValueKind::Unknown(_) => Err(missing(value, "a list").within(&self.path_of(name))),
            _ => Ok(vec![value.clone()]),
        }
    }

    /// A list of maps.
    pub(super) fn maps(&self, name: &'static str) -> Result<Vec<Self>, Fault> {
        let values = self.list(name)?.into_iter().enumerate();
        values.map(|(index, value)| self.inner(value, format!("{}[{index}]", self.path_of(name)))).collect()
    }

    pub(super) fn map(&self, name: &'static str) -> Result<Option<Self>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        self.inner(value.clone(), self.path_of(name)).map(Some)
    }

    fn inner(&self, value: Value, path: String) -> Result<Self, Fault> {
        Properties::of(self.import, value, path)
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<At<String>>, Fault> {
        let values = self.list(name)?.into_iter();
        let text = |value: Value| match self.import.template.given(&value) {
            Some(ValueKind::Text(text)) => Ok(At { value: text, place: value.place }),
            _ => Err(missing(&value, "text").within(&self.path_of(name))),
        };
        values.map(text).collect()
    }

    /// Tells of every property that nobody asked for.
    pub(super) fn note_the_rest(&self, reasons: &[(&str, &str)]) {
        let asked = self.asked.borrow();
        for (key, value) in self.entries.iter().filter(|(key, _)| !asked.contains(key.text.as_str())) {
            let known = reasons.iter().find(|(name, _)| *name == key.text);
            match known {
                // What describes the stack rather than the balancer.
                Some((_, "")) => {}
                Some((_, why)) => self.import.note(value.place, self.path_of(&key.text), *why),
                None => self.import.note(value.place, self.path_of(&key.text), "not carried over"),
            }
        }
    }
}

/// `true` or `false`, as YAML 1.1 and the shell spell it.
pub(super) fn flag(text: &At<String>) -> Result<bool, Fault> {
    match text.value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Fault::expected(text.place, "`true` or `false`", shown(&text.value))),
    }
}
