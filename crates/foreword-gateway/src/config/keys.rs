//! Every key of the file, once: what it takes, its default, what it does. Reading, "did you mean" and the reference all
//! come from here.

use foreword::Parser;

use super::takes::Takes::{
    self, AllOrKinds, Count, Duration, Flag, Kind, Lists, Named, NamedTexts, NamedTextsOrLists, Number,
    OneNumber, Size, Status, Table, Tables, Text, TextOrTable, TextOrTables, Texts, TextsOrTables, True,
    Word, WordOrTable, Words, WordsOrTables,
};
use crate::policy::cluster::MOST_WEIGHT;

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// As the reference heads it.
    pub(crate) title: &'static str,
    /// One or two sentences about it.
    pub(crate) about: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    /// As it would be written, or in a word; empty where leaving it out means nothing.
    pub(crate) default: &'static str,
    /// What it does, in a sentence.
    pub(crate) about: &'static str,
}

impl Section {
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().map(|key| key.name)
    }
}

const fn key(name: &'static str, takes: Takes, default: &'static str, about: &'static str) -> Key {
    Key { name, takes, default, about }
}

/// Every table, in the order of the reference.
pub(crate) const SECTIONS: &[&Section] = &[
    &TOP,
    &TRUST,
    &LIST_FILE,
    &LISTENER,
    &TLS,
    &CERTIFICATE,
    &HEADER,
    &TIMEOUT,
    &KEEPALIVE,
    &MAX,
    &MIN,
    &RULE,
    &THEN,
    &RATE_LIMIT,
    &REDIRECT,
    &RESPOND,
    &CLUSTER,
    &ENDPOINT,
    &BALANCE,
    &ZONE,
    &CLUSTER_MAX,
    &SEND_TLV,
    &CLUSTER_TIMEOUT,
    &HEALTH,
    &EJECTION,
    &CLUSTER_KEEPALIVE,
    &CLUSTER_TLS,
    &LOG,
    &ACCESS,
    &ADMIN,
    &TEST,
    &REQUEST,
    &EXPECT,
];

pub(crate) const TOP: Section = Section {
    title: "Top level",
    about: "The tables of the file, and what holds for the whole gateway.",
    keys: &[
        key(
            "workers",
            Number(1, 1024),
            "one per core",
            "Threads that serve connections; takes effect at the next start.",
        ),
        key(
            "name_servers",
            Texts("addresses, with a port if it is not 53"),
            "those of `/etc/resolv.conf`",
            "Who is asked for the names of endpoints.",
        ),
        key("drain", Duration, "\"30s\"", "How long connections may take to end after SIGTERM or SIGINT."),
        key(
            "include",
            Texts("paths"),
            "[]",
            "More files, read as if they stood here; the last part of a path may hold `*`.",
        ),
        key(
            "request_id",
            Text("the name of a field"),
            "\"X-Request-Id\"",
            "The field that carries a request's id upstream; it is taken over from peers whose group says `forwarded = true`.",
        ),
        key(
            "zone",
            TextOrTable("the name of a zone, or a table", &ZONE),
            "none",
            "The zone that this gateway is in: endpoints of the same one come first, those of others when too few of them are usable.",
        ),
        key("trust", Named(&TRUST), "", "`[trust.NAME]`: whose word is taken for the client's address."),
        key(
            "list",
            Lists(&LIST_FILE),
            "",
            "`[list]`: addresses or words that rules ask as `@name`: `office = [\"198.51.100.0/24\"]`, or `{ file = \"office.txt\" }`.",
        ),
        key("listener", Named(&LISTENER), "", "`[listener.NAME]`: where connections come in."),
        key("cluster", Named(&CLUSTER), "", "`[cluster.NAME]`: where they go."),
        key("log", Table(&LOG), "", "`[log.access]`: the access log."),
        key("admin", Table(&ADMIN), "", "`[admin]`: where the gateway answers for itself."),
        key("test", Tables(&TEST), "", "`[[test]]`: what `foreword check` tries."),
    ],
};

pub(crate) const TRUST: Section = Section {
    title: "[trust.NAME]",
    about: "A group of peers. The peer's source address decides, before a byte is read; the most specific range wins.",
    keys: &[
        key("from", Texts("addresses, CIDRs and `unix`"), "required", "Which peers belong to the group."),
        key(
            "header",
            Word(&["require", "optional", "forbid"]),
            "\"require\"",
            "Whether they must, may or must not send a PROXY header. Who sends none under `optional` or `forbid` is its own client.",
        ),
        key(
            "forwarded",
            Flag,
            "false",
            "Whether their `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` and their request ids are believed. `Forwarded` and `X-Real-IP` never are: what the next server gets of them is made from what is believed.",
        ),
    ],
};

