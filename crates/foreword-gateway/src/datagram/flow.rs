//! A flow: the datagrams between one client and its endpoint, until nothing moves for a while.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foreword::{Client, ClientAddr, spp};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::Hall;
use super::dropping::{Dropping, TooLarge};
use super::flows::FlowKey;
use super::incoming::Ends;
use super::outgoing::{Outgoing, failed, is_short_of_room, is_too_large};
use super::said::{Names, begins_like_a_header};
use crate::admission::{Full, FullOfFlows, Place};
use crate::connection::door::Served;
use crate::connection::error::{self, ServeError};
use crate::connection::note_client;
use crate::connection::record::{Fill, Outcome, Record};
use crate::connection::shared::{Present, Worker};
use crate::drain::{Drain, GRACE};
use crate::observe::Name;
use crate::plan::{InnerHeader, Listener};
use crate::policy::bound::Bound;
use crate::policy::cluster::Cluster;
use crate::policy::facts::ConnectionFacts;
use crate::policy::rules::Ending;
use crate::policy::seats::Seat;
use crate::policy::terms::Terms;
use crate::refusal::{Code, Refusal};
use crate::upstream::endpoints::Chosen;

/// One more here, and one more in all.
pub(super) type Places = (Place, Place);

/// A client's datagrams and their answers. It lives under the plan that it began with.
pub(super) struct Flow {
    key: FlowKey,
    names: Names,
    ends: Ends,
    served: Rc<Served>,
    outgoing: Outgoing,
    chosen: Chosen,
    /// What the proxy downstream wants to see in front of answers.
    carried_back: Option<[u8; spp::LEN]>,
    /// Whether a header in the payload must not reach the endpoint.
    refuses_header: bool,
    /// Taken when the flow ends.
    open: RefCell<Option<Open>>,
    ended: Notify,
    moved: Cell<Instant>,
    idle: Duration,
    stage: Cell<Stage>,
    /// Where it stands among those that may make room.
    pub(super) place: Cell<Option<usize>>,
}

/// What a flow holds as long as it lasts.
struct Open {
    record: Record,
    _places: Places,
    _seats: Box<[Seat]>,
}

/// How far a flow has shown that its client is where it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has spoken.
    Asking,
    /// It was answered.
    Answered,
    /// It spoke after that: the answer must have come to it.
    Proven,
    /// The same, and answered again since.
    ProvenAndAnswered,
}

/// Whether a datagram went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// The endpoint, or a router, has said that nobody takes datagrams there. The flow has ended.
    EndpointGone,
}

/// What a flow begins with.
pub(super) struct Opening {
    pub(super) key: FlowKey,
    pub(super) names: Names,
    pub(super) ends: Ends,
    pub(super) client: Client,
    pub(super) carried_back: Option<[u8; spp::LEN]>,
    pub(super) places: Places,
}

/// What the listener and its rules make of a client's flow.
pub(super) struct Decided<'d> {
    cluster: &'d Arc<Cluster>,
    rule: Option<&'d str>,
    terms: Terms,
    /// What it holds of bounds, for as long as it lasts.
    seats: Vec<Seat>,
}

/// Finds out where a client's flow goes, and by which rule.
pub(super) fn decide<'d>(listener: &'d Listener, client: &Client) -> Result<Decided<'d>, Dropping<'d>> {
    let facts = ConnectionFacts { client, tls: None, hello: None };
    let mut seats = Vec::new();
    let mut ask = |bound: &Bound| bound.ask(&facts, || Instant::now().into_std(), &mut seats);
    for bound in &listener.bounds {
        ask(bound).map_err(|over| Dropping::Limited { rule: None, over })?;
    }
    let mut terms = Terms::default();
    let decision = listener.rules.decide(&facts, ask, &mut |change| change.tell(&mut terms));
    let rule = decision.rule.map(|rule| &*rule.name);
    match (decision.ending, decision.over) {
        (Ending::Forward(cluster), _) => Ok(Decided { cluster, rule, terms, seats }),
        (_, Some(over)) => Err(Dropping::Limited { rule, over }),
        _ => Err(Dropping::Rule { rule }),
    }
}

