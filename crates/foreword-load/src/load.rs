//! What is asked of a server, by how many connections, and for how long.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use foreword::{BuildError, Builder, Transport, Version};

use crate::tls::Tls;

/// A load: settled before the first connection.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server.
    pub target: SocketAddr,
    /// The header that each connection begins with; each names another client.
    pub header: Option<Version>,
    /// TLS, after the header.
    pub tls: Option<Tls>,
    /// Connections at once.
    pub connections: usize,
    /// What is done on them.
    pub work: Work,
    /// When it is enough.
    pub until: Until,
    /// How long a connection, a handshake, an answer or the next bytes of a stream may take.
    pub timeout: Duration,
    /// With so many failures the run ends early: it has become no measurement.
    pub max_failures: u64,
}

/// What is done on a connection.
#[derive(Debug, Clone)]
pub enum Work {
    /// HTTP/1.1 requests, one after the other; a unit is an answered request.
    Requests(Requests),
    /// HTTP/2 requests, many at once on each connection; a unit is an answered request.
    Multiplexed(Multiplexed),
    /// Bytes without a protocol; a unit is a stream carried to its end.
    Streams(Streams),
    /// Datagrams, each connection being a flow; a unit is one that came back as it went.
    Datagrams(Datagrams),
}

/// Requests that are all the same.
#[derive(Debug, Clone)]
pub struct Requests {
    /// `Host`.
    pub host: String,
    /// The target, in origin-form.
    pub path: String,
    /// Bytes sent with each request: POST if there are any, else GET.
    pub upload: usize,
    /// A new connection for each request; the server is told so and closes.
    pub close: bool,
    /// The status that alone is no failure.
    pub status: u16,
    /// The length of the body that alone is no failure.
    pub len: Option<u64>,
}

impl Requests {
    /// GETs of `path`, kept alive, answered 200.
    pub fn get(host: &str, path: &str) -> Self {
        Self { host: host.to_owned(), path: path.to_owned(), upload: 0, close: false, status: 200, len: None }
    }

    /// The request as it is sent, body included.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { host, path, upload, .. } = self;
        let method = if *upload == 0 { "GET" } else { "POST" };
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: foreword-load\r\n");
        if *upload > 0 {
            text += &format!("Content-Length: {upload}\r\n");
        }
        if self.close {
            text += "Connection: close\r\n";
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + upload, b'.');
        bytes
    }
}

/// Requests over HTTP/2. Under TLS it has to be agreed on by ALPN; without, the server has to know.
#[derive(Debug, Clone)]
pub struct Multiplexed {
    /// What is asked. A connection is kept, whatever `close` says.
    pub requests: Requests,
    /// How many at once on each connection, as far as the server allows.
    pub at_once: NonZeroUsize,
}

/// Streams that are all the same, each on a connection of its own. The far end is [`Origin`](crate::Origin)'s source
/// or sink.
#[derive(Debug, Clone)]
pub struct Streams {
    /// Which way the bytes go.
    pub way: Way,
    /// How many, to the byte.
    pub bytes: u64,
}

/// Datagrams that are all the same, but for their number. What answers them is [`Origin`](crate::Origin)'s echo.
#[derive(Debug, Clone)]
pub struct Datagrams {
    /// Bytes of each, without the header; 8 at least, for its number.
    pub len: usize,
    /// How many of each flow are under way. The kernel drops what finds no room, so all of all flows should be few hundred.
    pub at_once: NonZeroUsize,
}

/// A direction, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the origin's source to us.
    Down,
    /// From us to the origin's sink, which answers with how many came.
    Up,
}

/// When a load ends. What has begun is finished, and counted.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// When so many units have begun.
    Units(u64),
    /// When so much time has passed.
    Passed(Duration),
}

impl Load {
    /// The header of the connection with this number: a client of its own, from the ranges for documentation
    /// (RFC 5737, RFC 3849), of the target's family.
    pub(crate) fn header(&self, number: u64) -> Result<Vec<u8>, BuildError> {
        self.header_of(number, Transport::Stream)
    }

    /// The same in front of the datagrams of a flow.
    pub(crate) fn datagram_header(&self, number: u64) -> Result<Vec<u8>, BuildError> {
        self.header_of(number, Transport::Datagram)
    }

    fn header_of(&self, number: u64, transport: Transport) -> Result<Vec<u8>, BuildError> {
        let Some(version) = self.header else {
            return Ok(Vec::new());
        };
        let [.., high, low] = number.to_be_bytes();
        let ip = match self.target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(203, 0, 113, low)),
            SocketAddr::V6(_) => {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from_be_bytes([high, low])))
            }
        };
        let source = SocketAddr::new(ip, 1024 + u16::from_be_bytes([0x3f & high, low]));
        Builder::new(version).proxy(source, self.target).transport(transport).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreword::{Header, Parse};

    fn load(target: &str, header: Option<Version>) -> Load {
        Load {
            target: target.parse().unwrap(),
            header,
            tls: None,
            connections: 1,
            work: Work::Requests(Requests::get("localhost", "/")),
            until: Until::Units(1),
            timeout: Duration::from_secs(1),
            max_failures: 1,
        }
    }

    #[test]
    fn every_connection_names_a_client_of_the_targets_family() {
        for target in ["127.0.0.1:443", "[::1]:443"] {
            for version in [Version::One, Version::Two] {
                for number in [0, 1, 255, 256, 70_000, u64::MAX] {
                    let load = load(target, Some(version));
                    let bytes = load.header(number).unwrap();
                    let Ok(Parse::Complete { header, len }) = Header::parse(&bytes) else {
                        panic!("expected a header, found {bytes:?}");
                    };
                    assert_eq!(len, bytes.len());
                    assert_eq!(header.destination(), Some(load.target));
                    assert_eq!(header.source().unwrap().is_ipv4(), load.target.is_ipv4());
                }
            }
        }
    }

    #[test]
    fn neighbours_are_different_clients() {
        let load = load("127.0.0.1:443", Some(Version::Two));
        assert_ne!(load.header(1), load.header(2));
    }

    #[test]
    fn without_a_version_there_is_no_header() {
        assert_eq!(load("127.0.0.1:443", None).header(7), Ok(Vec::new()));
    }

    #[test]
    fn a_request_says_what_it_carries_and_whether_it_is_the_last() {
        let mut requests = Requests::get("localhost", "/x?y");
        assert_eq!(
            requests.encode(),
            b"GET /x?y HTTP/1.1\r\nHost: localhost\r\nUser-Agent: foreword-load\r\n\r\n"
        );
        requests.upload = 3;
        requests.close = true;
        assert_eq!(
            requests.encode(),
            b"POST /x?y HTTP/1.1\r\nHost: localhost\r\nUser-Agent: foreword-load\r\nContent-Length: 3\r\n\
              Connection: close\r\n\r\n..."
        );
    }
}