pub(crate) const LIST_FILE: Section = Section {
    title: "[list] NAME = { … }",
    about: "A list from a file: one entry a line, empty lines and what follows `#` left out.",
    keys: &[key("file", Text("a path"), "required", "The file; it is read again at each reload.")],
};

pub(crate) const LISTENER: Section = Section {
    title: "[listener.NAME]",
    about: "Where connections come in, what is spoken there, and what becomes of them.",
    keys: &[
        key(
            "bind",
            Texts("addresses"),
            "required",
            "`\"[::]:443\"` takes IPv6 and IPv4, `\"10.0.1.10:443\"` one address, `\"unix:/path\"` a unix socket, which udp mode has not.",
        ),
        key(
            "mode",
            Word(&["http", "tcp", "tls-passthrough", "udp"]),
            "required",
            "`http` reads requests and decides each; `tcp` decides once and forwards bytes; `tls-passthrough` does so by what the client says at the beginning of its TLS, which goes on untouched; `udp` forwards datagrams and decides once for each flow.",
        ),
        key(
            "trust",
            Texts("groups"),
            "[]",
            "Whose headers are believed. With groups, a peer in none of them is closed unread; without, everyone is direct and no header is believed.",
        ),
        key("tls", Table(&TLS), "none", "Ends TLS here."),
        key(
            "http2",
            Word(&["alpn", "prior-knowledge", "off"]),
            "\"alpn\"",
            "Where HTTP/2 is spoken: under `tls` with clients that offer it; by every client, without `tls`; nowhere.",
        ),
        key("header", Table(&HEADER), "{}", "How PROXY headers are read."),
        key("timeout", Table(&TIMEOUT), "{}", "How long is waited."),
        key("keepalive", Table(&KEEPALIVE), "{}", "How clients are asked whether they are still there."),
        key("max", Table(&MAX), "{}", "How much is taken."),
        key("min", Table(&MIN), "{}", "How little is taken."),
        key(
            "encoded_slash",
            Word(&["refuse", "keep"]),
            "\"refuse\"",
            "What becomes of a request whose path holds `%2F` or `%5C`: 400, or forwarded as it is, where rules see `/`.",
        ),
        key("ignore_case", Flag, "false", "Whether rules compare paths without case."),
        key(
            "rule",
            Tables(&RULE),
            "[]",
            "`[[listener.NAME.rule]]`: read top-down until one ends the request.",
        ),
        key("cluster", Text("the name of a cluster"), "none", "A last rule that forwards there."),
    ],
};

pub(crate) const TLS: Section = Section {
    title: "[listener.NAME] tls = { … }",
    about: "TLS 1.2 and 1.3. The names in the certificates decide which one answers which SNI; the first one, in a directory that of the first file by name, answers an SNI that none has, and clients that send none.",
    keys: &[key(
        "certificates",
        TextOrTables("a directory, or a list of pairs", &CERTIFICATE),
        "required",
        "A directory in which each `*.pem` holds a chain and its key, or `NAME.crt` and `NAME.key` belong together; or a list of `{ certificate = \"…\", key = \"…\" }`.",
    )],
};

pub(crate) const CERTIFICATE: Section = Section {
    title: "tls = { certificates = [{ … }] }",
    about: "A pair of PEM files.",
    keys: &[
        key("certificate", Text("a path"), "required", "The chain, the server's own certificate first."),
        key("key", Text("a path"), "required", "Its private key."),
    ],
};

