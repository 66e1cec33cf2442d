//! One address to listen on, with a socket for each worker.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Type};

use crate::folders::missing_folder;
use crate::plan::Bind;
use crate::refusal::Code;

/// One worker's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Its own, beside those of the other workers on the same address.
    Tcp(TcpListener),
    /// The same one for all workers.
    Unix(UnixListener),
    /// Its own, beside those of the other workers: the kernel gives it the datagrams of the same peers, always.
    Udp(UdpSocket),
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{bind}: {}{} [{}]", what(bind, cause), hint(bind, cause), Code::AddressTaken)]
pub struct BindError {
    /// The address, as it was written.
    pub bind: Bind,
    /// Why; it is told in our own words.
    pub cause: io::Error,
}

fn what(bind: &Bind, error: &io::Error) -> String {
    match (error.kind(), bind) {
        (io::ErrorKind::AddrInUse, _) => "the address is taken".to_owned(),
        (io::ErrorKind::AddrNotAvailable, _) => "the address is not one of this machine".to_owned(),
        (io::ErrorKind::PermissionDenied, _) => "not permitted".to_owned(),
        (io::ErrorKind::NotFound, Bind::Unix(path)) if let Some(folder) = missing_folder(path) => {
            format!(
                "its folder `{0}` is missing; `install -d -o {1} {0}` makes it, and so does `RuntimeDirectory=` in the unit, at \
                 each start",
                folder.display(),
                rustix::process::geteuid().as_raw()
            )
        }
        _ => format!("cannot be listened on: {error}"),
    }
}

fn hint(bind: &Bind, error: &io::Error) -> &'static str {
    match (error.kind(), bind) {
        (io::ErrorKind::AddrInUse, Bind::Inet(_)) => "; `ss -ltnp` shows by whom",
        (io::ErrorKind::AddrInUse, Bind::Udp(_)) => "; `ss -lunp` shows by whom",
        (io::ErrorKind::AddrInUse, Bind::Unix(_)) => "; somebody answers on it, or it is no socket",
        (io::ErrorKind::AddrNotAvailable, _) => "; `ip address` shows which are",
        (io::ErrorKind::PermissionDenied, Bind::Inet(address) | Bind::Udp(address))
            if address.port() < 1024 =>
        {
            "; ports below 1024 need CAP_NET_BIND_SERVICE"
        }
        _ => "",
    }
}

/// A bind and a socket for each worker.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where it really is: with its port, if it was left open.
    pub(crate) address: Bind,
    /// As many as there are workers, until they are handed out.
    pub(crate) sockets: Vec<Socket>,
    /// The file of a unix socket, taken away when nobody listens any more.
    pub(crate) file: Option<SocketFile>,
}

/// Whether we listen on the same port of an address that holds this one, or of one that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Whoever has any of it is somebody else.
    Nobody,
    /// `[::]:443` and `10.0.1.10:443` may both be ours: the kernel gives a connection to the one that says more.
    Ourselves,
}

/// Listens on `bind` for so many workers.
///
/// # Errors
///
/// When the address is taken, by whomever, or not ours.
pub(crate) fn bind(bind: &Bind, workers: usize, beside: Beside) -> Result<Bound, BindError> {
    let bound = match bind {
        Bind::Inet(address) => bind_inet(*address, workers, beside),
        Bind::Udp(address) => bind_udp(*address, workers, beside),
        Bind::Unix(path) => bind_unix(path, workers),
    };
    bound.map_err(|cause| BindError { bind: bind.clone(), cause })
}

/// Whether one of two different addresses holds the other.
pub(crate) fn overlap(one: &Bind, other: &Bind) -> bool {
    let (one, other) = match (one, other) {
        (Bind::Inet(one), Bind::Inet(other)) | (Bind::Udp(one), Bind::Udp(other)) => (one, other),
        _ => return false,
    };
    let holds = |any: &SocketAddr, other: &SocketAddr| {
        any.ip().is_unspecified() && (any.is_ipv6() || other.is_ipv4())
    };
    one != other && one.port() == other.port() && (holds(one, other) || holds(other, one))
}

