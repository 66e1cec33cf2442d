//! A request forwarded: asked over some connection, answered over ours, both at the same time.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foreword_http1::{Framing, ResponseHead, is_idempotent};
use foreword_tokio::write_together;
use tokio::time::{Instant, timeout};

use super::answering::{Answered, Answering};
use super::carry::Meter;
use super::exchange::{After, Whom, refuse, refuse_for};
use super::fields::{Asked, NewCookie, Persistence};
use super::halves::Shared;
use super::link::{self, Link, NoLink};
use super::refused::Refused;
use super::sending::{Asking, Exchange, Failed, Progress, send};
use super::shelf::Buffer;
use super::wire::Wire;
use super::{Spoken, Talk};
use crate::connection::error::ServeError;
use crate::connection::forward::{Forward, Traffic};
use crate::connection::record::{Fill, Outcome, RequestRecord, Side};
use crate::drain::Drain;
use crate::plan::Cluster;
use crate::stream::Carried;
use crate::stream::outgoing::Outgoing;
use crate::upstream::endpoints::Chosen;
use crate::upstream::reach::Attempts;

/// What forwarding needs from the desk.
pub(super) struct Tools<'d> {
    pub(super) response: &'d mut ResponseHead,
    pub(super) to_endpoint: &'d mut Vec<u8>,
    pub(super) to_client: &'d mut Vec<u8>,
}

/// Forwards a request to an endpoint of `cluster`.
///
/// A connection may die before anything comes over it: a kept one unnoticed, a new one with its endpoint. If the request may
/// be said twice, it is said again: over a new connection, and to another endpoint unless a kept one was to blame.
pub(super) async fn forward<S: Carried>(
    talk: &mut Talk<'_, S>,
    asked: &Asked<'_>,
    cluster: &Arc<Cluster>,
    mut tools: Tools<'_>,
    note: RequestRecord<'_>,
) -> After {
    // Both ways of an exchange write to it.
    let mut note = RefCell::new(note);
    if let Some(refused) = too_long(talk, asked) {
        let whom = Whom::unanswered(talk, asked);
        return Box::pin(refuse(talk, whom, refused, note.into_inner(), tools.to_client)).await;
    }
    let mut attempts = attempts(talk, asked, cluster);
    let mut kept_is_welcome = true;
    let error = loop {
        let mut link = match link::find(talk, cluster, &mut attempts, kept_is_welcome, note.get_mut()).await {
            Ok(link) => link,
            Err(NoLink::Unreachable(error)) => break error,
            Err(NoLink::Shed(after)) => return end_shed(after, note.into_inner()),
            Err(NoLink::ClientGone) => {
                note.into_inner().close(Outcome::Aborted(Side::Downstream));
                return After::Close;
            }
        };
        // What is read of others was noted as it came, and a head of HTTP/2 is many times longer than what came.
        if talk.spoken == Spoken::Http2
            && talk.connection.drain.ration().is_used_up()
            && let Err(after) = Box::pin(ration_comes(&talk.connection.drain)).await
        {
            return end_shed(after, note.into_inner());
        }
        let mut buffer = talk.worker.shelf.buffer();
        let progress = Progress::default();
        // Anew for each attempt: nothing of it lies here while a way is looked for, and while the answer is waited for.
        asked.write_head(cluster.sticky.as_ref(), tools.to_endpoint);
        if talk.spoken == Spoken::Http2 {
            // It lies here, and then in the socket.
            talk.connection.drain.ration().take(2 * tools.to_endpoint.len());
        }
        let outcome =
            converse(talk, asked, cluster, &mut link, &mut buffer, &mut tools, &progress, &note).await;
        if let Err(failed) = &outcome
            && !progress.answer_has_begun.get()
        {
            report(&link, failed);
        }
        match outcome {
            Ok(Answered::Switched) => {
                // Boxed, since it is far larger than all else and few requests come to it.
                return Box::pin(tunnel(talk, asked, cluster, link, &buffer, note.into_inner())).await;
            }
            Ok(Answered::Whole { persistence, is_reusable }) => {
                let ended = Instant::from_std(note.into_inner().close(Outcome::Complete));
                talk.quiet_since = Some(ended);
                if is_reusable {
                    link.keep(cluster, talk, ended);
                }
                return after_whole(asked, persistence, &progress);
            }
            Err(failed)
                if may_repeat(asked, &failed) && another(talk, cluster, &link, &failed, &mut attempts) =>
            {
                note.get_mut().retried();
                link.chosen.account.replayed();
                kept_is_welcome = false;
            }
            Err(Failed::Shed(after)) => return end_shed(after, note.into_inner()),
            Err(failed) => {
                let chosen = &link.chosen;
                let note = note.into_inner();
                let ended = give_up(talk, asked, failed, chosen, &progress, note, tools.to_client);
                return Box::pin(ended).await;
            }
        }
    };
    let whom = Whom::unanswered(talk, asked);
    let (name, note) = (&cluster.name, note.into_inner());
    Box::pin(refuse_for(talk, whom, error.into(), name, note, tools.to_client)).await
}

