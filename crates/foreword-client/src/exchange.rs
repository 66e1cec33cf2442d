//! One request and its answer: sent and heard at the same time, streamed to whoever wants it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use foreword_http1::{ChunkError, Chunked, Framing, HeadEnd, HeadError, HeadFault, Response, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout_at};

use crate::connection::{Connection, Dial, Evidence, Wire};
use crate::patience::Overdue;
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
        let (wire, buffer, peer) = (&mut self.wire, &mut self.buffer, self.peer);
        let body = Body { wire, buffer, peer, dial, sink, status, evidence: &evidence };
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
        let (reader, mut writer) = tokio::io::split(&mut self.wire);
        let buffer = &mut self.buffer;
        let hearing = Hearing { reader, buffer, heard: &mut heard, dial, sink, observer };
        let outcome = hearing.head(send(&mut writer, parts, dial)).await;
        let evidence = self.evidence(heard);
        match outcome {
            Ok((head, parsed, sent)) => Ok(HeardHead { head, parsed, sent, evidence }),
            Err(trouble) => Err(trouble.with(evidence, self.peer)),
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
        timeout_at(dial.wait().until, writer.write_all(piece)).await??;
    }
    writer.flush().await
}

/// Where a head is heard.
struct Hearing<'a, R> {
    reader: R,
    buffer: &'a mut Vec<u8>,
    heard: &'a mut Heard,
    dial: &'a Dial,
    sink: &'a mut dyn Sink,
    observer: &'a mut dyn Observer,
}

impl<R: AsyncRead + Unpin> Hearing<'_, R> {
    /// Reads up to the end of the first head that is not an interim one, while the request is sent; tells whether all of it was.
    async fn head(
        mut self,
        sending: impl Future<Output = io::Result<()>>,
    ) -> Result<(Vec<u8>, ResponseHead, bool), HeadTrouble> {
        let mut sending = pin!(sending);
        let mut sent: Option<io::Result<()>> = None;
        let mut search = HeadEnd::response();
        // Silence counts from the last word of either side.
        let mut wait = self.dial.wait();
        loop {
            while let Some(head) = self.next_head(&mut search)? {
                let mut parsed = ResponseHead::default();
                parsed.parse(&head, &ResponseHead::LIMITS).map_err(HeadTrouble::of)?;
                self.observer.step(Step::Response(&head));
                let response = parsed.view(&head);
                if !response.is_interim() {
                    return Ok((head, parsed, matches!(sent, Some(Ok(())))));
                }
                self.sink.head(&head, &response).map_err(HeadTrouble::Sink)?;
            }
            self.sink.pause().map_err(HeadTrouble::Sink)?;
            tokio::select! {
                biased;
                more = self.more() => more?,
                outcome = &mut sending, if sent.is_none() => sent = Some(outcome),
                () = sleep_until(wait.until), if sent.is_some() => return Err(HeadTrouble::Silent(wait.over())),
            }
            wait = self.dial.wait();
        }
    }

    /// Takes the next head off the buffer, if all of it is there.
    fn next_head(&mut self, search: &mut HeadEnd) -> Result<Option<Vec<u8>>, HeadTrouble> {
        let end = search.find(self.buffer, &ResponseHead::LIMITS).map_err(HeadTrouble::of)?;
        let Some(end) = end else { return Ok(None) };
        *search = HeadEnd::response();
        let rest = self.buffer.split_off(end);
        Ok(Some(std::mem::replace(self.buffer, rest)))
    }

    /// Reads once. Whoever drops this on the way has lost nothing.
    async fn more(&mut self) -> Result<(), HeadTrouble> {
        self.buffer.reserve(PIECE);
        let before = self.buffer.len();
        match self.reader.read_buf(self.buffer).await {
            Ok(0) => {
                self.heard.ending = Some(Ending::Closed);
                Err(HeadTrouble::Ended(None))
            }
            Ok(_) => {
                self.heard.note(self.buffer.get(before..).unwrap_or_default());
                Ok(())
            }
            Err(error) => {
                self.heard.ending = ending_of(&error);
                Err(HeadTrouble::Ended(Some(error)))
            }
        }
    }
}

/// Why there is no head, before it is known what else came.
enum HeadTrouble {
    Ended(Option<io::Error>),
    NotHttp,
    Head(HeadError),
    Silent(Overdue),
    Sink(io::Error),
}

impl HeadTrouble {
    fn of(error: HeadError) -> Self {
        match error.fault() {
            HeadFault::StatusLine | HeadFault::TlsClientHello | HeadFault::BlankLine => Self::NotHttp,
            _ => Self::Head(error),
        }
    }

