//! Who comes in: accepted, counted, and handed to a task of its own.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use foreword::PeerAddr;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::chapter::Story;
use super::door::{OpenDoor, Served};
use super::shared::{Present, Worker};
use super::{Accepted, Guest, arrival, refuse};
use crate::plan::Keepalive;
use crate::refusal::Code;
use crate::sockets::Socket;
use crate::stream::shortage::is_shortage;
use crate::stream::tcp::Tcp;
use crate::stream::{self, Stream};

/// Takes in whoever comes through a door, until it closes; then those who had come before.
pub(crate) async fn accept(socket: Socket, door: Rc<OpenDoor>, worker: Rc<Worker>, _present: Present) {
    let listening = match Listening::new(socket) {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!("listener `{}` cannot be served: {error}", door.served().listener.name);
            return;
        }
    };
    let mut keepalive = listening.ask_for_life(None, &door.served());
    let mut closing = pin!(door.closing());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closing => break,
            accepted = next(&listening, &worker) => accepted,
        };
        match accepted {
            Ok(accepted) => {
                let served = door.served();
                if keepalive != asks_for_life(&served) {
                    keepalive = listening.ask_for_life(keepalive, &served);
                    accepted.stream.keep_alive(keepalive);
                }
                welcome(accepted, served, &worker);
            }
            Err(error) if is_shortage(&error) => {
                let served = door.served();
                served.journal.counters().refused(Code::OutOfDescriptors, None);
                served.post.everywhere.tell_shortage(&served.listener.name, &error);
                tokio::time::sleep(PAUSE).await;
            }
            // Whoever gave up while waiting to be accepted is a matter of that connection alone.
            Err(_) => {}
        }
    }
    match listening.those_waiting() {
        Ok(waiting) => waiting.into_iter().for_each(|accepted| welcome(accepted, door.served(), &worker)),
        Err(error) => tracing::warn!("connections that waited at the end were lost: {error}"),
    }
}

/// The next who comes, once there is something left for them.
async fn next(listening: &Listening, worker: &Worker) -> io::Result<Accepted> {
    worker.progress.has_ration().await;
    listening.next().await
}

fn welcome(accepted: Accepted, served: Rc<Served>, worker: &Rc<Worker>) {
    let present = worker.enter();
    match served.post.admit(served.listener.max.connections) {
        Ok(places) => {
            worker.progress.ration().take(if served.listener.tls.is_some() { SECURED } else { PLAIN });
            let guest = Guest::new(&accepted, served, places, present);
            spawn_local(Story::beginning_with(arrival(accepted, guest)));
        }
        Err(full) => refuse(&accepted, &served, full.into()),
    }
}

/// A worker's socket, and what need not be asked of each connection.
enum Listening {
    /// With its own address, unless each connection has another.
    Tcp(TcpListener, Option<PeerAddr>),
    Unix(UnixListener),
}

impl Listening {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => {
                let local = listener.local_addr()?;
                let known = !local.ip().is_unspecified();
                Self::Tcp(TcpListener::from_std(listener)?, known.then(|| PeerAddr::from(local)))
            }
            Socket::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
            Socket::Udp(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Has whatever is accepted from now on inherit what the plan says of keepalive, and gives what that is.
    fn ask_for_life(&self, before: Option<Keepalive>, served: &Served) -> Option<Keepalive> {
        let keepalive = asks_for_life(served);
        if let Self::Tcp(listener, _) = self {
            let socket = SockRef::from(listener);
            let set = match keepalive {
                Some(keepalive) => stream::ask_for_life(&socket, keepalive),
                None if before.is_some() => socket.set_keepalive(false),
                None => Ok(()),
            };
            if let Err(error) = set {
                tracing::warn!("listener `{}`: no keepalive: {error}", served.listener.name);
            }
        }
        keepalive
    }

    async fn next(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, local) => {
                let (stream, peer) = listener.accept().await?;
                tcp(stream, peer, local.as_ref())
            }
            Self::Unix(listener) => Ok(unix(listener.accept().await?.0)),
        }
    }

    /// Whoever the kernel took in and we did not yet. It must be asked directly: readiness is only known from turn to turn.
    fn those_waiting(self) -> io::Result<Vec<Accepted>> {
        let mut waiting = Vec::new();
        match self {
            Self::Tcp(listener, local) => {
                let listener = listener.into_std()?;
                while let Ok((stream, peer)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    waiting.push(tcp(TcpStream::from_std(stream)?, peer, local.as_ref())?);
                }
            }
            Self::Unix(listener) => {
                let listener = listener.into_std()?;
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    waiting.push(unix(UnixStream::from_std(stream)?));
                }
            }
        }
        Ok(waiting)
    }
}

fn asks_for_life(served: &Served) -> Option<Keepalive> {
    served.listener.keepalive.within(served.listener.timeout.idle)
}

fn tcp(stream: TcpStream, peer: SocketAddr, local: Option<&PeerAddr>) -> io::Result<Accepted> {
    let local = match local {
        Some(local) => *local,
        None => PeerAddr::from(stream.local_addr()?),
    };
    Ok(Accepted {
        stream: Stream::Tcp(Tcp::accepted(stream)),
        peer: PeerAddr::from(peer),
        local,
        at: Instant::now(),
    })
}

fn unix(stream: UnixStream) -> Accepted {
    Accepted { stream: Stream::Unix(stream), peer: PeerAddr::Unix, local: PeerAddr::Unix, at: Instant::now() }
}

/// About what a connection takes before anything is read of it, in the kernel as well.
const PLAIN: usize = 8 * 1024;

/// The same with a handshake.
const SECURED: usize = 32 * 1024;

/// Long enough to cost nothing, short enough that whoever waits in the queue hardly notices when there is room again.
const PAUSE: Duration = Duration::from_millis(100);
