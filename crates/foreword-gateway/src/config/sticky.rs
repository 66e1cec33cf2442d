//! `[cluster.NAME] sticky = { … }`.

use super::document::{Table, Value, shown, token};
use super::keys::{SECRET, STICKY};
use super::problem::Problem;
use super::source::{At, read_bytes};
use crate::policy::sticky::{SameSite, Secret, Sticky};

/// Reads by which cookie clients come back, if they do.
pub(crate) fn read(cluster: &Table<'_, '_>) -> Option<Sticky> {
    let table = cluster.table("sticky", &STICKY)?;
    let cookie =
        table.require("cookie", |value| token(&At::new(value.text()?, value.place.clone()), "cookie"));
    let max_age = table.read("max_age", |value| value.duration()).map(|at| at.value);
    let words = [("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];
    let same_site = table.read("same_site", |value| value.one_of(&words));
    let forward = table.read("forward", |value| value.boolean()).is_some_and(|at| at.value);
    let secret = read_secret(&table);
    Some(Sticky {
        cookie: cookie?.value.into(),
        secret: secret?,
        max_age,
        same_site: same_site.map(|at| at.value).unwrap_or_default(),
        forward,
    })
}

/// A text, or what is in a file.
fn read_secret(table: &Table<'_, '_>) -> Option<Secret> {
    let notes = table.notes();
    let Some(value) = table.get("secret") else {
        let problem = table.place.expected("the key `secret`", "none");
        notes.problem(problem.hint(HINT));
        return None;
    };
    if value.is_table() {
        let file = table.table("secret", &SECRET)?.require("file", |value| value.text())?;
        let path = file.place.source().path(file.value);
        let bytes = notes.keep(read_bytes(&path, MOST).map_err(|problem| file.place.names(&problem)))?;
        let secret = long_enough(bytes.trim_ascii());
        return notes.keep(secret.ok_or_else(|| {
            let found = format!("fewer in {}", shown(file.value));
            file.place.expected(format_args!("at least {LEAST} bytes"), found).hint(HINT)
        }));
    }
    let secret = |value: &Value<'_>| -> Result<Secret, Problem> {
        // What is too short is not shown either: it may be a secret in use elsewhere.
        long_enough(value.text()?.as_bytes()).ok_or_else(|| {
            value.place.expected(format_args!("at least {LEAST} bytes for `secret`"), "fewer").hint(HINT)
        })
    };
    table.read("secret", secret).map(|at| at.value)
}

fn long_enough(bytes: &[u8]) -> Option<Secret> {
    (bytes.len() >= LEAST).then(|| Secret(bytes.into()))
}

/// Whoever can guess the secret can find out which addresses endpoints have, so nobody should.
const LEAST: usize = 16;
const MOST: u64 = 4096;
const HINT: &str = "`openssl rand -hex 32` makes one; each gateway with these endpoints needs the same";
