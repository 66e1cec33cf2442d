//! A connection while it is made. Whoever wanted it may leave; how it went is told of the endpoint all the same.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::witness::Witness;
use crate::alarm::patience::{Over, Patience};
use crate::stream::tcp::Tcp;

/// A TCP connection that is being made.
#[derive(Debug)]
pub(super) struct Connecting(TcpStream);

impl Connecting {
    /// Begins to connect.
    pub(super) fn begin(address: SocketAddr) -> io::Result<Self> {
        // Linux needs no call of its own for what is said with the first.
        #[cfg(target_os = "linux")]
        let kind = Type::STREAM.nonblocking();
        #[cfg(not(target_os = "linux"))]
        let kind = Type::STREAM;
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        #[cfg(not(target_os = "linux"))]
        socket.set_nonblocking(true)?;
        // Our answer to the endpoint's first segment goes out with our own bytes, not before them.
        #[cfg(target_os = "linux")]
        socket.set_tcp_quickack(false)?;
        match socket.connect(&address.into()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
            _ => Ok(Self(TcpStream::from_std(socket.into())?)),
        }
    }

    /// Waits until it is made, or cannot be.
    async fn settled(&self) -> io::Result<()> {
        self.0.writable().await?;
        self.0.take_error()?.map_or(Ok(()), Err)
    }

    /// Sees it made.
    pub(super) async fn made(self) -> io::Result<Tcp> {
        self.settled().await?;
        Tcp::opened(self.0)
    }

    /// Sees it made for somebody who may leave at any time: then it goes on by itself until it is known how it went, where that is
    /// of use.
    pub(super) async fn attended(
        self,
        witness: &Witness,
        limit: Limit,
        patience: &Patience<'_>,
    ) -> Result<io::Result<Tcp>, Over> {
        let mut attended = Attended { connecting: Some(self), witness, limit };
        let outcome = patience.race(pin!(attended.settled()), || Some(limit.deadline)).await;
        // Whoever hears of it has not left.
        let connecting = attended.connecting.take();
        outcome.map(|settled| {
            settled?;
            Tcp::opened(connecting.ok_or(io::ErrorKind::NotConnected)?.0)
        })
    }
}

/// How long connecting may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) deadline: Instant,
    /// The cluster's `timeout.connect`.
    pub(super) after: Duration,
}

impl Limit {
    pub(super) fn of(after: Duration) -> Self {
        Self { deadline: Instant::now() + after, after }
    }

    /// Tells of the endpoint how connecting went.
    pub(super) fn tell<T, Late>(self, witness: &Witness, outcome: &Result<io::Result<T>, Late>) {
        match outcome {
            Ok(Ok(_)) => witness.connected(),
            Ok(Err(error)) => witness.connect_failed(error),
            Err(_) => witness.connect_timed_out(self.after),
        }
    }
}

/// A connection that somebody waits for.
struct Attended<'w> {
    /// There until that is over.
    connecting: Option<Connecting>,
    witness: &'w Witness,
    limit: Limit,
}

impl Attended<'_> {
    async fn settled(&self) -> io::Result<()> {
        match &self.connecting {
            Some(connecting) => connecting.settled().await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        let Some(connecting) = self.connecting.take() else { return };
        let Some(successor) = self.witness.successor() else { return };
        let limit = self.limit;
        spawn_local(async move {
            let outcome = timeout_at(limit.deadline, connecting.settled()).await;
            limit.tell(successor.witness(), &outcome);
        });
    }
}