pub(crate) const HEADER: Section = Section {
    title: "[listener.NAME] header = { … }",
    about: "How PROXY headers are read. The defaults are strict; each switch is for a sender that is known to need it.",
    keys: &[
        key(
            "deadline",
            Duration,
            "\"3s\"",
            "From the connection's first moment until its header is whole, however slowly it drips.",
        ),
        key(
            "max",
            Size(Parser::LEAST_MAX_LEN as u64, foreword::MAX_LEN as u64),
            "4096",
            "The longest header that is read.",
        ),
        key(
            "waiting",
            Count,
            "1024",
            "How many connections may owe a header at once; beyond it the oldest goes.",
        ),
        key(
            "unknown",
            Word(&["accept", "reject"]),
            "\"accept\"",
            "What becomes of LOCAL and UNKNOWN headers: the peer is its own client, or it is refused.",
        ),
        key("ipv4_in_tcp6", Flag, "false", "Whether a v1 line may name IPv4 addresses under TCP6."),
        key(
            "tlv_malformed",
            Word(&["reject", "ignore"]),
            "\"reject\"",
            "`ignore` drops all TLVs of a header whose list of them is broken.",
        ),
        key(
            "tlv_duplicate",
            Word(&["reject", "first"]),
            "\"reject\"",
            "`first` takes the first of several TLVs of which there may be one.",
        ),
        key(
            "checksum",
            Word(&["optional", "require"]),
            "\"optional\"",
            "Whether a v2 header must carry a CRC32C. One that is there is always checked.",
        ),
        key(
            "second_header",
            Word(&["payload", "reject"]),
            "\"payload\"",
            "What a second header is in tcp mode. In http mode it is always refused.",
        ),
        key(
            "datagrams",
            Word(&["every", "first", "spp"]),
            "\"every\"",
            "In udp mode, where the header is: v2 in front of `every` datagram, v2 in front of the `first` one of a flow, or the Simple Proxy Protocol in front of each and of each answer.",
        ),
        key(
            "chain",
            // More proxies in a row than this are a loop.
            Number(1, 8),
            "1",
            "How many headers are read; each is judged by the address that the one before it claimed.",
        ),
    ],
};

pub(crate) const TIMEOUT: Section = Section {
    title: "[listener.NAME] timeout = { … }",
    about: "Durations are written `500ms`, `3s`, `1m` or `2h`.",
    keys: &[
        key(
            "tls",
            Duration,
            "\"10s\"",
            "For the TLS handshake; for the ClientHello where TLS passes through.",
        ),
        key("head", Duration, "\"10s\"", "For the head of a request."),
        key(
            "idle",
            Duration,
            "\"60s\", in udp mode \"30s\"",
            "For which nothing may move: between requests, in a body, in a tcp connection, in a flow, which then ends.",
        ),
        key("total", Duration, "none", "For a whole tcp connection, however busy it is."),
    ],
};

pub(crate) const KEEPALIVE: Section = Section {
    title: "[listener.NAME] keepalive = { … }",
    about: "TCP keepalive: the kernel asks a client of which nothing was heard. It has an effect where `timeout.idle` is longer than its `idle`; before that the idle timeout ends the connection.",
    keys: KEEPALIVE_KEYS,
};

const KEEPALIVE_KEYS: &[Key] = &[
    key(
        "idle",
        Duration,
        "\"60s\"",
        "For how long nothing was heard before the first question, in whole seconds.",
    ),
    key("interval", Duration, "\"15s\"", "Between questions, in whole seconds."),
    // The most that Linux takes.
    key(
        "count",
        Number(0, 127),
        "4",
        "How many go unanswered before the connection is given up; 0 asks none.",
    ),
];

pub(crate) const MAX: Section = Section {
    title: "[listener.NAME] max = { … }",
    about: "Sizes are a number of bytes, or written `\"16KiB\"` or `\"1MiB\"`.",
    keys: &[
        key("head", Size(1024, 1024 * 1024), "\"16KiB\"", "The longest head of a request."),
        key("fields", Number(1, 1000), "100", "The most fields in it."),
        key("streams", Number(1, 1000), "100", "The most requests at once on one HTTP/2 connection."),
        key("connections", Count, "what the descriptor limit allows", "The most connections at once."),
        key(
            "flows",
            Count,
            "16384",
            "The most flows at once in udp mode. Beyond it, the idlest one whose client has not spoken since it was answered makes room; where there is none, the new one is dropped.",
        ),
    ],
};

pub(crate) const MIN: Section = Section {
    title: "[listener.NAME] min = { … }",
    about: "Who sends less only holds the connection.",
    keys: &[key(
        "body_rate",
        Number(0, 1024 * 1024),
        "64",
        "Bytes a second that the body of a request must bring until its answer begins, over `timeout.idle` at a time; with 0, one byte in each.",
    )],
};

pub(crate) const RULE: Section = Section {
    title: "[[listener.NAME.rule]]",
    about: "Rules are read top-down. Each may change something; the first that ends the request decides. Without one: 404 in http mode, closed in tcp mode.",
    keys: &[
        key("name", Text("text"), "rule N", "Names it in logs and tests."),
        key("when", Text("a condition"), "always", "When it holds: see [the rule language](rules.md)."),
        key("then", Table(&THEN), "required", "What it does."),
    ],
};

