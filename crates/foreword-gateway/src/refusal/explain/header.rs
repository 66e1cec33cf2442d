//! The pages of FW1xx and FW2xx: the header, and whose header is believed.

use super::Page;
use crate::refusal::Code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::TlsForHeader,
        meaning: "The peer is in a trust group with `header = \"require\"`, so its first bytes must be a PROXY header. \
                  They were the start of a TLS handshake. The connection was closed without an answer; the peer \
                  usually reports this as an SSL connect error.",
        cause: "Traffic from inside that reaches the port without passing the balancer: a test with plain curl, a \
                neighbour service, a health check that speaks HTTPS. Or the balancer was never told to send the \
                header.",
        remedy: "For a test, send the header: `ppcurlcat https://HOST/`, or `curl --haproxy-protocol`. For traffic \
                 that rightly comes bare, put its source into a group with `header = \"optional\"`. If it is the \
                 balancer itself, switch the PROXY protocol on there.",
    },
    Page {
        code: Code::HttpForHeader,
        meaning: "The peer must send a PROXY header first, and sent an HTTP request instead. It was closed without an \
                  answer, since nothing may be served before it is known who asks.",
        cause: "An HTTP health check or a test that goes around the balancer, or a balancer in HTTP mode that writes \
                `X-Forwarded-For` rather than a PROXY header.",
        remedy: "Point the test through the balancer, or send the header with `foreword get --header v1 URL`. Let \
                 health checks send one (`check-send-proxy` in HAProxy), or list their source with \
                 `header = \"optional\"`.",
    },
    Page {
        code: Code::BytesForHeader,
        meaning: "The peer must send a PROXY header first. What came cannot be the start of one, so the connection was \
                  closed at the first byte that does not fit; the line shows the bytes in hexadecimal.",
        cause: "A client of some other protocol that goes around the balancer, a port scanner inside a trusted \
                network, or a balancer that sends the header inside TLS while foreword expects it before.",
        remedy: "Find the sender by the peer's address in the line. Narrow `from` of the trust group to the balancers \
                 if others live in that range too.",
    },
    Page {
        code: Code::MalformedV1,
        meaning: "The first bytes began a version 1 header, a line of text, but the line breaks the grammar. The log \
                  line names the byte, what was expected there and what was found; the metrics count it under the \
                  requirement that it breaks.",
        cause: "A sender written by hand: a line end without a carriage return, two spaces, an address with leading \
                zeros, a port out of range, an IPv4 address under TCP6.",
        remedy: "Correct the sender; `foreword decode` shows the same verdict for a captured header. If the sender \
                 writes IPv4 addresses under TCP6 and cannot be changed, set `header.ipv4_in_tcp6` on the listener.",
    },
    Page {
        code: Code::MalformedV2,
        meaning: "The twelve signature bytes of version 2 were right, but what followed breaks the specification. The \
                  log line names the byte, what was expected there and what was found; the metrics count it under \
                  the requirement that it breaks.",
        cause: "A sender with a wrong length field, an unassigned command or family, a TLV that reaches past the \
                header, or a TLV that may occur only once and came twice.",
        remedy: "Correct the sender; `foreword decode` shows the same verdict for a captured header. Where only the \
                 TLVs are at fault, `header.tlv_malformed` and `header.tlv_duplicate` on the listener make them bearable.",
    },
    Page {
        code: Code::HeaderTooLong,
        meaning: "The header says that it is longer than `header.max` allows (4096 bytes unless set otherwise). It was \
                  refused as soon as its length was read, before its content was waited for.",
        cause: "A balancer that adds large TLVs, for instance the whole certificate of the client, or bytes that are \
                no header at all behind a signature.",
        remedy: "If the sender is right, raise `header = { max = … }` on the listener, up to 65551. Otherwise switch \
                 off the TLV that takes the room.",
    },
    Page {
        code: Code::HeaderSilence,
        meaning: "A header is required and not one byte came before `header.deadline` (3 s unless set otherwise).",
        cause: "A protocol where the server speaks first (SMTP, SSH, MySQL) behind a balancer that does not send the \
                header, or sends it only together with the client's first data, as AWS NLB does in some setups. The \
                same silence over and over at a steady pace is a TCP health check that holds its connection open.",
        remedy: "Check that the PROXY protocol is switched on for this target. For health checks, list their source \
                 with `header = \"optional\"`, or let them close as soon as they are connected: that is only counted.",
    },
    Page {
        code: Code::HeaderUnfinished,
        meaning: "A header began, and was not whole at `header.deadline`. The deadline runs from the moment the \
                  connection was accepted and is not extended by more bytes.",
        cause: "A sender that stalls after part of its header, a path that drops large packets, or somebody who holds \
                connections open byte by byte.",
        remedy: "A real sender writes its header in one piece, so look at the path between it and this machine (MTU, \
                 lossy links). Raise `header = { deadline = … }` only for senders that are known to be slow.",
    },
    Page {
        code: Code::HeaderCutShort,
        meaning: "The peer closed its side in the middle of a header. What had come was right so far but not whole.",
        cause: "A sender that died or gave up while connecting, or a version 1 line without its line end.",
        remedy: "Look for the reason in the sender's log. If it happens with every connection, compare the bytes with \
                 `foreword encode`: most often the line end (CR LF) is missing.",
    },
    Page {
        code: Code::SecondHeader,
        meaning: "One header was read and believed; where the request or the TLS handshake should have begun, a second \
                  header came. Only the first bytes of a connection can be a header, so it was refused.",
        cause: "Two balancers in a row that both add a header, or one that adds it to connections that already carry \
                one.",
        remedy: "Switch the PROXY protocol off on the balancer that faces the clients, or on the one behind it. If \
                 both are yours and both headers are wanted, set `header = { chain = 2 }` on the listener.",
    },
    Page {
        code: Code::HeaderChecksum,
        meaning: "The header carries a CRC32C checksum that does not fit the bytes that came; or the listener \
                  requires one (`header.checksum = \"require\"`) and there is none. A v1 line has no place for one.",
        cause: "Something between the sender and here rewrote the header, or the sender computes the checksum wrongly \
                (it covers the whole header, with its own four bytes as zero).",
        remedy: "Compare both sides: `foreword decode` prints the checksum that the bytes should have had. Switch the \
                 checksum off at the sender if it cannot compute it.",
    },
    Page {
        code: Code::HeadersWaiting,
        meaning: "As many connections as `header.waiting` allows (1024 unless set otherwise) were waiting for their \
                  header, and another one came. The one that had waited longest was closed.",
        cause: "Somebody opens connections inside a trusted range and stays silent, or a balancer opens connections in \
                advance without sending the header on them.",
        remedy: "Find the peer in the lines with FW107 and FW108. Raise `header = { waiting = … }` if the senders are \
                 right and simply many.",
    },
    Page {
        code: Code::HeaderForbidden,
        meaning: "A header came from a peer that must not send one: its group says `header = \"forbid\"`, and then the \
                  line names the group; or the listener has no trust group and believes nobody; or a datagram began with \
                  one that `inner_header = \"reject\"` of its cluster lets nobody pass on. Nothing that the header claimed was used.",
        cause: "A balancer with the PROXY protocol switched on in front of a listener that was not told to trust it, \
                or somebody who tries to pass for another address.",
        remedy: "If the peer is your balancer, add its address to a `[trust.NAME]` with `header = \"require\"` and name \
                 that group in the listener's `trust`. Otherwise nothing is to be done: it was refused.",
    },
    Page {
        code: Code::ClaimRefused,
        meaning: "The header was well formed and its sender trusted, but the client's address in it is one that no \
                  client can have here: multicast, broadcast, unspecified, or loopback from a peer that is not on \
                  this machine.",
        cause: "A balancer that fills in 0.0.0.0 when it does not know the client, a test with invented addresses, or \
                an attempt to pass for a local client.",
        remedy: "Let the sender say LOCAL (version 2) or UNKNOWN (version 1) when it speaks for itself. Use addresses \
                 of the documentation ranges (203.0.113.0/24, 2001:db8::/32) for tests.",
    },
    Page {
        code: Code::HeaderUnknown,
        meaning: "The sender said LOCAL or UNKNOWN, that is, it spoke for itself and named no client. The listener \
                  says `unknown = \"reject\"`.",
        cause: "The balancer's own health checks do so, and a version 1 sender that cannot say what it knows, such as \
                the address of a unix socket.",
        remedy: "Leave `header = { unknown = \"accept\" }`, the default, if health checks should pass; such a \
                 connection counts as the balancer itself in every rule.",
    },
    Page {
        code: Code::HeaderChain,
        meaning: "The listener expects a chain of headers (`header.chain`). One of them came from an address that is \
                  in no group that may send a header, or the next header was missing.",
        cause: "A proxy in the middle of the chain that is not listed, or fewer proxies on this path than on the \
                others.",
        remedy: "List every proxy of the chain in a trust group of the listener; the line names the address that was \
                 not found. `chain` says how many headers are due: paths with fewer proxies need a listener \
                 of their own.",
    },
    Page {
        code: Code::Stranger,
        meaning: "The listener has trust groups, and the peer's address is in none of them. The connection was closed \
                  before a byte of it was read.",
        cause: "A balancer with a new address, a health checker or a colleague from a network that is not listed, or \
                the internet, if the port can be reached from there.",
        remedy: "If the peer belongs here, add its address or range to `from` of the right `[trust.NAME]`, or of a new \
                 group that the listener names in `trust`. If not, close the port to it in the firewall.",
    },
];
