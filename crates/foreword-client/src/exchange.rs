//! One request and its answer: sent and heard at the same time, streamed to whoever wants it.

use std::io;
use std::pin::pin;

use foreword_http1::{ChunkError, Chunked, Framing, HeadEnd, HeadError, HeadFault, Response, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout_at};

use crate::connection::{Connection, Dial, Evidence, Wire};
use crate::tls::TlsError;
use crate::transcript::{Ending, Heard, Observer, Step};

/// A request, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// What is asked for, as it goes into the request line.
    pub target: String,
    /// The fields, in order, Host among them.
    pub fields: Vec<(String, String)>,
    /// The content, as it is; its framing is up to the fields.
    pub body: Vec<u8>,
}

impl Request {
    /// The request head, its empty line included.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// Where an answer goes.
pub trait Sink {
    /// Takes a response head, as it came. Interim ones (1xx) come before the one that counts.
    ///
    /// # Errors
    ///
    /// What ends the exchange: the head has nowhere to go.
    fn head(&mut self, head: &[u8], response: &Response<'_>) -> io::Result<()>;

    /// Takes the next piece of content, decoded.
    ///
    /// # Errors
    ///
    /// What ends the exchange: the content has nowhere to go.
    fn body(&mut self, piece: &[u8]) -> io::Result<()>;

    /// Is told that the next bytes may be long in coming.
    ///
    /// # Errors
    ///
    /// What ends the exchange: what is held back has nowhere to go.
    fn pause(&mut self) -> io::Result<()>;
}

/// An answer that came in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head that counts, as it came.
    pub head: Vec<u8>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// How many bytes of content came, decoded.
    pub content: u64,
    /// Whether the connection can take another request.
    pub reusable: bool,
    /// What went over the wire, up to the end of the head.
    pub evidence: Evidence,
}

impl Connection {
    /// Sends a request and hears its answer.
    ///
    /// # Errors
    ///
    /// What kept the answer from coming in full, with what came instead.
    pub async fn exchange(
        &mut self,
        request: &Request,
        dial: &Dial,
        sink: &mut dyn Sink,
        observer: &mut dyn Observer,
    ) -> Result<Answer, ExchangeError> {
        let head = request.head();
        observer.step(Step::Request(&head));
        // Header, head and the beginning of the content leave together; the rest is not copied.
        let (start, rest) = request.body.split_at(request.body.len().min(PIECE));
        let start = [&std::mem::take(&mut self.pending), &head, start].concat();
        let heard = self.head_of_answer([&start, rest], dial, sink, observer).await?;
        let HeardHead { head, parsed, sent, evidence } = heard;

        let response = parsed.view(&head);
        let framing = response.framing(&request.method);
        sink.head(&head, &response).map_err(ExchangeError::Sink)?;
        let status = response.status();
        let (wire, buffer) = (&mut self.wire, &mut self.buffer);
        let body = Body { wire, buffer, dial, sink, status, evidence: &evidence };
        let content = body.hear(framing).await?;
        self.answers += 1;
        let location = response.field("location").next();
        let location = location.map(|value| String::from_utf8_lossy(value).into_owned());
        let reusable = sent && response.keeps_alive() && status != 101 && framing != Framing::UntilClose;
        Ok(Answer { status, location, content, reusable, head, evidence })
    }

