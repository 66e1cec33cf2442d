//! Who a client is, where a rule wants to know.

use std::time::Instant;

use super::changes::Changes;
use super::refused::Refused;
use crate::passwords::{Checked, Credentials};
use crate::policy::bound::Bound;
use crate::policy::facts::RequestFacts;
use crate::policy::rules::{BasicAuth, Decision, Ending, Rules};
use crate::policy::seats::Seat;

/// Lets the rules go on behind each that asks who the client is, as long as it is somebody. Where it is nobody, the decision
/// stays; the refusal is missing where the client has not said who it is.
pub(super) async fn settle<'r>(
    rules: &'r Rules,
    decision: Decision<'r>,
    facts: &mut RequestFacts<'r>,
    seats: &mut Vec<Seat>,
    changes: &mut Changes<'r>,
) -> (Decision<'r>, Option<Refused>) {
    let mut decision = decision;
    while let Ending::Authenticate(basic) = decision.ending {
        let rule = decision.rule.map_or("", |rule| &rule.name);
        match ask(basic, facts, rule).await {
            Ok(Some(user)) => facts.user = Some(user),
            Ok(None) => return (decision, None),
            Err(refused) => return (decision, Some(refused)),
        }
        let bounded = |bound: &Bound| bound.ask(facts, Instant::now, seats);
        decision = rules.go_on(decision, facts, bounded, &mut |change| changes.push(change));
    }
    (decision, None)
}

/// Finds out who the client is; nobody, if it has not said. Whoever was found right not long ago is known at once; else a
/// hash is waited for, while the worker serves others.
async fn ask<'p>(
    basic: &'p BasicAuth,
    facts: &RequestFacts<'_>,
    rule: &str,
) -> Result<Option<&'p str>, Refused> {
    let mut fields = facts.request.field("authorization");
    let credentials = match (fields.next().and_then(Credentials::read), fields.next()) {
        (Some(credentials), None) => credentials,
        // Those of another scheme are for somebody else.
        _ => return Ok(None),
    };
    let passwords = &basic.passwords;
    if let Some(user) = passwords.recall(&credentials, Instant::now()) {
        return Ok(Some(user));
    }
    match passwords.check(credentials, facts.client_ip()).await {
        Checked::Right(user) => Ok(Some(user)),
        Checked::Wrong(user) => Err(Refused::WrongPassword {
            rule: rule.into(),
            user: user.map(Into::into),
            challenge: basic.challenge.clone(),
        }),
        Checked::Busy => Err(Refused::PasswordsWaiting { rule: rule.into() }),
    }
}
