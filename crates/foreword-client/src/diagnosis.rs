//! From what happened to what probably is wrong: whether the header was refused, or nobody expected one.
//!
//! A peer that closes without a word may do so for either reason. Where asking again changes nothing, the same is
//! asked once more without a header, and the answer to that decides.

use std::time::Duration;

use foreword_http1::Response;

use crate::connection::{Connection, Dial, Evidence, OpenError, SentHeader};
use crate::exchange::{Answer, ExchangeError, Request, Sink};
use crate::patience::Overdue;
use crate::target::Target;
use crate::tls::TlsError;
use crate::transcript::{Ending, Observer, Silent, Step};

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it says about the header, if anything.
    pub verdict: Option<Verdict>,
    /// What was sent and what came, in one sentence.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// What a peer made of our header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ended the connection, and would not do without a header either.
    Refused,
    /// It took the header for something else: it did not expect one.
    NotExpected,
}

/// Tells what a failed connection means.
pub async fn of_open(
    error: &OpenError,
    target: &Target,
    dial: &Dial,
    observer: &mut dyn Observer,
) -> Option<Diagnosis> {
    let (error, evidence) = match error {
        OpenError::Tls { error, evidence } => (error, evidence),
        OpenError::SlowTls { evidence, overdue, .. } => return Some(of_slow_tls(evidence, *overdue, dial)),
        _ => return None,
    };
    let ended = matches!(error, TlsError::Ended(_));
    let happened = match (error, evidence.heard.bytes) {
        (TlsError::Ended(_), 0) => format!("peer {} without a TLS alert after 0 bytes", verb(evidence)),
        (TlsError::Ended(_), _) => format!("peer {} inside the TLS handshake", verb(evidence)),
        (error, _) if error.is_about_bytes() => not_tls(error, evidence),
        _ => return None,
    };
    let Some(header) = evidence.header.as_ref() else {
        return Some(bare_handshake(evidence, &happened, hint_for_bare_tls(evidence, false), dial));
    };
    let sent = describe(header);
    observer.step(Step::AskedBare("whether TLS is spoken without a header"));
    Some(match ask_bare(target, dial, None).await {
        Bare::Speaks(_) => not_expected(&sent, &happened, "without a header it speaks TLS"),
        Bare::Unknown if ended => refused(header, &happened),
        // It answers the same way whether there is a header or not.
        Bare::Unknown => {
            unsure(format!("sent {sent} and a ClientHello, {happened}"), hint_for_no_tls(evidence))
        }
    })
}

/// Tells what it means that a handshake came to no end.
fn of_slow_tls(evidence: &Evidence, overdue: Overdue, dial: &Dial) -> Diagnosis {
    let begun = evidence.heard.bytes > 0;
    let happened = match evidence.heard.bytes {
        0 => format!("peer said nothing to our ClientHello within {overdue}"),
        bytes => format!("peer began the TLS handshake and stopped after {bytes} bytes; it had {overdue}"),
    };
    match &evidence.header {
        None if begun => bare_handshake(evidence, &happened, HALF_SHAKEN_HINT.to_owned(), dial),
        None => bare_handshake(evidence, &happened, hint_for_bare_tls(evidence, true), dial),
        Some(header) => {
            let hint = match begun {
                true => HALF_SHAKEN_HINT.to_owned(),
                false => format!("it may still wait for another header: try {}", other_headers(header)),
            };
            unsure(format!("sent {}, {happened}", describe(header)), hint)
        }
    }
}

/// A handshake that failed without a header before it, perhaps for want of one.
fn bare_handshake(evidence: &Evidence, happened: &str, hint: String, dial: &Dial) -> Diagnosis {
    let inside = dial.introduction.is_some();
    let before = if inside { " before TLS" } else { "" };
    let hint = match evidence.heard.bytes {
        0 if inside => {
            "this is how a port looks that requires the header first: try without --inside-tls".to_owned()
        }
        _ => hint,
    };
    unsure(format!("sent no header{before}, {happened}"), hint)
}

/// Tells what an exchange means that brought no answer.
pub async fn of_exchange(
    error: &ExchangeError,
    request: &Request,
    target: &Target,
    dial: &Dial,
    observer: &mut dyn Observer,
) -> Option<Diagnosis> {
    let evidence = match error {
        // A server that refuses a request may reset the connection under its own answer.
        ExchangeError::BodyCut { status, evidence, .. } => {
            return of_status(*status, evidence, request, target, dial, observer).await;
        }
        ExchangeError::HeadCut { evidence } if begins_an_answer(evidence) => {
            return of_status(status_in(evidence)?, evidence, request, target, dial, observer).await;
        }
        ExchangeError::Silent { evidence, overdue, .. } => return of_silence(evidence, *overdue),
        ExchangeError::NoAnswer { evidence }
        | ExchangeError::NotHttp { evidence }
        | ExchangeError::HeadCut { evidence } => evidence,
        _ => return None,
    };
    if looks_like_tls(evidence) {
        return Some(answered_in_tls());
    }
    let happened = match evidence.heard.bytes {
        0 => after_nothing(evidence),
        bytes => format!("peer answered {bytes} bytes that are no HTTP/1 answer"),
    };
    let Some(header) = unsettled_header(evidence) else { return of_no_header(evidence, &happened) };
    let sent = describe(header);
    Some(match ask_again(request, target, dial, observer).await {
        Bare::Speaks(Some(status)) => {
            not_expected(&sent, &happened, &format!("without a header it answers {status}"))
        }
        _ if quotes(evidence, header) => not_expected(&sent, &happened, "its answer quotes the header"),
        _ if evidence.heard.bytes > 0 => return None,
        _ => refused(header, &happened),
    })
}

