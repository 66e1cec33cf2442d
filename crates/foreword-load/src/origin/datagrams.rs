//! The echo: each datagram goes back to whom it came from, without the header in front.

use std::io;
use std::net::{IpAddr, SocketAddr};

use foreword::{Parser, Signature, signature};
use tokio::net::UdpSocket;

use super::tally::Tally;
use crate::failure::Failure;

/// A socket on a free port.
pub(super) fn bind(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(ip, 0))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Sends back what comes. With `must_begin_with_header`, what does not is a failure, and dropped.
pub(super) async fn echo(socket: UdpSocket, must_begin_with_header: bool, tally: &Tally) {
    let parser = Parser::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let (len, peer) = match socket.recv_from(&mut buffer).await {
            Ok(came) => came,
            // What an earlier one met on its way; the socket goes on.
            Err(error) => {
                tally.fail(&Failure::Broken(error));
                continue;
            }
        };
        let datagram = buffer.get(..len).unwrap_or_default();
        let payload = if must_begin_with_header || signature(datagram) == Signature::Whole {
            match parser.parse_datagram(datagram) {
                Ok((_, header_len)) => {
                    tally.introduced();
                    datagram.get(header_len..).unwrap_or_default()
                }
                Err(malformed) => {
                    tally.fail(&Failure::Datagram(malformed));
                    continue;
                }
            }
        } else {
            datagram
        };
        match socket.send_to(payload, peer).await {
            Ok(_) => tally.echoed(),
            Err(error) => tally.fail(&Failure::Broken(error)),
        }
    }
}

/// No datagram is larger.
const LARGEST: usize = 65_536;
