//! What the command line says.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Load on servers that read PROXY headers, and the origin behind them. Each command answers with JSON, a line.
#[derive(Debug, Parser)]
#[command(name = "foreword-load", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve as the origin until standard input ends: says where it listens, and at the end what it counted
    Origin(OriginArguments),
    /// Make requests
    Requests(RequestsArguments),
    /// Carry streams of bytes from the origin's source or to its sink
    Streams(StreamsArguments),
    /// Exchange datagrams with the origin's echo
    Datagrams(DatagramsArguments),
    /// Open connections, make one request on each, and hold them until standard input ends
    Hold(HoldArguments),
    /// Write a certificate for `localhost` and its key: bench.crt, bench.key, and bench.pem with both
    Certificate {
        /// The folder
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OriginArguments {
    /// Where to listen, on free ports
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) ip: IpAddr,
    /// Every connection and every datagram must begin with a PROXY header
    #[arg(long)]
    pub(crate) header: bool,
    /// Answer HTTP/1.1 at so many addresses: this one and those that follow it, on one port
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) copies: NonZeroU32,
    /// How long the source's streams are
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) source_bytes: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// The server
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) target: SocketAddr,
    /// The header that each connection begins with
    #[arg(long, value_enum, default_value_t = Header::None)]
    pub(crate) header: Header,
    /// Speak TLS, and believe the certificates in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The server's name, for SNI, its certificate and Host
    #[arg(long, default_value = "localhost")]
    pub(crate) name: String,
    /// The only cipher suite that is offered
    #[arg(long, value_enum, default_value_t = Suite::Aes128Gcm)]
    pub(crate) suite: Suite,
    /// Connections at once
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: usize,
    /// How long a connection, a handshake, an answer or the next bytes may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// End early after so many failures
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_failures: u64,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct UntilArguments {
    /// End after so many units
    #[arg(long)]
    pub(crate) units: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct RequestsArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    #[command(flatten)]
    pub(crate) until: UntilArguments,
    #[command(flatten)]
    pub(crate) asked: AskedArguments,
    /// A new connection for each request
    #[arg(long, conflicts_with = "http2")]
    pub(crate) close: bool,
    /// Speak HTTP/2, with so many requests at once on each connection
    #[arg(long, value_name = "N")]
    pub(crate) http2: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct AskedArguments {
    /// What is asked for; the origin answers `/bytes/N` with N bytes
    #[arg(long, default_value = "/bytes/128")]
    pub(crate) path: String,
    /// Bytes sent with each request
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) upload: usize,
    /// The status that alone is no failure
    #[arg(long, default_value_t = 200)]
    pub(crate) status: u16,
    /// The length of the body that alone is no failure
    #[arg(long, value_name = "BYTES")]
    pub(crate) len: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct StreamsArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    #[command(flatten)]
    pub(crate) until: UntilArguments,
    /// Which way the bytes go
    #[arg(long, value_enum)]
    pub(crate) way: Way,
    /// How many in each stream
    #[arg(long, default_value_t = 64 << 20)]
    pub(crate) bytes: u64,
}

#[derive(Debug, Args)]
pub(crate) struct DatagramsArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    #[command(flatten)]
    pub(crate) until: UntilArguments,
    /// Bytes of each, without the header
    #[arg(long, default_value_t = 128)]
    pub(crate) bytes: usize,
    /// How many are under way in each flow; `--connections` says how many flows there are
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) at_once: NonZeroUsize,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    #[command(flatten)]
    pub(crate) asked: AskedArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Header {
    None,
    V1,
    V2,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Suite {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Way {
    Down,
    Up,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("expected seconds, found `{text}`"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
