//! A connection to an endpoint, with the header that introduces the client, if the cluster wants one.

use std::cell::OnceCell;
use std::io;
use std::time::Duration;

use foreword::build::{ClientCertificate, SslStatement};
use foreword::{Authority, BuildError, Builder, Client, ClientAddr, PeerAddr, Tlv};
use foreword_tokio::write_together;
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::endpoints::{Address, Chosen};
use crate::policy::cluster::{Cluster, SendHeader, SendTlv};
use crate::policy::facts::TlsFacts;
use crate::refusal::Code;
use crate::stream::Stream;

/// A connection to an endpoint. What it carried first decides who may use it.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// It told nobody's name: any client's request may go over it, and the pool may keep it.
    Shared(Shared),
    /// It began with a header: it is this one client's until it ends.
    Personal(Personal),
}

/// A connection that carried no header. The pool keeps these and nothing else.
#[derive(Debug)]
pub(crate) struct Shared(Stream);

/// A connection that carried a header. There is no way from here to the pool.
#[derive(Debug)]
pub(crate) struct Personal(Stream);

impl Shared {
    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.0
    }
}

impl Upstream {
    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        match self {
            Self::Shared(Shared(stream)) | Self::Personal(Personal(stream)) => stream,
        }
    }

    /// The connection itself, for a tunnel that nobody else will use any more.
    pub(crate) fn into_stream(self) -> Stream {
        match self {
            Self::Shared(Shared(stream)) | Self::Personal(Personal(stream)) => stream,
        }
    }
}

/// Why there is no connection to an endpoint. Nothing of the client was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// It could not be reached.
    #[error("endpoint {address} cannot be reached: {source}")]
    Failed {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("endpoint {address} did not take the connection within {} s", .after.as_secs_f32())]
    Timeout {
        /// Where.
        address: Address,
        /// The cluster's `timeout.connect`.
        after: Duration,
    },
    /// The cluster has no endpoint whose address is known.
    #[error("cluster `{cluster}` has no endpoint: none of its names resolves")]
    NoEndpoint {
        /// Its name.
        cluster: Box<str>,
    },
    /// The cluster has endpoints, and none is up.
    #[error("none of the {count} endpoints of cluster `{cluster}` is up: {address}: {why}")]
    AllDown {
        /// Its name.
        cluster: Box<str>,
        /// How many it has.
        count: usize,
        /// One of them.
        address: Address,
        /// Why it is not up.
        why: String,
    },
    /// The header to send cannot be made.
    #[error("the header for endpoint {address} cannot be built: {source}")]
    Header {
        /// Where.
        address: Address,
        /// Why.
        source: BuildError,
    },
}

impl ConnectError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Failed { .. } | Self::Header { .. } => Code::NoConnection,
            Self::Timeout { .. } => Code::ConnectTimeout,
            Self::NoEndpoint { .. } => Code::NoEndpoint,
            Self::AllDown { .. } => Code::AllDown,
        }
    }
}

/// Connects to the endpoint that was chosen. The connection is nobody's until it is introduced.
pub(crate) async fn open(cluster: &Cluster, chosen: &Chosen) -> Result<Opened, ConnectError> {
    let deadline = Instant::now() + cluster.timeout.connect;
    let address = || chosen.address.clone();
    match timeout_at(deadline, connect_to(&chosen.address)).await {
        Ok(Ok(stream)) => {
            chosen.connected();
            Ok(Opened { stream, deadline })
        }
        Ok(Err(source)) => {
            chosen.connect_failed(&source);
            Err(ConnectError::Failed { address: address(), source })
        }
        Err(_) => {
            chosen.connect_timed_out(cluster.timeout.connect);
            Err(ConnectError::Timeout { address: address(), after: cluster.timeout.connect })
        }
    }
}

async fn connect_to(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Inet(address) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_nodelay(true)?;
            // Our answer to the endpoint's first segment goes out with our own bytes, not before them.
            #[cfg(target_os = "linux")]
            socket2::SockRef::from(&socket).set_tcp_quickack(false)?;
            Ok(Stream::Tcp(socket.connect(*address).await?))
        }
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

/// A connection on which nothing was said yet.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: Stream,
    deadline: Instant,
}

impl Opened {
    /// Makes the cluster's header for this client, if it wants one: whoever asks writes it, first and together with
    /// what comes behind it.
    pub(crate) fn introducing(
        self,
        cluster: &Cluster,
        address: &Address,
        who: Introduced<'_>,
    ) -> Result<(Upstream, Vec<u8>), ConnectError> {
        match header(cluster, who) {
            Ok(Some(header)) => Ok((Upstream::Personal(Personal(self.stream)), header)),
            Ok(None) => Ok((Upstream::Shared(Shared(self.stream)), Vec::new())),
            Err(source) => Err(ConnectError::Header { address: address.clone(), source }),
        }
    }

