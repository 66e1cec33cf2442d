//! The functions of templates, in both spellings: `!Sub x` and `{"Fn::Sub": x}`. What only a running stack knows comes out
//! as unknown, and whoever needs it says so.

use foreword_rule::suggest;

use super::template::Template;
use super::value::{Value, ValueKind};
use crate::fault::{Fault, Place, shown};
use crate::tree::{Kind, Node};

/// What a node asks for.
struct Call<'n> {
    /// As the long form spells it, without `Fn::`.
    name: &'n str,
    argument: &'n Node,
}

impl Template<'_> {
    /// What a node comes to.
    pub(super) fn value(&self, node: &Node) -> Result<Value, Fault> {
        let place = node.place;
        match call(node) {
            Some(call) => return self.call(&call, node),
            None if node.tag.is_some() => return Err(unknown_function(node)),
            None => {}
        }
        Ok(match &node.kind {
            Kind::Scalar(text) => match text.contains("{{resolve:") {
                true => Value::new(place, ValueKind::Unknown(text.clone())),
                false => Value::text(place, text),
            },
            Kind::Null => Value::new(place, ValueKind::Nothing),
            Kind::List(list) => self.list(list, place)?,
            Kind::Map(entries) => {
                let mut map = Vec::new();
                for (key, node) in entries {
                    let value = self.value(node).map_err(|fault| fault.below(&key.text))?;
                    if value.kind != ValueKind::Nothing {
                        map.push((key.clone(), value));
                    }
                }
                Value::new(place, ValueKind::Map(map))
            }
        })
    }

    fn list(&self, list: &[Node], place: Place) -> Result<Value, Fault> {
        let mut values = Vec::new();
        for node in list {
            let value = self.value(node)?;
            if value.kind != ValueKind::Nothing {
                values.push(value);
            }
        }
        Ok(Value::new(place, ValueKind::List(values)))
    }

    fn call(&self, call: &Call<'_>, node: &Node) -> Result<Value, Fault> {
        let (place, argument) = (node.place, call.argument);
        match call.name {
            "Ref" => self.refer(scalar(argument, "a name")?, place),
            "GetAtt" => self.attribute(argument, place),
            "Sub" => self.substitute(argument, place),
            "If" => self.choose(argument, place),
            "Join" => self.join(argument, place),
            "Split" => self.split(argument, place),
            "Select" => self.select(argument, place),
            "FindInMap" => self.find(argument, place),
            "ImportValue" => {
                let name = self.value(argument)?;
                let name = match name.kind {
                    ValueKind::Text(name) => format!("ImportValue:{name}"),
                    _ => return Ok(name),
                };
                Ok(match self.params.get(&name) {
                    Some(value) => Value::text(place, value),
                    None => Value::new(place, ValueKind::Unknown(name)),
                })
            }
            // What no balancer's property needs: nobody asks what they come to.
            "GetAZs" | "Base64" | "Cidr" | "Length" | "ToJsonString" | "Transform" | "And" | "Or" | "Not"
            | "Equals" => Ok(Value::new(place, ValueKind::Unknown(format!("Fn::{}", call.name)))),
            _ => Err(unknown_function(node)),
        }
    }

    /// `Logical.Attribute`, or a list of both.
    fn attribute(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let (id, attribute) = match &argument.kind {
            Kind::Scalar(text) => match text.split_once('.') {
                Some((id, attribute)) => (id.to_owned(), attribute.to_owned()),
                None => return Err(Fault::expected(place, "`RESOURCE.ATTRIBUTE`", shown(text))),
            },
            Kind::List(list) => match list.as_slice() {
                [id, attribute] => (scalar(id, "a resource")?.to_owned(), self.text(attribute)?),
                _ => return Err(Fault::expected(place, "a resource and an attribute", argument.found())),
            },
            _ => return Err(Fault::expected(place, "`RESOURCE.ATTRIBUTE`", argument.found())),
        };
        if self.resource(&id).is_none() {
            let names = self.resources.iter().map(|resource| resource.id);
            let fault = Fault::expected(place, "a resource of the template", shown(&id));
            return Err(fault.did_you_mean(suggest(&id, names)));
        }
        Ok(Value::new(place, ValueKind::Resource { id, attribute: Some(attribute) }))
    }

    /// `"text ${Name}"`, or a list of such a text and a map of names of its own.
    fn substitute(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let (text, own) = match &argument.kind {
            Kind::Scalar(text) => (text.as_str(), None),
            Kind::List(list) => match list.as_slice() {
                [text] => (scalar(text, "text")?, None),
                [text, own] => (scalar(text, "text")?, Some(self.value(own)?)),
                _ => return Err(Fault::expected(place, "a text and a map", argument.found())),
            },
            _ => return Err(Fault::expected(place, "a text, or a text and a map", argument.found())),
        };
        let own = match own.map(|own| own.kind) {
            Some(ValueKind::Map(entries)) => entries,
            Some(_) => {
                return Err(Fault::expected(place, "a map behind the text of `Fn::Sub`", "something else"));
            }
            None => Vec::new(),
        };
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return Err(Fault::expected(place, "`}` behind `${`", "none"));
            };
            rest = after;
            // `${!Name}` stands for `${Name}`.
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = self.named(name.trim(), &own, place)?;
            match self.given(&value) {
                Some(ValueKind::Text(text)) => out.push_str(&text),
                _ if value.param().is_some() => return Ok(Value { place, ..value }),
                _ => return Err(Fault::expected(place, format!("text for `${{{name}}}`"), value.found())),
            }
            check_len(&out, place)?;
        }
        out.push_str(rest);
        Ok(Value::text(place, out))
    }

    fn named(&self, name: &str, own: &[(crate::tree::Key, Value)], place: Place) -> Result<Value, Fault> {
        if let Some((_, value)) = own.iter().find(|(key, _)| key.text == name) {
            return Ok(value.clone());
        }
        match name.split_once('.') {
            Some((id, attribute)) if self.resource(id).is_some() => {
                let kind = ValueKind::Resource { id: id.to_owned(), attribute: Some(attribute.to_owned()) };
                Ok(Value::new(place, kind))
            }
            _ => self.refer(name, place),
        }
    }

    fn choose(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        match &argument.kind {
            Kind::List(list) => match list.as_slice() {
                [condition, then, or] => {
                    let name = scalar(condition, "the name of a condition")?;
                    self.value(if self.holds(name, condition.place)? { then } else { or })
                }
                _ => Err(Fault::expected(place, "a condition and two values", argument.found())),
            },
            _ => Err(Fault::expected(place, "a condition and two values", argument.found())),
        }
    }

    fn join(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [delimiter, list] = pair(argument, place, "a delimiter and a list")?;
        let delimiter = self.text(delimiter)?;
        let list = self.value(list)?;
        let ValueKind::List(values) = list.kind else {
            return match list.param() {
                Some(_) => Ok(Value { place, ..list }),
                None => Err(Fault::expected(list.place, "a list to join", list.found())),
            };
        };
        let mut out = String::new();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                out.push_str(&delimiter);
            }
            match self.given(value) {
                Some(ValueKind::Text(text)) => out.push_str(&text),
                _ if value.param().is_some() => return Ok(Value { place, ..value.clone() }),
                _ => return Err(Fault::expected(value.place, "text to join", value.found())),
            }
            check_len(&out, place)?;
        }
        Ok(Value::text(place, out))
    }

    fn split(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [delimiter, text] = pair(argument, place, "a delimiter and a text")?;
        let delimiter = self.text(delimiter)?;
        let value = self.value(text)?;
        match self.given(&value) {
            Some(ValueKind::Text(text)) if !delimiter.is_empty() => {
                let parts = text.split(&delimiter).map(|part| Value::text(place, part));
                Ok(Value::new(place, ValueKind::List(parts.collect())))
            }
            Some(ValueKind::Text(_)) => Err(Fault::expected(place, "a delimiter", "none")),
            _ if value.param().is_some() => Ok(Value { place, ..value }),
            _ => Err(Fault::expected(place, "a text to split", value.found())),
        }
    }

    fn select(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [index, list] = pair(argument, place, "an index and a list")?;
        let index = self.text(index)?;
        let list = self.value(list)?;
        match list.kind {
            ValueKind::List(mut values) => {
                let at = index.parse().ok().filter(|&at: &usize| at < values.len());
                let at = at.ok_or_else(|| {
                    Fault::expected(place, format!("an index below {}", values.len()), shown(&index))
                })?;
                Ok(values.swap_remove(at))
            }
            _ if list.param().is_some() => Ok(Value { place, ..list }),
            _ => Err(Fault::expected(place, "a list to select from", list.found())),
        }
    }

    fn find(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let wants = "the name of a map and two keys";
        let Kind::List(list) = &argument.kind else {
            return Err(Fault::expected(place, wants, argument.found()));
        };
        let [map, first, second, default @ ..] = list.as_slice() else {
            return Err(Fault::expected(place, wants, argument.found()));
        };
        let mut found = self.mappings;
        for step in [map, first, second] {
            let value = self.value(step)?;
            let Some(ValueKind::Text(name)) = self.given(&value) else {
                return match value.param() {
                    Some(_) => Ok(Value { place, ..value }),
                    None => Err(Fault::expected(step.place, "text", value.found())),
                };
            };
            let names = found.into_iter().flat_map(Node::entries).map(|(key, _)| key.text.as_str());
            let next = found.and_then(|node| node.get(&name));
            if next.is_none() {
                if let Some(default) = default.iter().find_map(|node| node.get("DefaultValue")) {
                    return self.value(default);
                }
                let fault = Fault::expected(step.place, "a key of `Mappings`", shown(&name));
                return Err(fault.did_you_mean(suggest(&name, names)));
            }
            found = next;
        }
        found.map_or_else(|| Err(Fault::expected(place, wants, argument.found())), literal)
    }

    /// What a node comes to, which must be text now.
    pub(super) fn text(&self, node: &Node) -> Result<String, Fault> {
        let value = self.value(node)?;
        match self.given(&value) {
            Some(ValueKind::Text(text)) => Ok(text),
            _ => Err(missing(&value, "text")),
        }
    }

    /// The value itself, or what `--param` says it is; nothing if neither is known.
    pub(super) fn given(&self, value: &Value) -> Option<ValueKind> {
        match value.param() {
            None => Some(value.kind.clone()),
            Some(name) => self.params.get(&name).map(|text| ValueKind::Text(text.clone())),
        }
    }
}

