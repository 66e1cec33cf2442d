//! The stable codes of all that foreword refuses: one row each, the same in logs, metrics and `foreword explain`.

use std::fmt;

use super::explain::{self, Page};

/// Makes the codes, their numbers, requirements and titles from one table, so that they cannot drift apart.
macro_rules! codes {
    ($($name:ident $number:literal [$($requirement:literal)?] $title:literal,)*) => {
        /// Why a connection, a request, a file or a resource was refused.
        ///
        /// The numbers are stable: a code is never given to another cause, and one that is gone leaves a gap.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Code {
            $(#[doc = concat!("FW", $number, ": ", $title, ".")] $name,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number behind `FW`; its hundreds name the room: 1 header, 2 trust, 3 TLS, 4 HTTP and rules,
            /// 5 upstream, 6 configuration, 7 resources.
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number),* }
            }

            /// What was refused, as a phrase without a full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// The requirement of `docs/spec.md` that the refusal rests on, where it is always the same one.
            pub const fn requirement(self) -> Option<&'static str> {
                match self { $(Self::$name => codes!(@ $($requirement)?)),* }
            }
        }
    };
    (@ $requirement:literal) => { Some($requirement) };
    (@) => { None };
}

codes! {
    TlsForHeader          101 ["R-SEC-20"]  "a bare TLS ClientHello where a PROXY header is expected",
    HttpForHeader         102 ["R-SEC-02"]  "a bare HTTP request where a PROXY header is expected",
    BytesForHeader        103 ["R-SEC-02"]  "other bytes where a PROXY header is expected",
    MalformedV1           104 []            "a malformed version 1 header",
    MalformedV2           105 []            "a malformed version 2 header",
    HeaderTooLong         106 ["R-V2-17"]   "a header longer than `header.max`",
    HeaderSilence         107 ["R-SEC-07"]  "silence until the header deadline",
    HeaderUnfinished      108 ["R-SEC-07"]  "a header unfinished at its deadline",
    HeaderCutShort        109 ["R-SEC-10"]  "a connection closed inside its header",
    SecondHeader          110 ["R-SEC-12"]  "a second header after the first",
    HeaderChecksum        111 ["R-TLV-05"]  "a header with a wrong checksum",
    HeadersWaiting        112 ["R-SEC-08"]  "too many headers awaited, the oldest went",
    HeaderForbidden       113 ["R-SEC-01"]  "a header where none is believed",
    ClaimRefused          114 ["R-SEC-15"]  "a header that claims an address nobody can have",
    HeaderUnknown         115 ["R-SEC-16"]  "a LOCAL or UNKNOWN header where `unknown = \"reject\"`",
    HeaderChain           116 ["R-SEC-12"]  "a broken chain of headers",
    Stranger              201 ["R-SEC-03"]  "a peer outside every trust group",
    HttpForTls            301 []            "plain HTTP on a TLS port",
    BytesForTls           302 []            "bytes that are not TLS on a TLS port",
    HandshakeFailed       303 []            "a failed TLS handshake",
    HandshakeDeadline     304 []            "a TLS handshake unfinished at its deadline",
    HandshakeCutShort     305 []            "a connection closed inside the TLS handshake",
    NoClientCertificate   306 []            "a client without a certificate where one is required",
    ClientCertificate     307 []            "a client's certificate that is not accepted",
    UnknownSni            308 []            "an SNI that no certificate has",
    CertificateAwaited    309 []            "a name whose certificate was not issued yet",
    CertificateNotIssued  310 []            "a certificate that could not be obtained",
    MalformedHead         401 []            "a malformed request head",
    AmbiguousFraming      402 []            "a request whose body could end in two places",
    UnknownTransferCoding 403 []            "an unknown transfer coding",
    NoRule                404 []            "nothing that a rule would take",
    UnsettledPath         405 []            "a path that cannot be settled",
    WrongHost             406 []            "a Host field missing, doubled or disagreeing",
    HeadTooLarge          407 []            "a request head, target or number of fields too large",
    HeadDeadline          408 []            "a request head unfinished at its deadline",
    TlsForHttp            409 []            "TLS on a plain HTTP port",
    OtherHttpVersion      410 []            "HTTP/0.9, HTTP/2 without TLS, or an unknown version",
    RefusedByRule         411 []            "a connection or a request refused by a rule",
    WrongPassword         412 []            "a wrong name or password",
    BrokenBody            413 []            "a request body with broken framing",
    BodyDeadline          414 []            "a request body that stopped coming",
    BodyTooLong           415 []            "a request body longer than it may be",
    BrokenHttp2           421 []            "a connection that breaks the rules of HTTP/2",
    Http2Flood            422 []            "an HTTP/2 connection with frames that carry nothing",
    MalformedStream       423 []            "an HTTP/2 request that breaks the rules of its stream",
    Misdirected           424 []            "a request for a name that has another certificate than its connection",
    HeadsWaiting          425 []            "an HTTP/2 request that waited for the heads of others",
    TooManyStreams        426 []            "an HTTP/2 request beside as many as there may be",
    NoConnection          501 []            "no connection to any endpoint",
    ConnectTimeout        502 []            "a connect time-out",
    NoEndpoint            503 []            "no endpoint to connect to",
    ResponseTimeout       504 []            "an endpoint that did not answer in time",
    EndpointClosed        505 []            "an endpoint that closed before it answered",
    MalformedAnswer       506 []            "a malformed answer from an endpoint",
    AnswerTooLarge        507 []            "an answer head over 32 KiB",
    AnswerCutShort        508 []            "an endpoint that broke off inside its answer",
    EndpointDown          521 []            "an endpoint that its health check found down",
    EndpointEjected       522 []            "an endpoint that failed those who came, and is left alone for a while",
    AllDown               523 []            "no endpoint of a cluster that is up",
    HeaderOverBounds      531 []            "a header to an endpoint longer than `max_header`",
    TlvsLeftOut           532 []            "TLVs left out of a header to an endpoint",
    EndpointHandshake     533 []            "a failed TLS handshake with an endpoint",
    EndpointHttp2         534 []            "an HTTP/2 endpoint that breaks the rules, or floods",
    FileUnreadable        601 []            "a configuration file that cannot be read",
    FileNotToml           602 []            "a configuration file that is not TOML",
    FileWrong             603 []            "a configuration that contradicts itself or the reference",
    CertificateOrKey      604 []            "a certificate or key that cannot be used",
    ReloadFailed          605 []            "a failed reload, the old plan goes on",
    FilesRefused          606 []            "files that changed and cannot be used, what was read before goes on",
    OutOfDescriptors      701 []            "no file descriptors left",
    ConnectionLimit       702 []            "the connection limit reached",
    AddressTaken          703 []            "an address that is taken, or is not ours",
    LogLinesLost          704 []            "access-log lines lost",
    Panicked              705 []            "a panic in a connection",
    FlowLimit             706 []            "the limit of flows reached",
    DatagramTooLarge      707 ["R-UDP-07"]  "a datagram larger than the path takes",
    FewDescriptors        708 []            "fewer file descriptors than connections need",
    LogNotOpened          709 []            "an access log that cannot be opened",
    DatagramsUnread       710 []            "datagrams that cannot be read",
    RateLimited           711 []            "somebody who comes more often than a rule lets them",
    TooManyAtOnce         712 []            "somebody who has more going on at once than they may",
    PasswordsWaiting      713 []            "too many passwords to be checked",
    MemoryShort           714 []            "memory nearly used up",
    QueueFull             721 []            "no connection to a cluster free, and its queue full",
    QueueDeadline         722 []            "no connection to a cluster free in time",
}

