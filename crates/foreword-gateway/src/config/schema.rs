//! The JSON Schema of the file, written from the keys that the file is read with: for editors, which complete and
//! underline with it. What it lets pass may still be wrong; `foreword check` says all.

use serde_json::{Map, Value, json};

use super::keys::{Key, Section, TOP};
use super::takes::Takes;

/// The schema, as `docs/reference/foreword.schema.json` holds it.
pub fn schema() -> String {
    let mut schema = table(&TOP);
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "foreword's configuration file".into());
    // A value of strings and numbers alone can always be written.
    let mut text = serde_json::to_string_pretty(&Value::Object(schema)).unwrap_or_default();
    text.push('\n');
    text
}

/// A table of known keys, and of no others.
fn table(section: &Section) -> Map<String, Value> {
    let keys = section.keys.iter().map(|key| (key.name.to_owned(), value(key)));
    let required: Vec<&str> =
        section.keys.iter().filter(|key| key.default == "required").map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("description".into(), section.about.into());
    schema.insert("properties".into(), Value::Object(keys.collect()));
    schema.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

fn value(key: &Key) -> Value {
    let mut schema = shape(key.takes);
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), key.about.into());
        // A default in words, such as `one per core`, is for the reference alone.
        if let Ok(default) = serde_json::from_str::<Value>(key.default) {
            schema.insert("default".into(), default);
        }
    }
    schema
}

