//! The requests of one connection, and how they take turns.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::{Connection as Http2, SendResponse};
use http::Request;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::heads::{Heads, Unbegun, Waiting};
use crate::stream::Duplex;
use crate::stream::http2::budget::Budget;

/// The requests of a connection, and what becomes of them.
pub(super) struct Turns<'c, F, S, D> {
    running: FuturesUnordered<Running<F>>,
    /// Where others have run, for as long as any do.
    free: Vec<Place<F>>,
    /// The streams of those that run or wait, in order.
    open: Vec<u32>,
    heads: &'c Heads,
    /// Those that begin when others have ended, or when there is memory for them.
    waiting: Waiting,
    /// The streams of those that were taken back while they waited, until that was asked for.
    left: Vec<u32>,
    /// Whether any was served since none was left the last time.
    has_served: bool,
    serve: S,
    /// Told of each that was never begun.
    leave_out: D,
}

/// Where a request is served: large, so that it is not moved on its way among the others, and used again.
type Place<F> = Pin<Box<Option<F>>>;

/// A request that is served. It gives its place back.
struct Running<F>(Option<Place<F>>);

impl<F: Future> Future for Running<F> {
    type Output = (F::Output, Option<Place<F>>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let served = self.0.as_mut().and_then(|place| place.as_mut().as_pin_mut());
        // Whoever has ended is not asked again.
        let Some(served) = served else { return Poll::Pending };
        let output = ready!(served.poll(cx));
        let mut place = self.0.take();
        if let Some(place) = &mut place {
            place.set(None);
        }
        Poll::Ready((output, place))
    }
}

/// What came of a turn.
pub(super) enum Event {
    /// A request came, or there is something to tell.
    Busy,
    /// So many requests came that others of the worker have their turn first.
    More,
    /// All requests that came were taken, and so many frames that others of the worker have their turn first.
    Paused,
    /// The last request has been answered.
    Rested,
    /// Both sides are done.
    Closed,
    Failed(h2::Error),
}

