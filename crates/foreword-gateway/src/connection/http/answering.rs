//! The answer's way from the endpoint to the client.

use std::cell::RefCell;
use std::io;
use std::pin::pin;

use foreword_http1::{Framing, HeadEnd, Limits, ResponseHead, Version};
use foreword_tokio::write_together;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::carry::{Body, CarryError, Head, Meter, carry};
use super::compress::{self, Encoder, SeatsOf, Shape, carry_coded, negotiate};
use super::fields::{Asked, NewCookie, Persistence, write_answer, write_interim};
use super::halves::Target;
use super::pace::Pace;
use super::refused::Refused;
use super::sending::{Exchange, Failed, Progress};
use super::shelf::Buffer;
use crate::alarm::patience::Over;
use crate::connection::http2::{UNSEEN, UNSENT};
use crate::connection::record::{Fill, RequestRecord};
use crate::drain::Drain;
use crate::upstream::endpoints::Chosen;

/// How an exchange ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The client has its whole answer.
    Whole {
        /// What it was told about its connection.
        persistence: Persistence,
        /// Whether the endpoint's connection can be used again.
        is_reusable: bool,
    },
    /// Both sides speak another protocol from here on.
    Switched,
}

/// What it takes to pass an answer on.
pub(super) struct Answering<'a, 'w, 'r, 'n> {
    pub(super) asked: &'a Asked<'r>,
    pub(super) response: &'a mut ResponseHead,
    /// What the endpoint said and was not passed on yet.
    pub(super) buffer: &'a mut Buffer<'w>,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) exchange: &'a Exchange<'a>,
    /// Who is told how it answers.
    pub(super) chosen: &'a Chosen,
    pub(super) encoders: SeatsOf<'a>,
    /// The cookie that names it, if the client is to have it.
    pub(super) cookie: Option<NewCookie<'a>>,
    pub(super) drain: &'a Drain,
    pub(super) note: &'a RefCell<RequestRecord<'n>>,
}

