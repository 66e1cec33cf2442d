//! Health checks, as both generations of balancers have them.

use super::Import;
use super::properties::At;
use crate::draft::Value;
use crate::fault::{Fault, shown};
use crate::parts::Health;

/// A check as a template describes it.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) kind: CheckKind,
    /// A port of its own.
    pub(super) port: Option<u16>,
    pub(super) path: Option<String>,
    /// The statuses that are good, as the file spells them.
    pub(super) statuses: Vec<String>,
    pub(super) interval: u64,
    pub(super) timeout: u64,
    pub(super) rise: u64,
    pub(super) fall: u64,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckKind {
    Tcp,
    Tls,
    Http,
    Https,
}

impl CheckKind {
    pub(super) fn of(text: &At<String>) -> Result<Self, Fault> {
        match text.value.to_ascii_uppercase().as_str() {
            "TCP" => Ok(Self::Tcp),
            "SSL" | "TLS" => Ok(Self::Tls),
            "HTTP" => Ok(Self::Http),
            "HTTPS" => Ok(Self::Https),
            _ => Err(Fault::expected(text.place, "`TCP`, `SSL`, `HTTP` or `HTTPS`", shown(&text.value))),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) fn has_path(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl Check {
    /// The table of a cluster whose endpoints listen at `port`.
    pub(super) fn health(
        &self,
        import: &Import<'_>,
        name: &str,
        port: u16,
        header: (&'static str, &str),
    ) -> Health {
        let mut health = Health::default();
        health.set("check", self.kind.word());
        health.set_for("header", header.0, header.1);
        if let Some(own) = self.port.filter(|own| *own != port) {
            health.set("port", u64::from(import.deployment.port_of(name, own)));
        }
        if let Some(path) = self.path.as_ref().filter(|_| self.kind.has_path()) {
            health.set("path", path.as_str());
        }
        if self.kind.has_path() {
            health.set("status", Value::texts(self.statuses.clone()));
        }
        health.set("interval", format!("{}s", self.interval));
        health.set("timeout", format!("{}s", self.timeout));
        health.set("rise", self.rise);
        health.set("fall", self.fall);
        health
    }
}
