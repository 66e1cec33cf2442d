//! Rules and listeners that let no more than so many go on at once.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use foreword_gateway::{Gateway, config};

use crate::http2;
use crate::support::*;

/// An endpoint that answers `/held` when it is told to, and all else at once.
struct Held {
    endpoint: Endpoint,
    came: Receiver<()>,
    answer: Sender<()>,
}

impl Held {
    fn new() -> Self {
        let (tell, came) = channel();
        let (answer, may) = channel::<()>();
        let (tell, may) = (Mutex::new(tell), Mutex::new(may));
        let endpoint = Endpoint::new(move |wire| {
            while let Some((head, _)) = wire.request() {
                if head.starts_with("GET /held") {
                    tell.lock().unwrap().send(()).unwrap();
                    if may.lock().unwrap().recv().is_err() {
                        return;
                    }
                }
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        Self { endpoint, came, answer }
    }

    fn wait(&self) {
        self.came.recv_timeout(PATIENCE).unwrap();
    }

    /// Two at once for each value of X-Whom; all workers count together.
    fn file(&self, listener: &str) -> String {
        let rules = format!(
            "{listener}\n[[listener.web.rule]]\nname = \"few\"\n\
             then = {{ limit_connections = {{ max = 2, per = 'field[\"x-whom\"]' }}, forward = \"app\" }}\n"
        );
        file(&[self.endpoint.address], &rules, "").replace("workers = 1", "workers = 2")
    }
}

fn request(path: &str, whom: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Whom: {whom}\r\n\r\n")
}

fn reload(gateway: &Gateway, text: &str) {
    gateway.reload(config::parse(text, "test.toml", Path::new(".")).unwrap().plan).unwrap();
}

#[test]
fn one_request_too_many_is_refused_until_another_has_its_answer() {
    let held = Held::new();
    let gateway = gateway(&held.file(""));
    let mut busy: Vec<Wire> = (0..2).map(|_| Wire::to(&gateway)).collect();
    for client in &mut busy {
        client.write(request("/held", "a").as_bytes());
        held.wait();
    }
    let mut third = Wire::to(&gateway);
    let refused = third.ask(&request("/", "a"));
    assert_eq!((refused.status, refused.field("Retry-After")), (429, None));
    assert_eq!(third.ask(&request("/", "b")).status, 200, "somebody else");
    assert_eq!(third.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200, "nobody");

    held.answer.send(()).unwrap();
    held.answer.send(()).unwrap();
    for client in &mut busy {
        assert_eq!(client.answer("GET").unwrap().status, 200);
    }
    // Their connections are still open: only requests count.
    for client in &mut busy {
        assert_eq!(client.ask(&request("/", "a")).status, 200);
    }
}

#[test]
fn whoever_goes_away_in_the_middle_gives_the_seat_back() {
    let held = Held::new();
    let gateway = gateway(&held.file(""));
    for _ in 0..2 {
        let mut client = Wire::to(&gateway);
        client.write(request("/held", "a").as_bytes());
        held.wait();
        client.reset();
    }
    let mut next = Wire::to(&gateway);
    // The gateway learns of the reset in its own time; a seat that leaked would never be free.
    let begun = std::time::Instant::now();
    while next.ask(&request("/", "a")).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "the seats are free again");
    }
}

#[test]
fn each_stream_of_an_http_2_connection_counts() {
    let held = Held::new();
    let gateway = gateway(&held.file(http2::CLEAR));
    http2::tell(&gateway, |mut client| async move {
        let asked = |path| {
            let mut request = http2::get(path);
            request.headers_mut().insert("x-whom", "a".parse().unwrap());
            request
        };
        let mut answers = Vec::new();
        for _ in 0..2 {
            client = client.ready().await.unwrap();
            answers.push(client.send_request(asked("/held"), true).unwrap().0);
        }
        tokio::task::spawn_blocking(move || {
            held.wait();
            held.wait();
            held
        })
        .await
        .map(|held| held.answer)
        .map(|answer| async move {
            assert_eq!(http2::ask(&mut client, asked("/"), b"").await.unwrap().status(), 429);
            answer.send(()).unwrap();
            answer.send(()).unwrap();
            for answered in answers {
                assert_eq!(http2::text(answered.await.unwrap()).await, "ok");
            }
            assert_eq!(http2::ask(&mut client, asked("/"), b"").await.unwrap().status(), 200);
        })
        .unwrap()
        .await;
    });
}

#[test]
fn a_reload_keeps_the_seats_that_are_taken_and_may_change_how_many_there_are() {
    let held = Held::new();
    let file = held.file("");
    let gateway = gateway(&file);
    let mut busy = Wire::to(&gateway);
    busy.write(request("/held", "a").as_bytes());
    held.wait();
    reload(&gateway, &file.replace("max = 2", "max = 1"));
    assert_eq!(Wire::to(&gateway).ask(&request("/", "a")).status, 429);
    reload(&gateway, &file);
    assert_eq!(Wire::to(&gateway).ask(&request("/", "a")).status, 200);
    held.answer.send(()).unwrap();
    assert_eq!(busy.answer("GET").unwrap().status, 200);
}

#[test]
fn a_websocket_has_its_seat_for_as_long_as_it_lasts() {
    let endpoint = Endpoint::new(|wire| {
        while let Some(head) = wire.head() {
            if field(&head, "Upgrade").is_some() {
                wire.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n",
                );
                while wire.fill() > 0 {}
                return;
            }
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rules = "[[listener.web.rule]]\nthen = { limit_connections = { max = 1 }, forward = \"app\" }\n";
    let gateway = gateway(&file(&[endpoint.address], rules, ""));
    let mut socket = Wire::to(&gateway);
    socket.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    assert!(socket.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert_eq!(Wire::to(&gateway).ask(&request("/", "a")).status, 429);
    socket.finish();
    assert!(socket.is_closed());
    assert_eq!(Wire::to(&gateway).ask(&request("/", "a")).status, 200);
}

#[test]
fn a_listener_counts_connections_busy_or_not() {
    let endpoint = Endpoint::polite();
    let keys = "cluster = \"app\"\nlimit_connections = { max = 2 }";
    let gateway = gateway(&file(&[endpoint.address], keys, ""));
    let mut idle: Vec<Wire> = (0..2).map(|_| Wire::to(&gateway)).collect();
    for client in &mut idle {
        assert_eq!(client.ask(&request("/", "a")).status, 200);
    }
    let mut third = Wire::to(&gateway);
    third.write(request("/", "a").as_bytes());
    assert!(third.is_closed());
    let mut gone = idle.pop().unwrap();
    gone.finish();
    assert!(gone.is_closed());
    assert_eq!(Wire::to(&gateway).ask(&request("/", "a")).status, 200);
}
