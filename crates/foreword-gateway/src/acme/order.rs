//! One certificate from a CA, from the order to the chain: RFC 8555 §7.4.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::plan::AcmeChallenge;
use crate::tls::challenges::{ChallengeError, Challenges, OpenChallenge};

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// The challenge that is taken.
    pub(super) challenge: AcmeChallenge,
    pub(super) profile: Option<&'a str>,
    /// The certificate whose place it takes, if the CA wants to know.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// What came of it, in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The CA says no, or cannot be asked.
    #[error(transparent)]
    Asking(#[from] Error),
    /// The CA wants another proof than those that can be given.
    #[error("expected the challenge `{wanted}`, found that the CA offers {offered}")]
    NotOffered { wanted: AcmeChallenge, offered: String },
    /// The CA looked and did not find what it asked for.
    #[error("the CA could not convince itself by `{challenge}`: {why}")]
    Unconvinced { challenge: AcmeChallenge, why: String },
    /// The challenge cannot be answered.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// No key, or no request for it.
    #[error("no request can be made: {0}")]
    Request(#[from] rcgen::Error),
    /// What came is no certificate for the name and key.
    #[error("{0}")]
    Unfit(String),
}

/// An error with all that is behind it, once: some say their cause themselves.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_told = cause.to_string();
        if !told.contains(&cause_told) {
            told = format!("{told}: {cause_told}");
        }
        source = cause.source();
    }
    told
}

/// Orders a certificate, proves whose the name is, and gets it.
pub(super) async fn order(
    account: &Account,
    wanted: &Wanted<'_>,
    challenges: &Arc<Challenges>,
) -> Result<Issued, OrderError> {
    let names = [Identifier::Dns(wanted.name.to_owned())];
    let mut new = NewOrder::new(&names);
    if let Some(profile) = wanted.profile {
        new = new.profile(profile);
    }
    if let Some(replaces) = &wanted.replaces {
        new = new.replaces(replaces.clone());
    }
    let mut order = asking(async || account.new_order(&new).await).await?;
    prove(&mut order, wanted, challenges).await?;

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![wanted.name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    asking(async || order.finalize_csr(request.der()).await).await?;
    let chain = asking(async || order.poll_certificate(&POLLS).await).await?;
    Ok(Issued { chain, key: key.serialize_pem() })
}

/// Proves that the name is ours, unless the CA knows it already.
async fn prove(
    order: &mut Order,
    wanted: &Wanted<'_>,
    challenges: &Arc<Challenges>,
) -> Result<(), OrderError> {
    let kind = kind(wanted.challenge);
    let asked = asking(async || read_question(order, &kind).await).await?;
    // It is open as long as this lives.
    let _open = match asked {
        Question::Settled => return Ok(()),
        Question::NotOffered(offered) => {
            return Err(OrderError::NotOffered { wanted: wanted.challenge, offered });
        }
        Question::Open { token, answer, digest } => {
            let open = answer_with(wanted, challenges, &token, &answer, digest)?;
            asking(async || say_ready(order, &kind).await).await?;
            open
        }
    };
    let refusal = match asking(async || order.poll_ready(&POLLS).await).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing) => return Ok(()),
        Ok(_) => None,
        Err(Error::Api(problem)) => Some(problem),
        Err(error) => return Err(error.into()),
    };
    let why = asking(async || why_not(order, &kind).await).await;
    Err(unproven(wanted.challenge, refusal, why))
}

/// Why a name is not proven: as the CA says of the challenge, or else of the order.
fn unproven(
    challenge: AcmeChallenge,
    refusal: Option<Problem>,
    of_challenge: Result<Option<Problem>, Error>,
) -> OrderError {
    match (of_challenge, refusal) {
        (Ok(Some(problem)), _) => OrderError::Unconvinced { challenge, why: problem.to_string() },
        (_, Some(problem)) => OrderError::Asking(Error::Api(problem)),
        (Ok(None), None) => OrderError::Unconvinced { challenge, why: "it does not say why".to_owned() },
        (Err(error), None) => error.into(),
    }
}

