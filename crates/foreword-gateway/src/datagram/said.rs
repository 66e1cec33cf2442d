//! Whose a datagram is: the peer is judged by its address, then the header in front says for whom it speaks.

use std::net::SocketAddr;

use foreword::spp::Spp;
use foreword::{
    Addresses, Client, Header, ParseBuf, Parser, Signature, Trust, TrustedProxy, Verdict, signature,
};

use super::dropping::Dropping;
use super::incoming::Ends;
use crate::plan::{DatagramHeaders, Listener, UnknownHeader};

/// What a datagram says, and on whose word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'d> {
    /// What is forwarded.
    pub(crate) payload: &'d [u8],
    word: Word<'d>,
}

#[derive(Clone, Copy, Debug)]
enum Word<'d> {
    /// A peer that nobody vouches for is its own client.
    Peer,
    /// So is a proxy that sends no header.
    Proxy(TrustedProxy<'d>),
    /// A proxy's v2 header.
    Header { proxy: TrustedProxy<'d>, header: Header<'d>, bytes: &'d [u8], parser: Parser },
    /// A proxy's header of the Simple Proxy Protocol.
    Simple { proxy: TrustedProxy<'d>, spp: Spp },
}

/// Whom a header names: a part of what a flow is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Names {
    /// None came, or one that speaks for the peer itself.
    Nobody,
    /// Two addresses.
    Inet { source: SocketAddr, destination: SocketAddr },
    /// A unix socket.
    Unix(Box<[u8]>),
}

/// Reads whose a datagram is. The peer alone decides whether a header is due; its bytes never do (R-UDP-11).
pub(crate) fn read<'d>(
    listener: &'d Listener,
    ends: &Ends,
    bytes: &'d [u8],
) -> Result<Said<'d>, Dropping<'d>> {
    let Some(trust) = &listener.trust else { return Ok(Said { payload: bytes, word: Word::Peer }) };
    match judge(trust, ends)? {
        Verdict::Proxy(proxy) => read_header(listener, proxy, true, bytes),
        Verdict::Either(proxy) => read_header(listener, proxy, false, bytes),
        // Who may not send one and does would have its own word believed by whoever reads next.
        Verdict::Direct(Some(group)) if begins_like_a_header(bytes) => Err(Dropping::Forbidden { group }),
        Verdict::Direct(_) | Verdict::Stranger => Ok(Said { payload: bytes, word: Word::Peer }),
    }
}

/// Whether the peer of a flow would be taken in today.
pub(super) fn still_welcome<'d>(listener: &'d Listener, ends: &Ends) -> Result<(), Dropping<'d>> {
    listener.trust.as_ref().map_or(Ok(()), |trust| judge(trust, ends).map(|_| ()))
}

/// The header in front of a later datagram of a flow whose first one had it, and what follows.
pub(super) fn header_again<'d>(listener: &Listener, bytes: &'d [u8]) -> Option<(Names, &'d [u8])> {
    let (header, len) = listener.header.parser.parse_datagram(bytes).ok()?;
    Some((names_of(&header), bytes.get(len..)?))
}

fn judge<'d>(trust: &'d Trust, ends: &Ends) -> Result<Verdict<'d>, Dropping<'d>> {
    match trust.judge(&ends.peer) {
        Verdict::Stranger => Err(Dropping::Stranger { trust, peer: ends.peer }),
        verdict => Ok(verdict),
    }
}

fn read_header<'d>(
    listener: &'d Listener,
    proxy: TrustedProxy<'d>,
    due: bool,
    bytes: &'d [u8],
) -> Result<Said<'d>, Dropping<'d>> {
    let group = proxy.group();
    let itself = Said { payload: bytes, word: Word::Proxy(proxy) };
    if listener.header.datagrams == DatagramHeaders::Spp {
        return match Spp::parse(bytes) {
            Ok((spp, len)) => Ok(behind(bytes, len, Word::Simple { proxy, spp })),
            Err(_) if !due => Ok(itself),
            Err(malformed) => Err(Dropping::NotSimple { malformed, bytes, group }),
        };
    }
    let parser = listener.header.parser;
    let (header, len) = match parser.parse_datagram(bytes) {
        Ok(read) => read,
        Err(malformed) if begins_like_a_header(bytes) => {
            return Err(Dropping::Malformed { malformed, bytes, group });
        }
        Err(_) if !due => return Ok(itself),
        Err(_) => return Err(Dropping::NoHeader { bytes, group, in_first: listener.header.datagrams }),
    };
    if listener.header.unknown == UnknownHeader::Reject && header.is_unknown() {
        return Err(Dropping::Unknown { command: header.command, group });
    }
    let head = bytes.get(..len).unwrap_or_default();
    Ok(behind(bytes, len, Word::Header { proxy, header, bytes: head, parser }))
}

fn behind<'d>(bytes: &'d [u8], len: usize, word: Word<'d>) -> Said<'d> {
    Said { payload: bytes.get(len..).unwrap_or_default(), word }
}

/// Whether the bytes can be nothing but a header.
pub(super) fn begins_like_a_header(bytes: &[u8]) -> bool {
    signature(bytes) == Signature::Whole
}

impl<'d> Said<'d> {
    /// Whom the header names.
    pub(super) fn names(&self) -> Names {
        match &self.word {
            Word::Peer | Word::Proxy(_) => Names::Nobody,
            Word::Header { header, .. } => names_of(header),
            Word::Simple { spp, .. } => Names::Inet { source: spp.client, destination: spp.proxy },
        }
    }

    /// The client, if the header names one that can be.
    pub(crate) fn client(&self, ends: &Ends) -> Result<Client, Dropping<'d>> {
        let (proxy, introduced) = match self.word {
            Word::Peer => return Ok(Client::direct(ends.peer, ends.local)),
            Word::Proxy(proxy) => return Ok(proxy.direct(ends.local)),
            Word::Simple { proxy, spp } => (proxy, proxy.introduce_simply(&spp, ends.local)),
            Word::Header { proxy, bytes, parser, .. } => match parser.parse_buf(bytes) {
                Ok(ParseBuf::Complete(header)) => (proxy, proxy.introduce(header, ends.local)),
                // It was whole a moment ago.
                Ok(ParseBuf::Incomplete { .. }) | Err(_) => return Ok(proxy.direct(ends.local)),
            },
        };
        introduced.map_err(|claim| Dropping::Claim { claim, group: proxy.group() })
    }

    /// The header that answers carry back to a proxy which speaks the Simple Proxy Protocol.
    pub(super) fn carried_back(&self) -> Option<Spp> {
        match self.word {
            Word::Simple { spp, .. } => Some(spp),
            Word::Peer | Word::Proxy(_) | Word::Header { .. } => None,
        }
    }
}

fn names_of(header: &Header<'_>) -> Names {
    match (header.source(), header.destination(), header.addresses) {
        (Some(source), Some(destination), _) => Names::Inet { source, destination },
        (_, _, Addresses::Unix { source, .. }) => Names::Unix(source.as_bytes().into()),
        _ => Names::Nobody,
    }
}
