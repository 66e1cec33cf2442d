//! The story of a datagram: its peer is judged, its header says whose it is, and it goes where its flow goes.
//!
//! Nothing here waits for a datagram's sake: one that cannot go on at once is dropped and counted, as a router would.

mod buffers;
mod dropping;
mod flow;
mod flows;
mod idlest;
mod incoming;
mod outgoing;
mod said;

use std::cell::Cell;
use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use foreword::ClientAddr;
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, sleep};

pub(crate) use self::buffers::Buffers;
pub(crate) use self::dropping::Dropping;
use self::flow::{Flow, Opening, Places, Sent};
use self::flows::{FlowKey, Flows};
pub(crate) use self::incoming::Ends;
use self::incoming::{Arrived, Incoming};
pub(crate) use self::said::{Said, read};
use crate::admission::Full;
use crate::connection::door::{OpenDoor, Served};
use crate::connection::shared::{Present, Worker};
use crate::drain::Drain;
use crate::observe::counters::{Dropped, ListenerCounters, count};
use crate::plan::DatagramHeaders;
use crate::refusal::{Code, Refusal};

/// Takes in what comes through a door, and forwards it; once the door closes, only what belongs to a flow that is there,
/// until the last one ends.
pub(crate) async fn serve(
    socket: UdpSocket,
    door: Rc<OpenDoor>,
    worker: Rc<Worker>,
    buffers: Rc<Buffers>,
    _present: Present,
) {
    let incoming = match Incoming::new(socket) {
        Ok(incoming) => incoming,
        Err(error) => {
            tracing::error!("listener `{}` cannot be served: {error}", door.served().listener.name);
            return;
        }
    };
    let hall = Rc::new(Hall {
        incoming,
        door,
        worker,
        buffers,
        flows: Flows::default(),
        closed: Cell::default(),
        closing: Notify::new(),
        trouble: Trouble::default(),
    });
    let drain = Drain::new(&hall.worker.progress);
    let mut closing = pin!(hall.door.closing());
    loop {
        let readable = tokio::select! {
            biased;
            () = &mut closing, if !hall.closed.get() => {
                hall.close();
                continue;
            }
            () = hall.flows.all_gone(), if hall.closed.get() => break,
            () = drain.next_news() => {
                hall.shed(&drain);
                continue;
            }
            readable = hall.readable(&drain) => readable,
        };
        if let Err(error) = readable {
            tracing::error!("listener `{}` is read no more: {error}", hall.door.served().listener.name);
            break;
        }
        match hall.take_in() {
            // However fast they come, whoever else lives on this worker gets a turn.
            Ok(()) => yield_now().await,
            Err(error) => {
                let served = hall.door.served();
                hall.trouble.tell(&served.listener.name, served.journal.counters(), &error);
                // What lasts would come up again at once.
                sleep(PAUSE).await;
            }
        }
    }
}

/// Where the datagrams of one door meet: its socket, its flows, and what they share with the worker.
pub(crate) struct Hall {
    incoming: Incoming,
    door: Rc<OpenDoor>,
    worker: Rc<Worker>,
    buffers: Rc<Buffers>,
    flows: Flows,
    closed: Cell<bool>,
    closing: Notify,
    trouble: Trouble,
}

impl Hall {
    /// Begins no more flows.
    fn close(&self) {
        self.closed.set(true);
        self.closing.notify_waiters();
    }

    /// Waits until no more flows begin: those that are there should not hold the port for long.
    async fn has_closed(&self) {
        while !self.closed.get() {
            self.closing.notified().await;
        }
    }

    /// Takes in what is there, up to a measure.
    ///
    /// # Errors
    /// Why nothing can be taken in, though something is there.
    fn take_in(self: &Rc<Self>) -> io::Result<()> {
        for _ in 0..BATCHES_AT_ONCE {
            if self.waits_for_a_look() {
                return Ok(());
            }
            let mut batch = self.buffers.batch.borrow_mut();
            match self.incoming.receive(&mut batch) {
                Ok(0) => return Ok(()),
                Err(error) if says_nothing_of_the_socket(&error) => return Ok(()),
                Err(error) => return Err(error),
                Ok(count) => {
                    for arrived in batch.arrived(count, self.incoming.local()) {
                        self.welcome(&arrived);
                    }
                }
            }
        }
        Ok(())
    }

