//! A connection to an endpoint, with the header that introduces the client, if the cluster wants one.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foreword::BuildError;
use foreword_tokio::write_together;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use super::connecting::{Connecting, Limit};
use super::endpoints::Address;
use super::handshake::Shaking;
use super::header::{Introduced, Omission, header};
use super::witness::Witness;
use crate::alarm::patience::{Over, Patience};
use crate::policy::cluster::{Cluster, EndpointTls};
use crate::refusal::Code;
use crate::stream::Stream;
use crate::stream::outgoing::Outgoing;
use crate::stream::shortage::is_shortage;
use crate::tls::connector;

/// A connection to an endpoint. What it carried first decides who may use it.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// It told nobody's name: any client's request may go over it, and the pool may keep it.
    Shared(Shared),
    /// It began with a header: it is this one client's until it ends.
    Personal(Personal),
}

/// A connection that carried no header, and the number of the terms on which TLS is spoken on it. The pool keeps these and
/// nothing else.
#[derive(Debug)]
pub(crate) struct Shared(Outgoing, u64);

/// A connection that carried a header. There is no way from here to the pool.
#[derive(Debug)]
pub(crate) struct Personal(Outgoing);

impl Shared {
    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut Outgoing {
        &mut self.0
    }

    /// The number of the terms that it began under; 0 without TLS.
    pub(super) fn terms(&self) -> u64 {
        self.1
    }
}

/// The number of the terms on which a connection to this cluster would speak TLS now; 0 where it would not.
pub(super) fn terms(cluster: &Cluster) -> u64 {
    cluster.tls.as_ref().map_or(0, EndpointTls::number)
}

impl Upstream {
    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut Outgoing {
        match self {
            Self::Shared(Shared(stream, _)) | Self::Personal(Personal(stream)) => stream,
        }
    }

    /// The connection itself, for a tunnel that nobody else will use any more.
    pub(crate) fn into_stream(self) -> Outgoing {
        match self {
            Self::Shared(Shared(stream, _)) | Self::Personal(Personal(stream)) => stream,
        }
    }
}

/// Why there is no connection to an endpoint. Nothing of the client was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// It could not be reached.
    #[error("endpoint {address} cannot be reached: {source}")]
    Failed {
        /// Where.
        address: Address,
        /// Why.
        source: Arc<io::Error>,
    },
    /// It did not answer in time.
    #[error("endpoint {address} did not take the connection within {} s", .after.as_secs_f32())]
    Timeout {
        /// Where.
        address: Address,
        /// The cluster's `timeout.connect`.
        after: Duration,
    },
    /// TLS with it did not come about.
    #[error("the TLS handshake with endpoint {address} failed: {}", connector::reason(source))]
    Tls {
        /// Where.
        address: Address,
        /// Why.
        source: Arc<io::Error>,
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
    /// There are as many connections as there may be, and as many who wait for one to end.
    #[error("cluster `{cluster}` has no connection free, and as many as {most} wait for one already")]
    QueueFull {
        /// Its name.
        cluster: Box<str>,
        /// Its `max.queue`.
        most: usize,
    },
    /// No connection ended in time.
    #[error("cluster `{cluster}` had no connection free within {} s", .after.as_secs_f32())]
    QueueTimeout {
        /// Its name.
        cluster: Box<str>,
        /// Its `timeout.queue`.
        after: Duration,
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
    pub(crate) fn failed(address: &Address, error: io::Error) -> Self {
        Self::Failed { address: address.clone(), source: Arc::new(error) }
    }

    /// Whether what it says tells which cluster it is about.
    pub(crate) fn names_its_cluster(&self) -> bool {
        matches!(
            self,
            Self::NoEndpoint { .. }
                | Self::AllDown { .. }
                | Self::QueueFull { .. }
                | Self::QueueTimeout { .. }
        )
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Header { source: BuildError::TooLong { .. }, .. } => Code::HeaderOverBounds,
            Self::Failed { source, .. } if is_shortage(source) => Code::OutOfDescriptors,
            Self::Failed { .. } | Self::Header { .. } => Code::NoConnection,
            Self::Timeout { .. } => Code::ConnectTimeout,
            Self::Tls { .. } => Code::EndpointHandshake,
            Self::NoEndpoint { .. } => Code::NoEndpoint,
            Self::QueueFull { .. } => Code::QueueFull,
            Self::QueueTimeout { .. } => Code::QueueDeadline,
            Self::AllDown { .. } => Code::AllDown,
        }
    }
}

