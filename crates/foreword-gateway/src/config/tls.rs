//! `[listener.NAME] tls`: the certificates, and what people write who know them from elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::acme::{self, Acme};
use super::document::{Table, Value, shown};
use super::keys::{CERTIFICATE, TLS, TLS_CLIENT};
use super::problem::{Problem, ProblemKind};
use super::source::{At, Place};
use crate::acme::certificate;
use crate::plan::{Http2, Mode, TlsPlan};
use crate::tls::certificates::{
    self, CertificatePair, CertificateProblem, CertificateSource, CertificateSources,
};
use crate::tls::clients::{self, Clients, ClientsSource};
use crate::tls::{Profile, Terms};

/// Reads the `tls` of a listener, its certificates included.
pub(crate) fn read(
    listener: &Table<'_, '_>,
    mode: Mode,
    http2: Http2,
    acme: Option<&Acme>,
    now: SystemTime,
) -> Option<Arc<TlsPlan>> {
    let notes = listener.notes();
    if let Some((name, place)) = pair_without_list(listener) {
        let problem = place.expected("the key `certificates`, which takes a list of pairs", shown(name));
        notes.problem(problem.hint(format!("write `certificates = [{A_PAIR}]`")));
        return None;
    }
    let table = listener.table("tls", &TLS)?;
    let terms = read_terms(&table, now);
    let (sources, place) = read_sources(&table, acme)?;
    let store = keep_loaded(&table, &place, certificates::load(&sources, now))?;
    for warning in store.warnings() {
        notes.warning(place.problem(warning.as_str()));
    }
    let alpn: &[&str] = match (mode, http2) {
        (Mode::Tcp | Mode::TlsPassthrough | Mode::Udp, _) => &[],
        (Mode::Http, Http2::Off) => &["http/1.1"],
        (Mode::Http, _) => &["h2", "http/1.1"],
    };
    let plan = TlsPlan::new(store, alpn, terms?).map_err(|error| {
        place.problem(format!("no TLS can be spoken with it: {error}")).of(ProblemKind::Certificate)
    });
    notes.keep(plan).map(Arc::new)
}

/// Whether a listener asks its clients for certificates.
pub(crate) fn asks_for_certificates(listener: &Table<'_, '_>) -> bool {
    listener.peek_table("tls", &TLS).is_some_and(|table| table.get("client").is_some())
}

/// Reads how TLS is spoken. It must be right for `Some`.
fn read_terms(table: &Table<'_, '_>, now: SystemTime) -> Option<Terms> {
    let profiles = [("intermediate", Profile::Intermediate), ("modern", Profile::Modern)];
    let profile = table.read("profile", |value| value.one_of(&profiles));
    let flag = |name| table.read(name, |value| value.boolean()).map(|at| at.value);
    let clients = match table.get("client") {
        None => None,
        Some(value) => Some(read_clients(&table.table("client", &TLS_CLIENT)?, &value.place, now)?),
    };
    let key_log = table.read("key_log", read_key_log);
    if let Some(at) = &key_log {
        let warning = format!(
            "the secrets of all sessions are written to `{}`: whoever reads it can read all that was said",
            at.value.display()
        );
        table.notes().warning(at.place.problem(warning).hint("leave `key_log` out when the search is over"));
    }
    Some(Terms {
        profile: profile.map(|at| at.value).unwrap_or_default(),
        strict_sni: flag("strict_sni").unwrap_or_default(),
        no_resumption: flag("resumption") == Some(false),
        clients,
        key_log: key_log.map(|at| at.value),
    })
}

/// The file may be missing; the folder that it will be in may not.
fn read_key_log(value: &Value<'_>) -> Result<PathBuf, Problem> {
    let path = value.place.source().path(value.text()?);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() || path.is_dir() {
        return Err(value.expected("the path of a file in a folder that exists"));
    }
    Ok(path)
}

fn read_clients(table: &Table<'_, '_>, place: &Place, now: SystemTime) -> Option<Clients> {
    let notes = table.notes();
    let path = |value: &Value<'_>| Ok(value.place.source().path(value.text()?));
    let ca = table.require("ca", path);
    let optional = table.read("verify", |value| value.one_of(&[("require", false), ("optional", true)]));
    let crl = table.read("crl", |value| value.list()?.iter().map(path).collect::<Result<Vec<_>, _>>());
    if let Some(crl) = crl.as_ref().filter(|crl| crl.value.is_empty()) {
        notes.problem(crl.place.expected("at least one path", "none"));
    }
    let source = ClientsSource {
        ca: ca?.value,
        optional: optional.is_some_and(|at| at.value),
        crl: crl.map(|at| at.value).unwrap_or_default(),
    };
    let clients = keep_loaded(table, place, clients::load(&source, now))?;
    for warning in &clients.warnings {
        notes.warning(place.problem(warning.as_str()));
    }
    Some(clients)
}

