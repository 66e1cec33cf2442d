//! CloudFormation: `AWS::ElasticLoadBalancing::LoadBalancer`, `AWS::ElasticLoadBalancingV2::*`, and the functions that
//! their properties are written with.

mod actions;
mod circles;
mod classic;
mod conditions;
mod intrinsics;
mod properties;
mod rules;
mod target_group;
mod template;
mod v2;
mod value;

use std::cell::RefCell;

use self::intrinsics::missing;
use self::properties::Properties;
use self::template::{Resource, Template};
use self::value::{Value, ValueKind};
use crate::deployment::Deployment;
use crate::draft::Draft;
use crate::fault::{Fault, Faults, Note, Place, shown};
use crate::health::Check;
use crate::parts::{Cluster, Health, Listener};
use crate::tree::{self, Aliases};
use crate::{Imported, deployment};

/// What is imported, and all that was noted on the way.
pub(super) struct Import<'t> {
    template: Template<'t>,
    deployment: &'t Deployment,
    notes: RefCell<Vec<Note>>,
    faults: RefCell<Vec<Fault>>,
    listeners: RefCell<Vec<Listener>>,
    clusters: RefCell<Vec<Cluster>>,
}

pub(crate) fn import(text: &str, deployment: &Deployment) -> Result<Imported, Faults> {
    let documents = tree::read(text, Aliases::Refused)?;
    if documents.iter().any(|document| document.get("apiVersion").is_some()) {
        let fault = Fault::new("expected a template with `Resources`, found what has an `apiVersion`");
        return Err(fault.hint("Kubernetes manifests are read by `foreword import k8s`").into());
    }
    let root = match documents.as_slice() {
        [root] => root,
        [] => return Err(Fault::new("expected a template, found nothing").into()),
        [_, second, ..] => {
            return Err(Fault::expected(second.place, "one template", "another document").into());
        }
    };
    let template = Template::of(root, deployment)?;
    template.check_circles()?;
    let import = Import {
        template,
        deployment,
        notes: RefCell::default(),
        faults: RefCell::default(),
        listeners: RefCell::default(),
        clusters: RefCell::default(),
    };
    import.read_balancers();
    import.finish()
}

impl<'t> Import<'t> {
    fn note(&self, place: Place, path: impl Into<String>, message: impl Into<String>) {
        self.notes.borrow_mut().push(Note { place, path: path.into(), message: message.into() });
    }

    fn fault(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// The value, or a note of why there is none.
    fn keep<T>(&self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.fault(fault)).ok()
    }

    fn read_balancers(&self) {
        let mut here = Vec::new();
        let mut others = Vec::new();
        for resource in self.template.resources.clone() {
            if !BALANCERS.contains(&resource.kind) {
                others.push(resource);
                continue;
            }
            match self.keep(self.is_there(resource)) {
                Some(true) => here.push(resource),
                Some(false) => {
                    self.note(resource.place, path_of(resource), "left out: its condition does not hold");
                }
                None => {}
            }
        }
        let classic: Vec<_> = here.iter().filter(|resource| resource.kind == classic::TYPE).collect();
        for resource in &classic {
            self.keep(classic::read(self, **resource));
        }
        let listeners = v2::read(self, &here);
        if classic.is_empty() && !listeners && self.faults.borrow().is_empty() {
            self.fault(no_balancer(&others));
        }
        self.note_others(&others);
    }

    /// Whether the resource's `Condition` holds.
    fn is_there(&self, resource: Resource<'_>) -> Result<bool, Fault> {
        match resource.node.get("Condition") {
            Some(node) => self.template.holds(&self.template.text(node)?, node.place),
            None => Ok(true),
        }
    }

    fn properties(&self, resource: Resource<'t>) -> Result<Properties<'_, 't>, Fault> {
        let path = format!("{}.Properties", path_of(resource));
        let value = match resource.node.get("Properties") {
            Some(node) => self.template.value(node).map_err(|fault| fault.below(&path))?,
            None => Value::new(resource.place, ValueKind::Nothing),
        };
        Properties::of(self, value, path)
    }

