//! `[cluster.NAME] tls`: TLS with endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;

use super::document::{Table, Value, shown};
use super::keys::CLUSTER_TLS;
use super::problem::{Problem, ProblemKind};
use crate::plan::{Endpoint, EndpointTls, Protocol, Target};
use crate::tls::certificates::CertificatePair;
use crate::tls::connector::{self, EndpointTlsProblem, EndpointTlsSource};

/// Reads the `tls` of a cluster with these endpoints, its files included. The table must be right for `Some`.
pub(crate) fn read(
    cluster: &Table<'_, '_>,
    endpoints: &[Endpoint],
    protocol: Protocol,
) -> Option<EndpointTls> {
    let table = cluster.table("tls", &CLUSTER_TLS)?;
    let notes = table.notes();
    let place = cluster.get("tls")?.place;
    let verify = table.read("verify", |value| value.boolean()).is_none_or(|at| at.value);
    let ca = table.read("ca", path);
    if let Some(ca) = ca.as_ref().filter(|_| !verify) {
        notes.problem(ca.place.problem("`ca` has no effect: nobody need have signed with `verify = false`"));
    }
    let pins = table.read("pins", pins).map(|at| at.value).unwrap_or_default();
    if !verify && pins.is_empty() {
        let warning =
            "endpoints are believed whoever they are: whoever is in between can read and change everything";
        notes.warning(place.problem(warning).hint("name who signs them by `ca`, or their keys by `pins`"));
    }
    let name = table.read("sni", server_name).map(|at| at.value).or_else(|| common_name(endpoints));
    if name.is_none() && endpoints.iter().any(|endpoint| !matches!(endpoint.target, Target::Address(_))) {
        let expected = "the key `sni`: the endpoints have no name, or more than one, to ask for";
        notes.problem(place.expected(expected, "none"));
        return None;
    }
    let inside = [("before", false), ("inside", true)];
    let header_inside = table.read("header", |value| value.one_of(&inside)).is_some_and(|at| at.value);
    let source = EndpointTlsSource {
        ca: ca.map(|at| at.value),
        anyone: !verify,
        pins,
        certificate: pair(&table),
        name,
        header_inside,
        http2: protocol == Protocol::Http2,
    };
    let settled = connector::settle(source).map_err(|problem| {
        let hint = match &problem {
            EndpointTlsProblem::Certificate(problem) => problem.hint.clone(),
            EndpointTlsProblem::NoRoots(_) => {
                Some("name who signs the endpoints' certificates by `ca`".into())
            }
            _ => None,
        };
        place.problem(problem.to_string()).of(ProblemKind::Certificate).maybe_hint(hint)
    });
    notes.keep(settled)
}

fn path(value: &Value<'_>) -> Result<std::path::PathBuf, Problem> {
    Ok(value.place.source().path(value.text()?))
}

/// The certificate that is shown, and its key, which may be in the same file.
fn pair(table: &Table<'_, '_>) -> Option<CertificatePair> {
    let (certificate, key) = (table.read("certificate", path), table.read("key", path));
    if let (None, Some(key)) = (&certificate, &key) {
        table.notes().problem(key.place.expected("the key `certificate` beside `key`", "none"));
    }
    let certificate = certificate?.value;
    let key = key.map_or_else(|| certificate.clone(), |key| key.value);
    Some(CertificatePair { certificate, key, ocsp: None })
}

/// The name that all endpoints share, if they have one.
fn common_name(endpoints: &[Endpoint]) -> Option<ServerName<'static>> {
    let name = |endpoint: &Endpoint| match &endpoint.target {
        Target::Name { host, .. } => Some(host.clone()),
        _ => None,
    };
    let first = name(endpoints.first()?)?;
    let shared = endpoints.iter().all(|endpoint| name(endpoint).is_some_and(|name| name == first));
    shared.then(|| ServerName::try_from(String::from(first)).ok()).flatten()
}

fn server_name(value: &Value<'_>) -> Result<ServerName<'static>, Problem> {
    let text = value.text()?;
    match ServerName::try_from(text.to_owned()) {
        Ok(name @ ServerName::DnsName(_)) => Ok(name),
        _ => Err(value.expected("a host name")),
    }
}

fn pins(value: &Value<'_>) -> Result<Vec<[u8; 32]>, Problem> {
    let pin = |value: &Value<'_>| {
        let text = value.text()?;
        let digest = text.strip_prefix("sha256/").and_then(|digest| STANDARD.decode(digest).ok());
        digest.and_then(|digest| <[u8; 32]>::try_from(digest).ok()).ok_or_else(|| {
            let found = value.place.expected("`sha256/` and 44 characters of Base64", shown(text));
            found.hint(
                "`openssl x509 -in FILE -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` prints them",
            )
        })
    };
    let list = value.list()?;
    if list.is_empty() {
        return Err(value.place.expected("at least one key", "none"));
    }
    list.iter().map(pin).collect()
}