pub(crate) const THEN: Section = Section {
    title: "then = { … }",
    about: "Any number of changes (the `set_…` and `remove_…` keys), and at most one ending (the others).",
    keys: &[
        key("deny", Status(400), "", "Answers with this status; in http mode only."),
        key("close", True, "", "Closes the connection without an answer."),
        key(
            "redirect",
            TextOrTable("a template, or a table", &REDIRECT),
            "",
            "Answers with 308 and this `Location`.",
        ),
        key("respond", Table(&RESPOND), "", "Answers with a text of your own."),
        key("forward", Text("the name of a cluster"), "", "Forwards there."),
        key(
            "rate_limit",
            Table(&RATE_LIMIT),
            "",
            "Lets no more pass than so many in so much time; in tcp mode connections are counted.",
        ),
        key(
            "set_fields",
            NamedTexts("a table of templates"),
            "",
            "Sets fields of the request that goes upstream.",
        ),
        key("remove_fields", Texts("names"), "", "Removes fields of the request that goes upstream."),
        key(
            "set_response_fields",
            NamedTexts("a table of templates"),
            "",
            "Sets fields of the response that goes to the client.",
        ),
        key(
            "remove_response_fields",
            Texts("names"),
            "",
            "Removes fields of the response that goes to the client.",
        ),
    ],
};

pub(crate) const RATE_LIMIT: Section = Section {
    title: "then = { rate_limit = { … } }",
    about: "How often a rule lets somebody pass: smoothly, with a burst after a pause (GCRA). Whoever comes too often is answered with `status` and `Retry-After`; in tcp mode the connection is closed. All workers count together, and a reload goes on counting where nothing of it changed.",
    keys: &[
        key("requests", Number(1, 1_000_000_000), "required", "So many for each key…"),
        key("every", Duration, "\"1s\"", "…in so much time."),
        key("burst", Number(1, 1_000_000_000), "as `requests`", "How many may come at once after a pause."),
        key(
            "per",
            Text("a value, or a template"),
            "\"client.ip\"",
            "What is counted apart: `client.ip`, `field[\"authorization\"]`, `{host}{path}`, … IPv6 addresses count by their /64. Whoever has no such value is not limited.",
        ),
        key("status", Status(400), "429", "The answer to whoever comes too often; in http mode only."),
        key(
            "keys",
            Number(1, 16_777_216),
            "65536",
            "How many keys are remembered, with 16 bytes each. Where there are more, those that used least are forgotten first.",
        ),
    ],
};

/// Those keys of [`THEN`] of which a rule has at most one.
pub(crate) const ENDINGS: &[&str] = &["deny", "close", "redirect", "respond", "forward"];

pub(crate) const REDIRECT: Section = Section {
    title: "then = { redirect = { … } }",
    about: "A redirect with a status of your choice.",
    keys: &[
        key("to", Text("a template"), "required", "The `Location`, such as `https://{host}{uri}`."),
        key(
            "status",
            OneNumber(&[301, 302, 303, 307, 308]),
            "308",
            "308 and 307 keep the method, 301 and 308 may be remembered.",
        ),
    ],
};

pub(crate) const RESPOND: Section = Section {
    title: "then = { respond = { … } }",
    about: "An answer that needs no upstream.",
    keys: &[
        key("status", Status(200), "200", "Its status."),
        key("body", Text("text"), "\"\"", "Its body, as it is."),
        key("content_type", Text("text"), "\"text/plain; charset=utf-8\"", "Its `Content-Type`."),
    ],
};

