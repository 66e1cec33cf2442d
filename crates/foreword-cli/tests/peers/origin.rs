//! A web server that never heard of PROXY: it answers every request, and remembers what it was told.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::caller::field;
use crate::ground::Ground;
use crate::program::PATIENCE;

/// A server on a thread for each connection. It answers with the target it was asked for, and takes the rest of its
/// orders from the path: `/held…` is answered when the test says so.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    heads: Mutex<Vec<String>>,
    /// Requests whose answer is held back by now; told whenever that or `open` changes.
    held: Mutex<usize>,
    changed: Condvar,
    open: AtomicBool,
    ended: AtomicBool,
}

impl Origin {
    pub(crate) fn start(ground: &Ground) -> Self {
        let address = ground.address();
        let listener = TcpListener::bind(address).expect("an address for the origin");
        let shared = Arc::new(Shared::default());
        let known = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if known.ended.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&known);
                // How a connection ends is the business of the test at its other end.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().expect("the heads").clone()
    }

    /// The last request's head.
    pub(crate) fn last(&self) -> String {
        self.heads().pop().expect("a request at the origin")
    }

    /// Waits until this many requests are held back.
    pub(crate) fn holds(&self, count: usize) {
        let held = self.shared.held.lock().expect("the held");
        let (held, timeout) =
            self.shared.changed.wait_timeout_while(held, PATIENCE, |held| *held < count).expect("the held");
        assert!(!timeout.timed_out(), "expected {count} requests at the origin, found {held}");
    }

    /// Answers all that was held back, and holds nothing any more.
    pub(crate) fn release(&self) {
        let _held = self.shared.held.lock().expect("the held");
        self.shared.open.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // The accepting thread sits in `accept`; a connection wakes it.
        drop(TcpStream::connect(self.address));
        self.shared.open.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
        // The address is free only when the thread is done. If it panicked, its test has failed for that already.
        drop(self.accepting.take().map(JoinHandle::join));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let body = match field(&head, "transfer-encoding") {
            Some(_) => chunked(&mut reader)?,
            None => exactly(&mut reader, field(&head, "content-length").map_or(Ok(0), str::parse))?,
        };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        shared.heads.lock().expect("the heads").push(head);
        if target.starts_with("/held") {
            hold(shared);
        }
        let text = format!("{target} {} bytes\n", body.len());
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n{text}",
            text.len()
        )?;
    }
}

fn exactly<E>(reader: &mut impl Read, len: Result<usize, E>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len.map_err(|_| io::ErrorKind::InvalidData)?];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A body to its very end: whoever answers before it is asked for the rest no more.
fn chunked(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16);
        let is_last = size == Ok(0);
        body.extend(exactly(reader, size)?);
        // Behind a chunk there is an empty line, and behind the last one there may be trailers before it.
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                break;
            }
        }
        if is_last {
            return Ok(body);
        }
    }
}

fn hold(shared: &Shared) {
    let mut held = shared.held.lock().expect("the held");
    *held += 1;
    shared.changed.notify_all();
    drop(
        shared
            .changed
            .wait_timeout_while(held, PATIENCE, |_| !shared.open.load(Ordering::SeqCst))
            .expect("the held"),
    );
}
