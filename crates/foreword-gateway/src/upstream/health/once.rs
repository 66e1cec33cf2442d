//! One check of one endpoint: connect, say the header, ask, and look at the answer.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};

use foreword::{BuildError, Builder, Tlv, Version};
use foreword_http1::HeadError;
use foreword_tokio::write_together;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::http;
use crate::policy::cluster::EndpointTls;
use crate::policy::health::{Check, CheckHeader, HealthCheck, HttpCheck};
use crate::stream::Stream;
use crate::tls::connector::{self, EndpointTlsSource};
use crate::upstream::connect::connect_to;
use crate::upstream::endpoints::Address;

/// Why an endpoint did not pass its check.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It took too long.
    #[error("expected {awaited} within {after} s, found none")]
    TimedOut {
        /// What was waited for.
        awaited: &'static str,
        /// The check's `timeout`.
        after: f32,
    },
    /// It could not be reached.
    #[error("{0}")]
    Unreachable(io::Error),
    /// The header of the check cannot be made.
    #[error("the header of the check cannot be built: {0}")]
    Header(#[from] BuildError),
    /// The handshake failed.
    #[error("the TLS handshake failed: {}", connector::reason(.0))]
    Handshake(io::Error),
    /// The connection broke.
    #[error("expected {awaited}, found {error}")]
    Broken {
        /// What was waited for.
        awaited: &'static str,
        /// How it broke.
        error: io::Error,
    },
    /// The connection ended.
    #[error("expected {awaited}, found the connection closed after {after} bytes")]
    Closed {
        /// What was waited for.
        awaited: &'static str,
        /// What had come.
        after: usize,
    },
    /// What came is no HTTP.
    #[error("expected an HTTP answer: {0}")]
    Unsound(HeadError),
    /// Something came, and not what was expected.
    #[error("expected {expected}, found {found}")]
    Other {
        /// What should have come.
        expected: String,
        /// What came.
        found: String,
    },
}

/// Asks an endpoint once, and takes no longer than the check may. Where the cluster speaks `tls` with its endpoints, a check
/// through TLS believes whom that believes; else it believes everybody, since it asks whether a server is there and says
/// nothing worth keeping from others.
pub(super) async fn check_once(
    check: &HealthCheck,
    tls: Option<&EndpointTls>,
    address: &Address,
) -> Result<(), Fault> {
    let awaited = Cell::new("a connection");
    match timeout(check.timeout, Once { check, tls, awaited: &awaited }.run(address)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::TimedOut { awaited: awaited.get(), after: check.timeout.as_secs_f32() }),
    }
}

struct Once<'p> {
    check: &'p HealthCheck,
    tls: Option<&'p EndpointTls>,
    /// What is waited for, for whoever ends the wait.
    awaited: &'p Cell<&'static str>,
}

