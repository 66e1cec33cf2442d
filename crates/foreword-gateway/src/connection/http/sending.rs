//! The request's way to the endpoint, and then an eye on the client while it waits.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use foreword_http1::Framing;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::carry::{Body, CarryError, Head, Meter, carry};
use super::leaving::{Heard, PATIENCE_AFTER_END, hear_ahead};
use super::pace::Pace;
use super::refused::Refused;
use super::shelf::{Buffer, let_go};
use crate::alarm::patience::Patience;

/// How far request and answer have come, for whoever carries the other.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The whole request has been sent.
    pub(super) request_is_whole: Cell<bool>,
    /// No more of the request will be sent, whole or not: the answer is due.
    pub(super) answer_is_due: Cell<bool>,
    /// The client has got the first of its answer.
    pub(super) answer_has_begun: Cell<bool>,
    /// More has come of the client than the request.
    pub(super) has_more: Cell<bool>,
    /// When something of either came across.
    pub(super) moved_at: Cell<Option<Instant>>,
}

/// Why an exchange came to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// The client is gone.
    ClientGone,
    /// The client takes nothing of its answer.
    ClientStalls,
    /// The connection ended before anything came over it.
    Unanswered,
    /// The endpoint has not looked at the request, RFC 9113 §8.7.
    Unseen {
        /// Whether nothing of it was even sent.
        is_unsent: bool,
    },
    /// Memory is short, and it has waited for so long.
    Shed(Duration),
    /// The client can be told, if nothing else was told before.
    Refused(Refused),
}

/// The head of a request, as the endpoint gets it.
pub(super) struct Asking<'h> {
    pub(super) introduction: &'h [u8],
    /// Let go when all is sent.
    pub(super) head: &'h mut Vec<u8>,
}

/// Sends the request, then watches the client. It only ever ends by failing: the answer ends an exchange.
pub(super) async fn send(
    Asking { introduction, head: bytes }: Asking<'_>,
    framing: Framing,
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer<'_>,
    target: &mut (impl AsyncWrite + Unpin),
    exchange: &Exchange<'_>,
    meter: &impl Meter,
) -> Failed {
    let mut body = Body::of_request(framing, exchange.rules_changed_fields, exchange.max_body);
    let mut pace = Pace::of_request(exchange.progress, exchange.patience, exchange.idle, exchange.body_rate);
    let head = Head { introduction, head: bytes };
    let carried = carry(&head, &mut body, source, buffer, target, &mut pace, meter).await;
    let_go(bytes);
    exchange.progress.answer_is_due.set(true);
    match carried {
        Ok(()) => {
            exchange.progress.request_is_whole.set(true);
            watch(source, buffer, exchange).await
        }
        // It takes no more, but may have said why before it closed: the answer is read to its end.
        Err(CarryError::Target) => pending().await,
        Err(CarryError::TargetIdle) => {
            let endpoint = exchange.endpoint.to_owned();
            Failed::Refused(Refused::ResponseTimeout { endpoint, after: exchange.idle })
        }
        Err(CarryError::Short | CarryError::Source(_)) => Failed::ClientGone,
        Err(CarryError::SourceIdle { least, found }) => {
            Failed::Refused(Refused::BodyDeadline { after: exchange.idle, least, found })
        }
        Err(CarryError::Framing(error)) => Failed::Refused(Refused::Body(error)),
        Err(CarryError::TooLong(most)) => Failed::Refused(Refused::BodyTooLong { most, told: None }),
    }
}

/// What both ways of an exchange know of it, and of each other.
#[derive(Debug)]
pub(super) struct Exchange<'t> {
    pub(super) progress: &'t Progress,
    pub(super) patience: &'t Patience<'t>,
    pub(super) endpoint: &'t str,
    /// Whether rules set or removed fields of the request.
    pub(super) rules_changed_fields: bool,
    /// How long the content of the request may be, if that is bounded.
    pub(super) max_body: Option<u64>,
    /// For which nothing may move within a message.
    pub(super) idle: Duration,
    /// Bytes a second that the body of the request must bring.
    pub(super) body_rate: u64,
    /// For which the endpoint may think before it answers.
    pub(super) response: Duration,
}

