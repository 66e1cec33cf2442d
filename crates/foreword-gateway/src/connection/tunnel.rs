//! A tunnel: all that is kept of a connection while bytes go both ways. Thousands of them wait at once, so it is small.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Guest;
use super::chapter::Chapter;
use super::error::ServeError;
use super::forward::{Forward, Traffic};
use super::record::{Fill, Record};
use crate::connection::shared::Worker;
use crate::drain::Phase;
use crate::stream::Downstream;
use crate::stream::outgoing::Outgoing;
use crate::upstream::endpoints::Chosen;

/// A client and its endpoint, connected.
pub(super) struct Tunnel<S> {
    pub(super) stream: S,
    pub(super) upstream: Outgoing,
    pub(super) forward: Forward,
    pub(super) chosen: Box<Chosen>,
    pub(super) guest: Guest,
}

impl<S: Downstream + 'static> Tunnel<S> {
    /// The last chapter of a connection in tcp mode.
    pub(super) fn chapter(mut self) -> Chapter {
        Chapter::new(async move {
            let outcome = poll_fn(|cx| self.poll(cx)).await;
            self.end(outcome)
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let Self { stream, upstream, forward, chosen, guest } = self;
        let worker = guest.present.worker();
        let end = || ends_within(worker, chosen);
        let (record, alarm) = (&mut guest.record, &guest.alarm);
        forward.poll(cx, (stream, upstream), worker.means(), alarm, end, |moved| note(record, moved))
    }

    fn end(self, outcome: Result<(), ServeError>) -> Option<Chapter> {
        let Self { stream, upstream, forward, chosen, mut guest } = self;
        match &outcome {
            _ if forward.was_answered() => chosen.answered(),
            Err(ServeError::Upstream(error)) => chosen.did_not_answer(error),
            _ => {}
        }
        match &outcome {
            Err(ServeError::Downstream(error)) if is_reset(error) => upstream.socket().reset_on_close(),
            Err(ServeError::Upstream(error)) if is_reset(error) => stream.socket().reset_on_close(),
            _ => {}
        }
        // Whoever sees the close may come again at once.
        guest.seats.clear();
        drop((stream, upstream, chosen));
        guest.leave(&outcome)
    }
}

/// After how long a tunnel must end for reasons of ours; `None` as long as there are none.
fn ends_within(worker: &Worker, chosen: &Chosen) -> Result<Option<Duration>, ServeError> {
    if worker.progress.phase() >= Phase::CutOff {
        return Err(ServeError::CutOff);
    }
    match chosen.drains_for() {
        Some(Duration::ZERO) => Err(ServeError::EndpointDrained),
        left => Ok(left),
    }
}

/// Notes bytes that went from one side to the other.
pub(super) fn note(record: &mut Record, moved: Traffic) {
    record.received(moved.up);
    record.upstream_sent(moved.up);
    record.sent(moved.down);
    record.upstream_received(moved.down);
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
