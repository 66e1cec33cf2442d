//! Every key of the file, once: what it takes, its default, what it does. Reading, "did you mean" and the reference all
//! come from here.

mod answers;
mod clusters;
mod limits;
mod tls;

use foreword::Parser;

use self::answers::ERROR_PAGES;
pub(crate) use self::answers::{BASIC_AUTH, COMPRESS, RESPOND};
pub(crate) use self::clusters::{
    BALANCE, CLUSTER, CLUSTER_KEEPALIVE, CLUSTER_MAX, CLUSTER_TIMEOUT, CLUSTER_TLS, EJECTION, ENDPOINT,
    HEALTH, SECRET, SEND_TLV, STICKY, ZONE,
};
pub(crate) use self::limits::{
    ARRIVAL_LIMIT, ARRIVAL_RATE, LIMIT_CONNECTIONS, LOG_SHARE, MAX, MIN, MOST_BODY, RATE_LIMIT, RULE_TIMEOUT,
};
pub(crate) use self::tls::{ACME, CERTIFICATE, TLS, TLS_CLIENT};
use super::takes::Takes::{
    self, Count, Duration, Flag, FlagOrTable, FlagOrTextOrTable, Lists, Named, NamedTexts, NamedTextsOrLists,
    Number, OneNumber, Size, Status, Table, Tables, Text, TextOrTable, Texts, True, Word, Words,
};

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
    &TLS_CLIENT,
    &CERTIFICATE,
    &HEADER,
    &TIMEOUT,
    &KEEPALIVE,
    &MAX,
    &MIN,
    &ARRIVAL_RATE,
    &ARRIVAL_LIMIT,
    &RULE,
    &THEN,
    &RATE_LIMIT,
    &LIMIT_CONNECTIONS,
    &RULE_TIMEOUT,
    &LOG_SHARE,
    &BASIC_AUTH,
    &COMPRESS,
    &REDIRECT,
    &RESPOND,
    &CLUSTER,
    &ENDPOINT,
    &BALANCE,
    &ZONE,
    &STICKY,
    &SECRET,
    &CLUSTER_MAX,
    &SEND_TLV,
    &CLUSTER_TIMEOUT,
    &HEALTH,
    &EJECTION,
    &CLUSTER_KEEPALIVE,
    &CLUSTER_TLS,
    &LOG,
    &ACCESS,
    &ACME,
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
            "max_memory",
            Size(16 * 1024 * 1024, 1 << 50),
            "none",
            "How much memory the process may use before new connections are refused and idle ones are closed. Beside it, 85 % of what the cgroup may have is such a bound, where that is limited, or all but 16 MiB of it where that is less.",
        ),
        key(
            "include",
            Texts("paths"),
            "[]",
            "More files, read as if they stood here; the last part of a path may hold `*`.",
        ),
        key(
            "watch",
            Flag,
            "true",
            "Whether certificates, those of CAs, revocation lists and lists of rules are read again as soon as their files change.",
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
        key("acme", Table(&ACME), "", "`[acme]`: from whom certificates are obtained."),
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
    keys: &[key(
        "file",
        Text("a path"),
        "required",
        "The file. It is read again when it changes, unless `watch = false`, and at each reload; one that is broken changes nothing.",
    )],
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
            "rate_limit",
            Table(&ARRIVAL_RATE),
            "none",
            "How many connections of each client are let in, in some time. Under `tls`, each of them makes one handshake.",
        ),
        key(
            "limit_connections",
            Table(&ARRIVAL_LIMIT),
            "none",
            "How many connections each client may have at once.",
        ),
        key(
            "encoded_slash",
            Word(&["refuse", "keep"]),
            "\"refuse\"",
            "What becomes of a request whose path holds `%2F` or `%5C`: 400, or forwarded as it is, where rules see `/`.",
        ),
        key("ignore_case", Flag, "false", "Whether rules compare paths without case."),
        ERROR_PAGES,
        key(
            "rule",
            Tables(&RULE),
            "[]",
            "`[[listener.NAME.rule]]`: read top-down until one ends the request.",
        ),
        key("cluster", Text("the name of a cluster"), "none", "A last rule that forwards there."),
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
    about: "Durations are written `500ms`, `3s`, `1m`, `2h` or `7d`, which is the longest.",
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
    about: "Any number of limits and changes, and at most one ending: `deny`, `close`, `redirect`, `respond` or `forward`. Of several rules that say the same thing, the last one that holds has the last word.",
    keys: &[
        key("deny", Status(400), "", "Answers with this status; in http mode only."),
        key("close", True, "", "Closes the connection without an answer."),
        key(
            "redirect",
            TextOrTable("a template, or a table", &REDIRECT),
            "",
            "Answers with 308 and this `Location`.",
        ),
        key("respond", Table(&RESPOND), "", "Answers with a text or a file of your own."),
        key("forward", Text("the name of a cluster"), "", "Forwards there."),
        key(
            "rate_limit",
            Table(&RATE_LIMIT),
            "",
            "Lets no more pass than so many in so much time; in tcp mode connections are counted.",
        ),
        key(
            "limit_connections",
            Table(&LIMIT_CONNECTIONS),
            "",
            "Lets no more pass than so many at once: requests, in tcp mode connections, in udp mode flows.",
        ),
        key(
            "max_body",
            Size(0, MOST_BODY),
            "",
            "The longest content of a request, in place of the listener's `max.body`.",
        ),
        key(
            "timeout",
            Table(&RULE_TIMEOUT),
            "",
            "How long is waited, in place of what listener and cluster say.",
        ),
        key(
            "log",
            FlagOrTextOrTable("`true`, `false`, a share such as `1/100`, or a table", &LOG_SHARE),
            "",
            "Which lines of the access log are written: all, none, one in so many. Errors are written besides under a share; counters count all.",
        ),
        key(
            "basic_auth",
            Table(&BASIC_AUTH),
            "",
            "Lets nobody pass but whoever gives the name and password of a user; in http mode only.",
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
        ERROR_PAGES,
        key(
            "compress",
            FlagOrTable(&COMPRESS),
            "false",
            "Makes answers smaller for clients that accept it; `false` undoes what a rule before said.",
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
    about: "`/metrics`, `/clusters` (how every endpoint is, as JSON), `/healthz` and `/readyz`; and `POST /clusters/NAME/endpoints/ADDRESS/drain` or `…/undrain`. Whoever can connect to it can do so.",
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
