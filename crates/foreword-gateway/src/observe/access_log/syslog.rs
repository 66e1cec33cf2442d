//! Lines as syslog messages: RFC 5424, over UDP (RFC 5426), TCP (RFC 6587) or a unix socket.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

/// A syslog server, and the socket to it while it holds.
#[derive(Debug)]
pub(super) struct Syslog {
    server: Server,
    socket: Option<Socket>,
    host: String,
    message: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Server {
    Udp(SocketAddr),
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixDatagram),
}

impl Syslog {
    /// A server need not be there yet: it is connected to with the first line.
    pub(super) fn new(server: Server) -> Self {
        Self { server, socket: None, host: host_name(), message: Vec::new() }
    }

    /// Sends one line, given without its end. A socket that failed is made anew with the next attempt.
    pub(super) fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let sent = self.try_send(line);
        match &sent {
            // The message itself is at fault; another socket would not help.
            Err(error) if is_too_long(error) => {}
            Err(_) => self.socket = None,
            Ok(()) => {}
        }
        sent
    }

    pub(super) fn reconnect(&mut self) {
        self.socket = None;
    }

    fn try_send(&mut self, line: &[u8]) -> io::Result<()> {
        let message = &mut self.message;
        message.clear();
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        write!(message, "{PRIORITY}1 {now} {} foreword {} access - ", self.host, std::process::id())?;
        message.extend_from_slice(line);
        let socket = match &mut self.socket {
            Some(socket) => socket,
            empty => empty.insert(self.server.connect()?),
        };
        match socket {
            Socket::Udp(socket) => socket.send(message).map(drop),
            Socket::Unix(socket) => socket.send(message).map(drop),
            // Octet counting, RFC 6587 section 3.4.1.
            Socket::Tcp(stream) => {
                let mut framed = format!("{} ", message.len()).into_bytes();
                framed.append(message);
                stream.write_all(&framed)
            }
        }
    }
}

impl Server {
    fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Udp(server) => {
                let any: SocketAddr = match server {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(server)?;
                Ok(Socket::Udp(socket))
            }
            Self::Tcp(server) => {
                let stream = TcpStream::connect_timeout(server, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Socket::Unix(socket))
            }
        }
    }
}

/// Whether a datagram cannot carry the line, however often it is tried.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

/// The name of this machine, as a syslog header can hold it.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_plain = !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { name } else { "-".into() }
}

/// Facility local0, severity informational: 16 * 8 + 6.
const PRIORITY: &str = "<134>";
const PATIENCE: Duration = Duration::from_secs(5);
