//! `[listener.NAME]`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foreword::{Group, HeaderPolicy, Parser, Trust};
use foreword_http1::Name;
use foreword_http1::path::{EncodedSlash, PathPolicy};
use foreword_rule::Scope;

use super::acme::Acme;
use super::basic_auth;
use super::clusters::Clusters;
use super::datagrams;
use super::document::{Notes, Table, Value, shown, token};
use super::keepalive;
use super::keys::{HEADER, KEEPALIVE, LISTENER, MAX, MIN, TIMEOUT};
use super::limits;
use super::lists::Lists;
use super::pages;
use super::problem::Problem;
use super::room::{Room, no_requests};
use super::rules;
use super::source::{At, Place};
use super::tls;
use super::trust::Groups;
use super::units;
use crate::plan::{
    Bind, HeaderPlan, Http2, Least, Limits, Listener, Mode, RequestId, SecondHeader, Target, Timeouts,
    UnknownHeader,
};
use crate::policy::rules::{Ending, Rules};

/// What listeners are made with, and what has been seen of them so far.
pub(crate) struct Listeners<'a> {
    pub(crate) lists: &'a Lists,
    pub(crate) groups: &'a Groups,
    pub(crate) clusters: &'a Clusters,
    pub(crate) request_id: RequestId,
    pub(crate) now: SystemTime,
    pub(crate) acme: Option<&'a Acme>,
    /// The conditions of all rules, for what is said of lists that none asks.
    pub(crate) conditions: Vec<String>,
    pub(crate) used_groups: BTreeSet<String>,
    pub(crate) good: Vec<Arc<Listener>>,
    /// Every name in the files, those of broken listeners included.
    pub(crate) places: BTreeMap<String, Place>,
    /// Every bind of the files so far.
    pub(crate) binds: Vec<At<Bind>>,
}

impl<'a> Listeners<'a> {
    pub(crate) fn new(
        lists: &'a Lists,
        groups: &'a Groups,
        clusters: &'a Clusters,
        request_id: RequestId,
        now: SystemTime,
        acme: Option<&'a Acme>,
    ) -> Self {
        Self {
            lists,
            groups,
            clusters,
            request_id,
            now,
            acme,
            conditions: Vec::new(),
            used_groups: BTreeSet::new(),
            good: Vec::new(),
            places: BTreeMap::new(),
            binds: Vec::new(),
        }
    }

    /// Reads the listeners of one file.
    pub(crate) fn add(&mut self, top: &Table<'_, '_>) {
        for (name, table) in top.named("listener", &LISTENER) {
            if let Some(first) = self.places.get(name.value) {
                let found = format!("the one at {}", first.shown());
                top.notes().problem(name.place.expected("a name of its own", found));
                continue;
            }
            self.places.insert(name.value.to_owned(), name.place.clone());
            let listener = self.read(&name, &table).map(Arc::new);
            self.good.extend(listener);
        }
    }

    fn read(&mut self, name: &At<&str>, table: &Table<'_, '_>) -> Option<Listener> {
        let others = self.binds.len();
        let mode = read_mode(table);
        let binds = self.read_binds(table, mode);
        let groups = table.read("trust", |value| value.texts());
        let trust = groups.as_ref().and_then(|groups| {
            self.used_groups.extend(groups.value.iter().map(|name| name.value.to_owned()));
            self.groups.resolve(&groups.value, table.notes())
        });
        let has_groups = groups.is_some_and(|groups| !groups.value.is_empty());
        // Whatever is wrong with a group is a problem of its own, and might say anything if it were right.
        let says = |what: fn(&Group) -> bool| match &trust {
            Some(trust) => trust.groups().iter().any(what),
            None => has_groups,
        };
        let shape = Shape {
            mode: mode.unwrap_or(Mode::Http),
            tls: table.get("tls").is_some(),
            header: says(|group| group.header != HeaderPolicy::Forbid),
        };
        shape.note_keys_without_effect(table);

        let path = read_path_policy(table);
        let scope = Scope {
            http: shape.mode == Mode::Http,
            tls: shape.tls,
            client_certificate: tls::asks_for_certificates(table),
            passwords: basic_auth::is_asked_for(table),
            hello: shape.tls || shape.mode == Mode::TlsPassthrough,
            header: shape.header,
            forwarded: says(|group| group.forwarded),
            ignore_case: path.ignore_case,
            lists: &self.lists.good,
        };
        let room = Room { mode: shape.mode, scope, lists: self.lists, clusters: self.clusters };
        let rules = rules::read(table, &room, &mut self.conditions);
        let bounds = limits::of_listener(table, &room);
        let own = self.binds.get(others..).unwrap_or_default();
        warn_of_unix_strangers(own, trust.as_ref().filter(|_| has_groups), table.notes());
        warn_of_loops(own, &rules, table.notes());
        datagrams::check_clusters(table, shape.mode, &rules);
        let http2 = read_http2(table, shape.tls);
        let tls = tls::read(table, shape.mode, http2, self.acme, self.now);
        let header = read_header(table);
        let timeout = read_timeouts(table, shape.mode);
        let keepalive = keepalive::read(table, &KEEPALIVE);
        let max = read_limits(table);
        let min = read_least(table);
        let error_pages = pages::error_pages(table).unwrap_or_default();
        Some(Listener {
            name: name.value.into(),
            binds: binds?,
            mode: mode?,
            trust: trust.filter(|_| has_groups),
            header,
            tls,
            bounds,
            rules,
            timeout,
            keepalive,
            max,
            min,
            http2,
            error_pages,
            path,
            request_id: self.request_id.clone(),
        })
    }

