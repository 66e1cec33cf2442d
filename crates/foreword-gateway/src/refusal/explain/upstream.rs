//! The pages of FW5xx: the endpoints behind us.

use super::Page;
use crate::refusal::Code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::NoConnection,
        meaning: "No endpoint of the cluster took the connection: the first choice refused it, and so did another one, \
                  if there is one. Answered 502 in http mode, closed in tcp mode.",
        cause: "The server behind is not running, listens on another address or port, or a firewall rejects the \
                connection.",
        remedy: "The line names the endpoint and the system's reason. `connection refused` means that nobody listens \
                 there: start the server or correct `endpoints`.",
    },
    Page {
        code: Code::ConnectTimeout,
        meaning: "An endpoint did not take the connection within `timeout.connect` of the cluster (5 s unless set \
                  otherwise). Answered 504 in http mode, closed in tcp mode.",
        cause: "A machine that is down, a firewall that drops packets silently, or a server whose queue of new \
                connections is full.",
        remedy: "Try it from this machine with `foreword get`. If the path is slow by nature, raise \
                 `timeout = { connect = … }` of the cluster.",
    },
    Page {
        code: Code::NoEndpoint,
        meaning: "The cluster has no address to connect to: its endpoints are names, and none of them resolves. \
                  Answered 503 in http mode, closed in tcp mode.",
        cause: "A mistyped name, a name server that does not answer, or a service that is not registered yet.",
        remedy: "Ask the name server for the names among the cluster's `endpoints`; `getent hosts NAME` does. Addresses that were known stay in use until their \
                 time to live ends, so a short outage of the name server does no harm.",
    },
    Page {
        code: Code::ResponseTimeout,
        meaning: "An endpoint took the request and did not begin to answer within `timeout.response` of the cluster \
                  (60 s unless set otherwise). Answered 504.",
        cause: "A slow application, a database behind it that is stuck, or an endpoint that expects a PROXY header \
                which this cluster does not send.",
        remedy: "Look at the endpoint's log. If it waits for a header, set `send_header`. If the work takes so long by \
                 nature, raise `timeout = { response = … }` of the cluster.",
    },
    Page {
        code: Code::EndpointClosed,
        meaning: "An endpoint closed or reset the connection before the first byte of its answer. Requests that may be \
                  repeated were tried once more; this one could not be, or failed again. Answered 502.",
        cause: "An application that crashed, a server that was restarted, or an endpoint that does not understand the \
                PROXY header that `send_header` puts first.",
        remedy: "Look at the endpoint's log for this moment. If it fails with every request, try \
                 `send_header = \"none\"`, or the other version.",
    },
    Page {
        code: Code::MalformedAnswer,
        meaning: "What an endpoint answered is not sound HTTP/1.1: a broken status line or field, a body that could end \
                  in two places, or chunks that are broken before any of it was passed on. Answered 502; the \
                  connection to the endpoint was closed.",
        cause: "The endpoint speaks another protocol on this port (TLS, for instance), or its application writes fields \
                by hand.",
        remedy: "The line names the byte. Ask the endpoint directly with `foreword get -i` and look at its head.",
    },
    Page {
        code: Code::AnswerTooLarge,
        meaning: "The head of an endpoint's answer is larger than 32 KiB. Answered 502; the connection to the endpoint \
                  was closed.",
        cause: "An application that sets a new cookie with every answer, or that puts data into fields.",
        remedy: "Let the application send fewer or shorter fields. The limit is the same for all and cannot be raised: \
                 most clients give up far below it.",
    },
    Page {
        code: Code::AnswerCutShort,
        meaning: "An endpoint broke off inside its answer: the connection ended, fell silent or broke its framing after \
                  the head had been passed on. The client's connection was cut too, so that it cannot take the part \
                  for the whole.",
        cause: "An application that crashed while it answered, a server that was stopped without letting requests \
                finish, or a time limit at the endpoint.",
        remedy: "Look at the endpoint's log for this moment. During deployments, let endpoints finish their requests \
                 before they stop.",
    },
    Page {
        code: Code::EndpointDown,
        meaning: "The health check of an endpoint failed so often in a row as `fall` of `[cluster.NAME.health]` says. Nothing \
                  new goes there until it passed as often as `rise` says; what is under way goes on.",
        cause: "A server that stopped or hangs, a check that asks for something which the server does not have, or a \
                check that says a PROXY header where none is read, or the other way round.",
        remedy: "The line tells what was expected and what was found. Ask the same by hand: `foreword get` sends what \
                 the check sends. If the server refuses the header of the check, set `header` of the check: some \
                 servers refuse LOCAL.",
    },
    Page {
        code: Code::EndpointEjected,
        meaning: "So many connections or answers of an endpoint failed in a row as `failures` of \
                  `[cluster.NAME.ejection]` says. It is left alone for `time`, twice as long each time, up to `max_time`; \
                  then one connection tries it, and decides whether others follow.",
        cause: "A server that crashed, restarts or is overloaded.",
        remedy: "The line names the last failure. If servers restart by plan, drain them first; a health check notices \
                 before clients do.",
    },
    Page {
        code: Code::AllDown,
        meaning: "Every endpoint of the cluster is down by its health check, or ejected. With `when_all_down = \"try-all\"`, \
                  which is the default, all are tried all the same; with `\"refuse\"` whoever comes is refused: 503 in \
                  http mode, closed in tcp mode.",
        cause: "All servers are gone, the network to them is, or the health check is wrong for all of them.",
        remedy: "Look at the lines with FW521 and FW522 before this one: each names an endpoint and why. `/clusters` of \
                 the admin socket shows them at any time.",
    },
    Page {
        code: Code::HeaderOverBounds,
        meaning: "The addresses of the client alone make a header longer than `max_header` of the cluster, so none was \
                  sent, and nothing else either. Answered 502 in http mode, closed in tcp mode.",
        cause: "A client on a unix socket whose header says so: its two paths take 216 bytes, and the cluster's \
                `max_header` was set lower than that for a receiver which takes little.",
        remedy: "If the receiver takes longer headers, raise `max_header`. If not, keep unix clients away from it by a \
                 rule, or send `v1`, which says UNKNOWN for them.",
    },
    Page {
        code: Code::TlvsLeftOut,
        meaning: "A header went to an endpoint without some of the TLVs that `send_tlvs` and `pass_tlvs` name: there was \
                  no room for them within `max_header`, or a value that a template made does not fit its kind. Each was \
                  left out whole; the connection goes on.",
        cause: "TLVs of the sender before us that are longer than thought, often `ssl` with the client's certificate in \
                it, or a list that names more than 536 bytes hold.",
        remedy: "The line names each TLV with its length. Raise `max_header` if the receiver takes longer headers \
                 (the guide lists what receivers take), or name fewer TLVs: those of `send_tlvs` have their room first, in \
                 the order of the list.",
    },
    Page {
        code: Code::EndpointHandshake,
        meaning: "The cluster has `tls`, and the handshake with the endpoint failed, most often because its certificate \
                  could not be believed. Answered 502 in http mode, closed in tcp mode; nothing of the client's was sent \
                  but the PROXY header, where that goes before the handshake.",
        cause: "A certificate that has expired, is signed by nobody who is believed, or holds another name than the one \
                that was asked for; a key that is not among `pins`; or an endpoint that speaks no TLS on this port, or \
                expects no PROXY header before it.",
        remedy: "The line holds the cause. Name who signs the certificate by `tls = { ca = … }` and the name in it by \
                 `sni`. If the endpoint takes no header, remove `send_header`; if it reads it inside of TLS, add \
                 `header = \"inside\"`.",
    },
    Page {
        code: Code::EndpointHttp2,
        meaning: "An endpoint that was spoken to in HTTP/2 broke its rules, or sent frame after frame that carries nothing: \
                  pings, settings, windows, resets, interim answers. The connection was closed; requests on it are answered \
                  502 where their answer had not begun, and cut short where it had.",
        cause: "A server with a fault, one that was taken over, or something else than a server of HTTP/2 on this port.",
        remedy: "The line names the endpoint and what it did. If it speaks no HTTP/2, remove `protocol = \"h2\"` from the \
                 cluster; otherwise look at the server.",
    },
];
