//! The parts of a file as importers and roles think of them, and the one place that knows how each key is spelled.

use crate::draft::{Draft, Table, Value};

/// A listener.
#[derive(Debug, Clone, Default)]
pub struct Listener {
    /// Its name in the file.
    pub name: String,
    /// Lines above it.
    pub about: Vec<String>,
    /// Where it listens.
    pub bind: Vec<String>,
    /// What is spoken there.
    pub mode: Mode,
    /// The groups whose headers it believes.
    pub trust: Vec<String>,
    /// The certificates with which it ends TLS: a folder or a file's pair.
    pub certificates: Option<String>,
    /// `header = { … }`.
    pub header: Vec<(&'static str, Value)>,
    /// `timeout = { … }`.
    pub timeouts: Vec<(&'static str, Value)>,
    /// Why the timeouts are so.
    pub timeouts_why: Option<String>,
    /// `max = { … }`.
    pub max: Vec<(&'static str, Value)>,
    /// Rules, read top-down.
    pub rules: Vec<Rule>,
    /// The cluster of the last rule.
    pub cluster: Option<String>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bytes.
    #[default]
    Tcp,
    /// Requests.
    Http,
    /// Bytes, decided by what a client says at the beginning of TLS that ends elsewhere.
    TlsPassthrough,
    /// Datagrams.
    Udp,
}

impl Mode {
    /// As the file spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::TlsPassthrough => "tls-passthrough",
            Self::Udp => "udp",
        }
    }
}

/// A rule of a listener.
#[derive(Debug, Clone)]
pub struct Rule {
    /// How logs call it.
    pub name: String,
    /// The condition; none holds always.
    pub when: Option<String>,
    /// What it does.
    pub then: Vec<(&'static str, Value)>,
}

/// Text in a condition: a backslash is itself unless a quote or another follows.
pub(crate) fn rule_text(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        if letter == '"' || letter == '\\' {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

/// A cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Its name in the file.
    pub name: String,
    /// Lines above it.
    pub about: Vec<String>,
    /// Where its endpoints are.
    pub endpoints: Vec<Endpoint>,
    /// What endpoints speak, where requests are read.
    pub protocol: Protocol,
    /// Which endpoint is next.
    pub balance: Option<Because<Value>>,
    /// The header that endpoints are sent.
    pub header: Option<Because<SentHeader>>,
    /// When the header leaves.
    pub placement: Option<Because<Placement>>,
    /// TLVs that a v2 header carries.
    pub tlvs: Vec<Value>,
    /// TLVs of the client's own header that go on.
    pub passed: Vec<String>,
    /// `tls = { … }`.
    pub tls: Option<Vec<(&'static str, Value)>>,
    /// `timeout = { … }`.
    pub timeouts: Vec<(&'static str, Value)>,
    /// For how long an endpoint that is usable again gets less.
    pub slow_start: Option<Because<Value>>,
    /// Whether connections are tried or refused where no endpoint is up.
    pub all_down: Option<Because<AllDown>>,
    /// How endpoints are asked whether they are up.
    pub health: Option<Health>,
}

/// What endpoints speak, where requests are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 from the first byte.
    Http2,
}

/// A value, and why it is so.
#[derive(Debug, Clone)]
pub struct Because<T> {
    /// What is so.
    pub value: T,
    /// Why; nothing where it goes without saying.
    pub why: Option<String>,
}

impl<T> Because<T> {
    /// A value for a reason.
    pub fn of(value: T, why: impl Into<String>) -> Self {
        Self { value, why: Some(why.into()) }
    }

    /// A value that needs no reason.
    pub fn plain(value: T) -> Self {
        Self { value, why: None }
    }

    fn map<U>(self, map: impl FnOnce(T) -> U) -> Because<U> {
        Because { value: map(self.value), why: self.why }
    }
}

/// An endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Where it is.
    pub address: String,
    /// How much it gets, against the others.
    pub weight: Option<u64>,
    /// The most connections to it at once.
    pub max_connections: Option<u64>,
    /// Whether it is used only where no other one is usable.
    pub backup: bool,
}

impl From<String> for Endpoint {
    fn from(address: String) -> Self {
        Self { address, ..Self::default() }
    }
}

impl From<Endpoint> for Value {
    fn from(endpoint: Endpoint) -> Self {
        let weight = endpoint.weight.map(|weight| ("weight", Self::Number(weight)));
        let backup = endpoint.backup.then_some(("backup", Self::Flag(true)));
        let max = endpoint.max_connections.map(|max| ("max_connections", Self::Number(max)));
        let more: Vec<_> = weight.into_iter().chain(max).chain(backup).collect();
        match more.is_empty() {
            true => Self::Text(endpoint.address),
            false => Self::table([("address", Self::Text(endpoint.address))].into_iter().chain(more)),
        }
    }
}

/// TLS to endpoints whose certificates nobody looks at, as AWS and the clouds' controllers have it.
pub(crate) fn unverified_tls() -> Vec<(&'static str, Value)> {
    vec![("verify", false.into())]
}

/// When a header leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// As soon as the endpoint is connected to.
    Connect,
    /// With the client's first bytes, however long they take.
    FirstPayload,
}

impl Placement {
    /// As the file spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstPayload => "first-payload",
        }
    }
}

/// What happens where no endpoint is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllDown {
    /// All are tried all the same.
    TryAll,
    /// Whoever comes is refused.
    Refuse,
}

/// `[cluster.NAME.health]`.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Lines above it.
    pub about: Vec<String>,
    /// Its keys in order.
    pub keys: Vec<(&'static str, Because<Value>)>,
}

