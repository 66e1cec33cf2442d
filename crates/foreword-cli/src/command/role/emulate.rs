//! `--as`: what AWS documents of its balancers, faults included.

use std::str::FromStr;

use foreword_import::aws;
use foreword_import::draft::Value;
use foreword_import::parts::{AllDown, Because, Health, Placement, SentHeader};

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
    type Err = NoBalancer;

    fn from_str(text: &str) -> Result<Self, NoBalancer> {
        match text {
            "classic-elb" => Ok(Self::ClassicElb),
            "nlb" => Ok(Self::Nlb(aws::NLB_PLACEMENT)),
            _ => text.strip_prefix("nlb:").and_then(aws::placement).map(Self::Nlb).ok_or(NoBalancer),
        }
    }
}

/// What was named is no balancer that is known here.
#[derive(Debug, thiserror::Error)]
#[error("expected `classic-elb`, `nlb`, `nlb:on_first_ack` or `nlb:on_first_ack_with_payload`")]
pub(super) struct NoBalancer;

/// A VPC endpoint, where the header has no room for it.
#[derive(Debug, thiserror::Error)]
#[error("expected `--as nlb` with `--vpce`: v1 has no room for it")]
pub(super) struct NoRoomForVpce;

impl As {
    /// Says in the parts what the balancer does, wherever no flag said otherwise.
    ///
    /// # Errors
    /// A VPC endpoint that a classic ELB cannot have.
    pub(super) fn apply(self, vpce: Option<&str>, parts: &mut Parts) -> Result<(), NoRoomForVpce> {
        match (self, vpce) {
            (Self::ClassicElb, Some(_)) => return Err(NoRoomForVpce),
            (Self::ClassicElb, None) => classic(parts),
            (Self::Nlb(placement), vpce) => nlb(placement, vpce, parts),
        }
        Ok(())
    }
}

fn classic(parts: &mut Parts) {
    parts.say("");
    parts.say("As a classic ELB with a ProxyProtocolPolicyType. Like it, this believes nobody: a header that a client sends");
    parts.say("stays where it is, behind the one that is written here, so that the endpoint gets two.");
    idle(parts, aws::CLASSIC_IDLE);
    parts.cluster.header = Some(Because::of(SentHeader::V1, "a classic ELB knows no other"));
    parts.cluster.all_down = Some(aws::classic_all_down());
    check(
        parts,
        aws::CLASSIC_CHECK_HEADER,
        [("interval", "30s"), ("timeout", "5s")],
        [("rise", 10), ("fall", 2)],
    );
}

fn nlb(placement: Placement, vpce: Option<&str>, parts: &mut Parts) {
    parts.say("");
    parts.say("As an NLB with proxy_protocol_v2.enabled. Like it, this believes nobody: a header that a client sends stays");
    parts.say("where it is, behind the one that is written here, so that the endpoint gets two.");
    idle(parts, aws::NLB_IDLE);
    parts.cluster.header = Some(Because::of(SentHeader::V2, "an NLB knows no other"));
    let why = match placement {
        Placement::Connect => "on_first_ack",
        Placement::FirstPayload => "on_first_ack_with_payload: until the client speaks there is no header",
    };
    parts.cluster.placement = Some(Because::of(placement, why));
    parts.cluster.balance.get_or_insert_with(aws::nlb_balance);
    // In a template a brace stands for itself when it is there twice.
    let vpce = vpce.map(|id| Value::from(id.replace('{', "{{").replace('}', "}}")));
    parts.cluster.tlvs =
        vpce.into_iter().map(|id| Value::table([("kind", "aws.vpce".into()), ("value", id)])).collect();
    parts.cluster.all_down = Some(Because::of(AllDown::TryAll, "an NLB fails open"));
    check(
        parts,
        aws::NLB_CHECK_HEADER,
        [("interval", "30s"), ("timeout", "10s")],
        [("rise", 5), ("fall", 2)],
    );
}

/// The checks that AWS does unless it is told otherwise.
fn check(
    parts: &mut Parts,
    (header, why): (&str, &str),
    durations: [(&'static str, &str); 2],
    counts: [(&'static str, u64); 2],
) {
    let own = parts.cluster.health.take();
    let mut health = Health::default();
    let said = |key: &str| own.as_ref().is_some_and(|own| own.keys.iter().any(|(name, _)| *name == key));
    if !said("check") {
        health.set("check", "tcp");
    }
    if !said("header") {
        health.set_for("header", header, why);
    }
    for (key, value) in durations.into_iter().filter(|(key, _)| !said(key)) {
        health.set(key, value);
    }
    for (key, value) in counts.into_iter().filter(|(key, _)| !said(key)) {
        health.set(key, value);
    }
    health.keys.extend(own.into_iter().flat_map(|own| own.keys));
    parts.cluster.health = Some(health);
}

fn idle(parts: &mut Parts, (seconds, why): (u64, &str)) {
    if parts.listener.timeouts.is_empty() {
        parts.listener.timeouts.push(("idle", format!("{seconds}s").into()));
        parts.listener.timeouts_why = Some(why.to_owned());
    }
}
