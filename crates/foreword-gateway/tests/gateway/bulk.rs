//! Many bytes: whole both ways, behind a half-close, at the pace of whoever is slower, counted to the byte.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::metrics::{scrape, value};
use crate::support::{Endpoint, Running, client, wait_until};

/// So many blocks are 100 MiB.
const BLOCKS: u64 = 1600;
const BLOCK: usize = 64 * 1024;

pub(crate) fn file(listener: &str, endpoint: &Endpoint) -> String {
    format!(
        "workers = 1\n[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n{listener}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    )
}

/// A block that is like no other, so that nothing can be lost, doubled or moved unseen.
fn block(seed: u64, number: u64) -> Vec<u8> {
    let mut state = seed << 32 | number | 1;
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
}

/// Writes so many blocks, and gives what they hash to.
pub(crate) fn say(stream: &mut impl Write, seed: u64, blocks: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    for number in 0..blocks {
        let block = block(seed, number);
        stream.write_all(&block).unwrap();
        hasher.write(&block);
    }
    hasher.finish()
}

/// Reads to the end, and gives how much came and what it hashes to.
pub(crate) fn hear(stream: &mut impl Read) -> (u64, u64) {
    let (mut hasher, mut buffer, mut len) = (DefaultHasher::new(), vec![0; BLOCK], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return (len, hasher.finish()),
            read => {
                hasher.write(&buffer[..read]);
                len += read as u64;
            }
        }
    }
}

/// What an endpoint tells of a connection.
pub(crate) struct Told {
    /// How much it heard, and what that hashes to.
    pub(crate) heard: (u64, u64),
    /// What it said hashes to this.
    pub(crate) said: u64,
}

/// An endpoint that answers after the client's end, and then tells of it.
pub(crate) fn answering(blocks: u64) -> (Endpoint, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel();
    let endpoint = Endpoint::new(move |mut stream| {
        let heard = hear(&mut stream);
        let said = say(&mut stream, 2, blocks);
        tell.send(Told { heard, said }).unwrap();
    });
    (endpoint, told)
}

#[test]
fn a_hundred_megabytes_each_way_arrive_as_they_were_behind_a_half_close() {
    let (endpoint, told) = answering(BLOCKS);
    let running = Running::start(&file("", &endpoint));
    let mut stream = client(running.address("edge"));
    let question = say(&mut stream, 1, BLOCKS);
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = hear(&mut stream);
    let Told { heard, said } = told.recv().unwrap();
    let len = BLOCKS * BLOCK as u64;
    assert_eq!((heard, answer), ((len, question), (len, said)));
    wait_until("the connection has ended", || running.gateway.open_connections() == 0);
    let text = scrape(&running);
    for metric in ["received", "sent"] {
        let sample = format!("foreword_{metric}_bytes_total{{listener=\"edge\"}}");
        assert_eq!(value(&text, &sample), len as f64, "{metric}");
    }
    assert_eq!(value(&text, "foreword_pipes_missed_total"), 0.0);
}

#[test]
fn a_hundred_megabytes_each_way_at_the_same_time() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("", &endpoint));
    let mut stream = client(running.address("edge"));
    let mut writes = stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let said = say(&mut writes, 3, BLOCKS);
        writes.shutdown(Shutdown::Write).unwrap();
        said
    });
    let (len, heard) = hear(&mut stream);
    assert_eq!((len, heard), (BLOCKS * BLOCK as u64, writer.join().unwrap()));
}

#[test]
fn nobody_is_read_faster_than_the_other_takes_and_what_waits_is_not_lost() {
    let (tell, go) = mpsc::channel::<()>();
    let go = std::sync::Mutex::new(go);
    let (heard, told) = mpsc::channel();
    let endpoint = Endpoint::new(move |mut stream| {
        go.lock().unwrap().recv().unwrap();
        heard.send(hear(&mut stream)).unwrap();
    });
    let running = Running::start(&file("", &endpoint));
    let mut stream = client(running.address("edge"));
    stream.set_nonblocking(true).unwrap();
    let (mut hasher, mut said, mut number) = (DefaultHasher::new(), 0, 0);
    let mut next = block(4, 0);
    // Until nothing more fits anywhere on the way: the sockets' buffers, and one pipe. A buffer that grew would take it all.
    let mut patience = 0;
    while patience < 200 && said < 64 << 20 {
        match stream.write(&next) {
            Ok(written) => {
                hasher.write(&next[..written]);
                said += written as u64;
                next.drain(..written);
                patience = 0;
            }
            Err(_) => {
                patience += 1;
                thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        if next.is_empty() {
            number += 1;
            next = block(4, number);
        }
    }
    assert!(said < 64 << 20, "somebody takes whatever comes");
    tell.send(()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told.recv().unwrap(), (said, hasher.finish()));
}

#[test]
fn what_was_on_its_way_when_a_side_broke_is_never_heard_by_anybody_else() {
    // The first endpoint's connection breaks off while bytes wait for it inside the gateway.
    let (tell, told) = mpsc::channel();
    let first = std::sync::atomic::AtomicBool::new(true);
    let endpoint = Endpoint::new(move |mut stream: TcpStream| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            stream.read_exact(&mut vec![0; BLOCK * 8]).unwrap();
            crate::tcp::reset(stream);
            return;
        }
        tell.send(hear(&mut stream)).unwrap();
    });
    let running = Running::start(&file("", &endpoint));
    let mut stream = client(running.address("edge"));
    let ended = loop {
        if let Err(error) = stream.write_all(&block(5, 0)) {
            break error.kind();
        }
    };
    assert!(
        matches!(ended, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "the reset is carried across: {ended:?}"
    );
    let mut stream = client(running.address("edge"));
    let said = say(&mut stream, 6, 64);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told.recv().unwrap(), (64 * BLOCK as u64, said));
}
