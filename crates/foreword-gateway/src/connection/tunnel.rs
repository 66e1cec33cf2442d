//! A tunnel: all that is kept of a connection while bytes go both ways. Thousands of them wait at once, so it is small.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Guest;
use super::chapter::Chapter;
use super::error::ServeError;
use super::forward::{Forward, Traffic};
use super::record::{Fill, Record};
use crate::connection::shared::Worker;
use crate::drain::Phase;
use crate::plan::Cluster;
use crate::stream::outgoing::Outgoing;
use crate::stream::{Downstream, Stream};
use crate::upstream::endpoints::Chosen;

/// A client and its endpoint, connected.
pub(super) struct Tunnel<S> {
    pub(super) stream: S,
    pub(super) upstream: Outgoing,
    pub(super) forward: Forward,
    pub(super) chosen: Box<Chosen>,
    pub(super) questions: Questions,
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
        let Self { stream, upstream, forward, chosen, questions, guest } = self;
        let worker = guest.present.worker();
        let look_again = |upstream: &Outgoing| {
            let end = ends_within(worker, chosen)?;
            Ok([end, questions.due(upstream.socket())].into_iter().flatten().min())
        };
        let (record, alarm) = (&mut guest.record, &guest.alarm);
        forward.poll(cx, (stream, upstream), worker.means(), alarm, look_again, |moved| note(record, moved))
    }

    fn end(self, outcome: Result<(), ServeError>) -> Option<Chapter> {
        let Self { stream, upstream, forward, chosen, mut guest, .. } = self;
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

/// The kernel's questions whether the endpoint is still there. Having it ask takes four calls, and most tunnels end before
/// the first question would be due: so it is told of them only then.
pub(super) struct Questions {
    /// Which says how they are asked, until the kernel was told; `None` as well where none is to be.
    cluster: Option<Arc<Cluster>>,
    /// When the first is due; set at the first look, which is at the beginning.
    due_at: Option<Instant>,
}

impl Questions {
    /// To an endpoint of `cluster`, where a tunnel may be idle for so long.
    pub(super) fn to_endpoint_of(cluster: &Arc<Cluster>, idle: Duration) -> Self {
        let asks = cluster.keepalive.within(idle).is_some();
        Self { cluster: asks.then(|| Arc::clone(cluster)), due_at: None }
    }

    /// In how long the first of them is due, which is when to look again at the latest; then the kernel is told.
    fn due(&mut self, socket: &Stream) -> Option<Duration> {
        let keepalive = self.cluster.as_ref()?.keepalive;
        let now = Instant::now();
        let due_at = *self.due_at.get_or_insert(now + keepalive.idle);
        if now < due_at {
            return Some(due_at - now);
        }
        socket.keep_alive(Some(keepalive));
        self.cluster = None;
        None
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::advance;

    use super::*;
    use crate::stream::tcp::Tcp;

    #[tokio::test(start_paused = true)]
    async fn the_kernel_is_told_to_ask_an_endpoint_when_the_first_question_is_due() {
        let file = "[listener.edge]\nbind = [\"127.0.0.1:1\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
                    [cluster.app]\nendpoints = [\"127.0.0.1:1\"]\nkeepalive = { idle = \"70s\" }\n";
        let plan = crate::config::parse(file, "test.toml", Path::new(".")).unwrap().plan;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Tcp(Tcp::opened(socket).unwrap());
        let Stream::Tcp(tcp) = &stream else { unreachable!("it was made so") };
        let asks = || SockRef::from(tcp.socket()).keepalive().unwrap();
        let seconds = Duration::from_secs;

        let mut never = Questions::to_endpoint_of(&plan.clusters[0], seconds(70));
        assert_eq!((never.due(&stream), never.due(&stream), asks()), (None, None, false));

        let mut questions = Questions::to_endpoint_of(&plan.clusters[0], seconds(600));
        assert_eq!((questions.due(&stream), asks()), (Some(seconds(70)), false));
        // A bell for all has every tunnel look; that is no reason for all to tell the kernel at once.
        advance(seconds(30)).await;
        assert_eq!((questions.due(&stream), asks()), (Some(seconds(40)), false));
        advance(seconds(40)).await;
        assert_eq!((questions.due(&stream), asks()), (None, true));
        assert_eq!(SockRef::from(tcp.socket()).tcp_keepalive_time().unwrap(), seconds(70));
    }
}
