//! What one line of the access log can tell: what is known of a connection, what went on, and how it ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foreword::{ClientAddr, PeerAddr};

use super::counters::Closing;
use super::exchange::{Exchange, Moment, place};
use super::name::Name;
use super::termination;
use crate::refusal::{Code, Refusal};

/// What the TLS handshake settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsKnown {
    /// Empty where TLS passes through, as is the next.
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) sni: Option<Box<str>>,
    pub(crate) alpn: Option<Box<[u8]>>,
    pub(crate) client: Option<ClientKnown>,
}

/// What a client's certificate said.
#[derive(Clone, Debug)]
pub(crate) struct ClientKnown {
    pub(crate) cn: Option<Box<str>>,
    pub(crate) serial: Box<str>,
    pub(crate) fingerprint: Box<str>,
}

/// What is known of a connection; all its requests share it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) opened: Instant,
    /// By which its worker tells it from the others.
    pub(crate) number: u32,
    pub(crate) peer: PeerAddr,
    pub(crate) local: PeerAddr,
    /// Until a header was believed, the peer is all that is known of the client.
    pub(crate) client: ClientAddr,
    /// Where the client wanted to go; until a header was believed, our own end.
    pub(crate) destination: PeerAddr,
    pub(crate) header_version: Option<u8>,
    pub(crate) trust: Option<Arc<str>>,
    pub(crate) tls: Option<Box<TlsKnown>>,
    pub(crate) header_done: Moment,
    pub(crate) handshake_done: Moment,
}

/// All that one line can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) listener: &'a str,
    pub(crate) known: &'a Known,
    pub(crate) exchange: &'a Exchange,
    pub(crate) closing: Closing,
    pub(crate) code: Option<Code>,
    /// Whose doing it was, where one side went away or stopped.
    pub(crate) side: Option<Side>,
    pub(crate) began: SystemTime,
    pub(crate) took: Duration,
    /// Whether the line tells of a request, not of a whole connection.
    pub(crate) is_http: bool,
    /// Whether it tells of a flow of datagrams.
    pub(crate) is_flow: bool,
    /// Connections that are open in the process and at the listener, this one among them.
    pub(crate) open: [usize; 2],
}

/// How a connection or request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// As its sides wished: answered, or forwarded until both had closed.
    Complete,
    /// It connected and closed without a byte. Counted, not told.
    Probe,
    /// We ended it, and can say why.
    Refused(Refusal<'a>),
    /// One side closed or reset it before its time.
    Aborted(Side),
    /// Nothing moved for the listener's idle time.
    TimedOut(Side),
    /// The drain's deadline came, or its task was dropped.
    CutOff,
    /// Its task panicked.
    Panicked,
}

impl Outcome<'_> {
    /// A record that was dropped unclosed: its task was cut off, or is unwinding.
    pub(crate) fn of_a_drop() -> Self {
        if std::thread::panicking() { Self::Panicked } else { Self::CutOff }
    }

    pub(crate) fn closing(&self) -> Closing {
        match self {
            Self::Complete => Closing::Complete,
            Self::Probe => Closing::Probe,
            Self::Refused(_) => Closing::Refused,
            Self::Aborted(_) => Closing::Aborted,
            Self::TimedOut(_) => Closing::TimedOut,
            Self::CutOff => Closing::CutOff,
            Self::Panicked => Closing::Panicked,
        }
    }

    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Panicked => Some(Code::Panicked),
            _ => None,
        }
    }

    pub(crate) fn side(&self) -> Option<Side> {
        match *self {
            Self::Aborted(side) | Self::TimedOut(side) => Some(side),
            _ => None,
        }
    }
}

/// The side that connects to us, or the side that we connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Downstream,
    Upstream,
}

