//! The files as a whole, made a plan.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::acme;
use super::clusters::Clusters;
use super::document::{Notes, Table, Value};
use super::endpoints;
use super::files::included;
use super::keys::TOP;
use super::listeners::{self, Listeners};
use super::lists::Lists;
use super::observing;
use super::problem::{Problem, ProblemKind, Problems};
use super::source::{At, Place, Source};
use super::syntax::parse;
use super::tests::{self, Test};
use super::trust::Groups;
use super::units;
use crate::plan::Plan;

/// What a file means.
#[derive(Debug)]
pub struct Configuration {
    /// What the gateway runs.
    pub plan: Plan,
    /// Its `[[test]]`s, in order.
    pub tests: Vec<Test>,
}

impl Configuration {
    /// Runs every test, and returns what turned out otherwise than expected.
    pub fn run_tests(&self) -> Vec<Problem> {
        self.tests.iter().filter_map(|test| test.run(&self.plan).err()).flatten().collect()
    }
}

/// Resolves a file and those that it includes.
pub(crate) fn resolve(source: &Arc<Source>) -> Result<Configuration, Problems> {
    let notes = Notes::default();
    let sources: Vec<Arc<Source>> =
        std::iter::once(Arc::clone(source)).chain(included(source, &notes)).collect();
    if sources.iter().all(|source| is_blank(source.text())) {
        let problem = Problem::of_file(
            source.name(),
            ProblemKind::Wrong,
            "expected a configuration, found nothing in it",
        );
        return Err(problem.hint("a file needs a `[listener.NAME]` and usually a `[cluster.NAME]`").into());
    }
    let documents: Vec<_> = sources.iter().map(|source| (source, parse(source, &notes))).collect();
    if let Some(problems) = notes.syntax() {
        // What else could be said of such a file follows from its grammar.
        return Err(problems);
    }
    let tops: Vec<Table<'_, '_>> = documents
        .iter()
        .map(|(source, document)| {
            Table::open(document, Place::new(Arc::clone(source), 0..0, ""), &TOP, &notes)
        })
        .collect();
    let configuration = from_tables(&tops, &notes);
    let (problems, warnings) = notes.take();
    match Problems::of(problems) {
        Some(problems) => Err(problems),
        None => {
            let warnings = Problems::of(warnings);
            let warnings = warnings.iter().flat_map(Problems::iter).map(Problem::to_string).collect();
            let plan = Plan { warnings, ..configuration.plan };
            Ok(Configuration { plan, ..configuration })
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

fn from_tables(tops: &[Table<'_, '_>], notes: &Notes) -> Configuration {
    let zone = once(tops, "zone", notes, |top, _| endpoints::zone(top));
    let (mut lists, mut groups, mut clusters) = (Lists::default(), Groups::default(), Clusters::new(zone));
    for top in tops {
        lists.add(top);
        groups.add(top);
        clusters.add(top);
    }
    let request_id = once(tops, "request_id", notes, |top, name| {
        let field = top.read(name, |value| value.text())?;
        notes.keep(listeners::request_id(&field))
    });
    let request_id = request_id.unwrap_or_default();
    let acme = once(tops, "acme", notes, |top, _| acme::read(top));
    let mut listeners =
        Listeners::new(&lists, &groups, &clusters, request_id, SystemTime::now(), acme.as_ref());
    for top in tops {
        listeners.add(top);
    }
    if let (true, Some(top)) = (listeners.places.is_empty(), tops.first()) {
        let problem = top.place.expected("at least one `[listener.NAME]`", "none");
        notes.problem(problem);
    }
    lists.warn_of_unused(&listeners.conditions, notes);
    groups.warn_of_unused(&listeners.used_groups, notes);
    clusters.warn_of_unused(notes);

    let workers = once(tops, "workers", notes, |top, name| top.number(name));
    let workers = workers.and_then(|at: At<u64>| NonZeroUsize::new(at.value as usize));
    let drain = once(tops, "drain", notes, |top, name| top.read(name, |value| value.duration()));
    let name_servers = once(tops, "name_servers", notes, |top, name| top.read(name, name_servers));
    let max_memory = once(tops, "max_memory", notes, |top, name| top.size(name));
    let watch = once(tops, "watch", notes, |top, name| top.read(name, |value| value.boolean()));
    let access_log = once(tops, "log", notes, |top, _| observing::access_log(top));
    let admin = once(tops, "admin", notes, |top, _| observing::admin(top, &listeners.binds));
    let names = tests::Names {
        listener: &|name| listeners::check_listener_name(name, &listeners.places),
        cluster: &|name| clusters.check_name(name),
    };
    let mut tests = Vec::new();
    for top in tops {
        tests.extend(tests::read(top, tests.len(), &names));
    }
    let good = std::mem::take(&mut listeners.good);
    let acme = acme.map(|acme| acme::settle(acme, &good, notes));
    let plan = Plan {
        workers: workers.unwrap_or_else(one_per_core),
        name_servers: name_servers.map(|at| at.value).unwrap_or_default(),
        drain: drain.map_or(DRAIN, |at| at.value),
        max_memory: max_memory.map(|at| at.value as u64),
        watch: watch.is_none_or(|at| at.value),
        acme,
        lists: lists.watched(),
        listeners: good,
        clusters: clusters.into_plan(),
        access_log,
        admin,
        warnings: Vec::new(),
    };
    Configuration { plan, tests }
}

fn name_servers(value: &Value<'_>) -> Result<Vec<SocketAddr>, Problem> {
    let texts = value.texts()?;
    if texts.is_empty() {
        return Err(value
            .expected("at least one name server")
            .hint("leave it out to ask those of the machine"));
    }
    texts.iter().map(|text| units::name_server(text.value).map_err(|unfit| text.unfit(unfit))).collect()
}

/// What only one of the files may say.
fn once<T>(
    tops: &[Table<'_, '_>],
    name: &'static str,
    notes: &Notes,
    read: impl Fn(&Table<'_, '_>, &'static str) -> Option<T>,
) -> Option<T> {
    let mut found: Option<(Place, Option<T>)> = None;
    for top in tops {
        let Some(value) = top.get(name) else { continue };
        match &found {
            Some((first, _)) => {
                let problem =
                    value.place.problem(format!("expected `{name}` once, found it at {} too", first.shown()));
                notes.problem(problem);
            }
            None => found = Some((value.place.clone(), read(top, name))),
        }
    }
    found.and_then(|(_, read)| read)
}

fn one_per_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

const DRAIN: Duration = Duration::from_secs(30);