/// Tells what it means that no answer came, or no more of one.
fn of_silence(evidence: &Evidence, overdue: Overdue) -> Option<Diagnosis> {
    if looks_like_tls(evidence) {
        return Some(answered_in_tls());
    }
    if evidence.heard.bytes > 0 {
        // It began to answer: whatever keeps it, a header that is missing or one too many does not.
        return None;
    }
    let happened = format!("peer said nothing for {overdue}");
    let Some(header) = unsettled_header(evidence) else { return of_no_header(evidence, &happened) };
    let hint = format!("it may still wait for another header: try {}", other_headers(header));
    Some(unsure(format!("sent {}, {happened}", describe(header)), hint))
}

/// Tells what it means that nothing came, where no header can be suspected but the one that was not sent.
fn of_no_header(evidence: &Evidence, happened: &str) -> Option<Diagnosis> {
    let asked_bare = evidence.header.is_none() && !evidence.answered_before && evidence.heard.bytes == 0;
    asked_bare.then(|| unsure(format!("sent no header, {happened}"), BARE_HINT.to_owned()))
}

fn answered_in_tls() -> Diagnosis {
    let hint = "this port speaks TLS: try https:// instead of http://";
    unsure("sent a plain request, peer answered in TLS".to_owned(), hint.to_owned())
}

/// Tells whether an answer was given to our header rather than to our request.
///
/// A server that expects no header reads it as the beginning of a request, and finds it malformed.
pub async fn of_answer(
    answer: &Answer,
    request: &Request,
    target: &Target,
    dial: &Dial,
    observer: &mut dyn Observer,
) -> Option<Diagnosis> {
    if answer.reusable {
        return None;
    }
    of_status(answer.status, &answer.evidence, request, target, dial, observer).await
}

async fn of_status(
    status: u16,
    evidence: &Evidence,
    request: &Request,
    target: &Target,
    dial: &Dial,
    observer: &mut dyn Observer,
) -> Option<Diagnosis> {
    let header = unsettled_header(evidence).filter(|_| matches!(status, 400 | 405 | 414 | 501 | 505))?;
    let sent = describe(header);
    let happened = format!("peer answered {status} and closed");
    if quotes(evidence, header) {
        return Some(not_expected(&sent, &happened, "its answer quotes the header"));
    }
    match ask_again(request, target, dial, observer).await {
        Bare::Speaks(Some(bare)) if bare != status => {
            Some(not_expected(&sent, &happened, &format!("without a header it answers {bare}")))
        }
        _ => None,
    }
}

/// The header, unless something shows that it was understood: a TLS handshake behind it, or an earlier answer.
fn unsettled_header(evidence: &Evidence) -> Option<&SentHeader> {
    let header = evidence.header.as_ref()?;
    let understood = evidence.answered_before || (evidence.tls_done && !header.inside_tls);
    (!understood).then_some(header)
}

fn quotes(evidence: &Evidence, header: &SentHeader) -> bool {
    // What servers quote of a request line that they cannot read begins with its first words.
    let line = header.bytes.get(..QUOTED).filter(|start| start.starts_with(b"PROXY "));
    line.is_some_and(|line| evidence.heard.start.windows(line.len()).any(|place| place == line))
}

/// Whether it is an answer, as far as it came.
fn begins_an_answer(evidence: &Evidence) -> bool {
    let start = &evidence.heard.start;
    start.starts_with(HTTP) || (!start.is_empty() && HTTP.starts_with(start))
}

