//! Listeners for datagrams: an endpoint that echoes, a gateway, clients at any address of this machine.

mod flows;
mod headers;
mod limits;
mod trust;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use foreword::Parser;

use crate::support::{PATIENCE, Running};

/// A server that says what comes, and from whom, and sends it back.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    heard: Receiver<(SocketAddr, Vec<u8>)>,
}

impl Echo {
    /// Sends everything back.
    pub(crate) fn new() -> Self {
        Self::answering(<[u8]>::to_vec)
    }

    /// Answers with what `answer` makes of what came.
    pub(crate) fn answering(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut room = vec![0; 65_536];
            while let Ok((len, peer)) = socket.recv_from(&mut room) {
                if tell.send((peer, room[..len].to_vec())).is_err() {
                    return;
                }
                // Whoever asked may be gone.
                let _gone = socket.send_to(&answer(&room[..len]), peer);
            }
        });
        Self { address, heard }
    }

    /// The next datagram, and from which socket of the gateway it came.
    #[track_caller]
    pub(crate) fn hear(&self) -> (SocketAddr, Vec<u8>) {
        self.heard.recv_timeout(PATIENCE).expect("a datagram")
    }

    pub(crate) fn has_heard_nothing_more(&self) -> bool {
        self.heard.try_recv().is_err()
    }
}

/// A file with one listener, `dns`, and one cluster.
pub(crate) fn file(listener: &str, cluster: &str, endpoints: &[SocketAddr]) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "workers = 2\n[listener.dns]\nbind = [\"127.0.0.1:0\"]\nmode = \"udp\"\ncluster = \"app\"\n{listener}\n\
         [cluster.app]\nendpoints = [{}]\n{cluster}\n",
        endpoints.join(", ")
    )
}

/// A client at `source`, connected, so that it hears nobody but whom it asked.
pub(crate) fn client_at(source: impl Into<IpAddr>, address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((source.into(), 0)).unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn client(address: SocketAddr) -> UdpSocket {
    client_at(Ipv4Addr::LOCALHOST, address)
}

#[track_caller]
pub(crate) fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut room = vec![0; 65_536];
    let len = client.recv(&mut room).expect("an answer");
    room.truncate(len);
    room
}

#[track_caller]
pub(crate) fn ask(client: &UdpSocket, question: &[u8]) -> Vec<u8> {
    client.send(question).unwrap();
    hear(client)
}

/// What is in front of a datagram: whom it names, and the payload.
#[track_caller]
pub(crate) fn taken_apart(datagram: &[u8]) -> (foreword::Header<'_>, &[u8]) {
    let (header, len) = Parser::new().parse_datagram(datagram).expect("a header");
    (header, &datagram[len..])
}

/// The value of a sample of the metrics.
pub(crate) fn metric(running: &Running, sample: &str) -> u64 {
    let mut text = String::new();
    running.gateway.observer().write_metrics(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap_or_else(|| panic!("no `{sample}` in:\n{text}")).trim().parse::<f64>().unwrap() as u64
}

pub(crate) fn dropped(running: &Running, cause: &str) -> u64 {
    metric(running, &format!("foreword_datagrams_dropped_total{{listener=\"dns\",cause=\"{cause}\"}}"))
}
