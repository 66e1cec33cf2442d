//! What AWS documents of its balancers where nobody says otherwise: once for its templates, its annotations and its roles.

use crate::draft::Value;
use crate::parts::{AllDown, Because, Placement, balance};

/// Seconds for which nothing may move, and why.
pub const CLASSIC_IDLE: (u64, &str) = (60, "the default of a classic ELB");
/// The same of an NLB.
pub const NLB_IDLE: (u64, &str) = (350, "the default of an NLB");
/// The same of its flows of datagrams, which cannot be changed.
pub(crate) const NLB_DATAGRAMS_IDLE: (u64, &str) = (120, "as an NLB has it");
/// The same of an ALB.
pub(crate) const ALB_IDLE: (u64, &str) = (60, "the default of an ALB");

/// The header of a check, and why.
pub const CLASSIC_CHECK_HEADER: (&str, &str) = ("none", "a classic ELB's checks carry none");
/// The same of an NLB that sends headers.
pub const NLB_CHECK_HEADER: (&str, &str) =
    ("local-addresses", "an NLB's checks carry LOCAL and an address block");
/// The same of one that sends none.
pub(crate) const NO_CHECK_HEADER: (&str, &str) = ("none", "no header is sent");

/// The attribute that has a target group send headers.
pub(crate) const HEADER_ENABLED: &str = "proxy_protocol_v2.enabled";
/// The attribute that says when the header leaves.
pub(crate) const HEADER_PLACEMENT: &str = "proxy_protocol_v2.client_to_server.header_placement";

/// When an NLB's header leaves, unless its target group says otherwise.
pub const NLB_PLACEMENT: Placement = Placement::FirstPayload;

/// The placement that a target group calls so.
pub fn placement(word: &str) -> Option<Placement> {
    [Placement::Connect, Placement::FirstPayload]
        .into_iter()
        .find(|placement| placement_word(*placement) == word)
}

/// How a target group calls a placement.
pub(crate) fn placement_word(placement: Placement) -> &'static str {
    match placement {
        Placement::Connect => "on_first_ack",
        Placement::FirstPayload => "on_first_ack_with_payload",
    }
}

/// What becomes of a group's addresses on packets, where no header says whose they are.
pub(crate) const PRESERVED: &str = "its targets see the client's own address on the packets (preserve_client_ip); here they see this \
                                    machine's, unless `send_header` tells them";

/// Seconds for which an ALB's own cookie is good, unless its target group says otherwise.
pub(crate) const ALB_COOKIE_AGE: u64 = 86_400;

/// What does here what a cookie of theirs does; its secret is nobody's but the operator's.
pub(crate) fn sticky(cookie: &str, seconds: Option<u64>) -> String {
    let age = seconds.map(|seconds| format!(", max_age = \"{seconds}s\"")).unwrap_or_default();
    format!(
        "not carried over, for its secret is yours to make: add `sticky = {{ cookie = \"{cookie}\", secret = {{ file = \"sticky.key\" }}{age} }}`"
    )
}

/// What becomes of connections to a classic ELB where no instance is up.
pub fn classic_all_down() -> Because<AllDown> {
    Because::of(AllDown::Refuse, "as a classic ELB does")
}

/// How an NLB balances.
pub fn nlb_balance() -> Because<Value> {
    Because::of(
        balance::hash("{client.ip} {client.port} {destination.ip} {destination.port}"),
        "an NLB takes each flow by itself",
    )
}
