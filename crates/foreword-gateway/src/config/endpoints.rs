//! The endpoints of a cluster, each a text or a table, and the zone that they are near to or far from.

use std::collections::BTreeSet;

use super::document::{Notes, Table, Value, shown, title};
use super::keys::{ENDPOINT, ZONE};
use super::source::At;
use super::units;
use crate::plan::{Endpoint, OwnZone};

/// Reads `endpoints`; `None` if one of them is not good, which is noted. `own` is the zone that we are in.
pub(crate) fn read(cluster: &Table<'_, '_>, own: Option<&OwnZone>) -> Option<Vec<Endpoint>> {
    let notes = cluster.notes();
    let values = cluster.require("endpoints", |value| value.list())?;
    if values.value.is_empty() {
        notes.problem(values.place.expected("at least one endpoint", "none"));
    }
    if values.value.len() > MOST {
        let found = values.value.len();
        notes.problem(values.place.expected(format_args!("at most {MOST} endpoints"), found));
    }
    let mut texts = BTreeSet::new();
    let mut endpoints = Vec::new();
    for value in &values.value {
        if let Some((text, endpoint)) = read_one(value, own, notes) {
            if !texts.insert(text.value) {
                let found = format!("{} again", shown(text.value));
                notes.problem(text.place.expected("each endpoint once", found));
            }
            endpoints.push(endpoint);
        }
    }
    if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.backup) {
        let problem = values.place.expected("at least one endpoint that is no backup", "none");
        notes.problem(problem.hint("backups are for when no other endpoint is usable"));
    }
    (!endpoints.is_empty() && endpoints.len() == values.value.len()).then_some(endpoints)
}

fn read_one<'d>(value: &Value<'d>, own: Option<&OwnZone>, notes: &Notes) -> Option<(At<&'d str>, Endpoint)> {
    if !value.is_table() {
        let text = value.text().map_err(|_| value.expected("a text or a table"));
        let text = At::new(notes.keep(text)?, value.place.clone());
        let endpoint = endpoint(&text, notes)?;
        return Some((text, endpoint));
    }
    let table = notes.keep(value.table(&ENDPOINT, notes))?;
    let weight = table.number("weight").map(|at| at.value as u32);
    let backup = table.read("backup", |value| value.boolean()).map(|at| at.value);
    let zone = table.read("zone", title);
    let max_connections = table.number("max_connections").map(|at| at.value as usize);
    let drain = table.read("drain", |value| value.boolean()).map(|at| at.value);
    if let (Some(zone), None) = (&zone, own) {
        let problem = zone.place.problem("`zone` has no effect: nothing says in which zone this gateway is");
        notes.warning(problem.hint("add `zone = \"…\"` to the top of the file, or to the cluster"));
    }
    let text = table.require("address", |value| value.text())?;
    let endpoint = endpoint(&text, notes)?;
    let endpoint = Endpoint {
        weight: weight.unwrap_or(endpoint.weight),
        backup: backup.unwrap_or(endpoint.backup),
        zone: zone.map(|zone| zone.value.into()),
        max_connections,
        drain: drain.unwrap_or(endpoint.drain),
        ..endpoint
    };
    Some((text, endpoint))
}

fn endpoint(text: &At<&str>, notes: &Notes) -> Option<Endpoint> {
    let endpoint = units::endpoint(text.value, text.place.source());
    notes.keep(endpoint.map_err(|unfit| text.unfit(unfit)))
}

/// Reads `zone`, of a cluster or at the top.
pub(crate) fn zone(table: &Table<'_, '_>) -> Option<OwnZone> {
    let value = table.get("zone")?;
    if !value.is_table() {
        let name = table.read("zone", title)?;
        return Some(OwnZone { name: name.value.into(), needs: NEEDS });
    }
    let table = table.table("zone", &ZONE)?;
    let needs = table.number("needs").map_or(NEEDS, |at| at.value as u8);
    let name = table.require("name", title)?;
    Some(OwnZone { name: name.value.into(), needs })
}

/// The own zone takes everything as long as it can take anything.
const NEEDS: u8 = 1;

/// More than anybody lists by hand. A consistent hash deals 65,537 slots among them.
const MOST: usize = 10_000;
