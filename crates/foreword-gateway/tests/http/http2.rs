//! HTTP/2 downstream: the same promises, for many requests at once.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foreword_gateway::Gateway;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;

use crate::nobody::nobody;
use crate::support::*;

pub(crate) const CLEAR: &str = "http2 = \"prior-knowledge\"";

/// A gateway that speaks HTTP/2 in the clear and forwards everything to `endpoint`.
pub(crate) fn in_clear(endpoint: &Endpoint) -> Gateway {
    gateway(&file(&[endpoint.address], &format!("{CLEAR}\ncluster = \"app\""), ""))
}

/// Has `story` told by a client of `gateway`. Nothing takes longer than patience.
pub(crate) fn tell<F: Future<Output = ()>>(gateway: &Gateway, story: impl FnOnce(SendRequest<Bytes>) -> F) {
    tell_within(gateway, PATIENCE, story);
}

/// As [`tell`], for a story that is longer.
pub(crate) fn tell_within<F: Future<Output = ()>>(
    gateway: &Gateway,
    patience: Duration,
    story: impl FnOnce(SendRequest<Bytes>) -> F,
) {
    let address = address(gateway);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        tokio::time::timeout(patience, story(client)).await.expect("the story ends in time");
        connection.abort();
    });
}

pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://www.example.com{path}")).body(()).unwrap()
}

/// Asks with a body in one piece.
pub(crate) async fn ask(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> Result<Response<RecvStream>, h2::Error> {
    *client = client.clone().ready().await?;
    let (response, mut stream) = client.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body), true)?;
    }
    response.await
}

pub(crate) async fn content(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}

pub(crate) async fn text(response: Response<RecvStream>) -> String {
    String::from_utf8(content(&mut response.into_body()).await.unwrap()).unwrap()
}

#[test]
fn a_request_goes_through_the_same_rules_and_fields_as_over_http_1() {
    let endpoint = Endpoint::mirror();
    let keys = format!(
        "{CLEAR}\nrule = [{{ when = 'path == \"/private\"', then = {{ deny = 403 }} }}, \
         {{ then = {{ set_fields = {{ X-Seen = \"{{method}} {{path}}\" }}, forward = \"app\" }} }}]"
    );
    let gateway = gateway(&file(&[endpoint.address], &keys, ""));
    tell(&gateway, |mut client| async move {
        for path in ["/private", "/%70rivate", "/a/../private"] {
            let answer = ask(&mut client, get(path), b"").await.unwrap();
            assert_eq!(answer.status(), 403, "{path}");
            assert!(answer.headers().contains_key("date"));
            assert_eq!(text(answer).await, "403 Forbidden\n");
        }
        let mut request = get("/a?b=c");
        request.headers_mut().insert("x-seen", "forged".parse().unwrap());
        request.headers_mut().insert("x-forwarded-for", "1.2.3.4".parse().unwrap());
        request.headers_mut().append("cookie", "a=1".parse().unwrap());
        request.headers_mut().append("cookie", "b=2".parse().unwrap());
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        let answer = ask(&mut client, request, b"").await.unwrap();
        assert_eq!(answer.status(), 200);
        let head = text(answer).await;
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\n"), "{head}");
        assert_eq!(field(&head, "cookie"), Some("a=1; b=2"));
        assert_eq!(field(&head, "X-Seen"), Some("GET /a"));
        assert_eq!(field(&head, "X-Forwarded-For"), Some("127.0.0.1"));
        assert_eq!(field(&head, "TE"), Some("trailers"));
        assert!(field(&head, "X-Request-Id").is_some());
        assert!(field(&head, "Transfer-Encoding").is_none());
    });
}

#[test]
fn a_hundred_requests_at_once_share_the_pool_and_come_back_to_whom_they_belong() {
    let endpoint = Endpoint::mirror();
    let gateway = in_clear(&endpoint);
    tell(&gateway, |client| async move {
        for _round in 0..3 {
            let asked = (0..100).map(|n| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let answer = ask(&mut client, get(&format!("/{n}")), b"").await.unwrap();
                    assert!(text(answer).await.starts_with(&format!("GET /{n} HTTP/1.1\r\n")));
                })
            });
            for answered in asked.collect::<Vec<_>>() {
                answered.await.unwrap();
            }
        }
    });
    assert!(endpoint.seen.connections() <= 100, "{}", endpoint.seen.connections());
}

