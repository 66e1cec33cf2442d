//! One request, from its first byte to the last of its answer.

use std::fmt;
use std::net::SocketAddr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::pin;
use std::sync::Arc;

use foreword::{ClientAddr, Signature, signature};
use foreword_http1::{Framing, HeadEnd, Limits, NormalPath, Request, Version};
use foreword_tokio::write_together;
use tokio::time::Instant;

use self::Whom::{Finished, Unfinished, Unread};
use super::answer::Local;
use super::auth;
use super::changes::Changes;
use super::fields::{Asked, Persistence};
use super::forward::{self, Tools};
use super::refused::Refused;
use super::request_id::{RequestId, trace_id};
use super::respond::said;
use super::settled::{limits, settle};
use super::shelf::{Desk, Shelf};
use super::{Spoken, Talk};
use crate::alarm::patience::Over;
use crate::connection::Connection;
use crate::connection::record::{Fill, Head, HttpVersion, Outcome, Record, RequestRecord, Side};
use crate::observe::Name;
use crate::policy::bound::Bound;
use crate::policy::cluster::Cluster;
use crate::policy::facts::RequestFacts;
use crate::policy::rules::{Decision, Ending, Respond, Rule};
use crate::refusal::{Code, Refusal};
use crate::stream::Carried;

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum After {
    /// Another request may come.
    NextRequest,
    /// The answer was the last, and the client must live to read it, whatever it still says.
    Linger,
    /// The same, to a client that has yet to send the rest of its request: it may listen only when all is said.
    HearOut,
    /// Both sides are done, or the client is gone.
    Close,
    /// The answer is not whole, and nobody must take it for whole.
    Cut,
}

/// Serves the request whose first bytes have come.
pub(super) async fn serve<S: Carried>(talk: &mut Talk<'_, S>, record: &Record) -> After {
    let shelf = &talk.worker.shelf;
    let mut desk = shelf.desk();
    let mut note = record.request();
    let after = match read_head(talk, &mut desk, &mut note).await {
        Ok(()) => serve_at(&mut desk, talk, note).await,
        Err(NoHead::Refused(refused)) => refuse(talk, Unread, refused, note, &mut desk.to_client).await,
        Err(NoHead::Shed(refused)) => {
            // Nothing is said: words would be held as well, for as long as they are not taken.
            note.close(Outcome::Refused(refused.refusal()));
            After::Cut
        }
        Err(NoHead::Gone) => {
            note.close(Outcome::Aborted(Side::Downstream));
            After::Close
        }
    };
    shelf.keep(desk);
    after
}

/// A request whose head was told, with all that is known of it before anything has to be waited for.
pub(in crate::connection) struct Told<'r> {
    desk: Box<Desk>,
    note: RequestRecord<'r>,
    /// Boxed, since it is large and most requests have none.
    refused: Option<Box<Refused>>,
}

impl<'r> Told<'r> {
    /// Takes a head that `write_head` writes as HTTP/1.1 would. It is parsed as if it had come so: what is refused there is
    /// refused here.
    pub(super) fn take(
        mut desk: Box<Desk>,
        limits: &Limits,
        write_head: impl FnOnce(&mut Vec<u8>) -> Result<(), Refused>,
        record: &'r Record,
    ) -> Self {
        let mut note = record.request();
        let Desk { head, request, .. } = &mut *desk;
        head.clear();
        let told = write_head(head).and_then(|()| {
            if request.parse_at_once(head, limits) == Some(head.len()) {
                return Ok(());
            }
            HeadEnd::request().find(head, limits)?;
            Ok(request.parse(head, limits)?)
        });
        if told.is_ok() {
            note.received(head.len() as u64);
        } else {
            // Nothing of it is looked at again, and whoever sent it may be slow to read why.
            *head = Vec::new();
        }
        Self { desk, note, refused: told.err().map(Box::new) }
    }

    /// How long the head is that is held for as long as it is served.
    pub(in crate::connection) fn head_len(&self) -> usize {
        self.desk.head.len()
    }
}