/// Why a value cannot be what it should.
pub(super) fn missing(value: &Value, expected: &str) -> Fault {
    let fault = Fault::expected(value.place, expected, value.found());
    match value.param() {
        Some(name) if !name.starts_with("Fn::") && !name.contains("{{") => {
            fault.hint(format!("give `--param {name}=…`"))
        }
        _ => fault,
    }
}

/// The function that a node calls, in either spelling.
fn call(node: &Node) -> Option<Call<'_>> {
    if let Some(tag) = &node.tag {
        return FUNCTIONS.contains(&tag.as_str()).then_some(Call { name: tag, argument: node });
    }
    match node.entries() {
        [(key, argument)] => {
            let name = match key.text.as_str() {
                "Ref" => "Ref",
                long => long.strip_prefix("Fn::")?,
            };
            Some(Call { name, argument })
        }
        _ => None,
    }
}

fn unknown_function(node: &Node) -> Fault {
    let written = match (&node.tag, node.entries()) {
        (Some(tag), _) => format!("!{tag}"),
        (None, [(key, _)]) => key.text.clone(),
        _ => String::new(),
    };
    let name = written.trim_start_matches('!').trim_start_matches("Fn::");
    let meant = suggest(name, FUNCTIONS.iter().copied()).map(|name| match written.starts_with('!') {
        true => format!("!{name}"),
        false => format!("Fn::{name}"),
    });
    Fault::expected(node.place, "a function of CloudFormation", shown(&written))
        .did_you_mean(meant.as_deref())
}

