//! Whose word to take: a peer's address is a fact, a client's is a claim, and only trust turns one into the other.
//!
//! [`Trust::judge`] looks at the peer's address alone, before a byte is read. The [`TrustedProxy`] that it may give is
//! the only way from a header to a [`Client`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use prefix_trie::joint::JointPrefixMap;

use crate::address::{Addresses, UnixPath};
use crate::buf::HeaderBuf;
use crate::header::Header;
use crate::spp::Spp;

/// The other end of a socket, as the kernel says. A mapped IPv4 address is the IPv4 address (R-SEC-05).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddr {
    /// An address and a port.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix,
}

impl PeerAddr {
    /// The IP address, IPv4 where it is mapped.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Unix => None,
        }
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(canonical(address))
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => canonical(*address).fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// Whom a connection was made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientAddr {
    /// An address and a port.
    Inet(SocketAddr),
    /// A Unix socket, by the bytes of its address; none where it has no name.
    Unix(Box<[u8]>),
}

impl ClientAddr {
    /// The IP address, IPv4 where it is mapped, so that lists and limits see one client as one (R-V2-16).
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl From<PeerAddr> for ClientAddr {
    fn from(peer: PeerAddr) -> Self {
        match peer {
            PeerAddr::Inet(address) => Self::Inet(address),
            PeerAddr::Unix => Self::Unix(Box::default()),
        }
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => canonical(*address).fmt(f),
            Self::Unix(path) if path.is_empty() => f.write_str("unix"),
            Self::Unix(path) => write!(f, "unix:{}", UnixPath::of_field(path)),
        }
    }
}

const fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // What is no mapped address keeps its zone.
        IpAddr::V6(_) => address,
    }
}

/// Whether a group's peers send a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderPolicy {
    /// They must.
    Require,
    /// They may; one that does not speaks for itself.
    Optional,
    /// They must not.
    Forbid,
}

/// Peers whose word is taken alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What the operator calls them.
    pub name: Box<str>,
    /// Where they connect from.
    pub from: Vec<IpNet>,
    /// Whether Unix sockets belong to them (R-SEC-06).
    pub unix: bool,
    /// Whether they send a header.
    pub header: HeaderPolicy,
    /// Whether what they say in HTTP fields of who their client is, as in `X-Forwarded-For`, is believed.
    pub forwarded: bool,
}

/// Which sources a believed proxy may not claim (R-SEC-15).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimPolicy {
    /// Refuses multicast, broadcast and unspecified sources, and loopback ones from peers that are not. On by default.
    pub refuse_special: bool,
    /// Addresses of this machine: refused as sources. None by default.
    pub own: Vec<IpAddr>,
}

impl Default for ClaimPolicy {
    fn default() -> Self {
        Self { refuse_special: true, own: Vec::new() }
    }
}

/// Trust groups, ready to be asked. The most specific range wins (R-SEC-04).
///
/// ```
/// use foreword::{Group, HeaderBuf, HeaderPolicy, PeerAddr, Trust, Verdict};
///
/// let elb = Group {
///     name: "elb".into(),
///     from: vec!["10.0.0.0/16".parse().unwrap()],
///     unix: false,
///     header: HeaderPolicy::Require,
///     forwarded: false,
/// };
/// let trust = Trust::new(vec![elb])?;
/// let local = PeerAddr::from("10.0.1.10:443".parse::<std::net::SocketAddr>().unwrap());
///
/// let peer = PeerAddr::from("10.0.3.9:51514".parse::<std::net::SocketAddr>().unwrap());
/// let Verdict::Proxy(proxy) = trust.judge(&peer) else { panic!("it is in the group") };
/// let header = HeaderBuf::from_bytes(b"PROXY TCP4 203.0.113.7 10.0.1.10 1234 443\r\n").unwrap();
/// let client = proxy.introduce(header, local).unwrap();
/// assert_eq!(client.address.to_string(), "203.0.113.7:1234");
/// assert_eq!(client.peer, peer);
///
/// let stranger = PeerAddr::from("192.0.2.1:1".parse::<std::net::SocketAddr>().unwrap());
/// assert!(matches!(trust.judge(&stranger), Verdict::Stranger));
/// # Ok::<(), foreword::TrustError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trust {
    groups: Vec<Group>,
    /// The groups' names, to be shared with each client.
    names: Vec<Arc<str>>,
    by_prefix: JointPrefixMap<IpNet, usize>,
    unix: Option<usize>,
    claims: ClaimPolicy,
}

