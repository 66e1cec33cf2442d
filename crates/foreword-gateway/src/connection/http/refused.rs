//! Why a request was not served: the status that says so, and the code under which the cause is told.

use std::fmt;
use std::time::Duration;

use foreword_http1::{ChunkError, Class, HeadError, HeadFault, PathError};
use foreword_rule::{Facts, Variable};

use super::fields::Asked;
use crate::connection::http2::ToldFault;
use crate::policy::bound::Over;
use crate::refusal::{Code, Refusal};
use crate::upstream::connect::ConnectError;

/// Why a request was refused, or came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The head is malformed, too large, or not HTTP/1.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A PROXY header in place of a request.
    #[error("expected a request, found a PROXY header{}", if *.second { " after the first" } else { "" })]
    Header {
        /// Whether one had been read before.
        second: bool,
    },
    /// An HTTP/2 request that HTTP/1.1 could not say, or would say twice.
    #[error(transparent)]
    Told(#[from] ToldFault),
    /// An HTTP/2 request that broke a rule before it was one.
    #[error("expected an HTTP/2 request, found what resets stream {stream}: {reason} (RFC 9113 §5.4.2)")]
    Reset {
        /// Its stream.
        stream: u32,
        /// The reason of the RST_STREAM that we sent.
        reason: h2::Reason,
    },
    /// An HTTP/2 request beside as many as there may be.
    #[error(
        "expected at most {most} requests at once (`max.streams`), found another on stream {stream} (RFC 9113 §5.1.2)"
    )]
    TooManyStreams {
        /// Its stream.
        stream: u32,
        /// How many there may be.
        most: u32,
    },
    /// An HTTP/2 request whose head was so large that it was not even kept.
    #[error(
        "expected an HTTP/2 request with a head within `max.head`, found one of more than twice that on stream {stream}"
    )]
    TooLarge {
        /// Its stream.
        stream: u32,
    },
    /// An HTTP/2 request that waited for the heads of others.
    #[error("expected heads of {most} B or less at once on one connection, found more{}", waited(*.after))]
    HeadsWaiting {
        /// What `max.streams` and `max.head` come to.
        most: usize,
        /// How long it waited. Without that, as many did as may.
        after: Option<Duration>,
    },
    /// The head was not whole in time.
    #[error("expected the head of a request within {} s, found {found} bytes of it", .after.as_secs_f32())]
    HeadDeadline {
        /// The listener's `timeout.head`.
        after: Duration,
        /// What had come.
        found: usize,
    },
    /// The head was not whole when memory ran short.
    #[error("expected the rest of a head while memory is short, found {found} bytes of it after {} ms", .after.as_millis())]
    HeadShed {
        /// How long it was waited for.
        after: Duration,
        /// What had come.
        found: usize,
    },
    /// Memory is short, and another request may not begin beside those that go on.
    #[error("expected no other request of this connection while memory is short")]
    Unbegun,
    /// Memory is short, and the request did not go on.
    #[error("expected a request that goes on while memory is short, found one that waits for {} ms", .after.as_millis())]
    Shed {
        /// For how long.
        after: Duration,
    },
    /// What rules see of the path could be something else to a server.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A request that belongs on another connection.
    #[error("expected a request for a name under the certificate of `{sni}`, found one for `{host}`")]
    Misdirected {
        /// Whom it asks for.
        host: Box<str>,
        /// Whom the connection was made for.
        sni: Box<str>,
    },
    /// A tunnel, which a gateway does not offer.
    #[error("expected a request for a resource, found CONNECT")]
    Connect,
    /// A rule lets no more of the client's requests pass.
    #[error("rule `{rule}` {over}")]
    Limited {
        /// Its name.
        rule: Box<str>,
        /// The status that the rule has for it.
        status: u16,
        /// The bound that was met.
        over: Over,
    },
    /// A password that is not the user's.
    #[error("rule `{rule}` expected {}, found another", Self::expected_password(.user.as_deref()))]
    WrongPassword {
        /// Its name.
        rule: Box<str>,
        /// Whose password it is not, if there is somebody of that name.
        user: Option<Box<str>>,
        /// What the client is asked for.
        challenge: Box<str>,
    },
    /// More passwords are being checked than there is time for.
    #[error("rule `{rule}` expected fewer passwords at once, found too many")]
    PasswordsWaiting {
        /// Its name.
        rule: Box<str>,
    },
    /// No rule ended the request.
    #[error("expected a request that a rule takes, found one for host `{host}` and path `{path}`")]
    NoRule {
        /// As rules see it.
        host: Box<str>,
        /// As rules see it, its beginning if it is long.
        path: Box<str>,
    },
    /// The body's framing is broken.
    #[error(transparent)]
    Body(#[from] ChunkError),
    /// The body is longer than the listener, or a rule, takes.
    #[error("expected a body of {most} B at most, found {}", Length(*.told))]
    BodyTooLong {
        /// The listener's `max.body`, or a rule's `max_body`.
        most: u64,
        /// What its head says; without it, more came.
        told: Option<u64>,
    },
    /// The body stopped coming, or drips.
    #[error("expected {least} B of the body or more within {} s, found {found}", .after.as_secs_f32())]
    BodyDeadline {
        /// The listener's `timeout.idle`.
        after: Duration,
        /// What should have come in it.
        least: u64,
        /// What did.
        found: u64,
    },
    /// No endpoint could be reached.
    #[error(transparent)]
    NoUpstream(#[from] ConnectError),
    /// The endpoint did not answer in time, or stopped taking the request.
    #[error("expected an answer of {endpoint} within {} s, found none", .after.as_secs_f32())]
    ResponseTimeout {
        /// Its address.
        endpoint: String,
        /// The cluster's `timeout.response`, or the listener's `timeout.idle` for a request that is not taken.
        after: Duration,
    },
    /// The endpoint closed before its answer was there.
    #[error("expected an answer of {endpoint}, found the connection closed")]
    EndpointClosed {
        /// Its address.
        endpoint: String,
    },
    /// What the endpoint says is no answer.
    #[error("expected an answer of {endpoint}: {fault}")]
    Answer {
        /// Its address.
        endpoint: String,
        /// What is wrong with it.
        fault: HeadError,
    },
    /// The body that came with the endpoint's head is broken, and the client has got nothing of either.
    #[error("expected an answer of {endpoint}: {fault}")]
    AnswerBody {
        /// Its address.
        endpoint: String,
        /// What is wrong with it.
        fault: ChunkError,
    },
    /// The endpoint changes to a protocol that nobody asked for, or in the middle of the request.
    #[error("expected an answer of {endpoint}, found 101 for a request without `Upgrade`")]
    Unasked {
        /// Its address.
        endpoint: String,
    },
    /// The endpoint answers a client that opens a WebSocket over HTTP/2 as if it had asked for a page: to the client that
    /// would be the WebSocket.
    #[error("expected {endpoint} to change to WebSocket or to refuse, found another answer of success")]
    NotSwitched {
        /// Its address.
        endpoint: String,
    },
    /// The endpoint broke off inside its answer.
    #[error("expected the whole answer of {endpoint}, found {found}")]
    AnswerCutShort {
        /// Its address.
        endpoint: String,
        /// How it ended.
        found: String,
    },
}

impl Refused {
    /// For a request that no rule took.
    pub(crate) fn no_rule(facts: &impl Facts) -> Self {
        let seen = |variable| {
            let text = facts.text(&variable).unwrap_or_default();
            String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text)).into()
        };
        Self::NoRule { host: seen(Variable::Host), path: seen(Variable::Path) }
    }

    fn expected_password(user: Option<&str>) -> String {
        user.map_or_else(|| "the name of a user".to_owned(), |user| format!("the password of `{user}`"))
    }

    /// The status that the client gets, if it has not got another one already.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Head(error) => error.status(),
            Self::Told(_) | Self::Reset { .. } => 400,
            Self::Header { .. } | Self::Path(_) | Self::Body(_) => 400,
            Self::TooLarge { .. } => 431,
            Self::HeadDeadline { .. } | Self::BodyDeadline { .. } => 408,
            Self::BodyTooLong { .. } => 413,
            Self::Misdirected { .. } => 421,
            Self::Connect => 501,
            Self::WrongPassword { .. } => 401,
            Self::PasswordsWaiting { .. } | Self::HeadsWaiting { .. } | Self::TooManyStreams { .. } => 503,
            Self::HeadShed { .. } | Self::Unbegun | Self::Shed { .. } => 503,
            Self::NoRule { .. } => 404,
            Self::Limited { status, .. } => *status,
            Self::NoUpstream(ConnectError::Timeout { .. }) | Self::ResponseTimeout { .. } => 504,
            Self::NoUpstream(
                ConnectError::NoEndpoint { .. }
                | ConnectError::AllDown { .. }
                | ConnectError::QueueFull { .. }
                | ConnectError::QueueTimeout { .. },
            ) => 503,
            Self::NoUpstream(_)
            | Self::EndpointClosed { .. }
            | Self::Answer { .. }
            | Self::AnswerBody { .. }
            | Self::Unasked { .. }
            | Self::NotSwitched { .. }
            | Self::AnswerCutShort { .. } => 502,
        }
    }

    /// What is told of it.
    pub(crate) fn refusal(&self) -> Refusal<'_> {
        Refusal::new(self.code(), self)
    }

    /// The same of a request for `cluster`, by whose id others know it.
    pub(super) fn refusal_for<'a>(&'a self, cluster: &'a str, asked: Option<&'a Asked<'_>>) -> Refusal<'a> {
        let is_told = matches!(self, Self::NoUpstream(error) if error.names_its_cluster());
        let cluster = (!is_told).then_some(cluster);
        Refusal { cluster, request: asked.map(|asked| asked.id.as_bytes()), ..self.refusal() }
    }

    /// Whether an endpoint took the request and gave no sound answer.
    pub(crate) fn is_of_the_endpoint(&self) -> bool {
        matches!(
            self,
            Self::ResponseTimeout { .. }
                | Self::EndpointClosed { .. }
                | Self::Answer { .. }
                | Self::AnswerBody { .. }
                | Self::Unasked { .. }
        )
    }

    /// Whether it is a PROXY header in place of a request.
    pub(super) fn is_a_header(&self) -> bool {
        matches!(self, Self::Header { .. })
    }

    /// The code of the cause.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Head(error) => of_class(error.class()),
            Self::Header { second: true } => Code::SecondHeader,
            Self::Header { second: false } => Code::HeaderForbidden,
            Self::Told(ToldFault::Host) => Code::WrongHost,
            Self::Told(ToldFault::Length) => Code::AmbiguousFraming,
            Self::Told(_) => Code::MalformedHead,
            Self::Reset { .. } => Code::MalformedStream,
            Self::TooLarge { .. } => Code::HeadTooLarge,
            Self::HeadsWaiting { .. } => Code::HeadsWaiting,
            Self::TooManyStreams { .. } => Code::TooManyStreams,
            Self::HeadDeadline { .. } => Code::HeadDeadline,
            Self::HeadShed { .. } | Self::Unbegun | Self::Shed { .. } => Code::MemoryShort,
            Self::Path(_) => Code::UnsettledPath,
            Self::Misdirected { .. } => Code::Misdirected,
            Self::Connect => Code::MalformedHead,
            Self::NoRule { .. } => Code::NoRule,
            Self::Limited { over: Over::Rate(_), .. } => Code::RateLimited,
            Self::Limited { over: Over::Seats(_), .. } => Code::TooManyAtOnce,
            Self::WrongPassword { .. } => Code::WrongPassword,
            Self::PasswordsWaiting { .. } => Code::PasswordsWaiting,
            Self::Body(_) => Code::BrokenBody,
            Self::BodyDeadline { .. } => Code::BodyDeadline,
            Self::BodyTooLong { .. } => Code::BodyTooLong,
            Self::NoUpstream(error) => error.code(),
            Self::ResponseTimeout { .. } => Code::ResponseTimeout,
            Self::EndpointClosed { .. } => Code::EndpointClosed,
            Self::Answer { fault, .. } if fault.fault() == HeadFault::HeadTooLong => Code::AnswerTooLarge,
            Self::Answer { .. }
            | Self::AnswerBody { .. }
            | Self::NotSwitched { .. }
            | Self::Unasked { .. } => Code::MalformedAnswer,
            Self::AnswerCutShort { .. } => Code::AnswerCutShort,
        }
    }
}

fn waited(after: Option<Duration>) -> String {
    after.map_or_else(
        || ", and as many requests in line as there may be".to_owned(),
        |after| format!(" for {} s", after.as_secs_f32()),
    )
}

/// How long a body is, as far as that is known.
struct Length(Option<u64>);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(told) => write!(f, "one of {told} B"),
            None => f.write_str("more"),
        }
    }
}

fn of_class(class: Class) -> Code {
    match class {
        Class::Malformed => Code::MalformedHead,
        Class::AmbiguousFraming => Code::AmbiguousFraming,
        Class::UnknownCoding => Code::UnknownTransferCoding,
        Class::Host => Code::WrongHost,
        Class::TooLarge => Code::HeadTooLarge,
        Class::Tls => Code::TlsForHttp,
        Class::Version => Code::OtherHttpVersion,
    }
}

/// As much of a path or host as tells which one it was.
const SHOWN: usize = 128;
