//! `[cluster.NAME.health]` and `[cluster.NAME.ejection]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use foreword::Version;
use foreword_http1::Host;
use foreword_rule::Matcher;
use rustls::pki_types::ServerName;

use super::document::{Table, Value};
use super::keys::{EJECTION, HEALTH};
use super::problem::Problem;
use crate::plan::{Body, Check, CheckHeader, Ejection, HealthCheck, HttpCheck, SendHeader, Statuses};

/// Reads `[cluster.NAME.health]`.
pub(crate) fn check(cluster: &Table<'_, '_>, send_header: SendHeader) -> Option<HealthCheck> {
    let table = cluster.table("health", &HEALTH)?;
    let kinds = Kind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = table.require("check", |value| value.one_of(&kinds)).map(|at| at.value);
    let port = table.number("port").and_then(|at| u16::try_from(at.value).ok());
    let header = read_header(&table, send_header, port.is_some());
    let duration = |name| table.read(name, |value| value.duration());
    let interval = duration("interval");
    if let Some(interval) = interval.as_ref().filter(|interval| interval.value < SHORTEST) {
        table.notes().problem(interval.place.expected("an interval of at least `10ms`", "a shorter one"));
    }
    let number = |name| table.number(name).and_then(|at| u32::try_from(at.value).ok());
    let (rise, fall, timeout) = (number("rise"), number("fall"), duration("timeout"));
    let kind = kind?;
    refuse_keys_of_others(&table, kind);
    Some(HealthCheck {
        check: read_check(&table, kind)?,
        header,
        port,
        interval: interval.map_or(INTERVAL, |at| at.value),
        timeout: timeout.map_or(TIMEOUT, |at| at.value),
        rise: rise.unwrap_or(RISE),
        fall: fall.unwrap_or(FALL),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Tls,
    Http,
    Https,
    SendExpect,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Tcp, Self::Tls, Self::Http, Self::Https, Self::SendExpect];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Https => "https",
            Self::SendExpect => "send-expect",
        }
    }

    fn takes(self, key: &str) -> bool {
        match key {
            "host" => matches!(self, Self::Tls | Self::Http | Self::Https),
            "send" | "expect" => self == Self::SendExpect,
            _ => matches!(self, Self::Http | Self::Https),
        }
    }
}

/// A key that the check does not look at was meant for something.
fn refuse_keys_of_others(table: &Table<'_, '_>, kind: Kind) {
    for (key, place) in table.present(KEYS_OF_KINDS).into_iter().filter(|(key, _)| !kind.takes(key)) {
        let others: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| kind.takes(key))
            .map(|kind| format!("`{}`", kind.as_str()))
            .collect();
        let problem = place.problem(format!("`{key}` has no effect with `check = \"{}\"`", kind.as_str()));
        table.notes().problem(problem.hint(format!("it belongs to {}", others.join(", "))));
    }
}

fn read_check(table: &Table<'_, '_>, kind: Kind) -> Option<Check> {
    match kind {
        Kind::Tcp => Some(Check::Tcp),
        Kind::Tls => Some(Check::Tls { name: read_host(table, true).and_then(|host| host.name) }),
        Kind::Http | Kind::Https => Some(Check::Http(Box::new(read_http(table, kind == Kind::Https)))),
        Kind::SendExpect => {
            let send = table.read("send", bytes).map(|at| at.value).unwrap_or_default();
            let expect = table.require("expect", |value| match bytes(value)? {
                expect if expect.is_empty() => Err(value
                    .expected("some bytes")
                    .hint("for a connection alone there is `check = \"tcp\"`")),
                expect => Ok(expect),
            })?;
            Some(Check::SendExpect { send, expect: expect.value })
        }
    }
}

fn read_http(table: &Table<'_, '_>, tls: bool) -> HttpCheck {
    let method = table.read("method", |value| match value.text()? {
        "CONNECT" => Err(value.expected("a method that asks for something")),
        method if foreword_http1::is_token(method.as_bytes()) => Ok(method.into()),
        _ => Err(value.expected("a method such as `GET`")),
    });
    let path = table.read("path", |value| match value.text()? {
        path if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(path.into()),
        path if path.starts_with('/') => Err(value.expected("a path of visible ASCII letters")),
        path => Err(value.expected("a path").hint(format!("it begins with a slash: `/{path}`"))),
    });
    let host = read_host(table, tls);
    let (host, name) = host.map_or((None, None), |host| (Some(host.text), host.name));
    HttpCheck {
        tls,
        method: method.map_or_else(|| "GET".into(), |at| at.value),
        path: path.map_or_else(|| "/".into(), |at| at.value),
        host,
        name,
        status: table.read("status", statuses).map(|at| at.value).unwrap_or_default(),
        body: read_body(table),
    }
}

/// Whom a check asks for.
struct Asked {
    text: Box<str>,
    /// In TLS, which takes fewer names, and neither ports nor brackets.
    name: Option<ServerName<'static>>,
}

fn read_host(table: &Table<'_, '_>, tls: bool) -> Option<Asked> {
    let host = table.read("host", |value| {
        let text = value.text()?;
        let mut name = String::new();
        let host = Host::parse(text.as_bytes());
        host.inspect(|host| host.write_normal(&mut name));
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).ok();
        if host.is_some() && (name.is_some() || !tls) {
            Ok(Asked { text: text.into(), name: name.filter(|_| tls) })
        } else {
            Err(value.expected("a name such as `app.example.com`"))
        }
    })?;
    Some(host.value)
}

