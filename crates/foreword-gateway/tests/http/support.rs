//! Endpoint, gateway, client: the three nouns that these tests are told with, all of them on loopback.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use foreword_gateway::plan::Bind;
use foreword_gateway::{Gateway, config};

/// Nothing takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the large proofs run: `scripts/check nightly` says so.
pub(crate) fn is_nightly() -> bool {
    std::env::var_os("FOREWORD_NIGHTLY").is_some()
}

/// Starts a gateway on the file `text`.
pub(crate) fn gateway(text: &str) -> Gateway {
    let configuration = config::parse(text, "test.toml", Path::new("."))
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    Gateway::start(configuration.plan).unwrap()
}

/// Tries what a client has a second for, by the product's own clock. A failure after that second shows only that the machine
/// paused, and the next attempt is to show it; any other is one.
pub(crate) fn within_its_second(attempt: impl Fn() -> Result<(), String>) {
    let mut late = Vec::new();
    while late.len() < 5 {
        let begun = Instant::now();
        match attempt() {
            Ok(()) => return,
            Err(error) if begun.elapsed() < Duration::from_secs(1) => panic!("{error}"),
            Err(error) => late.push(error),
        }
    }
    panic!("late each time: {late:?}");
}

/// A file with the listener `web` in front of `endpoints`; `listener` and `cluster` are more keys of both.
pub(crate) fn file(endpoints: &[SocketAddr], listener: &str, cluster: &str) -> String {
    let mut text = String::new();
    let list: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    write!(
        text,
        "workers = 1\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\n{listener}\n\
         [cluster.app]\nendpoints = [{}]\n{cluster}\n",
        list.join(", ")
    )
    .unwrap();
    text
}

/// A gateway that forwards everything to `endpoint`.
pub(crate) fn in_front_of(endpoint: &Endpoint) -> Gateway {
    gateway(&file(&[endpoint.address], "cluster = \"app\"", ""))
}

/// The address of the first listener; in most files it is the only one.
pub(crate) fn address(gateway: &Gateway) -> SocketAddr {
    inet(gateway.addresses().first().map(|bound| bound.address.clone()))
}

/// The address of the listener of this name.
pub(crate) fn address_of(gateway: &Gateway, listener: &str) -> SocketAddr {
    let bound = gateway.addresses().into_iter().find(|bound| &*bound.listener == listener);
    inet(bound.map(|bound| bound.address))
}

fn inet(bind: Option<Bind>) -> SocketAddr {
    match bind {
        Some(Bind::Inet(address)) => address,
        other => panic!("expected an address, found {other:?}"),
    }
}

/// An address whose queue is full, so that the kernel leaves newcomers without an answer.
pub(crate) struct Full {
    pub(crate) address: SocketAddr,
    listener: socket2::Socket,
    queue: Vec<TcpStream>,
}

impl Full {
    pub(crate) fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
        }
        Self { address, listener, queue }
    }

    /// Takes all that wait, and then the next one who comes.
    pub(crate) fn takes_one(&self) -> TcpStream {
        self.queue.iter().for_each(|_| drop(self.listener.accept().unwrap()));
        self.listener.accept().unwrap().0.into()
    }

    /// Whether somebody else has come meanwhile.
    pub(crate) fn has_another(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_ok()
    }

    /// How many sockets of this machine wait for an answer from there.
    pub(crate) fn connecting(&self) -> usize {
        let there = format!(":{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_one = |line: &&str| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            // SYN-SENT, proc_net_tcp(5).
            fields.next().is_some_and(|remote| remote.ends_with(&there)) && fields.next() == Some("02")
        };
        table.lines().filter(is_one).count()
    }
}

pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// A server that does with each connection what it is told to, and remembers what came.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Seen,
}

/// All bytes that an endpoint was sent, connection by connection.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Vec<u8>>>>);

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn all(&self) -> Vec<u8> {
        self.0.lock().unwrap().concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.all()).into_owned()
    }

    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().iter_mut().for_each(Vec::clear);
    }
}