impl Flow {
    /// Begins a flow where it was decided to go.
    pub(super) fn open<'d>(
        worker: &Worker,
        served: &Rc<Served>,
        opening: Opening,
        decided: Decided<'_>,
    ) -> Result<Rc<Self>, Dropping<'d>> {
        let Opening { key, names, ends, client, carried_back, places } = opening;
        let Decided { cluster, rule, terms, seats } = decided;
        let unique_id = OnceCell::new();
        let (chosen, outgoing) = Outgoing::open(&worker.endpoints, cluster, &client, &unique_id)?;
        let mut record = Record::open(&served.journal, ends.peer, ends.local);
        note_client(&mut record, &client);
        if let Some(rule) = rule {
            record.rule(rule);
        }
        record.log(terms.log.unwrap_or_default());
        record.cluster(&cluster.name);
        record.forwarding(chosen.name());
        record.connected(false);
        if let Some(id) = unique_id.get() {
            record.text(Name::ConnectionId, id);
        }
        Ok(Rc::new(Self {
            key,
            names,
            ends,
            served: Rc::clone(served),
            outgoing,
            chosen,
            carried_back,
            refuses_header: cluster.inner_header == InnerHeader::Reject,
            open: RefCell::new(Some(Open { record, _places: places, _seats: seats.into() })),
            ended: Notify::new(),
            moved: Cell::new(Instant::now()),
            idle: terms.idle.unwrap_or(served.listener.timeout.idle),
            stage: Cell::new(Stage::Asking),
            place: Cell::new(None),
        }))
    }

    pub(super) fn key(&self) -> &FlowKey {
        &self.key
    }

    /// Whom the header of its first datagram named.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn ends(&self) -> &Ends {
        &self.ends
    }

    pub(super) fn served(&self) -> &Served {
        &self.served
    }

    /// Whom it is for, until it has ended.
    pub(super) fn client(&self) -> Option<ClientAddr> {
        self.open.borrow().as_ref().map(|open| open.record.client_address().clone())
    }

    /// Whether its client has spoken after an answer.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.stage.get(), Stage::Proven | Stage::ProvenAndAnswered)
    }

    /// Sends a datagram of the client's.
    pub(super) fn send<'d>(&self, payload: &[u8]) -> Result<Sent, Dropping<'d>> {
        if self.has_ended() {
            return Ok(Sent::EndpointGone);
        }
        if self.refuses_header && begins_like_a_header(payload) {
            return Err(Dropping::Inner);
        }
        match self.outgoing.send(payload) {
            Ok(sent) => {
                self.note(|record| {
                    record.datagram_received(payload.len() as u64);
                    record.upstream_sent(sent as u64);
                });
                self.moved.set(Instant::now());
                self.stage.set(match self.stage.get() {
                    Stage::Asking => Stage::Asking,
                    _ => Stage::Proven,
                });
                Ok(Sent::Yes)
            }
            Err(error) if is_too_large(&error) => {
                Err(Dropping::TooLarge(self.outgoing.too_large(payload.len())))
            }
            Err(error) if is_short_of_room(&error) => Err(Dropping::Unsent(error)),
            Err(error) => {
                self.fail(error);
                Ok(Sent::EndpointGone)
            }
        }
    }

    /// Ends it, since its endpoint cannot be reached.
    fn fail(&self, error: io::Error) {
        if !self.has_ended() {
            self.chosen.connect_failed(&error);
            let cluster = self.chosen.account.name().into();
            let error = failed(self.chosen.address(), error);
            self.end(&Err(ServeError::Connect { cluster, error }));
        }
    }

    /// Ends it to make room.
    pub(super) fn evict(&self, full: &Full) {
        let told = format_args!("{}: the idlest makes room", FullOfFlows(full));
        self.close(Outcome::Refused(Refusal::new(Code::FlowLimit, &told)));
    }

    /// Ends it since memory is short.
    pub(super) fn shed(&self) {
        let told = format_args!(
            "expected a client that has spoken after an answer while memory is short, found a flow quiet for {} ms",
            self.quiet_for().as_millis()
        );
        self.close(Outcome::Refused(Refusal::new(Code::MemoryShort, &told)));
    }

    /// For how long nothing of it has moved.
    pub(super) fn quiet_for(&self) -> Duration {
        self.moved.get().elapsed()
    }

    /// Ends it as flows end.
    pub(super) fn end_quietly(&self) {
        // Nobody has said that nobody listens there; where nothing is ever answered, more cannot be known.
        self.chosen.took_it();
        self.end(&Ok(()));
    }

    fn end(&self, outcome: &Result<(), ServeError>) {
        if let Some(open) = self.open.take() {
            error::close(open.record, &self.served().listener, outcome);
            self.ended.notify_waiters();
        }
    }

    fn close(&self, outcome: Outcome<'_>) {
        if let Some(open) = self.open.take() {
            open.record.close(outcome);
            self.ended.notify_waiters();
        }
    }

    fn has_ended(&self) -> bool {
        self.open.borrow().is_none()
    }

    async fn has_been_ended(&self) {
        while !self.has_ended() {
            self.ended.notified().await;
        }
    }

    fn note(&self, note: impl FnOnce(&mut Record)) {
        if let Some(open) = &mut *self.open.borrow_mut() {
            note(&mut open.record);
        }
    }

    /// When it has been quiet for long enough. Once its door is closed, that is soon after an answer: there is nothing else
    /// by which a flow could show that it is done.
    fn quiet_at(&self, letting_go: bool) -> Instant {
        let idle = self.idle;
        let is_answered = matches!(self.stage.get(), Stage::Answered | Stage::ProvenAndAnswered);
        let quiet: Duration = if letting_go && is_answered { idle.min(GRACE) } else { idle };
        self.moved.get() + quiet
    }

    /// Forwards the answers that are there.
    fn take_answers(&self, hall: &Hall) -> io::Result<Taken> {
        for _ in 0..ANSWERS_AT_ONCE {
            let mut answer = hall.buffers.answer.borrow_mut();
            let len = match self.outgoing.receive(answer.room()) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Taken::All),
                // A router sent back what went before.
                Err(error) if is_too_large(&error) => {
                    hall.drop_answer(self, &Dropping::TooLarge(self.outgoing.too_large(0)));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(skip) = self.outgoing.header_of_answer(answer.payload(0, len)) else {
                hall.drop_answer(self, &Dropping::Answer { endpoint: self.outgoing.endpoint(), bytes: len });
                continue;
            };
            let contents = match &self.carried_back {
                Some(header) => answer.headed(header, skip, len),
                None => answer.payload(skip, len),
            };
            self.answer(hall, len, contents);
        }
        Ok(Taken::ThereMayBeMore)
    }

    fn answer(&self, hall: &Hall, len: usize, contents: &[u8]) {
        self.moved.set(Instant::now());
        if self.stage.get() == Stage::Asking {
            self.chosen.answered();
        }
        self.stage.set(match self.stage.get() {
            Stage::Asking | Stage::Answered => Stage::Answered,
            Stage::Proven | Stage::ProvenAndAnswered => Stage::ProvenAndAnswered,
        });
        hall.flows.touch(self);
        self.note(|record| {
            record.first_byte();
            record.upstream_received(len as u64);
        });
        match hall.incoming.answer(self.key.peer, self.key.to, contents) {
            Ok(()) => self.note(|record| record.datagram_sent(contents.len() as u64)),
            Err(error) if is_too_large(&error) => {
                let too_large = TooLarge { to: self.key.peer, payload: contents.len(), header: 0, mtu: None };
                hall.drop_answer(self, &Dropping::TooLarge(too_large));
            }
            Err(error) => hall.drop_answer(self, &Dropping::Unsent(error)),
        }
    }
}

