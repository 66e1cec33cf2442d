//! Where the gateway answers for itself: `/metrics`, `/clusters`, `/healthz` and `/readyz`, by default on a unix socket; and
//! where endpoints are drained by hand.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foreword_http1::{HeadEnd, Limits, RequestHead};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use crate::admission::awaited::Awaited;
use crate::observe::Observer;
use crate::plan::{AdminPlan, Bind, Plan};
use crate::sockets::{self, Beside, BindError, Socket, SocketFile};
use crate::stream::linger::{LAST_WORDS, close_lingering};
use crate::upstream::membership::{ClusterState, States};
use crate::upstream::state::EndpointState;

/// What becomes of the admin socket with a new plan.
#[derive(Debug)]
pub(crate) enum Change {
    /// The plan wants the one that there is.
    Stays,
    /// The plan wants another one, or none.
    Becomes(Option<(Admin, Door)>),
}

impl Change {
    /// Binds the admin socket of `plan` unless it is the one that there is. Nothing else changes yet.
    pub(crate) fn prepare(
        plan: &Plan,
        current: Option<&Door>,
        observer: &Arc<Observer>,
        states: &Arc<States>,
    ) -> Result<Self, BindError> {
        let Some(wanted) = &plan.admin else { return Ok(Self::Becomes(None)) };
        if current.is_some_and(|door| door.wanted == *wanted) {
            return Ok(Self::Stays);
        }
        let mut bound = sockets::bind(&wanted.bind, 1, Beside::Nobody)?;
        let (observer, states) = (Arc::clone(observer), Arc::clone(states));
        let admin = Admin { socket: bound.sockets.pop(), observer, states };
        let door = Door { wanted: wanted.clone(), address: bound.address, _file: bound.file };
        Ok(Self::Becomes(Some((admin, door))))
    }
}

/// The admin socket as its plan has it, as it came out, and its file. Owner and group may connect to it there.
#[derive(Debug)]
pub(crate) struct Door {
    wanted: AdminPlan,
    address: Bind,
    _file: Option<SocketFile>,
}

impl Door {
    /// Where it listens.
    pub(crate) fn address(&self) -> &Bind {
        &self.address
    }
}

/// The admin socket, bound and not yet served.
#[derive(Debug)]
pub(crate) struct Admin {
    socket: Option<Socket>,
    observer: Arc<Observer>,
    states: Arc<States>,
}

impl Admin {
    /// Answers until it is dropped. It must run on a `LocalRuntime`.
    pub(crate) async fn serve(self) {
        let (asking, answered) = (Awaited::default(), Awaited::default());
        let desk = Rc::new(Desk { observer: self.observer, states: self.states, asking, answered });
        let served = match self.socket {
            Some(Socket::Tcp(listener)) => serve_tcp(listener, &desk).await,
            Some(Socket::Unix(listener)) => serve_unix(listener, &desk).await,
            Some(Socket::Udp(_)) | None => Ok(()),
        };
        if let Err(error) = served {
            tracing::error!("admin: expected to listen, found {error}");
        }
    }
}

async fn serve_tcp(listener: std::net::TcpListener, desk: &Rc<Desk>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => desk.admit(stream),
            Err(error) => rest(&error).await,
        }
    }
}

async fn serve_unix(listener: std::os::unix::net::UnixListener, desk: &Rc<Desk>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => desk.admit(stream),
            Err(error) => rest(&error).await,
        }
    }
}

/// An accept that fails says that descriptors are out or a peer has left: neither is better at once.
async fn rest(error: &io::Error) {
    tracing::debug!("admin: expected a connection, found {error}");
    tokio::time::sleep(PAUSE).await;
}

struct Desk {
    observer: Arc<Observer>,
    states: Arc<States>,
    /// Those whose request is not whole.
    asking: Awaited,
    /// Those who have not taken their whole answer.
    answered: Awaited,
}

impl Desk {
    /// Answers one connection beside the others. Where too many come, the oldest makes room: whoever holds places in silence
    /// keeps nobody out.
    fn admit<S: AsyncRead + AsyncWrite + Unpin + 'static>(self: &Rc<Self>, stream: S) {
        let desk = Rc::clone(self);
        spawn_local(async move {
            // Who asks too slowly, or goes away, gets no answer.
            let _ended = timeout(PATIENCE, answer(stream, &desk)).await;
        });
    }
}

/// One request, one answer, and the connection is closed.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, desk: &Desk) -> io::Result<()> {
    let mut seat = desk.asking.sit(Instant::now(), MAX_CONNECTIONS);
    let reply = tokio::select! {
        reply = ask(&mut stream, desk) => reply?,
        () = seat.evicted() => return Ok(()),
    };
    drop(seat);
    let Some(reply) = reply else { return Ok(()) };
    let mut seat = desk.answered.sit(Instant::now(), MAX_CONNECTIONS);
    let taken = async {
        stream.write_all(&reply.bytes()).await?;
        close_lingering(&mut stream, LAST_WORDS).await;
        Ok(())
    };
    tokio::select! {
        taken = taken => taken,
        () = seat.evicted() => Ok(()),
    }
}