    fn read_binds(&mut self, table: &Table<'_, '_>, mode: Option<Mode>) -> Option<Vec<Bind>> {
        let notes = table.notes();
        let texts = table.require("bind", bind_texts)?;
        if texts.value.is_empty() {
            notes.problem(texts.place.expected("at least one address", "none"));
        }
        let mut binds = Vec::new();
        for text in &texts.value {
            let bind = units::bind(text.value, text.place.source()).map_err(|unfit| text.unfit(unfit));
            let Some(bind) = notes.keep(bind) else { continue };
            let Some(bind) =
                (if mode == Some(Mode::Udp) { datagrams::bind(bind, text, notes) } else { Some(bind) })
            else {
                continue;
            };
            if let Some(other) = self.binds.iter().find(|other| collide(&other.value, &bind)) {
                let found = format!("`{}` at {}", other.value, other.place.shown());
                let problem = text.place.expected("an address that no other bind takes", found);
                let dual = !matches!(other.value, Bind::Unix(_)) && other.value != bind;
                let hint = dual.then_some("`[::]` takes IPv4 as well");
                notes.problem(problem.maybe_hint(hint));
            }
            self.binds.push(At::new(bind.clone(), text.place.clone()));
            binds.push(bind);
        }
        (!binds.is_empty()).then_some(binds)
    }
}

/// Warns of unix sockets on which nobody can be but strangers.
fn warn_of_unix_strangers(binds: &[At<Bind>], trust: Option<&Trust>, notes: &Notes) {
    if trust.is_none_or(|trust| trust.groups().iter().any(|group| group.unix)) {
        return;
    }
    for bind in binds.iter().filter(|bind| matches!(bind.value, Bind::Unix(_))) {
        let warning = "no trust group of this listener holds `unix`: whoever comes here is closed unread";
        notes.warning(
            bind.place.problem(warning).hint("add `\"unix\"` to the `from` of the group that is meant"),
        );
    }
}

/// Warns of clusters that lead back to the listener that forwards to them.
fn warn_of_loops(binds: &[At<Bind>], rules: &Rules, notes: &Notes) {
    let clusters = rules.iter().filter_map(|rule| match &rule.ending {
        Some(Ending::Forward(cluster)) => Some(cluster),
        _ => None,
    });
    for cluster in clusters {
        for bind in binds {
            let back = cluster.endpoints.iter().find(|endpoint| leads_to(&endpoint.target, &bind.value));
            if let Some(endpoint) = back {
                notes.warning(bind.place.problem(format!(
                    "cluster `{}` leads back here by `{}`: a connection comes round until none is left",
                    cluster.name, endpoint.text
                )));
            }
        }
    }
}

/// Whether who connects to a target comes in at a bind of the same machine.
fn leads_to(target: &Target, bind: &Bind) -> bool {
    match (target, bind) {
        (Target::Unix(path), Bind::Unix(bound)) => path == bound,
        (Target::Address(address), Bind::Inet(bound) | Bind::Udp(bound)) => {
            let any = bound.ip().is_unspecified() && address.ip().to_canonical().is_loopback();
            address.port() == bound.port() && (address.ip() == bound.ip() || any)
        }
        _ => false,
    }
}

fn bind_texts<'d>(value: &Value<'d>) -> Result<Vec<At<&'d str>>, Problem> {
    let text = |value: Value<'d>| match (value.text(), value.number(1, u16::MAX.into())) {
        (Ok(text), _) => Ok(At::new(text, value.place)),
        (Err(problem), Ok(port)) => {
            Err(problem.hint(format!("`\"[::]:{port}\"` takes IPv4 and IPv6 at port {port}")))
        }
        (Err(problem), Err(_)) => Err(problem),
    };
    value.list()?.into_iter().map(text).collect()
}