impl<'c, F, S, D> Turns<'c, F, S, D>
where
    F: Future<Output = u32>,
    S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F,
    D: Fn(Request<RecvStream>, SendResponse<Bytes>, Unbegun),
{
    pub(super) fn new(heads: &'c Heads, waiting: Waiting, serve: S, leave_out: D) -> Self {
        Self {
            running: FuturesUnordered::new(),
            free: Vec::new(),
            open: Vec::new(),
            heads,
            waiting,
            left: Vec::new(),
            has_served: false,
            serve,
            leave_out,
        }
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// How many requests are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether a stream has a record, which tells how it ends.
    pub(super) fn has_record(&self, stream: u32) -> bool {
        self.open.binary_search(&stream).is_ok() || self.left.contains(&stream)
    }

    /// Forgets those that were taken back. All that was told of them was heard.
    pub(super) fn forget_left(&mut self) {
        self.left.clear();
    }

    /// Since when a request waits that has not begun, if any does.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.waiting.since()
    }

    /// Takes what came, lets every request go on, and so on while anything moves. All that they have to say in one turn goes
    /// out with the next look at the connection: in one write, as far as it can. No more than a few requests begin in one turn, as
    /// each has much to do at once, and no more than some frames are heard.
    pub(super) fn poll<T: Duplex>(
        &mut self,
        cx: &mut Context<'_>,
        http2: &mut Http2<T, Bytes>,
        budget: &Budget,
    ) -> Poll<Event> {
        let (was_idle, none_waited) = (self.open.is_empty(), self.waiting.is_empty());
        let mut room = budget.most_begun();
        budget.begin_turn();
        loop {
            while room > 0 {
                match http2.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        room -= 1;
                        self.has_served = true;
                        let id = respond.stream_id().as_u32();
                        budget.shown(id);
                        self.open.push(id);
                        self.take(request, respond);
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Failed(error)),
                    Poll::Ready(None) => return Poll::Ready(Event::Closed),
                    Poll::Pending => break,
                }
            }
            if budget.end().is_some() {
                return Poll::Ready(Event::Busy);
            }
            let before = self.open.len();
            self.poll_running(cx, usize::MAX);
            let has_begun = self.begin_waiting(cx, &mut room);
            if room == 0 {
                return Poll::Ready(Event::More);
            }
            if budget.is_turn_over() {
                return Poll::Ready(Event::Paused);
            }
            if self.open.len() == before && !has_begun {
                break;
            }
        }
        match (was_idle, self.open.is_empty()) {
            (true, false) => Poll::Ready(Event::Busy),
            (_, true) if self.has_served => {
                self.has_served = false;
                self.free = Vec::new();
                Poll::Ready(Event::Rested)
            }
            _ if budget.has_ended_streams() || !self.left.is_empty() => Poll::Ready(Event::Busy),
            // From here on time runs for it.
            _ if none_waited && !self.waiting.is_empty() => Poll::Ready(Event::Busy),
            _ => Poll::Pending,
        }
    }

    /// Begins a request, or lets it wait, or refuses it.
    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.heads.came(request.headers().len());
        if self.heads.are_too_many_beside(self.open.len().saturating_sub(1)) {
            self.leave_out(request, respond, Unbegun::Short);
        } else if self.waiting.is_empty() && self.heads.has_room() {
            self.run(request, respond);
        } else if let Some((request, respond)) = self.waiting.push(request, respond) {
            self.leave_out(request, respond, Unbegun::Crowded);
        }
    }

    /// Begins what has waited, as far as there is room for it now; whether there was.
    fn begin_waiting(&mut self, cx: &mut Context<'_>, room: &mut usize) -> bool {
        while let Some((request, respond)) = self.waiting.pop_reset(cx) {
            self.left.push(respond.stream_id().as_u32());
            self.leave_out(request, respond, Unbegun::Reset);
        }
        let mut has_begun = false;
        while *room > 0
            && self.heads.nobody_waits()
            && let Some((request, respond)) = self.waiting.pop()
        {
            *room -= 1;
            self.leave_out(request, respond, Unbegun::Short);
        }
        while *room > 0
            && self.heads.has_room()
            && let Some((request, respond)) = self.waiting.pop()
        {
            *room -= 1;
            self.run(request, respond);
            has_begun = true;
        }
        has_begun
    }

    /// Refuses requests that have waited so long, a few in one turn. Their client may ask again.
    pub(super) fn refuse_overdue(&mut self, longest: Duration) {
        for _ in 0..MOST_ENDED {
            if self.waiting.since().is_some_and(|since| since.elapsed() >= longest)
                && let Some((request, respond)) = self.waiting.pop()
            {
                self.leave_out(request, respond, Unbegun::Overdue(longest));
            }
        }
    }

    fn leave_out(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>, why: Unbegun) {
        self.close(respond.stream_id().as_u32());
        (self.leave_out)(request, respond, why);
    }

    fn run(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let served = (self.serve)(request, respond);
        let place = match self.free.pop() {
            Some(mut place) => {
                place.set(Some(served));
                place
            }
            None => Box::pin(Some(served)),
        };
        self.running.push(Running(Some(place)));
    }

    /// Lets every request go on, until so many have ended; how many have.
    fn poll_running(&mut self, cx: &mut Context<'_>, most: usize) -> usize {
        let mut ended = 0;
        while ended < most
            && let Poll::Ready(Some((id, place))) = self.running.poll_next_unpin(cx)
        {
            self.free.extend(place);
            self.close(id);
            ended += 1;
        }
        ended
    }

    /// Takes note that a stream is over. A client numbers its streams upwards, RFC 9113 §5.1.1.
    fn close(&mut self, id: u32) {
        if let Ok(at) = self.open.binary_search(&id) {
            self.open.remove(at);
        }
    }

    /// Lets every request look about once more. Whoever waits for something else would wait for nobody, with a socket and a place at
    /// its endpoint: it is dropped, and its record tells why. A few end in one turn, as each closes its connection to the endpoint.
    pub(super) async fn abandon(&mut self) {
        while poll_fn(|cx| Poll::Ready(self.poll_running(cx, MOST_ENDED))).await == MOST_ENDED {
            yield_now().await;
        }
        for (number, request) in std::mem::take(&mut self.running).into_iter().enumerate() {
            drop(request);
            if (number + 1).is_multiple_of(MOST_ENDED) {
                yield_now().await;
            }
        }
        while let Some((request, respond)) = self.waiting.pop() {
            self.leave_out(request, respond, Unbegun::Reset);
        }
        self.open.clear();
    }
}

/// How many requests that were not answered end in one turn.
const MOST_ENDED: usize = 4;

#[cfg(test)]
mod tests {
    use h2::server::Builder;
    use tokio::io::duplex;
    use tokio::task::yield_now;

    use super::*;
    use crate::drain::{Drain, Progress};
    use crate::plan::Limits;
    use crate::stream::http2::watched::Watched;

    #[tokio::test]
    async fn a_client_that_asks_for_much_at_once_leaves_others_their_turn() {
        const ASKED: usize = 40;
        let (client, ours) = duplex(64 * 1024);
        let budget = Budget::of_client(100);
        let handshake = Builder::new().handshake(Watched::of_client(ours, &budget));
        let (http2, client) = tokio::join!(handshake, h2::client::handshake(client));
        let (mut http2, (mut client, connection)) = (http2.unwrap(), client.unwrap());
        let asked: Vec<_> = (0..ASKED)
            .map(|_| client.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap())
            .collect();
        tokio::spawn(connection);
        let serve = |request, respond| async move {
            let _kept = (request, respond);
            std::future::pending().await
        };
        let max = Limits::default();
        let drain = Drain::new(&Progress::new(0));
        let (heads, waiting) = (&Heads::new(&max, &drain), Waiting::new(&max));
        let mut turns = Turns::new(heads, waiting, serve, |_, _, why| panic!("{why:?}"));
        let mut begun = Vec::new();
        while turns.open.len() < asked.len() {
            let event = poll_fn(|cx| Poll::Ready(turns.poll(cx, &mut http2, &budget))).await;
            if turns.open.is_empty() {
                yield_now().await;
                continue;
            }
            begun.push(turns.open.len());
            assert!(matches!(event, Poll::Ready(Event::More)));
        }
        // None was answered.
        assert_eq!(begun, Vec::from_iter(1..=ASKED));
    }
}
