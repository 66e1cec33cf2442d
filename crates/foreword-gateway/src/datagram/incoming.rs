//! The socket that datagrams come in at: batches, and the address that each was sent to.

use std::io;
use std::net::{IpAddr, SocketAddr};

use foreword::PeerAddr;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::buffers::Batch;

/// A datagram, and between whom it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'d> {
    /// As the kernel says it, which is how an answer finds back.
    pub(super) peer: SocketAddr,
    /// Which of our addresses it was sent to.
    pub(super) to: IpAddr,
    pub(super) port: u16,
    pub(super) bytes: &'d [u8],
}

impl Arrived<'_> {
    /// Between whom it came.
    pub(super) fn ends(&self) -> Ends {
        let local = PeerAddr::from(SocketAddr::new(self.to, self.port));
        Ends { peer: PeerAddr::from(self.peer), local }
    }
}

/// Between whom a datagram came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: PeerAddr,
    pub(crate) local: PeerAddr,
}

/// A worker's socket at one door.
pub(super) struct Incoming {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Incoming {
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, local })
    }

    /// Where it is bound; to any address, perhaps.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes what is there, without waiting.
    pub(super) fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        self.socket.try_io(Interest::READABLE, || {
            batch.fill(|places, met| self.state.recv(UdpSockRef::from(&self.socket), places, met))
        })
    }

    /// Sends an answer from the address that was asked.
    pub(super) fn answer(&self, peer: SocketAddr, from: IpAddr, contents: &[u8]) -> io::Result<()> {
        let transmit =
            Transmit { destination: peer, ecn: None, contents, segment_size: None, src_ip: Some(from) };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}