/// Whether two binds want the same. `[::]` is dual-stack, so it takes what `0.0.0.0` would.
pub(crate) fn collide(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (Bind::Unix(one), Bind::Unix(other)) => one == other,
        // Port 0 is a free one each time.
        (Bind::Inet(one), Bind::Inet(other)) | (Bind::Udp(one), Bind::Udp(other))
            if one.port() == other.port() && one.port() != 0 =>
        {
            one == other || [one, other].into_iter().all(is_any)
        }
        _ => false,
    }
}

fn is_any(address: &SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

fn read_mode(table: &Table<'_, '_>) -> Option<Mode> {
    let mode = table.require("mode", |value| {
        let modes = [
            ("http", Mode::Http),
            ("tcp", Mode::Tcp),
            ("tls-passthrough", Mode::TlsPassthrough),
            ("udp", Mode::Udp),
        ];
        value.one_of(&modes).map_err(|problem| match value.text() {
            Ok("https") => {
                problem.hint("it is `mode = \"http\"` with `tls = { certificates = [\"DIR/*.crt\"] }`")
            }
            _ => problem,
        })
    });
    mode.map(|at| at.value)
}

/// What a listener does at all, and so which keys can have an effect.
#[derive(Clone, Copy)]
struct Shape {
    mode: Mode,
    tls: bool,
    header: bool,
}

impl Shape {
    fn note_keys_without_effect(self, table: &Table<'_, '_>) {
        let http = self.mode == Mode::Http;
        let no_requests = no_requests(self.mode);
        let udp = self.mode == Mode::Udp;
        let no_datagrams = "only a listener in udp mode has flows";
        let no_connections = "a listener in udp mode has flows, not connections";
        let note = |table: &Table<'_, '_>, keys: &'static [&'static str], works: bool, why: &str| {
            for (name, place) in table.present(keys).into_iter().filter(|_| !works) {
                table.notes().problem(place.problem(format!("`{name}` has no effect: {why}")));
            }
        };
        let passes = self.mode == Mode::TlsPassthrough;
        note(table, &["tls"], !passes, "in tls-passthrough mode TLS does not end here");
        note(table, &["encoded_slash", "ignore_case", "min", "http2", "error_pages"], http, no_requests);
        note(table, &["tls", "keepalive"], !udp, no_connections);
        let no_header = "a listener without a trust group that may send a header reads none";
        note(table, &["header"], self.header, no_header);
        if let Some(timeout) = table.peek_table("timeout", &TIMEOUT) {
            note(&timeout, &["tls"], self.tls || passes, "this listener ends no TLS");
            note(&timeout, &["head"], http, no_requests);
            let per_request = "in http mode `timeout.head` and `timeout.idle` bound each request";
            note(&timeout, &["total"], !http, per_request);
            note(&timeout, &["total"], !udp, no_connections);
        }
        if let Some(max) = table.peek_table("max", &MAX) {
            note(&max, &["head", "fields", "body", "streams"], http, no_requests);
            note(&max, &["connections"], !udp, no_connections);
            note(&max, &["flows"], udp, no_datagrams);
        }
        if let Some(header) = table.peek_table("header", &HEADER) {
            if !udp {
                note(&header, &["second_header"], !http, "in http mode a second header is always refused");
            }
            let whole = "in udp mode a header is whole, or its datagram is dropped";
            note(&header, &["deadline", "waiting"], !udp, whole);
            let one = "in udp mode one header is read, and what follows it is payload";
            note(&header, &["second_header", "chain"], !udp, one);
            note(&header, &["ipv4_in_tcp6"], !udp, "in udp mode there are no v1 headers");
            note(&header, &["datagrams"], udp, no_datagrams);
        }
    }
}

/// Reads where HTTP/2 is spoken. Under TLS both sides agree on it: nobody has to know beforehand.
fn read_http2(table: &Table<'_, '_>, tls: bool) -> Http2 {
    let words = [("alpn", Http2::Alpn), ("prior-knowledge", Http2::PriorKnowledge), ("off", Http2::Off)];
    let Some(http2) = table.read("http2", |value| value.one_of(&words)) else { return Http2::default() };
    if tls && http2.value == Http2::PriorKnowledge {
        let problem = http2.place.expected("`alpn` or `off` on a listener with `tls`", "`prior-knowledge`");
        table.notes().problem(problem.hint("under TLS, ALPN tells who speaks HTTP/2; leave the key out"));
    }
    http2.value
}

fn read_path_policy(table: &Table<'_, '_>) -> PathPolicy {
    let words = [("refuse", EncodedSlash::Refuse), ("keep", EncodedSlash::Keep)];
    PathPolicy {
        encoded_slash: table
            .read("encoded_slash", |value| value.one_of(&words))
            .map(|at| at.value)
            .unwrap_or_default(),
        ignore_case: table.read("ignore_case", |value| value.boolean()).is_some_and(|at| at.value),
    }
}