impl Trust {
    /// Takes the groups of a listener. None at all means that nobody is believed: every peer is direct (R-SEC-04).
    ///
    /// # Errors
    ///
    /// When two groups have the same name or range, so that none of them could win.
    pub fn new(groups: Vec<Group>) -> Result<Self, TrustError> {
        let mut by_prefix = JointPrefixMap::new();
        let mut unix = None;
        for (index, group) in groups.iter().enumerate() {
            let taken_by = |other: usize, what| {
                let first = groups.get(other).map_or_else(Box::default, |group| group.name.clone());
                TrustError { first, second: group.name.clone(), what }
            };
            if let Some(other) = groups.iter().take(index).position(|other| other.name == group.name) {
                return Err(taken_by(other, Shared::Name));
            }
            for range in &group.from {
                let range = canonical_range(*range);
                match by_prefix.insert(range, index) {
                    Some(other) if other != index => return Err(taken_by(other, Shared::Range(range))),
                    _ => {}
                }
            }
            if group.unix {
                if let Some(other) = unix.replace(index) {
                    return Err(taken_by(other, Shared::Unix));
                }
            }
        }
        let names = groups.iter().map(|group| Arc::from(&*group.name)).collect();
        Ok(Self { groups, names, by_prefix, unix, claims: ClaimPolicy::default() })
    }

    /// Sets which sources may not be claimed.
    #[must_use]
    pub fn claims(mut self, claims: ClaimPolicy) -> Self {
        self.claims = claims;
        self
    }

    /// The groups, in the order they were given.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group that an address belongs to.
    #[must_use]
    pub fn group_of(&self, ip: IpAddr) -> Option<&Group> {
        self.groups.get(self.index_of(ip)?)
    }

    /// Judges a peer by its address alone, before a byte of it is read (R-SEC-03).
    #[must_use]
    pub fn judge(&self, peer: &PeerAddr) -> Verdict<'_> {
        if self.groups.is_empty() {
            return Verdict::Direct(None);
        }
        let index = match peer.ip() {
            Some(ip) => self.index_of(ip),
            None => self.unix,
        };
        let Some((group, name)) = index.and_then(|at| Some((self.groups.get(at)?, self.names.get(at)?)))
        else {
            return Verdict::Stranger;
        };
        let proxy = TrustedProxy { group, name, peer: *peer, claims: &self.claims };
        match group.header {
            HeaderPolicy::Require => Verdict::Proxy(proxy),
            HeaderPolicy::Optional => Verdict::Either(proxy),
            HeaderPolicy::Forbid => Verdict::Direct(Some(group)),
        }
    }

    fn index_of(&self, ip: IpAddr) -> Option<usize> {
        self.by_prefix.get_lpm(&IpNet::from(ip.to_canonical())).map(|(_, index)| *index)
    }
}

/// A range without host bits, IPv4 where all of it is mapped: so peers are seen, too.
fn canonical_range(range: IpNet) -> IpNet {
    match (range.addr().to_canonical(), range.prefix_len().checked_sub(96)) {
        (IpAddr::V4(ip), Some(len)) if range.addr().is_ipv6() => {
            Ipv4Net::new(ip, len).map_or(range, |range| range.trunc().into())
        }
        _ => range.trunc(),
    }
}

/// What is to be done with a peer.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'t> {
    /// It must send a header.
    Proxy(TrustedProxy<'t>),
    /// It may send a header, or speak for itself.
    Either(TrustedProxy<'t>),
    /// It is its own client and sends no header. Its group, where it belongs to one.
    Direct(Option<&'t Group>),
    /// It is nobody's: to be closed unread.
    Stranger,
}

/// A peer whose headers are believed. Only [`Trust::judge`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct TrustedProxy<'t> {
    group: &'t Group,
    name: &'t Arc<str>,
    peer: PeerAddr,
    claims: &'t ClaimPolicy,
}

impl<'t> TrustedProxy<'t> {
    /// The group that it belongs to.
    #[must_use]
    pub const fn group(&self) -> &'t Group {
        self.group
    }

    /// Its address.
    #[must_use]
    pub const fn peer(&self) -> &PeerAddr {
        &self.peer
    }

    /// Takes its word for who is calling. A header that names nobody introduces the proxy itself (R-SEC-16).
    ///
    /// # Errors
    ///
    /// When it claims a source that no client can have (R-SEC-15).
    pub fn introduce(&self, header: HeaderBuf, local: PeerAddr) -> Result<Client, ClaimRefused> {
        let (address, destination) = match header.header().addresses {
            Addresses::Unspecified => (self.peer.into(), local),
            Addresses::Inet { source, destination } => {
                (ClientAddr::Inet(self.claim(source.into())?), PeerAddr::from(SocketAddr::from(destination)))
            }
            Addresses::Inet6 { source, destination } => {
                (ClientAddr::Inet(self.claim(source.into())?), PeerAddr::from(SocketAddr::from(destination)))
            }
            Addresses::Unix { source, .. } => (ClientAddr::Unix(source.as_bytes().into()), PeerAddr::Unix),
        };
        Ok(Client { address, destination, header: Some(header), ..self.direct(local) })
    }

    /// Takes its word for who sent a datagram, said by the Simple Proxy Protocol (R-UDP-08).
    ///
    /// # Errors
    ///
    /// When it claims a source that no client can have (R-SEC-15).
    pub fn introduce_simply(&self, spp: &Spp, local: PeerAddr) -> Result<Client, ClaimRefused> {
        let address = ClientAddr::Inet(self.claim(spp.client)?);
        Ok(Client { address, destination: PeerAddr::from(spp.proxy), ..self.direct(local) })
    }

    /// Lets it speak for itself, where its group's header is optional.
    #[must_use]
    pub fn direct(&self, local: PeerAddr) -> Client {
        Client { group: Some(self.name.clone()), ..Client::direct(self.peer, local) }
    }

    fn claim(&self, source: SocketAddr) -> Result<SocketAddr, ClaimRefused> {
        let ip = source.ip().to_canonical();
        let reason = if !self.claims.refuse_special {
            None
        } else if ip.is_unspecified() {
            Some(ClaimReason::Unspecified)
        } else if ip.is_multicast() {
            Some(ClaimReason::Multicast)
        } else if matches!(ip, IpAddr::V4(ip) if ip.is_broadcast()) {
            Some(ClaimReason::Broadcast)
        } else if ip.is_loopback() && self.peer.ip().is_some_and(|peer| !peer.is_loopback()) {
            Some(ClaimReason::Loopback)
        } else {
            None
        };
        let own = || self.claims.own.iter().any(|own| own.to_canonical() == ip).then_some(ClaimReason::Own);
        match reason.or_else(own) {
            Some(reason) => Err(ClaimRefused { source, reason }),
            None => Ok(source),
        }
    }
}