impl Once<'_> {
    async fn run(self, address: &Address) -> Result<(), Fault> {
        let address = with_port(address, self.check.port);
        let mut stream = connect_to(&address).await.map_err(Fault::Unreachable)?;
        let header = header(self.check.header, &stream)?;
        match &self.check.check {
            Check::Tcp => self.say(&mut stream, &header, &[]).await,
            Check::Tls { name } => {
                let (mut stream, header) = self.handshake(stream, header, name.as_ref(), &address).await?;
                self.say(&mut stream, &header, &[]).await
            }
            Check::Http(http) if http.tls => {
                let (stream, header) = self.handshake(stream, header, http.name.as_ref(), &address).await?;
                self.ask(stream, &header, http, &address).await
            }
            Check::Http(http) => self.ask(stream, &header, http, &address).await,
            Check::SendExpect { send, expect } => {
                self.say(&mut stream, &header, send).await?;
                self.hear(stream, expect).await
            }
        }
    }

    /// Writes the header and what follows it as one: receivers that see half of a header refuse it.
    async fn say(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        header: &[u8],
        then: &[u8],
    ) -> Result<(), Fault> {
        let awaited = "its bytes to be taken";
        self.awaited.set(awaited);
        write_together(stream, [header, then]).await.map_err(|error| Fault::Broken { awaited, error })
    }

    /// Says the header and makes the handshake behind it; where the header goes inside, it is given back.
    async fn handshake(
        &self,
        mut stream: Stream,
        header: Vec<u8>,
        name: Option<&ServerName<'static>>,
        address: &Address,
    ) -> Result<(Box<TlsStream<Stream>>, Vec<u8>), Fault> {
        let is_inside = self.tls.is_some_and(|tls| tls.header_inside);
        let (first, inside) = if is_inside { (Vec::new(), header) } else { (header, Vec::new()) };
        self.say(&mut stream, &first, &[]).await?;
        self.awaited.set("a TLS handshake");
        let ip = address.ip();
        let stream = match self.tls {
            Some(tls) => connector::connect(tls, ip, stream).await,
            None => connector::connect(&with_anyone(name, ip)?, ip, stream).await,
        };
        Ok((stream.map_err(Fault::Handshake)?, inside))
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        header: &[u8],
        check: &HttpCheck,
        address: &Address,
    ) -> Result<(), Fault> {
        self.say(&mut stream, header, &http::request(check, address)).await?;
        self.awaited.set("an HTTP answer");
        let outcome = http::judge(&mut stream, check).await;
        // Whoever answered need not be told that TLS ends; it is done already.
        let _gone = stream.shutdown().await;
        outcome
    }

    /// Reads until the expected bytes came, or cannot come any more.
    async fn hear(&self, mut stream: Stream, expect: &[u8]) -> Result<(), Fault> {
        let awaited = "the bytes of `expect`";
        self.awaited.set(awaited);
        let mut heard = Vec::with_capacity(1024);
        while memchr::memmem::find(&heard, expect).is_none() {
            let other = |heard: &[u8]| Fault::Other { expected: shown(expect), found: shown(heard) };
            if heard.len() >= MOST_HEARD {
                return Err(other(&heard));
            }
            let mut limited = (&mut stream).take((MOST_HEARD - heard.len()) as u64);
            match limited.read_buf(&mut heard).await {
                Ok(0) if heard.is_empty() => return Err(Fault::Closed { awaited, after: 0 }),
                Err(error) if heard.is_empty() => return Err(Fault::Broken { awaited, error }),
                // What it said before it went tells more than how it went.
                Ok(0) | Err(_) => return Err(other(&heard)),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// TLS with whoever answers. A unix socket has no address to ask for.
fn with_anyone(name: Option<&ServerName<'static>>, ip: Option<IpAddr>) -> Result<EndpointTls, Fault> {
    let name = match (name, ip) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(_)) => None,
        (None, None) => ServerName::try_from("localhost").ok(),
    };
    let source = EndpointTlsSource { anyone: true, name, ..EndpointTlsSource::default() };
    connector::settle(source).map_err(|error| Fault::Handshake(io::Error::other(error.to_string())))
}

fn with_port(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Inet(address), Some(port)) => Address::Inet(SocketAddr::new(address.ip(), port)),
        (address, _) => address.clone(),
    }
}

/// The header of a check. Over a unix socket there are no addresses to say.
fn header(header: CheckHeader, stream: &Stream) -> Result<Vec<u8>, Fault> {
    let built = match header {
        CheckHeader::None => return Ok(Vec::new()),
        CheckHeader::Local(version) => begin(version).local().build(),
        CheckHeader::LocalNoop => Builder::v2().local().tlv(Tlv::Noop(&[])).build(),
        CheckHeader::LocalAddresses => with_addresses(Version::Two, stream)?.build().map(local),
        CheckHeader::Proxy(version) => with_addresses(version, stream)?.build(),
    };
    Ok(built?)
}

fn begin(version: Version) -> Builder<'static> {
    match version {
        Version::One => Builder::v1(),
        Version::Two => Builder::v2(),
    }
}

fn with_addresses(version: Version, stream: &Stream) -> Result<Builder<'static>, Fault> {
    let builder = begin(version);
    Ok(match stream {
        Stream::Tcp(tcp) => {
            let ours = tcp.socket().local_addr().map_err(Fault::Unreachable)?;
            let theirs = tcp.socket().peer_addr().map_err(Fault::Unreachable)?;
            builder.proxy(ours, theirs)
        }
        Stream::Unix(_) => builder.local(),
    })
}

/// Turns the command of a v2 header into LOCAL and leaves its address block, which receivers must skip.
fn local(mut header: Vec<u8>) -> Vec<u8> {
    if let Some(version_command) = header.get_mut(SIGNATURE_LEN) {
        *version_command = VERSION_2_LOCAL;
    }
    header
}

/// Bytes from the wire as a line may hold them: the first of them, escaped.
pub(super) fn shown(bytes: &[u8]) -> String {
    let (first, dots) = match bytes.get(..MOST_SHOWN) {
        Some(first) if bytes.len() > MOST_SHOWN => (first, "…"),
        _ => (bytes, ""),
    };
    format!("`{}{dots}`", first.escape_ascii())
}

const SIGNATURE_LEN: usize = 12;
const VERSION_2_LOCAL: u8 = 0x20;
/// A greeting and an answer; servers that say more before they say what is expected say something else.
const MOST_HEARD: usize = 16 * 1024;
const MOST_SHOWN: usize = 64;
