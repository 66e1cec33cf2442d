//! The line that says why a connection was refused: limited in rate, with what was left out counted.

use std::array;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foreword::{ClientAddr, PeerAddr};

use super::Code;

/// Why we ended a connection or request.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    /// The stable code.
    pub(crate) code: Code,
    /// The requirement that a malformed header breaks; other codes know theirs.
    pub(crate) requirement: Option<&'static str>,
    /// `expected …, found …`. Whatever it holds, it is escaped and cut when it is written.
    pub(crate) told: &'a dyn fmt::Display,
    /// The name of the peer's trust group.
    pub(crate) trust: Option<&'a str>,
    /// The cluster that it was for, unless `told` says so.
    pub(crate) cluster: Option<&'a str>,
    /// The id of the request, where it is for a cluster: by it others know the request.
    pub(crate) request: Option<&'a [u8]>,
}

impl<'a> Refusal<'a> {
    /// A refusal without a trust group, for the requirement that its code names.
    pub(crate) fn new(code: Code, told: &'a dyn fmt::Display) -> Self {
        Self { code, requirement: None, told, trust: None, cluster: None, request: None }
    }
}

impl fmt::Debug for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.told)
    }
}

/// Between whom a refusal happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) listener: &'a str,
    pub(crate) local: &'a PeerAddr,
    pub(crate) peer: &'a PeerAddr,
    /// Whom a believed header, or X-Forwarded-For, named.
    pub(crate) client: Option<&'a ClientAddr>,
}

/// Writes the whole line: `LISTENER LOCAL ← PEER for CLIENT: expected …, found …; … [FW101, 412 more in the last minute]`.
pub(crate) fn line(place: &Place<'_>, refusal: &Refusal<'_>, left_out: u64) -> String {
    let mut told = Escaping { line: String::with_capacity(320), room: MAX_TOLD };
    // Writing to a String cannot fail; `told` may be cut, and then what fits is what there is.
    let _ = write!(told.line, "{} {} ← {}", place.listener, place.local, place.peer);
    if let Some(client) = other_than(place.peer, place.client) {
        let _ = write!(told, " for {}", Whom(client));
    }
    let _ = write!(told, ": {}", refusal.told);
    if let Some(cluster) = refusal.cluster {
        let _ = write!(told, "; cluster `{cluster}`");
    }
    if let Some(request) = refusal.request {
        let _ = write!(told, "; request {}", request.escape_ascii());
    }
    let mut line = told.line;
    if let Some(trust) = refusal.trust {
        let policy = policy(refusal.code);
        let _ = write!(line, "; the peer is in trust \"{trust}\"{policy}");
    }
    let advice = advice(refusal.code);
    let _ = match advice.is_empty() {
        true => write!(line, " {}", Brackets { code: refusal.code, left_out }),
        false => write!(line, ". {advice} {}", Brackets { code: refusal.code, left_out }),
    };
    line
}

/// The client, where it is somebody else than the peer.
fn other_than<'a>(peer: &PeerAddr, client: Option<&'a ClientAddr>) -> Option<&'a ClientAddr> {
    client.filter(|client| match (client, peer) {
        (ClientAddr::Inet(client), PeerAddr::Inet(peer)) => client != peer,
        (ClientAddr::Unix(path), PeerAddr::Unix) => !path.is_empty(),
        _ => true,
    })
}

