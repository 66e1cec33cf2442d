//! The endpoint's side, with TLS or without.

use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::either::stream_of_either;
use super::{Carried, Stream};

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// In the clear.
    Plain(Stream),
    /// Under TLS. A session is large, and most connections have none.
    Tls(Box<TlsStream<Stream>>),
}

impl Outgoing {
    /// The socket below.
    pub(crate) fn socket(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether nothing speaks against HTTP/2: in the clear it is known to be spoken, under TLS the endpoint must have agreed.
    pub(crate) fn may_speak_http2(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Whether the connection is open and nothing unasked came over it. Tickets and new keys, which TLS sends unasked, are
    /// taken in passing.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Plain(stream) => {
                matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl Carried for Outgoing {
    fn bare(&self) -> Option<&Stream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(_) => None,
        }
    }
}

stream_of_either!(Outgoing { Plain, Tls });
