//! The story of a connection: TCP, then header and TLS in the order that was asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::connect::{ConnectError, Route, connect};
use crate::introduction::{Introduction, IntroductionError};
use crate::patience::{Limit, Overdue, Wait};
use crate::target::{Host, Scheme, Target};
use crate::tls::{self, Tls, TlsError, TlsSetupError};
use crate::transcript::{Ending, Heard, Hearing, Observer, Step, Tap};

/// All that is settled about connections before the first one.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Where connections go.
    pub route: Route,
    /// The header to send, if any.
    pub introduction: Option<Introduction>,
    /// Whether the header goes inside TLS rather than before it.
    pub inside_tls: bool,
    /// How TLS is spoken.
    pub tls: Tls,
    /// How long name, TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long the peer may say nothing afterwards.
    pub silence: Duration,
    /// When everything has to be over.
    pub deadline: Option<Instant>,
}

impl Dial {
    /// A wait for the peer's next word, from now on.
    pub(crate) fn wait(&self) -> Wait {
        Wait::of(Limit::Silence, self.silence, self.deadline)
    }
}

/// A connection to a server, ready for requests.
#[derive(Debug)]
pub struct Connection {
    pub(crate) wire: Wire,
    /// The other end.
    pub peer: SocketAddr,
    /// Our own end.
    pub local: SocketAddr,
    header: Option<SentHeader>,
    /// A header that goes in front of the first request, inside TLS.
    pub(crate) pending: Vec<u8>,
    /// What was read and belongs to no answer yet.
    pub(crate) buffer: Vec<u8>,
    /// How many answers came in full.
    pub(crate) answers: usize,
}

/// A header that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentHeader {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it went inside TLS.
    pub inside_tls: bool,
}

/// What a diagnosis rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The header that was sent, if any.
    pub header: Option<SentHeader>,
    /// Whether a TLS handshake was completed.
    pub tls_done: bool,
    /// What came back, below TLS while the handshake lasts and inside it afterwards.
    pub heard: Heard,
    /// Whether an earlier request on the connection was answered, so that the header cannot be at fault.
    pub answered_before: bool,
}

impl Connection {
    /// Opens a connection to where the target is.
    ///
    /// # Errors
    ///
    /// What could not be done, and what the peer said to it.
    pub async fn open(target: &Target, dial: &Dial, observer: &mut dyn Observer) -> Result<Self, OpenError> {
        // Reading the system's certificates must not eat into the peer's patience with a header.
        let tls = match target.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(dial.tls.prepare().map_err(OpenError::TlsSetup)?),
        };
        let wait = Wait::of(Limit::Connect, dial.connect_timeout, dial.deadline);
        let stream = connect_within(wait, target, &dial.route, observer).await?;
        let (peer, local) = ends(&stream)?;
        observer.step(Step::Connected { peer, local });

        let header = match &dial.introduction {
            Some(introduction) => Some(SentHeader {
                bytes: introduction.encode(Some((local, peer)))?,
                inside_tls: dial.inside_tls && target.scheme == Scheme::Https,
            }),
            None => None,
        };
        let (outside, inside) = match &header {
            Some(header) if header.inside_tls => (Vec::new(), header.bytes.clone()),
            Some(header) => (header.bytes.clone(), Vec::new()),
            None => (Vec::new(), Vec::new()),
        };
        if let Some(SentHeader { bytes, inside_tls: false }) = &header {
            observer.step(Step::Header { bytes, inside_tls: false });
        }
        let tap = Tap::new(stream, outside);
        let wire = match tls {
            None => Wire::Plain(tap),
            Some(tls) => {
                let hearing = tap.hearing();
                let shaken = timeout_at(wait.until, tls::shake_hands(tls, &target.host, tap)).await;
                let shaken = shaken.map_err(|_| (peer, wait.over()));
                agreed(shaken, &hearing, dial, header.as_ref(), observer)?
            }
        };
        if let Some(SentHeader { bytes, inside_tls: true }) = &header {
            observer.step(Step::Header { bytes, inside_tls: true });
        }
        Ok(Self { wire, peer, local, header, pending: inside, buffer: Vec::new(), answers: 0 })
    }

    /// What is known so far, with what an answer began with.
    pub(crate) fn evidence(&self, heard: Heard) -> Evidence {
        Evidence {
            header: self.header.clone(),
            tls_done: matches!(self.wire, Wire::Tls(_)),
            heard,
            answered_before: self.answers > 0,
        }
    }
}

