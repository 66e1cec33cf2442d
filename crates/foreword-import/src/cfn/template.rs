//! A template's sections: what there is to refer to.

use std::cell::RefCell;
use std::collections::BTreeMap;

use foreword_rule::suggest;

use super::value::{Value, ValueKind};
use crate::deployment::Deployment;
use crate::fault::{Fault, Faults, Place, shown};
use crate::tree::{Key, Kind, Node};

/// A template, and the parameters that it is deployed with.
pub(super) struct Template<'t> {
    pub(super) resources: Vec<Resource<'t>>,
    pub(super) transform: Option<Place>,
    parameters: &'t [(Key, Node)],
    pub(super) mappings: Option<&'t Node>,
    pub(super) conditions: &'t [(Key, Node)],
    pub(super) params: &'t BTreeMap<String, String>,
    /// What conditions came to; `None` while one is being worked out.
    pub(super) settled: RefCell<BTreeMap<String, Option<bool>>>,
}

/// A resource that the template describes.
#[derive(Clone, Copy)]
pub(super) struct Resource<'t> {
    pub(super) id: &'t str,
    pub(super) place: Place,
    pub(super) kind: &'t str,
    pub(super) node: &'t Node,
}

impl<'t> Template<'t> {
    pub(super) fn of(root: &'t Node, deployment: &'t Deployment) -> Result<Self, Faults> {
        if !matches!(root.kind, Kind::Map(_)) {
            return Err(Fault::expected(root.place, "a template with `Resources`", root.found()).into());
        }
        let Some(resources) = root.get("Resources") else {
            return Err(Fault::expected(root.place, "a template with `Resources`", "none").into());
        };
        let (resources, mut faults) = read_resources(resources);
        faults.extend(["Parameters", "Conditions"].into_iter().filter_map(|name| crowded(root, name)));
        match Faults::of(faults) {
            Some(faults) => Err(faults),
            None => {
                let template = Self {
                    resources,
                    transform: root.get("Transform").map(|node| node.place),
                    parameters: root.get("Parameters").map_or(&[], Node::entries),
                    mappings: root.get("Mappings"),
                    conditions: root.get("Conditions").map_or(&[], Node::entries),
                    params: &deployment.params,
                    settled: RefCell::default(),
                };
                template.check_params()?;
                Ok(template)
            }
        }
    }

    pub(super) fn resource(&self, id: &str) -> Option<Resource<'t>> {
        self.resources.iter().find(|resource| resource.id == id).copied()
    }

    /// What `Ref` says: a parameter, a pseudo parameter, or a resource.
    pub(super) fn refer(&self, name: &str, place: Place) -> Result<Value, Fault> {
        if name == "AWS::NoValue" {
            return Ok(Value::new(place, ValueKind::Nothing));
        }
        if let Some((_, node)) = self.parameters.iter().find(|(key, _)| key.text == name) {
            return self.parameter(name, node, place);
        }
        if self.resource(name).is_some() {
            let kind = ValueKind::Resource { id: name.to_owned(), attribute: None };
            return Ok(Value::new(place, kind));
        }
        match (self.params.get(name), name.starts_with("AWS::")) {
            (Some(value), _) => Ok(Value::text(place, value)),
            (None, true) => Ok(Value::new(place, ValueKind::Unknown(name.to_owned()))),
            (None, false) => {
                let fault = Fault::expected(place, "a parameter or resource of the template", shown(name));
                Err(fault.did_you_mean(suggest(name, self.names())))
            }
        }
    }

    fn parameter(&self, name: &str, node: &Node, place: Place) -> Result<Value, Fault> {
        let of = |key: &str| match node.get(key).map(|node| &node.kind) {
            Some(Kind::Scalar(text)) => Some(text.as_str()),
            _ => None,
        };
        let kind = of("Type").unwrap_or("String");
        let given = self.params.get(name).map(String::as_str);
        // The default of a parameter from the parameter store is a name there.
        let default = of("Default").filter(|_| !kind.starts_with("AWS::SSM::"));
        let Some(text) = given.or(default) else {
            return Ok(Value::new(place, ValueKind::Unknown(name.to_owned())));
        };
        if let Some(Kind::List(allowed)) = node.get("AllowedValues").map(|node| &node.kind)
            && !allowed.iter().any(|node| matches!(&node.kind, Kind::Scalar(allowed) if allowed == text))
        {
            let expected = format!("one of the `AllowedValues` of {}", shown(name));
            return Err(Fault::expected(node.place, expected, shown(text)));
        }
        let is_list = kind == "CommaDelimitedList" || kind.contains("List<");
        Ok(match is_list {
            false => Value::text(place, text),
            true => {
                let parts = text.split(',').map(|part| Value::text(place, part.trim()));
                Value::new(place, ValueKind::List(parts.collect()))
            }
        })
    }

    fn names(&self) -> impl Iterator<Item = &'t str> {
        let parameters = self.parameters.iter().map(|(key, _)| key.text.as_str());
        parameters.chain(self.resources.iter().map(|resource| resource.id))
    }

    /// What `--param` names must be there, or a slip of the pen would go unseen.
    fn check_params(&self) -> Result<(), Faults> {
        let unknown = self.params.keys().filter(|name| {
            let id = name.split_once('.').map_or(name.as_str(), |(id, _)| id);
            let known = self.names().any(|known| known == name.as_str()) || self.resource(id).is_some();
            !known && !name.starts_with("AWS::") && !name.starts_with("ImportValue:")
        });
        let faults = unknown.map(|name| {
            let message = format!(
                "expected `--param` to name a parameter or resource of the template, found {}",
                shown(name)
            );
            Fault::new(message).did_you_mean(suggest(name, self.names()))
        });
        Faults::of(faults.collect()).map_or(Ok(()), Err)
    }
}

/// Every mention of a name looks through its section.
fn crowded(root: &Node, name: &str) -> Option<Fault> {
    let section = root.get(name)?;
    let count = section.entries().len();
    (count > MAX_NAMES)
        .then(|| Fault::expected(section.place, format!("at most {MAX_NAMES} names"), count).within(name))
}

fn read_resources(section: &Node) -> (Vec<Resource<'_>>, Vec<Fault>) {
    let mut resources = Vec::new();
    let mut faults = Vec::new();
    if !matches!(section.kind, Kind::Map(_)) {
        faults
            .push(Fault::expected(section.place, "a map of resources", section.found()).within("Resources"));
    }
    if section.entries().len() > MAX_RESOURCES {
        let expected = format!("at most {MAX_RESOURCES} resources");
        faults.push(Fault::expected(section.place, expected, section.entries().len()).within("Resources"));
        return (resources, faults);
    }
    for (key, node) in section.entries() {
        let path = format!("Resources.{}", key.text);
        if key.text.starts_with("Fn::ForEach") {
            let fault = Fault::at(key.place, "`Fn::ForEach` is not expanded");
            faults.push(
                fault
                    .hint("import what `aws cloudformation get-template --template-stage Processed` prints")
                    .within(&path),
            );
            continue;
        }
        match node.get("Type").map(|kind| &kind.kind) {
            Some(Kind::Scalar(kind)) => {
                resources.push(Resource { id: &key.text, place: key.place, kind, node });
            }
            _ => faults.push(Fault::expected(node.place, "a resource with a `Type`", "none").within(&path)),
        }
    }
    (resources, faults)
}

/// CloudFormation takes 200 parameters.
const MAX_NAMES: usize = 1000;

/// CloudFormation takes 500.
const MAX_RESOURCES: usize = 2000;