    /// Forwards one datagram, or drops it. A panic costs that datagram, and nobody else's.
    fn welcome(self: &Rc<Self>, arrived: &Arrived<'_>) {
        let served = self.door.served();
        let forwarded = catch_unwind(AssertUnwindSafe(|| self.forward(&served, arrived)));
        match forwarded {
            Ok(Ok(())) => {}
            Ok(Err(dropping)) => tell(&served, &arrived.ends(), || client_of(&served, arrived), &dropping),
            Err(_) => {
                tracing::error!("a datagram panicked; the others go on [{}]", Code::Panicked);
                count(&served.journal.counters().dropped, Dropped::Panicked as usize);
                served.journal.counters().refused(Code::Panicked, None);
            }
        }
    }

    fn forward<'d>(
        self: &Rc<Self>,
        served: &'d Rc<Served>,
        arrived: &Arrived<'d>,
    ) -> Result<(), Dropping<'d>> {
        let listener = &served.listener;
        let first_only = listener.header.datagrams == DatagramHeaders::First;
        if first_only && let Some(flow) = self.flows.get(&FlowKey::of_peer(arrived)) {
            return self.forward_in(&flow, served, arrived);
        }
        let said = read(listener, &arrived.ends(), arrived.bytes)?;
        let key = if first_only { FlowKey::of_peer(arrived) } else { FlowKey::new(arrived, said.names()) };
        if let Some(flow) = self.flows.get(&key) {
            if flow.send(said.payload)? == Sent::Yes {
                self.flows.touch(&flow);
                return Ok(());
            }
            // Its endpoint is gone. Nothing was sent, so the datagram may begin anew with another one.
            self.flows.remove(&flow);
        }
        let flow = self.open(served, key, arrived, &said)?;
        if flow.send(said.payload)? == Sent::EndpointGone {
            count(&served.journal.counters().dropped, Dropped::Endpoint as usize);
        }
        Ok(())
    }

    /// Forwards a datagram of a flow whose first one alone had a header.
    ///
    /// What follows is the client's, and a header in it would be forged. Only one that says again what is known already
    /// can be the sender's.
    fn forward_in<'d>(
        &self,
        flow: &Rc<Flow>,
        served: &'d Served,
        arrived: &Arrived<'d>,
    ) -> Result<(), Dropping<'d>> {
        // A plan may have taken its trust back since the flow began (R-UDP-11).
        said::still_welcome(&served.listener, &arrived.ends())?;
        let payload = match said::header_again(&served.listener, arrived.bytes) {
            None => arrived.bytes,
            Some((names, payload)) if names == *flow.names() => payload,
            Some(_) => {
                flow.end_quietly();
                self.flows.remove(flow);
                return Err(Dropping::SecondHeader);
            }
        };
        match flow.send(payload)? {
            Sent::Yes => self.flows.touch(flow),
            // Whose the next one is, only another header can say.
            Sent::EndpointGone => {
                self.flows.remove(flow);
                count(&served.journal.counters().dropped, Dropped::Endpoint as usize);
            }
        }
        Ok(())
    }

    /// Begins a flow: its client is known now, the rules decide, an endpoint is chosen.
    fn open<'d>(
        self: &Rc<Self>,
        served: &'d Rc<Served>,
        key: FlowKey,
        arrived: &Arrived<'d>,
        said: &Said<'d>,
    ) -> Result<Rc<Flow>, Dropping<'d>> {
        if self.closed.get() {
            return Err(Dropping::Draining);
        }
        let ends = arrived.ends();
        let client = said.client(&ends)?;
        let decided = flow::decide(&served.listener, &client)?;
        let places = self.admit(served)?;
        let carried_back = said.carried_back().map(|spp| spp.encode());
        let opening = Opening { key, names: said.names(), ends, client, carried_back, places };
        let flow = Flow::open(&self.worker, served, opening, decided)?;
        self.flows.insert(&flow);
        spawn_local(flow::run(Rc::clone(&flow), Rc::clone(self), self.worker.enter()));
        Ok(flow)
    }

    /// Waits until something is there, and until there is memory for whom it may be from.
    async fn readable(&self, drain: &Drain) -> io::Result<()> {
        while self.waits_for_a_look() {
            drain.next_news().await;
        }
        self.incoming.readable().await
    }

    /// Whether what came waits in its socket until memory is looked at, which is at once. While memory is short it does not: those
    /// who have a flow should not wait for those who want one.
    fn waits_for_a_look(&self) -> bool {
        let progress = &self.worker.progress;
        !progress.strain().is_any() && progress.ration().is_used_up()
    }

    /// Ends flows that nobody has proven while memory is short, those first that were quiet longest, and a few at each look: new ones
    /// are refused meanwhile.
    fn shed(&self, drain: &Drain) {
        let Some(most) = drain.idle_at_most() else { return };
        for _ in 0..SHED_AT_ONCE {
            let Some(idlest) = self.flows.idlest().filter(|flow| flow.quiet_for() >= most) else { return };
            idlest.shed();
            self.flows.remove(&idlest);
        }
    }

    /// Takes a place for one more flow. Where there is none, the idlest of those that nobody has proven makes room.
    fn admit<'d>(&self, served: &Served) -> Result<Places, Dropping<'d>> {
        let ration = self.worker.progress.ration();
        if self.worker.progress.strain().is_any() && ration.is_used_up() {
            return Err(Dropping::Full(Full::Ration));
        }
        let limit = Some(served.listener.max.flows);
        let full = match served.post.admit(limit) {
            Ok(places) => {
                ration.take(FLOW);
                return Ok(places);
            }
            // Nobody makes room who is no smaller: flows go with the next look.
            Err(full @ Full::Memory { .. }) => return Err(Dropping::Full(full)),
            Err(full) => full,
        };
        let Some(idlest) = self.flows.idlest() else { return Err(Dropping::Full(full)) };
        idlest.evict(&full);
        self.flows.remove(&idlest);
        served.post.admit(limit).map_err(Dropping::Full)
    }

    /// Counts an answer that is dropped, and says why.
    fn drop_answer(&self, flow: &Flow, dropping: &Dropping<'_>) {
        tell(flow.served(), flow.ends(), || flow.client(), dropping);
    }
}