    fn with(self, evidence: Evidence, peer: SocketAddr) -> ExchangeError {
        let evidence = Box::new(evidence);
        match self {
            Self::Ended(source) => match source.filter(|error| Ending::of(error).is_none()) {
                Some(error) => ExchangeError::Receive { error: TlsError::from(error), evidence },
                None if evidence.heard.bytes == 0 => ExchangeError::NoAnswer { evidence },
                None => ExchangeError::HeadCut { evidence },
            },
            Self::NotHttp => ExchangeError::NotHttp { evidence },
            Self::Head(error) => ExchangeError::Head { error, evidence },
            Self::Silent(overdue) => ExchangeError::Silent { peer, overdue, evidence },
            Self::Sink(error) => ExchangeError::Sink(error),
        }
    }
}

/// The content of one answer on its way to the sink.
struct Body<'a> {
    wire: &'a mut Wire,
    buffer: &'a mut Vec<u8>,
    peer: SocketAddr,
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
            if let More::Ended(ending) = self.more(length - left).await? {
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
            if let More::Ended(ending) = self.more(content).await? {
                return Err(self.cut(None, content, ending));
            }
        }
    }

    async fn until_close(&mut self) -> Result<u64, ExchangeError> {
        let mut content = 0;
        loop {
            content += self.buffer.len() as u64;
            self.pass_on(self.buffer.len())?;
            match self.more(content).await? {
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

    /// Reads once, behind so many bytes of content.
    async fn more(&mut self, found: u64) -> Result<More, ExchangeError> {
        self.sink.pause().map_err(ExchangeError::Sink)?;
        self.buffer.reserve(PIECE);
        let wait = self.dial.wait();
        match timeout_at(wait.until, self.wire.read_buf(self.buffer)).await {
            Err(_) => Err(ExchangeError::SilentBody { peer: self.peer, overdue: wait.over(), found }),
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
    #[error("expected an answer from {peer}, found {} for {overdue}", silence_after(.evidence.heard.bytes))]
    Silent {
        /// The other end.
        peer: SocketAddr,
        /// How long nothing came.
        overdue: Overdue,
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
    #[error("expected the rest of the content from {peer}, found {} for {overdue}", silence_after(*.found))]
    SilentBody {
        /// The other end.
        peer: SocketAddr,
        /// How long nothing came.
        overdue: Overdue,
        /// How much of the content came before.
        found: u64,
    },
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

fn silence_after(bytes: u64) -> String {
    match bytes {
        0 => "silence".to_owned(),
        bytes => format!("{bytes} bytes and then silence"),
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;
    use tokio::time::sleep;

    use super::*;
    use crate::connect::Route;
    use crate::tls::{Tls, TlsSettings};
    use crate::transcript;

    /// A sink that keeps nothing.
    struct Nowhere;

    impl Sink for Nowhere {
        fn head(&mut self, _: &[u8], _: &Response<'_>) -> io::Result<()> {
            Ok(())
        }

        fn body(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn pause(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn dial(silence: u64) -> Dial {
        Dial {
            route: Route::default(),
            introduction: None,
            inside_tls: false,
            tls: Tls::new(TlsSettings::default()),
            connect_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(silence),
            deadline: None,
        }
    }

    /// Hears the head of a peer that says these pieces, seven seconds before each, and then no more.
    async fn hear(pieces: &'static [&'static [u8]]) -> Result<Vec<u8>, ExchangeError> {
        let (reader, mut peer) = duplex(1024);
        let (mut buffer, mut heard) = (Vec::new(), Heard::default());
        let dial = dial(10);
        let hearing = Hearing {
            reader,
            buffer: &mut buffer,
            heard: &mut heard,
            dial: &dial,
            sink: &mut Nowhere,
            observer: &mut transcript::Silent,
        };
        let speaking = async {
            for piece in pieces {
                sleep(Duration::from_secs(7)).await;
                peer.write_all(piece).await.expect("somebody listens");
            }
            std::future::pending::<()>().await
        };
        let outcome = tokio::select! {
            outcome = hearing.head(std::future::ready(Ok(()))) => outcome,
            () = speaking => unreachable!("it stays"),
        };
        let address = SocketAddr::from(([192, 0, 2, 1], 80));
        let evidence = Evidence { heard, ..Evidence::default() };
        outcome.map(|(head, ..)| head).map_err(|trouble| trouble.with(evidence, address))
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_slowly_is_no_silence() {
        let head = hear(&[b"HTTP/1.1 ", b"200 OK\r\n", b"Content-Length: 0\r\n", b"\r\n"]).await;
        assert_eq!(head.expect("a head"), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_with_who_kept_it_for_how_long_and_after_what() {
        let error = hear(&[]).await.expect_err("no head").to_string();
        assert_eq!(error, "expected an answer from 192.0.2.1:80, found silence for 10 s");
        let error = hear(&[b"HTTP/1.1 ", b"200 OK\r\n"]).await.expect_err("no head").to_string();
        assert_eq!(error, "expected an answer from 192.0.2.1:80, found 17 bytes and then silence for 10 s");
    }
}
