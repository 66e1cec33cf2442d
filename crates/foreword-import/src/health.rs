//! Health checks, as every description of a balancer has them.

use crate::draft::Value;
use crate::fault::{Fault, Place, shown};
use crate::parts::Health;

/// A check as a template describes it.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) kind: CheckKind,
    /// A port of its own.
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    /// The statuses that are good, as the file spells them.
    pub(crate) statuses: Vec<String>,
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) rise: u64,
    pub(crate) fall: u64,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckKind {
    Tcp,
    Tls,
    Http,
    Https,
}

impl CheckKind {
    pub(crate) fn of(text: &str, place: Place) -> Result<Self, Fault> {
        match text.to_ascii_uppercase().as_str() {
            "TCP" => Ok(Self::Tcp),
            "SSL" | "TLS" => Ok(Self::Tls),
            "HTTP" => Ok(Self::Http),
            "HTTPS" => Ok(Self::Https),
            _ => Err(Fault::expected(place, "`TCP`, `SSL`, `HTTP` or `HTTPS`", shown(text))),
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

    /// The one that is content with a connection.
    pub(crate) fn without_a_request(self) -> Self {
        match self {
            Self::Http => Self::Tcp,
            Self::Https => Self::Tls,
            Self::Tcp | Self::Tls => self,
        }
    }

    pub(crate) fn has_path(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl Check {
    /// The table of a cluster. `port` is the one that is asked, where it is not the endpoints' own.
    pub(crate) fn health(&self, port: Option<u16>, (header, why): (&str, &str)) -> Health {
        let mut health = Health::default();
        health.set("check", self.kind.word());
        health.set_for("header", header, why);
        if let Some(port) = port {
            health.set("port", u64::from(port));
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
