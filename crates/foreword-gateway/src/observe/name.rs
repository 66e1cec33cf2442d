//! The names of what an access log can tell: one table for JSON, templates and the reference.

/// Makes the names, their spelling and their meaning from one table.
macro_rules! names {
    ($($name:ident $text:literal $meaning:literal,)*) => {
        /// Something that an access-log line can tell.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`: ", $meaning)] $name,)*
        }

        impl Name {
            /// All names, in the order in which JSON lines have them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name as it is written in JSON lines and, in braces, in templates.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The name as a further key of a JSON object: with comma, quotes and colon.
            #[inline]
            pub(crate) const fn as_key(self) -> &'static str {
                match self { $(Self::$name => concat!(",\"", $text, "\":")),* }
            }

            /// The same, with the quote that a text begins with.
            #[inline]
            pub(crate) const fn as_key_of_text(self) -> &'static str {
                match self { $(Self::$name => concat!(",\"", $text, "\":\"")),* }
            }

            /// Has `visit` see every name, in their order. There is a piece of code for each, made when this is
            /// compiled, so that nothing that depends on the name alone is left to be done.
            #[inline(always)]
            pub(crate) fn each(visit: &mut impl Visit) {
                $(visit.visit(Self::$name);)*
            }

            /// What it tells, as a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }
        }
    };
}

/// Does something with each name; see [`Name::each`].
pub(crate) trait Visit {
    /// Is to be inlined, or nothing is won.
    fn visit(&mut self, name: Name);
}

names! {
    Timestamp "@timestamp" "When the request began or the connection was accepted: RFC 3339, UTC, milliseconds.",
    Duration "event.duration" "How long it took from there to the end, in nanoseconds.",
    Outcome "event.outcome" "`success` where it ended as its sides wished, else `failure`.",
    Listener "listener" "The listener's name in the file.",
    ClientIp "client.ip" "The client's address: the header's claim if it was believed, else the peer's.",
    ClientPort "client.port" "The client's port, from where the address is.",
    ClientAddress "client.address" "The client's unix socket, `unix:` and its path, instead of `client.ip`.",
    PeerIp "peer.ip" "The address at the other end of the socket, as the kernel says.",
    PeerPort "peer.port" "The port there.",
    PeerAddress "peer.address" "`unix:` where the peer came through a unix socket, instead of `peer.ip`.",
    DestinationIp "destination.ip" "The address that the client connected to: the header's, else the socket's own.",
    DestinationPort "destination.port" "The port there.",
    Trust "trust" "The trust group that the peer is in.",
    HeaderVersion "header.version" "The version of the PROXY header, 1 or 2. Absent where none came.",
    TlsVersion "tls.version" "The TLS version, as `TLSv1.3`.",
    TlsCipher "tls.cipher" "The cipher suite, as IANA names it.",
    TlsSni "tls.sni" "The name that the client asked for in its TLS handshake.",
    TlsAlpn "tls.alpn" "The protocol that the TLS handshake agreed on.",
    TlsClientCn "tls.client.cn" "The common name in the client's certificate, where it showed one and it was verified.",
    TlsClientSerial "tls.client.serial" "The serial number of that certificate, in hexadecimal.",
    TlsClientFingerprint "tls.client.fingerprint" "The SHA-256 of that certificate, in hexadecimal.",
    TimeHeader "time.header" "From accept until the PROXY header was whole, in nanoseconds.",
    TimeHandshake "time.handshake" "From there until the TLS handshake was done, in nanoseconds.",
    ConnectionId "connection.id" "The `unique_id` that the cluster's servers were told: the one that came with the connection, else one of its own.",
    Method "http.request.method" "The method.",
    Target "url.original" "The target as it was received.",
    Path "url.path" "The normalised path, which the rules saw.",
    Query "url.query" "The query, without its question mark.",
    Host "url.domain" "The host, in lower case, without port.",
    HttpVersion "http.version" "`1.0`, `1.1` or `2`.",
    Referer "http.request.referrer" "The Referer field.",
    UserAgent "user_agent.original" "The User-Agent field.",
    User "user.name" "Whose password it was that a rule asked for (`basic_auth`).",
    RequestId "http.request.id" "The request id, as it was forwarded.",
    TraceId "trace.id" "The trace id of the W3C `traceparent` field.",
    Status "http.response.status_code" "The status of the answer. Absent where there was none.",
    Rule "rule" "The rule that ended the request or connection.",
    Cluster "cluster" "The cluster that it was forwarded to.",
    Endpoint "endpoint" "The endpoint of the cluster.",
    BytesReceived "bytes.received" "Bytes from downstream: a request's head and body, or a connection's payload.",
    BytesSent "bytes.sent" "Bytes to downstream.",
    DatagramsReceived "datagrams.received" "Datagrams from downstream that went to the endpoint; in udp mode alone.",
    DatagramsSent "datagrams.sent" "Datagrams of the endpoint that went downstream; in udp mode alone.",
    UpstreamSent "upstream.bytes.sent" "Bytes to the endpoint.",
    UpstreamReceived "upstream.bytes.received" "Bytes from the endpoint.",
    Retries "upstream.retries" "How many attempts came after the first.",
    Reused "upstream.reused" "Whether a kept connection to the endpoint was used.",
    TimeHead "time.head" "From the request's first byte until its head was whole, in nanoseconds.",
    TimeConnect "time.connect" "From there until a connection to an endpoint was ready, in nanoseconds.",
    TimeQueue "time.queue" "How much of that it waited since endpoints had as many connections as they may have, in nanoseconds. Absent where it did not.",
    TimeResponse "time.response" "From there until the first byte of the answer, in nanoseconds.",
    Termination "termination" "`complete`, `refused`, `aborted`, `timed_out`, `cut_off` or `panicked`.",
    TerminationState "termination.state" "How it ended, in the four letters of HAProxy.",
    RefusalCode "refusal.code" "The code that `foreword explain` describes, where it was refused.",
}

impl Name {
    /// Whether it tells of the connection: as long as a request has no client of its own, all requests tell the same.
    /// These names stand together; the entry's tests hold them to what is told.
    #[inline]
    pub(crate) const fn is_of_connection(self) -> bool {
        Self::Listener as u8 <= self as u8 && self as u8 <= Self::TimeHandshake as u8
    }

    /// Finds a name by its spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text)
    }
}

/// A set of names: what the configured format needs, so that nothing else is copied from a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants(u64);

impl Wants {
    /// What is wanted where no line is written.
    pub(crate) const NOTHING: Self = Self(0);
    /// What JSON wants.
    pub(crate) const EVERYTHING: Self = Self(u64::MAX);

    #[must_use]
    pub(crate) const fn and(self, name: Name) -> Self {
        Self(self.0 | 1 << name as u8)
    }

    pub(crate) const fn has(self, name: Name) -> bool {
        self.0 & 1 << name as u8 != 0
    }
}

/// More names than a set has bits would not compile.
const _: () = assert!(Name::ALL.len() <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_spelling_and_no_two_are_spelled_alike() {
        for &name in Name::ALL {
            assert_eq!(Name::parse(name.as_str()), Some(name));
        }
        assert_eq!(Name::parse("client_ip"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let wants = Wants::NOTHING.and(Name::Timestamp).and(Name::RefusalCode);
        assert!(wants.has(Name::Timestamp) && wants.has(Name::RefusalCode));
        assert!(!wants.has(Name::ClientIp) && Wants::EVERYTHING.has(Name::ClientIp));
    }
}