/// Connects, and remembers what came of it up to the end of a wait that ends first.
async fn connect_within(
    wait: Wait,
    target: &Target,
    route: &Route,
    observer: &mut dyn Observer,
) -> Result<TcpStream, OpenError> {
    let mut attempts = Attempts { observer, trying: Vec::new(), last: None };
    let connected = timeout_at(wait.until, connect(&target.host, target.port, route, &mut attempts)).await;
    let Attempts { trying, last, .. } = attempts;
    match connected {
        Ok(connected) => Ok(connected?),
        Err(_) => {
            let (host, port) = (target.host.clone(), target.port);
            let last = last.map(|(address, source)| Box::new(ConnectError::Connect { address, source }));
            Err(OpenError::SlowConnect { host, port, trying, last, overdue: wait.over() })
        }
    }
}

/// What has become of each address so far.
struct Attempts<'o> {
    observer: &'o mut dyn Observer,
    trying: Vec<SocketAddr>,
    /// The last that failed.
    last: Option<(SocketAddr, io::Error)>,
}

impl Observer for Attempts<'_> {
    fn step(&mut self, step: Step<'_>) {
        match &step {
            Step::Trying(address) => self.trying.push(*address),
            Step::Failed { address, error } => {
                self.trying.retain(|trying| trying != address);
                let again = || io::Error::new(error.kind(), error.to_string());
                self.last =
                    Some((*address, error.raw_os_error().map_or_else(again, io::Error::from_raw_os_error)));
            }
            _ => {}
        }
        self.observer.step(step);
    }
}

fn ends(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr), OpenError> {
    let both = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?)));
    both.map_err(|source| OpenError::Connect(ConnectError::Socket { source }))
}

/// What came of a handshake, or of waiting for it.
fn agreed(
    outcome: Result<Shaken, (SocketAddr, Overdue)>,
    hearing: &Hearing,
    dial: &Dial,
    header: Option<&SentHeader>,
    observer: &mut dyn Observer,
) -> Result<Wire, OpenError> {
    // A header that is still to come has no part in a failed handshake.
    let header = header.filter(|header| !header.inside_tls).cloned();
    let evidence = |heard| Box::new(Evidence { header, heard, ..Evidence::default() });
    match outcome {
        Ok(Ok(stream)) => {
            observer.step(Step::Tls(&dial.tls.facts(&stream)));
            Ok(Wire::Tls(Box::new(stream)))
        }
        Ok(Err(error)) => {
            let mut heard = hearing.so_far();
            if let TlsError::Ended(source) = &error {
                heard.ending = heard.ending.or(Ending::of(source));
            }
            Err(OpenError::Tls { error, evidence: evidence(heard) })
        }
        Err((peer, overdue)) => {
            Err(OpenError::SlowTls { peer, overdue, evidence: evidence(hearing.so_far()) })
        }
    }
}

type Shaken = Result<TlsStream<Tap<TcpStream>>, TlsError>;

/// The stream of a connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(Tap<TcpStream>),
    Tls(Box<TlsStream<Tap<TcpStream>>>),
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What was waited for, when connecting took too long.
fn awaited(host: &Host, port: u16, trying: &[SocketAddr]) -> String {
    match trying {
        [] => format!("an address of `{host}`"),
        trying => {
            let trying: Vec<String> = trying.iter().map(ToString::to_string).collect();
            format!("a connection to `{host}` port {port} ({})", trying.join(", "))
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no TCP connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Name and TCP connection took too long.
    #[error("expected {} within {overdue}, found none", awaited(.host, *.port, .trying))]
    SlowConnect {
        /// Whom to ask, as the target says it.
        host: Host,
        /// Its port.
        port: u16,
        /// The addresses that had not answered yet; none where the name was not resolved yet.
        trying: Vec<SocketAddr>,
        /// How long was waited.
        overdue: Overdue,
        /// What became of the last address that failed before.
        #[source]
        last: Option<Box<ConnectError>>,
    },
    /// The header cannot be built.
    #[error("could not build the header")]
    Introduction(#[from] IntroductionError),
    /// TLS cannot be prepared.
    #[error("could not prepare TLS")]
    TlsSetup(#[source] TlsSetupError),
    /// The TLS handshake failed.
    #[error("could not speak TLS with the peer")]
    Tls {
        /// What it failed with.
        #[source]
        error: TlsError,
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// The TLS handshake took too long.
    #[error("expected the end of the TLS handshake with {peer} within {overdue}, found none")]
    SlowTls {
        /// The other end.
        peer: SocketAddr,
        /// How long was waited, the connection included.
        overdue: Overdue,
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
}