#[test]
fn bodies_come_across_in_both_directions_whatever_their_length() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, body)) = wire.request() {
            match field(&head, "X-Answer") {
                Some("chunked") => {
                    wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for piece in body.chunks(10_000) {
                        wire.write(format!("{:x}\r\n", piece.len()).as_bytes());
                        wire.write(piece);
                        wire.write(b"\r\n");
                    }
                    wire.write(b"0\r\n\r\n");
                }
                Some("close") => {
                    wire.write(b"HTTP/1.1 200 OK\r\n\r\n");
                    wire.write(&body);
                    return;
                }
                _ => {
                    wire.write(
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
                    );
                    wire.write(&body);
                }
            }
        }
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        for len in [1, 5, 16_384, 100_000, 2_000_000] {
            let body: Vec<u8> = (0..len).map(|n: usize| (n % 251) as u8).collect();
            for (answer, has_length) in [("length", true), ("chunked", false), ("close", false)] {
                let mut request = get("/");
                *request.method_mut() = Method::PUT;
                request.headers_mut().insert("x-answer", answer.parse().unwrap());
                if has_length {
                    request.headers_mut().insert("content-length", len.into());
                }
                client = client.ready().await.unwrap();
                let (response, mut stream) = client.send_request(request, false).unwrap();
                let mut left = Bytes::from(body.clone());
                let echo = tokio::spawn(async move {
                    let mut response = response.await.unwrap();
                    assert_eq!(response.headers().contains_key("content-length"), has_length);
                    assert!(!response.headers().contains_key("transfer-encoding"));
                    content(response.body_mut()).await.unwrap()
                });
                while !left.is_empty() {
                    stream.reserve_capacity(left.len());
                    let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
                    let piece = left.split_to(room.min(left.len()));
                    stream.send_data(piece, left.is_empty()).unwrap();
                }
                assert!(echo.await.unwrap() == body, "{len} {answer}");
            }
        }
    });
}

#[test]
fn trailers_come_across_in_both_directions() {
    let endpoint = Endpoint::new(|wire| {
        while let Some(head) = wire.head() {
            assert_eq!(field(&head, "Transfer-Encoding"), Some("chunked"));
            let (body, trailers) = wire.chunked().unwrap();
            assert_eq!((body.as_slice(), trailers.as_str()), (b"ping".as_slice(), "x-sum: 7\n"));
            wire.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n0\r\nGrpc-Status: 0\r\nX-B: b\r\n\r\n",
            );
        }
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        let mut request = get("/");
        *request.method_mut() = Method::POST;
        client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"ping"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(content(&mut body).await.unwrap(), b"pong");
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-b"]),
            (&"0".parse().unwrap(), &"b".parse().unwrap())
        );
    });
}

#[test]
fn answers_without_a_body_have_none_and_hints_come_first() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, _)) = wire.request() {
            let path = head.split(' ').nth(1).unwrap();
            wire.write(match path {
                "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".as_slice(),
                "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
                "/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "/hints" => b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            });
        }
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        for (method, path, status) in
            [("GET", "/204", 204), ("GET", "/304", 304), ("GET", "/empty", 200), ("HEAD", "/", 200)]
        {
            let mut request = get(path);
            *request.method_mut() = method.parse().unwrap();
            let answer = ask(&mut client, request, b"").await.unwrap();
            assert_eq!(answer.status(), status);
            if method == "HEAD" {
                assert_eq!(answer.headers()["content-length"], "5");
            }
            assert_eq!(text(answer).await, "");
        }
        client = client.ready().await.unwrap();
        let (mut response, _) = client.send_request(get("/hints"), true).unwrap();
        let hints = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</a>".parse().unwrap()));
        let answer = response.await.unwrap();
        for name in ["connection", "x-hop", "keep-alive"] {
            assert!(!answer.headers().contains_key(name), "{name}");
        }
    });
}