impl<'a> Answering<'a, '_, '_, '_> {
    /// Passes the answer on: interim ones first, then the final one.
    pub(super) async fn run(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        target: &mut impl Target,
    ) -> Result<Answered, Failed> {
        // Whoever sends more interim answers than this sends nothing else.
        for _ in 0..MOST_INTERIM {
            let len = self.read_head(source).await?;
            let head = self.buffer.bytes().get(..len).unwrap_or_default();
            let response = self.response.view(head);
            if response.status() == 101 {
                return self.switch(len, target).await;
            }
            if self.asked.must_switch && (200..300).contains(&response.status()) {
                return Err(self.refused(|endpoint| Refused::NotSwitched { endpoint }));
            }
            if !response.is_interim() {
                return self.pass_final(len, source, target).await;
            }
            self.pass_interim(len, target).await?;
        }
        Err(self.refused(|endpoint| Refused::EndpointClosed { endpoint }))
    }

    /// Reads until a whole head is at hand, and tells its length; it is parsed then. Once the request is sent, time runs.
    async fn read_head(&mut self, source: &mut (impl AsyncRead + Unpin)) -> Result<usize, Failed> {
        let exchange = self.exchange;
        let mut end = None;
        let mut deadline = None;
        loop {
            if let Some(len) = self.head_at_hand(&mut end)? {
                return Ok(len);
            }
            let is_silent = self.buffer.is_empty() && !exchange.progress.answer_has_begun.get();
            // The same task sends the request, so each of its turns is seen here.
            let due = || {
                let is_due = exchange.progress.answer_is_due.get();
                is_due.then(|| *deadline.get_or_insert_with(|| Instant::now() + exchange.response))
            };
            let waited =
                exchange.patience.race(pin!(self.buffer.fill(source, ResponseHead::LIMITS.head)), due).await;
            match waited {
                Ok(Ok(1..)) if is_silent => self.note.borrow_mut().first_byte(),
                Ok(Ok(1..)) => {}
                // An endpoint that resets one stream of many has looked at it: it would do so again.
                // One that cannot be said to it at all, neither.
                Ok(Err(error)) if is_silent && is_final(error.kind()) => {
                    return Err(self.refused(|endpoint| Refused::EndpointClosed { endpoint }));
                }
                Ok(Err(error)) if is_silent && matches!(error.kind(), UNSEEN | UNSENT) => {
                    return Err(Failed::Unseen { is_unsent: error.kind() == UNSENT });
                }
                Ok(Ok(0) | Err(_)) if is_silent => return Err(Failed::Unanswered),
                Ok(Ok(0) | Err(_)) => {
                    return Err(self.refused(|endpoint| Refused::EndpointClosed { endpoint }));
                }
                Err(Over) => {
                    let after = exchange.response;
                    return Err(self.refused(|endpoint| Refused::ResponseTimeout { endpoint, after }));
                }
            }
        }
    }

    /// Parses the head at hand, if it is whole, and tells its length. One that does not come at once is looked for in `end`.
    fn head_at_hand(&mut self, end: &mut Option<HeadEnd>) -> Result<Option<usize>, Failed> {
        const LIMITS: &Limits = &ResponseHead::LIMITS;
        let bytes = self.buffer.bytes();
        if end.is_none() && !bytes.is_empty() {
            if let Some(len) = self.response.parse_at_once(bytes, LIMITS) {
                return Ok(Some(len));
            }
            *end = Some(HeadEnd::response());
        }
        let Some(end) = end else { return Ok(None) };
        let parsed = end.find(bytes, LIMITS).and_then(|found| {
            found
                .map(|len| self.response.parse(bytes.get(..len).unwrap_or_default(), LIMITS).map(|()| len))
                .transpose()
        });
        parsed.map_err(|fault| self.refused(|endpoint| Refused::Answer { endpoint, fault }))
    }

    /// Passes a 1xx on, to those who know what that is, RFC 9110 §15.2.
    async fn pass_interim(
        &mut self,
        len: usize,
        target: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Failed> {
        let head = self.buffer.bytes().get(..len).unwrap_or_default();
        self.out.clear();
        if self.asked.request().version() == Version::Http11 {
            write_interim(self.asked, &self.response.view(head), None, self.out);
        }
        self.say(len, target).await
    }

    /// Passes a 101 on, if the client asked for it and has said all that it had to say in HTTP.
    async fn switch(
        &mut self,
        len: usize,
        target: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Answered, Failed> {
        if self.asked.upgrade().is_none() || !self.exchange.progress.request_is_whole.get() {
            return Err(self.refused(|endpoint| Refused::Unasked { endpoint }));
        }
        let head = self.buffer.bytes().get(..len).unwrap_or_default();
        write_interim(self.asked, &self.response.view(head), self.cookie, self.out);
        self.exchange.progress.answer_has_begun.set(true);
        self.chosen.answered();
        self.note.borrow_mut().status(101);
        self.say(len, target).await?;
        Ok(Answered::Switched)
    }

    /// Writes what is to be said for a head of `len` bytes.
    async fn say(&mut self, len: usize, target: &mut (impl AsyncWrite + Unpin)) -> Result<(), Failed> {
        let waited =
            self.exchange.patience.within(self.exchange.idle, pin!(write_together(target, [self.out]))).await;
        match waited {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Failed::ClientGone),
            Err(Over) => return Err(Failed::ClientStalls),
        }
        self.note.borrow_mut().head_sent(self.out.len() as u64);
        Downwards(self.note).moved(len, self.out.len());
        self.buffer.consume(len);
        Ok(())
    }

    /// Decides how the final answer goes out, and writes its head.
    fn write_final(&mut self, len: usize) -> Form<'a> {
        let head = self.buffer.bytes().get(..len).unwrap_or_default();
        let response = self.response.view(head);
        self.chosen.answered_with(response.status());
        let request = self.asked.request();
        let framing = response.framing(request.method());
        // HTTP/1.0 knows no chunks; its readers take the end of the connection for the end of the body.
        let decodes = framing == Framing::Chunked && request.version() == Version::Http10;
        let compress = self.asked.changes.compress();
        let mut shape = compress.and_then(|compress| negotiate(compress, self.asked, &response, framing));
        let mut encoder = None;
        if let Some(Shape::Coded(coding)) = shape {
            encoder = self.encoders.encoder(coding);
            if encoder.is_none() {
                self.note.borrow_mut().left_uncoded();
                shape = Some(Shape::Plain);
            }
        }
        let sent_as = match encoder {
            Some(_) => Framing::Chunked,
            None if decodes => Framing::UntilClose,
            None => framing,
        };
        let persistence = self.persistence(sent_as);
        let is_reusable = response.keeps_alive() && framing != Framing::UntilClose;
        let body = match encoder {
            Some(_) => Body::unframed(framing),
            None if decodes => Body::decoded(framing),
            None => Body::new(framing),
        };
        let (asked, cookie) = (self.asked, self.cookie);
        match shape {
            None => write_answer(asked, &response, sent_as, persistence, cookie, self.out),
            Some(shape) => {
                compress::write_head(asked, &response, shape, sent_as, persistence, cookie, self.out);
            }
        }
        Form { status: response.status(), body, encoder, persistence, is_reusable }
    }

    /// Passes the final answer on.
    async fn pass_final(
        &mut self,
        len: usize,
        source: &mut (impl AsyncRead + Unpin),
        target: &mut impl Target,
    ) -> Result<Answered, Failed> {
        let Form { status, mut body, encoder, persistence, is_reusable } = self.write_final(len);
        let head_len = self.out.len();
        // Of a short answer all leaves as one piece: to copy it costs less than a write of two.
        let content = match body {
            Body::Length(length @ 1..=SHORT) if encoder.is_none() => {
                content(self.buffer.bytes(), len, length)
            }
            _ => None,
        };
        if let Some(content) = content {
            self.out.extend_from_slice(content);
            body = Body::new(Framing::None);
        }
        let taken = len + content.map_or(0, <[u8]>::len);
        let (downwards, progress) = (Downwards(self.note), self.exchange.progress);
        let meter = Final { downwards, progress, status, head: head_len };
        self.buffer.consume(taken);
        meter.moved(taken, 0);
        let head = Head { head: self.out, ..Head::default() };
        let mut pace = Pace::of_answer(progress, self.exchange.patience, self.exchange.idle);
        // The last answer of a connection and its end are one, if the answer is at hand.
        let ends =
            persistence == Persistence::Close && body.is_at_hand(self.buffer) && target.gather_for_the_end();
        let carried = match encoder {
            None => carry(&head, &mut body, source, self.buffer, target, &mut pace, &meter).await,
            // Boxed, since few answers are coded here.
            Some(encoder) => {
                let coded = carry_coded(head, &mut body, source, self.buffer, target, pace, &meter, encoder);
                Box::pin(coded).await
            }
        };
        carried.map_err(|error| self.broken(error))?;
        if ends {
            self.end(target).await?;
        }
        // Bytes behind the answer belong to nothing that was asked.
        let is_reusable =
            is_reusable && self.buffer.is_empty() && self.exchange.progress.request_is_whole.get();
        Ok(Answered::Whole { persistence, is_reusable })
    }

    /// Ends our side of the connection, and with it sends what gathered for that.
    async fn end(&self, target: &mut (impl AsyncWrite + Unpin)) -> Result<(), Failed> {
        match self.exchange.patience.within(self.exchange.idle, pin!(target.shutdown())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failed::ClientGone),
            Err(Over) => Err(Failed::ClientStalls),
        }
    }

    /// An answer that comes before the request is whole ends the connection: nobody knows what the client still sends.
    fn persistence(&self, sent_as: Framing) -> Persistence {
        let keeps = self.asked.request().keeps_alive()
            && sent_as != Framing::UntilClose
            && self.exchange.progress.request_is_whole.get()
            && !self.drain.is_retired();
        if keeps { Persistence::KeepAlive } else { Persistence::Close }
    }

    fn broken(&self, error: CarryError) -> Failed {
        let found = match error {
            CarryError::Target => return Failed::ClientGone,
            CarryError::TargetIdle => return Failed::ClientStalls,
            CarryError::Short => "the end of the connection".to_owned(),
            CarryError::Source(error) => error.to_string(),
            CarryError::SourceIdle { .. } => format!("nothing for {} s", self.exchange.idle.as_secs_f32()),
            CarryError::Framing(fault) if !self.exchange.progress.answer_has_begun.get() => {
                return self.refused(|endpoint| Refused::AnswerBody { endpoint, fault });
            }
            CarryError::Framing(error) => error.to_string(),
            // Answers have no bound.
            CarryError::TooLong(most) => format!("more than {most} bytes"),
        };
        self.refused(|endpoint| Refused::AnswerCutShort { endpoint, found })
    }

    fn refused(&self, why: impl FnOnce(String) -> Refused) -> Failed {
        Failed::Refused(why(self.exchange.endpoint.to_owned()))
    }
}