/// Serves a request whose head was told.
pub(super) async fn serve_told<S: Carried>(talk: &mut Talk<'_, S>, told: Told<'_>) -> After {
    let Told { mut desk, note, refused } = told;
    let after = match refused {
        None => serve_at(&mut desk, talk, note).await,
        Some(refused) => refuse(talk, Unread, *refused, note, &mut desk.to_client).await,
    };
    talk.worker.shelf.keep(desk);
    after
}

/// Closes the record of a request whose head was told, and which is not served.
pub(super) fn leave_out(shelf: &Shelf, told: Told<'_>, why: Option<Refused>) {
    let Told { desk, mut note, refused } = told;
    if refused.is_none() {
        note_head(&desk.request.view(&desk.head), Spoken::Http2, &mut note);
    }
    let refused = refused.map(|refused| *refused).or(why);
    note.close(match &refused {
        Some(refused) => Outcome::Refused(refused.refusal()),
        None => Outcome::Aborted(Side::Downstream),
    });
    shelf.keep(desk);
}

async fn serve_at<S: Carried>(desk: &mut Desk, talk: &mut Talk<'_, S>, mut note: RequestRecord<'_>) -> After {
    let Desk { head, request, path, response, location, to_endpoint, to_client } = desk;
    let request = request.view(head);
    note_head(&request, talk.spoken, &mut note);
    if let Err(refused) = settle(&request, path, &talk.connection.listener, talk.connection.tls.as_deref()) {
        return Box::pin(refuse(talk, Unread, refused, note, to_client)).await;
    }
    let connection = talk.connection;
    if let Some(said) = talk.worker.challenges.on_path(path.target()) {
        let asked = talk.asked(talk.facts(request, path), Changes::default());
        return Box::pin(answer(talk, &asked, Local::proof(&said), note, to_client)).await;
    }
    // Given back when the request is over.
    let mut seats = Vec::new();
    let asked;
    // A block of its own: of what leads to a decision nothing is kept while the request is forwarded.
    let cluster = {
        let mut facts = talk.facts(request, path);
        let mut changes = Changes::default();
        let ask = |bound: &Bound| bound.ask(&facts, || Instant::now().into_std(), &mut seats);
        let mut decision = connection.listener.rules.decide(&facts, ask, &mut |change| changes.push(change));
        let mut refused = None;
        if let Ending::Authenticate(_) = decision.ending {
            // Boxed, since few requests have to wait here.
            let rules = &connection.listener.rules;
            let known = auth::settle(rules, decision, &mut facts, &mut seats, &mut changes);
            (decision, refused) = Box::pin(known).await;
        }
        asked = talk.asked(facts, changes);
        note_decision(&asked, decision.rule, &mut note);
        note.log(asked.changes.terms().log.unwrap_or_default());
        match End::of(&asked, decision, refused, location) {
            Continue(cluster) => cluster,
            Break(end) => return Box::pin(end_here(talk, &asked, end, note, to_client)).await,
        }
    };
    let tools = Tools { response, to_endpoint, to_client };
    forward::forward(talk, &asked, cluster, tools, note).await
}

