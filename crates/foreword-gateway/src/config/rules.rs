//! `[[listener.NAME.rule]]`: conditions compiled, endings and changes settled.

use std::collections::BTreeMap;

use foreword_http1::{Name, read_alike};
use foreword_rule::{Predicate, Template};

use super::basic_auth;
use super::compress;
use super::document::{Notes, Table, Value, shown, title, token};
use super::keys::{ENDINGS, REDIRECT, RESPOND, RULE, THEN};
use super::limits;
use super::pages;
use super::problem::Problem;
use super::room::{Room, known, no_requests};
use super::source::{At, Place};
use super::terms;
use crate::plan::{Balance, Mode};
use crate::policy::rules::{Change, Ending, Limit, Rule, Rules, SetField};

/// Reads the rules of a listener, `cluster = "…"` included, and collects their conditions in `conditions`.
pub(crate) fn read(listener: &Table<'_, '_>, room: &Room<'_>, conditions: &mut Vec<String>) -> Rules {
    let notes = listener.notes();
    let mut rules = Vec::new();
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut ended: Option<Place> = None;
    let tables = listener.tables("rule", &RULE);
    for (index, table) in tables.into_iter().enumerate() {
        if let Some(ending) = &ended {
            let problem =
                table.place.problem(format!("never reached: the rule at {} always ends it", ending.shown()));
            notes.problem(problem.hint("move it up, or give that rule a `when`"));
        }
        let rule = read_rule(table, index, room, conditions, &mut names);
        if let Some((rule, place)) = rule {
            if rule.when.is_none() && rule.ending.is_some() && ended.is_none() {
                ended = Some(place);
            }
            rules.push(rule);
        }
    }
    if let Some(cluster) = listener.read("cluster", |value| value.text()) {
        if let Some(ending) = &ended {
            let problem =
                format!("`cluster` has no effect: the rule at {} always ends it before", ending.shown());
            notes.problem(cluster.place.problem(problem));
        }
        let ending = forward(&cluster, room, notes);
        let (limits, changes) = (Vec::new(), Vec::new());
        let name = CLUSTER_RULE.into();
        rules.push(Rule { name, when: None, limits, authenticate: None, changes, ending });
    } else if listener.get("rule").is_none() && listener.get("cluster").is_none() {
        let problem = listener.place.expected("`cluster` or at least one `rule`", "neither");
        notes.problem(problem.hint("add `cluster = \"NAME\"` to forward everything"));
    }
    Rules::new(rules)
}

fn read_rule(
    table: Table<'_, '_>,
    index: usize,
    room: &Room<'_>,
    conditions: &mut Vec<String>,
    names: &mut BTreeMap<String, Place>,
) -> Option<(Rule, Place)> {
    let notes = table.notes();
    let name = table.read("name", title).map(|at| at.value.to_owned());
    let name = name.unwrap_or_else(|| format!("rule {}", index + 1));
    let context = format!("{}, rule `{name}`", table.place.context());
    let table = table.called(context);
    if let Some(first) = names.insert(name.clone(), table.place.clone()) {
        let found = format!("that of the rule at {}", first.shown());
        notes.problem(table.place.expected("a name of its own", found));
    }
    let then =
        table.require("then", |value| value.table(&THEN, notes)).map(|then| read_then(&then.value, room));
    let when = match table.get("when") {
        Some(_) => Some(read_condition(&table.read("when", |value| value.text())?, room, conditions, notes)?),
        None => None,
    };
    let Then { limits, authenticate, ending, changes } = then?;
    Some((Rule { name: name.into(), when, limits, authenticate, changes, ending }, table.place))
}

/// What a rule does.
struct Then {
    limits: Vec<Limit>,
    authenticate: Option<Ending>,
    ending: Option<Ending>,
    changes: Vec<Change>,
}

fn read_then(then: &Table<'_, '_>, room: &Room<'_>) -> Then {
    if then.all_present().is_empty() {
        then.notes().problem(then.place.expected("at least one key", "none, which has no effect"));
    }
    if room.mode == Mode::Http {
        note_changes_without_effect(then);
    }
    for (name, place) in then.present(&["basic_auth"]).into_iter().filter(|_| room.mode != Mode::Http) {
        then.notes().problem(no_effect(&place, name, room.mode));
    }
    Then {
        limits: limits::of_rule(then, room),
        authenticate: basic_auth::read(then),
        ending: read_ending(then, room),
        changes: read_changes(then, room),
    }
}