/// A client as lines name it: X-Forwarded-For seldom knows a port.
struct Whom<'a>(&'a ClientAddr);

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.ip(), self.0.port()) {
            (Some(ip), Some(0)) => ip.fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

/// Writes the line of something that happened on the way to a cluster: `cluster `NAME`: …. … [FW532]`.
pub(crate) fn line_of_cluster(name: &str, code: Code, told: &dyn fmt::Display, left_out: u64) -> String {
    let mut escaping = Escaping { line: String::with_capacity(320), room: MAX_TOLD };
    escaping.line.push_str(&cluster(name));
    escaping.line.push_str(": ");
    // As in `line`: what fits is what there is.
    let _ = write!(escaping, "{told}");
    let mut line = escaping.line;
    let _ = write!(line, ". {} {}", advice(code), Brackets { code, left_out });
    line
}

/// What a line calls a cluster.
pub(crate) fn cluster(name: &str) -> String {
    format!("cluster `{name}`")
}

/// Writes the line that tells of refusals which no later line has told of.
pub(crate) fn rest(listener: &str, code: Code, left_out: u64) -> String {
    format!("{listener}: more of {} {}", code.title(), Brackets { code, left_out })
}

struct Brackets {
    code: Code,
    left_out: u64,
}

impl fmt::Display for Brackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left_out {
            0 => write!(f, "[{}]", self.code),
            more => write!(f, "[{}, {more} more in the last minute]", self.code),
        }
    }
}

/// Takes text of any origin and lets only what is printable pass, up to a length.
struct Escaping {
    line: String,
    room: usize,
}

impl fmt::Write for Escaping {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let before = self.line.len();
            // Beside controls, that is what reorders or hides text on a terminal.
            match char {
                char if char.is_control() || is_invisible(char) => self.line.extend(char.escape_default()),
                char => self.line.push(char),
            }
            let took = self.line.len() - before;
            let Some(room) = self.room.checked_sub(took) else {
                self.line.truncate(before);
                self.line.push('…');
                self.room = 0;
                return Err(fmt::Error);
            };
            self.room = room;
        }
        Ok(())
    }
}

const fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Bytes from the wire as hexadecimal, for a line: 256 at most, R-SEC-14.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..MAX_HEX).unwrap_or(self.0);
        for byte in shown {
            write!(f, "{byte:02x}")?;
        }
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "… ({more} more bytes)"),
        }
    }
}

/// What the peer's group says of headers, where the refusal is about that.
const fn policy(code: Code) -> &'static str {
    match code {
        Code::TlsForHeader | Code::HttpForHeader | Code::BytesForHeader | Code::HeaderSilence => {
            " (header = \"require\")"
        }
        Code::HeaderForbidden => " (header = \"forbid\")",
        _ => "",
    }
}

/// What to do, in a sentence or two; `foreword explain` says more.
const fn advice(code: Code) -> &'static str {
    match code {
        Code::TlsForHeader | Code::HttpForHeader => {
            "Traffic from inside that skips the balancer looks like this: list its source with header = \"optional\"."
        }
        Code::BytesForHeader => {
            "The sender is not a balancer that sends the PROXY protocol, or it sends it later."
        }
        Code::HeaderTooLong => "If the sender is right, raise header.max of the listener.",
        Code::HeaderSilence => {
            "Protocols where the server speaks first get no header from some balancers (AWS NLB). The same over and \
             over at a steady pace looks like a TCP health check."
        }
        Code::HeaderCutShort => "Does the sender's header end with CR LF?",
        Code::SecondHeader => "Two balancers in a row add a header each: switch it off on one of them.",
        Code::HeaderForbidden => {
            "If the peer is your balancer, put it into a trust group with header = \"require\", and that group into the \
             listener's `trust`."
        }
        Code::ClaimRefused => "A sender that does not know its client should send LOCAL or UNKNOWN.",
        Code::Stranger => "If it belongs here, add it to `from` of the right group.",
        Code::HttpForTls => "Use https://, or give plain HTTP a listener without TLS.",
        Code::TlsForHttp => "Use http://, or give the listener a certificate.",
        Code::TlvsLeftOut => {
            "If the receiver takes longer headers, raise `max_header`; else name fewer TLVs, the most important first."
        }
        Code::HeaderOverBounds => "If the receiver takes longer headers, raise `max_header` of the cluster.",
        Code::EndpointHttp2 => "If it speaks no HTTP/2, remove `protocol` from the cluster.",
        Code::NoRule => "`foreword why` shows why no rule matched.",
        Code::OutOfDescriptors => "Raise LimitNOFILE (`ulimit -n`).",
        _ => "",
    }
}

