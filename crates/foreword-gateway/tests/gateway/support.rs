//! Endpoint, gateway, client: the three nouns that the tests of the gateway are told with.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use foreword_gateway::plan::{Bind, Plan};
use foreword_gateway::{Gateway, config};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Nothing takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that runs a file given as text, and what it logs.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) log: Log,
    folder: PathBuf,
    _subscriber: DefaultGuard,
}

impl Running {
    /// Starts a gateway. Relative paths in the file start at the current folder.
    pub(crate) fn start(file: &str) -> Self {
        Self::start_in(Path::new("."), file)
    }

    pub(crate) fn start_in(folder: &Path, file: &str) -> Self {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        let subscriber = tracing::subscriber::set_default(subscriber);
        let gateway = Gateway::start(plan(folder, file)).unwrap();
        Self { gateway, log, folder: folder.to_owned(), _subscriber: subscriber }
    }

    /// The address of a listener's first bind.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let bound = self.gateway.addresses().into_iter().find(|bound| &*bound.listener == listener);
        match bound.unwrap().address {
            Bind::Inet(address) | Bind::Udp(address) => address,
            Bind::Unix(path) => panic!("{listener} is bound to {}", path.display()),
        }
    }

    pub(crate) fn reload(&self, file: &str) {
        self.gateway.reload(plan(&self.folder, file)).unwrap();
    }
}

pub(crate) fn plan(folder: &Path, file: &str) -> Plan {
    match config::parse(file, "test.toml", folder) {
        Ok(configuration) => configuration.plan,
        Err(problems) => panic!("{problems}"),
    }
}

/// What was logged, and a way to wait for more.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<String>, Condvar)>);

impl Log {
    /// Waits for a line that holds `text`, and gives it.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        self.lines_with(text, 1).remove(0)
    }

    /// Waits for a line that holds `text`, and comes after the first `before` bytes of the log.
    #[track_caller]
    pub(crate) fn line_with_after(&self, before: usize, text: &str) -> String {
        let (logged, more) = &*self.0;
        let found = |logged: &String| {
            let new = logged.get(before..).unwrap_or_default();
            new.lines().find(|line| line.contains(text)).map(str::to_owned)
        };
        let logged = logged.lock().unwrap();
        let (logged, _) =
            more.wait_timeout_while(logged, PATIENCE, |logged| found(logged).is_none()).unwrap();
        found(&logged).unwrap_or_else(|| panic!("no line with `{text}` in:\n{}", &logged[before..]))
    }

    /// Waits for so many lines that hold `text`.
    #[track_caller]
    pub(crate) fn lines_with(&self, text: &str, count: usize) -> Vec<String> {
        let (logged, more) = &*self.0;
        let found = |logged: &String| -> Vec<String> {
            logged.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
        };
        let logged = logged.lock().unwrap();
        let (logged, late) =
            more.wait_timeout_while(logged, PATIENCE, |logged| found(logged).len() < count).unwrap();
        assert!(!late.timed_out(), "no {count} lines with `{text}` in:\n{logged}");
        found(&logged)
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        self.0.0.lock().unwrap().contains(text)
    }

    pub(crate) fn all(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (logged, more) = &*self.0;
        logged.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        more.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A server on loopback that does the same with each connection.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    accepted: Receiver<SocketAddr>,
}

impl Endpoint {
    pub(crate) fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, accepted) = mpsc::channel();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                if tell.send(peer).is_err() {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, accepted }
    }

    /// Sends back what comes, the end included.
    pub(crate) fn echo() -> Self {
        Self::new(|mut stream| {
            let mut reads = stream.try_clone().unwrap();
            // Whoever resets the connection wants nothing back.
            if io::copy(&mut reads, &mut stream).is_ok() {
                let _gone = stream.shutdown(Shutdown::Write);
            }
        })
    }

    /// Hands over all that comes on each connection, once it ended.
    pub(crate) fn recording() -> (Self, Receiver<Vec<u8>>) {
        let (tell, heard) = mpsc::channel();
        let endpoint = Self::new(move |mut stream| {
            let mut bytes = Vec::new();
            // What came before a reset is told as well.
            let _reset = stream.read_to_end(&mut bytes);
            let _gone = tell.send(bytes);
        });
        (endpoint, heard)
    }

    /// Whether nobody connected so far.
    pub(crate) fn is_unvisited(&self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

/// Connects from 127.0.0.1.
pub(crate) fn client(address: SocketAddr) -> TcpStream {
    client_from(Ipv4Addr::LOCALHOST.into(), address)
}

/// Connects from an address of this machine; all of 127.0.0.0/8 are.
pub(crate) fn client_from(source: IpAddr, address: SocketAddr) -> TcpStream {
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Writes byte by byte, each in a segment of its own.
pub(crate) fn drip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| stream.write_all(&[*byte]))
}

/// Says all that it has to say. Whoever is refused may find that the other side is gone already.
pub(crate) fn say_all(stream: &mut TcpStream, bytes: &[u8]) {
    let _refused = stream.write_all(bytes);
    let _refused = stream.shutdown(Shutdown::Write);
}

/// Reads to the end; a reset is an end too.
pub(crate) fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection did not end"),
        _ => bytes,
    }
}

/// Whether nobody listens there. An error of another kind says nothing: the ports of this side may have run out.
pub(crate) fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Waits until `holds` does.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}
