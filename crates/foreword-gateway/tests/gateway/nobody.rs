//! Where nobody is, for the tests of every mode.

use std::net::SocketAddr;
use std::sync::Mutex;

/// An address where nobody listens, and nobody can until this process ends: its port is bound, so that it is given to no one else.
pub(crate) fn nobody() -> SocketAddr {
    static HELD: Mutex<Vec<socket2::Socket>> = Mutex::new(Vec::new());
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    HELD.lock().unwrap().push(socket);
    address
}