/// Notes what is wrong with files, each with its hint.
fn keep_loaded<T>(
    table: &Table<'_, '_>,
    place: &Place,
    loaded: Result<T, Vec<CertificateProblem>>,
) -> Option<T> {
    let problems = match loaded {
        Ok(loaded) => return Some(loaded),
        Err(problems) => problems,
    };
    for problem in problems {
        let wrong = place.problem(problem.to_string()).of(ProblemKind::Certificate);
        table.notes().problem(wrong.maybe_hint(problem.hint));
    }
    None
}

/// The first key of `tls = { certificate = "…", key = "…" }`.
fn pair_without_list(listener: &Table<'_, '_>) -> Option<(&'static str, Place)> {
    let table = listener.peek_table("tls", &TLS)?;
    let pair = table.present(&["certificate", "key"]);
    pair.into_iter().next().filter(|_| table.get("certificates").is_none())
}

/// Where the certificates are: those that are given, those that are obtained, or both.
fn read_sources(table: &Table<'_, '_>, acme: Option<&Acme>) -> Option<(CertificateSources, Place)> {
    let names = table.read("acme", acme::names);
    let Some(value) = table.get("certificates") else {
        if table.get("acme").is_none() {
            table.require("certificates", |_| Ok(()));
        }
        let names = names?;
        let issued = issued(table, &names, acme)?;
        return Some((CertificateSources { given: None, issued }, names.place));
    };
    let given = Some(read_source(table, &value)?);
    let issued = match &names {
        Some(names) => issued(table, names, acme)?,
        None => Vec::new(),
    };
    Some((CertificateSources { given, issued }, value.place))
}

/// The files of certificates that are obtained.
fn issued(
    table: &Table<'_, '_>,
    names: &At<Vec<Box<str>>>,
    acme: Option<&Acme>,
) -> Option<Vec<(Box<str>, PathBuf)>> {
    let Some(acme) = acme else {
        // One that is there and wrong has a problem of its own.
        let problem = names
            .place
            .expected("a table `[acme]` that says from whom they are obtained", "none that can be used");
        let hint = "write `[acme]` and below it `terms = \"agreed\"`, once you have read the terms of the CA";
        table.notes().problem(problem.hint(hint));
        return None;
    };
    let names = names.value.iter();
    Some(names.map(|name| (name.clone(), certificate(&acme.plan.folder, name))).collect())
}

fn read_source(table: &Table<'_, '_>, value: &Value<'_>) -> Option<CertificateSource> {
    let notes = table.notes();
    if value.is_text() {
        let text = notes.keep(value.text())?;
        let path = value.place.source().path(text);
        if path.is_file() {
            notes.problem(is_a_file(value, text));
            return None;
        }
        return Some(CertificateSource::Directory(path));
    }
    let texts = value.list().is_ok_and(|list| list.first().is_some_and(Value::is_text));
    if !value.is_list() || texts {
        let problem = value.expected(format_args!("a folder, or a list of `{A_PAIR}`"));
        notes.problem(if texts {
            problem.hint(format!("write `certificates = [{A_PAIR}]`"))
        } else {
            problem
        });
        return None;
    }
    let tables = table.tables("certificates", &CERTIFICATE);
    let pairs: Vec<CertificatePair> = tables.iter().filter_map(read_pair).collect();
    if tables.is_empty() {
        notes.problem(value.place.expected("at least one certificate", "none"));
    }
    let complete = !pairs.is_empty() && pairs.len() == tables.len();
    complete.then_some(CertificateSource::Pairs(pairs))
}

fn is_a_file(value: &Value<'_>, text: &str) -> Problem {
    let problem = value.expected("a folder, or a list of certificates and keys");
    problem.hint(format!(
        "write `[{{ certificate = \"{text}\", key = \"…\" }}]`; the key may be in the same file"
    ))
}

fn read_pair(table: &Table<'_, '_>) -> Option<CertificatePair> {
    let path =
        |name| table.require(name, |value| Ok(value.place.source().path(value.text()?))).map(|at| at.value);
    let (certificate, key) = (path("certificate"), path("key"));
    let ocsp = table.read("ocsp", |value| Ok(value.place.source().path(value.text()?))).map(|at| at.value);
    Some(CertificatePair { certificate: certificate?, key: key?, ocsp })
}

const A_PAIR: &str = r#"{ certificate = "…", key = "…" }"#;