fn read_body(table: &Table<'_, '_>) -> Option<Body> {
    let holds = table.read("body", |value| match value.text()? {
        "" => Err(value.expected("some text")),
        text => Ok(text.into()),
    });
    let matches = table.read("body_matches", |value| {
        Matcher::compile(value.text()?).map_err(|fault| value.place.problem(fault))
    });
    match (holds, matches) {
        (Some(_), Some(matches)) => {
            table.notes().problem(matches.place.expected("`body` or `body_matches`", "both"));
            None
        }
        (Some(text), None) => Some(Body::Holds(text.value)),
        (None, Some(pattern)) => Some(Body::Matches(pattern.value)),
        (None, None) => None,
    }
}

fn statuses(value: &Value<'_>) -> Result<Statuses, Problem> {
    let ranges: Vec<_> = value.list()?.iter().map(status).collect::<Result<_, _>>()?;
    if ranges.is_empty() {
        return Err(value.expected("at least one status"));
    }
    Ok(Statuses(ranges))
}

fn status(value: &Value<'_>) -> Result<RangeInclusive<u16>, Problem> {
    let expected = || value.expected("a status such as `200`, or a range such as `\"200-399\"`");
    if let Ok(status) = value.number(100, 599) {
        let status = u16::try_from(status).map_err(|_| expected())?;
        return Ok(status..=status);
    }
    let text = value.text().map_err(|_| expected())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(expected()),
    }
}

fn bytes(value: &Value<'_>) -> Result<Box<[u8]>, Problem> {
    let bytes = match value.hex()? {
        Some(bytes) => bytes,
        None => value.text()?.as_bytes().to_vec(),
    };
    match bytes.len() {
        0..=MOST_BYTES => Ok(bytes.into()),
        _ => Err(value.expected(format_args!("at most {MOST_BYTES} bytes"))),
    }
}

fn read_header(table: &Table<'_, '_>, send_header: SendHeader, own_port: bool) -> CheckHeader {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Word {
        None,
        Local,
        LocalNoop,
        LocalAddresses,
        Proxy,
    }
    let words = [
        ("none", Word::None),
        ("local", Word::Local),
        ("local-noop", Word::LocalNoop),
        ("local-addresses", Word::LocalAddresses),
        ("proxy", Word::Proxy),
    ];
    let word = table.read("header", |value| value.one_of(&words)).map(|at| at.value);
    let versions = [("v1", Version::One), ("v2", Version::Two)];
    let version = table.read("header_version", |value| value.one_of(&versions));
    let word = word.unwrap_or(match send_header {
        _ if own_port => Word::None,
        // A check is a connection, whatever datagrams carry.
        SendHeader::None | SendHeader::Spp => Word::None,
        SendHeader::V1 => Word::Proxy,
        SendHeader::V2 | SendHeader::V2First => Word::Local,
    });
    if let Some(version) = &version {
        let why = match word {
            Word::None => Some("the check sends no header"),
            Word::LocalNoop | Word::LocalAddresses if version.value == Version::One => {
                Some("only a v2 header can say that")
            }
            _ => None,
        };
        let problem = why.map(|why| version.place.problem(format!("`header_version` has no effect: {why}")));
        problem.into_iter().for_each(|problem| table.notes().problem(problem));
    }
    let version = version
        .map_or(if send_header == SendHeader::V1 { Version::One } else { Version::Two }, |at| at.value);
    match word {
        Word::None => CheckHeader::None,
        Word::Local => CheckHeader::Local(version),
        Word::LocalNoop => CheckHeader::LocalNoop,
        Word::LocalAddresses => CheckHeader::LocalAddresses,
        Word::Proxy => CheckHeader::Proxy(version),
    }
}

/// Reads `[cluster.NAME.ejection]`.
pub(crate) fn ejection(cluster: &Table<'_, '_>) -> Option<Ejection> {
    let table = cluster.table("ejection", &EJECTION)?;
    let default = Ejection::default();
    let number = |name| table.number(name).and_then(|at| u32::try_from(at.value).ok());
    let duration = |name| table.read(name, |value| value.duration());
    let (time, max_time) = (duration("time"), duration("max_time"));
    if let (Some(time), Some(most)) = (&time, &max_time)
        && time.value > most.value
    {
        table
            .notes()
            .problem(most.place.expected("`max_time` to be no shorter than `time`", "a shorter one"));
    }
    let time = time.map_or(default.time, |at| at.value);
    Some(Ejection {
        failures: number("failures").unwrap_or(default.failures),
        server_errors: table.read("server_errors", |value| value.boolean()).is_some_and(|at| at.value),
        time,
        max_time: max_time.map_or(default.max_time.max(time), |at| at.value),
        max_share: number("max_share")
            .and_then(|share| u8::try_from(share).ok())
            .unwrap_or(default.max_share),
    })
}

/// The keys that not every check looks at.
const KEYS_OF_KINDS: &[&str] =
    &["method", "path", "host", "status", "body", "body_matches", "send", "expect"];
/// Below this a check is an attack.
const SHORTEST: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(3);
const RISE: u32 = 2;
const FALL: u32 = 3;
/// Enough for any greeting.
const MOST_BYTES: usize = 4096;