fn answer_with(
    wanted: &Wanted<'_>,
    challenges: &Arc<Challenges>,
    token: &str,
    answer: &str,
    digest: [u8; 32],
) -> Result<OpenChallenge, ChallengeError> {
    match wanted.challenge {
        AcmeChallenge::Http01 => Ok(challenges.answer_http(token, answer)),
        AcmeChallenge::TlsAlpn01 => challenges.answer_tls(wanted.name, &digest),
    }
}

/// What the CA asks.
enum Question {
    /// Nothing: it has been convinced before.
    Settled,
    Open {
        token: String,
        answer: String,
        digest: [u8; 32],
    },
    /// Other things than what can be answered.
    NotOffered(String),
}

/// Reads what the CA asks. There is one name in each of our orders, so there is one authorization.
async fn read_question(order: &mut Order, kind: &ChallengeType) -> Result<Question, Error> {
    let mut authorizations = order.authorizations();
    let mut authorization =
        authorizations.next().await.ok_or(Error::Str("an authorization in the order"))??;
    if authorization.status == AuthorizationStatus::Valid {
        return Ok(Question::Settled);
    }
    let offered: Vec<String> =
        authorization.challenges.iter().map(|offered| format!("{:?}", offered.r#type)).collect();
    let Some(challenge) = authorization.challenge(kind.clone()) else {
        return Ok(Question::NotOffered(offered.join(", ")));
    };
    let answer = challenge.key_authorization();
    let digest = answer.digest();
    let digest = digest.as_ref().try_into().map_err(|_| Error::Crypto)?;
    Ok(Question::Open { token: challenge.token.clone(), answer: answer.as_str().to_owned(), digest })
}

async fn say_ready(order: &mut Order, kind: &ChallengeType) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    let mut authorization =
        authorizations.next().await.ok_or(Error::Str("an authorization in the order"))??;
    match authorization.challenge(kind.clone()) {
        Some(mut challenge) => challenge.set_ready().await,
        None => Err(Error::Str("the challenge that was offered before")),
    }
}

/// What the CA says of the challenge that failed.
async fn why_not(order: &mut Order, kind: &ChallengeType) -> Result<Option<Problem>, Error> {
    let mut authorizations = order.authorizations();
    let mut authorization =
        authorizations.next().await.ok_or(Error::Str("an authorization in the order"))??;
    let state = authorization.refresh().await?;
    let challenge = state.challenges.iter().find(|challenge| challenge.r#type == *kind);
    Ok(challenge.and_then(|challenge| challenge.error.clone()))
}

/// Asks again when the CA finds our nonce too old, as it may at any time, RFC 8555 §6.5. What it refuses so it has not done.
pub(super) async fn asking<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..NONCES {
        match ask().await {
            Err(Error::Api(problem)) if is(&problem, "badNonce") => {}
            outcome => return outcome,
        }
    }
    ask().await
}

/// Whether a problem is of this type, RFC 8555 §6.7.
pub(super) fn is(problem: &Problem, kind: &str) -> bool {
    let found = problem.r#type.as_deref().and_then(|found| found.strip_prefix("urn:ietf:params:acme:error:"));
    found == Some(kind)
}

fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// Each try makes three already. One that refuses half of all nonces lets one in a thousand million through to an error.
const NONCES: usize = 9;

/// CAs look from several places before they are convinced.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Problem {
        let text = format!(r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "{detail}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_the_ca_says_of_an_order_is_told_where_it_says_nothing_of_the_challenge() {
        let told = |refusal, of_challenge| {
            let error = unproven(AcmeChallenge::Http01, refusal, of_challenge);
            (matches!(error, OrderError::Asking(Error::Api(_))), super::told(&error))
        };
        let limited = || Some(problem("rateLimited", "too many orders"));
        let (asking, text) = told(limited(), Ok(None));
        assert!(asking && text.contains("too many orders"), "{text}");
        // That it cannot be asked about the challenge is no news beside what it said.
        let (asking, text) = told(limited(), Err(Error::Str("an authorization")));
        assert!(asking && text.contains("too many orders"), "{text}");
        let (_, text) = told(limited(), Ok(Some(problem("connection", "nobody at port 80"))));
        assert!(text.contains("`http-01`") && text.contains("nobody at port 80"), "{text}");
        assert!(told(None, Ok(None)).1.contains("it does not say why"));
        assert!(told(None, Err(Error::Str("an authorization"))).1.contains("an authorization"));
    }
}
