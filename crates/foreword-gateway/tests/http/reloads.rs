//! Reload after reload under load, whatever the clients speak: nothing fails.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foreword_gateway::config;
use h2::client::SendRequest;

use crate::http2::*;
use crate::support::*;

/// What has come of all requests so far.
#[derive(Default)]
struct Tally {
    served: AtomicU64,
    failed: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Tally {
    fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, why: String) {
        self.failed.lock().unwrap().push(why);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Waits until so many more are served, as long as nothing fails.
    fn wait_for(&self, more: u64) {
        let (from, begun) = (self.served.load(Ordering::Relaxed), Instant::now());
        while self.served.load(Ordering::Relaxed) < from + more && self.failed.lock().unwrap().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing moves");
            thread::yield_now();
        }
    }
}

/// Answers requests, and says back what comes behind an upgrade.
fn endpoint() -> Endpoint {
    Endpoint::new(|wire| {
        while let Some(head) = wire.head() {
            if field(&head, "Upgrade").is_none() {
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            wire.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            loop {
                let said = std::mem::take(&mut wire.buffer);
                wire.write(&said);
                if wire.fill() == 0 {
                    return;
                }
            }
        }
    })
}

/// The file before the reload with this number; each differs from the one before.
fn text(endpoint: &Endpoint, number: usize) -> String {
    let rule =
        format!("rule = [{{ then = {{ set_fields = {{ X-Plan = \"{number}\" }}, forward = \"app\" }} }}]");
    format!(
        "{}[listener.multiplexed]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\n{CLEAR}\n{rule}\n",
        file(&[endpoint.address], &rule, "")
    )
}

/// Requests one after the other over one connection, for as long as it is kept.
fn keep_alive(address: SocketAddr, tally: &Tally) {
    while tally.goes_on() {
        let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
        loop {
            wire.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            match wire.answer("GET") {
                Some(answer) if answer.status == 200 => {
                    tally.served();
                    if answer.field("Connection") == Some("close") || !tally.goes_on() {
                        break;
                    }
                }
                other => return tally.failed(format!("HTTP/1.1: {other:?}")),
            }
        }
    }
}

/// One message after the other through one tunnel, which no reload ends.
fn websocket(address: SocketAddr, tally: &Tally) {
    let mut wire = Wire::new(std::net::TcpStream::connect(address).unwrap());
    wire.write(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    match wire.head() {
        Some(head) if head.starts_with("HTTP/1.1 101 ") => {}
        other => return tally.failed(format!("WebSocket: {other:?}")),
    }
    while tally.goes_on() {
        wire.write(b"a message");
        if wire.exactly(9).as_deref() != Some(b"a message") {
            return tally.failed("WebSocket: the end".to_owned());
        }
        tally.served();
    }
}

/// Many requests at once over one connection, until it says that it goes. Only what it says it has not taken is asked again.
async fn multiplexed(address: SocketAddr, tally: Arc<Tally>) {
    while tally.goes_on() {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        let asking = (0..AT_ONCE).map(|_| tokio::spawn(ask_on(client.clone(), Arc::clone(&tally))));
        for asked in asking.collect::<Vec<_>>() {
            asked.await.unwrap();
        }
        drop(client);
        let _ended = connection.await;
    }
}

const AT_ONCE: usize = 10;

async fn ask_on(client: SendRequest<Bytes>, tally: Arc<Tally>) {
    while tally.goes_on() {
        // Nothing was sent yet where the connection takes no more.
        let Ok(mut ready) = client.clone().ready().await else { return };
        let Ok((response, _)) = ready.send_request(get("/"), true) else { return };
        let answered = async {
            let answer = response.await?;
            let status = answer.status();
            content(&mut answer.into_body()).await.map(|body| (status, body))
        };
        match answered.await {
            Ok((status, body)) if status == 200 && body == b"ok" => tally.served(),
            // Its stream is above the last that was taken, RFC 9113 §6.8.
            Err(error)
                if error.is_go_away()
                    && error.is_remote()
                    && error.reason() == Some(h2::Reason::NO_ERROR) =>
            {
                return;
            }
            other => return tally.failed(format!("HTTP/2: {other:?}")),
        }
    }
}

#[test]
fn reload_after_reload_fails_no_request() {
    let (reloads, apart) =
        if is_nightly() { (20, Duration::from_secs(3)) } else { (5, Duration::from_millis(300)) };
    let endpoint = endpoint();
    let gateway = gateway(&text(&endpoint, 0));
    let (web, multi) = (address_of(&gateway, "web"), address_of(&gateway, "multiplexed"));
    let tally = Arc::<Tally>::default();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| keep_alive(web, &tally));
            scope.spawn(|| websocket(web, &tally));
        }
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(multiplexed(multi, Arc::clone(&tally)));
        });
        for number in 1..=reloads {
            let due = Instant::now() + apart;
            tally.wait_for(100);
            while Instant::now() < due {
                tally.wait_for(10);
            }
            let plan = config::parse(&text(&endpoint, number), "test.toml", Path::new(".")).unwrap().plan;
            gateway.reload(plan).unwrap();
        }
        tally.wait_for(100);
        tally.is_over.store(true, Ordering::Relaxed);
    });
    let failed = tally.failed.lock().unwrap();
    let served = tally.served.load(Ordering::Relaxed);
    assert!(failed.is_empty(), "{} of {served}: {failed:?}", failed.len());
    let least = if is_nightly() && !cfg!(debug_assertions) { 500_000 } else { 1000 };
    assert!(served >= least, "{served}");
}