fn shape(takes: Takes) -> Value {
    let text = || json!({ "type": "string" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let tables =
        |section: &'static Section| json!({ "type": "array", "items": Value::Object(table(section)) });
    let named = |shape: Value| json!({ "type": "object", "additionalProperties": shape });
    let kind = || json!({ "anyOf": [text(), { "type": "integer", "minimum": 0, "maximum": 255 }] });
    let (from, to) = takes.bounds().unwrap_or_default();
    let number = || json!({ "type": "integer", "minimum": from, "maximum": to });
    match takes {
        Takes::Flag => json!({ "type": "boolean" }),
        Takes::True => json!({ "const": true }),
        Takes::Number(..) | Takes::Count | Takes::Status(_) => number(),
        Takes::OneNumber(numbers) => json!({ "enum": numbers }),
        Takes::Duration => json!({ "type": "string", "pattern": DURATION }),
        Takes::Size(..) => json!({ "anyOf": [number(), { "type": "string", "pattern": SIZE }] }),
        Takes::Word(words) => json!({ "enum": words }),
        Takes::WordOrTable(words, section) => {
            json!({ "anyOf": [{ "enum": words }, Value::Object(table(section))] })
        }
        Takes::Words(words) => json!({ "type": "array", "items": { "enum": words } }),
        Takes::Text(_) => text(),
        Takes::Texts(_) => texts(),
        Takes::Statuses => {
            let item = json!({ "anyOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, text()] });
            json!({ "type": "array", "items": item })
        }
        Takes::Table(section) => Value::Object(table(section)),
        Takes::TextOrTable(_, section) => json!({ "anyOf": [text(), Value::Object(table(section))] }),
        Takes::FlagOrTable(section) => {
            json!({ "anyOf": [{ "type": "boolean" }, Value::Object(table(section))] })
        }
        Takes::FlagOrTextOrTable(_, section) => {
            json!({ "anyOf": [{ "type": "boolean" }, text(), Value::Object(table(section))] })
        }
        Takes::TextOrTables(_, section) => json!({ "anyOf": [text(), tables(section)] }),
        Takes::WordsOrTables(words, section) => {
            let item = json!({ "anyOf": [{ "enum": words }, Value::Object(table(section))] });
            json!({ "type": "array", "items": item })
        }
        Takes::Kind => kind(),
        Takes::AllOrKinds => json!({ "anyOf": [{ "const": "all" }, { "type": "array", "items": kind() }] }),
        Takes::TextsOrTables(_, section) => {
            json!({ "type": "array", "items": { "anyOf": [text(), Value::Object(table(section))] } })
        }
        Takes::Tables(section) => tables(section),
        Takes::Named(section) => named(Value::Object(table(section))),
        Takes::Lists(section) => named(json!({ "anyOf": [texts(), Value::Object(table(section))] })),
        Takes::NamedTexts(_) => named(text()),
        Takes::NamedTextsOrLists(_) => named(json!({ "anyOf": [text(), texts()] })),
    }
}

/// As [`units::duration`](super::units::duration) reads it.
const DURATION: &str = "^0*[1-9][0-9]*(ms|s|m|h|d)$";

/// As [`units::size`](super::units::size) reads it.
const SIZE: &str = "^[0-9]+(B|KiB|MiB|GiB)$";

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use regex_automata::meta::Regex;

    use super::*;
    use crate::config::parse;

    /// What is good for the gateway must never be underlined.
    #[track_caller]
    pub(crate) fn assert_fits(text: &str) {
        if let Err(why) = fit(text) {
            panic!("{why}, in:\n{text}");
        }
    }

    fn fit(text: &str) -> Result<(), String> {
        let file: Value = toml::from_str(text).unwrap();
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        check(&schema, &file, "the file")
    }

    /// As much of JSON Schema as ours uses; a keyword that is unknown here must not pass unseen.
    fn check(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        let refused = |why: String| Err(format!("{place}: {why}, found {value}"));
        for (keyword, wanted) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "title" | "description" | "default" | "additionalProperties" => true,
                "type" => is_of(value, wanted.as_str().unwrap()),
                "enum" => wanted.as_array().unwrap().contains(value),
                "const" => wanted == value,
                "minimum" => value.as_u64().is_some_and(|number| number >= wanted.as_u64().unwrap()),
                "maximum" => value.as_u64().is_some_and(|number| number <= wanted.as_u64().unwrap()),
                "pattern" => {
                    let pattern = Regex::new(wanted.as_str().unwrap()).unwrap();
                    value.as_str().is_some_and(|text| pattern.is_match(text))
                }
                "required" => {
                    let mut names = wanted.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                    names.all(|name| value.get(name).is_some())
                }
                "anyOf" => {
                    wanted.as_array().unwrap().iter().any(|schema| check(schema, value, place).is_ok())
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        check(wanted, item, place)?;
                    }
                    true
                }
                "properties" => {
                    check_keys(schema, value, place)?;
                    true
                }
                other => panic!("a keyword that no check knows: {other}"),
            };
            if !holds {
                return refused(format!("expected {keyword} {wanted}"));
            }
        }
        if schema.get("properties").is_none() { check_keys(schema, value, place) } else { Ok(()) }
    }

    fn check_keys(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        for (key, value) in value.as_object().into_iter().flatten() {
            let known = schema.get("properties").and_then(|keys| keys.get(key));
            match known.or(schema.get("additionalProperties")) {
                Some(Value::Bool(false)) => return Err(format!("{place}: no key `{key}`")),
                Some(schema) => check(schema, value, &format!("{place}, {key}"))?,
                None => {}
            }
        }
        Ok(())
    }

    fn is_of(value: &Value, kind: &str) -> bool {
        match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("a type that no check knows: {other}"),
        }
    }

    #[test]
    fn the_schema_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/foreword.schema.json");
        if std::env::var_os("FOREWORD_WRITE_REFERENCE").is_some() {
            std::fs::write(path, schema()).expect("the folder is there");
        }
        let written = std::fs::read_to_string(path).expect("the schema is in the repository");
        assert!(written == schema(), "run this test with FOREWORD_WRITE_REFERENCE=1 to write it anew");
    }

    #[test]
    fn every_example_fits() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut count = 0;
        for entry in std::fs::read_dir(examples).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                assert_fits(&std::fs::read_to_string(&path).unwrap());
                count += 1;
            }
        }
        assert!(count >= 5, "{count} examples");
    }

    /// A file with this in its listener, in the header of its listener, in its only rule, or at its top.
    fn with(place: &str, line: &str) -> String {
        let at = |wanted: &str| if place == wanted { line } else { "" };
        let (top, listener, header, cluster) = (at("top"), at("listener"), at("header"), at("cluster"));
        let then = if place == "then" { line } else { "deny = 403" };
        let endpoints = at("endpoints");
        format!(
            "{top}\n[trust.t]\nfrom = [\"10.0.0.0/8\"]\n[listener.w]\nbind = [\"127.0.0.1:1\"]\nmode = \"http\"\n\
             trust = [\"t\"]\n{listener}\nheader = {{ {header} }}\n[[listener.w.rule]]\nwhen = 'method == \"GET\"'\n\
             then = {{ {then} }}\n[[listener.w.rule]]\nthen = {{ forward = \"c\" }}\n[cluster.c]\nendpoints = [\"127.0.0.1:2\", {endpoints}]\n{cluster}\n"
        )
    }

    #[test]
    fn the_schema_and_the_gateway_draw_the_same_lines() {
        for (place, good, bad) in [
            (
                "top",
                &["workers = 1", "workers = 1024"][..],
                &["workers = 0", "workers = 1025", "workers = \"2\""][..],
            ),
            (
                "top",
                &["drain = \"500ms\"", "drain = \"1h\""],
                &["drain = \"0s\"", "drain = 30", "drain = \"1 s\""],
            ),
            ("top", &["include = []"], &["include = \"more.toml\"", "workerz = 1"]),
            (
                "header",
                &["max = 536", "max = 65551", "max = \"4KiB\""],
                &["max = 535", "max = 65552", "max = \"4KB\""],
            ),
            ("header", &["chain = 1", "chain = 8"], &["chain = 0", "chain = 9"]),
            ("header", &["waiting = 1"], &["waiting = 0", "waiting = 4294967296"]),
            ("header", &["unknown = \"reject\""], &["unknown = \"refuse\"", "unknown = true"]),
            ("header", &["ipv4_in_tcp6 = true"], &["ipv4_in_tcp6 = \"true\""]),
            (
                "listener",
                &["max = { head = 1024, fields = 1000 }"],
                &["max = { head = 1023 }", "max = { fields = 1001 }"],
            ),
            ("listener", &["encoded_slash = \"keep\""], &["encoded_slash = \"pass\"", "max = 3"]),
            ("then", &["deny = 400", "deny = 599"], &["deny = 399", "deny = 600"]),
            ("then", &["close = true"], &["close = false"]),
            (
                "then",
                &["redirect = \"/x\"", "redirect = { to = \"/x\", status = 307 }"],
                &["redirect = { to = \"/x\", status = 305 }", "redirect = { status = 307 }"],
            ),
            (
                "then",
                &["respond = { body = \"x\" }", "set_fields = { a = \"b\" }"],
                &["respond = { status = 199 }", "set_fields = { a = 1 }"],
            ),
            (
                "cluster",
                &["balance = \"least-connections\"", "balance = { hash = \"client.ip\" }"],
                &["balance = \"random\"", "balance = { hsh = \"client.ip\" }", "balance = {}"],
            ),
            (
                "cluster",
                &["max = { connections = 1, queue = 0 }", "slow_start = \"30s\""],
                &["max = { connections = 0 }", "slow_start = 30"],
            ),
            ("cluster", &["retries = 0", "zone = \"a\""], &["retries = 11", "zone = 1"]),
            (
                "endpoints",
                &["\"127.0.0.1:3\"", "{ address = \"127.0.0.1:3\", weight = 1000, backup = true }"],
                &["3", "{ weight = 2 }", "{ address = \"127.0.0.1:3\", weight = 0 }"],
            ),
            (
                "cluster",
                &[
                    "send_header = \"v2\"\nsend_tlvs = [\"ssl\", { kind = 0xE1, value = \"{client.ip}\" }]",
                    "send_header = \"v2\"\nsend_tlvs = [{ kind = \"ssl\", parts = [\"cn\"] }]",
                    "send_header = \"v2\"\npass_tlvs = \"all\"\nmax_header = \"1KiB\"",
                    "send_header = \"v2\"\npass_tlvs = [\"aws.vpce\", 0xEE]",
                ],
                &[
                    "send_header = \"v2\"\nsend_tlvs = [\"sll\"]",
                    "send_header = \"v2\"\nsend_tlvs = [{ kind = 256, value = \"\" }]",
                    "send_header = \"v2\"\npass_tlvs = \"none\"",
                    "send_header = \"v2\"\nmax_header = 106",
                ],
            ),
        ] {
            for (line, is_good) in
                good.iter().map(|line| (line, true)).chain(bad.iter().map(|line| (line, false)))
            {
                let text = with(place, line);
                let read = parse(&text, "foreword.toml", Path::new("/nowhere"));
                assert_eq!(read.is_ok(), is_good, "the gateway on `{line}`: {:?}", read.err());
                assert_eq!(fit(&text).is_ok(), is_good, "the schema on `{line}`: {:?}", fit(&text));
            }
        }
    }
}
