//! Datagrams that come back as they went, each known by its number.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use tokio::net::UdpSocket;

use crate::connection::within;
use crate::failure::Failure;
use crate::load::Datagrams;
use crate::run::Run;

/// One task's datagrams, all of one flow.
pub(crate) async fn exchange(run: &Run, datagrams: &Datagrams) {
    let mut buffer = vec![0; LARGEST];
    while let Some(begun) = run.begin_now() {
        match Flow::open(run, datagrams).await {
            Ok(mut flow) => flow.exchange(begun, &mut buffer).await,
            Err(failure) => run.fail(&failure),
        }
    }
}

/// A socket, and what is under way through it.
struct Flow<'r> {
    run: &'r Run,
    datagrams: &'r Datagrams,
    socket: UdpSocket,
    /// The header, behind it the number, behind that dots.
    datagram: Vec<u8>,
    number: usize,
    next: u64,
    under_way: Vec<(u64, Instant)>,
}

impl<'r> Flow<'r> {
    async fn open(run: &'r Run, datagrams: &'r Datagrams) -> Result<Self, Failure> {
        let target = run.load.target;
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(Failure::Connect)?;
        socket.connect(target).await.map_err(Failure::Connect)?;
        let mut datagram = run.load.datagram_header(run.connected()).map_err(Failure::Encode)?;
        let number = datagram.len();
        datagram.resize(number + datagrams.len.max(NUMBER), b'.');
        Ok(Self { run, datagrams, socket, datagram, number, next: 0, under_way: Vec::new() })
    }

    /// Sends and takes back until it is enough, or one did not come back. The first one has begun.
    async fn exchange(&mut self, begun: Instant, buffer: &mut [u8]) {
        let mut next = Some(begun);
        loop {
            while let Some(begun) = next {
                if let Err(error) = self.send(begun).await {
                    return self.fail_all(&Failure::Broken(error));
                }
                let has_room = self.under_way.len() < self.datagrams.at_once.get();
                next = if has_room { self.run.begin_now() } else { None };
            }
            if self.under_way.is_empty() {
                return;
            }
            let came = within(self.run.load.timeout, self.socket.recv(buffer)).await;
            match came.and_then(|came| came.map_err(Failure::Broken)) {
                Ok(len) => self.take(buffer.get(..len).unwrap_or_default()),
                Err(failure) => return self.fail_all(&failure),
            }
            next = self.run.begin_now();
        }
    }

    async fn send(&mut self, begun: Instant) -> io::Result<()> {
        let number = self.next.to_be_bytes();
        if let Some(place) = self.datagram.get_mut(self.number..self.number + NUMBER) {
            place.copy_from_slice(&number);
        }
        self.under_way.push((self.next, begun));
        self.next += 1;
        self.socket.send(&self.datagram).await.map(|_| ())
    }

    /// Judges what came, and counts it if it is one of those that went.
    fn take(&mut self, came: &[u8]) {
        let number = came.first_chunk().map(|number| u64::from_be_bytes(*number));
        let place = self.under_way.iter().position(|(sent, _)| Some(*sent) == number);
        let Some((_, begun)) = place.map(|place| self.under_way.swap_remove(place)) else {
            return self.run.fail(&Failure::Excess { bytes: came.len() });
        };
        let expected = self.datagram.len() - self.number;
        let dots = came.get(NUMBER..).unwrap_or_default();
        if came.len() == expected && dots.iter().all(|byte| *byte == b'.') {
            self.run.outcome.borrow_mut().done(begun.elapsed(), came.len() as u64);
        } else {
            self.run.fail(&Failure::Length { expected: expected as u64, found: came.len() as u64 });
        }
    }

    /// None of those that are under way is waited for any more.
    fn fail_all(&mut self, failure: &Failure) {
        for _ in self.under_way.drain(..) {
            self.run.fail(failure);
        }
    }
}

/// Bytes at the beginning that tell datagrams of a flow from each other.
const NUMBER: usize = 8;
/// No datagram is larger.
const LARGEST: usize = 65_536;