/// Waits until there is memory for a head, as long as may be waited for an endpoint.
async fn ration_comes(drain: &Drain) -> Result<(), Duration> {
    drain.while_borne(Instant::now(), pin!(drain.has_ration())).await
}

/// Ends a request since memory is short. Nothing is said: words would be held as well, for as long as they are not taken.
fn end_shed(after: Duration, note: RequestRecord<'_>) -> After {
    note.close(Outcome::Refused(Refused::Shed { after }.refusal()));
    After::Cut
}

/// The attempts at a request: they begin with the endpoint that its cookie names.
fn attempts<S>(talk: &Talk<'_, S>, asked: &Asked<'_>, cluster: &Arc<Cluster>) -> Attempts {
    let mut attempts = Attempts::new(cluster.balance.key(&asked.facts));
    let named = cluster.sticky.as_ref().and_then(|sticky| asked.token(sticky));
    attempts.first_at(named.filter(|token| talk.worker.endpoints.takes(cluster, *token)));
    attempts
}

/// What becomes of the connection once the client has its whole answer.
fn after_whole(asked: &Asked<'_>, persistence: Persistence, progress: &Progress) -> After {
    match persistence {
        Persistence::KeepAlive => After::NextRequest,
        Persistence::Close if is_whole(asked, progress) => After::Linger,
        Persistence::Close => After::HearOut,
    }
}

/// Why a request whose length is told is not forwarded, if it says that it is too long.
fn too_long<S>(talk: &Talk<'_, S>, asked: &Asked<'_>) -> Option<Refused> {
    let Framing::Length(told) = asked.request().framing() else { return None };
    let most = max_body(talk, asked).filter(|&most| told > most)?;
    Some(Refused::BodyTooLong { most, told: Some(told) })
}

fn max_body<S>(talk: &Talk<'_, S>, asked: &Asked<'_>) -> Option<u64> {
    asked.changes.terms().max_body.or(talk.connection.listener.max.body)
}

fn idle<S>(talk: &Talk<'_, S>, asked: &Asked<'_>) -> Duration {
    asked.changes.terms().idle.unwrap_or(talk.connection.listener.timeout.idle)
}

/// Tells of an endpoint that gave no answer, though nobody else was in its way. To close a kept connection is its right.
fn report(link: &Link, failed: &Failed) {
    match failed {
        Failed::Unanswered | Failed::Unseen { .. } if !link.is_reused => {
            link.chosen.did_not_answer(&"the connection was closed");
        }
        Failed::Refused(refused) if refused.is_of_the_endpoint() => link.chosen.did_not_answer(refused),
        Failed::Unanswered
        | Failed::Unseen { .. }
        | Failed::ClientGone
        | Failed::ClientStalls
        | Failed::Shed(_)
        | Failed::Refused(_) => {}
    }
}

/// Whether there is another way to say it: over a new connection in place of a kept one, else to another endpoint. One that only
/// had no room, or was about to leave, is asked again where there is no other.
fn another<S>(
    talk: &Talk<'_, S>,
    cluster: &Arc<Cluster>,
    link: &Link,
    failed: &Failed,
    attempts: &mut Attempts,
) -> bool {
    let endpoints = &talk.worker.endpoints;
    if link.is_reused {
        return attempts.repeat(cluster);
    }
    if matches!(failed, Failed::Unseen { .. }) {
        attempts.turned_away_at(link.chosen.address(), endpoints, cluster);
        return attempts.repeat(cluster);
    }
    attempts.failed_at(link.chosen.address());
    attempts.has_other(endpoints, cluster) && attempts.repeat(cluster)
}

