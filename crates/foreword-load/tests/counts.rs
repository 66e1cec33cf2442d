//! What a run says is what happened, to the unit: against our own origin, and against a server that misbehaves.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::rc::Rc;
use std::time::Duration;

use foreword::Version;
use foreword_load::{
    Datagrams, Load, Origin, OriginAddresses, OriginSettings, Outcome, Requests, Streams, Suite, Tally, Tls,
    Until, Way, Work, hold, run,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(future)
}

fn origin(header: bool, source_bytes: u64) -> (OriginAddresses, Rc<Tally>) {
    let settings = OriginSettings { ip: LOCALHOST, header, copies: NonZeroU32::MIN, source_bytes };
    serving(settings)
}

fn serving(settings: OriginSettings) -> (OriginAddresses, Rc<Tally>) {
    let origin = Origin::bind(settings).unwrap();
    let (addresses, tally) = (origin.addresses().unwrap(), origin.tally());
    tokio::task::spawn_local(origin.serve());
    (addresses, tally)
}

fn load(target: SocketAddr, connections: usize, work: Work, units: u64) -> Load {
    Load {
        target,
        header: None,
        tls: None,
        connections,
        work,
        until: Until::Units(units),
        timeout: Duration::from_secs(20),
        max_failures: 1000,
    }
}

fn get(path: &str) -> Requests {
    Requests::get("localhost", path)
}

fn failures(outcome: &Outcome) -> Vec<(&'static str, u64)> {
    outcome.failures.iter().map(|(kind, count)| (*kind, *count)).collect()
}

#[test]
fn both_ends_count_the_same_requests() {
    block_on(async {
        let (addresses, tally) = origin(false, 0);
        let requests = Requests { len: Some(1000), ..get("/bytes/1000") };
        let outcome = run(load(addresses.http, 7, Work::Requests(requests), 1003)).await;
        assert_eq!((outcome.units, outcome.failed()), (1003, 0), "{outcome:?}");
        assert_eq!(outcome.statuses.into_iter().collect::<Vec<_>>(), [(200, 1003)]);
        assert_eq!((outcome.connections, outcome.bytes, outcome.latency.count()), (7, 1_003_000, 1003));
        assert_eq!((tally.connections(), tally.requests(), tally.headers()), (7, 1003, 0));
        assert_eq!(tally.first_failure(), None);
    });
}

#[test]
fn every_connection_carries_a_header_of_its_own() {
    for version in [Version::One, Version::Two] {
        block_on(async {
            let (addresses, tally) = origin(true, 0);
            let requests = Requests { close: true, ..get("/") };
            let mut load = load(addresses.http, 3, Work::Requests(requests), 40);
            load.header = Some(version);
            let outcome = run(load).await;
            assert_eq!((outcome.units, outcome.failed(), outcome.connections), (40, 0, 40), "{outcome:?}");
            assert_eq!((tally.connections(), tally.headers(), tally.requests()), (40, 40, 40));
            assert_eq!(tally.first_failure(), None);
        });
    }
}

#[test]
fn a_missing_header_is_counted_at_both_ends() {
    block_on(async {
        let (addresses, tally) = origin(true, 0);
        let outcome = run(load(addresses.http, 1, Work::Requests(get("/")), 3)).await;
        assert_eq!((outcome.units, outcome.failed()), (0, 3), "{outcome:?}");
        assert_eq!(tally.failures().into_iter().collect::<Vec<_>>(), [("header", 3)]);
    });
}

#[test]
fn uploads_are_read_before_they_are_answered() {
    block_on(async {
        let (addresses, tally) = origin(false, 0);
        let requests = Requests { upload: 100_000, ..get("/bytes/10") };
        let outcome = run(load(addresses.http, 2, Work::Requests(requests), 20)).await;
        assert_eq!((outcome.units, outcome.failed(), outcome.bytes), (20, 0, 20 * 100_010), "{outcome:?}");
        assert_eq!((tally.requests(), tally.first_failure()), (20, None));
    });
}

#[test]
fn streams_are_carried_to_the_byte_in_both_directions() {
    block_on(async {
        const BYTES: u64 = 3_000_017;
        let (addresses, tally) = origin(true, BYTES);
        for (way, target) in [(Way::Down, addresses.source), (Way::Up, addresses.sink)] {
            let mut load = load(target, 2, Work::Streams(Streams { way, bytes: BYTES }), 5);
            load.header = Some(Version::Two);
            let outcome = run(load).await;
            assert_eq!((outcome.units, outcome.failed(), outcome.bytes), (5, 0, 5 * BYTES), "{outcome:?}");
        }
        assert_eq!((tally.streams(), tally.headers(), tally.first_failure()), (10, 10, None));
    });
}

