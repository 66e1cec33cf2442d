//! `[cluster.NAME]`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foreword_rule::Variable;

use super::document::{Notes, Table, Value, find_name};
use super::endpoint_tls;
use super::endpoints;
use super::health;
use super::keepalive;
use super::keys::{BALANCE, CLUSTER, CLUSTER_KEEPALIVE, CLUSTER_MAX, CLUSTER_TIMEOUT};
use super::problem::Problem;
use super::source::{At, Place};
use super::sticky;
use super::tlvs;
use crate::plan::{
    Balance, Cluster, ClusterLimits, ClusterTimeouts, Endpoint, HeaderPlacement, InnerHeader, OwnZone,
    Protocol, SendHeader, WhenAllDown,
};
use crate::policy::key::Key;

/// The clusters of all files.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    /// By name; `None` where the cluster could not be read, so that its users have no problem of their own.
    by_name: BTreeMap<String, Option<Arc<Cluster>>>,
    /// In the order of the files.
    good: Vec<Arc<Cluster>>,
    places: BTreeMap<String, Place>,
    used: RefCell<BTreeSet<String>>,
    /// That of the whole gateway.
    zone: Option<OwnZone>,
}

impl Clusters {
    /// None so far, in a gateway that is in this zone.
    pub(crate) fn new(zone: Option<OwnZone>) -> Self {
        Self { zone, ..Self::default() }
    }

    /// Reads the clusters of one file.
    pub(crate) fn add(&mut self, top: &Table<'_, '_>) {
        for (name, table) in top.named("cluster", &CLUSTER) {
            if let Some(first) = self.places.get(name.value) {
                let found = format!("the one at {}", first.shown());
                top.notes().problem(name.place.expected("a name of its own", found));
                continue;
            }
            let cluster = read(name.value, self.good.len(), self.zone.as_ref(), &table).map(Arc::new);
            self.good.extend(cluster.clone());
            self.places.insert(name.value.to_owned(), name.place);
            self.by_name.insert(name.value.to_owned(), cluster);
        }
    }

    /// The cluster that a rule or listener names.
    pub(crate) fn find(&self, name: &At<&str>, notes: &Notes) -> Option<Arc<Cluster>> {
        let found = notes.keep(find_name(&self.by_name, name, "clusters"))?;
        self.used.borrow_mut().insert(name.value.to_owned());
        found.clone()
    }

    /// Whether there is a cluster of this name, broken or not.
    pub(crate) fn check_name(&self, name: &At<&str>) -> Result<(), Problem> {
        find_name(&self.by_name, name, "clusters").map(|_| ())
    }

    /// Warns of clusters that nothing forwards to.
    pub(crate) fn warn_of_unused(&self, notes: &Notes) {
        let used = self.used.borrow();
        for (_, place) in self.places.iter().filter(|(name, _)| !used.contains(*name)) {
            notes.warning(place.problem("nothing forwards to it"));
        }
    }

    pub(crate) fn into_plan(self) -> Vec<Arc<Cluster>> {
        self.good
    }
}

fn read(name: &str, index: usize, zone: Option<&OwnZone>, table: &Table<'_, '_>) -> Option<Cluster> {
    let zone = endpoints::zone(table).or_else(|| zone.cloned());
    let endpoints = endpoints::read(table, zone.as_ref());
    let balance = read_balance(table);
    let protocols = [("http/1.1", Protocol::Http1), ("h2", Protocol::Http2)];
    let protocol =
        table.read("protocol", |value| value.one_of(&protocols)).map(|at| at.value).unwrap_or_default();
    let (send_header, header_placement, inner_header) = read_header(table);
    let carried = tlvs::read(table, send_header);
    let keepalive = keepalive::read(table, &CLUSTER_KEEPALIVE);
    let timeout = read_timeouts(table);
    let max = read_limits(table, endpoints.as_deref().unwrap_or_default());
    let slow_start = table.read("slow_start", |value| value.duration()).map(|at| at.value);
    let retries = table.number("retries").map(|at| at.value as u8);
    let ejection = health::ejection(table);
    let health = health::check(table, send_header);
    let words = [("try-all", WhenAllDown::TryAll), ("refuse", WhenAllDown::Refuse)];
    let when_all_down =
        table.read("when_all_down", |value| value.one_of(&words)).map(|at| at.value).unwrap_or_default();

    let endpoints = endpoints?;
    let tls = endpoint_tls::read(table, &endpoints, protocol);
    if let (HeaderPlacement::FirstPayload, Some(tls)) = (header_placement, &tls)
        && !tls.header_inside
    {
        for (_, place) in table.present(&["header_placement"]) {
            let why = "a header before the handshake cannot wait for what comes after it";
            let hint = "add `header = \"inside\"` to `tls`, if that is where endpoints read it";
            table.notes().problem(place.problem(why).hint(hint));
        }
    }
    let cluster = Cluster::new(name, index, endpoints);
    Some(Cluster {
        balance,
        protocol,
        send_header,
        send_tlvs: carried.send,
        pass_tlvs: carried.pass,
        max_header: carried.max,
        health: health.map(Arc::new),
        header_placement,
        inner_header,
        tls,
        keepalive,
        timeout,
        retries: retries.unwrap_or(cluster.retries),
        max,
        slow_start,
        zone,
        sticky: sticky::read(table),
        ejection,
        when_all_down,
        ..cluster
    })
}

