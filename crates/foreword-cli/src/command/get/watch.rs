//! What happens during a transfer: told on standard error with `-v`, and kept for `--write-out` always.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foreword_client::tls::{CertificateFacts, TlsFacts};
use foreword_client::transcript::{Observer, Step};

use crate::output::{anatomy, talk};

/// Watches one transfer.
#[derive(Debug)]
pub(super) struct Watch {
    verbose: bool,
    started: Instant,
    pub(super) seen: Seen,
}

/// What was seen, for the variables of `--write-out`.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) peer: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) header: Vec<u8>,
    pub(super) connections: u32,
    pub(super) verified: Option<bool>,
    pub(super) tls_version: Option<String>,
    pub(super) request_bytes: u64,
    pub(super) resolved: Duration,
    pub(super) connected: Duration,
    pub(super) encrypted: Duration,
    pub(super) asked: Duration,
    pub(super) answered: Duration,
}

impl Watch {
    pub(super) fn new(verbose: bool) -> Self {
        Self { verbose, started: Instant::now(), seen: Seen::default() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says something with curl's star in front.
    pub(super) fn note(&self, text: &str) {
        if self.verbose {
            talk(&format!("* {text}\n"));
        }
    }

    fn remember(&mut self, step: &Step<'_>) {
        let now = self.started.elapsed();
        let seen = &mut self.seen;
        match step {
            Step::Resolved { .. } => seen.resolved = now,
            Step::Connected { peer, local } => {
                (seen.peer, seen.local, seen.connected) = (Some(*peer), Some(*local), now);
                seen.connections += 1;
            }
            Step::Header { bytes, .. } => seen.header = bytes.to_vec(),
            Step::Tls(facts) => {
                seen.encrypted = now;
                seen.verified = Some(facts.verified);
                seen.tls_version = Some(facts.version.clone());
            }
            Step::Request(head) => {
                seen.request_bytes += head.len() as u64;
                seen.asked = now;
            }
            Step::Response(_) if seen.answered.is_zero() => seen.answered = now,
            _ => {}
        }
    }
}

impl Observer for Watch {
    fn step(&mut self, step: Step<'_>) {
        self.remember(&step);
        if self.verbose {
            talk(&told(&step));
        }
    }
}

/// A step as curl tells it: `*` for talk, `>` for what is sent, `<` for what comes.
fn told(step: &Step<'_>) -> String {
    match step {
        Step::Resolved { host, port, addresses } => {
            let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            format!("* Host {host}:{port} is {}\n", list.join(", "))
        }
        Step::Trying(address) => format!("*   Trying {address}...\n"),
        Step::Failed { address, error } => format!("* Connecting to {address} failed: {error}\n"),
        Step::Connected { peer, local } => format!("* Connected to {peer} from {local}\n"),
        Step::Header { bytes, inside_tls } => {
            let place = if *inside_tls { " inside TLS" } else { "" };
            let mut text = format!("* Sending a PROXY header of {} bytes{place}:\n", bytes.len());
            for line in anatomy::hex_lines(bytes) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "> {line}");
            }
            for line in anatomy::summary(bytes) {
                let _ = writeln!(text, "*   {line}");
            }
            text
        }
        Step::Tls(facts) => tls(facts),
        Step::Reused => "* Using the connection again; a header is sent once only\n".to_owned(),
        Step::Request(head) => marked('>', head),
        Step::Response(head) => marked('<', head),
        Step::AskedBare(what) => format!("* Asking once more, on a connection of its own: {what}\n"),
        _ => String::new(),
    }
}

fn tls(facts: &TlsFacts) -> String {
    let alpn = facts.alpn.as_deref().unwrap_or("nothing");
    let mut text = format!("* TLS: {} with {}, ALPN agreed on {alpn}\n", facts.version, facts.cipher);
    if let Some(certificate) = &facts.certificate {
        let CertificateFacts { subject, issuer, names, not_after } = certificate;
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "* TLS: certificate for {names} ({subject}), issued by {issuer}, until {not_after}"
        );
    }
    text.push_str(match facts.verified {
        true => "* TLS: the certificate is verified\n",
        false => "* TLS: the certificate is NOT verified: anyone could have answered\n",
    });
    text
}

/// Whether a terminal obeys a letter rather than show it: controls, and what turns the direction of writing around or
/// takes no room, by which a line can pretend to say something else.
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A head, line by line; what a terminal would obey is escaped.
fn marked(mark: char, head: &[u8]) -> String {
    let text = head.strip_suffix(b"\r\n").unwrap_or(head);
    let mut marked = String::with_capacity(text.len() + 64);
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        marked.extend([mark, ' ']);
        for letter in String::from_utf8_lossy(line).chars() {
            if is_obeyed(letter) { marked.extend(letter.escape_default()) } else { marked.push(letter) }
        }
        marked.push('\n');
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_shown_line_by_line_and_harmless() {
        let shown = told(&Step::Response(b"HTTP/1.1 200 OK\r\nX: \x1b[31m\r\n\r\n"));
        assert_eq!(shown, "< HTTP/1.1 200 OK\n< X: \\u{1b}[31m\n< \n");
        let turned = told(&Step::Response("HTTP/1.1 200 OK\r\nX: \u{202e}txt.exe\r\n\r\n".as_bytes()));
        assert!(turned.contains("X: \\u{202e}txt.exe"), "{turned}");
    }
}