/// One value of a line, before a format has written it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Absent,
    /// From the wire: to be escaped.
    Text(&'a [u8]),
    /// Ours, and plain.
    Word(&'a str),
    Number(u64),
    Ip(IpAddr),
    Unix(&'a [u8]),
    Flag(bool),
    Time(SystemTime),
    Code(Code),
    State([u8; 4]),
}

impl<'a> Entry<'a> {
    /// What the line tells under this name. Where the name is known, little is left of this.
    #[inline(always)]
    pub(crate) fn value(&self, name: Name) -> Value<'a> {
        let exchange = self.exchange;
        match name {
            Name::Timestamp => Value::Time(self.began),
            Name::Duration => nanos(Some(self.took)),
            Name::Outcome => {
                Value::Word(if self.closing == Closing::Complete { "success" } else { "failure" })
            }
            Name::Listener => Value::Text(self.listener.as_bytes()),
            Name::Status => number((exchange.status != 0).then_some(exchange.status)),
            Name::HttpVersion => {
                exchange.version.map_or(Value::Absent, |version| Value::Word(version.as_str()))
            }
            Name::BytesReceived => Value::Number(exchange.received),
            Name::BytesSent => Value::Number(exchange.sent),
            Name::DatagramsReceived => number(self.is_flow.then_some(exchange.datagrams.received)),
            Name::DatagramsSent => number(self.is_flow.then_some(exchange.datagrams.sent)),
            Name::UpstreamSent => number(exchange.forwarded.then_some(exchange.upstream_sent)),
            Name::UpstreamReceived => number(exchange.forwarded.then_some(exchange.upstream_received)),
            Name::Retries => number(exchange.forwarded.then_some(exchange.retries)),
            Name::Reused if exchange.forwarded => Value::Flag(exchange.reused),
            Name::TimeHead => nanos(exchange.head_done.since_beginning()),
            Name::TimeQueue => nanos(exchange.queued),
            Name::TimeConnect => nanos(self.connect_took()),
            Name::TimeResponse => nanos(exchange.first_byte.after(exchange.connected)),
            Name::Termination => Value::Word(self.closing.as_str()),
            Name::RefusalCode => self.code.map_or(Value::Absent, Value::Code),
            Name::TerminationState => Value::State(termination::state(self)),
            Name::Reused => Value::Absent,
            Name::ClientIp => ip(self.client().ip()),
            Name::ClientPort => number(self.client().port().filter(|&port| port != 0)),
            Name::ClientAddress => match self.client() {
                ClientAddr::Unix(path) => Value::Unix(path),
                ClientAddr::Inet(_) => Value::Absent,
            },
            name => match place(name) {
                Some(place) => exchange.text_at(place).map_or(Value::Absent, Value::Text),
                None => self.known.value(name),
            },
        }
    }

    /// Whom it was for: a request may have a client of its own, whom a proxy behind the connection's client names.
    pub(crate) fn client(&self) -> &'a ClientAddr {
        self.exchange.client.as_ref().unwrap_or(&self.known.client)
    }

    /// From a request's head, or from a connection's last preparation, until an endpoint was ready.
    pub(crate) fn connect_took(&self) -> Option<Duration> {
        let prepared = match self.is_http {
            true => self.exchange.head_done,
            false if self.known.handshake_done != Moment::NEVER => self.known.handshake_done,
            false => self.known.header_done,
        };
        self.exchange.connected.after(prepared)
    }
}

impl Known {
    #[inline(always)]
    fn value(&self, name: Name) -> Value<'_> {
        let tls = self.tls.as_deref();
        let client = tls.and_then(|tls| tls.client.as_ref());
        match name {
            Name::PeerIp => ip(self.peer.ip()),
            Name::PeerPort => number(self.peer.port()),
            Name::PeerAddress if self.peer == PeerAddr::Unix => Value::Unix(&[]),
            Name::DestinationIp => ip(self.destination.ip()),
            Name::DestinationPort => number(self.destination.port()),
            Name::Trust => text(self.trust.as_deref().map(str::as_bytes)),
            Name::HeaderVersion => number(self.header_version),
            Name::TlsVersion => word(tls.map(|tls| tls.version)),
            Name::TlsCipher => word(tls.map(|tls| tls.cipher)),
            Name::TlsSni => text(tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes)),
            Name::TlsAlpn => text(tls.and_then(|tls| tls.alpn.as_deref())),
            Name::TlsClientCn => text(client.and_then(|client| client.cn.as_deref()).map(str::as_bytes)),
            Name::TlsClientSerial => text(client.map(|client| client.serial.as_bytes())),
            Name::TlsClientFingerprint => text(client.map(|client| client.fingerprint.as_bytes())),
            Name::TimeHeader => nanos(self.header_done.since_beginning()),
            Name::TimeHandshake => nanos(self.handshake_done.after(self.header_done)),
            _ => Value::Absent,
        }
    }
}