    /// Sends while listening, for a server may answer before it has taken all.
    async fn head_of_answer(
        &mut self,
        parts: [&[u8]; 2],
        dial: &Dial,
        sink: &mut dyn Sink,
        observer: &mut dyn Observer,
    ) -> Result<HeardHead, ExchangeError> {
        let mut heard = Heard::default();
        heard.note(&self.buffer);
        let (mut reader, mut writer) = tokio::io::split(&mut self.wire);
        let outcome = {
            let mut sending = pin!(send(&mut writer, parts, dial));
            let mut hearing = pin!(hear_head(&mut reader, &mut self.buffer, &mut heard, sink, observer));
            let mut sent: Option<io::Result<()>> = None;
            let mut silence = pin!(sleep_until(dial.within(dial.silence)));
            loop {
                tokio::select! {
                    biased;
                    head = &mut hearing => break head.map(|head| (head, matches!(sent, Some(Ok(()))))),
                    outcome = &mut sending, if sent.is_none() => {
                        silence.as_mut().reset(dial.within(dial.silence));
                        sent = Some(outcome);
                    }
                    () = &mut silence, if sent.is_some() => break Err(HeadTrouble::Silent),
                }
            }
        };
        let evidence = self.evidence(heard);
        match outcome {
            Ok(((head, parsed), sent)) => Ok(HeardHead { head, parsed, sent, evidence }),
            Err(trouble) => Err(trouble.with(evidence)),
        }
    }
}

/// The head that counts.
struct HeardHead {
    head: Vec<u8>,
    parsed: ResponseHead,
    /// Whether everything was sent by then.
    sent: bool,
    evidence: Evidence,
}

/// Writes in pieces, so that a peer that takes nothing is noticed while one that takes little is not cut off.
async fn send(writer: &mut (impl AsyncWrite + Unpin), parts: [&[u8]; 2], dial: &Dial) -> io::Result<()> {
    for piece in parts.iter().flat_map(|part| part.chunks(2 * PIECE)) {
        timeout_at(dial.within(dial.silence), writer.write_all(piece)).await??;
    }
    writer.flush().await
}

/// Reads up to the end of the first head that is not an interim one.
async fn hear_head(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    heard: &mut Heard,
    sink: &mut dyn Sink,
    observer: &mut dyn Observer,
) -> Result<(Vec<u8>, ResponseHead), HeadTrouble> {
    let mut search = HeadEnd::response();
    let mut parsed = ResponseHead::default();
    loop {
        while let Some(end) = search.find(buffer, &ResponseHead::LIMITS).map_err(HeadTrouble::of)? {
            let rest = buffer.split_off(end);
            let head = std::mem::replace(buffer, rest);
            parsed.parse(&head, &ResponseHead::LIMITS).map_err(HeadTrouble::of)?;
            observer.step(Step::Response(&head));
            let response = parsed.view(&head);
            if !response.is_interim() {
                return Ok((head, parsed));
            }
            sink.head(&head, &response).map_err(HeadTrouble::Sink)?;
            search = HeadEnd::response();
        }
        sink.pause().map_err(HeadTrouble::Sink)?;
        buffer.reserve(PIECE);
        let before = buffer.len();
        match reader.read_buf(buffer).await {
            Ok(0) => {
                heard.ending = Some(Ending::Closed);
                return Err(HeadTrouble::Ended(None));
            }
            Ok(_) => heard.note(buffer.get(before..).unwrap_or_default()),
            Err(error) => {
                heard.ending = ending_of(&error);
                return Err(HeadTrouble::Ended(Some(error)));
            }
        }
    }
}

/// Why there is no head, before it is known what else came.
enum HeadTrouble {
    Ended(Option<io::Error>),
    NotHttp,
    Head(HeadError),
    Silent,
    Sink(io::Error),
}

impl HeadTrouble {
    fn of(error: HeadError) -> Self {
        match error.fault() {
            HeadFault::StatusLine | HeadFault::TlsClientHello | HeadFault::BlankLine => Self::NotHttp,
            _ => Self::Head(error),
        }
    }

    fn with(self, evidence: Evidence) -> ExchangeError {
        let evidence = Box::new(evidence);
        match self {
            Self::Ended(source) => match source.filter(|error| Ending::of(error).is_none()) {
                Some(error) => ExchangeError::Receive { error: TlsError::from(error), evidence },
                None if evidence.heard.bytes == 0 => ExchangeError::NoAnswer { evidence },
                None => ExchangeError::HeadCut { evidence },
            },
            Self::NotHttp => ExchangeError::NotHttp { evidence },
            Self::Head(error) => ExchangeError::Head { error, evidence },
            Self::Silent => ExchangeError::Silent { evidence },
            Self::Sink(error) => ExchangeError::Sink(error),
        }
    }
}

/// The content of one answer on its way to the sink.
struct Body<'a> {
    wire: &'a mut Wire,
    buffer: &'a mut Vec<u8>,
    dial: &'a Dial,
    sink: &'a mut dyn Sink,
    status: u16,
    evidence: &'a Evidence,
}