    /// Sends the cluster's header for this client, if it wants one, and `first` behind it in the same write.
    ///
    /// # Errors
    ///
    /// The connection is gone with the error: a header is never repeated on it (R-SEND-17).
    pub(crate) async fn introduce(
        self,
        cluster: &Cluster,
        address: &Address,
        who: Introduced<'_>,
        first: &[u8],
    ) -> Result<Upstream, ConnectError> {
        let deadline = self.deadline;
        let (mut upstream, header) = self.introducing(cluster, address, who)?;
        match timeout_at(deadline, write_together(upstream.stream(), [&header, first])).await {
            Ok(Ok(())) => Ok(upstream),
            Ok(Err(source)) => Err(ConnectError::Failed { address: address.clone(), source }),
            Err(_) => Err(ConnectError::Timeout { address: address.clone(), after: cluster.timeout.connect }),
        }
    }
}

/// What a header to an endpoint says of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduced<'c> {
    pub(crate) client: &'c Client,
    /// What the handshake settled, if TLS ended here.
    pub(crate) tls: Option<&'c TlsFacts>,
    /// Made when it is first asked for.
    pub(crate) unique_id: &'c OnceCell<Box<[u8]>>,
}

impl<'c> Introduced<'c> {
    /// The id by which receivers know the connection: the one that it came with, else one of its own.
    fn unique_id(self) -> &'c [u8] {
        self.unique_id.get_or_init(|| match self.client.header().and_then(|header| header.tlvs.unique_id()) {
            Some(id) => id.into(),
            // Text, since receivers put it into their logs.
            None => format!("{:032x}", fastrand::u128(..)).into_bytes().into(),
        })
    }
}

/// Makes the header that introduces the client of a connection; `None` if the cluster wants none.
///
/// # Errors
///
/// When what it should say does not fit into a header.
pub(crate) fn header(cluster: &Cluster, who: Introduced<'_>) -> Result<Option<Vec<u8>>, BuildError> {
    let builder = match cluster.send_header {
        SendHeader::None => return Ok(None),
        SendHeader::V1 => Builder::v1(),
        SendHeader::V2 => Builder::v2(),
    };
    let mut builder = say_who(builder, who);
    for tlv in &cluster.send_tlvs {
        builder = match tlv {
            SendTlv::Authority => say_authority(builder, who),
            SendTlv::UniqueId => builder.tlv(Tlv::UniqueId(who.unique_id())),
            SendTlv::Crc32c => builder.checksum(true),
            SendTlv::Ssl => say_ssl(builder, who),
        };
    }
    builder.build().map(Some)
}

fn say_who<'a>(builder: Builder<'a>, who: Introduced<'a>) -> Builder<'a> {
    let client = who.client;
    if let Some(header) = client.header().filter(|header| header.is_unknown() || is_unix(&client.address)) {
        // LOCAL stays LOCAL, UNKNOWN stays UNKNOWN, and what only a header can say is said again (R-SEND-09).
        return builder.header(&header);
    }
    match (&client.address, client.destination) {
        (ClientAddr::Inet(source), PeerAddr::Inet(destination)) => builder.proxy(*source, destination),
        _ => builder.unknown(),
    }
}

fn is_unix(address: &ClientAddr) -> bool {
    matches!(address, ClientAddr::Unix(_))
}

/// The name that the client asked for: in our handshake, else in the one that the trusted proxy saw.
fn say_authority<'a>(builder: Builder<'a>, who: Introduced<'_>) -> Builder<'a> {
    let asked_here = who.tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes);
    let asked_before =
        || who.client.header().and_then(|header| header.tlvs.authority()).map(|name| name.as_bytes());
    match asked_here.or_else(asked_before).map(Authority::new) {
        Some(name) if name.as_str().is_ok() => builder.tlv(Tlv::Authority(name)),
        _ => builder,
    }
}

/// What we know of the client's TLS; where it did not end here, what the trusted proxy said of it.
fn say_ssl<'a>(builder: Builder<'a>, who: Introduced<'_>) -> Builder<'a> {
    if let Some(tls) = who.tls {
        let certificate = match &tls.client_cn {
            Some(cn) => ClientCertificate::Verified { cn: Some(cn), resumed: false },
            None => ClientCertificate::None,
        };
        let mut statement = SslStatement::new(tls.version, certificate);
        statement.cipher = Some(tls.cipher);
        return builder.ssl(&statement);
    }
    match who.client.header().and_then(|header| header.tlvs.ssl()) {
        Some(ssl) => builder.tlv(Tlv::Ssl(ssl)),
        None => builder,
    }
}
