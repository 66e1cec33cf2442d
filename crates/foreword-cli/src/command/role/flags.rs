//! The flags that both roles share.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use foreword_import::parts::{Endpoint, Mode, Placement, SentHeader};

use crate::args::LogArgs;

/// What a role is made of.
#[derive(Debug, Args)]
pub(super) struct RoleArgs {
    /// Where to listen: `[::]:443` takes IPv6 and IPv4; repeatable
    #[arg(long, value_name = "ADDRESS", required = true, help_heading = "Where from")]
    pub(super) bind: Vec<String>,
    /// What is spoken there
    #[arg(long, value_name = "MODE", value_enum, help_heading = "Where from")]
    pub(super) mode: Option<ModeArg>,
    /// Who must send a PROXY header: addresses and ranges; repeatable, or with commas between
    #[arg(long, value_name = "RANGE", value_delimiter = ',', help_heading = "Where from")]
    pub(super) trust: Vec<String>,
    /// Who may send one, and speaks for itself if it does not
    #[arg(long, value_name = "RANGE", value_delimiter = ',', help_heading = "Where from")]
    pub(super) trust_optional: Vec<String>,
    /// Who must send none, and speaks for itself; with any group, everyone else is closed unread
    #[arg(long, value_name = "RANGE", value_delimiter = ',', help_heading = "Where from")]
    pub(super) trust_forbid: Vec<String>,
    /// End TLS with the certificates of this folder: each `*.pem` a chain and its key, or pairs `NAME.crt` and `NAME.key`
    #[arg(long, value_name = "FOLDER", help_heading = "Where from")]
    pub(super) certificates: Option<String>,
    /// For how long nothing may move
    #[arg(long, value_name = "DURATION", help_heading = "Where from")]
    pub(super) idle_timeout: Option<String>,
    /// The most connections at once
    #[arg(long, value_name = "COUNT", help_heading = "Where from")]
    pub(super) max_connections: Option<u64>,
    /// The most flows of datagrams at once
    #[arg(long, value_name = "COUNT", help_heading = "Where from")]
    pub(super) max_flows: Option<u64>,
    /// Of datagrams, where the header is: `every`, `first` or `spp`
    #[arg(long, value_name = "WHERE", help_heading = "Where from")]
    pub(super) datagrams: Option<String>,

    /// An endpoint: `10.0.0.1:443`, `app.internal:8080`, `unix:/path`, with more to say `10.0.0.1:443,weight=3`,
    /// `…,max_connections=100` or `…,backup`; repeatable
    #[arg(long, value_name = "ENDPOINT", required = true, help_heading = "Where to")]
    pub(super) to: Vec<To>,
    /// Which endpoint is next: round-robin, least-connections, random-of-two, first, or `hash:VALUE` as `hash:client.ip`
    #[arg(long, value_name = "WAY", help_heading = "Where to")]
    pub(super) balance: Option<BalanceArg>,
    /// The PROXY header that endpoints are sent
    #[arg(long, value_name = "VERSION", value_enum, help_heading = "Where to")]
    pub(super) send_header: Option<HeaderArg>,
    /// What a v2 header carries besides addresses: authority, unique_id, crc32c, ssl, …; repeatable, or with commas between
    #[arg(long, value_name = "TLV", value_delimiter = ',', help_heading = "Where to")]
    pub(super) send_tlv: Vec<String>,
    /// TLVs of the client's own header that go on: `all`, names or numbers; repeatable, or with commas between
    #[arg(long, value_name = "TLV", value_delimiter = ',', help_heading = "Where to")]
    pub(super) pass_tlv: Vec<String>,
    /// When the header leaves: at once, or with the client's first bytes
    #[arg(long, value_name = "WHEN", value_enum, help_heading = "Where to")]
    pub(super) header_placement: Option<PlacementArg>,
    /// Speak TLS with endpoints
    #[arg(long, help_heading = "Where to")]
    pub(super) to_tls: bool,
    /// Who signs their certificates: a PEM file; without it, whom the system believes
    #[arg(long, value_name = "FILE", requires = "to_tls", help_heading = "Where to")]
    pub(super) to_ca: Option<String>,
    /// The name that their certificates must hold
    #[arg(long, value_name = "NAME", requires = "to_tls", help_heading = "Where to")]
    pub(super) to_sni: Option<String>,
    /// Take any certificate from them
    #[arg(long, requires = "to_tls", conflicts_with = "to_ca", help_heading = "Where to")]
    pub(super) to_insecure: bool,
    /// For how long an endpoint that is usable again gets less than its share
    #[arg(long, value_name = "DURATION", help_heading = "Where to")]
    pub(super) slow_start: Option<String>,
    /// For how long a connection may take to be made
    #[arg(long, value_name = "DURATION", help_heading = "Where to")]
    pub(super) connect_timeout: Option<String>,