/// Whether there are more answers to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    All,
    ThereMayBeMore,
}

/// Forwards answers until the flow ends.
pub(super) async fn run(flow: Rc<Flow>, hall: Rc<Hall>, _present: Present) {
    let _leaving = Leaving { flow: &flow, hall: &hall };
    let drain = Drain::new(&hall.worker.progress);
    let mut letting_go = false;
    let mut quiet = pin!(sleep_until(flow.quiet_at(letting_go)));
    loop {
        tokio::select! {
            biased;
            () = flow.has_been_ended() => return,
            () = drain.cancelled() => return flow.end(&Err(ServeError::CutOff)),
            news = flow.outgoing.has_news() => match news.and_then(|()| flow.take_answers(&hall)) {
                Ok(Taken::All) => {}
                Ok(Taken::ThereMayBeMore) => yield_now().await,
                Err(error) => return flow.fail(error),
            },
            () = &mut quiet => {
                if flow.quiet_at(letting_go) <= Instant::now() {
                    return flow.end_quietly();
                }
                quiet.as_mut().reset(flow.quiet_at(letting_go));
            }
            () = hall.has_closed(), if !letting_go => letting_go = true,
        }
        if letting_go {
            quiet.as_mut().reset(flow.quiet_at(letting_go));
        }
    }
}

/// However its task ends, a flow is found no more.
struct Leaving<'f> {
    flow: &'f Rc<Flow>,
    hall: &'f Hall,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.hall.flows.remove(self.flow);
        // Where nothing has ended it, the record says by itself that it was cut off, or what panicked.
        drop(self.flow.open.take());
    }
}

/// A burst of answers; whoever has more waits for its turn.
const ANSWERS_AT_ONCE: usize = 16;