/// Ends a request that is not forwarded.
async fn end_here<S: Carried>(
    talk: &mut Talk<'_, S>,
    asked: &Asked<'_>,
    end: End<'_>,
    mut note: RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> After {
    let refused = match end {
        End::Answer(local) => return answer(talk, asked, local, note, out).await,
        End::Respond(respond) => {
            let seats = talk.worker.shelf.encoders.shared(talk.own_seats);
            let local = said(respond, asked, seats, &mut note).await;
            return answer(talk, asked, local, note, out).await;
        }
        End::Close { rule } => {
            note.close(Outcome::Refused(Refusal::new(Code::RefusedByRule, &ByRule(rule))));
            return After::Close;
        }
        End::Deny { rule, status } => {
            let whom = Whom::unanswered(talk, asked);
            let after = say(talk, whom, Local::page(status), &mut note, out).await;
            note.close(Outcome::Refused(Refusal::new(Code::RefusedByRule, &ByRule(rule))));
            return after;
        }
        End::Refuse(refused) => refused,
    };
    let whom = Whom::unanswered(talk, asked);
    refuse(talk, whom, refused, note, out).await
}

/// What becomes of a request that is not forwarded.
enum End<'a> {
    Close { rule: &'a str },
    Deny { rule: &'a str, status: u16 },
    Answer(Local<'a>),
    Respond(&'a Respond),
    Refuse(Refused),
}

impl<'a> End<'a> {
    /// What the rules decided: a cluster to go on to, or an end. Where they asked who somebody is and that came to nothing,
    /// `refused` says why. A target that is made from a template is written to `location`.
    fn of(
        asked: &'a Asked<'_>,
        decision: Decision<'a>,
        refused: Option<Refused>,
        location: &'a mut Vec<u8>,
    ) -> ControlFlow<Self, &'a Arc<Cluster>> {
        let Decision { rule, ending, over, .. } = decision;
        let rule = rule.map_or("", |rule| &rule.name);
        Break(match ending {
            Ending::Forward(cluster) => return Continue(cluster),
            Ending::Close => Self::Close { rule },
            Ending::Limited { status } if let Some(over) = over => {
                Self::Refuse(Refused::Limited { rule: rule.into(), status: *status, over })
            }
            Ending::NoMatch | Ending::Limited { .. } => Self::Refuse(Refused::no_rule(&asked.facts)),
            Ending::Authenticate(basic) => {
                refused.map_or_else(|| Self::Answer(Local::challenge(&basic.challenge)), Self::Refuse)
            }
            Ending::Deny { status } => Self::Deny { rule, status: *status },
            Ending::Redirect { status, to } => {
                location.clear();
                to.write(&asked.facts, location);
                Self::Answer(Local::redirect(*status, location))
            }
            Ending::Respond(respond) => Self::Respond(respond),
        })
    }
}

/// What is told of a request that the rule of this name wants refused.
struct ByRule<'a>(&'a str);

impl fmt::Display for ByRule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused by rule `{}`", self.0)
    }
}

/// Why there is no head.
enum NoHead {
    Refused(Refused),
    /// Memory is short.
    Shed(Refused),
    Gone,
}