/// The status of an answer that did not come whole, if that much of it came.
fn status_in(evidence: &Evidence) -> Option<u16> {
    let digits = evidence.heard.start.get(HTTP.len() + 2..HTTP.len() + 5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn looks_like_tls(evidence: &Evidence) -> bool {
    // A TLS alert record: its type, and the major version of every TLS there is.
    !evidence.tls_done && evidence.heard.start.starts_with(&[0x15, 0x03])
}

/// What came of asking without a header.
enum Bare {
    /// TLS was agreed, or HTTP answered with this status.
    Speaks(Option<u16>),
    /// It does not speak without a header either, or it was better not to ask.
    Unknown,
}

/// Asks for the same once more, where asking twice is the same as asking once (RFC 9110 §9.2.1).
async fn ask_again(request: &Request, target: &Target, dial: &Dial, observer: &mut dyn Observer) -> Bare {
    if !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        return Bare::Unknown;
    }
    observer.step(Step::AskedBare("for the same without a header"));
    ask_bare(target, dial, Some(request)).await
}

async fn ask_bare(target: &Target, dial: &Dial, request: Option<&Request>) -> Bare {
    let bare = Dial {
        introduction: None,
        connect_timeout: PATIENCE.min(dial.connect_timeout),
        silence: PATIENCE.min(dial.silence),
        ..dial.clone()
    };
    let mut connection = match Connection::open(target, &bare, &mut Silent).await {
        Ok(connection) => connection,
        // Whoever discusses certificates speaks TLS.
        Err(OpenError::Tls { error: TlsError::Certificate(_), .. }) => return Bare::Speaks(None),
        Err(OpenError::Tls { error: error @ TlsError::Alert(_), .. }) if !error.is_about_bytes() => {
            return Bare::Speaks(None);
        }
        Err(_) => return Bare::Unknown,
    };
    let Some(request) = request else { return Bare::Speaks(None) };
    let mut status = StatusOnly(None);
    // The status is all that is wanted; whether the content comes in full is of no interest.
    drop(connection.exchange(request, &bare, &mut status, &mut Silent).await);
    if status.0.is_some() { Bare::Speaks(status.0) } else { Bare::Unknown }
}

/// A sink that has enough once it knows the status.
struct StatusOnly(Option<u16>);

impl Sink for StatusOnly {
    fn head(&mut self, _: &[u8], response: &Response<'_>) -> std::io::Result<()> {
        if !response.is_interim() {
            self.0 = Some(response.status());
        }
        Ok(())
    }

    fn body(&mut self, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Other.into())
    }

    fn pause(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What happened, and what to try, where nothing is proved of the header.
fn unsure(message: String, hint: String) -> Diagnosis {
    Diagnosis { verdict: None, message, hint: Some(hint) }
}

fn not_expected(sent: &str, happened: &str, proof: &str) -> Diagnosis {
    Diagnosis {
        verdict: Some(Verdict::NotExpected),
        message: format!(
            "sent {sent}, {happened}; {proof}: it does not expect a PROXY header, or not this one"
        ),
        hint: Some("try --header none, or switch PROXY on at the peer".to_owned()),
    }
}

fn refused(header: &SentHeader, happened: &str) -> Diagnosis {
    Diagnosis {
        verdict: Some(Verdict::Refused),
        message: format!(
            "sent {}, {happened}: it probably does not expect PROXY, or refuses your address",
            describe(header)
        ),
        hint: Some(format!("try {}; the peer's log may say more", other_headers(header))),
    }
}

fn describe(header: &SentHeader) -> String {
    let version = if header.bytes.starts_with(b"PROXY") { "v1" } else { "v2" };
    let inside = if header.inside_tls { " inside TLS" } else { "" };
    format!("{}-byte {version} header{inside}", header.bytes.len())
}

fn other_headers(header: &SentHeader) -> &'static str {
    match (header.bytes.starts_with(b"PROXY"), header.inside_tls) {
        (_, true) => "the header before TLS (without --inside-tls), or --header none",
        (true, false) => "--header none or --header v2",
        (false, false) => "--header none or --header v1",
    }
}

fn verb(evidence: &Evidence) -> &'static str {
    match evidence.heard.ending {
        Some(Ending::Reset) => "reset the connection",
        Some(Ending::Closed | Ending::Torn) | None => "closed",
    }
}

fn after_nothing(evidence: &Evidence) -> String {
    format!("peer {} after 0 bytes", verb(evidence))
}

fn not_tls(error: &TlsError, evidence: &Evidence) -> String {
    if evidence.heard.start.starts_with(b"HTTP/") {
        let line = evidence.heard.start.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return format!(
            "peer answered in plain text, `{}`",
            line.get(..line.len().min(60)).unwrap_or_default().escape_ascii()
        );
    }
    match error {
        TlsError::Alert(_) => format!("{error}").replacen("the peer", "peer", 1),
        _ => format!("peer answered {} bytes that are no TLS", evidence.heard.bytes),
    }
}

fn hint_for_bare_tls(evidence: &Evidence, silent: bool) -> String {
    match evidence.heard.bytes {
        0 if silent => "the port may not speak TLS, or wait for a PROXY header: try --header v1".to_owned(),
        0 => BARE_HINT.to_owned(),
        _ => hint_for_no_tls(evidence),
    }
}

fn hint_for_no_tls(evidence: &Evidence) -> String {
    if evidence.heard.start.starts_with(b"HTTP/") {
        return "this port speaks plain HTTP: try http:// instead of https://".to_owned();
    }
    "this port may speak another protocol than TLS, or another version of it".to_owned()
}

const HALF_SHAKEN_HINT: &str = "it speaks TLS, so the header is not at fault: it may be overloaded, or large packets get lost on the way";
const BARE_HINT: &str =
    "this is how a port looks that requires a PROXY header: try --header v1 or --header v2";
/// How every answer begins.
const HTTP: &[u8] = b"HTTP/1.";
/// How long a second opinion may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// `PROXY TCP4 ` or as much of another line: what two servers that quote agree on.
const QUOTED: usize = 11;