/// Which header endpoints are sent, when it leaves, and what of the client's own may look like one.
fn read_header(table: &Table<'_, '_>) -> (SendHeader, HeaderPlacement, InnerHeader) {
    let headers = [
        ("none", SendHeader::None),
        ("v1", SendHeader::V1),
        ("v2", SendHeader::V2),
        ("v2-first", SendHeader::V2First),
        ("spp", SendHeader::Spp),
    ];
    let header = table.read("send_header", |value| value.one_of(&headers));
    let placements =
        [("connect", HeaderPlacement::Connect), ("first-payload", HeaderPlacement::FirstPayload)];
    let placement = table.read("header_placement", |value| value.one_of(&placements));
    let inner = [("payload", InnerHeader::Payload), ("reject", InnerHeader::Reject)];
    let inner = table.read("inner_header", |value| value.one_of(&inner));
    let header = header.map(|at| at.value).unwrap_or_default();
    if header == SendHeader::None {
        for (name, place) in table.present(&["header_placement", "inner_header"]) {
            let problem = place.problem(format!("`{name}` has no effect: this cluster is sent no header"));
            table.notes().problem(problem.hint("add `send_header = \"v2\"`"));
        }
    }
    let placement = placement.map(|at| at.value).unwrap_or_default();
    (header, placement, inner.map(|at| at.value).unwrap_or_default())
}

fn read_balance(table: &Table<'_, '_>) -> Balance {
    let words = [
        ("round-robin", Balance::RoundRobin),
        ("least-connections", Balance::LeastConnections),
        ("random-of-two", Balance::RandomOfTwo),
        ("first", Balance::First),
    ];
    let word_or_hash = |value: &Value<'_>| {
        if value.is_table() {
            Ok(read_hash(&value.table(&BALANCE, table.notes())?))
        } else {
            value.one_of(&words)
        }
    };
    table.read("balance", word_or_hash).map(|at| at.value).unwrap_or_default()
}

/// What is hashed. Without it there is a problem already, and any balance will do.
fn read_hash(table: &Table<'_, '_>) -> Balance {
    let key = table.require("hash", |value| value.text()).and_then(|text| {
        let key = Key::parse(text.value, Variable::for_template);
        table.notes().keep(key.map_err(|error| text.place.in_rule(&error)))
    });
    key.map(|key| Balance::Hash(Arc::new(key))).unwrap_or_default()
}

fn read_limits(cluster: &Table<'_, '_>, endpoints: &[Endpoint]) -> ClusterLimits {
    let default = ClusterLimits::default();
    let Some(table) = cluster.table("max", &CLUSTER_MAX) else { return default };
    let connections = table.number("connections").map(|at| at.value as usize);
    let queue = table.number("queue");
    let is_limited =
        connections.is_some() || endpoints.iter().any(|endpoint| endpoint.max_connections.is_some());
    if let (Some(queue), false) = (&queue, is_limited) {
        let problem =
            queue.place.problem("`queue` has no effect: nothing limits connections to this cluster");
        cluster
            .notes()
            .problem(problem.hint("add `connections` beside it, or `max_connections` to endpoints"));
    }
    ClusterLimits { connections, queue: queue.map_or(default.queue, |at| at.value as usize) }
}

fn read_timeouts(table: &Table<'_, '_>) -> ClusterTimeouts {
    let default = ClusterTimeouts::default();
    let Some(table) = table.table("timeout", &CLUSTER_TIMEOUT) else { return default };
    let read = |name| table.read(name, |value| value.duration()).map(|at| at.value);
    ClusterTimeouts {
        connect: read("connect").unwrap_or(default.connect),
        response: read("response").unwrap_or(default.response),
        idle: read("idle").unwrap_or(default.idle),
        queue: read("queue").unwrap_or(default.queue),
        drain: read("drain").unwrap_or(default.drain),
    }
}
