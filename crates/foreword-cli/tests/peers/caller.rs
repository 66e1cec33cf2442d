//! Whoever calls: a socket that writes what it is told, bytes as they are, and reads HTTP answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::ground::Certificate;
use crate::program::PATIENCE;

/// A connection, in the clear or through TLS.
pub(crate) struct Caller {
    stream: BufReader<Box<dyn Stream>>,
    /// The head of the answer that is being read.
    head: String,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Caller {
    /// Connects, and writes the header, if there is one, before anything else.
    pub(crate) fn connect(to: SocketAddr, header: &[u8]) -> Self {
        Self::new(socket(to, header))
    }

    /// Connects, writes the header, and does a TLS handshake for the server's name.
    pub(crate) fn connect_tls(to: SocketAddr, header: &[u8], trusted: &Certificate, name: &str) -> Self {
        let stream = handshake(socket(to, header), trusted, name).expect("a TLS handshake");
        Self::new(stream)
    }

    fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)), head: String::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// Sends one GET request and reads its answer.
    pub(crate) fn get(&mut self, host: &str, target: &str) -> Answer {
        self.write(request(host, target).as_bytes()).expect("the request is taken");
        self.answer().unwrap_or_else(|error| panic!("expected an answer to GET {target}: {error}"))
    }

    /// Reads one answer. An end before its first byte is `UnexpectedEof`, as is one inside of it.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        self.head.clear();
        while !self.head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut self.head)? == 0 {
                let found = format!("ended after {:?}", self.head);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, found));
            }
        }
        let head = self.head.clone();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status =
            status.ok_or_else(|| io::Error::other(format!("expected a status line, found {head:?}")))?;
        let mut answer = Answer { status, head, body: Vec::new() };
        answer.body = self.body(&answer)?;
        Ok(answer)
    }

    /// What came of the head of the last answer.
    pub(crate) fn begun(&self) -> &str {
        &self.head
    }

    /// Reads what is there until the other side ends.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Reads one line, without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = answer.field("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut body)?;
        } else if answer.field("transfer-encoding").is_some() {
            while let length @ 1.. = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)? {
                let start = body.len();
                body.resize(start + length, 0);
                self.stream.read_exact(&mut body[start..])?;
                self.line()?;
            }
            while !self.line()?.is_empty() {}
        } else if !matches!(answer.status, 100..200 | 204 | 304) {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether this is the last answer of its connection.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A GET request that keeps its connection.
pub(crate) fn request(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: peers\r\n\r\n")
}

/// The value of a field in a head, whichever case its name has.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn socket(to: SocketAddr, header: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE)
        .unwrap_or_else(|error| panic!("expected {to} to take a connection: {error}"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
    socket.set_nodelay(true).expect("no delay");
    socket.write_all(header).expect("the header is taken");
    socket
}

fn handshake(
    mut socket: TcpStream,
    trusted: &Certificate,
    name: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(trusted.der.clone())).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    connection.complete_io(&mut socket)?;
    Ok(StreamOwned::new(connection, socket))
}