fn ip<'a>(ip: Option<IpAddr>) -> Value<'a> {
    ip.map_or(Value::Absent, Value::Ip)
}

/// A word, unless it is empty.
fn word<'a>(word: Option<&'static str>) -> Value<'a> {
    word.filter(|word| !word.is_empty()).map_or(Value::Absent, Value::Word)
}

fn text(bytes: Option<&[u8]>) -> Value<'_> {
    bytes.map_or(Value::Absent, Value::Text)
}

fn number<'a>(number: Option<impl Into<u64>>) -> Value<'a> {
    number.map_or(Value::Absent, |number| Value::Number(number.into()))
}

fn nanos<'a>(duration: Option<Duration>) -> Value<'a> {
    duration.map_or(Value::Absent, |duration| {
        Value::Number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    })
}
#[cfg(test)]
mod tests {
    use super::super::exchange::tests::all_told;
    use super::*;

    fn known(peer: PeerAddr, client: ClientAddr) -> Known {
        Known {
            opened: Instant::now(),
            number: 0,
            peer,
            local: PeerAddr::Unix,
            client,
            destination: peer,
            header_version: None,
            trust: None,
            tls: None,
            header_done: Moment::NEVER,
            handshake_done: Moment::NEVER,
        }
    }

    fn moment(micros: u64) -> Moment {
        let begun = Instant::now();
        Moment::between(begun, begun + Duration::from_micros(micros))
    }

    /// A connection of which there is all to tell that there can be at once.
    fn all_known() -> Known {
        let address = "127.0.0.1:80".parse().unwrap();
        let client = ClientKnown { cn: Some("cn".into()), serial: "1".into(), fingerprint: "2".into() };
        let tls = TlsKnown {
            version: "TLSv1.3",
            cipher: "cipher",
            sni: Some("sni".into()),
            alpn: Some(b"alpn".as_slice().into()),
            client: Some(client),
        };
        Known {
            header_version: Some(2),
            trust: Some("group".into()),
            tls: Some(Box::new(tls)),
            header_done: moment(1),
            handshake_done: moment(2),
            ..known(PeerAddr::Inet(address), ClientAddr::Inet(address))
        }
    }

    #[test]
    fn a_name_is_of_the_connection_where_another_connection_tells_another_thing_and_no_other_request_does() {
        let (all, unix) = (all_known(), known(PeerAddr::Unix, ClientAddr::Unix(b"/a".as_slice().into())));
        let (begun, told) = (Exchange::new(Instant::now()), all_told());
        let entry = |listener, known, exchange| Entry {
            listener,
            known,
            exchange,
            closing: Closing::Complete,
            code: None,
            side: None,
            began: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
            is_http: true,
            is_flow: true,
            open: [0; 2],
        };
        let (one, other, next) =
            (entry("one", &all, &begun), entry("other", &unix, &begun), entry("one", &all, &told));
        let value = |entry: &Entry<'_>, name| format!("{:?}", entry.value(name));
        for &name in Name::ALL {
            assert_eq!(value(&one, name) != value(&other, name), name.is_of_connection(), "{name:?}");
            assert!(value(&one, name) == value(&next, name) || !name.is_of_connection(), "{name:?}");
        }
    }
}
