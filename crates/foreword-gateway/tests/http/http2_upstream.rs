//! HTTP/2 towards endpoints: what gRPC needs, and whose connection is whose.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use foreword_gateway::Gateway;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::http2::*;
use crate::support::*;

/// An endpoint that speaks HTTP/2.
struct Multiplexed {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// The PROXY header of each connection, in the order in which they came.
    introductions: Arc<Mutex<Vec<String>>>,
    /// Its certificate, if it ends TLS.
    certificate: String,
}

/// What it is like.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Reads a version 1 header first.
    introduced: bool,
    /// Goes away after each request.
    once: bool,
    /// How its first connections end, and how many do.
    evades: Option<(Evasion, usize)>,
    /// Ends TLS, and agrees on these protocols.
    tls: Option<&'static [&'static str]>,
}

/// How it leaves a request without a look at it, RFC 9113 §8.7.
#[derive(Clone, Copy, Debug)]
enum Evasion {
    /// Goes away before one came.
    GoesAway,
    /// Goes away when one came, which it says was too late.
    TurnsAway,
    /// Resets its stream.
    Refuses,
}

impl Multiplexed {
    fn new(manner: Manner) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let named = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls = manner.tls.map(|protocols| acceptor(&named, protocols));
        let made = Self {
            certificate: named.cert.pem(),
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            introductions: Arc::default(),
        };
        let (connections, introductions) = (Arc::clone(&made.connections), Arc::clone(&made.introductions));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (mut tcp, _) = listener.accept().await.unwrap();
                    let number = connections.fetch_add(1, Ordering::Relaxed);
                    let introductions = Arc::clone(&introductions);
                    let tls = tls.clone();
                    tokio::spawn(async move {
                        if manner.introduced {
                            let mut line = Vec::new();
                            while !line.ends_with(b"\r\n") {
                                line.push(tcp.read_u8().await.unwrap());
                            }
                            introductions.lock().unwrap().push(String::from_utf8(line).unwrap());
                        }
                        if let Some((evasion, most)) = manner.evades
                            && number < most
                        {
                            return evade(tcp, evasion).await;
                        }
                        match tls {
                            None => speak(tcp, manner).await,
                            Some(tls) => {
                                if let Ok(tls) = tls.accept(tcp).await {
                                    speak(tls, manner).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        made
    }

    fn gateway(&self, listener: &str, cluster: &str) -> Gateway {
        let keys = format!("{listener}\ncluster = \"app\"");
        gateway(&file(&[self.address], &keys, &format!("protocol = \"h2\"\n{cluster}")))
    }
}

fn acceptor(named: &rcgen::CertifiedKey<rcgen::KeyPair>, protocols: &[&str]) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(named.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![named.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(serve(request, respond));
        if manner.once {
            connection.graceful_shutdown();
        }
    }
}

/// Leaves a request without a look at it, and waits until the other side has closed.
async fn evade(mut tcp: tokio::net::TcpStream, evasion: Evasion) {
    // SETTINGS without any, and GOAWAY that knows no stream.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    if let Evasion::Refuses = evasion {
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(Reason::REFUSED_STREAM);
        }
        return;
    }
    tcp.read_exact(&mut [0; 24]).await.unwrap();
    tcp.write_all(SETTINGS).await.unwrap();
    while let Evasion::TurnsAway = evasion {
        let mut head = [0; 9];
        tcp.read_exact(&mut head).await.unwrap();
        let len = usize::from(head[1]) << 8 | usize::from(head[2]);
        tcp.read_exact(&mut vec![0; len]).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    tcp.write_all(GOAWAY).await.unwrap();
    // It may close with frames of ours unread.
    let _closed = tcp.read_to_end(&mut Vec::new()).await;
}

/// Answers by the path.
async fn serve(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    assert!(!head.headers.contains_key("connection") && !head.headers.contains_key("host"));
    let answer = |fields: &[(&str, &str)]| {
        let mut answer = Response::new(());
        for (name, value) in fields {
            answer
                .headers_mut()
                .insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        answer
    };
    match head.uri.path() {
        "/trailers-only" => {
            respond.send_response(answer(&[("grpc-status", "5")]), true).unwrap();
        }
        "/never" => std::future::pending().await,
        "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/tiny" => {
            let mut stream = respond.send_response(answer(&[]), false).unwrap();
            for _ in 0..MANY {
                say(&mut stream, TINY).await;
            }
            stream.send_data(Bytes::new(), true).unwrap();
        }
        "/stall" => {
            // Until then nothing is taken, and no window given.
            GO_ON.notified().await;
            let mut len = 0;
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                len += data.len();
            }
            let mut stream = respond.send_response(answer(&[]), false).unwrap();
            stream.send_data(len.to_string().into(), true).unwrap();
        }
        "/early" => {
            // It needs no more of the request to answer; that nobody reads on is told by a reset, RFC 9113 §8.1.
            respond.send_response(answer(&[("content-length", "0")]), true).unwrap();
        }
        "/half" => {
            let mut stream = respond.send_response(answer(&[("content-length", "100")]), false).unwrap();
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            while body.data().await.is_some() {}
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "/go-on" => {
            GO_ON.notify_one();
            respond.send_response(answer(&[]), true).unwrap();
        }
        "/head" => {
            let text = format!("{} {} {:?}", head.method, head.uri, head.headers);
            let mut stream = respond.send_response(answer(&[]), false).unwrap();
            stream.send_data(text.into(), true).unwrap();
        }
        _ => {
            let mut stream =
                respond.send_response(answer(&[("content-type", "application/grpc")]), false).unwrap();
            while let Some(data) = body.data().await {
                let Ok(data) = data else { return };
                let _ = body.flow_control().release_capacity(data.len());
                let mut left = data;
                while !left.is_empty() {
                    stream.reserve_capacity(left.len());
                    let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
                        return;
                    };
                    let piece = left.split_to(room.min(left.len()));
                    if stream.send_data(piece, false).is_err() {
                        return;
                    }
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let told = body.trailers().await.unwrap().unwrap_or_default();
            trailers.extend(told);
            stream.send_trailers(trailers).unwrap();
        }
    }
}

fn post(path: &str) -> Request<()> {
    let mut request = get(path);
    *request.method_mut() = Method::POST;
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    request
}

#[test]
fn messages_go_both_ways_as_they_come_and_trailers_behind_them() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway(CLEAR, "");
    tell(&gateway, |mut client| async move {
        client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(post("/talk"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let mut body = response.into_body();
        // A stream in both directions: each word is answered before the next is said.
        for word in ["one", "two", "three"] {
            stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
            let mut said = Vec::new();
            while said.len() < word.len() {
                said.extend_from_slice(&body.data().await.unwrap().unwrap());
            }
            assert_eq!(said, word.as_bytes());
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "3".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-sum"]),
            (&"0".parse().unwrap(), &"3".parse().unwrap())
        );

        let answer = ask(&mut client, post("/trailers-only"), b"").await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "5");
        assert_eq!(text(answer).await, "");
    });
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn clients_of_http_1_are_served_by_endpoints_of_http_2() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway("", "");
    // An echo may begin before its request has ended, and then its connection ends with it.
    let ask = |request: &str| Wire::to(&gateway).ask(request);
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        let head =
            ask("GET /head?a=b HTTP/1.1\r\nHost: www.example.com\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n")
                .text();
        assert!(head.starts_with("GET http://www.example.com/head?a=b "), "{head}");
        assert!(head.contains("x-forwarded-for") && !head.contains("x-hop"), "{head}");
        let answer =
            ask(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert!((answer.status, answer.text() == body) == (200, true), "{}", answer.head);
        let answer =
            ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(ask("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
        assert_eq!(ask("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n").status, 502);
    }
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn requests_at_once_share_a_connection() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway(CLEAR, "");
    tell(&gateway, |client| async move {
        let body = vec![b'x'; 50_000];
        let asked = (0..80).map(|_| {
            let (mut client, body) = (client.clone(), body.clone());
            tokio::spawn(async move {
                let (response, mut stream) = client.send_request(post("/"), false).unwrap();
                stream.send_data(body.clone().into(), true).unwrap();
                assert!(content(response.await.unwrap().body_mut()).await.unwrap() == body);
            })
        });
        for answered in asked.collect::<Vec<_>>() {
            answered.await.unwrap();
        }
    });
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_connection_on_which_nothing_is_answered_gets_no_more_requests() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway(CLEAR, "timeout = { response = \"300ms\" }");
    tell(&gateway, |client| async move {
        for (path, status) in [("/never", 504), ("/head", 200), ("/head", 200)] {
            let (response, _) = client.clone().send_request(post(path), true).unwrap();
            assert_eq!(response.await.unwrap().status(), status);
        }
    });
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 2);
}

#[test]
fn a_slow_answer_beside_others_ends_no_connection() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway(CLEAR, "timeout = { response = \"1s\" }");
    tell(&gateway, |client| async move {
        let (slow, _) = client.clone().send_request(post("/never"), true).unwrap();
        for _ in 0..2 {
            let (response, _) = client.clone().send_request(post("/head"), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        }
        assert_eq!(slow.await.unwrap().status(), 504);
        let (response, _) = client.clone().send_request(post("/head"), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn an_endpoint_that_goes_away_is_connected_to_again() {
    let endpoint = Multiplexed::new(Manner { once: true, ..Manner::default() });
    let gateway = endpoint.gateway("", "");
    for _ in 0..5 {
        let answer = Wire::to(&gateway).ask("GET /head HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn what_an_endpoint_has_not_looked_at_is_said_again_whatever_its_method() {
    for evasion in [Evasion::GoesAway, Evasion::TurnsAway, Evasion::Refuses] {
        for request in ["GET /head HTTP/1.1\r\n", "POST /head HTTP/1.1\r\nContent-Length: 0\r\n"] {
            let endpoint = Multiplexed::new(Manner { evades: Some((evasion, 2)), ..Manner::default() });
            let gateway = endpoint.gateway("", "retries = 2");
            let answer = Wire::to(&gateway).ask(&format!("{request}Host: a\r\n\r\n"));
            assert_eq!(answer.status, 200, "{evasion:?}, {request}");
            assert_eq!(endpoint.connections.load(Ordering::Relaxed), 3, "{evasion:?}, {request}");
        }
    }
}

#[test]
fn what_no_endpoint_looks_at_is_said_as_often_as_the_cluster_allows() {
    for evasion in [Evasion::GoesAway, Evasion::TurnsAway, Evasion::Refuses] {
        let endpoint = Multiplexed::new(Manner { evades: Some((evasion, usize::MAX)), ..Manner::default() });
        let gateway = endpoint.gateway("", "retries = 1");
        let answer = Wire::to(&gateway).ask("GET /head HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, 502, "{evasion:?}");
        assert_eq!(endpoint.connections.load(Ordering::Relaxed), 2, "{evasion:?}");
    }
}

#[test]
fn a_body_that_was_sent_is_gone_with_the_request_that_nobody_looked_at() {
    let evades = Some((Evasion::TurnsAway, 1));
    let endpoint = Multiplexed::new(Manner { evades, ..Manner::default() });
    let gateway = endpoint.gateway("", "retries = 2");
    let answer = Wire::to(&gateway).ask("POST /head HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.status, 502);
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_connection_that_ends_when_its_last_answer_is_given_gets_no_more_requests() {
    let endpoint = Multiplexed::new(Manner { once: true, ..Manner::default() });
    let gateway = endpoint.gateway("", "timeout = { response = \"1h\" }");
    let mut waits = Wire::to(&gateway);
    waits.write(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    // The first may still come in time for the connection that is left.
    for _ in 0..5 {
        let answer = Wire::to(&gateway).ask("GET /head HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_connection_that_began_with_a_header_speaks_for_one_client() {
    let endpoint = Multiplexed::new(Manner { introduced: true, ..Manner::default() });
    let gateway = endpoint.gateway("", "send_header = \"v1\"");
    let mut clients = [Wire::to(&gateway), Wire::to(&gateway)];
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.ask("GET /head HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
        }
    }
    let introductions = endpoint.introductions.lock().unwrap().clone();
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 2);
    for (client, line) in clients.iter().zip(&introductions) {
        let port = client.stream.local_addr().unwrap().port();
        assert!(
            line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && line.contains(&format!(" {port} ")),
            "{line}"
        );
    }
}

#[test]
fn an_endpoint_that_speaks_http_1_after_all_is_told_of() {
    let endpoint = Endpoint::polite();
    let gateway = gateway(&file(
        &[endpoint.address],
        "cluster = \"app\"",
        "protocol = \"h2\"\ntimeout = { connect = \"1s\" }",
    ));
    assert_eq!(Wire::to(&gateway).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 502);
}

#[test]
fn under_tls_the_endpoint_must_agree() {
    for (protocols, status) in [(["h2"].as_slice(), 200), (&[], 502), (&["http/1.1"], 502)] {
        let endpoint = Multiplexed::new(Manner { tls: Some(protocols), ..Manner::default() });
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, &endpoint.certificate).unwrap();
        let tls = format!("tls = {{ ca = \"{}\", sni = \"localhost\" }}", ca.display());
        let gateway = endpoint.gateway("", &tls);
        let answer = Wire::to(&gateway).ask("GET /head HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status, status, "{protocols:?}");
        if status == 200 {
            assert!(answer.text().starts_with("GET https://a/head "), "{}", answer.text());
        }
    }
}

/// A message as short as those of gRPC are.
const TINY: &[u8] = b"\0\0\0\0\x02hi";
const MANY: usize = 10_000;

/// Sends a message in a frame of its own, once the window has room for it.
async fn say(stream: &mut h2::SendStream<Bytes>, message: &'static [u8]) {
    stream.reserve_capacity(message.len());
    while stream.capacity() < message.len() {
        std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
    }
    stream.send_data(Bytes::from_static(message), false).unwrap();
}

/// Told to the endpoint of one test, who waits for it at `/stall`.
static GO_ON: Notify = Notify::const_new();
/// All that an endpoint has room for which gives no window, RFC 9113 §6.9.2.
static FILL: [u8; 65_535] = [0; 65_535];

#[test]
fn messages_that_a_slow_endpoint_leaves_do_not_end_the_connection_however_short_they_are() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway(CLEAR, "");
    tell(&gateway, |client| async move {
        let mut client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(post("/stall"), false).unwrap();
        say(&mut stream, &FILL).await;
        for _ in 0..MANY / 2 {
            say(&mut stream, TINY).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        // It comes behind all of them.
        assert_eq!(ask(&mut client, get("/go-on"), b"").await.unwrap().status(), 200);
        let taken = content(&mut response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(taken, (FILL.len() + MANY / 2 * TINY.len()).to_string().as_bytes());
    });
}

#[test]
fn ten_thousand_tiny_messages_in_a_row_are_no_flood_in_either_direction() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway(CLEAR, "");
    tell(&gateway, |client| async move {
        let mut client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(post("/talk"), false).unwrap();
        let said = tokio::spawn(async move {
            for _ in 0..MANY {
                say(&mut stream, TINY).await;
            }
            stream.send_data(Bytes::new(), true).unwrap();
        });
        let heard = content(response.await.unwrap().body_mut()).await.unwrap();
        assert_eq!(heard.len(), MANY * TINY.len());
        said.await.unwrap();
        let answer = ask(&mut client, get("/tiny"), b"").await.unwrap();
        assert_eq!(content(&mut answer.into_body()).await.unwrap().len(), MANY * TINY.len());
    });
}

#[test]
fn a_stream_that_ends_early_or_is_reset_costs_its_own_request_and_no_other() {
    let endpoint = Multiplexed::new(Manner::default());
    let gateway = endpoint.gateway("", "");
    let mut client = Wire::to(&gateway);
    client.write(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
    assert_eq!(client.answer("POST").unwrap().status, 200);
    assert!(client.is_closed(), "nobody knows what it still sends");

    let mut client = Wire::to(&gateway);
    client.write(b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh");
    let head = client.head().unwrap();
    assert_eq!(field(&head, "Content-Length"), Some("100"), "{head}");
    assert_eq!(client.exactly(4).unwrap(), b"half");
    // With the end of its request the endpoint resets the stream. Whatever it had not sent by then is lost with it, so it has
    // to wait until the half has arrived.
    client.write(b"i");
    assert!(client.is_closed(), "half an answer never looks whole");

    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        assert_eq!(client.ask("POST /reset HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status, 502);
        assert_eq!(client.ask("GET /head HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
}
