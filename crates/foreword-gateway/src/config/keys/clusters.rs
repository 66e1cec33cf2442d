//! The keys of `[cluster.NAME]` and of the tables below it.

use super::{KEEPALIVE_KEYS, Section, key};
use crate::config::takes::Takes::{
    AllOrKinds, Count, Duration, Flag, Kind, Number, Size, Statuses, Table, Text, TextOrTable, Texts,
    TextsOrTables, Word, WordOrTable, Words, WordsOrTables,
};
use crate::policy::cluster::MOST_WEIGHT;

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
        key(
            "sticky",
            Table(&STICKY),
            "none",
            "In http mode, a cookie by which clients come back to the endpoint that answered them.",
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
            "How many more attempts there may be after the first, each at an endpoint that was not tried: where nothing was sent, always; where a request was sent and its connection ended before a byte of the answer, if its method is idempotent and it has no body; where an endpoint of HTTP/2 says that it has not looked at the request (REFUSED_STREAM, GOAWAY), if nothing of a body was sent, and at the same endpoint if there is no other.",
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
        key(
            "key",
            Text("a path"),
            "none",
            "Its private key; without it, the one in the file of `certificate`.",
        ),
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

pub(crate) const STICKY: Section = Section {
    title: "[cluster.NAME] sticky = { … }",
    about: "The gateway sets a cookie (`HttpOnly`, `Path=/`, `Secure` where the client uses TLS) that names the endpoint which answered, and the client's next requests go there. Where that endpoint is gone, down, ejected, drained or full, or was tried in vain, another one answers and is named from then on. The value is a keyed hash (HMAC-SHA-256): it says nothing to whoever does not know `secret`, and means the same after a restart and at every gateway with the same secret. A forged one means nothing, or an endpoint of the cluster.",
    keys: &[
        key("cookie", Text("the name of a cookie"), "required", "Its name."),
        key(
            "secret",
            TextOrTable("at least 16 characters, or a table", &SECRET),
            "required",
            "What its values are made with; `openssl rand -hex 32` makes one. Another secret sends every client to a new endpoint once.",
        ),
        key("max_age", Duration, "none", "For how long a browser keeps it; without it, until it is closed."),
        key(
            "same_site",
            Word(&["lax", "strict", "none"]),
            "\"lax\"",
            "With which requests of other sites a browser sends it. `none` is for pages inside those of others, and works under TLS alone.",
        ),
        key("forward", Flag, "false", "Whether endpoints see it; otherwise it is taken out."),
    ],
};

pub(crate) const SECRET: Section = Section {
    title: "[cluster.NAME] sticky = { secret = { … } }",
    about: "A secret that the file does not hold.",
    keys: &[key(
        "file",
        Text("a path"),
        "required",
        "The file; blanks and line ends around it do not count.",
    )],
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
            "What is asked: a connection, a TLS handshake, an answer to a request, or some bytes. Through TLS whoever answers is believed, unless the cluster has `tls`: then whoever that believes.",
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
        key("status", Statuses, "[\"200-399\"]", "The statuses that are good."),
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
