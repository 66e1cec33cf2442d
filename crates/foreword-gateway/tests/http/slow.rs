//! Clients that drip: each is gone when its time is over, and whoever else comes is served.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;
use crate::tls::certificate;

/// How somebody is slow: at which listener, what is said at once, and what is said again and again.
#[derive(Clone, Copy, Debug)]
struct Manner {
    listener: &'static str,
    first: &'static [u8],
    piece: &'static [u8],
    /// Reads a byte now and then, instead of what comes.
    reads_slowly: bool,
}

const MANNERS: &[Manner] = &[
    Manner {
        // a PROXY header
        listener: "lb",
        first: b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xa0",
        piece: b"\0",
        reads_slowly: false,
    },
    Manner {
        // a ClientHello
        listener: "tls",
        first: b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
        piece: b"\x03",
        reads_slowly: false,
    },
    Manner {
        // a head
        listener: "web",
        first: b"GET / HTTP/1.1\r\nX-Slow: ",
        piece: b"a",
        reads_slowly: false,
    },
    Manner {
        // a body
        listener: "web",
        first: b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        piece: b"a",
        reads_slowly: false,
    },
    Manner {
        // an answer
        listener: "web",
        first: b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        piece: b"",
        reads_slowly: true,
    },
];

const TIME: Duration = Duration::from_secs(2);
/// Between two pieces.
const PAUSE: Duration = Duration::from_millis(100);
/// What a busy machine may take on top of the time.
const GRACE: Duration = Duration::from_secs(15);

fn text(folder: &std::path::Path, endpoint: &Endpoint) -> String {
    let (certificates, _) = certificate(folder);
    let times = "head = \"2s\", idle = \"2s\"";
    let listener = |name: &str, more: &str, keys: &str| {
        format!(
            "[listener.{name}]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\n\
             timeout = {{ {times}{more} }}\n{keys}\n"
        )
    };
    format!(
        "workers = 1\n{}{}{}[trust.lb]\nfrom = [\"127.0.0.1\"]\nheader = \"require\"\n[cluster.app]\nendpoints = [\"{}\"]\n",
        listener("web", "", ""),
        listener("tls", ", tls = \"2s\"", &certificates),
        listener("lb", "", "trust = [\"lb\"]\nheader = { deadline = \"2s\" }"),
        endpoint.address
    )
}

/// Drips until the other side has ended the connection, or it is told to go.
async fn drip(address: SocketAddr, manner: Manner, is_over: &AtomicBool, connected: &AtomicUsize) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(manner.first).await.unwrap();
    connected.fetch_add(1, Ordering::Relaxed);
    let mut pause = tokio::time::interval(PAUSE);
    let mut some = [0; 1];
    while !is_over.load(Ordering::Relaxed) {
        pause.tick().await;
        let has_ended = match manner.reads_slowly {
            true => !matches!(tcp.read(&mut some).await, Ok(1)),
            false => tcp.write_all(manner.piece).await.is_err(),
        };
        if has_ended {
            return;
        }
    }
}

/// An endpoint that answers `/large` at length, and all else shortly.
fn endpoint() -> Endpoint {
    Endpoint::new(|wire| {
        while let Some(head) = wire.head() {
            if head.starts_with("GET /large ") {
                const LARGE: usize = 64 * 1024 * 1024;
                wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").as_bytes());
                let piece = [b'x'; 64 * 1024];
                for _ in 0..LARGE / piece.len() {
                    if std::io::Write::write_all(&mut wire.stream, &piece).is_err() {
                        return;
                    }
                }
            } else if head.starts_with("POST ") {
                while wire.fill() > 0 {}
                return;
            } else {
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    })
}

#[test]
fn who_drips_is_gone_when_its_time_is_over_and_nobody_else_notices() {
    let count = if is_nightly() { 2000 } else { 200 };
    let (folder, endpoint) = (tempfile::tempdir().unwrap(), endpoint());
    let gateway = gateway(&text(folder.path(), &endpoint));
    let (is_over, connected) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut good = Wire::new(std::net::TcpStream::connect(address_of(&gateway, "web")).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let all = (0..count).map(|n| {
                let manner = MANNERS[n % MANNERS.len()];
                drip(address_of(&gateway, manner.listener), manner, &is_over, &connected)
            });
            runtime.block_on(futures_util::future::join_all(all));
        });
        let begun = Instant::now();
        let mut served = 0;
        let mut all_came = None;
        loop {
            let answer = good.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
            served += 1;
            if connected.load(Ordering::Relaxed) == count {
                let came = *all_came.get_or_insert_with(Instant::now);
                if gateway.open_connections() <= 1 {
                    break;
                }
                assert!(came.elapsed() < TIME + GRACE, "{} are still there", gateway.open_connections() - 1);
            }
            assert!(begun.elapsed() < TIME + GRACE + PATIENCE, "{} came", connected.load(Ordering::Relaxed));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(served >= 20, "{served} were served");
    });
}
