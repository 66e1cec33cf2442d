//! The flags of `get`: curl's where curl has them, and those of the header.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use foreword_client::connect::ConnectTo;
use foreword_client::introduction::{End, Introduction, SpeaksFor};
use std::net::IpAddr;

use super::data::DataArgs;
use crate::args::{HeaderArgs, HeaderArgsError};

/// Asks for URLs as a proxy would: PROXY header first, then TLS, then HTTP/1.1.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// What to ask for; without a scheme it is http://
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,

    #[command(flatten)]
    pub(crate) header: HeaderArgs,

    /// Send the header inside the TLS connection rather than before it
    #[arg(long, help_heading = "Header")]
    pub(crate) inside_tls: bool,

    /// Send a v1 header, as curl does
    #[arg(long, help_heading = "Header", conflicts_with_all = ["header", "tlv", "crc32c", "local", "unknown"])]
    pub(crate) haproxy_protocol: bool,

    /// Send a v1 header with this address on both of its sides, as curl does
    #[arg(long, value_name = "IP", help_heading = "Header",
          conflicts_with_all = ["header", "source", "destination", "tlv", "crc32c", "local", "unknown"])]
    pub(crate) haproxy_clientip: Option<IpAddr>,

    #[command(flatten)]
    pub(crate) request: RequestArgs,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

/// What is asked.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestArgs {
    /// The method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// A field, repeatable: `Name: value`, `Name:` to leave one out, `Name;` for an empty one, `@FILE` for many
    /// (its long name in curl, --header, is the PROXY header here)
    #[arg(short = 'H', long = "field", value_name = "FIELD")]
    pub(crate) fields: Vec<String>,

    /// Ask for the head only
    #[arg(short = 'I', long)]
    pub(crate) head: bool,

    /// Say that this program is asking
    #[arg(short = 'A', long, value_name = "NAME")]
    pub(crate) user_agent: Option<String>,

    /// Send credentials
    #[arg(short, long, value_name = "NAME:PASSWORD")]
    pub(crate) user: Option<String>,

    /// Send these cookies
    #[arg(short = 'b', long, value_name = "NAME=VALUE")]
    pub(crate) cookie: Option<String>,

    /// Send the path as it is written, dot segments included
    #[arg(long)]
    pub(crate) path_as_is: bool,

    /// Follow redirects
    #[arg(short = 'L', long)]
    pub(crate) location: bool,

    /// Follow at most this many of them
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) max_redirs: u32,

    /// Speak HTTP/1.1, which is what is spoken anyway
    #[arg(long = "http1.1")]
    pub(crate) http11: bool,
}

/// How it is connected.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Connect to this address for this host and port, repeatable
    #[arg(long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]")]
    pub(crate) resolve: Vec<String>,

    /// Connect to HOST2:PORT2 instead of HOST1:PORT1, repeatable
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2")]
    pub(crate) connect_to: Vec<ConnectTo>,

    /// Connect over IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Connect over IPv6 only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,

    /// Do not check the server's certificate
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// Believe certificates that these lead to, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,

    /// Our own certificate, with its chain, in PEM
    #[arg(short = 'E', long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// The key of our own certificate; without it, it is looked for beside the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// How long each transfer may take in all; 0 for as long as it likes
    #[arg(short = 'm', long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) max_time: Option<Duration>,

    /// How long name, TCP and TLS may take together; 0 for the default
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub(crate) connect_timeout: Duration,
}

/// What becomes of the answer.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Answer")]
pub(crate) struct AnswerArgs {
    /// Show the response head too
    #[arg(short, long, visible_alias = "show-headers")]
    pub(crate) include: bool,

    /// Write the answer to a file, `-` for standard output; once for each URL
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// Fail on a status of 400 and more, without showing the answer
    #[arg(short, long, conflicts_with = "fail_with_body")]
    pub(crate) fail: bool,

    /// Fail on a status of 400 and more, and show the answer
    #[arg(long)]
    pub(crate) fail_with_body: bool,

    /// End with the first transfer that fails, rather than go on with the next URL
    #[arg(long)]
    pub(crate) fail_early: bool,

    /// Say nothing when it fails
    #[arg(short, long)]
    pub(crate) silent: bool,

    /// With --silent: still say what failed
    #[arg(short = 'S', long)]
    pub(crate) show_error: bool,

    /// Show what happens: the header as bytes and in words, TLS, heads
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,

    /// Print this after each transfer; knows curl's variables, as in `%{http_code}` and `%{json}`
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) write_out: Option<String>,
}

impl GetArgs {
    /// The header that the flags ask for, if any.
    pub(crate) fn introduction(&self) -> Result<Option<Introduction>, HeaderArgsError> {
        let mut header = self.header.clone();
        if let Some(address) = self.haproxy_clientip {
            // Both sides and the socket's ports: what curl sends, and so what scripts were written against.
            header.source = Some(End::Inet(address, None));
            header.destination = Some(End::Inet(address, None));
        }
        header.introduction()
    }
}

/// The family of a header's source, which is the better one to connect over.
pub(super) fn source_of(introduction: Option<&Introduction>) -> Option<IpAddr> {
    match &introduction?.speaks_for {
        SpeaksFor::Client { source, .. } => source.as_ref()?.ip(),
        SpeaksFor::Itself | SpeaksFor::Unknown => None,
    }
}

/// Seconds with a fraction, as in curl.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a number of seconds, found `{text}`");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

const EXAMPLES: &str = "\
Examples:
  A port that expects a header, with a certificate that nobody signed:
    foreword get -k -I https://localhost/
  As a client elsewhere, and what was sent:
    foreword get -v --source 203.0.113.7 https://www.example.com/admin
  A v2 header as AWS PrivateLink sends it:
    foreword get --header v2 --tlv aws-vpce=vpce-08d2bf15fac5001c9 http://10.0.0.5/
  For scripts:
    foreword get -s -o /dev/null -w '%{json}\\n' https://www.example.com/

Exit codes are curl's, and two more: 110 the peer refused the header, 111 it did not expect one.
HTTP_PROXY and its kin are not used: whoever sends PROXY headers wants to know whom it talks to.";