fn bind_inet(address: SocketAddr, workers: usize, beside: Beside) -> io::Result<Bound> {
    let first = socket(address)?;
    // While the address is claimed without SO_REUSEPORT nobody else may have it; only then may our own join. Beside
    // ourselves no such claim is possible; there the kernel keeps out whoever is another user, or did not ask to share.
    first.set_reuse_port(beside == Beside::Ourselves)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    first.listen(BACKLOG)?;
    let first = TcpListener::from(first);
    let address = first.local_addr()?;

    let mut sockets = vec![Socket::Tcp(first)];
    for _ in 1..workers {
        let sibling = socket(address)?;
        sibling.set_reuse_port(true)?;
        sibling.bind(&address.into())?;
        sibling.listen(BACKLOG)?;
        sockets.push(Socket::Tcp(sibling.into()));
    }
    Ok(Bound { address: Bind::Inet(address), sockets, file: None })
}

fn socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier run may still be fading away.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Whatever is accepted inherits both; it saves two calls for each connection.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_quickack(false)?;
    Ok(socket)
}

fn bind_udp(address: SocketAddr, workers: usize, beside: Beside) -> io::Result<Bound> {
    let first = udp_socket(address)?;
    // As with TCP: nobody else has the port, and only then may our own join.
    first.set_reuse_port(beside == Beside::Ourselves)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let first = UdpSocket::from(first);
    let address = first.local_addr()?;

    let mut sockets = vec![Socket::Udp(first)];
    for _ in 1..workers {
        let sibling = udp_socket(address)?;
        sibling.set_reuse_port(true)?;
        sibling.bind(&address.into())?;
        sockets.push(Socket::Udp(sibling.into()));
    }
    Ok(Bound { address: Bind::Udp(address), sockets, file: None })
}

fn udp_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A burst waits here while the worker does something else. The kernel gives what `net.core.rmem_max` allows.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<Bound> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = socket2::SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::of(path)?;
    // Nobody can connect before `listen`, so nobody finds the door open wider than this.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;

    let listener = UnixListener::from(socket);
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(Socket::Unix(listener.try_clone()?));
    }
    sockets.push(Socket::Unix(listener));
    Ok(Bound { address: Bind::Unix(path.to_owned()), sockets, file: Some(file) })
}