/// Who a connection is for, and who brought it: the claim and the fact, side by side (R-SEC-13).
///
/// Made by [`TrustedProxy::introduce`] and [`TrustedProxy::direct`] for those who are in a group, and by
/// [`Client::direct`] for peers that speak for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The other end of the socket.
    pub peer: PeerAddr,
    /// Whom the connection was made for: the peer itself, unless a believed header names another.
    pub address: ClientAddr,
    /// Whom the client called: this end of the socket, unless a believed header names another.
    pub destination: PeerAddr,
    /// The header that was believed.
    pub header: Option<HeaderBuf>,
    /// The name of the peer's group.
    pub group: Option<Arc<str>>,
}

impl Client {
    /// A peer that is its own client.
    #[must_use]
    pub fn direct(peer: PeerAddr, local: PeerAddr) -> Self {
        Self { peer, address: peer.into(), destination: local, header: None, group: None }
    }

    /// The header that was believed.
    #[must_use]
    pub fn header(&self) -> Option<Header<'_>> {
        self.header.as_ref().map(HeaderBuf::header)
    }
}

/// A claim that is not taken, even from a proxy that is believed (R-SEC-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRefused {
    source: SocketAddr,
    reason: ClaimReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimReason {
    Unspecified,
    Multicast,
    Broadcast,
    Loopback,
    Own,
}

impl ClaimRefused {
    /// The source that was claimed.
    #[must_use]
    pub const fn claimed(&self) -> SocketAddr {
        self.source
    }

    /// The id of the requirement that decides.
    #[must_use]
    pub const fn requirement(&self) -> &'static str {
        "R-SEC-15"
    }
}

impl fmt::Display for ClaimRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self.reason {
            ClaimReason::Unspecified => "the unspecified address",
            ClaimReason::Multicast => "a multicast address",
            ClaimReason::Broadcast => "the broadcast address",
            ClaimReason::Loopback => "a loopback address from a peer that is not on this machine",
            ClaimReason::Own => "an address of this machine",
        };
        write!(f, "expected the source address of a client, found {found} ({})", self.source)
    }
}

impl core::error::Error for ClaimRefused {}

/// Two groups that want the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustError {
    first: Box<str>,
    second: Box<str>,
    what: Shared,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shared {
    Name,
    Range(IpNet),
    Unix,
}

impl TrustError {
    /// The names of both groups.
    #[must_use]
    pub fn groups(&self) -> (&str, &str) {
        (&self.first, &self.second)
    }

    /// What both want, as it may be spelled in a file.
    #[must_use]
    pub fn shared(&self) -> String {
        use alloc::string::ToString as _;
        match &self.what {
            Shared::Name => self.first.to_string(),
            Shared::Range(range) => range.to_string(),
            Shared::Unix => "unix".to_string(),
        }
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second, what } = self;
        match what {
            Shared::Name => write!(f, "expected trust groups of different names, found two called `{first}`"),
            Shared::Range(range) => {
                write!(f, "expected `{range}` in one trust group, found it in `{first}` and `{second}`")
            }
            Shared::Unix => {
                write!(f, "expected `unix` in one trust group, found it in `{first}` and `{second}`")
            }
        }
    }
}

impl core::error::Error for TrustError {}

#[cfg(test)]
mod tests;
