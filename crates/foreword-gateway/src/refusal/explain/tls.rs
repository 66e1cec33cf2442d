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
    Page {
        code: Code::NoClientCertificate,
        meaning: "The listener's `tls` says `client = { verify = \"require\" }`, and the client showed no certificate. The \
                  handshake was ended with an alert that says so.",
        cause: "A client that has no certificate or was not told to use it, a browser whose user cancelled the choice, \
                or a client whose certificates are all signed by others than those in `ca`: those are not shown.",
        remedy: "Give the client a certificate that one of those in `ca` signed, as `curl --cert FILE --key FILE` does. \
                 `verify = \"optional\"` lets clients in without one, and rules then ask for `tls.client.cn`.",
    },
    Page {
        code: Code::ClientCertificate,
        meaning: "The client showed a certificate that is not accepted. The line says why: nobody in `ca` signed it, it has \
                  expired or is not valid yet, a list in `crl` revokes it, it is not made for clients, or it is broken.",
        cause: "A certificate of another authority, an old one, a server's certificate that is used by a client, a chain \
                without the certificates between it and `ca`, or a list in `crl` that is too old to say anything.",
        remedy: "`openssl x509 -in FILE -noout -issuer -enddate -purpose` shows whose it is and for how long. Let the client \
                 send its whole chain; keep `ca` and `crl` current: changes count at once.",
    },
    Page {
        code: Code::UnknownSni,
        meaning: "The listener's `tls` says `strict_sni = true`, and the client asked for a name that none of its certificates \
                  has, or for none. The handshake was refused with the alert `unrecognized_name`.",
        cause: "A scanner that goes through addresses, a client that connects by address, a name whose certificate is not \
                there yet, or a balancer that checks the port without SNI.",
        remedy: "If the name should be served, add its certificate. If checks or clients come without SNI, give them one, or \
                 leave `strict_sni` out: the first certificate then answers.",
    },
    Page {
        code: Code::CertificateAwaited,
        meaning: "The client asked for a name that the listener's `tls` has in `acme`, and the CA has not issued the certificate \
                  for it yet. The handshake was refused with the alert `unrecognized_name`, rather than with a certificate \
                  for another name.",
        cause: "The gateway was started a moment ago, or the CA could not be convinced: then lines with FW310 say why.",
        remedy: "As a rule it is over within seconds. If not, do what the lines with FW310 say. A certificate for the name in \
                 `certificates` is shown meanwhile.",
    },
    Page {
        code: Code::CertificateNotIssued,
        meaning: "An attempt to obtain or renew a certificate by ACME failed. The one before, if there is one, is shown on; \
                  the line says why and when it is tried again, after longer and longer rests up to six hours.",
        cause: "The name does not lead here, port 80 or 443 cannot be reached from outside or is another program's, the CA \
                cannot be reached or limits how often it is asked, or the folder `state` cannot be written.",
        remedy: "Look where the name leads (`dig NAME`), and from elsewhere whether `http://NAME/` and `https://NAME/` come \
                 here. Try with the CA's staging directory until it works: limits are wide there. A restart tries at once.",
    },
];