/// Whether a socket lies there that nobody answers on: the one who made it was killed.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A socket's place in the file system, ours as long as it is the file that we made.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), device_and_inode: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.device_and_inode) {
            // If it cannot be taken away it is stale for the next one, who notices.
            let _stale = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The kernel takes less if `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

/// Some thousands of datagrams of the usual size.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Owner and group may connect, as with everything that decides who is believed.
const MODE: u32 = 0o660;

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn loopback() -> Bind {
        Bind::Inet("127.0.0.1:0".parse().unwrap())
    }

    #[test]
    fn every_worker_gets_a_socket_on_the_same_port() {
        let bound = bind(&loopback(), 3, Beside::Nobody).unwrap();
        let Bind::Inet(address) = bound.address else { panic!("bound to an inet address") };
        assert_ne!(address.port(), 0);
        for socket in &bound.sockets {
            let Socket::Tcp(listener) = socket else { panic!("a TCP socket") };
            assert_eq!(listener.local_addr().unwrap(), address);
        }
        assert_eq!(bound.sockets.len(), 3);
    }

    #[test]
    fn datagrams_come_in_at_one_port_and_those_of_a_peer_at_one_worker() {
        let bound = bind(&Bind::Udp("127.0.0.1:0".parse().unwrap()), 3, Beside::Nobody).unwrap();
        let Bind::Udp(address) = bound.address else { panic!("bound for datagrams") };
        let sockets: Vec<&UdpSocket> = bound
            .sockets
            .iter()
            .map(|socket| match socket {
                Socket::Udp(socket) => socket,
                _ => panic!("a UDP socket"),
            })
            .collect();
        assert_eq!(sockets.len(), 3);
        for _ in 0..8 {
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..4 {
                peer.send_to(b"hello", address).unwrap();
            }
            let heard = |socket: &&UdpSocket| {
                let mut count = 0;
                while socket.recv_from(&mut [0; 8]).is_ok() {
                    count += 1;
                }
                count
            };
            let mut counts: Vec<usize> = sockets.iter().map(heard).collect();
            counts.sort_unstable();
            assert_eq!(counts, [0, 0, 4]);
        }
    }

    #[test]
    fn a_port_for_datagrams_is_not_that_for_connections_and_is_shared_with_nobody() {
        let bound = bind(&Bind::Udp("127.0.0.1:0".parse().unwrap()), 2, Beside::Nobody).unwrap();
        let Bind::Udp(address) = bound.address else { panic!("bound for datagrams") };
        assert!(!overlap(&Bind::Inet(([0, 0, 0, 0], address.port()).into()), &bound.address));
        let error = bind(&bound.address, 1, Beside::Nobody).unwrap_err();
        assert!(error.to_string().contains("`ss -lunp` shows by whom"), "{error}");
    }

    #[test]
    fn a_port_that_is_shared_by_others_is_taken_for_us() {
        let others = bind(&loopback(), 2, Beside::Nobody).unwrap();
        let error = bind(&others.address, 2, Beside::Nobody).unwrap_err();
        assert_eq!(error.cause.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("the address is taken"), "{error}");
    }

    #[test]
    fn an_address_that_holds_another_shares_its_port_with_us_alone() {
        let any = bind(&Bind::Inet("0.0.0.0:0".parse().unwrap()), 2, Beside::Nobody).unwrap();
        let Bind::Inet(address) = any.address else { panic!("bound to an inet address") };
        let one = Bind::Inet(([127, 0, 0, 9], address.port()).into());
        assert!(overlap(&one, &any.address) && overlap(&any.address, &one));
        let error = bind(&one, 2, Beside::Nobody).unwrap_err();
        assert!(error.to_string().ends_with("by whom [FW703]"), "{error}");
        let ours = bind(&one, 2, Beside::Ourselves).unwrap();
        // The one that says more gets the connection, whichever was there first.
        let near = std::net::TcpStream::connect(("127.0.0.9", address.port())).unwrap();
        assert!(has(&ours, &near) && !has(&any, &near));
        let far = std::net::TcpStream::connect(("127.0.0.8", address.port())).unwrap();
        assert!(has(&any, &far) && !has(&ours, &far));
    }

    /// Whether one of the sockets was given this connection.
    fn has(bound: &Bound, connection: &std::net::TcpStream) -> bool {
        let own = connection.local_addr().unwrap();
        bound.sockets.iter().any(|socket| {
            let Socket::Tcp(listener) = socket else { panic!("a TCP socket") };
            listener.accept().is_ok_and(|(_, peer)| peer == own)
        })
    }

    #[test]
    fn only_what_is_in_an_address_overlaps_with_it() {
        let overlapping = |one: &str, other: &str| {
            overlap(&Bind::Inet(one.parse().unwrap()), &Bind::Inet(other.parse().unwrap()))
        };
        assert!(overlapping("[::]:443", "10.0.1.10:443"));
        assert!(overlapping("[::1]:443", "[::]:443"));
        assert!(!overlapping("0.0.0.0:443", "[::1]:443"));
        assert!(!overlapping("[::]:443", "10.0.1.10:444"));
        assert!(!overlapping("10.0.1.10:443", "10.0.1.11:443"));
        assert!(!overlapping("[::]:443", "[::]:443"));
    }

    #[test]
    fn an_address_of_another_machine_is_said_to_be_one() {
        let error = bind(&Bind::Inet("192.0.2.1:0".parse().unwrap()), 1, Beside::Nobody).unwrap_err();
        assert!(error.to_string().contains("not one of this machine"), "{error}");
    }

    #[test]
    fn both_families_come_in_where_no_address_is_given() {
        let bound = match bind(&Bind::Inet("[::]:0".parse().unwrap()), 2, Beside::Nobody) {
            // This machine has no IPv6.
            Err(error) if Errno::from_io_error(&error.cause) == Some(Errno::AFNOSUPPORT) => return,
            bound => bound.unwrap(),
        };
        let Bind::Inet(address) = bound.address else { panic!("bound to an inet address") };
        std::net::TcpStream::connect(("127.0.0.1", address.port())).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bound = bind(&Bind::Unix(path.clone()), 2, Beside::Nobody).unwrap();
        assert_eq!(bound.sockets.len(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);

        let error = bind(&Bind::Unix(path.clone()), 1, Beside::Nobody).unwrap_err();
        assert_eq!(error.cause.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists(), "the file goes with its socket");
    }

    #[test]
    fn a_unix_socket_whose_folder_is_missing_says_so_and_how_it_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("run/foreword");
        let told = bind(&Bind::Unix(folder.join("admin.sock")), 1, Beside::Nobody).unwrap_err().to_string();
        let folder = folder.display().to_string();
        assert!(
            told.contains(&format!("admin.sock: its folder `{folder}` is missing; `install -d -o ")),
            "{told}"
        );
        assert!(told.contains(&format!(" {folder}` makes it, ")) && told.ends_with(" [FW703]"), "{told}");
        assert!(!directory.path().join("run").exists(), "it is not made");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert!(bind(&Bind::Unix(path.clone()), 1, Beside::Nobody).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
