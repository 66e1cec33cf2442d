//! `[[test]]`: what should become of a request, and whether it does.

use std::net::{IpAddr, SocketAddr};

use foreword::{PeerAddr, Version};
use foreword_http1::is_token;

use super::document::{Table, Value, shown, title, token};
use super::keys::{EXPECT, REQUEST, TEST};
use super::problem::Problem;
use super::source::{At, Place};
use crate::plan::Plan;
use crate::refusal::Code;
use crate::trial::{Asked, Explanation, Field, Introduction, Trial, Url};

/// A test of the file.
#[derive(Debug)]
pub struct Test {
    /// Its name in the file, or `test 3` where it has none.
    pub name: Box<str>,
    trial: Trial,
    place: Place,
    expect: Expect,
}

/// What should become of it; what is `None` may be as it likes.
#[derive(Debug, Default)]
struct Expect {
    rule: Option<At<String>>,
    status: Option<At<u64>>,
    cluster: Option<At<String>>,
    location: Option<At<String>>,
    client: Option<At<IpAddr>>,
    refused: Option<At<Code>>,
}

impl Test {
    /// Runs it. Everything that turns out otherwise is a problem at its place.
    pub fn run(&self, plan: &Plan) -> Result<(), Vec<Problem>> {
        let told = self.trial.run(plan).map_err(|error| vec![self.place.problem(error.to_string())])?;
        let problems = self.expect.compare(&told);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl Expect {
    fn compare(&self, told: &Explanation) -> Vec<Problem> {
        let client = told.client.as_ref();
        let outcome = &told.outcome;
        let compared = [
            differs("rule", self.rule.as_ref(), told.rule.as_deref().map(str::to_owned)),
            differs("status", self.status.as_ref(), outcome.status().map(u64::from)),
            differs("cluster", self.cluster.as_ref(), outcome.cluster().map(str::to_owned)),
            differs("location", self.location.as_ref(), outcome.location().map(str::to_owned)),
            differs("client", self.client.as_ref(), client.and_then(|client| client.ip)),
            differs("refused", self.refused.as_ref(), outcome.code()),
        ];
        compared
            .into_iter()
            .flatten()
            .map(|problem| problem.hint(format!("it was {}", told.ending())))
            .collect()
    }
}

fn differs<T: PartialEq + std::fmt::Display>(
    what: &str,
    expected: Option<&At<T>>,
    found: Option<T>,
) -> Option<Problem> {
    let expected = expected.filter(|expected| Some(&expected.value) != found.as_ref())?;
    let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{found}`"));
    Some(expected.place.expected(format_args!("{what} `{}`", expected.value), found))
}

/// Reads the tests of one file. `count` is how many came before.
pub(crate) fn read(top: &Table<'_, '_>, count: usize, names: &Names<'_>) -> Vec<Test> {
    let tables = top.tables("test", &TEST).into_iter().enumerate();
    tables.filter_map(|(index, table)| read_test(table, count + index + 1, names)).collect()
}

/// What tests may name.
pub(crate) struct Names<'a> {
    pub(crate) listener: &'a dyn Fn(&At<&str>) -> Result<(), Problem>,
    pub(crate) cluster: &'a dyn Fn(&At<&str>) -> Result<(), Problem>,
}

fn read_test(table: Table<'_, '_>, number: usize, names: &Names<'_>) -> Option<Test> {
    let notes = table.notes();
    let name = table.read("name", title);
    let name = name.map_or_else(|| format!("test {number}"), |name| name.value.to_owned());
    let table = table.called(format!("test `{name}`"));
    let request = table.require("request", |value| value.table(&REQUEST, notes));
    let expect = table.require("expect", |value| value.table(&EXPECT, notes));
    let expect = expect.map(|expect| read_expect(&expect.value, names));
    let request = request?;
    let trial = read_trial(&request.value, names)?;
    Some(Test { name: name.into(), trial, place: request.place, expect: expect? })
}

fn read_expect(table: &Table<'_, '_>, names: &Names<'_>) -> Expect {
    let notes = table.notes();
    if table.all_present().is_empty() {
        notes.problem(table.place.expected("at least one key", "none, so nothing is tried"));
    }
    let text = |name| {
        let text = table.read(name, |value| value.text())?;
        Some(At::new(text.value.to_owned(), text.place))
    };
    if let Some(cluster) = table.read("cluster", |value| value.text()) {
        notes.keep((names.cluster)(&cluster));
    }
    Expect {
        rule: text("rule"),
        status: table.number("status"),
        cluster: text("cluster"),
        location: text("location"),
        client: table.read("client", |value| {
            let ip = value.text()?.parse::<IpAddr>().map_err(|_| value.expected("an address"))?;
            Ok(ip.to_canonical())
        }),
        refused: table.read("refused", |value| {
            Code::parse(value.text()?).ok_or_else(|| value.expected("a code such as `FW201`"))
        }),
    }
}

fn read_trial(table: &Table<'_, '_>, names: &Names<'_>) -> Option<Trial> {
    let notes = table.notes();
    let listener = table.read("listener", |value| value.text());
    let known = listener.as_ref().is_none_or(|listener| notes.keep((names.listener)(listener)).is_some());
    let peer = table.require("peer", |value| peer(value.text()?).ok_or_else(|| value.expected(A_PEER)));
    let introduction = read_introduction(table);
    let destination = table.read("destination", |value| {
        value
            .text()?
            .parse::<SocketAddr>()
            .map_err(|_| value.expected("an address and port such as `198.51.100.20:443`"))
    });
    let sni = table.read("sni", |value| value.text()).map(|at| at.value.into());
    let request = read_request(table);
    if !known || (table.get("url").is_some() && request.is_none()) {
        return None;
    }
    Some(Trial {
        listener: listener.map(|at| at.value.into()),
        peer: peer?.value,
        introduction,
        destination: destination.map(|at| at.value),
        sni,
        request,
    })
}

fn read_introduction(table: &Table<'_, '_>) -> Option<Introduction> {
    let notes = table.notes();
    let versions = [("v1", Version::One), ("v2", Version::Two)];
    let version = table.read("header", |value| value.one_of(&versions)).map_or(Version::Two, |at| at.value);
    let tlvs = table.read("tlv", |value| value.entries()).map(|at| at.value).unwrap_or_default();
    let client = table.read("client", |value| match value.text()? {
        "unknown" => Ok(None),
        text => address(text).map(Some).ok_or_else(|| value.expected("an address, or `unknown`")),
    });
    if client.is_none() {
        for (name, place) in table.present(&["header", "tlv"]) {
            notes.problem(
                place.problem(format!("`{name}` has no effect: without `client` no header is sent")),
            );
        }
        return None;
    }
    let tlvs = tlvs.into_iter().filter_map(|(name, value)| {
        let text = notes.keep(value.text())?;
        notes.keep(
            foreword::text::tlv(name.value, text).map_err(|error| name.place.problem(error.to_string())),
        )
    });
    Some(Introduction { version, client: client?.value, tlvs: tlvs.collect() })
}

fn read_request(table: &Table<'_, '_>) -> Option<Asked> {
    let notes = table.notes();
    let url = table.read("url", |value| {
        value.text()?.parse::<Url>().map_err(|_| value.expected("a URL such as `https://www.example.com/`"))
    });
    let method = table.read("method", |value| {
        let text = value.text()?;
        if is_token(text.as_bytes()) { Ok(text) } else { Err(value.expected("a method such as `GET`")) }
    });
    let fields = table.read("fields", |value| value.entries()).map(|at| at.value).unwrap_or_default();
    if table.get("url").is_none() {
        for (name, place) in table.present(&["method", "fields"]) {
            notes
                .problem(place.problem(format!("`{name}` has no effect: without `url` there is no request")));
        }
    }
    let fields =
        fields.iter().filter_map(|(name, value)| notes.keep(read_field(name, value))).flatten().collect();
    Some(Asked { method: method.map_or("GET", |at| at.value).into(), url: url?.value, fields })
}

/// A field, or several of the same name.
fn read_field(name: &At<&str>, value: &Value<'_>) -> Result<Vec<Field>, Problem> {
    token(name, "field")?;
    let texts =
        if value.is_list() { value.texts()? } else { vec![At::new(value.text()?, value.place.clone())] };
    let fields = texts.into_iter().map(|text| match text.value.contains(['\r', '\n', '\0']) {
        true => Err(text.place.expected("the value of a field", shown(text.value))),
        false => Ok((name.value.into(), text.value.into())),
    });
    fields.collect()
}

/// A peer as people write it: an address, with a port if it matters, or `unix`.
pub fn peer(text: &str) -> Option<PeerAddr> {
    match text {
        "unix" => Some(PeerAddr::Unix),
        text => address(text).map(PeerAddr::from),
    }
}

/// An address, with a port if it matters.
pub fn address(text: &str) -> Option<SocketAddr> {
    let with_any_port = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, ANY_PORT));
    text.parse::<SocketAddr>().ok().or_else(with_any_port)
}

const A_PEER: &str = "an address such as `10.0.0.5`, or `unix`";
/// A port of the range that clients use (RFC 6335 §6), where none is given.
const ANY_PORT: u16 = 49152;
