//! Connections that did one exchange and then say nothing: what an idle connection costs a server.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::task::JoinSet;

use crate::answer::AnswerReader;
use crate::connection::{Connection, within};
use crate::failure::Failure;
use crate::load::{Load, Requests, Until};
use crate::outcome::Outcome;
use crate::run::Run;

/// How many connect at once: below the usual length of a listener's queue.
const AT_ONCE: usize = 64;

/// Connections that are held open.
pub struct Held {
    connections: Vec<Connection>,
}

/// Opens `load.connections` connections, does one of `requests` on each, and holds those on which it was done.
///
/// # Panics
///
/// Outside a [`tokio::runtime::LocalRuntime`] or a [`tokio::task::LocalSet`].
pub async fn hold(mut load: Load, requests: Requests) -> (Held, Outcome) {
    let begun = Instant::now();
    load.until = Until::Units(load.connections as u64);
    let tasks_at_once = AT_ONCE.min(load.connections);
    let run = Rc::new(Run::new(load, begun));
    let requests = Rc::new(Requests { close: false, ..requests });
    let mut tasks = JoinSet::new();
    for _ in 0..tasks_at_once {
        let (run, requests) = (Rc::clone(&run), Rc::clone(&requests));
        tasks.spawn_local(async move { open_some(&run, &requests).await });
    }
    let connections = tasks.join_all().await.into_iter().flatten().collect();
    let mut outcome = run.outcome.take();
    outcome.elapsed = begun.elapsed();
    (Held { connections }, outcome)
}

/// One task's share of the connections.
async fn open_some(run: &Run, requests: &Requests) -> Vec<Connection> {
    let bytes = requests.encode();
    let mut reader = AnswerReader::new();
    let mut connections = Vec::new();
    loop {
        let begun = Instant::now();
        if !run.begin(begun) {
            return connections;
        }
        match open_one(run, requests, &bytes, &mut reader, begun).await {
            Ok(connection) => connections.push(connection),
            Err(failure) => run.fail(&failure),
        }
    }
}

async fn open_one(
    run: &Run,
    requests: &Requests,
    bytes: &[u8],
    reader: &mut AnswerReader,
    begun: Instant,
) -> Result<Connection, Failure> {
    let method = if requests.upload == 0 { "GET" } else { "POST" };
    let mut connection = run.connect(bytes).await?;
    let answer = within(run.load.timeout, reader.read(&mut connection, method)).await??;
    if !answer.keeps_alive {
        return Err(Failure::Closed { after: answer.len });
    }
    run.answered(requests, begun, answer)?;
    Ok(connection)
}

impl Held {
    /// How many are held.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// How many of them are no longer idle: closed by the server, broken, or spoken on.
    pub async fn lost(&mut self) -> usize {
        let mut lost = 0;
        for connection in &mut self.connections {
            lost += usize::from(!is_idle(connection).await);
        }
        lost
    }
}

/// Whether there is nothing to read, not even an end.
async fn is_idle(connection: &mut Connection) -> bool {
    poll_fn(|cx| {
        let mut byte = [0];
        Poll::Ready(Pin::new(&mut *connection).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending())
    })
    .await
}