#[test]
fn a_stream_of_another_length_is_a_failure() {
    block_on(async {
        let (addresses, _) = origin(false, 1000);
        let streams = Streams { way: Way::Down, bytes: 1001 };
        let outcome = run(load(addresses.source, 1, Work::Streams(streams), 2)).await;
        assert_eq!((outcome.units, failures(&outcome)), (0, vec![("length", 2)]));
        assert_eq!(outcome.first_failure.unwrap(), "expected 1001 bytes, found 1000");
    });
}

#[test]
fn a_run_by_the_clock_finishes_what_it_began() {
    block_on(async {
        let (addresses, tally) = origin(false, 0);
        let mut load = load(addresses.http, 3, Work::Requests(get("/")), 0);
        load.until = Until::Passed(Duration::from_millis(50));
        let outcome = run(load).await;
        assert!(outcome.units > 0 && outcome.elapsed >= Duration::from_millis(50), "{outcome:?}");
        assert_eq!((outcome.failed(), tally.requests()), (0, outcome.units));
    });
}

#[test]
fn held_connections_are_idle_until_the_server_closes_them() {
    block_on(async {
        let (server, mut accepted) = server(|mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
            Some(stream)
        })
        .await;
        let (mut held, outcome) = hold(load(server, 100, Work::Requests(get("/")), 0), get("/")).await;
        assert_eq!((held.len(), outcome.units, outcome.failed()), (100, 100, 0), "{outcome:?}");
        assert_eq!(held.lost().await, 0);
        for _ in 0..3 {
            drop(accepted.recv().await.unwrap());
        }
        while held.lost().await < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(held.len(), 100);
    });
}

#[test]
fn what_cannot_be_held_is_counted() {
    block_on(async {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let server = answering(answer).await;
        let (held, outcome) = hold(load(server, 5, Work::Requests(get("/")), 0), get("/")).await;
        assert_eq!((held.len(), outcome.units, failures(&outcome)), (0, 0, vec![("closed", 5)]));
    });
}

#[test]
fn every_way_to_misbehave_has_its_count() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "closed"),
        (b"220 mail.example.com\r\n\r\n", "head"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxyz", "excess"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunk"),
    ];
    for (answer, kind) in cases {
        block_on(async {
            let server = answering(answer).await;
            let outcome = run(load(server, 2, Work::Requests(get("/")), 11)).await;
            assert_eq!((outcome.units, failures(&outcome)), (0, vec![(kind, 11)]), "{outcome:?}");
            assert!(outcome.first_failure.is_some());
        });
    }
}

#[test]
fn a_body_of_another_length_is_a_failure() {
    block_on(async {
        let server = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxy").await;
        let requests = Requests { len: Some(3), ..get("/") };
        let outcome = run(load(server, 1, Work::Requests(requests), 2)).await;
        assert_eq!((outcome.units, failures(&outcome)), (0, vec![("length", 2)]));
    });
}

#[test]
fn a_kept_connection_that_is_closed_costs_the_request_on_it_and_no_other() {
    block_on(async {
        // Each connection serves one request, promises to go on, and closes.
        let server = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let outcome = run(load(server, 1, Work::Requests(get("/")), 10)).await;
        assert_eq!((outcome.units, outcome.failed(), outcome.connections), (5, 5, 5), "{outcome:?}");
    });
}

#[test]
fn a_server_that_says_it_closes_is_taken_at_its_word() {
    block_on(async {
        let server = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        let outcome = run(load(server, 2, Work::Requests(get("/")), 10)).await;
        assert_eq!((outcome.units, outcome.failed(), outcome.connections), (10, 0, 10), "{outcome:?}");
    });
}

#[test]
fn silence_is_a_failure_when_the_timeout_has_passed() {
    block_on(async {
        let (server, _accepted) = server(|stream| async move { Some(stream) }).await;
        let mut load = load(server, 3, Work::Requests(get("/")), 3);
        load.timeout = Duration::from_millis(50);
        let outcome = run(load).await;
        assert_eq!((outcome.units, failures(&outcome)), (0, vec![("silent", 3)]));
    });
}

