//! The pages of FW4xx: requests, and the rules that refuse them.

use super::Page;
use crate::refusal::Code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::MalformedHead,
        meaning: "The request line or a field breaks the grammar of HTTP/1.1: a bare CR or LF, a NUL or control byte, a \
                  folded field, a space before a colon, a wrong method or field name. Answered 400 and closed, since \
                  what follows cannot be trusted either.",
        cause: "A client written by hand, a scanner, or an attempt to smuggle a second request past a proxy that is \
                less strict.",
        remedy: "The line names the byte and the rule. Correct the client; there is no switch that lets such heads \
                 pass.",
    },
    Page {
        code: Code::AmbiguousFraming,
        meaning: "The request says twice, or in two ways, where its body ends: Content-Length beside Transfer-Encoding, \
                  two Content-Lengths, or a length that is no plain number. Answered 400 and closed.",
        cause: "An attempt at request smuggling, or a proxy in front that adds a length of its own.",
        remedy: "Correct the sender so that it states one length. RFC 9112 section 6.3 lets a server refuse these, and \
                 serving them is how two servers come to disagree about who asked for what.",
    },
    Page {
        code: Code::UnknownTransferCoding,
        meaning: "The request uses a transfer coding other than one single `chunked`. Answered 501 and closed.",
        cause: "An old client that compresses by transfer coding, or an attempt to hide a body from one of two \
                servers.",
        remedy: "Use `Content-Encoding` for compression. `chunked` must be the only transfer coding.",
    },
    Page {
        code: Code::NoRule,
        meaning: "No rule of the listener took the request or connection, and it has no `cluster` as the last resort. \
                  Answered 404 in http mode, closed in tcp mode.",
        cause: "A host name or path that no rule mentions, a scanner that asks by address, or a rule that is narrower \
                than was thought.",
        remedy: "`foreword why` tells for a request which rules were asked and why none matched. Add a rule, or \
                 `cluster = \"NAME\"` on the listener for all that is left.",
    },
    Page {
        code: Code::UnsettledPath,
        meaning: "The path can be read in more than one way, so a rule about it could be got around: an encoded slash \
                  or backslash, an encoding of an encoding, a NUL or control byte, `..;`, or bad UTF-8. Answered 400.",
        cause: "Mostly attempts to reach a protected path by another spelling. Some applications put `%2F` into paths \
                on purpose (package registries, object stores).",
        remedy: "If an application needs encoded slashes, set `encoded_slash = \"keep\"` on its listener: they are then \
                 forwarded as they came, and rules take them for slashes, since some servers do. The other \
                 spellings stay refused.",
    },
    Page {
        code: Code::WrongHost,
        meaning: "An HTTP/1.1 request must have exactly one Host field, and an absolute target must name the same host. \
                  This one did not. Answered 400.",
        cause: "A client written by hand, or an attempt to be judged under one name and served under another.",
        remedy: "Send one Host field that agrees with the target. HTTP/1.0 without Host is served.",
    },
    Page {
        code: Code::HeadTooLarge,
        meaning: "The request head is larger than `max.head`, has more than `max.fields` fields, or its target is too \
                  long. Answered 431, or 414 for the target, and closed.",
        cause: "A client with a great many cookies, a search form that puts everything into the address, or somebody \
                who tries how much memory a head can take.",
        remedy: "Clear the cookies first. Raise `max = { head = …, fields = … }` on the listener if the application \
                 needs it; the servers behind must then take as much. A target has at most 8000 bytes, which RFC 9112 \
                 asks everyone to take; what is longer belongs into a body.",
    },
    Page {
        code: Code::HeadDeadline,
        meaning: "A request began, and its head was not whole within `timeout.head` (10 s unless set otherwise). \
                  Answered 408 and closed. More bytes do not extend the deadline.",
        cause: "A client on a very bad path, or somebody who sends a head byte by byte to hold connections.",
        remedy: "Nothing, as a rule. Raise `timeout = { head = … }` on the listener if real clients are hit.",
    },
    Page {
        code: Code::TlsForHttp,
        meaning: "A TLS handshake came to a listener that serves plain HTTP. It was answered with 400 and closed.",
        cause: "A client that uses `https://` with the port of `http://`, or a balancer that passes TLS on to a \
                listener without `tls`.",
        remedy: "Use `http://`, or give the listener `tls = { certificates = … }`.",
    },
    Page {
        code: Code::OtherHttpVersion,
        meaning: "The request is not HTTP/1.0 or HTTP/1.1: a line without a version (HTTP/0.9), the preface of HTTP/2 \
                  without TLS, or a version that does not exist. Answered 505 and closed.",
        cause: "A scanner, or a client or balancer that was told to speak HTTP/2 without TLS.",
        remedy: "Let the client speak HTTP/1.1 here; `--http1.1` does so in curl. If all clients of a listener without TLS \
                 speak HTTP/2, give it `http2 = \"prior-knowledge\"`.",
    },
    Page {
        code: Code::RefusedByRule,
        meaning: "A rule of the listener refused the connection with `close`, or with `deny` in tcp mode; or the request with \
                  `deny`, which was answered with the rule's status. This is counted, written to the access log, and told in the log as information, not as a fault.",
        cause: "The rule does what it was written for. The access log names it under `rule`.",
        remedy: "If it should have passed, ask `foreword why` which rule ended it and what it saw.",
    },
    Page {
        code: Code::WrongPassword,
        meaning: "A rule asks for a password (`basic_auth`), and the request gave a name that nobody has, or a password \
                  that is not that user's. Answered 401. A request without any is answered so too, but is no refusal: \
                  every browser begins with one.",
        cause: "A mistyped or outdated password, or somebody who guesses. Each guess costs a hash, which is \
                computed beside the workers.",
        remedy: "`htpasswd -nBC 10 NAME` prints a new hash for the file; a reload brings it into force. Against guessing, \
                 give the rule a `rate_limit` as well: it is asked first.",
    },
    Page {
        code: Code::BrokenBody,
        meaning: "The body of a request breaks its framing: a chunk size that is no number, a chunk without its line \
                  end, or a wrong trailer. The request was cut off; where nothing had been answered yet, with 400. \
                  A client that leaves before the promised end gets no answer and no line of its own: the access \
                  log says that it left.",
        cause: "A client written by hand, or an attempt at request \
                smuggling.",
        remedy: "Correct the client; there is no switch that lets such bodies pass.",
    },
    Page {
        code: Code::BodyDeadline,
        meaning: "The body of a request stopped coming, or came with fewer bytes a second than `min.body_rate` over the \
                  idle time of the listener. \
                  Answered 408 where nothing had been answered yet, and closed.",
        cause: "A client that lost its network in the middle of an upload, or one that sends a byte now and then to \
                hold a connection.",
        remedy: "Raise `timeout = { idle = … }` on the listener, or lower `min = { body_rate = … }`, if slow uploads are \
                 expected.",
    },
    Page {
        code: Code::BodyTooLong,
        meaning: "A request has more content than `max = { body = … }` of the listener, or `max_body` of a rule, allows. \
                  One that tells its length was answered with 413 before anything of it was forwarded, and before its \
                  body was asked for where it waits for `100 Continue`. One that does not was forwarded as far as it was \
                  not too long: then the connection to the endpoint was closed, so that it never sees a whole request, \
                  and 413 was answered unless the endpoint had answered already.",
        cause: "An upload that is larger than was meant, or somebody who tries how much is taken.",
        remedy: "Raise `max_body` in a rule for the paths that take uploads, and leave the listener's low.",
    },
    Page {
        code: Code::BrokenHttp2,
        meaning: "The client broke a rule of HTTP/2 that holds for the whole connection: a preface that is none, a frame in \
                  the wrong place or of the wrong size, a head that cannot be unpacked, a byte in a field that none may \
                  hold, a window that overflows. It was \
                  told so by GOAWAY, and the connection closed.",
        cause: "A client that speaks HTTP/1.1 to a listener with `http2 = \"prior-knowledge\"`, a client written by hand, \
                or a scanner.",
        remedy: "The line names the reason that was sent. A listener with prior knowledge is for clients that are told to \
                 use it, as curl is by `--http2-prior-knowledge`; others need a listener of their own, or TLS, where both \
                 sides agree.",
    },
    Page {
        code: Code::Http2Flood,
        meaning: "An HTTP/2 connection sent hundreds of frames that move nothing: pings, settings, priorities, empty data, \
                  windows without answers, requests that are taken back at once, or heads in splinters. It was told \
                  ENHANCE_YOUR_CALM by GOAWAY, and closed. Each answer gives such frames back, and so does time, so \
                  that nobody who is served comes near the limit.",
        cause: "An attack (rapid reset, MadeYouReset, a ping or settings flood), or a client with an error in a loop.",
        remedy: "Nothing, as a rule; the connection is gone, and no other was held up. The line names the client, so that \
                 whoever comes again can be refused by a rule or a firewall.",
    },
    Page {
        code: Code::MalformedStream,
        meaning: "A request over HTTP/2 broke a rule before it was one: a field of HTTP/1.1 such as `connection` or \
                  `transfer-encoding`, a pseudo-field that is missing, doubled or in the wrong place, a path that is none, \
                  a body that is not as long as it said. Its stream was reset; the others of its connection \
                  went on.",
        cause: "A client written by hand, or an attempt to smuggle a second request past a proxy that is less strict.",
        remedy: "The line names the stream and the reason that was sent. Correct the client; there is no switch that lets \
                 such requests pass.",
    },
    Page {
        code: Code::Misdirected,
        meaning: "The client asked for one name in its TLS handshake, and over that connection for another one, which has another \
                  certificate here. The request was answered with 421 (Misdirected Request): whoever understands it asks again \
                  on a connection of its own. Names under the same certificate are served, and so are all where the client \
                  gave no SNI.",
        cause: "A client that shares connections between names more freely than certificates allow, a test with a `Host` of its \
                own (`curl -H 'Host: …'`), or an attempt to get past what a proxy in front decides by SNI.",
        remedy: "Let the client ask for the same name in both places (`curl --connect-to` and `--resolve` do). Names that \
                 are one service belong into one certificate.",
    },
    Page {
        code: Code::HeadsWaiting,
        meaning: "The heads of all requests that are served on one HTTP/2 connection weigh no more than 4 KiB for each of \
                  `max.streams` and twice `max.head`, before the next one begins. This request waited for others to end: \
                  longer than `timeout.head`, or where as many waited as may. Its stream was reset with REFUSED_STREAM, \
                  which says that nothing was done and the client may ask again.",
        cause: "Many requests at once with large heads (cookies, tokens) to endpoints that take their time; or a client that names a \
                long field by its index in every request, so that few bytes become megabytes.",
        remedy: "Look at the line's client. If it is yours, make its fields shorter, its requests fewer, or `max.head` of its listener \
                 larger. A stranger who fills his own connection holds up nobody but himself.",
    },
    Page {
        code: Code::TooManyStreams,
        meaning: "The client began an HTTP/2 request while as many as `max.streams` allows were open on the connection. Its \
                  stream was reset with REFUSED_STREAM, which says that nothing was done and the client may ask again.",
        cause: "The client has not read the setting that tells it how many there may be (SETTINGS_MAX_CONCURRENT_STREAMS), or \
                does not heed it. A few at the beginning of a connection are those that were sent before the setting came.",
        remedy: "If the client is yours and does so all the time, mend it; if it was built for more at once, raise `max.streams` of \
                 the listener. A stranger who goes on with it is closed with `FW422`.",
    },
];