/// Watches a client that waits for its answer. That it breaks off while nobody reads shows to [`Shared`](super::halves::Shared).
///
/// The end of its stream is not the end of the exchange: `nc -N` and whoever ends TLS early still wait for their answer.
/// One that closed altogether looks the same until something is written to it. So the answer is waited for a while, and
/// once it has begun it goes on under its own timeouts: a client that is gone fails the next write.
async fn watch(
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer<'_>,
    exchange: &Exchange<'_>,
) -> Failed {
    match hear_ahead(source, buffer, || exchange.progress.has_more.set(true)).await {
        Heard::Break => return Failed::ClientGone,
        Heard::End => {
            let _over = exchange.patience.within(PATIENCE_AFTER_END, pin!(pending::<()>())).await;
            if !exchange.progress.answer_has_begun.get() {
                return Failed::ClientGone;
            }
        }
        Heard::Enough => {}
    }
    pending().await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::alarm::patience::tests::patiently;
    use crate::connection::http::shelf::Shelf;

    struct Unmetered;

    impl Meter for Unmetered {
        fn moved(&self, _taken: usize, _written: usize) {}
    }

    /// Sends a request whose client says no more behind it, with an answer that begins `after` so long. What became of it
    /// within an hour, and how long that took.
    async fn sent_by_a_client_that_says_no_more(after: Option<Duration>) -> (Option<Failed>, Duration) {
        patiently(async |patience| sent_patiently(patience, after).await).await
    }

    async fn sent_patiently(patience: &Patience<'_>, after: Option<Duration>) -> (Option<Failed>, Duration) {
        let (mut client, mut source) = duplex(64);
        let (mut target, mut endpoint) = duplex(64);
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        let progress = Progress::default();
        let (idle, response) = (Duration::from_secs(1), Duration::from_secs(1));
        let exchange = Exchange {
            progress: &progress,
            patience,
            endpoint: "an endpoint",
            rules_changed_fields: false,
            max_body: None,
            idle,
            body_rate: 0,
            response,
        };
        client.write_all(b"body").await.unwrap();
        client.shutdown().await.unwrap();
        let head = Asking { introduction: b"a header, ", head: &mut b"head ".to_vec() };
        let begun = Instant::now();
        let answer = async {
            if let Some(after) = after {
                sleep(after).await;
                progress.answer_has_begun.set(true);
            }
        };
        let sending =
            send(head, Framing::Length(4), &mut source, &mut buffer, &mut target, &exchange, &Unmetered);
        let sending = timeout(Duration::from_secs(3600), sending);
        let (failed, ()) = tokio::join!(sending, answer);
        assert!(progress.request_is_whole.get());
        let mut sent = [0; 19];
        endpoint.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"a header, head body");
        (failed.ok(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_no_more_has_as_long_as_its_answer_takes_once_that_has_begun() {
        for after in [Duration::ZERO, PATIENCE_AFTER_END - Duration::from_millis(10)] {
            let (failed, _) = sent_by_a_client_that_says_no_more(Some(after)).await;
            assert!(failed.is_none(), "begun after {after:?}: {failed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_no_more_is_taken_for_gone_when_no_answer_begins() {
        for after in [None, Some(PATIENCE_AFTER_END + Duration::from_millis(10))] {
            let (failed, took) = sent_by_a_client_that_says_no_more(after).await;
            assert!(matches!(failed, Some(Failed::ClientGone)), "begun after {after:?}: {failed:?}");
            let longest = after.unwrap_or(PATIENCE_AFTER_END).as_secs();
            assert_eq!(took.as_secs(), longest, "begun after {after:?}");
        }
    }
}
