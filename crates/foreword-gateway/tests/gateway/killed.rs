//! Endpoints that are killed and restarted, one after the other, while clients ask without a pause.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::support::{Running, client, wait_until};

/// A web server that can be killed: its socket is gone, and whoever is connected is reset.
struct Mortal {
    address: SocketAddr,
    life: Option<Life>,
    answered: Arc<AtomicUsize>,
}

struct Life {
    over: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Mortal {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut mortal =
            Self { address: listener.local_addr().unwrap(), life: None, answered: Arc::default() };
        mortal.live(listener);
        mortal
    }

    fn live(&mut self, listener: TcpListener) {
        let (over, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (its_over, its_connections) = (Arc::clone(&over), Arc::clone(&connections));
        let answered = Arc::clone(&self.answered);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if its_over.load(Ordering::SeqCst) {
                    reset(&stream);
                    return;
                }
                its_connections.lock().unwrap().push(stream.try_clone().unwrap());
                let answered = Arc::clone(&answered);
                thread::spawn(move || serve(stream, &answered));
            }
        });
        self.life = Some(Life { over, accepting, connections });
    }

    fn kill(&mut self) {
        let life = self.life.take().unwrap();
        life.over.store(true, Ordering::SeqCst);
        // It waits for a connection, and this is the last.
        drop(TcpStream::connect(self.address));
        life.accepting.join().unwrap();
        life.connections.lock().unwrap().drain(..).for_each(|stream| {
            reset(&stream);
            let _gone = stream.shutdown(Shutdown::Both);
        });
    }

    fn restart(&mut self) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&self.address.into()).unwrap();
        socket.listen(128).unwrap();
        self.live(socket.into());
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

fn reset(stream: &TcpStream) {
    let _gone = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

fn serve(stream: TcpStream, answered: &AtomicUsize) {
    let mut reads = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while read_head(&mut reads).is_some() {
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// The first line of a head.
fn read_head(reads: &mut impl BufRead) -> Option<String> {
    let mut first = String::new();
    reads.read_line(&mut first).ok().filter(|len| *len > 0)?;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reads.read_line(&mut line).ok().filter(|len| *len > 0)?;
    }
    Some(first)
}

fn file(endpoints: &[Mortal]) -> String {
    let list: Vec<_> = endpoints.iter().map(|mortal| format!("\"{}\"", mortal.address)).collect();
    format!(
        "workers = 2\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [{}]\n\
         [cluster.app.ejection]\nfailures = 1\ntime = \"50ms\"\nmax_time = \"200ms\"\n\
         [cluster.app.health]\ncheck = \"tcp\"\ninterval = \"20ms\"\nrise = 1\nfall = 1\n",
        list.join(", ")
    )
}

#[test]
fn of_three_endpoints_one_is_always_killed_and_restarted_and_no_request_is_lost() {
    const ROUNDS: usize = 6;
    let mut endpoints = [Mortal::new(), Mortal::new(), Mortal::new()];
    let running = Running::start(&file(&endpoints));
    let address = running.address("web");
    let (stop, asked) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(move || ask_on_and_on(address, stop, asked))).collect();
        for round in 0..ROUNDS {
            let before = asked.load(Ordering::SeqCst);
            wait_until("requests go on", || asked.load(Ordering::SeqCst) > before + 50);
            let mortal = &mut endpoints[round % 3];
            let lines = running.log.all().matches(&format!("{} is ", mortal.address)).count();
            mortal.kill();
            let told = || running.log.all().matches(&format!("{} is ", mortal.address)).count();
            wait_until("somebody notices", || told() > lines);
            let before = asked.load(Ordering::SeqCst);
            wait_until("requests go on without it", || asked.load(Ordering::SeqCst) > before + 50);
            mortal.restart();
            let answered = mortal.answered();
            wait_until("it is used again", || mortal.answered() > answered);
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            let failed = client.join().unwrap();
            assert_eq!(failed, [] as [String; 0], "{}", running.log.all());
        }
    });
}

/// Asks with an idempotent method until it is told to stop, and gives what was answered otherwise than with 200.
fn ask_on_and_on(address: SocketAddr, stop: &AtomicBool, asked: &AtomicUsize) -> Vec<String> {
    let mut stream = client(address);
    let mut reads = BufReader::new(stream.try_clone().unwrap());
    let mut failed = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        match read_head(&mut reads) {
            Some(line) if line.starts_with("HTTP/1.1 200 ") => {
                std::io::Read::read_exact(&mut reads, &mut [0; 2]).unwrap();
            }
            other => {
                failed.push(other.unwrap_or_else(|| "nothing".to_owned()));
                stream = client(address);
                reads = BufReader::new(stream.try_clone().unwrap());
            }
        }
        asked.fetch_add(1, Ordering::SeqCst);
    }
    failed
}