impl Health {
    /// One more key.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keys.push((key, Because::plain(value.into())));
    }

    /// One more key, and why it is so.
    pub fn set_for(&mut self, key: &'static str, value: impl Into<Value>, why: impl Into<String>) {
        self.keys.push((key, Because::of(value.into(), why)));
    }
}

/// How `balance` is spelled.
pub mod balance {
    use crate::draft::Value;

    /// Each endpoint in turn.
    pub const ROUND_ROBIN: &str = "round-robin";
    /// The one with the fewest connections.
    pub const LEAST_CONNECTIONS: &str = "least-connections";
    /// Of two at random, the one with fewer connections.
    pub const RANDOM_OF_TWO: &str = "random-of-two";
    /// The first that has room.
    pub const FIRST: &str = "first";

    /// The same endpoint for the same value.
    pub fn hash(value: &str) -> Value {
        Value::table([("hash", value)])
    }
}

/// The version of a header that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentHeader {
    /// The line of text.
    V1,
    /// The binary format; in front of every datagram.
    V2,
    /// The binary format in front of a flow's first datagram.
    V2First,
    /// The Simple Proxy Protocol of datagrams.
    Spp,
}

impl SentHeader {
    /// As the file spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V2First => "v2-first",
            Self::Spp => "spp",
        }
    }
}

/// What becomes of a header where datagrams are balanced: what the clouds do then is in none of their documents.
pub(crate) const DATAGRAMS: &str =
    "datagrams get no header; `send_header = \"v2\"` would put one in front of each";

/// A trust group.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Its name in the file.
    pub name: String,
    /// Who belongs to it.
    pub from: Vec<String>,
    /// `require`, `optional` or `forbid`.
    pub header: &'static str,
    /// Why it is there.
    pub about: Vec<String>,
}

impl Listener {
    /// Adds the listener and its rules to a file.
    pub fn push(self, draft: &mut Draft) {
        let mut table = self.about.into_iter().fold(Table::named("listener", &self.name), Table::about);
        table.set("bind", Value::texts(self.bind));
        table.set("mode", self.mode.word());
        if !self.trust.is_empty() {
            table.set("trust", Value::texts(self.trust));
        }
        if let Some(certificates) = self.certificates {
            table.set("tls", Value::table([("certificates", certificates)]));
        }
        if !self.header.is_empty() {
            table.set("header", Value::table(self.header));
        }
        match self.timeouts_why {
            _ if self.timeouts.is_empty() => {}
            Some(why) => table.set_for("timeout", Value::table(self.timeouts), why),
            None => table.set("timeout", Value::table(self.timeouts)),
        }
        if !self.max.is_empty() {
            table.set("max", Value::table(self.max));
        }
        if let Some(cluster) = self.cluster {
            table.set("cluster", cluster);
        }
        draft.push(table);
        for rule in self.rules {
            let mut table = Table::rule(&self.name);
            table.set("name", rule.name);
            if let Some(when) = rule.when {
                table.set("when", when);
            }
            table.set("then", Value::table(rule.then));
            draft.push(table);
        }
    }
}

impl Cluster {
    /// Adds the cluster to a file.
    pub fn push(self, draft: &mut Draft) {
        let mut table = self.about.into_iter().fold(Table::named("cluster", &self.name), Table::about);
        table.set("endpoints", Value::List(self.endpoints.into_iter().map(Value::from).collect()));
        set(&mut table, "balance", self.balance);
        if self.protocol == Protocol::Http2 {
            table.set("protocol", "h2");
        }
        set(&mut table, "send_header", self.header.map(|header| header.map(|header| header.word().into())));
        set(&mut table, "header_placement", self.placement.map(|at| at.map(|at| at.word().into())));
        if !self.tlvs.is_empty() {
            table.set("send_tlvs", Value::List(self.tlvs));
        }
        match self.passed.as_slice() {
            [] => {}
            [all] if all == "all" => table.set("pass_tlvs", "all"),
            kinds => table.set("pass_tlvs", Value::List(kinds.iter().map(|kind| tlv(kind)).collect())),
        }
        if let Some(tls) = self.tls {
            table.set("tls", Value::table(tls));
        }
        if !self.timeouts.is_empty() {
            table.set("timeout", Value::table(self.timeouts));
        }
        set(&mut table, "slow_start", self.slow_start);
        let all_down = self.all_down.map(|all_down| {
            all_down.map(|all_down| match all_down {
                AllDown::TryAll => "try-all".into(),
                AllDown::Refuse => "refuse".into(),
            })
        });
        set(&mut table, "when_all_down", all_down);
        draft.push(table);
        if let Some(health) = self.health {
            let name = Table::below("cluster", &self.name, "health");
            let mut table = health.about.into_iter().fold(name, Table::about);
            for (key, value) in health.keys {
                set(&mut table, key, Some(value));
            }
            draft.push(table);
        }
    }
}

impl Trust {
    /// Adds the group to a file.
    pub fn push(self, draft: &mut Draft) {
        let mut table = self.about.into_iter().fold(Table::named("trust", &self.name), Table::about);
        table.set("from", Value::texts(self.from));
        table.set("header", self.header);
        draft.push(table);
    }
}

/// A kind by its number, or by its name.
fn tlv(kind: &str) -> Value {
    let number =
        kind.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16)).or_else(|| Some(kind.parse()));
    match number {
        Some(Ok(number)) => Value::Number(number),
        _ => Value::Text(kind.to_owned()),
    }
}

fn set(table: &mut Table, name: &str, value: Option<Because<Value>>) {
    match value {
        Some(Because { value, why: Some(why) }) => table.set_for(name, value, why),
        Some(Because { value, why: None }) => table.set(name, value),
        None => {}
    }
}