    #[command(flatten)]
    pub(super) health: HealthArgs,

    /// Threads that serve connections
    #[arg(long, value_name = "COUNT", help_heading = "Running")]
    pub(super) workers: Option<u64>,
    /// How long connections may take to end when it is told to
    #[arg(long, value_name = "DURATION", help_heading = "Running")]
    pub(super) drain: Option<String>,
    /// Where metrics and health are answered: `unix:/path` or an address
    #[arg(long, value_name = "ADDRESS", help_heading = "Running")]
    pub(super) admin: Option<String>,
    /// Log each request or connection: `json`, `combined`, `haproxy` or a template
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "json", help_heading = "Running")]
    pub(super) access_log: Option<String>,
    /// Where that log goes: `stdout`, `file:PATH` or `syslog:ADDRESS`
    #[arg(long, value_name = "WHERE", requires = "access_log", help_heading = "Running")]
    pub(super) log_to: Option<String>,
    /// Print the file that the flags mean, and run nothing
    #[arg(long, conflicts_with = "check")]
    pub(super) print_config: bool,
    /// Say whether the flags are good, and run nothing
    #[arg(short = 't', long)]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

/// How endpoints are asked whether they are up. Without `--health` the others change what `--as` asks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Health")]
pub(super) struct HealthArgs {
    /// Ask each endpoint now and then whether it is up: `tcp`, `tls`, `http`, `https`, or with a path `http:/healthz`
    #[arg(long, value_name = "CHECK")]
    pub(super) health: Option<HealthArg>,
    /// The PROXY header of a check: `none`, `local`, `local-noop`, `local-addresses` or `proxy`
    #[arg(long, value_name = "HEADER")]
    pub(super) health_header: Option<String>,
    /// Another port that is asked
    #[arg(long, value_name = "PORT")]
    pub(super) health_port: Option<u64>,
    /// From the end of a check to the next
    #[arg(long, value_name = "DURATION")]
    pub(super) health_interval: Option<String>,
    /// For the whole check
    #[arg(long, value_name = "DURATION")]
    pub(super) health_timeout: Option<String>,
    /// So many good checks in a row bring an endpoint back
    #[arg(long, value_name = "COUNT")]
    pub(super) health_rise: Option<u64>,
    /// So many bad checks in a row take it out
    #[arg(long, value_name = "COUNT")]
    pub(super) health_fall: Option<u64>,
}

impl HealthArgs {
    /// The first flag that says more of checks, if no flag asks for them.
    pub(super) fn detail_of_none(&self) -> Option<&'static str> {
        let details = [
            ("--health-header", self.health_header.is_some()),
            ("--health-port", self.health_port.is_some()),
            ("--health-interval", self.health_interval.is_some()),
            ("--health-timeout", self.health_timeout.is_some()),
            ("--health-rise", self.health_rise.is_some()),
            ("--health-fall", self.health_fall.is_some()),
        ];
        let detail = details.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag);
        detail.filter(|_| self.health.is_none())
    }
}

/// What `--health` can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthArg {
    pub(super) check: &'static str,
    pub(super) path: Option<String>,
}

impl FromStr for HealthArg {
    type Err = NoCheck;

    fn from_str(text: &str) -> Result<Self, NoCheck> {
        let (name, path) = text.split_once(':').map_or((text, None), |(name, path)| (name, Some(path)));
        let check = ["tcp", "tls", "http", "https"].into_iter().find(|check| *check == name);
        let check = check.ok_or(NoCheck::Unknown)?;
        match path {
            Some(_) if !check.starts_with("http") => Err(NoCheck::WithPath { check }),
            path => Ok(Self { check, path: path.map(str::to_owned) }),
        }
    }
}

/// Why a text is no check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoCheck {
    #[error("expected `tcp`, `tls`, `http` or `https`, with a path as `http:/healthz`")]
    Unknown,
    #[error("expected no path with `{check}`")]
    WithPath { check: &'static str },
}

/// What `--mode` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// Bytes
    Tcp,
    /// Requests
    Http,
    /// Bytes of TLS that ends elsewhere
    TlsPassthrough,
    /// Datagrams
    Udp,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Tcp => Self::Tcp,
            ModeArg::Http => Self::Http,
            ModeArg::TlsPassthrough => Self::TlsPassthrough,
            ModeArg::Udp => Self::Udp,
        }
    }
}

