//! A request tried without a socket: who would count as its client, which rule would end it, and why.
//!
//! The decision is not made a second time here. A trial's header goes through the parser and the trust of the listener,
//! its request through the head parser, the path normalisation and the rules, as those of a connection do.

mod asked;
mod explanation;
mod introduction;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use foreword::spp::Spp;
use foreword::{BuildError, Client, PeerAddr, Signature, Verdict, signature};
use foreword_http1::{NormalPath, RequestHead};
use foreword_rule::Facts;
use tokio::time::Instant;

pub use self::asked::{Asked, Field, Url};
pub use self::explanation::{ClientTold, Explanation, Outcome, PartTold, PathTold, RuleTold, TrustTold};
pub use self::introduction::Introduction;
use crate::admission::awaited::Awaited;
use crate::connection::error::ServeError;
use crate::connection::http::{Refused, limits, settle};
use crate::connection::identify::{Ends, identify};
use crate::connection::tcp::refuses_header;
use crate::datagram;
use crate::passwords::{Checked, Credentials};
use crate::plan::{Bind, DatagramHeaders, Listener, Mode, Plan};
use crate::policy::facts::{ConnectionFacts, HelloFacts, RequestFacts, TlsFacts};
use crate::policy::rules::{BasicAuth, Decision, Ending};
use crate::refusal::Code;

/// A connection that might come, and the request on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The listener's name; it may be left out where there is only one.
    pub listener: Option<Box<str>>,
    /// The other end of the socket.
    pub peer: PeerAddr,
    /// The header that the peer sends, if it sends one.
    pub introduction: Option<Introduction>,
    /// Whom the client called; without it, where the listener listens.
    pub destination: Option<SocketAddr>,
    /// The name in the TLS handshake; without it, the host of the request.
    pub sni: Option<Box<str>>,
    /// The request; none in tcp mode.
    pub request: Option<Asked>,
}

/// A trial that does not fit the plan.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no such listener.
    #[error("expected one of the listeners {known}, found {found}")]
    Listener {
        /// Those that there are.
        known: String,
        /// What the trial names.
        found: String,
    },
    /// The listener could not be asked so.
    #[error("listener `{listener}`: expected {expected}, found {found}")]
    Unfit {
        /// The listener's name.
        listener: Box<str>,
        /// What it can be asked.
        expected: &'static str,
        /// What the trial asks.
        found: &'static str,
    },
    /// No sender could write such a header.
    #[error("no sender can write this header: {0}")]
    Header(BuildError),
    /// The trial could not be run.
    #[error("the trial cannot run: {0}")]
    Runtime(std::io::Error),
}

impl Trial {
    /// Tries it.
    ///
    /// # Errors
    /// The trial does not fit the plan: what came of one that fits is in the explanation, refusals included.
    pub fn run(&self, plan: &Plan) -> Result<Explanation, TrialError> {
        let listener = self.listener(plan)?;
        self.check(listener)?;
        let local = PeerAddr::from(self.local(listener));
        let bytes = self.bytes(listener)?;
        let trust = TrustTold::of(listener, &self.peer);
        let mut told = Explanation::new(listener, &self.peer, trust);
        told.destination = self.destination;
        if listener.mode == Mode::Udp {
            self.try_datagram(listener, local, &bytes, &mut told);
            return Ok(told);
        }
        let (client, rest) = self.identified(listener, local, &bytes)?;
        match client.and_then(|client| headless(listener, client, &rest)) {
            Ok(client) => self.decide(listener, &client, &mut told),
            Err(error @ ServeError::Header(_)) if self.begins_with_payload(listener) => {
                let why = "expected a PROXY header, found payload without one";
                told.outcome = Outcome::refused(error.code(), &why, None);
            }
            Err(error) => told.outcome = Outcome::refused(error.code(), &error, None),
        }
        Ok(told)
    }

    /// The same for a datagram, where all that it says is there at once.
    fn try_datagram(&self, listener: &Listener, local: PeerAddr, bytes: &[u8], told: &mut Explanation) {
        let ends = datagram::Ends { peer: self.peer, local };
        let client = datagram::read(listener, &ends, bytes).and_then(|said| said.client(&ends));
        match client {
            Ok(client) => self.decide(listener, &client, told),
            Err(fault) if fault.is_a_missing_header() && self.begins_with_payload(listener) => {
                let why = "expected a header in front of the datagram, found payload without one";
                told.outcome = Outcome::refused(fault.code(), &why, None);
            }
            Err(fault) => told.outcome = Outcome::refused(fault.code(), &fault, None),
        }
    }

    /// Whether the first bytes stand for any payload, so that they themselves say nothing.
    fn begins_with_payload(&self, listener: &Listener) -> bool {
        self.introduction.is_none()
            && self.request.is_none()
            && listener.tls.is_none()
            && listener.mode != Mode::TlsPassthrough
    }

