//! `Conditions`: what holds for this deployment, each worked out once, in whatever order they name each other.

use foreword_rule::suggest;

use super::intrinsics::missing;
use super::template::Template;
use super::value::{Value, ValueKind};
use crate::fault::{Fault, Place, shown};
use crate::tree::{Kind, Node};

impl Template<'_> {
    /// Whether a condition holds.
    pub(super) fn holds(&self, name: &str, place: Place) -> Result<bool, Fault> {
        match self.settled.borrow().get(name) {
            Some(Some(held)) => return Ok(*held),
            Some(None) => {
                return Err(Fault::at(place, format!("the condition {} comes back to itself", shown(name))));
            }
            None => {}
        }
        let Some((_, node)) = self.conditions.iter().find(|(key, _)| key.text == name) else {
            let names = self.conditions.iter().map(|(key, _)| key.text.as_str());
            let fault = Fault::expected(place, "a condition of the template", shown(name));
            return Err(fault.did_you_mean(suggest(name, names)));
        };
        let open = self.settled.borrow().values().filter(|held| held.is_none()).count();
        if open >= MAX_CHAIN {
            return Err(Fault::expected(
                place,
                format!("conditions that name at most {MAX_CHAIN} others in a row"),
                "more",
            ));
        }
        self.settled.borrow_mut().insert(name.to_owned(), None);
        let held = self.condition(node).map_err(|fault| fault.within(&format!("Conditions.{name}")));
        match &held {
            Ok(held) => drop(self.settled.borrow_mut().insert(name.to_owned(), Some(*held))),
            Err(_) => drop(self.settled.borrow_mut().remove(name)),
        }
        held
    }

    fn condition(&self, node: &Node) -> Result<bool, Fault> {
        let (name, argument) = match (&node.tag, node.entries()) {
            (Some(tag), _) => (tag.as_str(), node),
            (None, [(key, argument)]) => (key.text.trim_start_matches("Fn::"), argument),
            _ => return Err(Fault::expected(node.place, "a condition", node.found())),
        };
        match (name, &argument.kind) {
            ("Condition", Kind::Scalar(other)) => self.holds(other, argument.place),
            ("Equals", Kind::List(sides)) => match sides.as_slice() {
                [one, other] => Ok(self.comparable(one)? == self.comparable(other)?),
                _ => Err(Fault::expected(argument.place, "two values", format!("{}", sides.len()))),
            },
            ("And", Kind::List(parts)) => self.all(parts, true),
            ("Or", Kind::List(parts)) => self.all(parts, false).map(|none| !none),
            ("Not", Kind::List(parts)) => match parts.as_slice() {
                [part] => self.condition(part).map(|held| !held),
                _ => Err(Fault::expected(argument.place, "one condition", format!("{}", parts.len()))),
            },
            _ => Err(Fault::expected(node.place, "`Equals`, `And`, `Or`, `Not` or `Condition`", shown(name))),
        }
    }

    /// Whether each of the parts is as `wanted`.
    fn all(&self, parts: &[Node], wanted: bool) -> Result<bool, Fault> {
        for part in parts {
            if self.condition(part)? != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn comparable(&self, node: &Node) -> Result<ValueKind, Fault> {
        let value: Value = self.value(node)?;
        self.given(&value).ok_or_else(|| missing(&value, "a value to compare"))
    }
}

/// Each goes down some frames.
const MAX_CHAIN: usize = 64;
