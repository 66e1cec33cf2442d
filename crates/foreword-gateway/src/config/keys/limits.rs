//! How much, how often, how many at once and how long: the keys of limits, in rules and on listeners.

use super::{Section, key};
use crate::config::takes::Takes::{Count, Duration, Flag, Number, Size, Status, Text};

pub(crate) const MAX: Section = Section {
    title: "[listener.NAME] max = { … }",
    about: "Sizes are a number of bytes, or written `\"16KiB\"`, `\"1MiB\"` or `\"2GiB\"`.",
    keys: &[
        key("head", Size(1024, 1024 * 1024), "\"16KiB\"", "The longest head of a request."),
        key("fields", Number(1, 1000), "100", "The most fields in it."),
        key(
            "body",
            Size(0, MOST_BODY),
            "none",
            "The longest content of a request: a longer one is answered with 413, before anything is forwarded if its length is told, else as soon as it is too long.",
        ),
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
        key("keys", Number(1, 16_777_216), "65536", KEYS),
    ],
};

pub(crate) const LIMIT_CONNECTIONS: Section = Section {
    title: "then = { limit_connections = { … } }",
    about: "How many a rule lets pass at once. In http mode a request counts from its head to the end of its answer, each of those on one HTTP/2 connection for itself, and a WebSocket for as long as it lasts; a connection that waits for its next request does not. Whoever is one too many is answered with `status`; in tcp mode the connection is closed, in udp mode the datagram dropped. All workers count together, and a reload goes on counting where `per` is the same.",
    keys: &[
        key("max", Number(1, 1_000_000_000), "required", "So many for each key."),
        key(
            "per",
            Text("a value, or a template"),
            "\"client.ip\"",
            "What is counted apart, as in `rate_limit`. IPv6 addresses count by their /64. Whoever has no such value is not limited.",
        ),
        key("status", Status(400), "429", "The answer to whoever is one too many; in http mode only."),
    ],
};

pub(crate) const ARRIVAL_RATE: Section = Section {
    title: "[listener.NAME] rate_limit = { … }",
    about: "How often connections are let in: asked once the PROXY header is believed and before anything behind it is read, so that it is the client who counts, and no TLS handshake is made for whoever comes too often: the connection is closed. All workers count together, and a reload goes on counting where nothing of it changed.",
    keys: &[
        key("connections", Number(1, 1_000_000_000), "required", "So many for each key, flows in udp mode…"),
        key("every", Duration, "\"1s\"", "…in so much time."),
        key(
            "burst",
            Number(1, 1_000_000_000),
            "as `connections`",
            "How many may come at once after a pause.",
        ),
        key("per", Text("a value, or a template"), "\"client.ip\"", PER_ARRIVAL),
        key("keys", Number(1, 16_777_216), "65536", KEYS),
    ],
};

pub(crate) const ARRIVAL_LIMIT: Section = Section {
    title: "[listener.NAME] limit_connections = { … }",
    about: "How many connections there may be at once, busy or not, from the moment when the PROXY header is believed to their end; in udp mode flows. One too many is closed before anything behind its header is read. All workers count together, and a reload goes on counting where `per` is the same.",
    keys: &[
        key("max", Number(1, 1_000_000_000), "required", "So many for each key."),
        key("per", Text("a value, or a template"), "\"client.ip\"", PER_ARRIVAL),
    ],
};

const PER_ARRIVAL: &str = "What is counted apart: `client.ip`, `tlv.aws.vpce`, or whatever else is known before TLS begins. IPv6 addresses count by their /64. Whoever has no such value is not limited.";

const KEYS: &str = "How many keys are remembered, with 16 bytes each. Where there are more, those that used least are forgotten first.";

pub(crate) const RULE_TIMEOUT: Section = Section {
    title: "then = { timeout = { … } }",
    about: "How long is waited for those for whom the rule holds. What it leaves out, an earlier rule says, else the listener and the cluster.",
    keys: &[
        key(
            "idle",
            Duration,
            "",
            "For which nothing may move: within the request, its answer or a WebSocket, in a tcp connection, in a flow. Between requests the listener's holds.",
        ),
        key("response", Duration, "", "For the head of a response; in http mode only."),
        key("total", Duration, "", "For a whole connection, however busy it is; in the tcp modes only."),
    ],
};

pub(crate) const LOG_SHARE: Section = Section {
    title: "then = { log = { … } }",
    about: "Which lines of the access log are written; `log = \"1/100\"` says the same as `log = { sample = \"1/100\" }`. Lines that are left out are counted: those written, lost and left out are as many as there were requests.",
    keys: &[
        key("sample", Text("a share such as `1/100`"), "none", "So many of all lines, drawn at random."),
        key(
            "errors",
            Flag,
            "true",
            "Whether besides every line is written of what was refused, broken off or too slow, or answered with a status from 500 on.",
        ),
    ],
};

/// A tebibyte: whoever means more means no limit.
pub(crate) const MOST_BODY: u64 = 1 << 40;