/// Changes of what never is: nothing goes upstream unless the rule forwards or lets others, nothing back once it closes.
fn note_changes_without_effect(then: &Table<'_, '_>) {
    let Some((ending, _)) = then.present(ENDINGS).into_iter().next() else { return };
    let upstream = then.present(&["set_fields", "remove_fields"]);
    let downstream = then.present(&["set_response_fields", "remove_response_fields"]);
    let pages = then.present(&["error_pages"]);
    let smaller = then.present(&["compress"]);
    let lost = [
        (upstream, ending != "forward", "no request goes upstream"),
        (downstream, ending == "close", "no response goes to the client"),
        (pages, matches!(ending, "close" | "redirect" | "respond"), "no other page is shown"),
        (smaller, !matches!(ending, "forward" | "respond"), "there is nothing to make smaller"),
    ];
    for (keys, _, why) in lost.into_iter().filter(|(_, lost, _)| *lost) {
        for (name, place) in keys {
            then.notes().problem(place.problem(format!("`{name}` has no effect: with `{ending}` {why}")));
        }
    }
}

fn read_condition(
    text: &At<&str>,
    room: &Room<'_>,
    conditions: &mut Vec<String>,
    notes: &Notes,
) -> Option<Predicate> {
    conditions.push(text.value.to_owned());
    let compiled = Predicate::compile(text.value, &room.scope);
    // A list that could not be read is a problem already; here it would only look as if it were missing.
    if compiled.is_err() && room.lists.asks_broken(text.value) {
        return None;
    }
    let compiled = notes.keep(compiled.map_err(|error| text.place.in_rule(&error)))?;
    for doubt in compiled.doubts() {
        notes.warning(text.place.in_rule(&doubt));
    }
    Some(compiled)
}

fn read_ending(then: &Table<'_, '_>, room: &Room<'_>) -> Option<Ending> {
    let notes = then.notes();
    let endings = then.present(ENDINGS);
    if let Some((second, place)) = endings.get(1) {
        let first = endings.first().map_or("", |(name, _)| *name);
        notes.problem(place.expected("at most one ending", format_args!("`{first}` and `{second}`")));
    }
    let (name, place) = endings.into_iter().next()?;
    if room.mode != Mode::Http && matches!(name, "redirect" | "respond") {
        notes.problem(no_effect(&place, name, room.mode));
    }
    if room.mode != Mode::Http && name == "deny" {
        notes.problem(no_effect(&place, name, room.mode).hint("write `close = true`"));
    }
    match name {
        "deny" => then.number("deny").map(|status| Ending::Deny { status: status.value as u16 }),
        "close" => then.read(name, close).map(|_| Ending::Close),
        "redirect" => read_redirect(then, room),
        "respond" => then.table(name, &RESPOND).and_then(|table| pages::respond(&table)),
        _ => {
            let cluster = then.read("forward", |value| value.text())?;
            forward(&cluster, room, notes)
        }
    }
}

/// Forwards to the cluster of this name, and warns where what it hashes is never there.
fn forward(name: &At<&str>, room: &Room<'_>, notes: &Notes) -> Option<Ending> {
    let cluster = room.clusters.find(name, notes)?;
    if let Balance::Hash(key) = &cluster.balance {
        let missing =
            key.variables().find_map(|variable| Some((variable, room.scope.why_missing(variable)?)));
        if let Some((variable, why)) = missing {
            notes.warning(name.place.problem(format!(
                "cluster {} hashes `{variable}`, which has no value here: {why}",
                shown(name.value)
            )));
        }
    }
    if cluster.sticky.is_some() && room.mode != Mode::Http {
        let why = format!(
            "`sticky` of cluster {} has no effect here: {}",
            shown(name.value),
            no_requests(room.mode)
        );
        notes.warning(name.place.problem(why));
    }
    Some(Ending::Forward(cluster))
}

fn close(value: &Value<'_>) -> Result<(), Problem> {
    match value.boolean()? {
        true => Ok(()),
        false => Err(value.expected("`true`, or no such key")),
    }
}

fn read_redirect(then: &Table<'_, '_>, room: &Room<'_>) -> Option<Ending> {
    let value = then.get("redirect")?;
    if value.is_text() {
        let to = then.read("redirect", |value| value.text())?;
        return read_location(&to, room, then.notes()).map(|to| Ending::Redirect { status: 308, to });
    }
    let table = then.table("redirect", &REDIRECT)?;
    let to = table.require("to", |value| value.text());
    let status = table.read("status", |value| match value.number(300, 399)? {
        status @ (301 | 302 | 303 | 307 | 308) => Ok(status as u16),
        _ => Err(value.expected("301, 302, 303, 307 or 308")),
    });
    let status = status.map_or(308, |at| at.value);
    read_location(&to?, room, then.notes()).map(|to| Ending::Redirect { status, to })
}

