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
}

impl Mode {
    /// As the file spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
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

/// A cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Its name in the file.
    pub name: String,
    /// Lines above it.
    pub about: Vec<String>,
    /// Where its endpoints are.
    pub endpoints: Vec<String>,
    /// Which endpoint is next, and why so.
    pub balance: Option<(Value, Option<String>)>,
    /// The header that endpoints are sent, and why.
    pub header: Option<(SentHeader, Option<String>)>,
    /// TLVs that a v2 header carries.
    pub tlvs: Vec<String>,
    /// `timeout = { … }`.
    pub timeouts: Vec<(&'static str, Value)>,
}

/// The version of a header that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentHeader {
    /// The line of text.
    V1,
    /// The binary format.
    V2,
}

impl SentHeader {
    /// As the file spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

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
        table.set("endpoints", Value::texts(self.endpoints));
        set_for(&mut table, "balance", self.balance);
        set_for(&mut table, "send_header", self.header.map(|(header, why)| (header.word().into(), why)));
        if !self.tlvs.is_empty() {
            table.set("send_tlvs", Value::texts(self.tlvs));
        }
        if !self.timeouts.is_empty() {
            table.set("timeout", Value::table(self.timeouts));
        }
        draft.push(table);
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

fn set_for(table: &mut Table, name: &str, value: Option<(Value, Option<String>)>) {
    match value {
        Some((value, Some(why))) => table.set_for(name, value, why),
        Some((value, None)) => table.set(name, value),
        None => {}
    }
}
