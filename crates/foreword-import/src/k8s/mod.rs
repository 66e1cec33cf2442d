//! Kubernetes: Services of type LoadBalancer, with the annotations by which the clouds' balancers are told what to do.

mod annotations;
mod service;
mod wishes;

use std::collections::BTreeSet;

use self::service::Service;
use crate::Imported;
use crate::deployment::Deployment;
use crate::draft::Draft;
use crate::fault::{Fault, Faults, Note, shown};
use crate::tree::{self, Aliases, Kind, Node};

pub(crate) fn import(text: &str, deployment: &Deployment) -> Result<Imported, Faults> {
    let documents = tree::read(text, Aliases::Followed)?;
    let objects: Vec<&Node> = documents.iter().flat_map(items).collect();
    let mut import =
        Import { deployment, draft: Draft::default(), notes: Vec::new(), names: BTreeSet::new() };
    let attached: BTreeSet<&str> = objects.iter().filter_map(|object| attached_to(object)).collect();
    let mut faults = Vec::new();
    let mut found = false;
    let mut others = Vec::new();
    for object in objects {
        match (text_of(object, "kind"), object.get("spec")) {
            (Some("Service"), Some(spec)) if text_of(spec, "type") == Some("LoadBalancer") => {
                found = true;
                faults.extend(import.service(object, spec, &attached).err());
            }
            (Some("ServiceAttachment"), _) if attached_to(object).is_some() => {}
            (kind, _) => others.push((kind.unwrap_or(NO_KIND).to_owned(), object)),
        }
    }
    if !found {
        faults.push(no_service(&others));
    }
    if let Some((_, first)) = others.first() {
        let message = format!("left out, for none is a Service of type LoadBalancer: {}", kinds_of(&others));
        import.notes.push(Note { place: first.place, path: "documents".to_owned(), message });
    }
    if faults.is_empty() {
        let names: Vec<String> = import.names.iter().map(|name| shown(name)).collect();
        let unused = deployment.unused().into_iter();
        faults.extend(unused.map(|unused| {
            Fault::new(format!("`{unused}` fits nothing; the Services are {}", names.join(", ")))
        }));
        faults.extend(
            deployment
                .params
                .keys()
                .next()
                .map(|_| Fault::new("a manifest has no parameters: `--param` fits nothing")),
        );
    }
    match Faults::of(faults) {
        Some(faults) => Err(faults),
        None => {
            import.notes.sort_by(|one, other| (one.place, &one.path).cmp(&(other.place, &other.path)));
            Ok(Imported { draft: import.draft, notes: import.notes })
        }
    }
}

/// What is imported, and all that was noted on the way.
struct Import<'d> {
    deployment: &'d Deployment,
    draft: Draft,
    notes: Vec<Note>,
    /// The Services so far.
    names: BTreeSet<String>,
}

impl Import<'_> {
    fn service(&mut self, object: &Node, spec: &Node, attached: &BTreeSet<&str>) -> Result<(), Fault> {
        let metadata = object.get("metadata");
        let name = metadata.and_then(|metadata| text_of(metadata, "name"));
        let (Some(metadata), Some(name)) = (metadata, name) else {
            return Err(Fault::expected(object.place, "`metadata.name`", "none"));
        };
        let attached = attached.contains(name);
        let namespace = text_of(metadata, "namespace").unwrap_or("default");
        // Names are unique in a namespace only.
        let name = if self.names.contains(name) { format!("{namespace}.{name}") } else { name.to_owned() };
        if !self.names.insert(name.clone()) {
            return Err(Fault::expected(
                metadata.place,
                "each Service once",
                format!("{} again", shown(&name)),
            ));
        }
        let service = Service::read(&name, metadata, spec, attached)?;
        service.write(self.deployment, &mut self.draft, &mut self.notes)
    }
}

/// The objects of a document: itself, or those of a list.
fn items(document: &Node) -> Vec<&Node> {
    match (text_of(document, "kind"), document.get("items").map(|items| &items.kind)) {
        (Some("List" | "ServiceList"), Some(Kind::List(items))) => items.iter().collect(),
        _ => vec![document],
    }
}

/// The Service that a ServiceAttachment of Google's Private Service Connect sends headers to.
fn attached_to(object: &Node) -> Option<&str> {
    let spec = object.get("spec").filter(|_| text_of(object, "kind") == Some("ServiceAttachment"))?;
    let service = text_of(spec.get("resourceRef")?, "name")?;
    (text_of(spec, "proxyProtocol") == Some("true")).then_some(service)
}

/// The text of a key, if it is one.
fn text_of<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    match node.get(name).map(|node| &node.kind) {
        Some(Kind::Scalar(text)) => Some(text),
        _ => None,
    }
}

/// What an object without a kind is called.
const NO_KIND: &str = "something without a kind";

fn no_service(others: &[(String, &Node)]) -> Fault {
    let found = if others.is_empty() { "nothing".to_owned() } else { kinds_of(others) };
    let fault = Fault::new(format!("expected a Service of type LoadBalancer, found {found}"));
    match others.iter().any(|(_, object)| object.get("Resources").is_some()) {
        true => fault.hint("a template with `Resources` is read by `foreword import cfn`"),
        false => fault,
    }
}

/// Each kind once, as it is shown.
fn kinds_of(objects: &[(String, &Node)]) -> String {
    let kinds: BTreeSet<String> =
        objects.iter().map(|(kind, _)| if kind == NO_KIND { kind.clone() } else { shown(kind) }).collect();
    kinds.into_iter().collect::<Vec<_>>().join(", ")
}
