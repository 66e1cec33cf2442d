//! From a host and a port to a TCP connection: names resolved, detours taken, addresses tried one after the other.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::target::{Host, TargetError, host_and_port};
use crate::transcript::{Observer, Step};

/// Where connections go instead of where their URL says, and which family is tried first.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Answers that take the place of the resolver's.
    pub resolve: Vec<Resolve>,
    /// Other places to connect to; the Host field and the TLS name stay.
    pub connect_to: Vec<ConnectTo>,
    /// Tried first where a name has addresses of both families: a header with a given source can then name a
    /// destination of the same family.
    pub prefer: Option<Family>,
    /// The only family that is tried.
    pub only: Option<Family>,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// The family that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }

    fn article(self) -> &'static str {
        match self {
            Self::Inet => "an IPv4 address",
            Self::Inet6 => "an IPv6 address",
        }
    }
}

/// `HOST:PORT:ADDRESS[,ADDRESS]…`, curl's `--resolve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// The host it speaks of; nothing stands for every host.
    host: Option<Host>,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// `HOST1:PORT1:HOST2:PORT2`, curl's `--connect-to`; an empty part stands for any, or for the URL's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    from: (Option<Host>, Option<u16>),
    to: (Option<Host>, Option<u16>),
}

impl std::str::FromStr for Resolve {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        // A leading plus asks curl to let the entry expire; ours live as long as the process.
        let entry = text.strip_prefix('+').unwrap_or(text);
        let (host, rest) = split_host(entry).ok_or(RouteError::ResolveShape)?;
        let (port, addresses) = rest.split_once(':').ok_or(RouteError::ResolveShape)?;
        let host = if host == Some("*") { None } else { host.map(host_of).transpose()? };
        let port = port.parse().map_err(|_| RouteError::Port(port.to_owned()))?;
        let addresses = addresses.split(',').map(bracketed_address).collect::<Result<_, _>>()?;
        Ok(Self { host, port, addresses })
    }
}

impl std::str::FromStr for ConnectTo {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (from_host, rest) = split_host(text).ok_or(RouteError::ConnectToShape)?;
        let (from_port, rest) = rest.split_once(':').ok_or(RouteError::ConnectToShape)?;
        let (to_host, to_port) = split_host(rest).ok_or(RouteError::ConnectToShape)?;
        Ok(Self {
            from: (from_host.map(host_of).transpose()?, port_or_any(from_port)?),
            to: (to_host.map(host_of).transpose()?, port_or_any(to_port)?),
        })
    }
}

/// Splits `host:rest`; the host may be empty or an IPv6 address in brackets.
fn split_host(text: &str) -> Option<(Option<&str>, &str)> {
    let colon = match text.strip_prefix('[') {
        Some(inside) => inside.find("]:").map(|at| at + 2),
        None => text.find(':'),
    };
    let (host, rest) = colon.and_then(|at| text.split_at_checked(at))?;
    Some(((!host.is_empty()).then_some(host), rest.strip_prefix(':').unwrap_or(rest)))
}

fn host_of(text: &str) -> Result<Host, RouteError> {
    host_and_port(text).map(|(host, _)| host).map_err(RouteError::Host)
}

fn port_or_any(text: &str) -> Result<Option<u16>, RouteError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| RouteError::Port(text.to_owned()))
}

fn bracketed_address(text: &str) -> Result<IpAddr, RouteError> {
    let bare = text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| RouteError::Address(text.to_owned()))
}

/// Why a detour cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Not the shape of `--resolve`.
    #[error("expected `HOST:PORT:ADDRESS[,ADDRESS]…`")]
    ResolveShape,
    /// Not the shape of `--connect-to`.
    #[error("expected `HOST1:PORT1:HOST2:PORT2`")]
    ConnectToShape,
    /// No port.
    #[error("expected a port, found `{0}`")]
    Port(String),
    /// No address.
    #[error("expected an IP address, found `{0}`")]
    Address(String),
    /// No host.
    #[error(transparent)]
    Host(TargetError),
}

impl Route {
    /// Where a connection for this host and port really goes.
    fn detour(&self, host: &Host, port: u16) -> (Host, u16) {
        let applies = |entry: &&ConnectTo| {
            entry.from.0.as_ref().is_none_or(|from| from == host)
                && entry.from.1.is_none_or(|from| from == port)
        };
        match self.connect_to.iter().find(applies) {
            None => (host.clone(), port),
            Some(entry) => (entry.to.0.clone().unwrap_or_else(|| host.clone()), entry.to.1.unwrap_or(port)),
        }
    }

    /// The addresses of a host, from the overrides or from the system's resolver.
    async fn addresses(&self, host: &Host, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let own =
            |entry: &&Resolve| entry.port == port && entry.host.as_ref().is_none_or(|name| name == host);
        if let Some(entry) = self.resolve.iter().rev().find(own) {
            return Ok(entry.addresses.iter().map(|address| SocketAddr::new(*address, port)).collect());
        }
        let name = match host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
            Host::Name(name) => name,
        };
        let unresolved = |source| ConnectError::Resolve { host: name.clone(), source };
        let found: Vec<_> =
            tokio::net::lookup_host((name.as_str(), port)).await.map_err(unresolved)?.collect();
        if found.is_empty() {
            return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
        }
        Ok(found)
    }

    /// Families by turns, the preferred one first, so that a dead family costs one attempt only (RFC 8305 §4).
    fn by_turns(&self, addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
        let first = self.prefer.or_else(|| addresses.first().map(|address| Family::of(address.ip())));
        let wanted = |address: &SocketAddr| self.only.is_none_or(|only| only == Family::of(address.ip()));
        let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
            addresses.into_iter().filter(wanted).partition(|address| Some(Family::of(address.ip())) == first);
        let mut turns = VecDeque::with_capacity(one.len() + other.len());
        while !(one.is_empty() && other.is_empty()) {
            turns.extend(one.pop_front());
            turns.extend(other.pop_front());
        }
        turns
    }
}