impl Body<'_> {
    async fn hear(mut self, framing: Framing) -> Result<u64, ExchangeError> {
        match framing {
            Framing::None => Ok(0),
            Framing::Length(length) => self.length(length).await,
            Framing::Chunked => self.chunked().await,
            Framing::UntilClose => self.until_close().await,
        }
    }

    async fn length(&mut self, length: u64) -> Result<u64, ExchangeError> {
        let mut left = length;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.pass_on(here)?;
            left -= here as u64;
            if left == 0 {
                return Ok(length);
            }
            if let More::Ended(ending) = self.more().await? {
                return Err(self.cut(Some(length), length - left, ending));
            }
        }
    }

    async fn chunked(&mut self) -> Result<u64, ExchangeError> {
        let mut coding = Chunked::decoding();
        let mut content = 0;
        loop {
            let step = coding.advance(self.buffer).map_err(ExchangeError::Chunk)?;
            self.sink.body(self.buffer.get(..step.kept).unwrap_or_default()).map_err(ExchangeError::Sink)?;
            self.buffer.drain(..step.taken);
            content += step.kept as u64;
            if step.done {
                return Ok(content);
            }
            if let More::Ended(ending) = self.more().await? {
                return Err(self.cut(None, content, ending));
            }
        }
    }

    async fn until_close(&mut self) -> Result<u64, ExchangeError> {
        let mut content = 0;
        loop {
            content += self.buffer.len() as u64;
            self.pass_on(self.buffer.len())?;
            match self.more().await? {
                More::Some => {}
                More::Ended(Ending::Closed) => return Ok(content),
                More::Ended(ending) => {
                    return Err(self.cut(None, content, ending));
                }
            }
        }
    }

    fn cut(&self, expected: Option<u64>, found: u64, ending: Ending) -> ExchangeError {
        let evidence = Box::new(self.evidence.clone());
        ExchangeError::BodyCut { expected, found, ending, status: self.status, evidence }
    }

    fn pass_on(&mut self, len: usize) -> Result<(), ExchangeError> {
        self.sink.body(self.buffer.get(..len).unwrap_or_default()).map_err(ExchangeError::Sink)?;
        self.buffer.drain(..len);
        Ok(())
    }

    async fn more(&mut self) -> Result<More, ExchangeError> {
        self.sink.pause().map_err(ExchangeError::Sink)?;
        self.buffer.reserve(PIECE);
        match timeout_at(self.dial.within(self.dial.silence), self.wire.read_buf(self.buffer)).await {
            Err(_) => Err(ExchangeError::SilentBody),
            Ok(Ok(0)) => Ok(More::Ended(Ending::Closed)),
            Ok(Ok(_)) => Ok(More::Some),
            Ok(Err(error)) => match ending_of(&error) {
                Some(ending) => Ok(More::Ended(ending)),
                None => {
                    let evidence = Box::new(self.evidence.clone());
                    Err(ExchangeError::Receive { error: TlsError::from(error), evidence })
                }
            },
        }
    }
}

/// As the kernel says it; but an end that only TLS finds unexpected is a torn one.
fn ending_of(error: &io::Error) -> Option<Ending> {
    match Ending::of(error) {
        Some(Ending::Closed) => Some(Ending::Torn),
        other => other,
    }
}

enum More {
    Some,
    Ended(Ending),
}

/// Why an answer did not come in full.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The connection ended without a byte of an answer.
    #[error("expected an answer, found the connection {}", ended(.evidence.heard.ending))]
    NoAnswer {
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// The connection ended inside the response head.
    #[error("expected a whole response head, found {} bytes and the connection {}", .evidence.heard.bytes, ended(.evidence.heard.ending))]
    HeadCut {
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// What came was no HTTP/1 answer.
    #[error("expected an HTTP/1 answer, found {}", beginning(&.evidence.heard))]
    NotHttp {
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// The response head is none that readers agree about.
    #[error("the response head is malformed")]
    Head {
        /// What is wrong with it.
        #[source]
        error: HeadError,
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// The peer said nothing for too long.
    #[error("expected an answer in time, found {} bytes and silence", .evidence.heard.bytes)]
    Silent {
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// Reading failed; under TLS, perhaps by the peer's wish.
    #[error("could not read on")]
    Receive {
        /// What it failed with.
        #[source]
        error: TlsError,
        /// What went over the wire.
        evidence: Box<Evidence>,
    },
    /// The peer went silent inside the content.
    #[error("expected the rest of the content in time, found silence")]
    SilentBody,
    /// The connection ended inside the content.
    #[error("{}", short_of(*.expected, *.found, *.ending))]
    BodyCut {
        /// How much was announced, if it was.
        expected: Option<u64>,
        /// How much came.
        found: u64,
        /// How the peer ended it.
        ending: Ending,
        /// The status that the content belongs to.
        status: u16,
        /// What went over the wire, up to the end of the head.
        evidence: Box<Evidence>,
    },
    /// The chunked coding is broken.
    #[error("the chunked content is malformed")]
    Chunk(#[source] ChunkError),
    /// The answer has nowhere to go.
    #[error("could not write the answer")]
    Sink(#[source] io::Error),
}

fn ended(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::Reset) => "reset",
        Some(Ending::Torn) => "cut off without TLS's closing alert",
        Some(Ending::Closed) | None => "closed",
    }
}

fn short_of(expected: Option<u64>, found: u64, ending: Ending) -> String {
    let ended = ended(Some(ending));
    match expected {
        Some(expected) => {
            format!("expected {expected} bytes of content, found {found} and the connection {ended}")
        }
        None => format!("expected the end of the content, found {found} bytes and the connection {ended}"),
    }
}

/// The beginning of an answer for a message: short, and with nothing in it that a terminal would obey.
fn beginning(heard: &Heard) -> String {
    let shown = heard.start.get(..SHOWN.min(heard.start.len())).unwrap_or_default();
    let dots = if heard.start.len() > SHOWN { "…" } else { "" };
    format!("`{}{dots}`", shown.escape_ascii())
}

/// How much is read or written at once.
const PIECE: usize = 64 * 1024;
/// How much of a strange answer a message shows.
const SHOWN: usize = 40;
