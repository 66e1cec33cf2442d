//! What came of a trial, and why, for people to read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use foreword::{Client, Group, HeaderPolicy, PeerAddr, Version};
use foreword_http1::NormalPath;
use foreword_rule::{Explained, Facts};

use super::group_of;
use crate::plan::{Listener, Mode};
use crate::policy::rules::Rule;
use crate::refusal::Code;

/// One decision, from the peer to the ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The listener's name.
    pub listener: Box<str>,
    /// What is spoken there.
    pub spoken: &'static str,
    /// The other end of the socket.
    pub peer: PeerAddr,
    /// What the peer's address alone decided.
    pub trust: TrustTold,
    /// Whom the client is said to have called, where the trial says so.
    pub destination: Option<SocketAddr>,
    /// The name in the TLS handshake, where we end TLS.
    pub sni: Option<Box<str>>,
    /// Who counts as the client; none if it was refused before.
    pub client: Option<ClientTold>,
    /// What became of the path, in http mode.
    pub path: Option<PathTold>,
    /// Every rule that was asked, in order.
    pub rules: Vec<RuleTold>,
    /// The rule that ended it.
    pub rule: Option<Box<str>>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a peer's address decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustTold {
    /// The listener has no groups: everyone is direct.
    NoGroups,
    /// The peer is in a group.
    Group {
        /// The group's name.
        name: Box<str>,
        /// Which of its ranges holds the peer.
        range: String,
        /// Whether its peers send a header: as the file spells it.
        header: &'static str,
    },
    /// The peer is in none of the groups.
    Stranger,
}

/// Who counts as the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTold {
    /// The address, with its port where there is one.
    pub address: String,
    /// The address alone, if it has one.
    pub ip: Option<IpAddr>,
    /// Whose word that is.
    pub by: &'static str,
}

/// What became of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTold {
    /// As it was asked for, query included.
    pub asked: String,
    /// As rules see it.
    pub matched: String,
    /// As it is forwarded, query included.
    pub forwarded: String,
}

/// A rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTold {
    /// Its name.
    pub name: Box<str>,
    /// Whether it held.
    pub holds: bool,
    /// Its condition; none if it always holds.
    pub when: Option<PartTold>,
    /// Whether it changes something.
    pub changes: bool,
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTold {
    /// As it was written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The value that was compared, for a single comparison; `Some(None)` if it was missing.
    pub value: Option<Option<String>>,
    /// What it is joined from.
    pub parts: Vec<PartTold>,
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused, by trust, header, request or rule.
    Refused {
        /// The code, where the cause has one.
        code: Option<Code>,
        /// The cause.
        why: String,
        /// The status that says so, where there is one.
        status: Option<u16>,
    },
    /// Answered by us.
    Answered {
        /// The status.
        status: u16,
    },
    /// Sent elsewhere.
    Redirected {
        /// The status.
        status: u16,
        /// Where.
        location: String,
    },
    /// Forwarded.
    Forwarded {
        /// Where.
        cluster: Box<str>,
    },
}

impl Explanation {
    pub(super) fn new(listener: &Listener, peer: &PeerAddr, trust: TrustTold) -> Self {
        let spoken = match (listener.mode, &listener.tls) {
            (Mode::Http, None) => "http",
            (Mode::Http, Some(_)) => "http over TLS",
            (Mode::Tcp, None) => "tcp",
            (Mode::TlsPassthrough, _) => "TLS that passes through",
            (Mode::Tcp, Some(_)) => "tcp over TLS",
            (Mode::Udp, _) => "udp",
        };
        let (listener, outcome) =
            (listener.name.clone(), Outcome::refused(None, &"nothing was decided", None));
        let peer = *peer;
        Self {
            listener,
            spoken,
            peer,
            trust,
            destination: None,
            sni: None,
            client: None,
            path: None,
            rules: Vec::new(),
            rule: None,
            outcome,
        }
    }
}

impl Explanation {
    /// How it ended, and by which rule.
    pub fn ending(&self) -> impl fmt::Display {
        Ended(self)
    }
}

impl TrustTold {
    pub(super) fn of(listener: &Listener, peer: &PeerAddr) -> Self {
        let Some(trust) = &listener.trust else { return Self::NoGroups };
        match group_of(&trust.judge(peer)) {
            None => Self::Stranger,
            Some(group) => {
                let header = match group.header {
                    HeaderPolicy::Require => "require",
                    HeaderPolicy::Optional => "optional",
                    HeaderPolicy::Forbid => "forbid",
                };
                Self::Group { name: group.name.clone(), range: range(group, peer), header }
            }
        }
    }
}

/// The range of a group that holds a peer: the most specific, as in the judgement.
fn range(group: &Group, peer: &PeerAddr) -> String {
    let Some(ip) = peer.ip() else { return "unix".to_owned() };
    let holding = group.from.iter().filter(|net| net.contains(&ip));
    holding.max_by_key(|net| net.prefix_len()).map_or_else(String::new, ToString::to_string)
}

impl ClientTold {
    pub(super) fn introduced(client: &Client) -> Self {
        let by = match client.header().map(|header| (header.version, header.is_unknown())) {
            None => "itself, with no header",
            Some((_, true)) => "itself: the peer's header names nobody",
            Some((Version::One, false)) => "the peer's v1 header",
            Some((Version::Two, false)) => "the peer's v2 header",
        };
        Self { address: client.address.to_string(), ip: client.address.ip(), by }
    }