pub(crate) const CLUSTER: Section = Section {
    title: "[cluster.NAME]",
    about: "Interchangeable endpoints.",
    keys: &[
        key(
            "endpoints",
            TextsOrTables("a list of endpoints, each a text or a table", &ENDPOINT),
            "required",
            "`\"10.0.1.10:443\"`, `\"app.internal:8080\"` (all its addresses, for as long as they are good), `\"srv:_http._tcp.app.internal\"` (hosts, ports, weights and backups as its SRV records say) or `\"unix:/path\"`; with more to say, `{ address = \"10.0.1.10:443\", weight = 3 }`.",
        ),
        key(
            "balance",
            WordOrTable(&["round-robin", "least-connections", "random-of-two", "first"], &BALANCE),
            "\"round-robin\"",
            "Which endpoint is next: each in turn; the one with the fewest connections; of two at random the one with fewer; the first that has room; or with `{ hash = \"client.ip\" }` the same one for the same value. All but `first` honour weights. Connections are those of the same worker.",
        ),
        key(
            "zone",
            TextOrTable("the name of a zone, or a table", &ZONE),
            "the top level's `zone`",
            "The zone that this gateway is in, for this cluster.",
        ),
        key("max", Table(&CLUSTER_MAX), "{}", "How much its endpoints are asked at once."),
        key(
            "slow_start",
            Duration,
            "none",
            "For how long an endpoint that is usable again, after a failed check, an ejection or a drain, gets less than its weight: a tenth at first, then more in proportion to the time.",
        ),
        key(
            "retries",
            Number(0, 10),
            "2",
            "How many more attempts there may be after the first, each at an endpoint that was not tried: where nothing was sent, always; where a request was sent and its connection ended before a byte of the answer, if its method is idempotent and it has no body.",
        ),
        key(
            "protocol",
            Word(&["http/1.1", "h2"]),
            "\"http/1.1\"",
            "What endpoints speak with http listeners; `h2` is HTTP/2 from the first byte, and what gRPC needs. An `Upgrade` does not go there.",
        ),
        key(
            "send_header",
            Word(&["none", "v1", "v2", "v2-first", "spp"]),
            "\"none\"",
            "The PROXY header that an endpoint is sent. A connection that carried one is never shared between clients. In udp mode, `v2` goes in front of every datagram, `v2-first` of a flow's first one, and `spp` is the Simple Proxy Protocol, which the answers must carry back; there is no v1.",
        ),
        key(
            "send_tlvs",
            WordsOrTables(&["alpn", "authority", "unique_id", "crc32c", "ssl", "netns"], &SEND_TLV),
            "[]",
            "What a v2 header carries besides addresses, the most important first. What there is nothing to say of is left out.",
        ),
        key(
            "pass_tlvs",
            AllOrKinds,
            "[]",
            "The TLVs of the client's own header that go on in ours, in their order and as often as they came: `\"aws.vpce\"` by name, `0xEE` by number. `\"all\"` means all but `crc32c` and `noop`, which never go on.",
        ),
        key(
            "max_header",
            Size(107, foreword::MAX_LEN as u64),
            "536",
            "How long a v2 header may be. A TLV that has no room is left out whole, and told of.",
        ),
        key(
            "header_placement",
            Word(&["connect", "first-payload"]),
            "\"connect\"",
            "When the header leaves in the tcp modes: at once, with the client's first bytes if they are there already; or with those however long they take, so that a server that speaks first speaks before it.",
        ),
        key(
            "inner_header",
            Word(&["payload", "reject"]),
            "\"payload\"",
            "What bytes are that look like a PROXY header and come first behind the one that is sent, in the tcp modes. `reject` is for endpoints that read more than one header.",
        ),
        key("tls", Table(&CLUSTER_TLS), "none", "TLS is spoken with endpoints."),
        key(
            "keepalive",
            Table(&CLUSTER_KEEPALIVE),
            "{}",
            "How endpoints are asked whether they are still there.",
        ),
        key("timeout", Table(&CLUSTER_TIMEOUT), "{}", "How long is waited."),
        key(
            "health",
            Table(&HEALTH),
            "none",
            "`[cluster.NAME.health]`: asks each endpoint now and then whether it is up.",
        ),
        key(
            "ejection",
            Table(&EJECTION),
            "none",
            "`[cluster.NAME.ejection]`: leaves endpoints alone that fail those who come.",
        ),
        key(
            "when_all_down",
            Word(&["try-all", "refuse"]),
            "\"try-all\"",
            "What happens when no endpoint is up: all are tried all the same, or whoever comes is refused (503 in http mode).",
        ),
    ],
};

