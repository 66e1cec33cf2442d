//! A connection as a proxy makes it: TCP, header, TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use foreword_tokio::write_header_with;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::failure::Failure;
use crate::load::Load;

/// A connection to the server, with or without TLS.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects and writes `first`: together with the header where nothing comes between them.
    pub(crate) async fn open(load: &Load, number: u64, first: &[u8]) -> Result<Self, Failure> {
        let header = load.header(number).map_err(Failure::Encode)?;
        let mut tcp =
            within(load.timeout, TcpStream::connect(load.target)).await?.map_err(Failure::Connect)?;
        tcp.set_nodelay(true).map_err(Failure::Connect)?;
        let Some(tls) = &load.tls else {
            within(load.timeout, write_header_with(&mut tcp, &header, first))
                .await?
                .map_err(Failure::Broken)?;
            return Ok(Self::Plain(tcp));
        };
        within(load.timeout, write_header_with(&mut tcp, &header, &[])).await?.map_err(Failure::Broken)?;
        let handshake = tls.connector().connect(tls.name(), tcp);
        let stream = within(load.timeout, handshake).await?.map_err(Failure::Handshake)?;
        let mut connection = Self::Tls(Box::new(stream));
        connection.send(first, load.timeout).await?;
        Ok(connection)
    }

    /// Whether this protocol was agreed on. Without TLS nothing is agreed on, and the server has to know.
    pub(crate) fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(protocol),
        }
    }

    /// Writes all of it.
    pub(crate) async fn send(&mut self, bytes: &[u8], patience: Duration) -> Result<(), Failure> {
        within(patience, async {
            self.write_all(bytes).await?;
            self.flush().await
        })
        .await?
        .map_err(Failure::Broken)
    }
}

/// Waits no longer than this.
pub(crate) async fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(patience, future).await.map_err(|_| Failure::Silent)
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
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
