//! Answers from files: `respond = { file = … }` and `error_pages = { … }`.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::document::{Table, Value, shown};
use super::problem::Problem;
use super::source::{At, read_bytes};
use crate::policy::pages::{ErrorPage, ErrorPages, Statuses};
use crate::policy::rules::{Ending, Respond};

/// Reads an answer of the operator's.
pub(crate) fn respond(table: &Table<'_, '_>) -> Option<Ending> {
    let notes = table.notes();
    let status = table.number("status").map_or(200, |at| at.value as u16);
    let content_type = table.read("content_type", field_value);
    if let (Some(_), Some(file)) = (table.get("body"), table.get("file")) {
        notes.problem(file.place.expected("either `body` or `file`", "both"));
    }
    let (body, etag, guessed) = match table.read("file", |value| value.text()) {
        Some(file) => {
            let (body, guessed) = notes.keep(read(&file, MOST))?;
            let etag = entity_tag(&body);
            (body, Some(etag), guessed)
        }
        None => {
            let body = table.read("body", |value| value.text()).map_or("", |at| at.value);
            (body.as_bytes().to_vec(), None, TEXT.into())
        }
    };
    let content_type = content_type.map_or(guessed, |at| at.value.into());
    Some(Ending::Respond(Respond { status, content_type, body: body.into(), etag, coded: Arc::default() }))
}

/// Reads the pages that are shown where a request is refused.
pub(crate) fn error_pages(table: &Table<'_, '_>) -> Option<Arc<ErrorPages>> {
    let notes = table.notes();
    let entries = table.read("error_pages", |value| value.entries())?;
    if entries.value.is_empty() {
        notes.problem(entries.place.expected("at least one page", "none"));
    }
    let mut pages = Vec::new();
    for (name, value) in entries.value {
        let statuses = notes.keep(statuses(&name));
        let file = notes.keep(value.text()).map(|text| At::new(text, value.place.clone()));
        let Some((content, content_type)) = file.and_then(|file| notes.keep(read(&file, MOST_OF_PAGE)))
        else {
            continue;
        };
        pages.extend(statuses.map(|statuses| (statuses, ErrorPage::new(content_type, &content))));
    }
    Some(Arc::new(ErrorPages::new(pages)))
}

fn statuses(name: &At<&str>) -> Result<Statuses, Problem> {
    match name.value {
        "4xx" => Ok(Statuses::Class(4)),
        "5xx" => Ok(Statuses::Class(5)),
        number => {
            let status = number.parse().ok().filter(|status| (400..=599).contains(status));
            status.map(Statuses::One).ok_or_else(|| {
                name.place.expected("a status from 400 to 599, `4xx` or `5xx`", shown(name.value))
            })
        }
    }
}

/// What is in a file, and what it probably is.
fn read(file: &At<&str>, most: u64) -> Result<(Vec<u8>, Box<str>), Problem> {
    let path = file.place.source().path(file.value);
    let content = read_bytes(&path, most).map_err(|problem| file.place.names(&problem))?;
    let content_type = content_type(&path, &content);
    Ok((content, content_type))
}

/// The type that goes with the name of a file. Text says how it is written, or browsers guess.
fn content_type(path: &Path, content: &[u8]) -> Box<str> {
    let is_utf8 = str::from_utf8(content).is_ok();
    match mime_guess::from_path(path).first_raw() {
        Some(text) if text.starts_with("text/") && is_utf8 => format!("{text}; charset=utf-8").into(),
        Some(other) => other.into(),
        None if is_utf8 => TEXT.into(),
        None => "application/octet-stream".into(),
    }
}

/// The same for the same bytes, in every process and on every machine.
fn entity_tag(content: &[u8]) -> Box<str> {
    let digest = digest(&SHA256, content);
    let short = digest.as_ref().get(..16).unwrap_or_default();
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(short)).into()
}

fn field_value<'d>(value: &Value<'d>) -> Result<&'d str, Problem> {
    let text = value.text()?;
    let fits = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if fits { Ok(text) } else { Err(value.expected("visible text")) }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// A file is kept in memory whole; what is larger belongs behind a server of files.
const MOST: u64 = 16 * 1024 * 1024;

/// A page of an error is shown to whoever provokes it, and so to strangers.
const MOST_OF_PAGE: u64 = 256 * 1024;