pub(crate) const CLUSTER_TLS: Section = Section {
    title: "[cluster.NAME] tls = { … }",
    about: "TLS 1.2 and 1.3 with endpoints, in every mode; `{}` is all it takes where the system believes who signed their certificates. `timeout.connect` holds for the handshake as well.",
    keys: &[
        key(
            "ca",
            Text("a path"),
            "those that the system believes",
            "A PEM file of the certificates that sign those of the endpoints.",
        ),
        key(
            "sni",
            Text("a host name"),
            "the name of the endpoints",
            "Whom endpoints are asked for, and what their certificates must hold. Without it, and where endpoints are addresses, the certificate must hold the address.",
        ),
        key("verify", Flag, "true", "Whether somebody who is believed must have signed the certificate."),
        key(
            "pins",
            Texts("`sha256/…`"),
            "[]",
            "Keys of which an endpoint must have one: SHA-256 of its public key (SPKI) in Base64. With `verify = false` that is enough.",
        ),
        key("certificate", Text("a path"), "none", "The chain that endpoints are shown when they ask."),
        key("key", Text("a path"), "`certificate`", "Its private key."),
        key(
            "header",
            Word(&["before", "inside"]),
            "\"before\"",
            "Where the PROXY header goes: before the handshake, in the clear, as receivers expect it, or inside.",
        ),
    ],
};

pub(crate) const CLUSTER_KEEPALIVE: Section = Section {
    title: "[cluster.NAME] keepalive = { … }",
    about: "TCP keepalive on tcp connections and tunnels: the kernel asks an endpoint of which nothing was heard. It has an effect where the listener's `timeout.idle` is longer than its `idle`.",
    keys: KEEPALIVE_KEYS,
};

pub(crate) const SEND_TLV: Section = Section {
    title: "[cluster.NAME] send_tlvs = [{ … }]",
    about: "A TLV with a value of yours, or `ssl` with the parts that you choose.",
    keys: &[
        key(
            "kind",
            Kind,
            "required",
            "`alpn`, `authority`, `unique_id`, `netns`, `gcp.psc_id`, `alibaba.vpc`, `alibaba.endpoint`, `alibaba.service`, `aws.vpce`, `azure.link_id`, `ssl`, or a number: from `0xE0` to `0xF7` they are free.",
        ),
        key(
            "value",
            Text("a template, or `hex:` and bytes"),
            "",
            "`\"{client.ip}\"`; where a variable has no value there is no TLV. The ids of `gcp` and `azure` are numbers. Not for `ssl`.",
        ),
        key(
            "parts",
            Words(&["version", "cn", "cipher", "sig_alg", "key_alg", "group", "sig_scheme", "client_cert"]),
            "all but client_cert",
            "What `ssl` says, as far as it is known: of our own handshake all but `sig_scheme` and `client_cert` (`sig_alg` and `key_alg` where the name has one certificate), of one before us whatever its proxy said. `version` always goes along.",
        ),
    ],
};

pub(crate) const ENDPOINT: Section = Section {
    title: "[cluster.NAME] endpoints = [{ … }]",
    about: "An endpoint of which there is more to say than its address.",
    keys: &[
        key(
            "address",
            Text("an endpoint"),
            "required",
            "As in the list: `\"10.0.1.10:443\"`, `\"app.internal:8080\"`, `\"srv:_http._tcp.app.internal\"` or `\"unix:/path\"`.",
        ),
        key(
            "weight",
            Number(1, MOST_WEIGHT as u64),
            "1",
            "How much of everything it gets, against the others. Each address of a name has it.",
        ),
        key("backup", Flag, "false", "Whether it is used only where no other endpoint is usable."),
        key(
            "zone",
            Text("the name of a zone"),
            "none",
            "The zone that it is in; without one it is near to everyone.",
        ),
        key(
            "max_connections",
            Count,
            "none",
            "The most connections to it at once, of all workers together: in http mode, the most requests. Kept connections that nobody uses do not count. Each address of a name has it.",
        ),
        key(
            "drain",
            Flag,
            "false",
            "Whether it gets nothing new. Requests that it answers go on to their end; tcp connections and tunnels have `timeout.drain` from the reload on which it was set.",
        ),
    ],
};

pub(crate) const BALANCE: Section = Section {
    title: "[cluster.NAME] balance = { … }",
    about: "The same endpoint for the same value, by a table (Maglev) that is the same at every worker and on every machine with the same endpoints. Adding or removing one moves little more than its own part of the values; one that is down moves its own and gets them back.",
    keys: &[key(
        "hash",
        Text("a value, or a template"),
        "required",
        "`\"client.ip\"`, or any other value of [the rule language](rules.md): `\"path\"`, `\"tls.sni\"`, `'field[\"x-user\"]'`; or several in braces: `\"{host}{path}\"`. Where no value is there, endpoints have their turns.",
    )],
};