/// Whom a datagram is from, as far as its header may be believed.
fn client_of(served: &Served, arrived: &Arrived<'_>) -> Option<ClientAddr> {
    let ends = arrived.ends();
    let said = read(&served.listener, &ends, arrived.bytes).ok()?;
    Some(said.client(&ends).ok()?.address)
}

/// Counts a datagram that is dropped, and tells of it as often as may be.
fn tell(served: &Served, ends: &Ends, client: impl FnOnce() -> Option<ClientAddr>, dropping: &Dropping<'_>) {
    let journal = &served.journal;
    count(&journal.counters().dropped, dropping.cause() as usize);
    if let Some(code) = dropping.code() {
        let refusal = Refusal {
            requirement: dropping.requirement(),
            trust: dropping.trust(),
            ..Refusal::new(code, dropping)
        };
        journal.refused_between(&ends.peer, &ends.local, client().as_ref(), &refusal);
    }
}

/// What keeps datagrams from being read: counted each time, and told no more than once a minute, whatever it is.
#[derive(Default)]
struct Trouble(Cell<Option<Instant>>);

impl Trouble {
    fn tell(&self, listener: &str, counters: &ListenerCounters, error: &io::Error) {
        counters.refused(Code::DatagramsUnread, None);
        if self.is_due(Instant::now()) {
            tracing::error!(
                "listener `{listener}`: expected to read datagrams, found: {error}; trying again every {} ms [{}]",
                PAUSE.as_millis(),
                Code::DatagramsUnread
            );
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_due = self.0.get().is_none_or(|told| now.duration_since(told) >= A_MINUTE);
        if is_due {
            self.0.set(Some(now));
        }
        is_due
    }
}

/// Whether nothing was there, or what a router has sent back of an answer.
fn says_nothing_of_the_socket(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// About what a flow takes, in the kernel as well.
const FLOW: usize = 6 * 1024;

/// So many records are closed in no time.
const SHED_AT_ONCE: usize = 1024;

/// Short enough that the kernel keeps most of what comes meanwhile, long enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(100);
const A_MINUTE: Duration = Duration::from_secs(60);

/// So many batches are a few hundred microseconds of work.
const BATCHES_AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_keeps_datagrams_from_being_read_is_told_no_more_than_once_a_minute() {
        let (trouble, begin) = (Trouble::default(), Instant::now());
        let told = (0..1_200).filter(|&tenth| trouble.is_due(begin + PAUSE * tenth)).count();
        assert_eq!(told, 2);
    }

    #[test]
    fn what_keeps_datagrams_from_being_read_is_counted_each_time() {
        let (trouble, counters) = (Trouble::default(), ListenerCounters::new());
        for _ in 0..3 {
            trouble.tell("dns", &counters, &Errno::NOMEM.into());
        }
        assert_eq!(counters.refusals[Code::DatagramsUnread.index()].get(), 3);
    }

    #[test]
    fn an_empty_socket_and_what_a_peer_sends_back_are_no_reason_to_pause() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::AGAIN, Errno::INTR, Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            assert!(says_nothing_of_the_socket(&error(errno)), "{errno}");
        }
        for errno in [Errno::NOMEM, Errno::NOBUFS, Errno::BADF, Errno::IO] {
            assert!(!says_nothing_of_the_socket(&error(errno)), "{errno}");
        }
    }
}
