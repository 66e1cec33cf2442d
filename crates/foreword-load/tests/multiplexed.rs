//! What a run over HTTP/2 says is what happened, to the unit: against a server that answers, and against those that do not.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foreword::Version;
use foreword_load::{Load, Multiplexed, Outcome, Requests, Suite, Tls, Until, Work, run};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

#[test]
fn requests_at_once_are_counted_to_the_unit() {
    block_on(async {
        let server = Server::start(Answering::default(), None).await;
        let requests = Requests { upload: 70_000, len: Some(1000), ..Requests::get("localhost", "/") };
        let outcome = run(server.load(requests, 3, 10, 505)).await;
        assert_eq!((outcome.units, outcome.failed(), outcome.connections), (505, 0, 3), "{outcome:?}");
        assert_eq!((outcome.bytes, outcome.latency.count()), (505 * 71_000, 505));
        assert_eq!((server.seen.requests.get(), server.seen.bytes.get()), (505, 505 * 70_000));
        assert_eq!(server.seen.most_at_once.get(), 10);
    });
}

#[test]
fn a_server_that_allows_fewer_at_once_is_not_asked_more() {
    block_on(async {
        let server = Server::start(Answering { at_once: Some(3), ..Answering::default() }, None).await;
        let outcome = run(server.load(Requests::get("localhost", "/"), 1, 40, 200)).await;
        assert_eq!((outcome.units, outcome.failed()), (200, 0), "{outcome:?}");
        assert_eq!(server.seen.most_at_once.get(), 3);
    });
}

#[test]
fn an_answer_that_was_not_asked_for_is_a_failure_and_the_connection_goes_on() {
    block_on(async {
        let server = Server::start(Answering::default(), None).await;
        let short = Requests { len: Some(1001), ..Requests::get("localhost", "/") };
        let other = Requests { status: 204, ..Requests::get("localhost", "/") };
        for (requests, kind) in [(short, "length"), (other, "status")] {
            let outcome = run(server.load(requests, 1, 4, 9)).await;
            assert_eq!((outcome.units, failures(&outcome)), (0, vec![(kind, 9)]));
            assert_eq!((outcome.connections, outcome.statuses.get(&200)), (1, Some(&9)));
        }
    });
}

#[test]
fn what_was_under_way_on_a_connection_that_breaks_has_failed_and_another_one_is_made() {
    block_on(async {
        let server = Server::start(Answering { breaks_after: Some(10), ..Answering::default() }, None).await;
        let outcome = run(server.load(Requests::get("localhost", "/"), 1, 4, 40)).await;
        assert_eq!(outcome.units + outcome.failed(), 40, "{outcome:?}");
        assert!(outcome.failures.keys().all(|&kind| kind == "http2"), "{outcome:?}");
        assert!(outcome.units >= 20 && outcome.failed() >= 3 && outcome.connections >= 3, "{outcome:?}");
    });
}

#[test]
fn http_2_has_to_be_agreed_on_under_tls() {
    for (alpn, expected) in
        [("h2", (20, vec![])), ("http/1.1", (0, vec![("handshake", 20)])), ("", (0, vec![("alpn", 20)]))]
    {
        block_on(async {
            let (acceptor, certificate) = acceptor(alpn);
            let server = Server::start(Answering::default(), Some(acceptor)).await;
            let mut load = server.load(Requests::get("localhost", "/"), 2, 5, 20);
            load.header = Some(Version::Two);
            load.tls = Some(Tls::new("localhost", [certificate], Suite::Aes128Gcm, &["h2"]).unwrap());
            let outcome = run(load).await;
            assert_eq!((outcome.units, failures(&outcome)), expected, "{alpn}");
        });
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(future)
}

fn failures(outcome: &Outcome) -> Vec<(&'static str, u64)> {
    outcome.failures.iter().map(|(kind, count)| (*kind, *count)).collect()
}

/// How a server answers: 200 with a thousand bytes, once it has read the request.
#[derive(Clone, Copy, Default)]
struct Answering {
    /// It allows so many at once.
    at_once: Option<u32>,
    /// Each connection ends without a word at so many requests.
    breaks_after: Option<u64>,
}

/// What it saw.
#[derive(Default)]
struct Seen {
    requests: Cell<u64>,
    bytes: Cell<u64>,
    /// On one connection.
    most_at_once: Cell<u64>,
}

struct Server {
    address: SocketAddr,
    seen: Rc<Seen>,
}

impl Server {
    /// With TLS it expects a PROXY header first.
    async fn start(answering: Answering, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::new(Seen::default());
        let sees = Rc::clone(&seen);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(welcome(stream, answering, tls.clone(), Rc::clone(&sees)));
            }
        });
        Self { address, seen }
    }

    fn load(&self, requests: Requests, connections: usize, at_once: usize, units: u64) -> Load {
        let at_once = NonZeroUsize::new(at_once).unwrap();
        Load {
            target: self.address,
            header: None,
            tls: None,
            connections,
            work: Work::Multiplexed(Multiplexed { requests, at_once }),
            until: Until::Units(units),
            timeout: Duration::from_secs(20),
            max_failures: 1000,
        }
    }
}

async fn welcome(
    mut stream: TcpStream,
    answering: Answering,
    tls: Option<TlsAcceptor>,
    seen: Rc<Seen>,
) -> Option<()> {
    let Some(tls) = tls else { return serve(stream, answering, seen).await };
    foreword_tokio::read_header(&mut stream, &foreword::Parser::new()).await.ok()?;
    serve(tls.accept(stream).await.ok()?, answering, seen).await
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answering: Answering,
    seen: Rc<Seen>,
) -> Option<()> {
    let mut builder = h2::server::Builder::new();
    answering.at_once.map(|most| builder.max_concurrent_streams(most));
    let mut connection = builder.handshake::<_, Bytes>(stream).await.ok()?;
    let now = Rc::new(Cell::new(0));
    let mut left = answering.breaks_after.unwrap_or(u64::MAX);
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        left -= 1;
        if left == 0 {
            return None;
        }
        let (seen, now) = (Rc::clone(&seen), Rc::clone(&now));
        now.set(now.get() + 1);
        seen.most_at_once.set(seen.most_at_once.get().max(now.get()));
        spawn_local(async move {
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                seen.bytes.set(seen.bytes.get() + data.len() as u64);
                body.flow_control().release_capacity(data.len()).ok()?;
            }
            seen.requests.set(seen.requests.get() + 1);
            now.set(now.get() - 1);
            respond
                .send_response(http::Response::new(()), false)
                .ok()?
                .send_data(vec![b'.'; 1000].into(), true)
                .ok()
        });
    }
    Some(())
}

/// A server's TLS that offers this protocol, or none, and its certificate.
fn acceptor(alpn: &str) -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
    config.alpn_protocols =
        [alpn].iter().filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), certificate)
}