pub(crate) const ZONE: Section = Section {
    title: "zone = { … }",
    about: "The own zone, at the top level or of a cluster.",
    keys: &[
        key("name", Text("the name of a zone"), "required", "As endpoints have it."),
        key(
            "needs",
            Number(1, 100),
            "1",
            "How many hundredths of the weight of its endpoints must be usable for it to take everything; with less, a part in proportion goes to the other zones.",
        ),
    ],
};

pub(crate) const CLUSTER_MAX: Section = Section {
    title: "[cluster.NAME] max = { … }",
    about: "Connections are counted for all workers of the process together: in http mode, requests. Whoever comes when there are as many as there may be waits for one to end; first come, first served.",
    keys: &[
        key("connections", Count, "none", "The most connections to all its endpoints at once."),
        key(
            "queue",
            Number(0, 1_000_000),
            "1024",
            "How many may wait, here or because of `max_connections`; beyond it, and after `timeout.queue`, 503 is answered, or in tcp mode the connection is closed.",
        ),
    ],
};

pub(crate) const CLUSTER_TIMEOUT: Section = Section {
    title: "[cluster.NAME] timeout = { … }",
    about: "How long an endpoint may take.",
    keys: &[
        key("connect", Duration, "\"5s\"", "For a connection to be made."),
        key("response", Duration, "\"60s\"", "For the head of a response."),
        key("idle", Duration, "\"30s\"", "For which a kept connection may be unused."),
        key("queue", Duration, "\"5s\"", "For a connection to end, where there are as many as there may be."),
        key(
            "drain",
            Duration,
            "\"30s\"",
            "For tcp connections and tunnels to an endpoint that has begun to drain.",
        ),
    ],
};

pub(crate) const HEALTH: Section = Section {
    title: "[cluster.NAME.health]",
    about: "Asks each endpoint now and then whether it is up. An endpoint counts as up until its first check has ended; that one decides alone. See [the guide](../guide/health.md).",
    keys: &[
        key(
            "check",
            Word(&["tcp", "tls", "http", "https", "send-expect"]),
            "required",
            "What is asked: a connection, a TLS handshake, an answer to a request, or some bytes. Certificates are not verified.",
        ),
        key(
            "header",
            Word(&["none", "local", "local-noop", "local-addresses", "proxy"]),
            "\"local\" where `send_header` is `v2`, \"proxy\" where it is `v1`, else, and with a `port` of its own, \"none\"",
            "The PROXY header of the check. `local` is LOCAL and nothing else (in v1 `UNKNOWN`), `local-noop` adds an empty NOOP, `local-addresses` the address block that AWS NLB sends; `proxy` names the gateway itself as the client.",
        ),
        key(
            "header_version",
            Word(&["v1", "v2"]),
            "that of `send_header`, else \"v2\"",
            "The version of that header.",
        ),
        key("port", Number(1, 65535), "the endpoint's", "Another port that is asked."),
        key("interval", Duration, "\"5s\"", "From the end of a check to the next, give or take a tenth."),
        key("timeout", Duration, "\"3s\"", "For the whole check."),
        key("rise", Number(1, 1000), "2", "So many good checks in a row bring an endpoint back."),
        key("fall", Number(1, 1000), "3", "So many bad checks in a row take it out."),
        key("method", Text("a method"), "\"GET\"", "The method of the request."),
        key("path", Text("a path"), "\"/\"", "Its path and query."),
        key(
            "host",
            Text("a name, with a port if it matters"),
            "the endpoint's address",
            "Its `Host`, and the name that is asked for in the TLS handshake.",
        ),
        key(
            "status",
            Texts("statuses, such as `200`, or ranges of them"),
            "[\"200-399\"]",
            "The statuses that are good.",
        ),
        key("body", Text("text"), "", "What the first 64 KiB of the body must hold."),
        key(
            "body_matches",
            Text("a pattern"),
            "",
            "What the body must match, written as [in rules](rules.md); one that is longer than 64 KiB, in its first 64 KiB.",
        ),
        key("send", Text("text, or `hex:` and bytes"), "\"\"", "What `send-expect` sends."),
        key("expect", Text("text, or `hex:` and bytes"), "", "What must come, within the first 16 KiB."),
    ],
};