/// Reads a request and finds the answer; `None` if the peer left before it was whole.
async fn ask(stream: &mut (impl AsyncRead + Unpin), desk: &Desk) -> io::Result<Option<Reply>> {
    let mut buffer = Vec::with_capacity(1024);
    let mut end = HeadEnd::request();
    let limits = Limits { head: MAX_HEAD, ..Limits::default() };
    loop {
        match end.find(&buffer, &limits) {
            Ok(Some(len)) => return Ok(Some(reply(buffer.get(..len).unwrap_or_default(), &limits, desk))),
            Ok(None) => {}
            Err(error) => return Ok(Some(Reply::text(error.status(), "malformed request\n"))),
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn reply(head: &[u8], limits: &Limits, desk: &Desk) -> Reply {
    let mut request = RequestHead::default();
    if let Err(error) = request.parse(head, limits) {
        return Reply::text(error.status(), "malformed request\n");
    }
    let request = request.view(head);
    let is_head = request.method() == "HEAD";
    let target = request.raw_target();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if let Some(order) = DrainOrder::read(path) {
        return match request.method() {
            // A page of another site must not have a browser do what only its user could.
            "POST" if request.field("origin").next().is_some() => {
                Reply::text(403, "not from a page of another site\n")
            }
            "POST" => order.carry_out(&desk.states),
            _ => Reply { allow: "POST", ..Reply::text(405, "only POST\n") },
        };
    }
    if request.method() != "GET" && !is_head {
        return Reply { allow: "GET, HEAD", ..Reply::text(405, ONLY_GET) };
    }
    let reply = match path {
        "/metrics" => metrics(&desk.observer),
        "/clusters" => clusters(&desk.states),
        "/healthz" => Reply::text(200, "ok\n"),
        "/readyz" if desk.observer.is_ready() => Reply::text(200, "ready\n"),
        "/readyz" => Reply::text(503, "draining\n"),
        _ => Reply::text(
            404,
            "there are /metrics, /clusters, /healthz and /readyz, and /clusters/NAME/endpoints/ADDRESS/drain and …/undrain\n",
        ),
    };
    Reply { is_head, ..reply }
}

fn metrics(observer: &Arc<Observer>) -> Reply {
    let mut text = String::new();
    match observer.write_metrics(&mut text) {
        Ok(()) => Reply { content_type: OPEN_METRICS, ..Reply::text(200, &text) },
        Err(error) => Reply::text(500, &format!("expected metrics, found {error}\n")),
    }
}

/// Every cluster and its endpoints: whether each is up, and if not, why.
fn clusters(states: &States) -> Reply {
    let cluster = |cluster: &Arc<ClusterState>| {
        json!({
            "name": cluster.name,
            "endpoints": cluster.members().iter().map(endpoint).collect::<Vec<_>>(),
        })
    };
    let all: Vec<_> = states.all().iter().map(cluster).collect();
    Reply::json(&json!({ "clusters": all }))
}

fn endpoint(state: &Arc<EndpointState>) -> Value {
    json!({
        "address": state.address.to_string(),
        "state": state.condition().as_str(),
        "why": state.why(),
        "drained_by": state.drained_by(),
        "up_again_for_seconds": state.usable_for().filter(|_| state.is_up()).map(|time| time.as_secs()),
    })
}

/// An endpoint that is to get nothing new, or to be let come back.
struct DrainOrder {
    cluster: String,
    address: String,
    drains: bool,
}

impl DrainOrder {
    /// Reads `/clusters/NAME/endpoints/ADDRESS/drain`; a `/` in an address is written `%2F`.
    fn read(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/clusters/")?.split('/');
        let (cluster, word, address, order) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let drains = match order {
            "drain" => true,
            "undrain" => false,
            _ => return None,
        };
        let is_whole = word == "endpoints" && parts.next().is_none();
        is_whole.then_some(Self { cluster: decoded(cluster)?, address: decoded(address)?, drains })
    }

    fn carry_out(&self, states: &States) -> Reply {
        let Self { cluster, address, drains } = self;
        let Some(state) = states.drain(cluster, address, *drains) else {
            return Reply::text(404, "there is no such endpoint; /clusters shows those that there are\n");
        };
        let done = if *drains { "drains" } else { "is let come back" };
        tracing::info!(
            "cluster `{cluster}`: endpoint {} {done}, as somebody at the admin socket said",
            state.address
        );
        Reply::json(&endpoint(&state))
    }
}

/// A part of a path without its percent-encoding.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    is_head: bool,
    /// With 405, what would be.
    allow: &'static str,
}

impl Reply {
    fn text(status: u16, body: &str) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, body: body.into(), is_head: false, allow: "" }
    }

    fn json(value: &Value) -> Self {
        Self { content_type: JSON, ..Self::text(200, &format!("{value:#}\n")) }
    }

    fn bytes(&self) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let allow = match self.allow {
            "" => String::new(),
            allow => format!("Allow: {allow}\r\n"),
        };
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}Connection: \
             close\r\n\r\n",
            self.status,
            reason.unwrap_or_default(),
            self.content_type,
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        if !self.is_head {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

const ONLY_GET: &str =
    "only GET and HEAD; POST is for /clusters/NAME/endpoints/ADDRESS/drain and …/undrain\n";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// From accept until the answer is taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// A scraper or two and somebody who looks; more than that is a mistake, and the oldest makes room.
const MAX_CONNECTIONS: usize = 32;
/// Scrapers send a few hundred bytes.
const MAX_HEAD: usize = 8 * 1024;
const PAUSE: Duration = Duration::from_millis(100);
