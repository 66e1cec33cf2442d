//! An endpoint that remembers every byte, one connection for each request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::oracle::{Verdict, judge};
use crate::support::PATIENCE;

/// The endpoint, and what it was sent.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    connections: Vec<Vec<u8>>,
    open: usize,
}

impl Recorder {
    /// Answers each request that is whole, and ends its connection; hears what comes behind it all the same.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<(Mutex<Seen>, Condvar)>::default();
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                all.0.lock().unwrap().open += 1;
                let all = Arc::clone(&all);
                thread::spawn(move || {
                    let bytes = record(stream);
                    let mut seen = all.0.lock().unwrap();
                    seen.open -= 1;
                    seen.connections.push(bytes);
                    all.1.notify_all();
                });
            }
        });
        Self { address, seen }
    }

    /// All that came, connection by connection, once every one of them has ended.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        let (seen, changed) = &*self.seen;
        let (seen, late) =
            changed.wait_timeout_while(seen.lock().unwrap(), PATIENCE, |seen| seen.open > 0).unwrap();
        assert!(!late.timed_out(), "{} connections did not end", seen.open);
        seen.connections.clone()
    }
}

fn record(mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut bytes, mut is_answered) = (Vec::new(), false);
    let mut chunk = [0; 4096];
    // A reset is an end as well.
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..len]);
        if is_answered {
            continue;
        }
        match judge(&bytes) {
            Verdict::Whole(_) => {
                is_answered = true;
                let _gone = stream.write_all(ANSWER);
            }
            Verdict::Beginning => {}
            // Nobody waits for the answer to what should not have come.
            Verdict::Wrong(_) => break,
        }
    }
    bytes
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