/// A value of `Mappings`: CloudFormation takes text and lists of it there. Functions could ask for their own value, or for one
/// another's many times over.
fn literal(node: &Node) -> Result<Value, Fault> {
    let expected = |node: &Node, found| Err(Fault::expected(node.place, "text, or a list of it", found));
    match (&node.kind, &node.tag) {
        (_, Some(tag)) => expected(node, shown(&format!("!{tag}"))),
        (Kind::Scalar(text), None) => Ok(Value::text(node.place, text)),
        (Kind::List(list), None) => {
            let texts = list.iter().map(|node| match (&node.kind, &node.tag) {
                (Kind::Scalar(text), None) => Ok(Value::text(node.place, text)),
                (_, Some(tag)) => expected(node, shown(&format!("!{tag}"))),
                (_, None) => expected(node, node.found()),
            });
            Ok(Value::new(node.place, ValueKind::List(texts.collect::<Result<_, _>>()?)))
        }
        (Kind::Null | Kind::Map(_), None) => expected(node, node.found()),
    }
}

fn scalar<'n>(node: &'n Node, expected: &str) -> Result<&'n str, Fault> {
    match &node.kind {
        Kind::Scalar(text) => Ok(text),
        _ => Err(Fault::expected(node.place, expected, node.found())),
    }
}

fn pair<'n>(node: &'n Node, place: Place, expected: &str) -> Result<[&'n Node; 2], Fault> {
    match &node.kind {
        Kind::List(list) => match list.as_slice() {
            [first, second] => Ok([first, second]),
            _ => Err(Fault::expected(place, expected, format!("{} values", list.len()))),
        },
        _ => Err(Fault::expected(place, expected, node.found())),
    }
}

/// Texts that double level by level would outgrow any memory.
fn check_len(text: &str, place: Place) -> Result<(), Fault> {
    match text.len() > MAX_TEXT {
        true => Err(Fault::expected(place, format!("at most {MAX_TEXT} bytes of text"), "more")),
        false => Ok(()),
    }
}

const MAX_TEXT: usize = 64 * 1024;

/// In the short spelling; `Condition` is one of conditions only.
const FUNCTIONS: &[&str] = &[
    "Ref",
    "GetAtt",
    "Sub",
    "If",
    "Join",
    "Split",
    "Select",
    "FindInMap",
    "ImportValue",
    "GetAZs",
    "Base64",
    "Cidr",
    "Length",
    "ToJsonString",
    "Transform",
    "And",
    "Or",
    "Not",
    "Equals",
];