fn read_location(to: &At<&str>, room: &Room<'_>, notes: &Notes) -> Option<Template> {
    let starts = ["http://", "https://", "/", "{"];
    if !starts.iter().any(|start| to.value.starts_with(start)) {
        let problem = to.place.expected("an address such as `https://{host}{uri}`", shown(to.value));
        notes.problem(problem.hint("begin with `https://`, `http://` or `/`"));
        return None;
    }
    read_template(to, room, notes)
}

fn read_changes(then: &Table<'_, '_>, room: &Room<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, place) in then.all_present() {
        let change = match name {
            "set_fields" => read_set(then, "set_fields", room).map(Change::SetRequestFields),
            "remove_fields" => {
                read_remove(then, "remove_fields", removable_name).map(Change::RemoveRequestFields)
            }
            "set_response_fields" => {
                read_set(then, "set_response_fields", room).map(Change::SetResponseFields)
            }
            "remove_response_fields" => {
                read_remove(then, "remove_response_fields", field_name).map(Change::RemoveResponseFields)
            }
            "error_pages" => pages::error_pages(then).map(Change::ErrorPages),
            "compress" => compress::read(then),
            _ => continue,
        };
        if room.mode != Mode::Http {
            then.notes().problem(no_effect(&place, name, room.mode));
        }
        changes.extend(change);
    }
    changes.extend(terms::read(then, room));
    note_set_and_removed(then, "set_fields", "remove_fields");
    note_set_and_removed(then, "set_response_fields", "remove_response_fields");
    changes
}

/// One rule that sets and removes a field does one of them for nothing.
fn note_set_and_removed(then: &Table<'_, '_>, set: &'static str, remove: &'static str) {
    let Some(set) = then.get(set).and_then(|value| value.entries().ok()) else { return };
    let removed = then.get(remove).and_then(|value| value.texts().ok()).unwrap_or_default();
    for name in removed {
        if set.iter().any(|(other, _)| read_alike(other.value.as_bytes(), name.value.as_bytes())) {
            let found = format!("{} in both", shown(name.value));
            then.notes().problem(name.place.expected("each field set or removed", found));
        }
    }
}

fn read_set(then: &Table<'_, '_>, key: &'static str, room: &Room<'_>) -> Option<Vec<SetField>> {
    let notes = then.notes();
    let entries = then.read(key, |value| value.entries())?;
    if entries.value.is_empty() {
        notes.problem(entries.place.expected("at least one field", "none"));
    }
    let set = entries.value.into_iter().filter_map(|(name, value)| {
        let name = notes.keep(field_name(&name))?;
        let text = notes.keep(value.text()).map(|text| At::new(text, value.place.clone()))?;
        read_template(&text, room, notes).map(|value| SetField { name, value })
    });
    Some(set.collect())
}

fn read_remove(
    then: &Table<'_, '_>,
    key: &'static str,
    check: fn(&At<&str>) -> Result<Box<str>, Problem>,
) -> Option<Vec<Box<str>>> {
    let notes = then.notes();
    let names = then.read(key, |value| value.texts())?;
    if names.value.is_empty() {
        notes.problem(names.place.expected("at least one field", "none"));
    }
    Some(names.value.iter().filter_map(|name| notes.keep(check(name))).collect())
}

/// The name of a field that a rule may touch. Where a message ends and how long a connection lasts is ours to write.
fn field_name(name: &At<&str>) -> Result<Box<str>, Problem> {
    if Name::of(token(name, "field")?.as_bytes()).is_for_one_hop() {
        let problem =
            name.place.expected("a field that does not belong to the connection", shown(name.value));
        return Err(problem.hint(
            "framing, `Connection`, `Keep-Alive`, `TE`, `Upgrade` and `Proxy-…` are written by the gateway itself",
        ));
    }
    Ok(name.value.into())
}

/// The name of a field of the request that a rule may take away.
fn removable_name(name: &At<&str>) -> Result<Box<str>, Problem> {
    let removable = field_name(name)?;
    match Name::of(removable.as_bytes()) {
        // RFC 9112 §3.2: a request without it is answered with 400.
        Name::Host => Err(name
            .place
            .expected("a field that a request can do without", shown(name.value))
            .hint("`set_fields` can change it")),
        _ => Ok(removable),
    }
}

fn read_template(text: &At<&str>, room: &Room<'_>, notes: &Notes) -> Option<Template> {
    let template = Template::parse(text.value, |name| known(name, room));
    notes.keep(template.map_err(|error| text.place.in_rule(&error)))
}

fn no_effect(place: &Place, name: &str, mode: Mode) -> Problem {
    place.problem(format!("`{name}` has no effect: {}", no_requests(mode)))
}

/// How the last rule is called that `cluster = "…"` stands for.
pub(crate) const CLUSTER_RULE: &str = "cluster";
