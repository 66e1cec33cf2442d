//! The way of a flow to its endpoint: a connected socket, and the header that goes in front.

use std::cell::{Cell, OnceCell};
use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use foreword::spp::Spp;
use foreword::{Client, ClientAddr, PeerAddr, Transport};
use rustix::io::Errno;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::dropping::{Dropping, TooLarge};
use crate::policy::cluster::{Cluster, SendHeader};
use crate::policy::facts::ConnectionFacts;
use crate::upstream::connect::{ConnectError, introduction};
use crate::upstream::endpoints::{Address, Chosen, Endpoints, Wish};
use crate::upstream::header::Introduced;

/// A socket of one flow. Only its endpoint can answer on it, and what comes is that flow's.
pub(super) struct Outgoing {
    socket: UdpSocket,
    endpoint: SocketAddr,
    header: Head,
    /// Whether the endpoint was told whose flow it is, where one datagram is to tell it.
    introduced: Cell<bool>,
}

/// What goes in front of datagrams.
enum Head {
    Every(Box<[u8]>),
    First(Box<[u8]>),
    /// Its client comes back in each answer.
    Simple([u8; foreword::spp::LEN], SocketAddr),
}

impl Outgoing {
    /// Has a socket to an endpoint of the cluster; to another one if that cannot be had, as often as the cluster allows.
    pub(super) fn open<'d>(
        endpoints: &Endpoints,
        cluster: &Arc<Cluster>,
        client: &Client,
        unique_id: &OnceCell<Box<[u8]>>,
    ) -> Result<(Chosen, Self), Dropping<'d>> {
        let (chosen, socket) = choose(endpoints, cluster, client).map_err(Dropping::Connect)?;
        let endpoint =
            socket.peer_addr().map_err(|source| Dropping::Connect(failed(chosen.address(), source)))?;
        let header = head(cluster, &chosen, client, unique_id).map_err(Dropping::Connect)?;
        Ok((chosen, Self { socket, endpoint, header, introduced: Cell::new(false) }))
    }

    pub(super) fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Sends a datagram as a whole, header and all, or not at all (R-UDP-07). Gives how many bytes went.
    pub(super) fn send(&self, payload: &[u8]) -> io::Result<usize> {
        let header = self.next_header();
        // Not through the runtime: a socket that it has not heard of yet would not be ready, and none of them ever waits.
        let sent =
            SockRef::from(&self.socket).send_vectored(&[IoSlice::new(header), IoSlice::new(payload)])?;
        self.introduced.set(true);
        Ok(sent)
    }

    /// What goes in front of the next datagram.
    fn next_header(&self) -> &[u8] {
        match &self.header {
            Head::Every(header) => header,
            Head::First(_) if self.introduced.get() => &[],
            Head::First(header) => header,
            Head::Simple(header, _) => header,
        }
    }

    /// What to say of a datagram that does not fit.
    pub(super) fn too_large(&self, payload: usize) -> TooLarge {
        let header = self.next_header().len();
        TooLarge { to: self.endpoint, payload, header, mtu: self.mtu() }
    }

    /// What the path takes, as far as the kernel has learnt.
    fn mtu(&self) -> Option<u32> {
        match self.endpoint {
            SocketAddr::V4(_) => ip_mtu(&self.socket).ok(),
            SocketAddr::V6(_) => ipv6_mtu(&self.socket).ok(),
        }
    }

    /// Waits for an answer, or for word that nobody takes datagrams there: that alone makes no socket readable.
    pub(super) async fn has_news(&self) -> io::Result<()> {
        self.socket.ready(Interest::READABLE | Interest::ERROR).await.map(drop)
    }

    pub(super) fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        match self.socket.try_recv(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(self.take_error()),
            received => received,
        }
    }

    /// What a router or the endpoint itself has sent back; `WouldBlock` if nothing.
    fn take_error(&self) -> io::Error {
        let nothing = || io::Error::from(io::ErrorKind::WouldBlock);
        let told: io::Result<()> =
            self.socket.try_io(Interest::ERROR, || Err(self.socket.take_error()?.unwrap_or_else(nothing)));
        told.err().unwrap_or_else(nothing)
    }

    /// How long the header of an answer is; `None` if it lacks the one that it should have.
    pub(super) fn header_of_answer(&self, answer: &[u8]) -> Option<usize> {
        let Head::Simple(_, client) = &self.header else { return Some(0) };
        let (spp, len) = Spp::parse(answer).ok()?;
        (spp.client == *client).then_some(len)
    }
}