/// Connects to a host: each address in turn, the next one when an attempt fails or is slow.
///
/// # Errors
///
/// The name does not resolve, or no address took the connection; then the last attempt's cause.
pub async fn connect(
    host: &Host,
    port: u16,
    route: &Route,
    observer: &mut dyn Observer,
) -> Result<TcpStream, ConnectError> {
    let (host, port) = route.detour(host, port);
    let addresses = route.addresses(&host, port).await?;
    observer.step(Step::Resolved { host: &host, port, addresses: &addresses });
    let mut waiting = route.by_turns(addresses);
    if waiting.is_empty() {
        return Err(ConnectError::NoAddress { host, only: route.only });
    }
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            observer.step(Step::Trying(address));
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        match next_attempt(&mut attempts, !waiting.is_empty()).await {
            Attempt::Done(_, Ok(stream)) => {
                stream.set_nodelay(true).map_err(|source| ConnectError::Socket { source })?;
                return Ok(stream);
            }
            Attempt::Done(address, Err(source)) => {
                observer.step(Step::Failed { address, error: &source });
                last = Some((address, source));
            }
            Attempt::Slow => {}
            Attempt::None => {
                let none = || ConnectError::NoAddress { host: host.clone(), only: route.only };
                let (address, source) = last.ok_or_else(none)?;
                return Err(ConnectError::Connect { address, source });
            }
        }
    }
}

enum Attempt {
    Done(SocketAddr, io::Result<TcpStream>),
    Slow,
    None,
}

/// Waits for an attempt to end; if there are more addresses, not longer than one of them deserves.
async fn next_attempt(attempts: &mut JoinSet<(SocketAddr, io::Result<TcpStream>)>, more: bool) -> Attempt {
    let ended = if more {
        match tokio::time::timeout(STAGGER, attempts.join_next()).await {
            Ok(ended) => ended,
            Err(_) => return Attempt::Slow,
        }
    } else {
        attempts.join_next().await
    };
    match ended {
        Some(Ok((address, result))) => Attempt::Done(address, result),
        // Attempts are neither aborted nor do they panic while the set lives; one that did is no connection.
        Some(Err(_)) => Attempt::Slow,
        None => Attempt::None,
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The resolver has no answer.
    #[error("could not resolve host `{host}`")]
    Resolve {
        /// The name that was asked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The last address that was tried did not take the connection.
    #[error("could not connect to {address}")]
    Connect {
        /// That address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to try.
    #[error("expected {} for `{host}`, found none", only.map_or("an address", Family::article))]
    NoAddress {
        /// The host that was asked for.
        host: Host,
        /// The only family that was wanted.
        only: Option<Family>,
    },
    /// The new socket could not be set up.
    #[error("could not set up the socket")]
    Socket {
        /// What the system said.
        source: io::Error,
    },
}

/// How long one attempt is waited for before the next begins beside it, RFC 8305 §8.
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Silent;

    #[test]
    fn a_resolve_entry_is_read_as_curl_reads_it() {
        let entry: Resolve = "Example.com:443:127.0.0.1,[::1]".parse().expect("an entry");
        assert_eq!(entry.host, Some(Host::Name("example.com".into())));
        assert_eq!(entry.port, 443);
        assert_eq!(entry.addresses, ["127.0.0.1".parse::<IpAddr>().expect("v4"), "::1".parse().expect("v6")]);
        assert_eq!("*:80:127.0.0.1".parse::<Resolve>().expect("any host").host, None);
        for cut in ["example.com", "example.com:443"] {
            assert_eq!(cut.parse::<Resolve>(), Err(RouteError::ResolveShape), "{cut}");
        }
        assert!("example.com:443:nowhere".parse::<Resolve>().is_err());
    }

    #[test]
    fn a_detour_changes_only_what_it_names() {
        let connect_to =
            vec!["a.example:443:[::1]:8443".parse().expect("a detour"), "::b.example:".parse().expect("any")];
        let route = Route { connect_to, ..Route::default() };
        let name = |text: &str| Host::Name(text.into());
        assert_eq!(route.detour(&name("a.example"), 443), (Host::Address("::1".parse().expect("v6")), 8443));
        assert_eq!(route.detour(&name("a.example"), 80), (name("b.example"), 80));
    }

    #[test]
    fn the_preferred_family_is_tried_first_and_the_other_next() {
        let all: Vec<SocketAddr> =
            ["[::1]:1", "[::2]:1", "127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().expect(text)).into();
        let route = Route { prefer: Some(Family::Inet), ..Route::default() };
        let order: Vec<_> = route.by_turns(all).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["127.0.0.1:1", "[::1]:1", "127.0.0.2:1", "[::2]:1"]);
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let resolve = vec![format!("two.example:{port}:127.0.0.1,127.0.0.2").parse().expect("an entry")];
        let route = Route { resolve, ..Route::default() };
        let stream = connect(&Host::Name("two.example".into()), port, &route, &mut Silent)
            .await
            .expect("a connection");
        assert_eq!(stream.peer_addr().expect("a peer").ip().to_string(), "127.0.0.2");
    }

    #[tokio::test]
    async fn a_refusal_names_the_address_that_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let error =
            connect(&Host::Address(address.ip()), address.port(), &Route::default(), &mut Silent).await;
        assert!(matches!(error, Err(ConnectError::Connect { address: tried, .. }) if tried == address));
    }
}