/// Connects to the endpoint that was chosen. The connection is nobody's until it is introduced.
///
/// Whoever leaves before is not told how it went; the endpoint's other clients still profit by it.
pub(crate) async fn open(
    cluster: &Cluster,
    witness: &Witness,
    patience: &Patience<'_>,
) -> Result<Opened, ConnectError> {
    let limit = Limit::of(cluster.timeout.connect);
    let outcome = match witness.address() {
        Address::Inet(address) => match Connecting::begin(*address) {
            Ok(connecting) => {
                connecting.attended(witness, limit, patience).await.map(|made| made.map(Stream::Tcp))
            }
            Err(error) => Ok(Err(error)),
        },
        // Where its queue is full, the kernel says so at once.
        Address::Unix(path) => {
            let connecting = pin!(UnixStream::connect(path));
            let made = patience.race(connecting, || Some(limit.deadline)).await;
            made.map(|made| made.map(Stream::Unix))
        }
    };
    limit.tell(witness, &outcome);
    match outcome {
        Ok(Ok(stream)) => Ok(Opened { stream, deadline: limit.deadline }),
        Ok(Err(error)) => Err(ConnectError::failed(witness.address(), error)),
        Err(Over) => Err(ConnectError::Timeout { address: witness.address().clone(), after: limit.after }),
    }
}

/// Connects, and says nothing.
pub(super) async fn connect_to(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Inet(address) => Ok(Stream::Tcp(Connecting::begin(*address)?.made().await?)),
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

/// Makes the cluster's header for a client, if it wants one, and tells of what had no place in it.
pub(crate) fn introduction(
    cluster: &Cluster,
    chosen: &Witness,
    who: Introduced<'_>,
) -> Result<Option<Vec<u8>>, ConnectError> {
    let made = header(cluster, who)
        .map_err(|source| ConnectError::Header { address: chosen.address().clone(), source })?;
    Ok(made.map(|made| {
        if !made.left_out.is_empty() {
            let left_out = &made.left_out;
            let omission = Omission { left_out, max: cluster.max_header, client: &who.client.address };
            chosen.account.tlvs_left_out(left_out.without_room, left_out.unfit, &omission);
        }
        made.bytes
    }))
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
    ///
    /// Where TLS is spoken with the endpoint, the handshake is made here, with the header before it; then there is none to
    /// write, unless it goes inside.
    ///
    /// # Errors
    ///
    /// The connection is gone with the error: a header is never repeated on it (R-SEND-17).
    pub(crate) async fn introducing(
        self,
        cluster: &Cluster,
        chosen: &Witness,
        who: Introduced<'_>,
    ) -> Result<(Upstream, Vec<u8>), ConnectError> {
        let header = introduction(cluster, chosen, who)?;
        self.carrying(cluster, chosen, header).await
    }

    /// The same where the header is made already, or none is wanted.
    async fn carrying(
        self,
        cluster: &Cluster,
        chosen: &Witness,
        header: Option<Vec<u8>>,
    ) -> Result<(Upstream, Vec<u8>), ConnectError> {
        match header {
            Some(header) => {
                let (stream, header) = self.secure(cluster, chosen, header).await?;
                Ok((Upstream::Personal(Personal(stream)), header))
            }
            None => {
                // Asked before the handshake: terms that change meanwhile are newer than the connection.
                let terms = terms(cluster);
                let (stream, nothing) = self.secure(cluster, chosen, Vec::new()).await?;
                Ok((Upstream::Shared(Shared(stream, terms)), nothing))
            }
        }
    }

    /// Speaks TLS, if the cluster wants it, and gives what of the header is still to be written.
    async fn secure(
        self,
        cluster: &Cluster,
        chosen: &Witness,
        header: Vec<u8>,
    ) -> Result<(Outgoing, Vec<u8>), ConnectError> {
        let Some(tls) = &cluster.tls else { return Ok((Outgoing::Plain(self.stream), header)) };
        let (before, inside) = if tls.header_inside { (Vec::new(), header) } else { (header, Vec::new()) };
        let limit = Limit { deadline: self.deadline, after: cluster.timeout.connect };
        let shaking = Shaking::begin(self.stream, before, tls, chosen, limit);
        Ok((Outgoing::Tls(shaking.attended().await?), inside))
    }

    /// Sends the cluster's header for this client, if it wants one, and `first` behind it in the same write.
    ///
    /// # Errors
    ///
    /// The connection is gone with the error: a header is never repeated on it (R-SEND-17).
    pub(crate) async fn introduce(
        self,
        cluster: &Cluster,
        chosen: &Witness,
        who: Introduced<'_>,
        first: &[u8],
    ) -> Result<Upstream, ConnectError> {
        let header = introduction(cluster, chosen, who)?;
        self.beginning_with(header, first, cluster, chosen).await
    }

    /// Sends a header that is made already, if there is one, and `first` behind it.
    pub(super) async fn beginning_with(
        self,
        header: Option<Vec<u8>>,
        first: &[u8],
        cluster: &Cluster,
        chosen: &Witness,
    ) -> Result<Upstream, ConnectError> {
        let (deadline, address) = (self.deadline, chosen.address());
        let (mut upstream, header) = self.carrying(cluster, chosen, header).await?;
        match timeout_at(deadline, write_together(upstream.stream(), [&header, first])).await {
            Ok(Ok(())) => Ok(upstream),
            Ok(Err(error)) => Err(ConnectError::failed(address, error)),
            Err(_) => Err(ConnectError::Timeout { address: address.clone(), after: cluster.timeout.connect }),
        }
    }
}