    fn listener<'p>(&self, plan: &'p Plan) -> Result<&'p Arc<Listener>, TrialError> {
        let found = match (&self.listener, &plan.listeners[..]) {
            (Some(name), _) => plan.listener(name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.ok_or_else(|| {
            let known: Vec<String> =
                plan.listeners.iter().map(|listener| format!("`{}`", listener.name)).collect();
            let found =
                self.listener.as_ref().map_or_else(|| "none named".to_owned(), |name| format!("`{name}`"));
            TrialError::Listener { known: known.join(", "), found }
        })
    }

    /// Whether the listener can be asked so at all.
    fn check(&self, listener: &Listener) -> Result<(), TrialError> {
        let unfit =
            |expected, found| Err(TrialError::Unfit { listener: listener.name.clone(), expected, found });
        match (listener.mode, &self.request, &listener.tls) {
            (Mode::Http, None, _) => unfit("a URL", "none"),
            (Mode::Tcp | Mode::TlsPassthrough, Some(_), _) => {
                unfit("no request, since bytes are forwarded as they come", "one")
            }
            (Mode::Udp, Some(_), _) => unfit("no request, since datagrams are forwarded as they come", "one"),
            (Mode::Http, Some(asked), Some(_)) if !asked.url.https => {
                unfit("`https://`, since TLS ends here", "`http://`")
            }
            (Mode::Http, Some(asked), None) if asked.url.https => {
                unfit("`http://`, since no TLS ends here", "`https://`")
            }
            (Mode::TlsPassthrough, None, _) => Ok(()),
            (_, _, None) if self.sni.is_some() => unfit("no SNI, since no TLS ends here", "one"),
            _ => Ok(()),
        }
    }

    /// Our end of the socket.
    fn local(&self, listener: &Listener) -> SocketAddr {
        let bound = listener.binds.iter().find_map(|bind| match bind {
            Bind::Inet(address) | Bind::Udp(address) => Some(*address),
            Bind::Unix(_) => None,
        });
        let loopback = match self.peer.ip() {
            Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        match (self.destination, bound) {
            (Some(destination), _) => destination,
            (None, Some(bound)) if bound.ip().is_unspecified() => SocketAddr::new(loopback, bound.port()),
            (None, Some(bound)) => bound,
            (None, None) => SocketAddr::new(loopback, 0),
        }
    }

    /// What the peer sends: its header if it sends one, and the beginning of what follows.
    fn bytes(&self, listener: &Listener) -> Result<Vec<u8>, TrialError> {
        let mut bytes = Vec::new();
        let simple = listener.mode == Mode::Udp && listener.header.datagrams == DatagramHeaders::Spp;
        if let Some(client) =
            self.introduction.as_ref().and_then(|introduction| introduction.client).filter(|_| simple)
        {
            bytes.extend_from_slice(&Spp { client, proxy: self.local(listener) }.encode());
        } else if let Some(introduction) = &self.introduction {
            introduction.write(self.local(listener), &mut bytes).map_err(TrialError::Header)?;
        }
        match (&listener.tls, &self.request) {
            _ if listener.mode == Mode::TlsPassthrough => bytes.extend_from_slice(CLIENT_HELLO),
            (Some(_), _) => bytes.extend_from_slice(CLIENT_HELLO),
            (None, Some(asked)) => bytes.extend_from_slice(asked.head().as_bytes()),
            (None, None) => bytes.extend_from_slice(PAYLOAD),
        }
        Ok(bytes)
    }

    /// Whose connection it is, and the bytes behind the header. The real room is asked; since every byte is there already,
    /// it never waits. A thread of its own lets a caller ask from inside a runtime as well.
    fn identified(
        &self,
        listener: &Listener,
        local: PeerAddr,
        bytes: &[u8],
    ) -> Result<(Result<Client, ServeError>, Vec<u8>), TrialError> {
        let identified = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            Ok(runtime.block_on(async {
                let (mut stream, mut rest) = (bytes, Vec::new());
                let ends = Ends { peer: &self.peer, local: &local, accepted: Instant::now() };
                let client = identify(&mut stream, listener, &Awaited::default(), ends, &mut rest).await;
                rest.extend_from_slice(stream);
                (client, rest)
            }))
        };
        std::thread::scope(|scope| match scope.spawn(identified).join() {
            Ok(identified) => identified.map_err(TrialError::Runtime),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn decide(&self, listener: &Listener, client: &Client, told: &mut Explanation) {
        told.client = Some(ClientTold::introduced(client));
        let tls = listener.tls.as_ref().map(|_| self.tls(listener.mode));
        let hello = (listener.mode == Mode::TlsPassthrough).then(|| HelloFacts {
            sni: self.sni.as_ref().map(|name| name.to_ascii_lowercase().into()),
            alpn: None,
        });
        let connection = ConnectionFacts { client, tls: tls.as_ref(), hello: hello.as_ref() };
        told.sni = connection.sni().map(Into::into);
        let Some(asked) = &self.request else {
            // Nobody is asked for a password where there is no request.
            told.outcome = decide(listener, &mut { connection }, told, |_, _| false);
            return;
        };
        let (head, mut index, mut path) = (asked.head(), RequestHead::default(), NormalPath::default());
        let settled = index
            .parse(head.as_bytes(), &limits(listener))
            .map_err(Refused::from)
            .and_then(|()| settle(&index.view(head.as_bytes()), &mut path, listener, tls.as_ref()));
        if let Err(refused) = settled {
            told.outcome = Outcome::refused(Some(refused.code()), &refused, Some(refused.status()));
            return;
        }
        let trust = listener.trust.as_ref().filter(|trust| connection.may_forward(Some(trust)));
        let mut facts =
            RequestFacts::new(connection, index.view(head.as_bytes()), &path, trust, connection.is_secure());
        if let Some((ip, port)) = facts.believed.and_then(|believed| believed.client) {
            told.client = Some(ClientTold::forwarded(ip, port));
        }
        told.path = Some(PathTold::of(asked.url.target(), &path));
        told.outcome = decide(listener, &mut facts, told, |facts, basic| {
            let field = facts.request.field("authorization").next();
            let said = field.and_then(Credentials::read);
            match said.map(|credentials| basic.passwords.check_here(&credentials)) {
                Some(Checked::Right(user)) => facts.user = Some(user),
                _ => return false,
            }
            true
        });
    }

    /// What a handshake with a present-day client would settle.
    fn tls(&self, mode: Mode) -> TlsFacts {
        let host = || self.request.as_ref().and_then(|asked| asked.url.server_name());
        TlsFacts {
            sni: self.sni.clone().or_else(host).map(|name| name.to_ascii_lowercase().into()),
            alpn: (mode == Mode::Http).then(|| b"http/1.1"[..].into()),
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            group: Some("x25519"),
            client: None,
            certificate: None,
        }
    }
}

/// A header where TLS, a request or payload should follow.
fn headless(listener: &Listener, client: Client, rest: &[u8]) -> Result<Client, ServeError> {
    let in_place = match (&listener.tls, listener.mode) {
        (Some(_), _) => false,
        (None, Mode::TlsPassthrough) => false,
        (None, Mode::Tcp | Mode::Udp) => !refuses_header(listener, &client),
        // `PROXY` may be a method as well: what is a request is one.
        (None, Mode::Http) => RequestHead::default().parse(rest, &limits(listener)).is_ok(),
    };
    match signature(rest) == Signature::Whole && !in_place {
        true => Err(ServeError::HeaderAsPayload { second: client.header.is_some() }),
        false => Ok(client),
    }
}

/// Asks the rules, and tells of each that was asked.
///
/// `know` finds out who the client is, adds that to the facts, and says whether it could.
fn decide<'l, F: Facts>(
    listener: &'l Listener,
    facts: &mut F,
    told: &mut Explanation,
    know: impl Fn(&mut F, &'l BasicAuth) -> bool,
) -> Outcome {
    // Nobody comes too often who does not come.
    let mut decision = listener.rules.decide(facts, |_| Ok(()), &mut |_| {});
    while let Ending::Authenticate(basic) = decision.ending
        && know(facts, basic)
    {
        decision = listener.rules.go_on(decision, facts, |_| Ok(()), &mut |_| {});
    }
    let (facts, Decision { rule, ending, .. }) = (&*facts, decision);
    for asked in listener.rules.iter() {
        told.rules.push(RuleTold::of(asked, facts));
        if rule.is_some_and(|rule| std::ptr::eq(rule, asked)) {
            break;
        }
    }
    told.rule = rule.map(|rule| rule.name.clone());
    let by_rule = || ServeError::Rule { rule: rule.map(|rule| rule.name.clone()).unwrap_or_default() };
    let http = listener.mode == Mode::Http;
    match ending {
        Ending::Forward(cluster) => Outcome::Forwarded { cluster: cluster.name.clone() },
        Ending::Authenticate(_) => Outcome::Answered { status: 401 },
        Ending::Deny { status } if http => Outcome::Answered { status: *status },
        Ending::Limited { .. } | Ending::Deny { .. } | Ending::Close => {
            Outcome::refused(Some(Code::RefusedByRule), &by_rule(), None)
        }
        Ending::Respond(respond) => Outcome::Answered { status: respond.status },
        Ending::Redirect { status, to } => {
            let mut location = Vec::new();
            to.write(facts, &mut location);
            // A template writes nothing but ASCII of its values, and its text came from a file in UTF-8.
            Outcome::Redirected { status: *status, location: String::from_utf8_lossy(&location).into_owned() }
        }
        Ending::NoMatch if http => {
            let refused = Refused::no_rule(facts);
            Outcome::refused(Some(refused.code()), &refused, Some(refused.status()))
        }
        Ending::NoMatch => Outcome::refused(ServeError::NoRule.code(), &ServeError::NoRule, None),
    }
}

/// How a group judges, for those who are told of it.
fn group_of<'t>(verdict: &Verdict<'t>) -> Option<&'t foreword::Group> {
    match verdict {
        Verdict::Proxy(proxy) | Verdict::Either(proxy) => Some(proxy.group()),
        Verdict::Direct(group) => *group,
        Verdict::Stranger => None,
    }
}

/// The first bytes of a TLS ClientHello: enough to be told apart from a header.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
/// What no protocol begins with.
const PAYLOAD: &[u8] = b"\x00trial";
