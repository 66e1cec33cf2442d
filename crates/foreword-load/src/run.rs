//! A run of a load: as many tasks as connections, which share one count.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use crate::answer::{Answer, AnswerReader};
use crate::connection::{Connection, within};
use crate::failure::Failure;
use crate::load::{Load, Requests, Streams, Until, Work};
use crate::outcome::Outcome;
use crate::stream::{PIECE, carry};
use crate::{datagrams, multiplexed};

/// Runs a load to its end.
///
/// # Panics
///
/// Outside a [`tokio::runtime::LocalRuntime`] or a [`tokio::task::LocalSet`].
pub async fn run(load: Load) -> Outcome {
    let begun = Instant::now();
    let tickets = load.tls.as_ref().map_or(0, |tls| tls.tickets());
    let run = Rc::new(Run::new(load, begun));
    let mut tasks = JoinSet::new();
    for _ in 0..run.load.connections {
        let run = Rc::clone(&run);
        tasks.spawn_local(async move {
            match &run.load.work {
                Work::Requests(requests) => request(&run, requests).await,
                Work::Multiplexed(multiplexed) => multiplexed::request(&run, multiplexed).await,
                Work::Streams(streams) => stream(&run, streams).await,
                Work::Datagrams(datagrams) => datagrams::exchange(&run, datagrams).await,
            }
        });
    }
    // A task that panicked would have lost its units: the panic goes on here.
    tasks.join_all().await;
    let mut outcome = run.outcome.take();
    outcome.elapsed = begun.elapsed();
    outcome.tickets = run.load.tls.as_ref().map_or(0, |tls| tls.tickets()) - tickets;
    outcome
}

/// What the tasks of a run share.
pub(crate) struct Run {
    pub(crate) load: Load,
    deadline: Option<Instant>,
    /// Units begun.
    begun: Cell<u64>,
    failed: Cell<u64>,
    /// Connections begun.
    connections: Cell<u64>,
    pub(crate) outcome: RefCell<Outcome>,
}

impl Run {
    pub(crate) fn new(load: Load, now: Instant) -> Self {
        let deadline = match load.until {
            Until::Units(_) => None,
            Until::Passed(time) => Some(now + time),
        };
        Self {
            load,
            deadline,
            begun: Cell::new(0),
            failed: Cell::new(0),
            connections: Cell::new(0),
            outcome: RefCell::default(),
        }
    }

    /// Begins a unit, if there is to be another one.
    pub(crate) fn begin(&self, now: Instant) -> bool {
        let more = self.failed.get() < self.load.max_failures
            && match self.load.until {
                Until::Units(units) => self.begun.get() < units,
                Until::Passed(_) => self.deadline.is_some_and(|deadline| now < deadline),
            };
        if more {
            self.begun.set(self.begun.get() + 1);
        }
        more
    }

    /// The same, at this moment.
    pub(crate) fn begin_now(&self) -> Option<Instant> {
        let now = Instant::now();
        self.begin(now).then_some(now)
    }

    /// Counts a flow, and gives its number.
    pub(crate) fn connected(&self) -> u64 {
        let number = self.connections.get();
        self.connections.set(number + 1);
        self.outcome.borrow_mut().connections += 1;
        number
    }

    pub(crate) async fn connect(&self, first: &[u8]) -> Result<Connection, Failure> {
        let number = self.connections.get();
        self.connections.set(number + 1);
        let connection = Connection::open(&self.load, number, first).await?;
        self.outcome.borrow_mut().connections += 1;
        Ok(connection)
    }

    pub(crate) fn fail(&self, failure: &Failure) {
        self.failed.set(self.failed.get() + 1);
        self.outcome.borrow_mut().fail(failure);
    }

    /// Judges an answer, and counts it if it is the one that was asked for.
    pub(crate) fn answered(
        &self,
        requests: &Requests,
        begun: Instant,
        answer: Answer,
    ) -> Result<(), Failure> {
        let mut outcome = self.outcome.borrow_mut();
        *outcome.statuses.entry(answer.status).or_default() += 1;
        if answer.status != requests.status {
            return Err(Failure::Status { expected: requests.status, found: answer.status });
        }
        if let Some(expected) = requests.len
            && expected != answer.len
        {
            return Err(Failure::Length { expected, found: answer.len });
        }
        outcome.done(begun.elapsed(), answer.len + requests.upload as u64);
        Ok(())
    }
}

/// One task's requests, over as many connections as they take.
async fn request(run: &Run, requests: &Requests) {
    let bytes = requests.encode();
    let mut reader = AnswerReader::new();
    loop {
        let now = Instant::now();
        if !run.begin(now) {
            return;
        }
        if let Err(failure) = request_on_one(run, requests, &bytes, &mut reader, now).await {
            run.fail(&failure);
        }
    }
}

/// The requests of one connection, of which the first has begun.
async fn request_on_one(
    run: &Run,
    requests: &Requests,
    bytes: &[u8],
    reader: &mut AnswerReader,
    mut begun: Instant,
) -> Result<(), Failure> {
    let method = if requests.upload == 0 { "GET" } else { "POST" };
    let patience = run.load.timeout;
    let mut connection = run.connect(bytes).await?;
    loop {
        let answer = within(patience, reader.read(&mut connection, method)).await??;
        if requests.close {
            await_close(run, &mut connection).await?;
        }
        run.answered(requests, begun, answer)?;
        if requests.close || !answer.keeps_alive {
            return Ok(());
        }
        begun = Instant::now();
        if !run.begin(begun) {
            return Ok(());
        }
        connection.send(bytes, patience).await?;
    }
}

/// Waits until the server has closed. How it does is not judged: the answer was whole, and many leave out the TLS alert.
async fn await_close(run: &Run, connection: &mut Connection) -> Result<(), Failure> {
    match within(run.load.timeout, connection.read(&mut [0])).await? {
        Ok(0) | Err(_) => Ok(()),
        Ok(bytes) => Err(Failure::Excess { bytes }),
    }
}

/// One task's streams, each on a connection of its own.
async fn stream(run: &Run, streams: &Streams) {
    let mut buffer = vec![b'.'; PIECE];
    loop {
        let begun = Instant::now();
        if !run.begin(begun) {
            return;
        }
        let carried = async {
            let mut connection = run.connect(&[]).await?;
            carry(&mut connection, streams, &mut buffer, run.load.timeout).await
        };
        match carried.await {
            Ok(()) => run.outcome.borrow_mut().done(begun.elapsed(), streams.bytes),
            Err(failure) => run.fail(&failure),
        }
    }
}