#[test]
fn a_run_that_can_only_fail_ends_early() {
    block_on(async {
        // Bound and let go of: nobody listens there.
        let nobody = TcpListener::bind((LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let mut load = load(nobody, 1, Work::Requests(get("/")), 1_000_000);
        load.max_failures = 9;
        let outcome = run(load).await;
        assert_eq!((outcome.units, failures(&outcome)), (0, vec![("connect", 9)]));
        assert_eq!(outcome.connections, 0);
    });
}

#[test]
fn datagrams_come_back_as_they_went_without_their_header() {
    for header in [None, Some(Version::Two)] {
        block_on(async {
            let (addresses, tally) = origin(header.is_some(), 0);
            let work = Work::Datagrams(Datagrams { len: 100, at_once: NonZeroUsize::new(3).unwrap() });
            let mut load = load(addresses.datagrams, 5, work, 400);
            load.header = header;
            let outcome = run(load).await;
            assert_eq!((outcome.units, outcome.failed(), outcome.connections), (400, 0, 5), "{outcome:?}");
            assert_eq!(outcome.bytes, 40_000);
            let headers = if header.is_some() { 400 } else { 0 };
            assert_eq!((tally.datagrams(), tally.headers(), tally.first_failure()), (400, headers, None));
        });
    }
}

#[test]
fn a_datagram_that_does_not_come_back_as_it_went_has_failed() {
    block_on(async {
        // Of each ten the second is lost, the third is cut, the fourth is another one's.
        let echo = tokio::net::UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        let target = echo.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 100];
            for turn in 0.. {
                let (len, peer) = echo.recv_from(&mut buffer).await.unwrap();
                match turn % 10 {
                    1 => continue,
                    2 => echo.send_to(&buffer[..len - 1], peer).await.unwrap(),
                    3 => echo.send_to(&[7; 100], peer).await.unwrap(),
                    _ => echo.send_to(&buffer[..len], peer).await.unwrap(),
                };
            }
        });
        let work = Work::Datagrams(Datagrams { len: 50, at_once: NonZeroUsize::MIN });
        let mut load = load(target, 1, work, 4);
        load.timeout = Duration::from_millis(200);
        let outcome = run(load).await;
        assert_eq!(outcome.units, 1, "{outcome:?}");
        assert_eq!(failures(&outcome), [("excess", 1), ("length", 1), ("silent", 2)]);
    });
}

#[test]
fn copies_of_the_origin_share_a_port() {
    block_on(async {
        let copies = NonZeroU32::new(3).unwrap();
        let settings = OriginSettings { ip: LOCALHOST, header: false, copies, source_bytes: 0 };
        let (addresses, tally) = serving(settings);
        for last in 1..=3 {
            let target = SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), addresses.http.port());
            let outcome = run(load(target, 1, Work::Requests(get("/")), 5)).await;
            assert_eq!((outcome.units, outcome.failed()), (5, 0), "{outcome:?}");
        }
        assert_eq!((tally.connections(), tally.requests()), (3, 15));
    });
}

#[test]
fn handshakes_are_full_and_their_tickets_counted() {
    block_on(async {
        let (server, tls) = tls_server().await;
        let mut load = load(server, 2, Work::Requests(Requests { close: true, ..get("/") }), 9);
        load.header = Some(Version::One);
        load.tls = Some(tls);
        let outcome = run(load.clone()).await;
        assert_eq!((outcome.units, outcome.failed(), outcome.connections), (9, 0, 9), "{outcome:?}");
        // The server gives three with each full handshake, and would give none of a session resumed.
        assert_eq!(outcome.tickets, 27);
        assert_eq!(run(load).await.tickets, 27);
    });
}

#[test]
fn a_certificate_that_is_not_believed_is_a_failed_handshake() {
    block_on(async {
        let (server, _) = tls_server().await;
        let (_, other) = tls_server().await;
        let mut load = load(server, 1, Work::Requests(get("/")), 2);
        load.header = Some(Version::Two);
        load.tls = Some(other);
        let outcome = run(load).await;
        assert_eq!((outcome.units, failures(&outcome)), (0, vec![("handshake", 2)]));
    });
}

/// A server that reads a request, says this, and closes.
async fn answering(answer: &'static [u8]) -> SocketAddr {
    let (address, _) = server(move |mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(answer).await.ok()?;
        stream.shutdown().await.ok()?;
        // Until the client has gone: closing with bytes unread would reset what it has yet to read.
        while stream.read(&mut [0; 64]).await.ok()? > 0 {}
        None
    })
    .await;
    address
}

/// A server that does this with every connection, and hands over those that it keeps.
async fn server<F, S>(serve: S) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<TcpStream>)
where
    F: Future<Output = Option<TcpStream>> + 'static,
    S: Fn(TcpStream) -> F + 'static,
{
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (keep, kept) = tokio::sync::mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (keep, serving) = (keep.clone(), serve(stream));
            tokio::task::spawn_local(async move {
                if let Some(stream) = serving.await {
                    // A test that does not look at them has dropped the other end.
                    drop(keep.send(stream));
                }
            });
        }
    });
    (address, kept)
}

/// Reads up to the empty line.
async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut bytes).await.ok()?;
        if read == 0 {
            return None;
        }
    }
    Some(())
}

/// A server that reads a header, ends TLS, and answers one request on each connection; and TLS that believes it.
async fn tls_server() -> (SocketAddr, Tls) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.send_tls13_tickets = 3;
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let (address, _) = server(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            foreword_tokio::read_header(&mut stream, &foreword::Parser::new()).await.ok()?;
            let mut stream = acceptor.accept(stream).await.ok()?;
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
            stream.shutdown().await.ok()?;
            None
        }
    })
    .await;
    (address, Tls::new("localhost", [certificate], Suite::Aes128Gcm, &["http/1.1"]).unwrap())
}