#[test]
fn a_request_that_its_client_takes_back_is_taken_back_from_the_endpoint() {
    let (told, events) = events();
    let endpoint = Endpoint::new(move |wire| {
        if let Some((head, _)) = wire.request() {
            if head.starts_with("GET /slow ") {
                told.lock().unwrap().send("asked").unwrap();
                assert!(wire.is_closed());
                told.lock().unwrap().send("closed").unwrap();
            } else {
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(get("/slow"), true).unwrap();
        let events = tokio::task::spawn_blocking(move || {
            assert_eq!(events.recv_timeout(PATIENCE).unwrap(), "asked");
            events
        });
        let events = events.await.unwrap();
        stream.send_reset(Reason::CANCEL);
        drop(response);
        let closed = tokio::task::spawn_blocking(move || events.recv_timeout(PATIENCE).unwrap());
        assert_eq!(closed.await.unwrap(), "closed");
        let answer = ask(&mut client, get("/"), b"").await.unwrap();
        assert_eq!(text(answer).await, "ok");
    });
}

#[test]
fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let endpoint = Endpoint::once(answer);
        let gateway = in_clear(&endpoint);
        tell(&gateway, |mut client| async move {
            // With the reset goes whatever was not sent yet, the head included.
            let error = match ask(&mut client, get("/"), b"").await {
                Ok(mut response) => content(response.body_mut()).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        });
    }
}

#[test]
fn an_endpoint_that_cannot_be_had_is_told_by_status_and_the_connection_goes_on() {
    let gateway = gateway(&file(&[nobody()], &format!("{CLEAR}\ncluster = \"app\""), ""));
    tell(&gateway, |mut client| async move {
        for _ in 0..3 {
            let answer = ask(&mut client, get("/"), b"body").await.unwrap();
            assert_eq!(answer.status(), 502);
        }
    });
}

#[test]
fn an_answer_before_the_end_of_the_body_is_heard_and_the_rest_is_not_wanted() {
    let endpoint = Endpoint::new(|wire| {
        wire.head().unwrap();
        wire.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        let mut request = get("/");
        *request.method_mut() = Method::POST;
        client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(text(response).await, "big");
        let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
        assert_eq!(reason, Reason::NO_ERROR);
    });
}

#[test]
fn nobody_is_read_faster_than_the_other_side_takes_it() {
    const LARGE: usize = 64 * 1024 * 1024;
    let (told, events) = events();
    let endpoint = Endpoint::new(move |wire| {
        if wire.request().is_some() {
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").as_bytes());
            let mut written = 0;
            wire.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            while let Ok(len) = std::io::Write::write(&mut wire.stream, &[7; 64 * 1024]) {
                written += len;
            }
            told.lock().unwrap().send(written).unwrap();
        }
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        // The client gives no window beyond the first 64 KiB.
        let response = ask(&mut client, get("/"), b"").await.unwrap();
        let written = tokio::task::spawn_blocking(move || events.recv_timeout(PATIENCE).unwrap());
        let written = written.await.unwrap();
        assert!(written < LARGE / 4, "{written} bytes were taken from the endpoint");
        drop(response);
    });
}

#[test]
fn a_connection_that_carried_a_header_is_used_for_this_client_again_and_for_no_other() {
    let endpoint = Endpoint::new(|wire| {
        let mut introduced = None;
        while let Some(head) = wire.head() {
            let (head, line) = match head.split_once("\r\nGET ") {
                Some((line, head)) if line.starts_with("PROXY ") => (head.to_owned(), Some(line.to_owned())),
                _ => (head, None),
            };
            introduced = line.or(introduced);
            let _ = head;
            let told = introduced.clone().unwrap();
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len()).as_bytes());
        }
    });
    let cluster = "send_header = \"v1\"";
    let gateway = gateway(&file(&[endpoint.address], &format!("{CLEAR}\ncluster = \"app\""), cluster));
    let tell_both = || {
        tell(&gateway, |mut client| async move {
            let mut lines = Vec::new();
            for _ in 0..5 {
                let answer = ask(&mut client, get("/"), b"").await.unwrap();
                lines.push(text(answer).await);
            }
            assert!(lines.windows(2).all(|pair| pair[0] == pair[1]), "{lines:?}");
        });
    };
    tell_both();
    tell_both();
    assert_eq!(endpoint.seen.connections(), 2);
}

#[test]
fn a_connection_lives_while_it_is_used_and_ends_when_it_is_not() {
    const IDLE: Duration = Duration::from_millis(400);
    let keys = format!(
        "{CLEAR}\ntimeout = {{ head = \"400ms\", idle = \"400ms\" }}\n\
         rule = [{{ then = {{ respond = {{ status = 200, body = \"ok\" }} }} }}]"
    );
    let gateway = gateway(&file(&[nobody()], &keys, ""));
    // Where the machine itself paused for so long, nothing was shown, and another connection is to show it.
    assert!((0..5).any(|_| has_outlived(IDLE, &gateway)));
}

