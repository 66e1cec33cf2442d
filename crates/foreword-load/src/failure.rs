//! How a unit can fail.

use std::io;

use foreword::{BuildError, Malformed};
use foreword_http1::{ChunkError, HeadError};
use foreword_tokio::ReadError;

/// Why a unit was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There are no bytes for the header.
    #[error("the PROXY header cannot be encoded")]
    Encode(#[source] BuildError),
    /// No connection was made.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// A connection failed once it was made.
    #[error("the connection failed")]
    Broken(#[source] io::Error),
    /// Nothing came for as long as was waited.
    #[error("expected an answer or bytes before the timeout, found silence")]
    Silent,
    /// The peer closed early.
    #[error("expected more, found the connection closed after {after} bytes")]
    Closed {
        /// How many bytes of the answer, the request or the stream had come.
        after: u64,
    },
    /// A head is not as RFC 9112 writes it.
    #[error("malformed head")]
    Head(#[source] HeadError),
    /// A chunked body is not as RFC 9112 writes it.
    #[error("malformed chunked body")]
    Chunk(#[source] ChunkError),
    /// Another status than the one asked for.
    #[error("expected status {expected}, found {found}")]
    Status {
        /// The one asked for.
        expected: u16,
        /// The one that came.
        found: u16,
    },
    /// A body or a stream of another length.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// As many as were asked for.
        expected: u64,
        /// As many as came.
        found: u64,
    },
    /// Bytes after the end of an answer.
    #[error("expected the end of the answer, found {bytes} more bytes")]
    Excess {
        /// How many at least.
        bytes: usize,
    },
    /// There are no fields of HTTP/2 for the request.
    #[error("the request cannot be told in HTTP/2")]
    Request(#[source] http::Error),
    /// The server agreed on another protocol.
    #[error("expected the server to agree on `h2`, found another protocol")]
    Alpn,
    /// A stream of HTTP/2 or its connection failed.
    #[error("HTTP/2 failed")]
    Http2(#[source] h2::Error),
    /// The origin was to read a header off a datagram and could not.
    #[error("no PROXY header in front of a datagram")]
    Datagram(#[source] Malformed),
    /// The origin was to read a header and could not.
    #[error("no PROXY header")]
    Header(#[source] ReadError),
}

impl Failure {
    /// A word for the kind of failure, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Encode(_) => "encode",
            Self::Connect(_) => "connect",
            Self::Handshake(_) => "handshake",
            Self::Broken(_) => "broken",
            Self::Silent => "silent",
            Self::Closed { .. } => "closed",
            Self::Head(_) => "head",
            Self::Chunk(_) => "chunk",
            Self::Status { .. } => "status",
            Self::Length { .. } => "length",
            Self::Excess { .. } => "excess",
            Self::Request(_) => "request",
            Self::Alpn => "alpn",
            Self::Http2(_) => "http2",
            Self::Header(_) | Self::Datagram(_) => "header",
        }
    }

    /// The whole chain of causes in one line.
    pub fn told(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_cause() {
        let failure = Failure::Connect(io::Error::other("no route"));
        assert_eq!(failure.told(), "cannot connect: no route");
        assert_eq!(failure.kind(), "connect");
    }
}