/// What may be said twice, or was not heard the first time, and of what nothing is gone that only the client could say again.
fn may_repeat(asked: &Asked<'_>, failed: &Failed) -> bool {
    let request = asked.request();
    match failed {
        Failed::Unanswered => request.framing() == Framing::None && is_idempotent(request.method()),
        Failed::Unseen { is_unsent } => match request.framing() {
            Framing::None | Framing::Length(0) => true,
            Framing::Length(_) => *is_unsent,
            // It is read where it lies, and may be another one by now.
            Framing::Chunked | Framing::UntilClose => false,
        },
        Failed::ClientGone | Failed::ClientStalls | Failed::Shed(_) | Failed::Refused(_) => false,
    }
}

/// Sends the request and passes the answer on, at the same time.
#[expect(clippy::too_many_arguments, reason = "both ways of an exchange meet here and nowhere else")]
async fn converse<S: Carried>(
    talk: &mut Talk<'_, S>,
    asked: &Asked<'_>,
    cluster: &Cluster,
    link: &mut Link,
    buffer: &mut Buffer<'_>,
    tools: &mut Tools<'_>,
    progress: &Progress,
    note: &RefCell<RequestRecord<'_>>,
) -> Result<Answered, Failed> {
    let listener = &talk.connection.listener;
    let exchange = Exchange {
        progress,
        patience: &talk.patience,
        endpoint: link.chosen.name(),
        idle: idle(talk, asked),
        rules_changed_fields: asked.changes.are_about_the_request(),
        max_body: max_body(talk, asked),
        body_rate: listener.min.body_rate,
        response: asked.changes.terms().response.unwrap_or(cluster.timeout.response),
    };
    let (down, up) = (Shared::new(&mut talk.stream), Shared::new(&mut link.wire));
    let ((mut from_client, mut to_client), (mut from_endpoint, mut to_endpoint)) =
        (down.halves(), up.halves());
    let request = asked.request();
    let upwards = Upwards(note);
    let head = Asking { introduction: &link.introduction, head: tools.to_endpoint };
    let (source, target) = (&mut from_client, &mut to_endpoint);
    let mut sending =
        pin!(send(head, request.framing(), source, &mut talk.buffer, target, &exchange, &upwards));
    let mut answering = Answering {
        asked,
        response: tools.response,
        buffer,
        out: tools.to_client,
        exchange: &exchange,
        chosen: &link.chosen,
        encoders: talk.worker.shelf.encoders.shared(talk.own_seats),
        cookie: new_cookie(asked, cluster, &link.chosen),
        drain: &talk.connection.drain,
        note,
    };
    let drain = &talk.connection.drain;
    let mut answering = pin!(answering.run(&mut from_endpoint, &mut to_client));
    let mut turn = |cx: &mut Context<'_>| {
        // Once the request is whole, all that is left of it is an eye on the client: then the answer comes first.
        let is_whole = progress.request_is_whole.get();
        if !is_whole && let Poll::Ready(failed) = sending.as_mut().poll(cx) {
            return Poll::Ready(Err(failed));
        }
        if let Poll::Ready(answered) = answering.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        if is_whole && let Poll::Ready(failed) = sending.as_mut().poll(cx) {
            return Poll::Ready(Err(failed));
        }
        if !is_whole {
            // It may be the endpoint that takes nothing.
            down.gather(cx);
        }
        // Whoever waits has us woken at each look at memory.
        if drain.is_strained()
            && let Some(after) = must_go(drain, progress, note)
        {
            return Poll::Ready(Err(Failed::Shed(after)));
        }
        Poll::Pending
    };
    loop {
        if let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(turn(cx))).await {
            return outcome;
        }
        if down.next_turn_or_break().await {
            return Err(Failed::ClientGone);
        }
    }
}

/// For how long a request has waited that may not do so while memory is as short as it is.
#[cold]
fn must_go(drain: &Drain, progress: &Progress, note: &RefCell<RequestRecord<'_>>) -> Option<Duration> {
    if progress.answer_has_begun.get() {
        return None;
    }
    let began = || Instant::from_std(note.borrow().last_wait());
    let since = progress.moved_at.get().unwrap_or_else(began).elapsed();
    let holds_much = !progress.request_is_whole.get() || progress.has_more.get();
    let lasted = holds_much && drain.held_at_most().is_some_and(|most| since >= most);
    (lasted || drain.unanswered_at_most() == Some(0)).then_some(since)
}