    pub(super) fn forwarded(ip: IpAddr, port: Option<u16>) -> Self {
        let address = port.map_or_else(|| ip.to_string(), |port| SocketAddr::new(ip, port).to_string());
        Self { address, ip: Some(ip), by: "X-Forwarded-For, from the right past the proxies that may set it" }
    }
}

impl PathTold {
    pub(super) fn of(asked: &str, path: &NormalPath) -> Self {
        Self {
            asked: asked.to_owned(),
            matched: path.matched().to_owned(),
            forwarded: match path.query() {
                Some(query) => format!("{}?{query}", path.forwarded()),
                None => path.forwarded().to_owned(),
            },
        }
    }
}

impl RuleTold {
    pub(super) fn of(rule: &Rule, facts: &impl Facts) -> Self {
        let when = rule.when.as_ref().map(|when| PartTold::of(&when.explain(facts)));
        Self { name: rule.name.clone(), holds: rule.holds(facts), when, changes: !rule.changes.is_empty() }
    }
}

impl PartTold {
    fn of(explained: &Explained<'_>) -> Self {
        Self {
            text: explained.text.split_whitespace().collect::<Vec<_>>().join(" "),
            holds: explained.holds,
            value: explained.is_test.then(|| explained.value.clone()),
            parts: explained.parts.iter().map(Self::of).collect(),
        }
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = if self.holds { "yes" } else { "no" };
        write!(f, "{:indent$}{answer:<3}  {}", "", self.text, indent = 4 + 2 * depth)?;
        match &self.value {
            Some(Some(value)) => writeln!(f, "   (it is {value})")?,
            Some(None) => writeln!(f, "   (there is none)")?,
            None => writeln!(f)?,
        }
        self.parts.iter().try_for_each(|part| part.write(depth + 1, f))
    }
}

impl Outcome {
    pub(super) fn refused(code: Option<Code>, why: &impl fmt::Display, status: Option<u16>) -> Self {
        Self::Refused { code, why: why.to_string(), status }
    }

    /// The status that we answer with ourselves.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Answered { status } | Self::Redirected { status, .. } => Some(*status),
            Self::Forwarded { .. } => None,
        }
    }

    /// The cluster that it is forwarded to.
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Forwarded { cluster } => Some(cluster),
            _ => None,
        }
    }

    /// Where it is redirected.
    pub fn location(&self) -> Option<&str> {
        match self {
            Self::Redirected { location, .. } => Some(location),
            _ => None,
        }
    }

    /// The code of the refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => *code,
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, why, status } => {
                match status {
                    Some(status) => write!(f, "answered with {status}: {why}")?,
                    None => write!(f, "closed: {why}")?,
                }
                code.map_or(Ok(()), |code| write!(f, " [{code}]"))
            }
            Self::Answered { status } => write!(f, "answered with {status}"),
            Self::Redirected { status, location } => write!(f, "redirected with {status} to {location}"),
            Self::Forwarded { cluster } => write!(f, "forwarded to cluster `{cluster}`"),
        }
    }
}

impl fmt::Display for TrustTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroups => {
                f.write_str("direct: the listener has no trust groups, so no header is believed")
            }
            Self::Group { name, range, header } => {
                write!(f, "in trust `{name}` by {range} (header = \"{header}\")")
            }
            Self::Stranger => f.write_str("a stranger: in none of the listener's trust groups"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listener  {} ({})", self.listener, self.spoken)?;
        writeln!(f, "peer      {}: {}", self.peer, self.trust)?;
        if let Some(destination) = &self.destination {
            writeln!(f, "called    {destination}")?;
        }
        if let Some(sni) = &self.sni {
            writeln!(f, "SNI       {}", sni.escape_debug())?;
        }
        if let Some(ClientTold { address, by, .. }) = &self.client {
            writeln!(f, "client    {address}: named by {by}")?;
        }
        if let Some(PathTold { asked, matched, forwarded }) = &self.path {
            writeln!(f, "path      {asked}: rules see {matched}, forwarded is {forwarded}")?;
        }
        if !self.rules.is_empty() {
            writeln!(f, "rules")?;
        }
        for rule in &self.rules {
            let answer = match (rule.holds, self.rule.as_deref() == Some(&rule.name), rule.changes) {
                (false, ..) => "does not hold",
                (true, true, _) => "holds, and ends it",
                (true, false, true) => "holds, makes its changes, and goes on",
                (true, false, false) => "holds, and goes on",
            };
            writeln!(f, "  `{}` {answer}", rule.name)?;
            match &rule.when {
                Some(when) => when.write(0, f)?,
                None => writeln!(f, "    it has no condition")?,
            }
        }
        write!(f, "outcome   {}", self.ending())
    }
}

/// An ending, and the rule that made it.
struct Ended<'e>(&'e Explanation);

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { outcome, rule, .. } = self.0;
        outcome.fmt(f)?;
        match rule {
            // That refusal names its rule itself.
            Some(rule) if outcome.code() != Some(Code::RefusedByRule) => write!(f, ", by rule `{rule}`"),
            _ => Ok(()),
        }
    }
}
