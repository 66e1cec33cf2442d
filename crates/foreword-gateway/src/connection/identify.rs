//! Who it is: the peer is judged before a byte is read, then its header says whom it speaks for.

use std::time::Duration;

use foreword::{
    Client, HeaderBuf, Looks, ParseBuf, PeerAddr, Signature, Trust, TrustedProxy, Verdict, signature,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::error::ServeError;
use super::header_error::{HeaderFault, shown};
use crate::admission::awaited::{Awaited, Seat};
use crate::plan::{HeaderPlan, Listener, UnknownHeader};

/// Settles whose connection it is. What was read beyond the headers is left in `buffer`.
///
/// The peer alone decides whether a header is due; its bytes never do. Nothing is sent and no endpoint is asked before.
pub(crate) async fn identify(
    stream: &mut (impl AsyncRead + Unpin),
    listener: &Listener,
    awaited: &Awaited,
    who: Ends<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Client, ServeError> {
    let Some(trust) = &listener.trust else {
        return Ok(Client::direct(*who.peer, *who.local));
    };
    let (proxy, due) = match trust.judge(who.peer) {
        Verdict::Stranger => return Err(stranger(trust, who.peer)),
        Verdict::Direct(_) => return Ok(Client::direct(*who.peer, *who.local)),
        Verdict::Proxy(proxy) => (proxy, true),
        Verdict::Either(proxy) => (proxy, false),
    };
    // Most of a connection's life comes after this: it should not carry the room for it along.
    Box::pin(read(stream, listener, awaited, who, buffer, Due { trust, proxy, due })).await
}

/// Whose header may come, and whether it must.
struct Due<'t> {
    trust: &'t Trust,
    proxy: TrustedProxy<'t>,
    due: bool,
}

/// Reads what a trusted proxy has to say, until the deadline.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    listener: &Listener,
    awaited: &Awaited,
    who: Ends<'_>,
    buffer: &mut Vec<u8>,
    Due { trust, proxy, due }: Due<'_>,
) -> Result<Client, ServeError> {
    let (accepted, deadline) = (who.accepted, who.accepted + listener.header.deadline);
    let mut reader =
        Reader { stream, plan: &listener.header, awaited, seat: None, accepted, deadline, buffer };
    match reader.header(&proxy, due).await? {
        Some(header) => reader.follow_chain(trust, proxy, header, who).await,
        None => Ok(proxy.direct(*who.local)),
    }
}

/// Both ends of a connection, as the kernel knows them, and when it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'c> {
    pub(crate) peer: &'c PeerAddr,
    pub(crate) local: &'c PeerAddr,
    pub(crate) accepted: Instant,
}

