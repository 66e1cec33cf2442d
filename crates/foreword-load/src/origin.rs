//! What stands behind the server that is measured: it answers, pours out and swallows, and counts.

mod datagrams;
mod http;
mod streams;
mod tally;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use foreword::Parser;
use foreword_tokio::read_header_buffered;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

pub use self::tally::Tally;
use crate::failure::Failure;

/// How an origin behaves.
#[derive(Debug, Clone, Copy)]
pub struct OriginSettings {
    /// Where it listens, on free ports.
    pub ip: IpAddr,
    /// Whether every connection and every datagram begins with a PROXY header. What does not is a failure, and closed or
    /// dropped. Without this, a datagram may.
    pub header: bool,
    /// On how many addresses HTTP/1.1 is answered: `ip` and those that follow it, on one port. More than one has to be IPv4.
    pub copies: NonZeroU32,
    /// How long the streams are that the source pours out.
    pub source_bytes: u64,
}

/// An origin, listening.
pub struct Origin {
    http: Vec<TcpListener>,
    source: TcpListener,
    sink: TcpListener,
    datagrams: UdpSocket,
    settings: OriginSettings,
    tally: Rc<Tally>,
}

/// Where an origin listens.
#[derive(Debug, Clone, Copy)]
pub struct OriginAddresses {
    /// Answers HTTP/1.1: `/bytes/N` with N bytes, anything else with three. The first address, if there are several.
    pub http: SocketAddr,
    /// Sends a stream to whoever connects, and closes.
    pub source: SocketAddr,
    /// Reads to the end, and answers with how many bytes came, as eight bytes in network order.
    pub sink: SocketAddr,
    /// Sends back each datagram without its header.
    pub datagrams: SocketAddr,
}

/// What is done on the connections of one listener.
#[derive(Debug, Clone, Copy)]
enum Role {
    Http,
    Source,
    Sink,
}

/// More than any load opens between two turns of the loop.
const BACKLOG: i32 = 16 * 1024;

impl Origin {
    /// Binds its listeners.
    ///
    /// # Errors
    ///
    /// When a socket cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bind(settings: OriginSettings) -> io::Result<Self> {
        Ok(Self {
            http: copies(settings.ip, settings.copies)?,
            source: listen(settings.ip, 0)?,
            sink: listen(settings.ip, 0)?,
            datagrams: datagrams::bind(settings.ip)?,
            settings,
            tally: Rc::default(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the system does not know.
    pub fn addresses(&self) -> io::Result<OriginAddresses> {
        Ok(OriginAddresses {
            http: self.http.first().ok_or(io::ErrorKind::NotFound)?.local_addr()?,
            source: self.source.local_addr()?,
            sink: self.sink.local_addr()?,
            datagrams: self.datagrams.local_addr()?,
        })
    }

    /// What it counted, while it serves and after.
    pub fn tally(&self) -> Rc<Tally> {
        Rc::clone(&self.tally)
    }

    /// Serves until it is dropped. Idle connections are kept for as long as the other end likes: holding them is what
    /// it is for.
    ///
    /// # Panics
    ///
    /// Outside a [`tokio::runtime::LocalRuntime`] or a [`tokio::task::LocalSet`].
    pub async fn serve(self) {
        let Self { http, source, sink, datagrams, settings, tally } = self;
        // They end with us: what is dropped takes its tasks along.
        let mut doors = JoinSet::new();
        for listener in http {
            let tally = Rc::clone(&tally);
            doors.spawn_local(async move { accept(listener, Role::Http, settings, &tally).await });
        }
        tokio::join!(
            accept(source, Role::Source, settings, &tally),
            accept(sink, Role::Sink, settings, &tally),
            datagrams::echo(datagrams, settings.header, &tally),
        );
    }
}

/// Listeners at addresses that follow each other, on the port that the first one finds free.
fn copies(ip: IpAddr, count: NonZeroU32) -> io::Result<Vec<TcpListener>> {
    let first = listen(ip, 0)?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    for copy in 1..count.get() {
        let IpAddr::V4(first) = ip else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
        let next = first.to_bits().checked_add(copy).ok_or(io::ErrorKind::AddrNotAvailable)?;
        listeners.push(listen(Ipv4Addr::from_bits(next).into(), port)?);
    }
    Ok(listeners)
}

fn listen(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, role: Role, settings: OriginSettings, tally: &Rc<Tally>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let tally = Rc::clone(tally);
                tokio::task::spawn_local(async move {
                    tally.connected();
                    if let Err(failure) = serve(stream, role, settings, &tally).await {
                        tally.fail(&failure);
                    }
                });
            }
            Err(error) => {
                tally.fail(&Failure::Connect(error));
                // Out of descriptors, most likely: the listener stays readable, and asking at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    role: Role,
    settings: OriginSettings,
    tally: &Tally,
) -> Result<(), Failure> {
    stream.set_nodelay(true).map_err(Failure::Broken)?;
    let mut buffer = Vec::new();
    if settings.header {
        read_header_buffered(&mut stream, &Parser::new(), &mut buffer).await.map_err(Failure::Header)?;
        tally.introduced();
    }
    match role {
        Role::Http => http::serve(&mut stream, buffer, tally).await,
        Role::Source => streams::pour(&mut stream, settings.source_bytes, tally).await,
        Role::Sink => streams::swallow(&mut stream, buffer, tally).await,
    }
}