pub(crate) const EJECTION: Section = Section {
    title: "[cluster.NAME.ejection]",
    about: "Endpoints that fail those who come are left alone for a while, and then tried with one connection before the others come. Written as `ejection = {}`, all of its defaults hold.",
    keys: &[
        key(
            "failures",
            Number(1, 1000),
            "5",
            "So many in a row: connections that were refused or not made in time, or answers that did not come.",
        ),
        key("server_errors", Flag, "false", "Whether an answer with a status from 500 on is a failure."),
        key("time", Duration, "\"10s\"", "For how long the first time; twice as long each time after."),
        key("max_time", Duration, "\"5m\"", "For how long at most."),
        key(
            "max_share",
            Number(1, 100),
            "50",
            "The most endpoints that may be left alone at once, in percent. Of several, one always may; a single one only with 100.",
        ),
    ],
};

pub(crate) const LOG: Section = Section {
    title: "[log]",
    about: "What is recorded.",
    keys: &[key("access", Table(&ACCESS), "none", "`[log.access]`: one line per request or connection.")],
};

pub(crate) const ACCESS: Section = Section {
    title: "[log.access]",
    about: "One line per request, or per connection in tcp mode. The names are in [the access log](access-log.md).",
    keys: &[
        key(
            "to",
            Text("`stdout`, `file:PATH` or `syslog:ADDRESS`"),
            "\"stdout\"",
            "`syslog:10.0.0.9:514` is UDP, `syslog:tcp:10.0.0.9:514` TCP, `syslog:unix:/dev/log` a socket.",
        ),
        key(
            "format",
            Text("`json`, `combined`, `haproxy` or a template"),
            "\"json\"",
            "A template names values in braces: `{client.ip} {http.response.status_code}`.",
        ),
        key("redact", Words(&["query", "cookies", "authorization"]), "[]", "Whose values are left out."),
    ],
};

pub(crate) const ADMIN: Section = Section {
    title: "[admin]",
    about: "`/metrics`, `/clusters` (how every endpoint is, as JSON), `/healthz` and `/readyz`.",
    keys: &[key(
        "bind",
        Text("an address"),
        "required",
        "`\"unix:/run/foreword/admin.sock\"`, or an address that no stranger can reach.",
    )],
};

pub(crate) const TEST: Section = Section {
    title: "[[test]]",
    about: "A request that `foreword check` tries, without a socket, and what should become of it.",
    keys: &[
        key("name", Text("text"), "test N", "Names it in the answer."),
        key("request", Table(&REQUEST), "required", "What comes in."),
        key("expect", Table(&EXPECT), "required", "What should become of it."),
    ],
};

pub(crate) const REQUEST: Section = Section {
    title: "[[test]] request = { … }",
    about: "A connection, and in http mode the request on it.",
    keys: &[
        key("listener", Text("the name of a listener"), "the only one", "Where it comes in."),
        key(
            "peer",
            Text("an address, with a port if it matters, or `unix`"),
            "required",
            "The other end of the socket.",
        ),
        key(
            "client",
            Text("an address, with a port if it matters, or `unknown`"),
            "none",
            "Whom the header names. Without it no header is sent.",
        ),
        key(
            "destination",
            Text("an address and port"),
            "where the listener listens",
            "Whom the client connected to.",
        ),
        key("header", Word(&["v1", "v2"]), "\"v2\"", "The header's version."),
        key(
            "tlv",
            NamedTexts("a table"),
            "{}",
            "TLVs of the header, named as in `foreword get --tlv`: `authority`, `unique_id`, `aws_vpce`, or a kind such as `0xE1`; the value is text, or `hex:` and bytes.",
        ),
        key("sni", Text("a name"), "the host of `url`", "The name in the TLS handshake."),
        key("url", Text("a URL"), "", "Scheme, host, path and query of the request; not in tcp mode."),
        key("method", Text("a method"), "\"GET\"", "Its method."),
        key(
            "fields",
            NamedTextsOrLists("a table of text, or lists of text"),
            "{}",
            "Its fields besides `Host`.",
        ),
    ],
};

pub(crate) const EXPECT: Section = Section {
    title: "[[test]] expect = { … }",
    about: "At least one of these; all of them must be so.",
    keys: &[
        key(
            "rule",
            Text("the name of a rule"),
            "",
            "The rule that ends it. `cluster = \"…\"` on a listener is the rule `cluster`.",
        ),
        key("status", Status(100), "", "The status that we answer with ourselves."),
        key("cluster", Text("the name of a cluster"), "", "Where it is forwarded."),
        key("location", Text("text"), "", "Where it is redirected."),
        key("client", Text("an address"), "", "Who counts as the client."),
        key("refused", Text("a code"), "", "The refusal, such as `FW201`."),
    ],
};
