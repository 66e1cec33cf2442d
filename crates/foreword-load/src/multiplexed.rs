//! HTTP/2: many requests at once on each connection, every one of them judged as those of HTTP/1.1 are.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, Connection as Http2, SendRequest};
use http::header::USER_AGENT;
use http::{Method, Request};
use tokio::task::{JoinSet, spawn_local};

use crate::answer::Answer;
use crate::connection::{Connection, within};
use crate::failure::Failure;
use crate::load::{Load, Multiplexed, Requests};
use crate::run::Run;

/// One task's requests, over as many connections as they take: one, unless it fails.
pub(crate) async fn request(run: &Rc<Run>, multiplexed: &Multiplexed) {
    while let Some(begun) = run.begin_now() {
        match open(run, &multiplexed.requests).await {
            Ok(client) => request_on_one(run, client, multiplexed.at_once.get(), begun).await,
            Err(failure) => run.fail(&failure),
        }
    }
}

/// A connection on which prefaces were exchanged.
struct Client {
    asked: Rc<Asked>,
    requests: SendRequest<Bytes>,
    connection: Http2<Connection, Bytes>,
}

async fn open(run: &Run, requests: &Requests) -> Result<Client, Failure> {
    let asked = Rc::new(Asked::new(&run.load, requests)?);
    let connection = run.connect(&[]).await?;
    if !connection.has_agreed_on(b"h2") {
        return Err(Failure::Alpn);
    }
    let mut builder = Builder::new();
    // Whoever answers never waits for our window, and is seldom told that it has room again.
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    // How many at once the server allows is not known before it has said so.
    builder.initial_max_send_streams(1);
    let greeted = within(run.load.timeout, builder.handshake(connection)).await?;
    let (requests, connection) = greeted.map_err(Failure::Http2)?;
    Ok(Client { asked, requests, connection })
}

/// The requests of one connection, so many at once; the first of them has begun.
async fn request_on_one(run: &Rc<Run>, client: Client, at_once: usize, begun: Instant) {
    let Client { asked, requests, connection } = client;
    let mut carried = spawn_local(connection);
    let mut lanes = JoinSet::new();
    let mut first = Some(begun);
    for _ in 0..at_once {
        let lane = Lane { run: Rc::clone(run), asked: Rc::clone(&asked), requests: requests.clone() };
        lanes.spawn_local(lane.ask(first.take()));
    }
    drop(requests);
    // A task that panicked would have lost its units: the panic goes on here.
    lanes.join_all().await;
    // It says goodbye once nobody can ask any more. What becomes of that has cost no request.
    if within(run.load.timeout, &mut carried).await.is_err() {
        carried.abort();
    }
}

/// Requests of one connection that follow each other.
struct Lane {
    run: Rc<Run>,
    asked: Rc<Asked>,
    requests: SendRequest<Bytes>,
}

impl Lane {
    /// Asks until it is enough, or the connection answers no more. `first` has begun already.
    async fn ask(mut self, first: Option<Instant>) {
        let mut next = first.or_else(|| self.run.begin_now());
        while let Some(begun) = next {
            if let Err(failure) = self.ask_once(begun).await {
                self.run.fail(&failure);
                if matches!(failure, Failure::Http2(_)) {
                    return;
                }
            }
            next = self.run.begin_now();
        }
    }

    async fn ask_once(&mut self, begun: Instant) -> Result<(), Failure> {
        let answer = within(self.run.load.timeout, self.asked.exchange(&mut self.requests)).await??;
        self.run.answered(&self.asked.requests, begun, answer)
    }
}

/// What is asked, made once.
struct Asked {
    requests: Requests,
    head: Request<()>,
    body: Bytes,
}

impl Asked {
    fn new(load: &Load, requests: &Requests) -> Result<Self, Failure> {
        let scheme = if load.tls.is_some() { "https" } else { "http" };
        let Requests { host, path, upload, .. } = requests;
        let head = Request::builder()
            .method(if *upload == 0 { Method::GET } else { Method::POST })
            .uri(format!("{scheme}://{host}{path}"))
            .header(USER_AGENT, "foreword-load")
            .body(())
            .map_err(Failure::Request)?;
        Ok(Self { requests: requests.clone(), head, body: vec![b'.'; *upload].into() })
    }

    /// One request, and its answer to the end.
    async fn exchange(&self, requests: &mut SendRequest<Bytes>) -> Result<Answer, Failure> {
        // Until the server allows one more at once.
        std::future::poll_fn(|cx| requests.poll_ready(cx)).await.map_err(Failure::Http2)?;
        let (answer, mut sending) =
            requests.send_request(self.head.clone(), self.body.is_empty()).map_err(Failure::Http2)?;
        if !self.body.is_empty() {
            sending.send_data(self.body.clone(), true).map_err(Failure::Http2)?;
        }
        let (head, mut body) = answer.await.map_err(Failure::Http2)?.into_parts();
        let len = read(&mut body).await?;
        Ok(Answer { status: head.status.as_u16(), len, keeps_alive: true })
    }
}

/// The length of a body that is read to its end.
async fn read(body: &mut RecvStream) -> Result<u64, Failure> {
    let mut len = 0;
    while let Some(data) = body.data().await {
        let data = data.map_err(Failure::Http2)?;
        len += data.len() as u64;
        body.flow_control().release_capacity(data.len()).map_err(Failure::Http2)?;
    }
    Ok(len)
}

/// What may be on its way to us, on a stream and on a connection.
const WINDOW: u32 = 4 * 1024 * 1024;