impl Code {
    /// How many codes there are: tables of counters are this long.
    pub const COUNT: usize = Self::ALL.len();

    /// The place of the code in [`Code::ALL`], and so in tables of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Reads a code as people write it: `FW101`, `fw101` or `101`.
    ///
    /// # Examples
    ///
    /// ```
    /// use foreword_gateway::refusal::Code;
    ///
    /// assert_eq!(Code::parse("fw101"), Some(Code::TlsForHeader));
    /// assert_eq!(Code::parse("101"), Some(Code::TlsForHeader));
    /// assert_eq!(Code::parse("FW999"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = match text.split_at_checked(2) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("fw") => rest,
            _ => text,
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u16 = digits.parse().ok()?;
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The page that `foreword explain` shows.
    pub fn page(self) -> &'static Page {
        explain::page(self)
    }

    /// Whether somebody may have to do something about it: what a rule refuses is the operator's own wish.
    pub(crate) const fn is_fault(self) -> bool {
        !matches!(self, Self::RefusedByRule)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FW{:03}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_the_order_of_their_numbers_and_their_index_is_their_place() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        for (place, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.index(), place);
        }
    }

    #[test]
    fn a_code_is_read_in_any_case_and_without_its_letters() {
        for &code in Code::ALL {
            let name = code.to_string();
            assert_eq!(Code::parse(&name), Some(code));
            assert_eq!(Code::parse(&name.to_lowercase()), Some(code));
            assert_eq!(Code::parse(&format!(" {}\n", code.number())), Some(code));
        }
    }

    #[test]
    fn what_is_no_code_is_not_taken_for_one() {
        for text in ["", "FW", "FW1", "FW0101", "FW+01", "fw101x", "É01", "FW499", "101.0"] {
            assert_eq!(Code::parse(text), None, "{text}");
        }
    }
}