/// Reads headers until the one deadline that they all share.
struct Reader<'c, S> {
    stream: &'c mut S,
    plan: &'c HeaderPlan,
    awaited: &'c Awaited,
    /// Taken by those who have to wait, and kept until the last header is there.
    seat: Option<Seat<'c>>,
    accepted: Instant,
    deadline: Instant,
    buffer: &'c mut Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<'_, S> {
    /// Believes the first header, then as many as the plan says, each on the word of the address before it.
    async fn follow_chain(
        &mut self,
        trust: &Trust,
        proxy: TrustedProxy<'_>,
        header: HeaderBuf,
        who: Ends<'_>,
    ) -> Result<Client, ServeError> {
        let mut client = self.believe(&proxy, header, who)?;
        for link in 2..=self.plan.chain.get() {
            // LOCAL and UNKNOWN speak for the peer itself: there is nobody behind it.
            let Some(claimed) = claimed(&client) else { break };
            let (next, due) = match trust.judge(&claimed) {
                Verdict::Proxy(next) => (next, true),
                Verdict::Either(next) => (next, false),
                Verdict::Direct(_) => break,
                Verdict::Stranger => {
                    return Err(HeaderFault::Chain { link, claimed }.of(proxy.group()).into());
                }
            };
            let Some(header) = self.header(&next, due).await? else { break };
            client = self.believe(&next, header, who)?;
        }
        Ok(client)
    }

    /// Takes a header at its word, unless it says what nobody can say.
    fn believe(
        &self,
        proxy: &TrustedProxy<'_>,
        header: HeaderBuf,
        who: Ends<'_>,
    ) -> Result<Client, ServeError> {
        if self.plan.unknown == UnknownHeader::Reject && header.header().is_unknown() {
            let command = header.header().command;
            return Err(HeaderFault::Unknown { command }.of(proxy.group()).into());
        }
        let mut client = proxy
            .introduce(header, *who.local)
            .map_err(|claim| HeaderFault::Claim(claim).of(proxy.group()))?;
        // In a chain the one who speaks is an address that was claimed; the peer is still the other end of the socket.
        client.peer = *who.peer;
        Ok(client)
    }

    /// Reads one header. `None` only where none is due: the peer then speaks for itself.
    async fn header(&mut self, proxy: &TrustedProxy<'_>, due: bool) -> Result<Option<HeaderBuf>, ServeError> {
        loop {
            match self.plan.parser.parse_buf(self.buffer) {
                Ok(ParseBuf::Complete(header)) => {
                    self.buffer.drain(..header.len());
                    return Ok(Some(header));
                }
                Ok(ParseBuf::Incomplete { .. }) => {}
                Err(malformed) if begins_like_a_header(self.buffer) => {
                    return Err(HeaderFault::malformed(malformed, self.buffer).of(proxy.group()).into());
                }
                Err(_) if !due => return Ok(None),
                Err(_) => {
                    self.see_what_it_is().await;
                    return Err(HeaderFault::no_header(self.buffer).of(proxy.group()).into());
                }
            }
            match self.more().await {
                Ok(()) => {}
                Err(HeaderFault::CutShort { bytes }) if bytes.is_empty() => return Err(ServeError::Probe),
                Err(HeaderFault::Silence { .. }) if !due => return Ok(None),
                // All that a direct client has to say so far, though it looks like the beginning of a header.
                Err(HeaderFault::CutShort { .. } | HeaderFault::Unfinished { .. })
                    if !due && !begins_like_a_header(self.buffer) =>
                {
                    return Ok(None);
                }
                Err(fault) => return Err(fault.of(proxy.group()).into()),
            }
        }
    }

    /// Reads on for a moment if the bytes cannot be told yet, so that the refusal names the same thing however they were split.
    async fn see_what_it_is(&mut self) {
        let soon = self.deadline.min(Instant::now() + A_MOMENT);
        while may_become_http(self.buffer) {
            match timeout_at(soon, self.more()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }

    /// Waits for more bytes, and for a newcomer that needs the seat.
    async fn more(&mut self) -> Result<(), HeaderFault> {
        let room = self.plan.max_len.saturating_sub(self.buffer.len()).clamp(SMALLEST_READ, LARGEST_READ);
        self.buffer.reserve(room);
        // What came along with the connection is known after one turn: most connections never take a seat.
        let (awaited, accepted, waiting) = (self.awaited, self.accepted, self.plan.waiting);
        let seat = &mut self.seat;
        let evicted = async {
            if seat.is_none() {
                yield_now().await;
            }
            seat.get_or_insert_with(|| awaited.sit(accepted, waiting)).evicted().await;
        };
        let read = tokio::select! {
            biased;
            read = timeout_at(self.deadline, self.stream.read_buf(self.buffer)) => read,
            () = evicted => return Err(HeaderFault::Evicted { waiting }),
        };
        match read {
            Ok(Ok(0)) => Err(HeaderFault::CutShort { bytes: shown(self.buffer) }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if self.buffer.is_empty() => Err(HeaderFault::Broken(error)),
            Ok(Err(_)) => Err(HeaderFault::CutShort { bytes: shown(self.buffer) }),
            Err(_) if self.buffer.is_empty() => Err(HeaderFault::Silence { deadline: self.plan.deadline }),
            Err(_) => {
                Err(HeaderFault::Unfinished { deadline: self.plan.deadline, bytes: shown(self.buffer) })
            }
        }
    }
}

/// Whether the bytes can be nothing but a header: from here on they must be a valid one.
fn begins_like_a_header(bytes: &[u8]) -> bool {
    signature(bytes) == Signature::Whole
}

/// Whether they might be the beginning of a request line, which has a name only when it comes to its target.
fn may_become_http(bytes: &[u8]) -> bool {
    let begins_like_a_method = |byte: &u8| byte.is_ascii_uppercase() || b"- *".contains(byte);
    foreword::looks_like(bytes) == Looks::Other
        && bytes.len() < REQUEST_LINE
        && bytes.iter().all(begins_like_a_method)
}

/// The address that the next header of a chain would come from.
fn claimed(client: &Client) -> Option<PeerAddr> {
    let source = client.header.as_ref()?.header().source()?;
    Some(PeerAddr::from(source))
}

fn stranger(trust: &Trust, peer: &PeerAddr) -> ServeError {
    let names: Vec<String> = trust.groups().iter().map(|group| format!("\"{}\"", group.name)).collect();
    ServeError::Stranger { peer: *peer, groups: names.join(" or ") }
}

/// A header of the common kinds, with the ClientHello behind it, comes with one read of this.
const LARGEST_READ: usize = 2048;

/// Near `max_len` there is still payload behind the header.
const SMALLEST_READ: usize = 256;

/// The longest method that is registered, and what follows it.
const REQUEST_LINE: usize = 24;

/// Long enough for the rest of a request line that was split on the way.
const A_MOMENT: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use std::path::Path;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn only_those_whose_header_did_not_come_along_take_a_seat() {
        let file = "[trust.local]\nfrom = [\"127.0.0.1\"]\nheader = \"require\"\n\
                    [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"local\"]\ncluster = \"app\"\n\
                    [cluster.app]\nendpoints = [\"127.0.0.1:1\"]\n";
        let plan = crate::config::parse(file, "test.toml", Path::new(".")).unwrap().plan;
        let awaited = Awaited::default();
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for waits in [false, true] {
            let mut client = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
            let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
            let (early, late) = header.split_at(if waits { 7 } else { header.len() });
            client.write_all(early).await.unwrap();
            let (mut stream, peer) = door.accept().await.unwrap();
            let (peer, local) = (peer.into(), stream.local_addr().unwrap().into());
            let who = Ends { peer: &peer, local: &local, accepted: Instant::now() };
            let mut buffer = Vec::new();
            let identified = identify(&mut stream, &plan.listeners[0], &awaited, who, &mut buffer);
            let speak = async {
                while waits && awaited.taken() == 0 {
                    yield_now().await;
                }
                client.write_all(late).await.unwrap();
            };
            let (client, ()) = tokio::join!(identified, speak);
            assert_eq!(client.unwrap().address.to_string(), "192.0.2.1:1");
            assert_eq!(awaited.taken(), u64::from(waits));
        }
    }
}
