//! HTTP/2 as it should not be spoken: what becomes of each frame that is wrong, with TLS and without.

mod abandoned;
pub(crate) mod client;
mod endpoints;
mod floods;
mod heads;
mod records;
mod requests;
mod rules;
mod unwanted;

use std::net::TcpStream;
use std::sync::Arc;

use foreword_gateway::Gateway;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use self::client::*;
use crate::support::*;
use crate::tls::certificate;

/// What must become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    /// Ended, with one of these reasons.
    Over(&'static [u32]),
    /// One stream reset, with one of these reasons; the others go on.
    Reset(u32, &'static [u32]),
    /// One stream reset, or the connection ended, with this reason: RFC 9113 leaves the choice, and timing makes it.
    ResetOrOver(u32, u32),
    /// A stream answered with this status, and the connection goes on.
    Answered(u32, u16),
    /// As if nothing had come.
    Unmoved,
}

pub(crate) use Becomes::*;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A name, what is said behind the greeting, and what becomes of it.
pub(crate) type Case = (&'static str, fn(&mut Frames), Becomes);

pub(crate) const ROOT: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// The fields of a request, with more of them.
pub(crate) fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [ROOT, more].concat()
}

/// A gateway that speaks HTTP/2, and how to come to it.
pub(crate) struct Edge {
    pub(crate) gateway: Gateway,
    tls: Option<Arc<ClientConfig>>,
    _folder: tempfile::TempDir,
}

impl Edge {
    pub(crate) fn new(endpoint: &Endpoint, with_tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (keys, tls) = if with_tls {
            let (keys, mut config) = certificate(folder.path());
            config.alpn_protocols = vec![b"h2".to_vec()];
            (keys, Some(Arc::new(config)))
        } else {
            ("http2 = \"prior-knowledge\"".to_owned(), None)
        };
        let keys = format!("{keys}\ncluster = \"app\"\ntimeout = {{ head = \"5s\" }}");
        Self { gateway: gateway(&file(&[endpoint.address], &keys, "")), tls, _folder: folder }
    }

    /// A connection on which nothing was said yet.
    pub(crate) fn connect(&self) -> Frames {
        let tcp = Wire::new(TcpStream::connect(address(&self.gateway)).unwrap()).stream;
        match &self.tls {
            None => Frames::in_clear(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                let session = ClientConnection::new(Arc::clone(config), name).unwrap();
                Frames::over(StreamOwned::new(session, tcp))
            }
        }
    }
}

/// Tries every case on a connection of its own, and tells of all that became something else.
pub(crate) fn try_all(edge: &Edge, cases: &[Case]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|&(name, say, expected)| {
            let mut client = edge.connect().greeted();
            say(&mut client);
            let found = became(&mut client, expected);
            (!found.0).then(|| format!("{name}: expected {expected:?}, found {}", found.1))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Whether it became what it must, and else what.
fn became(client: &mut Frames, expected: Becomes) -> (bool, String) {
    let mut found = Vec::new();
    let mut fits = false;
    if expected == Unmoved {
        client.send(PING, 0, 0, b"the end.");
    }
    while let Some(frame) = client.next() {
        match frame.kind {
            GOAWAY => {
                found.push(format!("GOAWAY {}", frame.reason()));
                fits |= matches!(expected, Over(reasons) if reasons.contains(&frame.reason()));
            }
            RST_STREAM => {
                found.push(format!("RST_STREAM {} {}", frame.stream, frame.reason()));
                fits |= matches!(expected, Reset(stream, reasons)
                    if stream == frame.stream && reasons.contains(&frame.reason()));
            }
            HEADERS => {
                found.push(format!("answer {} {}", frame.stream, frame.status()));
                fits |= expected == Answered(frame.stream, frame.status());
            }
            PING if frame.payload == b"the end." => return (found.is_empty(), found.join(", ")),
            _ => {}
        }
        if let ResetOrOver(stream, reason) = expected {
            let of_stream = frame.kind == RST_STREAM && frame.stream == stream;
            if (of_stream || frame.kind == GOAWAY) && frame.reason() == reason {
                return (true, String::new());
            }
        }
        if fits && !matches!(expected, Over(_)) {
            return (client.is_alive(), format!("{}, the end", found.join(", ")));
        }
    }
    found.push(if client.is_silent { "silence" } else { "the end" }.to_owned());
    (fits && !client.is_silent, found.join(", "))
}