/// What `--send-header` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HeaderArg {
    /// No header
    None,
    /// The line of text
    V1,
    /// The binary format
    V2,
    /// Of datagrams: v2 in front of a flow's first one
    V2First,
    /// Of datagrams: the Simple Proxy Protocol
    Spp,
}

impl HeaderArg {
    pub(super) fn sent(self) -> Option<SentHeader> {
        match self {
            Self::None => None,
            Self::V1 => Some(SentHeader::V1),
            Self::V2 => Some(SentHeader::V2),
            Self::V2First => Some(SentHeader::V2First),
            Self::Spp => Some(SentHeader::Spp),
        }
    }
}

/// What `--header-placement` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlacementArg {
    /// At once
    Connect,
    /// With the client's first bytes, however long they take
    FirstPayload,
}

impl From<PlacementArg> for Placement {
    fn from(placement: PlacementArg) -> Self {
        match placement {
            PlacementArg::Connect => Self::Connect,
            PlacementArg::FirstPayload => Self::FirstPayload,
        }
    }
}

/// What `--balance` can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BalanceArg {
    /// A way with a name.
    Named(&'static str),
    /// The same endpoint for the same value.
    Hash(String),
}

impl FromStr for BalanceArg {
    type Err = NoWay;

    fn from_str(text: &str) -> Result<Self, NoWay> {
        if let Some(value) = text.strip_prefix("hash:") {
            return Ok(Self::Hash(value.to_owned()));
        }
        let name = text.replace('_', "-");
        match WAYS.iter().find(|(flag, _)| *flag == name) {
            Some((_, word)) => Ok(Self::Named(word)),
            None => Err(NoWay),
        }
    }
}

/// What was named is no way to choose an endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}, or `hash:VALUE`", ways())]
pub(super) struct NoWay;

fn ways() -> String {
    let ways: Vec<String> = WAYS.iter().map(|(flag, _)| format!("`{flag}`")).collect();
    ways.join(", ")
}

/// As flags spell it, and as the file does.
const WAYS: &[(&str, &str)] = &[
    ("round-robin", foreword_import::parts::balance::ROUND_ROBIN),
    ("least-connections", foreword_import::parts::balance::LEAST_CONNECTIONS),
    ("random-of-two", foreword_import::parts::balance::RANDOM_OF_TWO),
    ("first", foreword_import::parts::balance::FIRST),
];

/// An endpoint of `--to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct To(pub(super) Endpoint);

impl FromStr for To {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let mut parts = text.split(',').map(str::trim);
        let address = parts.next().unwrap_or_default().to_owned();
        if address.is_empty() {
            return Err(NoEndpoint::Empty);
        }
        let mut endpoint = Endpoint::from(address);
        for part in parts {
            match part.split_once('=') {
                None if part == "backup" => endpoint.backup = true,
                Some(("weight", number)) => endpoint.weight = Some(count(number)?),
                Some(("max_connections", number)) => endpoint.max_connections = Some(count(number)?),
                _ => return Err(NoEndpoint::Unknown { found: part.to_owned() }),
            }
        }
        Ok(Self(endpoint))
    }
}

fn count(number: &str) -> Result<u64, NoEndpoint> {
    number.parse().map_err(|_| NoEndpoint::NoNumber { found: number.to_owned() })
}

/// Why a text is no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoEndpoint {
    #[error("expected an endpoint, found none")]
    Empty,
    #[error("expected `weight=NUMBER`, `max_connections=NUMBER` or `backup`, found `{found}`")]
    Unknown { found: String },
    #[error("expected a number, found `{found}`")]
    NoNumber { found: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_flag_is_said_by_its_kind() {
        assert_eq!("ftp".parse::<HealthArg>(), Err(NoCheck::Unknown));
        assert_eq!("tcp:/".parse::<HealthArg>(), Err(NoCheck::WithPath { check: "tcp" }));
        assert_eq!("best".parse::<BalanceArg>(), Err(NoWay));
        assert_eq!(",backup".parse::<To>(), Err(NoEndpoint::Empty));
        let unknown = NoEndpoint::Unknown { found: "wait=1".to_owned() };
        assert_eq!("10.0.0.1:1,wait=1".parse::<To>(), Err(unknown));
        let no_number = NoEndpoint::NoNumber { found: "much".to_owned() };
        assert_eq!("10.0.0.1:1,weight=much".parse::<To>(), Err(no_number));
    }
}