fn read_header(listener: &Table<'_, '_>) -> HeaderPlan {
    let Some(table) = listener.table("header", &HEADER) else { return HeaderPlan::default() };
    let default = HeaderPlan::default();
    let switch = |name, off: &str, on: &str| {
        table.read(name, |value| value.one_of(&[(off, false), (on, true)])).is_some_and(|at| at.value)
    };
    let max_len = table.size("max").map_or(default.max_len, |at| at.value);
    let ipv4_in_tcp6 = table.read("ipv4_in_tcp6", |value| value.boolean()).is_some_and(|at| at.value);
    let parser = Parser::new()
        .max_len(max_len)
        .ipv4_in_tcp6(ipv4_in_tcp6)
        .ignore_malformed_tlvs(switch("tlv_malformed", "reject", "ignore"))
        .first_of_duplicate_tlvs(switch("tlv_duplicate", "reject", "first"))
        .require_checksum(switch("checksum", "optional", "require"));
    let chain = table.number("chain").map_or(1, |at| at.value as usize);
    HeaderPlan {
        deadline: read_header_deadline(&table).unwrap_or(default.deadline),
        max_len,
        waiting: count(&table, "waiting").unwrap_or(default.waiting),
        parser,
        second_header: match switch("second_header", "payload", "reject") {
            true => SecondHeader::Reject,
            false => SecondHeader::Payload,
        },
        chain: NonZeroUsize::new(chain).unwrap_or(NonZeroUsize::MIN),
        unknown: match switch("unknown", "accept", "reject") {
            true => UnknownHeader::Reject,
            false => UnknownHeader::Accept,
        },
        datagrams: table
            .read("datagrams", |value| value.one_of(&datagrams::WORDS))
            .map(|at| at.value)
            .unwrap_or_default(),
    }
}

/// A lost segment is sent again within 3 s; who waits for less refuses those who lost one (R-SEC-07).
fn read_header_deadline(header: &Table<'_, '_>) -> Option<Duration> {
    let deadline = header.read("deadline", |value| value.duration())?;
    if deadline.value < HeaderPlan::default().deadline {
        let warning = deadline.place.problem("a header whose first segment was lost comes later than this");
        header.notes().warning(warning.hint("leave it at `\"3s\"` or more"));
    }
    Some(deadline.value)
}

fn read_timeouts(listener: &Table<'_, '_>, mode: Mode) -> Timeouts {
    let mut default = Timeouts::default();
    if mode == Mode::Udp {
        default.idle = datagrams::IDLE;
    }
    let Some(table) = listener.table("timeout", &TIMEOUT) else { return default };
    let read = |name, or: Duration| table.read(name, |value| value.duration()).map_or(or, |at| at.value);
    Timeouts {
        tls: read("tls", default.tls),
        head: read("head", default.head),
        idle: read("idle", default.idle),
        total: table.read("total", |value| value.duration()).map(|at| at.value),
    }
}

fn read_limits(listener: &Table<'_, '_>) -> Limits {
    let default = Limits::default();
    let Some(table) = listener.table("max", &MAX) else { return default };
    let fields = table.number("fields").map(|at| at.value as usize);
    Limits {
        head: table.size("head").map_or(default.head, |at| at.value),
        fields: fields.unwrap_or(default.fields),
        body: table.size("body").map(|at| at.value as u64),
        streams: table.number("streams").map_or(default.streams, |at| at.value as u32),
        connections: count(&table, "connections"),
        flows: count(&table, "flows").unwrap_or(default.flows),
    }
}

fn read_least(listener: &Table<'_, '_>) -> Least {
    let default = Least::default();
    let Some(table) = listener.table("min", &MIN) else { return default };
    Least { body_rate: table.number("body_rate").map_or(default.body_rate, |at| at.value) }
}

fn count(table: &Table<'_, '_>, name: &'static str) -> Option<usize> {
    table.number(name).map(|at| at.value as usize)
}

/// The name of a listener that a test gives.
pub(crate) fn check_listener_name(name: &At<&str>, places: &BTreeMap<String, Place>) -> Result<(), Problem> {
    match places.contains_key(name.value) {
        true => Ok(()),
        false => Err(super::document::unknown_name(places.keys().map(String::as_str), name, "listeners")),
    }
}

/// The field that carries request ids. It is written to every request, so it must not be one that means something else.
pub(crate) fn request_id(field: &At<&str>) -> Result<RequestId, Problem> {
    match Name::of(token(field, "field")?.as_bytes()) {
        Name::Other => Ok(RequestId { field: field.value.into() }),
        _ => {
            let expected = "a field that the gateway does not use for anything else";
            Err(field.place.expected(expected, shown(field.value)).hint("take one such as `X-Request-Id`"))
        }
    }
}