impl<E: Into<Refused>> From<E> for NoHead {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Reads a head onto the desk. The deadline counts from its first byte, so dripping does not help.
async fn read_head<S: Carried>(
    talk: &mut Talk<'_, S>,
    desk: &mut Desk,
    note: &mut RequestRecord<'_>,
) -> Result<(), NoHead> {
    let listener = &talk.connection.listener;
    let limits = limits(listener);
    if signature(talk.buffer.bytes()) == Signature::Absent
        && let Some(len) = desk.request.parse_at_once(talk.buffer.bytes(), &limits)
    {
        take_head(talk, desk, note, len);
        return Ok(());
    }
    let begun = Instant::now();
    let deadline = begun + listener.timeout.head;
    let mut end = HeadEnd::request();
    let mut is_all = false;
    loop {
        let bytes = talk.buffer.bytes();
        let found = match signature(bytes) {
            Signature::Whole => {
                return Err(Refused::Header { second: talk.connection.client.header.is_some() }.into());
            }
            // Whatever it becomes, it has one name however it was split (R-SEC-11).
            Signature::Begun if !is_all => None,
            Signature::Begun | Signature::Absent => end.find(bytes, &limits)?,
        };
        if let Some(len) = found {
            desk.request.parse(bytes.get(..len).unwrap_or_default(), &limits)?;
            note.has_waited();
            take_head(talk, desk, note, len);
            return Ok(());
        }
        if is_all {
            return Err(NoHead::Gone);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = {
            let fill = pin!(talk.buffer.fill(&mut talk.stream, limits.head));
            let fill = pin!(talk.patience.within(left, fill));
            talk.connection.drain.while_borne(begun, fill).await
        };
        match waited {
            Ok(Ok(Ok(1..))) => {}
            Ok(Ok(Ok(0))) => is_all = true,
            Ok(Ok(Err(_))) => return Err(NoHead::Gone),
            Ok(Err(Over)) => {
                let found = talk.buffer.bytes().len();
                return Err(Refused::HeadDeadline { after: listener.timeout.head, found }.into());
            }
            Err(after) => {
                let found = talk.buffer.bytes().len();
                return Err(NoHead::Shed(Refused::HeadShed { after, found }));
            }
        }
    }
}

/// Takes the head that was parsed apart from what follows it.
fn take_head<S>(talk: &mut Talk<'_, S>, desk: &mut Desk, note: &mut RequestRecord<'_>, len: usize) {
    desk.head.clear();
    desk.head.extend_from_slice(talk.buffer.bytes().get(..len).unwrap_or_default());
    talk.buffer.consume(len);
    note.received(len as u64);
}

impl<'c, S> Talk<'c, S> {
    fn facts<'r>(&self, request: Request<'r>, path: &'r NormalPath) -> RequestFacts<'r>
    where
        'c: 'r,
    {
        let connection = self.connection.facts();
        let forwarders = self.connection.listener.trust.as_ref().filter(|_| self.may_forward);
        RequestFacts::new(connection, request, path, forwarders, self.is_secure)
    }

    /// A request of which is known what it is, and what rules change about it.
    fn asked<'r>(&self, facts: RequestFacts<'r>, changes: Changes<'r>) -> Asked<'r>
    where
        'c: 'r,
    {
        let request = facts.request;
        let id_field = &*self.connection.listener.request_id.field;
        let id = RequestId::of(&request, id_field, self.may_forward);
        // Over HTTP/2 nobody asks for another protocol but by CONNECT, RFC 8441 §4.
        let must_switch = self.spoken == Spoken::Http2 && request.connection().upgrade;
        Asked { facts, changes, id, must_switch, id_field }
    }

    /// Whether what is left of the request can be passed over without reading: then the connection can go on.
    pub(super) fn skip_body(&mut self, framing: Framing) -> bool {
        match framing {
            Framing::None => true,
            Framing::Length(length) => {
                let at_hand =
                    usize::try_from(length).ok().filter(|&length| length <= self.buffer.bytes().len());
                at_hand.inspect(|&length| self.buffer.consume(length)).is_some()
            }
            Framing::Chunked | Framing::UntilClose => false,
        }
    }
}

/// Whom an answer of our own is for, and whether the connection can go on behind it.
#[derive(Clone, Copy)]
pub(super) enum Whom<'a, 'r> {
    /// Someone whose request could not be read.
    Unread,
    /// Someone of whose request there is more to come than anybody wants to read.
    Unfinished(&'a Asked<'r>),
    /// Someone whose request is read to its end.
    Finished(&'a Asked<'r>),
}

impl<'a, 'r> Whom<'a, 'r> {
    /// Passes over the body of a request of which nothing was used yet, if it is at hand.
    pub(super) fn unanswered<S>(talk: &mut Talk<'_, S>, asked: &'a Asked<'r>) -> Self {
        if talk.skip_body(asked.request().framing()) { Finished(asked) } else { Unfinished(asked) }
    }

    fn asked(self) -> Option<&'a Asked<'r>> {
        match self {
            Unread => None,
            Unfinished(asked) | Finished(asked) => Some(asked),
        }
    }
}

/// Gives an answer of our own.
async fn answer<S: Carried>(
    talk: &mut Talk<'_, S>,
    asked: &Asked<'_>,
    local: Local<'_>,
    mut note: RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> After {
    let whom = Whom::unanswered(talk, asked);
    let after = say(talk, whom, local, &mut note, out).await;
    note.close(match after {
        After::Cut => Outcome::Aborted(Side::Downstream),
        _ => Outcome::Complete,
    });
    after
}

/// Refuses a request with the page of its status, and tells why to the log alone.
pub(super) async fn refuse<S: Carried>(
    talk: &mut Talk<'_, S>,
    whom: Whom<'_, '_>,
    refused: Refused,
    mut note: RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> After {
    let after = say(talk, whom, Local::of(&refused), &mut note, out).await;
    let Connection { listener, client, .. } = talk.connection;
    let trust = refused.is_a_header().then(|| listener.forbidding_group(&client.peer)).flatten();
    note.close(Outcome::Refused(Refusal { trust, ..refused.refusal() }));
    after
}

/// Refuses a request that came to nothing on the way to `cluster`.
pub(super) async fn refuse_for<S: Carried>(
    talk: &mut Talk<'_, S>,
    whom: Whom<'_, '_>,
    refused: Refused,
    cluster: &str,
    mut note: RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> After {
    let after = say(talk, whom, Local::of(&refused), &mut note, out).await;
    note.close(Outcome::Refused(refused.refusal_for(cluster, whom.asked())));
    after
}

/// Writes an answer of our own.
async fn say<S: Carried>(
    talk: &mut Talk<'_, S>,
    whom: Whom<'_, '_>,
    local: Local<'_>,
    note: &mut RequestRecord<'_>,
    out: &mut Vec<u8>,
) -> After {
    let goes_on = match whom {
        Finished(asked) => asked.request().keeps_alive() && !talk.connection.drain.is_retired(),
        Unread | Unfinished(_) => false,
    };
    let persistence = if goes_on { Persistence::KeepAlive } else { Persistence::Close };
    let (asked, listener) = (whom.asked(), &talk.connection.listener);
    let local = local.showing(|status| {
        let of_rule = asked.and_then(|asked| asked.changes.error_page(status));
        of_rule.or_else(|| listener.error_pages.find(status))
    });
    let head = local.write(asked, persistence, &talk.worker.shelf.date, out);
    note.status(local.status);
    let (first, rest) = local.rest(asked).split_at_checked(PIECE).unwrap_or((local.rest(asked), &[]));
    let pieces = std::iter::once([&out[..], first]).chain(rest.chunks(PIECE).map(|piece| [piece, &[]]));
    for piece in pieces {
        let writing = pin!(write_together(&mut talk.stream, piece));
        let Ok(Ok(())) = talk.patience.within(listener.timeout.idle, writing).await else {
            return After::Cut;
        };
        note.sent(piece.iter().map(|part| part.len() as u64).sum());
    }
    note.head_sent(head as u64);
    match whom {
        Unfinished(_) => After::HearOut,
        Finished(_) if goes_on => After::NextRequest,
        Unread | Finished(_) => After::Linger,
    }
}

/// What of a long answer a client must take within `timeout.idle`.
const PIECE: usize = 16 * 1024;

fn note_head(request: &Request<'_>, spoken: Spoken, note: &mut RequestRecord<'_>) {
    let head = Head {
        method: request.method().as_bytes(),
        target: request.raw_target().as_bytes(),
        version: match (spoken, request.version()) {
            (Spoken::Http2, _) => HttpVersion::Http2,
            (Spoken::Http1, Version::Http10) => HttpVersion::Http10,
            (Spoken::Http1, Version::Http11) => HttpVersion::Http11,
        },
    };
    note.head(&head, |name| request.field(name).next());
}

fn note_decision(asked: &Asked<'_>, rule: Option<&Rule>, note: &mut RequestRecord<'_>) {
    if let Some((ip, port)) = asked.facts.believed.and_then(|believed| believed.client) {
        note.client(ClientAddr::Inet(SocketAddr::new(ip, port.unwrap_or_default())));
    }
    let path = asked.facts.path;
    note.text(Name::Path, path.matched().as_bytes());
    if let Some(query) = path.query() {
        note.text(Name::Query, query.as_bytes());
    }
    note.text(Name::Host, asked.request().host().as_bytes());
    if let Some(user) = asked.facts.user {
        note.text(Name::User, user.as_bytes());
    }
    note.text(Name::RequestId, asked.id.as_bytes());
    if let Some(id) = trace_id(&asked.request()) {
        note.text(Name::TraceId, id);
    }
    if let Some(rule) = rule {
        note.rule(&rule.name);
    }
}