/// The cookie that the client is given, unless it has it already.
fn new_cookie<'c>(asked: &Asked<'_>, cluster: &'c Cluster, chosen: &Chosen) -> Option<NewCookie<'c>> {
    let sticky = cluster.sticky.as_ref()?;
    let token = chosen.token().filter(|token| asked.token(sticky) != Some(*token))?;
    Some(NewCookie { sticky, token })
}

/// Ends an exchange that came to nothing.
async fn give_up<S: Carried>(
    talk: &mut Talk<'_, S>,
    asked: &Asked<'_>,
    failed: Failed,
    chosen: &Chosen,
    progress: &Progress,
    note: RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> After {
    let refused = match failed {
        Failed::ClientGone => {
            note.close(Outcome::Aborted(Side::Downstream));
            return After::Close;
        }
        Failed::ClientStalls => {
            note.close(Outcome::TimedOut(Side::Downstream));
            return After::Cut;
        }
        Failed::Shed(after) => Refused::Shed { after },
        Failed::Unanswered | Failed::Unseen { .. } => {
            Refused::EndpointClosed { endpoint: chosen.name().to_owned() }
        }
        Failed::Refused(refused) => refused,
    };
    if progress.answer_has_begun.get() {
        note.close(Outcome::Refused(refused.refusal_for(chosen.account.name(), Some(asked))));
        return After::Cut;
    }
    // Of a body that is half sent nobody knows where it ends, so that connection ends with the page.
    let whom = if is_whole(asked, progress) { Whom::Finished(asked) } else { Whom::Unfinished(asked) };
    refuse_for(talk, whom, refused, chosen.account.name(), note, out).await
}

/// Whether all of the request has come.
fn is_whole(asked: &Asked<'_>, progress: &Progress) -> bool {
    asked.request().framing() == Framing::None || progress.request_is_whole.get()
}

/// Carries bytes both ways in a protocol that is not ours, until both sides are done.
async fn tunnel<S: Carried>(
    talk: &mut Talk<'_, S>,
    asked: &Asked<'_>,
    cluster: &Cluster,
    link: Link,
    said: &Buffer<'_>,
    mut note: RequestRecord<'_>,
) -> After {
    let idle = idle(talk, asked);
    // No stream of HTTP/2 changes its protocol: `Ask` tells of none that would.
    let Wire::Http1(upstream) = link.wire else { return After::Cut };
    let mut upstream = upstream.into_stream();
    upstream.socket().keep_alive(cluster.keepalive.within(idle));
    let early = async {
        write_together(&mut talk.stream, [said.bytes()]).await.map_err(ServeError::Downstream)?;
        write_together(&mut upstream, [talk.buffer.bytes()]).await.map_err(ServeError::Upstream)
    };
    let early = timeout(idle, early).await.unwrap_or(Err(ServeError::Idle(idle)));
    let mut count = |moved: Traffic| {
        note.received(moved.up);
        note.upstream_sent(moved.up);
        note.sent(moved.down);
        note.upstream_received(moved.down);
    };
    count(Traffic { up: talk.buffer.bytes().len() as u64, down: said.bytes().len() as u64 });
    talk.buffer.consume(usize::MAX);

    let (forward, alarm) = (Forward::new(idle), talk.worker.alarms.alarm());
    let look_again = |_: &Outgoing| match link.chosen.drains_for() {
        Some(Duration::ZERO) => Err(ServeError::EndpointDrained),
        left => Ok(left),
    };
    let outcome = match early {
        Ok(()) => {
            let means = talk.worker.means();
            forward.run(&mut talk.stream, &mut upstream, means, &alarm, look_again, count).await
        }
        Err(error) => Err(error),
    };
    note.close(outcome.as_ref().map_or_else(ServeError::outcome, |()| Outcome::Complete));
    match outcome {
        Err(ServeError::Upstream(_)) => After::Cut,
        _ => After::Close,
    }
}

/// Counts what goes from the client to the endpoint.
struct Upwards<'n, 'r>(&'n RefCell<RequestRecord<'r>>);

impl Meter for Upwards<'_, '_> {
    fn moved(&self, taken: usize, written: usize) {
        let mut note = self.0.borrow_mut();
        note.received(taken as u64);
        note.upstream_sent(written as u64);
    }
}