/// Uses a connection for longer than it may be idle, and then no more: it is told that the gateway goes. False where it was idle
/// before, through no wish of ours.
fn has_outlived(idle: Duration, gateway: &Gateway) -> bool {
    let mut last = Instant::now();
    let mut has_outlived = false;
    tell(gateway, |mut client| {
        let has_outlived = &mut has_outlived;
        async move {
            let begun = Instant::now();
            while begun.elapsed() < idle * 3 {
                let asked = match ask(&mut client, get("/"), b"").await {
                    Ok(answer) => content(&mut answer.into_body()).await,
                    Err(error) => Err(error),
                };
                match asked {
                    Ok(body) => assert_eq!(body, b"ok"),
                    Err(_) if last.elapsed() >= idle => return,
                    Err(error) => panic!("{error} after {:?}", begun.elapsed()),
                }
                last = Instant::now();
            }
            // Nothing is asked any more: until it hears that the gateway goes.
            while client.clone().ready().await.is_ok() {
                tokio::task::yield_now().await;
            }
            *has_outlived = true;
        }
    });
    has_outlived
}

#[test]
fn under_tls_nobody_needs_prior_knowledge() {
    let nobody = "127.0.0.1:9".parse().unwrap();
    let written =
        file(&[nobody], &format!("{CLEAR}\ncluster = \"app\"\ntls = {{ certificates = \".\" }}"), "");
    let problems =
        foreword_gateway::config::parse(&written, "test.toml", std::path::Path::new(".")).unwrap_err();
    let told = problems.to_string();
    assert!(told.contains("test.toml:5:9: ") && told.contains("leave the key out"), "{told}");
}

#[test]
fn a_drain_lets_what_runs_end_and_nothing_new_begin() {
    let (told, events) = events();
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let endpoint = Endpoint::new(move |wire| {
        while wire.request().is_some() {
            told.lock().unwrap().send(()).unwrap();
            gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Arc::new(in_clear(&endpoint));
    tell(&gateway, |mut client| {
        let gateway = Arc::clone(&gateway);
        async move {
            client = client.ready().await.unwrap();
            let asked: Vec<_> =
                (0..20).map(|n| client.send_request(get(&format!("/{n}")), true).unwrap().0).collect();
            let asked_all = move || (0..20).for_each(|_| events.recv_timeout(PATIENCE).unwrap());
            tokio::task::spawn_blocking(asked_all).await.unwrap();
            let drained = tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(gateway.drain());
            });
            // Until it hears that the gateway goes.
            while client.clone().ready().await.is_ok() {
                tokio::task::yield_now().await;
            }
            (0..20).for_each(|_| go.send(()).unwrap());
            for response in asked {
                assert_eq!(text(response.await.unwrap()).await, "ok");
            }
            drained.await.unwrap();
        }
    });
}

#[test]
fn twenty_reloads_lose_no_request() {
    let endpoint = Endpoint::polite();
    let file_text = file(&[endpoint.address], &format!("{CLEAR}\ncluster = \"app\""), "");
    let gateway = gateway(&file_text);
    let address = address(&gateway);
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut answered, mut connections) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let tcp = TcpStream::connect(address).await.unwrap();
                let (client, connection) = h2::client::handshake(tcp).await.unwrap();
                tokio::spawn(connection);
                connections += 1;
                // Until it hears that its plan is retired: what it has asked by then is answered.
                while let Ok(mut client) = client.clone().ready().await
                    && !over.load(Ordering::Relaxed)
                {
                    let asked: Vec<_> =
                        (0..10).map_while(|_| client.send_request(get("/"), true).ok()).collect();
                    for (response, _) in asked {
                        match response.await {
                            Ok(response) => assert_eq!(text(response).await, "ok"),
                            // It was never looked at, and the client knows: it asks again elsewhere, RFC 9113 §6.8.
                            Err(error) => {
                                assert!(error.is_go_away() && error.reason() == Some(Reason::NO_ERROR));
                                continue;
                            }
                        }
                        answered += 1;
                    }
                }
            }
            (answered, connections)
        })
    });
    for _ in 0..20 {
        let plan =
            foreword_gateway::config::parse(&file_text, "test.toml", std::path::Path::new(".")).unwrap().plan;
        let before = endpoint.seen.all().len();
        gateway.reload(plan).unwrap();
        // Some requests under each plan.
        while endpoint.seen.all().len() < before + 2000 && !client.is_finished() {
            std::thread::yield_now();
        }
    }
    done.store(true, Ordering::Relaxed);
    let (answered, connections) = client.join().unwrap();
    assert!(answered > 100 && connections > 1, "{answered} answers over {connections} connections");
}
