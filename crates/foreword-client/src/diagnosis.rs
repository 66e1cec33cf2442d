//! From what happened to what probably is wrong: whether the header was refused, or nobody expected one.
//!
//! A peer that closes without a word may do so for either reason. Where asking again changes nothing, the same is
//! asked once more without a header, and the answer to that decides.

use std::time::Duration;

use foreword_http1::Response;

use crate::connection::{Connection, Dial, Evidence, OpenError, SentHeader};
use crate::exchange::{Answer, ExchangeError, Request, Sink};
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
    let (tls, evidence) = match error {
        OpenError::Tls { error, evidence } => (Some(error), evidence),
        OpenError::SlowTls { evidence } => (None, evidence),
        _ => return None,
    };
    let happened = match tls {
        Some(TlsError::Ended(_)) if evidence.heard.bytes == 0 => {
            format!("peer {} without a TLS alert after 0 bytes", verb(evidence))
        }
        Some(TlsError::Ended(_)) => format!("peer {} inside the TLS handshake", verb(evidence)),
        Some(error) if error.is_about_bytes() => not_tls(error, evidence),
        Some(_) => return None,
        None => match evidence.heard.bytes {
            0 => "peer said nothing to our ClientHello".to_owned(),
            bytes => format!("peer began the TLS handshake and stopped after {bytes} bytes"),
        },
    };
    let Some(header) = evidence.header.as_ref() else {
        let inside = dial.introduction.is_some();
        let before = if inside { " before TLS" } else { "" };
        let hint = match (inside, evidence.heard.bytes) {
            (_, 1..) if tls.is_none() => HALF_SHAKEN_HINT.to_owned(),
            (true, 0) => {
                "this is how a port looks that requires the header first: try without --inside-tls".to_owned()
            }
            _ => hint_for_bare_tls(evidence, tls.is_none()),
        };
        let message = format!("sent no header{before}, {happened}");
        return Some(Diagnosis { verdict: None, message, hint: Some(hint) });
    };
    let sent = describe(header);
    if tls.is_none() {
        let hint = match evidence.heard.bytes {
            0 => format!("it may still wait for another header: try {}", other_headers(header)),
            _ => HALF_SHAKEN_HINT.to_owned(),
        };
        return Some(Diagnosis {
            verdict: None,
            message: format!("sent {sent}, {happened}"),
            hint: Some(hint),
        });
    }
    observer.step(Step::AskedBare("whether TLS is spoken without a header"));
    Some(match ask_bare(target, dial, None).await {
        Bare::Speaks(_) => not_expected(&sent, &happened, "without a header it speaks TLS"),
        Bare::Unknown if matches!(tls, Some(TlsError::Ended(_))) => refused(header, &happened),
        // It answers the same way whether there is a header or not.
        Bare::Unknown => Diagnosis {
            verdict: None,
            message: format!("sent {sent} and a ClientHello, {happened}"),
            hint: Some(hint_for_no_tls(evidence)),
        },
    })
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
        ExchangeError::NoAnswer { evidence }
        | ExchangeError::NotHttp { evidence }
        | ExchangeError::HeadCut { evidence }
        | ExchangeError::Silent { evidence } => evidence,
        _ => return None,
    };
    let silent = matches!(error, ExchangeError::Silent { .. });
    let happened = match evidence.heard.bytes {
        _ if silent => "peer said nothing".to_owned(),
        0 => after_nothing(evidence),
        _ if looks_like_tls(evidence) => "peer answered in TLS".to_owned(),
        bytes => format!("peer answered {bytes} bytes that are no HTTP/1 answer"),
    };
    if looks_like_tls(evidence) {
        let message = format!("sent a plain request, {happened}");
        let hint = Some("this port speaks TLS: try https:// instead of http://".to_owned());
        return Some(Diagnosis { verdict: None, message, hint });
    }
    let Some(header) = unsettled_header(evidence) else {
        let asked_bare = evidence.header.is_none() && !evidence.answered_before && evidence.heard.bytes == 0;
        return asked_bare.then(|| Diagnosis {
            verdict: None,
            message: format!("sent no header, {happened}"),
            hint: Some(BARE_HINT.to_owned()),
        });
    };
    let sent = describe(header);
    if silent {
        let hint = format!("it may still wait for another header: try {}", other_headers(header));
        return Some(Diagnosis {
            verdict: None,
            message: format!("sent {sent}, {happened}"),
            hint: Some(hint),
        });
    }
    Some(match ask_again(request, target, dial, observer).await {
        Bare::Speaks(Some(status)) => {
            not_expected(&sent, &happened, &format!("without a header it answers {status}"))
        }
        _ if quotes(evidence, header) => not_expected(&sent, &happened, "its answer quotes the header"),
        _ if evidence.heard.bytes > 0 => return None,
        _ => refused(header, &happened),
    })
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
/// How long a second opinion may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// `PROXY TCP4 ` or as much of another line: what two servers that quote agree on.
const QUOTED: usize = 11;