impl Endpoint {
    pub(crate) fn new(serve: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let (all, serve) = (seen.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let place = {
                    let mut all = all.0.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let mut wire = Wire::new(stream);
                wire.tell = Some((all.clone(), place));
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(&mut wire));
            }
        });
        Self { address, seen }
    }

    /// Answers every request with 200 and its body with `ok`, for as long as it is asked.
    pub(crate) fn polite() -> Self {
        Self::new(|wire| {
            while wire.request().is_some() {
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        })
    }

    /// Answers every request with the head that it was sent.
    pub(crate) fn mirror() -> Self {
        Self::new(|wire| {
            while let Some((head, _)) = wire.request() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
                wire.write(answer.as_bytes());
            }
        })
    }

    /// As [`polite`](Self::polite), but of a request with `X-Hold` it reads the head alone.
    pub(crate) fn slow_reader() -> Self {
        Self::new(|wire| {
            while let Some(head) = wire.head() {
                if field(&head, "X-Hold").is_some() {
                    thread::park_timeout(PATIENCE);
                    return;
                }
                if field(&head, "Transfer-Encoding").is_some() && wire.chunked().is_none() {
                    return;
                }
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        })
    }

    /// Reads one request and gives one answer, then closes.
    pub(crate) fn once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |wire| {
            if wire.request().is_some() {
                wire.write(&answer);
            }
        })
    }
}

/// Tells the endpoint's side of a story to the test.
pub(crate) fn events<T: Send + 'static>() -> (Arc<Mutex<Sender<T>>>, Receiver<T>) {
    let (sender, receiver) = channel();
    (Arc::new(Mutex::new(sender)), receiver)
}

/// One end of a connection, read in the way of a test: blocking, and never for ever.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
    tell: Option<(Seen, usize)>,
}

/// An answer as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The value of the first field of this name.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), tell: None }
    }

    pub(crate) fn to(gateway: &Gateway) -> Self {
        Self::new(TcpStream::connect(address(gateway)).unwrap())
    }

    /// Writes; the other side may be gone already.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &str) -> Answer {
        self.write(request.as_bytes());
        let method = request.split(' ').next().unwrap().to_owned();
        self.answer(&method).unwrap_or_else(|| panic!("no answer to {request}"))
    }

    /// Reads what there is; 0 at the end, however it came.
    pub(crate) fn fill(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let len = match self.stream.read(&mut chunk) {
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {PATIENCE:?}")
            }
            Err(_) => 0,
        };
        self.buffer.extend_from_slice(&chunk[..len]);
        if let Some((seen, place)) = &self.tell {
            seen.0.lock().unwrap()[*place].extend_from_slice(&chunk[..len]);
        }
        len
    }

    /// Reads a head, or nothing if the other side has no more to say.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    pub(crate) fn exactly(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < len {
            if self.fill() == 0 {
                return None;
            }
        }
        let rest = self.buffer.split_off(len);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                return self.exactly(end + 2).map(|line| String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// Reads one chunk of a body; nothing at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).unwrap();
        let content = self.exactly(size).filter(|content| !content.is_empty())?;
        assert_eq!(self.line()?, "");
        Some(content)
    }

    /// Reads a chunked body; its content, and its trailers.
    pub(crate) fn chunked(&mut self) -> Option<(Vec<u8>, String)> {
        let mut content = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).unwrap();
            if size == 0 {
                break;
            }
            content.extend(self.exactly(size)?);
            assert_eq!(self.line()?, "");
        }
        let mut trailers = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some((content, trailers));
            }
            trailers.push_str(&line);
            trailers.push('\n');
        }
    }

    /// Reads a request with its body.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let body = if field(&head, "Transfer-Encoding").is_some() {
            self.chunked()?.0
        } else {
            let length = field(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
            self.exactly(length)?
        };
        Some((head, body))
    }

    /// Reads a final answer to a request with this method; `None` if the connection ended before it was whole.
    pub(crate) fn answer(&mut self, method: &str) -> Option<Answer> {
        let head = self.head()?;
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if (100..200).contains(&status) && status != 101 {
            return self.answer(method);
        }
        let body = if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            Vec::new()
        } else if field(&head, "Transfer-Encoding").is_some() {
            self.chunked()?.0
        } else if let Some(length) = field(&head, "Content-Length") {
            self.exactly(length.parse().unwrap())?
        } else {
            while self.fill() > 0 {}
            std::mem::take(&mut self.buffer)
        };
        Some(Answer { status, head, body })
    }

    /// Waits for the end of the connection; true if nothing came before it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.fill() == 0
    }

    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset, and has come to nobody from then on.
    pub(crate) fn cut(&mut self) {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let unused = TcpStream::connect(nobody.local_addr().unwrap()).unwrap();
        Self { stream: std::mem::replace(&mut self.stream, unused), buffer: Vec::new(), tell: None }.reset();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
