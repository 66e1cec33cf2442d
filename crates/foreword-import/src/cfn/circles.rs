//! Resources that need each other in a circle: no stack could ever be made of them.

use std::collections::{BTreeMap, BTreeSet};

use super::template::Template;
use crate::fault::{Fault, shown};
use crate::tree::{Kind, Node};

impl Template<'_> {
    /// Refuses resources that refer to each other in a circle.
    pub(super) fn check_circles(&self) -> Result<(), Fault> {
        let ids: BTreeSet<&str> = self.resources.iter().map(|resource| resource.id).collect();
        let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for resource in &self.resources {
            let mut found = BTreeSet::new();
            for part in ["Properties", "DependsOn"].iter().filter_map(|name| resource.node.get(name)) {
                self.collect(part, &ids, &mut found);
            }
            if let Some(Kind::Scalar(id)) = resource.node.get("DependsOn").map(|node| &node.kind) {
                found.extend(ids.get(id.as_str()));
            }
            if let Some(Kind::List(list)) = resource.node.get("DependsOn").map(|node| &node.kind) {
                let named = list.iter().filter_map(|node| match &node.kind {
                    Kind::Scalar(id) => ids.get(id.as_str()),
                    _ => None,
                });
                found.extend(named);
            }
            needs.insert(resource.id, found);
        }
        // What needs nothing that is left goes, until nothing is left but circles and what needs them.
        loop {
            let free: Vec<&str> =
                needs.iter().filter(|(_, needs)| needs.is_empty()).map(|(id, _)| *id).collect();
            if free.is_empty() {
                break;
            }
            for id in &free {
                needs.remove(id);
            }
            for needs in needs.values_mut() {
                needs.retain(|id| !free.contains(id));
            }
        }
        match circle(&needs) {
            None => Ok(()),
            Some(circle) => {
                let first = circle.first().and_then(|id| self.resource(id));
                let names: Vec<String> = circle.iter().chain(circle.first()).map(|id| shown(id)).collect();
                let message = format!("these resources need each other in a circle: {}", names.join(" → "));
                Err(first.map_or_else(|| Fault::new(&message), |first| Fault::at(first.place, &message)))
            }
        }
    }

    /// The resources that a node refers to. Of `If`, only what is chosen counts.
    fn collect<'i>(&self, node: &Node, ids: &BTreeSet<&'i str>, found: &mut BTreeSet<&'i str>) {
        let name = match (&node.tag, node.entries()) {
            (Some(tag), _) => Some((tag.as_str(), node)),
            (None, [(key, argument)]) => Some((key.text.trim_start_matches("Fn::"), argument)),
            _ => None,
        };
        match name {
            Some(("Ref" | "GetAtt" | "Sub", argument)) => self.collect_names(argument, ids, found),
            Some(("If", argument)) => {
                if let Kind::List(list) = &argument.kind
                    && let [condition, then, or] = list.as_slice()
                    && let Kind::Scalar(name) = &condition.kind
                {
                    // Where the condition cannot be told, there may be a circle, but none that is sure.
                    match self.holds(name, condition.place) {
                        Ok(true) => return self.collect(then, ids, found),
                        Ok(false) => return self.collect(or, ids, found),
                        Err(_) => return,
                    }
                }
            }
            _ => {}
        }
        match &node.kind {
            Kind::List(list) => list.iter().for_each(|node| self.collect(node, ids, found)),
            Kind::Map(map) => map.iter().for_each(|(_, node)| self.collect(node, ids, found)),
            Kind::Scalar(_) | Kind::Null => {}
        }
    }

    /// The resources that `Ref`, `GetAtt` or `Sub` names.
    fn collect_names<'i>(&self, argument: &Node, ids: &BTreeSet<&'i str>, found: &mut BTreeSet<&'i str>) {
        let text = match &argument.kind {
            Kind::Scalar(text) => text,
            Kind::List(list) => match list.first().map(|node| &node.kind) {
                Some(Kind::Scalar(text)) => text,
                _ => return,
            },
            _ => return,
        };
        let inside = text.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
        for name in inside.chain([text.as_str()]) {
            let id = name.split_once('.').map_or(name, |(id, _)| id);
            found.extend(ids.get(id));
        }
    }
}

/// One circle among what is left.
fn circle<'i>(needs: &BTreeMap<&'i str, BTreeSet<&'i str>>) -> Option<Vec<&'i str>> {
    let mut way = vec![*needs.keys().next()?];
    loop {
        // Each that is left needs one that is left.
        let next = *needs.get(way.last()?)?.iter().next()?;
        if let Some(start) = way.iter().position(|id| *id == next) {
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}
