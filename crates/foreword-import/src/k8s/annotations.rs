//! A Service's annotations, asked for one by one; whatever nobody asked for is told in the end.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::fault::{Fault, Note, Place, shown};
use crate::tree::{Kind, Node};

/// The annotations of a Service.
pub(super) struct Annotations<'t> {
    node: Option<&'t Node>,
    path: String,
    asked: RefCell<BTreeSet<String>>,
}

/// A text, and where it was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'t> {
    pub(super) text: &'t str,
    pub(super) place: Place,
}

impl<'t> Annotations<'t> {
    /// Kubernetes takes text only, and so nothing else is passed over here as if it were not there.
    pub(super) fn of(metadata: &'t Node, path: &str) -> Result<Self, Fault> {
        let node = metadata.get("annotations");
        let path = format!("{path}.metadata.annotations");
        let annotations = Self { node, path, asked: RefCell::default() };
        for (key, value) in node.map_or(&[][..], Node::entries) {
            if !matches!(value.kind, Kind::Scalar(_) | Kind::Null) {
                let fault = Fault::expected(value.place, "text", value.found());
                return Err(fault.within(&annotations.path_of(&key.text)));
            }
        }
        Ok(annotations)
    }

    pub(super) fn get(&self, name: &str) -> Option<Said<'t>> {
        self.asked.borrow_mut().insert(name.to_owned());
        let node = self.node?.get(name)?;
        match &node.kind {
            Kind::Scalar(text) => Some(Said { text, place: node.place }),
            _ => None,
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.get(name) {
            None => Ok(false),
            Some(said) => match said.text.to_ascii_lowercase().as_str() {
                "true" | "on" => Ok(true),
                "false" | "off" | "" => Ok(false),
                _ => Err(self.wrong(said, name, "`true` or `false`")),
            },
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(said) = self.get(name) else { return Ok(None) };
        said.text.trim().parse().map(Some).map_err(|_| self.wrong(said, name, "a number"))
    }

    /// A value that is none of those that it could be.
    pub(super) fn wrong(&self, said: Said<'_>, name: &str, expected: &str) -> Fault {
        Fault::expected(said.place, expected, shown(said.text)).within(&self.path_of(name))
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}[\"{name}\"]", self.path)
    }

    /// Whether any annotation begins so.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.node.is_some_and(|node| node.entries().iter().any(|(key, _)| key.text.starts_with(prefix)))
    }

    /// Every annotation that nobody asked for, but for those that have nothing to do with balancers.
    pub(super) fn rest(&self) -> Vec<Note> {
        let asked = self.asked.borrow();
        let entries = self.node.map_or(&[][..], Node::entries);
        let unasked = entries.iter().filter(|(key, _)| {
            let elsewhere = ELSEWHERE.iter().any(|prefix| key.text.starts_with(prefix));
            !asked.contains(&key.text) && !elsewhere
        });
        unasked
            .map(|(key, node)| Note {
                place: node.place,
                path: self.path_of(&key.text),
                message: REASONS
                    .iter()
                    .find(|(end, _)| key.text.ends_with(end))
                    .map_or("not carried over", |(_, why)| why)
                    .to_owned(),
            })
            .collect()
    }
}

/// Whose annotations say nothing of a balancer.
const ELSEWHERE: &[&str] = &[
    "kubectl.kubernetes.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "argocd.argoproj.io/",
    "external-dns.alpha.kubernetes.io/",
    "prometheus.io/",
    "app.kubernetes.io/",
];

/// How the names of annotations end, and why they are not in the file.
const REASONS: &[(&str, &str)] = &[
    ("cross-zone-load-balancing-enabled", "endpoints are given no zone: each gets its share"),
    ("-scheme", "`bind` and the firewall decide who can connect"),
    ("-internal", "`bind` and the firewall decide who can connect"),
    ("-security-groups", "the firewall of the machine decides who can connect"),
    ("-ssl-negotiation-policy", "TLS 1.2 and 1.3 are spoken, with safe ciphers only"),
];