/// Lets a few lines of each code through, then one a second, and counts the rest.
///
/// One for each listener, shared by all workers. Nobody waits: each gate is two atomic numbers.
#[derive(Debug)]
pub(crate) struct Gates {
    epoch: Instant,
    gates: [Gate; Code::COUNT],
}

#[derive(Debug, Default)]
struct Gate {
    /// Until when, in milliseconds since the epoch, lines are spent: the theoretical arrival time of GCRA.
    spent_until: AtomicU64,
    left_out: AtomicU64,
    /// When the first of those that were left out was.
    left_out_since: AtomicU64,
}

impl Gates {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, gates: array::from_fn(|_| Gate::default()) }
    }

    /// Whether a line may be written now, and then how many were left out before it.
    pub(crate) fn admit(&self, code: Code, now: Instant) -> Option<u64> {
        let gate = self.gates.get(code.index())?;
        let now = self.millis(now);
        let admitted = gate.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent_until| {
            let spent_until = spent_until.max(now);
            (spent_until - now <= (BURST - 1) * PACE).then_some(spent_until + PACE)
        });
        match admitted {
            Ok(_) => Some(gate.left_out.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.leave_out(code, now);
                None
            }
        }
    }

    /// Counts a line that was admitted and could not be written.
    pub(crate) fn not_written(&self, code: Code, now: Instant) {
        self.leave_out(code, self.millis(now));
    }

    /// The codes whose left-out lines have waited long enough for one that would tell of them.
    pub(crate) fn overdue(&self, now: Instant) -> impl Iterator<Item = (Code, u64)> + '_ {
        let now = self.millis(now);
        Code::ALL.iter().zip(&self.gates).filter_map(move |(&code, gate)| {
            let waited = now.saturating_sub(gate.left_out_since.load(Ordering::Relaxed));
            if gate.left_out.load(Ordering::Relaxed) == 0 || waited < PATIENCE {
                return None;
            }
            match gate.left_out.swap(0, Ordering::Relaxed) {
                0 => None,
                left_out => Some((code, left_out)),
            }
        })
    }

    fn leave_out(&self, code: Code, now: u64) {
        let Some(gate) = self.gates.get(code.index()) else { return };
        if gate.left_out.fetch_add(1, Ordering::Relaxed) == 0 {
            gate.left_out_since.store(now, Ordering::Relaxed);
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// How often whoever holds [`Gates`] should ask for what is overdue.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// Lines of one code that come at once before the pace counts: enough to see that it is not one peer only.
const BURST: u64 = 10;
/// Milliseconds from one line to the next, once the burst is spent.
const PACE: u64 = 1_000;
/// Milliseconds after which a count that no line has told of is told alone; it must be within a minute.
const PATIENCE: u64 = 30_000;
/// Longer than any sentence of ours with 256 bytes in hexadecimal.
const MAX_TOLD: usize = 1_024;
/// R-SEC-14.
const MAX_HEX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn gates() -> (Gates, impl Fn(u64) -> Instant) {
        let epoch = Instant::now();
        (Gates::new(epoch), move |millis| epoch + Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_passes_then_one_a_second_and_the_rest_is_counted() {
        let (gates, moment) = gates();
        let passed = (0..100).filter(|_| gates.admit(Code::Stranger, moment(0)).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(gates.admit(Code::Stranger, moment(999)), None);
        assert_eq!(gates.admit(Code::Stranger, moment(1_000)), Some(91));
        assert_eq!(gates.admit(Code::Stranger, moment(1_000)), None);
        assert_eq!(gates.admit(Code::TlsForHeader, moment(1_000)), Some(0), "codes do not share a gate");
    }

    #[test]
    fn what_no_line_has_told_is_told_alone_within_a_minute() {
        let (gates, moment) = gates();
        for _ in 0..15 {
            gates.admit(Code::Stranger, moment(5_000));
        }
        assert_eq!(gates.overdue(moment(20_000)).count(), 0);
        assert_eq!(gates.overdue(moment(36_000)).collect::<Vec<_>>(), [(Code::Stranger, 5)]);
        assert_eq!(gates.overdue(moment(90_000)).count(), 0, "once");
    }

    #[test]
    fn a_line_that_could_not_be_written_is_not_forgotten() {
        let (gates, moment) = gates();
        assert_eq!(gates.admit(Code::Stranger, moment(0)), Some(0));
        gates.not_written(Code::Stranger, moment(0));
        assert_eq!(gates.admit(Code::Stranger, moment(1)), Some(1));
    }

    #[test]
    fn the_line_has_the_form_that_the_design_gives_it() {
        let local = PeerAddr::Inet("10.0.1.10:443".parse().unwrap());
        let peer = PeerAddr::Inet("[::ffff:10.0.3.9]:51514".parse().unwrap());
        let place = Place { listener: "web", local: &local, peer: &peer, client: None };
        let told = "expected a PROXY header, found a TLS ClientHello (SNI www.example.com)";
        let refusal = Refusal { trust: Some("elb"), ..Refusal::new(Code::TlsForHeader, &told) };
        assert_eq!(
            line(&place, &refusal, 412),
            "web 10.0.1.10:443 ← 10.0.3.9:51514: expected a PROXY header, found a TLS ClientHello (SNI \
             www.example.com); the peer is in trust \"elb\" (header = \"require\"). Traffic from inside that skips \
             the balancer looks like this: list its source with header = \"optional\". [FW101, 412 more in the last \
             minute]"
        );
    }

    #[test]
    fn a_line_names_the_client_whom_a_header_named_and_what_it_came_for() {
        let address = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
        let (local, peer) =
            (PeerAddr::Inet(address("10.0.1.10:443")), PeerAddr::Inet(address("10.0.3.9:51514")));
        let of = |client: &ClientAddr| {
            let place = Place { listener: "web", local: &local, peer: &peer, client: Some(client) };
            let told = "endpoint 10.0.2.1:80 cannot be reached";
            let refusal = Refusal {
                cluster: Some("app"),
                request: Some(b"4f2a\x1b"),
                ..Refusal::new(Code::NoConnection, &told)
            };
            line(&place, &refusal, 0)
        };
        let rest = ": endpoint 10.0.2.1:80 cannot be reached; cluster `app`; request 4f2a\\x1b [FW501]";
        for (client, named) in [
            (ClientAddr::Inet(address("[::ffff:203.0.113.7]:4711")), " for 203.0.113.7:4711"),
            (ClientAddr::Inet(address("[2001:db8::1]:4711")), " for [2001:db8::1]:4711"),
            (ClientAddr::Inet(address("203.0.113.7:0")), " for 203.0.113.7"),
            (ClientAddr::Unix(b"/run/a\nb".as_slice().into()), " for unix:/run/a\\nb"),
            (peer.into(), ""),
        ] {
            assert_eq!(of(&client), format!("web 10.0.1.10:443 ← 10.0.3.9:51514{named}{rest}"));
        }
    }

    #[test]
    fn whatever_is_told_stays_on_one_bounded_line() {
        let told: String = (0..0x3000).filter_map(char::from_u32).collect();
        let place = Place { listener: "web", local: &PeerAddr::Unix, peer: &PeerAddr::Unix, client: None };
        let line = line(&place, &Refusal::new(Code::MalformedHead, &told), 0);
        assert!(line.chars().all(|char| !char.is_control() && !is_invisible(char)), "{line}");
        assert!(line.len() < 1_200 && line.ends_with("… [FW401]"), "{line}");
    }

    #[test]
    fn no_more_than_256_bytes_of_the_wire_are_shown() {
        assert_eq!(Hex(b"\x00\xffA").to_string(), "00ff41");
        let shown = Hex(&[0xab; 300]).to_string();
        assert!(shown.ends_with("ab… (44 more bytes)") && shown.len() < 540, "{shown}");
    }
}