fn choose(
    endpoints: &Endpoints,
    cluster: &Arc<Cluster>,
    client: &Client,
) -> Result<(Chosen, UdpSocket), ConnectError> {
    let key = cluster.balance.key(&ConnectionFacts { client, tls: None, hello: None });
    let mut tried = Vec::new();
    let mut chosen = endpoints.choose_now(cluster, Wish { key, ..Wish::default() })?;
    loop {
        let error = match connect(&chosen) {
            Ok(socket) => return Ok((chosen, socket)),
            Err(error) => error,
        };
        tried.push(chosen.address().clone());
        if tried.len() > usize::from(cluster.retries) {
            return Err(error);
        }
        // Another one may have the place that this one had.
        drop(chosen);
        let wish = Wish { key, tried: &tried, ..Wish::default() };
        let Ok(other) = endpoints.choose_now(cluster, wish) else { return Err(error) };
        chosen = other;
        chosen.account.retried();
    }
}

fn connect(chosen: &Chosen) -> Result<UdpSocket, ConnectError> {
    let &Address::Inet(address) = chosen.address() else {
        return Err(failed(chosen.address(), io::ErrorKind::Unsupported.into()));
    };
    match connect_to(address) {
        Ok(socket) => {
            // That says nothing of the endpoint yet: only an answer does.
            chosen.account.connected();
            Ok(socket)
        }
        Err(source) => {
            chosen.connect_failed(&source);
            Err(failed(chosen.address(), source))
        }
    }
}

fn connect_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // What does not fit comes back as an error. In fragments it would look as if it did, until one is lost.
    match address {
        SocketAddr::V4(_) => set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?,
        SocketAddr::V6(_) => set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DO)?,
    }
    socket.connect(&address.into())?;
    UdpSocket::from_std(socket.into())
}

pub(super) fn failed(address: &Address, source: io::Error) -> ConnectError {
    ConnectError::failed(address, source)
}

fn head(
    cluster: &Cluster,
    chosen: &Chosen,
    client: &Client,
    unique_id: &OnceCell<Box<[u8]>>,
) -> Result<Head, ConnectError> {
    if cluster.send_header == SendHeader::Spp {
        let (source, destination) = simple_addresses(client);
        let spp = Spp { client: source, proxy: destination };
        return Ok(Head::Simple(spp.encode(), source));
    }
    let who = Introduced { client, transport: Transport::Datagram, tls: None, hello: None, unique_id };
    let header = introduction(cluster, chosen, who)?.unwrap_or_default().into_boxed_slice();
    Ok(match cluster.send_header {
        SendHeader::V2First => Head::First(header),
        _ => Head::Every(header),
    })
}

/// The Simple Proxy Protocol knows nothing but two addresses; what has none is said as `[::]:0`.
fn simple_addresses(client: &Client) -> (SocketAddr, SocketAddr) {
    let nowhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let source = match &client.address {
        ClientAddr::Inet(source) => *source,
        ClientAddr::Unix(_) => nowhere,
    };
    let destination = match client.destination {
        PeerAddr::Inet(destination) => destination,
        PeerAddr::Unix => nowhere,
    };
    (canonical(source), canonical(destination))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a datagram was too large for the path.
pub(super) fn is_too_large(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MSGSIZE)
}

/// Whether the kernel has no room now, and may have in a moment.
pub(super) fn is_short_of_room(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || matches!(Errno::from_io_error(error), Some(Errno::NOBUFS | Errno::NOMEM))
}
