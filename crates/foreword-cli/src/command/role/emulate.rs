//! `--as`: what AWS documents of its balancers, faults included.

use std::str::FromStr;

use foreword_import::parts::{Because, Placement, SentHeader};

use super::draft::Parts;

/// A balancer of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// The classic ELB with a ProxyProtocolPolicyType.
    ClassicElb,
    /// The NLB with `proxy_protocol_v2.enabled`, and its `header_placement`.
    Nlb(Placement),
}

impl FromStr for As {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "classic-elb" => Ok(Self::ClassicElb),
            "nlb" | "nlb:on_first_ack_with_payload" => Ok(Self::Nlb(Placement::FirstPayload)),
            "nlb:on_first_ack" => Ok(Self::Nlb(Placement::Connect)),
            _ => Err("expected `classic-elb`, `nlb`, `nlb:on_first_ack` or `nlb:on_first_ack_with_payload`"
                .to_owned()),
        }
    }
}

impl As {
    /// Says in the parts what the balancer does, wherever no flag said otherwise.
    pub(super) fn apply(self, parts: &mut Parts) {
        match self {
            Self::ClassicElb => classic(parts),
            Self::Nlb(placement) => nlb(placement, parts),
        }
    }
}

fn classic(parts: &mut Parts) {
    parts.say("");
    parts.say("As a classic ELB with a ProxyProtocolPolicyType. Like it, this believes nobody: a header that a client sends");
    parts.say("stays where it is, behind the one that is written here, so that the endpoint gets two.");
    idle(parts, "60s", "the default of a classic ELB");
    parts.cluster.header = Some(Because::of(SentHeader::V1, "a classic ELB knows no other"));
}

fn nlb(placement: Placement, parts: &mut Parts) {
    parts.say("");
    parts.say("As an NLB with proxy_protocol_v2.enabled. Like it, this believes nobody: a header that a client sends stays");
    parts.say("where it is, behind the one that is written here, so that the endpoint gets two.");
    idle(parts, "350s", "the default of an NLB");
    parts.cluster.header = Some(Because::of(SentHeader::V2, "an NLB knows no other"));
    let why = match placement {
        Placement::Connect => "on_first_ack",
        Placement::FirstPayload => {
            "on_first_ack_with_payload: a server that speaks first waits for the client, and so for ever"
        }
    };
    parts.cluster.placement = Some(Because::of(placement, why));
}

fn idle(parts: &mut Parts, idle: &str, why: &str) {
    if parts.listener.timeouts.is_empty() {
        parts.listener.timeouts.push(("idle", idle.into()));
        parts.listener.timeouts_why = Some(why.to_owned());
    }
}
