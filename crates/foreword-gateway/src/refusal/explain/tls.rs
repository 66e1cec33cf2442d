//! The pages of FW3xx: TLS with the side that connects to us.

use super::Page;
use crate::refusal::Code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::HttpForTls,
        meaning: "The listener ends TLS, and an HTTP request came in clear text. It was answered with a bare 400 \
                  that says so, and closed; nothing of it was served.",
        cause: "A client that uses `http://` with the port of `https://`, or a balancer that already ended TLS and \
                forwards the clear text here.",
        remedy: "Use `https://`. If the balancer ends TLS, either let it pass the connection on untouched, or remove \
                 `tls` from this listener.",
    },
    Page {
        code: Code::BytesForTls,
        meaning: "The listener ends TLS, or lets it pass through, and the first bytes (after the header, if there is one) are not the start of a \
                  TLS handshake.",
        cause: "A client of another protocol, a port scanner, or a header that was sent twice or inside another \
                tunnel.",
        remedy: "Look at the bytes in the line. If they are a PROXY header, the peer is not in a trust group that may \
                 send one, or sent two.",
    },
    Page {
        code: Code::HandshakeFailed,
        meaning: "A TLS handshake began and the two sides did not agree. The line holds the reason as the TLS library \
                  gives it. In tls-passthrough mode the client's ClientHello could not be read.",
        cause: "A client that knows only old versions or ciphers (TLS 1.2 is the least that is served), one that does \
                not trust our certificate and said so with an alert, or one that asked for a name that no certificate \
                covers.",
        remedy: "`unknown certificate authority` or `certificate unknown` come from the client: give the certificate \
                 with its whole chain, or let the client trust its issuer. `foreword get -v URL` shows the handshake \
                 from the other side.",
    },
    Page {
        code: Code::HandshakeDeadline,
        meaning: "The TLS handshake was not finished within `timeout.tls` (10 s unless set otherwise).",
        cause: "A client that connects in advance and stays silent, a bad path, or somebody who holds connections \
                open.",
        remedy: "Nothing, as a rule: browsers open spare connections and drop them. If real clients are hit, raise \
                 `timeout = { tls = … }` on the listener and look for packet loss.",
    },
    Page {
        code: Code::HandshakeCutShort,
        meaning: "The peer closed or reset the connection in the middle of the TLS handshake without saying why.",
        cause: "A health check that only tests whether the port is open, a client that gave up, or a client that does \
                not like the certificate and sends no alert.",
        remedy: "For health checks nothing is to be done. If clients complain, look at their message: most often they \
                 do not trust the certificate.",
    },
];