    /// What has no balancer in it, in one line.
    fn note_others(&self, others: &[Resource<'_>]) {
        let Some(first) = others.first() else { return };
        let mut kinds: Vec<&str> = others.iter().map(|resource| resource.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let kinds: Vec<String> = kinds.into_iter().map(shown).collect();
        let message = format!("no balancers, and left out: {}", kinds.join(", "));
        self.note(first.place, "Resources", message);
    }

    /// The address that a value stands for, or a note of what the deployment should say.
    fn address(&self, value: &Value) -> Result<String, Fault> {
        match self.template.given(value) {
            Some(ValueKind::Text(text)) if is_instance_id(&text) => {
                Err(Fault::expected(value.place, "an address", shown(&text)).hint(ENDPOINT_HINT))
            }
            Some(ValueKind::Text(text)) => Ok(text),
            _ => Err(missing(value, "an address")),
        }
    }

    /// The endpoints of a port: those that were given, or those of the template.
    fn endpoints(&self, name: &str, port: u16, described: &[(Value, u16)]) -> Vec<String> {
        let given = self.deployment.endpoints_of(name, port);
        if !given.is_empty() {
            return given;
        }
        let own = described.iter().filter_map(|(value, port)| {
            let address =
                self.keep(self.address(value).map_err(|fault| fault.within(&format!("Resources.{name}"))))?;
            Some(deployment::with_port(&address, *port))
        });
        own.collect()
    }

    /// The table of checks for a cluster of endpoints at `port`.
    fn health(&self, check: &Check, name: &str, port: u16, header: (&str, &str)) -> Health {
        let own = check.port.filter(|own| *own != port).map(|own| self.deployment.port_of(name, own));
        check.health(own, header)
    }

    /// The certificates of this machine, for a listener that ends TLS.
    fn certificates(&self, place: Place, path: &str) -> Result<String, Fault> {
        self.deployment.certificates.clone().ok_or_else(|| {
            Fault::expected(place, "certificates of this machine for a listener that ends TLS", "none")
                .within(path)
                .hint("say where they are: `--certificates certs/`")
        })
    }

    fn binds(&self, name: &str, port: u16) -> Vec<String> {
        let given = self.deployment.listen(name, port);
        if given.is_empty() { vec![format!("[::]:{port}")] } else { given }
    }

    fn finish(self) -> Result<Imported, Faults> {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            faults.extend(self.deployment.unused().into_iter().map(|unused| {
                let clusters = self.clusters.borrow();
                let names: Vec<String> = clusters.iter().map(|cluster| shown(&cluster.name)).collect();
                Fault::new(format!("`{unused}` fits nothing; the file's clusters are {}", names.join(", ")))
            }));
        }
        if let Some(place) = self.template.transform {
            self.notes.borrow_mut().push(Note {
                place,
                path: "Transform".to_owned(),
                message: "macros are not run: what they would add is not here".to_owned(),
            });
        }
        if let Some(faults) = Faults::of(faults) {
            return Err(faults);
        }
        let mut notes = self.notes.into_inner();
        notes.sort_by(|one, other| (one.place, &one.path).cmp(&(other.place, &other.path)));
        // What two listeners share is told once.
        notes.dedup();
        let mut draft = Draft::default();
        self.listeners.into_inner().into_iter().for_each(|listener| listener.push(&mut draft));
        self.clusters.into_inner().into_iter().for_each(|cluster| cluster.push(&mut draft));
        Ok(Imported { draft, notes })
    }
}

fn path_of(resource: Resource<'_>) -> String {
    format!("Resources.{}", resource.id)
}

fn no_balancer(others: &[Resource<'_>]) -> Fault {
    let mut kinds: Vec<String> = others.iter().map(|resource| shown(resource.kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let found = if kinds.is_empty() { "no resource".to_owned() } else { kinds.join(", ") };
    let expected = format!("a balancer with a listener (`{}` or `{}`)", classic::TYPE, v2::LISTENER);
    Fault::new(format!("expected {expected} that is there, found {found}"))
}

/// What is read, rather than named in passing.
const BALANCERS: &[&str] = &[classic::TYPE, v2::LOAD_BALANCER, v2::LISTENER, v2::RULE, v2::TARGET_GROUP];

/// `i-0123456789abcdef0`: what EC2 calls an instance, and no resolver knows.
fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-")
        .is_some_and(|id| id.len() >= 8 && id.chars().all(|letter| letter.is_ascii_hexdigit()))
}

const ENDPOINT_HINT: &str = "say where it is: `--endpoint ADDRESS`";