/// Whether an endpoint would fail so again.
fn is_final(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionAborted | io::ErrorKind::InvalidData)
}

/// How a final answer goes out, behind its head.
struct Form<'s> {
    status: u16,
    body: Body,
    /// There, if it is made smaller.
    encoder: Option<Encoder<'s>>,
    persistence: Persistence,
    /// Whether the endpoint's connection can be used again, if all goes well.
    is_reusable: bool,
}

/// Counts what comes from the endpoint to the client.
struct Downwards<'n, 'r>(&'n RefCell<RequestRecord<'r>>);

impl Meter for Downwards<'_, '_> {
    fn moved(&self, taken: usize, written: usize) {
        let mut note = self.0.borrow_mut();
        note.upstream_received(taken as u64);
        note.sent(written as u64);
    }
}

/// Counts a final answer. Nothing is told of it before its first bytes are found sound: until then it can still be refused.
struct Final<'n, 'r> {
    downwards: Downwards<'n, 'r>,
    progress: &'n Progress,
    status: u16,
    /// The length of its head as the client gets it.
    head: usize,
}

impl Meter for Final<'_, '_> {
    fn begins(&self) {
        self.progress.answer_has_begun.set(true);
        let mut note = self.downwards.0.borrow_mut();
        note.status(self.status);
        note.head_sent(self.head as u64);
    }

    fn moved(&self, taken: usize, written: usize) {
        self.downwards.moved(taken, written);
    }
}

/// All content of an answer, if it is at hand behind a head of this length.
fn content(at_hand: &[u8], head: usize, length: u64) -> Option<&[u8]> {
    at_hand.get(head..)?.get(..usize::try_from(length).ok()?)
}

/// So many bytes are copied for less than the kernel takes to look at a second piece.
const SHORT: u64 = 2048;

/// RFC 8297 hints and `102 Processing` come a few at a time.
const MOST_INTERIM: usize = 100;
