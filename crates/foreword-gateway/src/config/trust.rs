//! `[trust.NAME]`, and the groups of a listener together.

use std::collections::{BTreeMap, BTreeSet};

use foreword::{Group, HeaderPolicy, Trust};
use foreword_rule::parse_network;
use ipnet::IpNet;

use super::document::{Notes, Table, find_name, shown};
use super::keys::TRUST;
use super::source::{At, Place};

/// The groups of all files.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// By name; `None` where the group could not be read, so that its users have no problem of their own.
    by_name: BTreeMap<String, Option<GroupAt>>,
    places: BTreeMap<String, Place>,
}

/// A group, and where each of its ranges stands.
#[derive(Debug)]
struct GroupAt {
    group: Group,
    ranges: Vec<At<Range>>,
}

/// Where peers of a group come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Range {
    Unix,
    Net(IpNet),
}

impl Groups {
    /// Reads the groups of one file.
    pub(crate) fn add(&mut self, top: &Table<'_, '_>) {
        for (name, table) in top.named("trust", &TRUST) {
            if let Some(first) = self.places.get(name.value) {
                let found = format!("the one at {}", first.shown());
                top.notes().problem(name.place.expected("a name of its own", found));
                continue;
            }
            self.places.insert(name.value.to_owned(), name.place);
            self.by_name.insert(name.value.to_owned(), read(name.value, &table));
        }
    }

    /// The trust of a listener, from the names of its groups.
    pub(crate) fn resolve(&self, names: &[At<&str>], notes: &Notes) -> Option<Trust> {
        let mut chosen: Vec<(&At<&str>, &GroupAt)> = Vec::new();
        let mut complete = true;
        for name in names {
            if chosen.iter().any(|(other, _)| other.value == name.value) {
                notes.problem(
                    name.place.expected("each group once", format_args!("{} again", shown(name.value))),
                );
                continue;
            }
            match notes.keep(find_name(&self.by_name, name, "trust groups")) {
                Some(Some(group)) => chosen.push((name, group)),
                Some(None) | None => complete = false,
            }
        }
        let mut owners: BTreeMap<Range, &GroupAt> = BTreeMap::new();
        for &(name, group) in &chosen {
            for range in &group.ranges {
                if let Some(other) = owners.insert(range.value, group) {
                    let shown = match range.value {
                        Range::Unix => "unix".to_owned(),
                        Range::Net(net) => net.to_string(),
                    };
                    let (one, two) = (&other.group.name, &group.group.name);
                    notes.problem(name.place.problem(format!(
                        "expected each range in one group, found `{shown}` in `{one}` and in `{two}` ({})",
                        range.place.shown()
                    )));
                    complete = false;
                }
            }
        }
        let groups = chosen.iter().map(|(_, group)| group.group.clone()).collect();
        let trust = Trust::new(groups).map_err(|error| {
            let place = names.first().map(|name| name.place.problem(error.to_string()));
            place.into_iter().for_each(|problem| {
                if complete {
                    notes.problem(problem)
                }
            });
        });
        trust.ok().filter(|_| complete)
    }

    /// Warns of groups that no listener uses.
    pub(crate) fn warn_of_unused(&self, used: &BTreeSet<String>, notes: &Notes) {
        for (_, place) in self.places.iter().filter(|(name, _)| !used.contains(*name)) {
            notes.warning(place.problem("no listener uses it"));
        }
    }
}

fn read(name: &str, table: &Table<'_, '_>) -> Option<GroupAt> {
    let notes = table.notes();
    let from = table.require("from", |value| value.texts());
    let policies = [
        ("require", HeaderPolicy::Require),
        ("optional", HeaderPolicy::Optional),
        ("forbid", HeaderPolicy::Forbid),
    ];
    let header = table.read("header", |value| value.one_of(&policies)).map(|at| at.value);
    let forwarded = table.read("forwarded", |value| value.boolean()).is_some_and(|at| at.value);

    let from = from?;
    if from.value.is_empty() {
        notes.problem(from.place.expected("at least one address, CIDR or `unix`", "none"));
    }
    let header = header.unwrap_or(HeaderPolicy::Require);
    let ranges: Vec<At<Range>> = from.value.iter().filter_map(|entry| range(entry, notes)).collect();
    if ranges.is_empty() || ranges.len() < from.value.len() {
        return None;
    }
    for (index, range) in ranges.iter().enumerate() {
        if ranges.iter().take(index).any(|other| other.value == range.value) {
            notes.problem(range.place.expected("each range once", "it again"));
        }
        let everyone = matches!(range.value, Range::Net(net) if net.prefix_len() == 0);
        if everyone && (forwarded || header != HeaderPolicy::Forbid) {
            let warning =
                range.place.problem("everyone who can connect is believed, so anyone can forge an address");
            notes.warning(warning.hint("name the addresses of the balancer"));
        }
    }
    let nets = ranges.iter().filter_map(|range| match range.value {
        Range::Net(net) => Some(net),
        Range::Unix => None,
    });
    let unix = ranges.iter().any(|range| range.value == Range::Unix);
    let group = Group { name: name.into(), from: nets.collect(), unix, header, forwarded };
    Some(GroupAt { group, ranges })
}

fn range(entry: &At<&str>, notes: &Notes) -> Option<At<Range>> {
    let range = match entry.value {
        "unix" => Ok(Range::Unix),
        text => parse_network(text).map(Range::Net),
    };
    let problem = |message: String| {
        let problem = entry.place.problem(message);
        match entry.value {
            list if list.starts_with('@') => {
                problem.hint("a trust group names its ranges itself; lists are for rules")
            }
            path if path.starts_with("unix:") => problem.hint("did you mean `unix`?"),
            _ => problem,
        }
    };
    notes.keep(range.map_err(problem)).map(|range| At::new(range, entry.place.clone()))
}
