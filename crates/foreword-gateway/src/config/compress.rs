//! `then = { compress = … }`: which answers are made smaller.

use std::sync::Arc;

use super::document::{Table, Value, shown};
use super::keys::COMPRESS;
use super::problem::Problem;
use super::source::At;
use crate::policy::compress::{Coding, Compress, Type};
use crate::policy::rules::Change;

/// Reads what is made smaller; `false` undoes what a rule before said.
pub(crate) fn read(then: &Table<'_, '_>) -> Option<Change> {
    let value = then.get("compress")?;
    if !value.is_table() {
        let is_on = then.read("compress", flag)?.value;
        return Some(Change::Compress(is_on.then(|| Arc::new(default()))));
    }
    let table = then.table("compress", &COMPRESS)?;
    let default = default();
    let codings = table.read("codings", |value| {
        let words = [("zstd", Coding::Zstd), ("br", Coding::Brotli), ("gzip", Coding::Gzip)];
        let codings: Result<Vec<Coding>, Problem> =
            value.list()?.iter().map(|value| value.one_of(&words)).collect();
        codings.and_then(|codings| {
            if codings.is_empty() { Err(value.expected("at least one coding")) } else { Ok(codings) }
        })
    });
    let types = table.read("types", |value| {
        let types: Result<Vec<Type>, Problem> = value.texts()?.iter().map(media_type).collect();
        types.and_then(
            |types| if types.is_empty() { Err(value.expected("at least one type")) } else { Ok(types) },
        )
    });
    let min = table.size("min").map_or(default.min, |at| at.value as u64);
    Some(Change::Compress(Some(Arc::new(Compress {
        codings: codings.map_or(default.codings, |at| at.value.into()),
        types: types.map_or(default.types, |at| at.value.into()),
        min,
    }))))
}

fn flag(value: &Value<'_>) -> Result<bool, Problem> {
    value.boolean().map_err(|_| value.expected("`true`, `false` or a table"))
}

fn default() -> Compress {
    let type_of = |text: &&str| match text.strip_suffix('*') {
        Some(start) => Type::Range(start.into()),
        None => Type::One((*text).into()),
    };
    let suffixes = SUFFIXES.iter().map(|suffix| Type::Suffix((*suffix).into()));
    Compress {
        codings: [Coding::Zstd, Coding::Brotli, Coding::Gzip].into(),
        types: TYPES.iter().map(type_of).chain(suffixes).collect(),
        // Below this a packet is saved at best, and often nothing.
        min: 1024,
    }
}

/// Reads `text/html`, `text/*` or `*+json`.
fn media_type(text: &At<&str>) -> Result<Type, Problem> {
    let is_name = |name: &str| foreword_http1::is_token(name.as_bytes()) && !name.contains('*');
    let lower = text.value.to_ascii_lowercase();
    let read = match (lower.strip_prefix('*'), lower.split_once('/')) {
        (Some(suffix), None) if suffix.starts_with('+') && is_name(suffix) => {
            Some(Type::Suffix(suffix.into()))
        }
        (None, Some((kind, "*"))) if is_name(kind) => Some(Type::Range(format!("{kind}/").into())),
        (None, Some((kind, name))) if is_name(kind) && is_name(name) => {
            Some(Type::One(lower.as_str().into()))
        }
        _ => None,
    };
    read.ok_or_else(|| {
        text.place.expected("a type such as `text/html`, `text/*` or `*+json`", shown(text.value))
    })
}

/// What texts, and what is written like them, are called. What is compressed in itself is not among them.
const TYPES: [&str; 9] = [
    "text/*",
    "application/javascript",
    "application/json",
    "application/xml",
    "application/x-ndjson",
    "application/manifest+json",
    "application/wasm",
    "image/svg+xml",
    "image/x-icon",
];

const SUFFIXES: [&str; 2] = ["+json", "+xml"];
