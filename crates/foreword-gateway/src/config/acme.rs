//! `[acme]`: from whom certificates are obtained; and `acme` of a listener's `tls`: for which names.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::document::{Notes, Table, Value, shown};
use super::keys::ACME;
use super::problem::Problem;
use super::source::{At, Place};
use crate::acme::folder_of;
use crate::plan::{AcmeChallenge, AcmePlan, Http2, Listener, Mode};

/// `[acme]` as it was read.
#[derive(Debug)]
pub(crate) struct Acme {
    pub(crate) plan: AcmePlan,
    place: Place,
    /// Where the challenges are named, if they are.
    challenges: Option<Place>,
}

/// Reads `[acme]`.
pub(crate) fn read(top: &Table<'_, '_>) -> Option<Acme> {
    let table = top.table("acme", &ACME)?.called("acme");
    let terms = table.require("terms", |value| value.one_of(&[("agreed", ())]));
    let directory = table.read("directory", directory);
    let path = |value: &Value<'_>| Ok(value.place.source().path(value.text()?));
    let state = table.read("state", path).map_or_else(|| PathBuf::from(STATE), |at| at.value);
    let contact = table.read("contact", contact);
    let kinds = [("http-01", AcmeChallenge::Http01), ("tls-alpn-01", AcmeChallenge::TlsAlpn01)];
    let challenges = table.read("challenges", |value| {
        let read = value.list()?.iter().map(|value| value.one_of(&kinds)).collect::<Result<Vec<_>, _>>()?;
        if read.is_empty() { Err(value.expected("at least one challenge")) } else { Ok(read) }
    });
    let directory_ca = table.read("directory_ca", path).map(|at| at.value);
    let profile = table.read("profile", |value| Ok(value.text()?.to_owned())).map(|at| at.value);
    let directory = directory.map_or_else(|| DIRECTORY.to_owned(), |at| at.value);
    terms?;
    Some(Acme {
        place: table.place.clone(),
        challenges: challenges.as_ref().map(|at| at.place.clone()),
        plan: AcmePlan {
            folder: folder_of(&state, &directory),
            directory,
            directory_ca,
            contact: contact.map(|at| at.value).unwrap_or_default(),
            challenges: challenges.map_or_else(|| kinds.map(|(_, kind)| kind).to_vec(), |at| at.value),
            profile,
        },
    })
}

fn directory(value: &Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let uri = text.parse::<http::Uri>().ok();
    let fits = uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(value.expected(format_args!("an address such as `{DIRECTORY}`")))
    }
}

fn contact(value: &Value<'_>) -> Result<Vec<String>, Problem> {
    let mut contact = Vec::new();
    for text in value.texts()? {
        if !text.value.strip_prefix("mailto:").is_some_and(|address| address.contains('@')) {
            let problem =
                text.place.expected("an address such as `mailto:ops@example.com`", shown(text.value));
            return Err(problem);
        }
        contact.push(text.value.to_owned());
    }
    Ok(contact)
}

/// Reads the names for which a listener wants certificates.
pub(crate) fn names(value: &Value<'_>) -> Result<Vec<Box<str>>, Problem> {
    let mut names: Vec<Box<str>> = Vec::new();
    for text in value.texts()? {
        let name = name(&text)?;
        if names.contains(&name) {
            return Err(text.place.expected("each name once", format_args!("{} again", shown(text.value))));
        }
        names.push(name);
    }
    if names.is_empty() { Err(value.expected("at least one name")) } else { Ok(names) }
}

fn name(text: &At<&str>) -> Result<Box<str>, Problem> {
    let expected = |what: &str| text.place.expected(what, shown(text.value));
    let name = text.value.to_ascii_lowercase();
    if name.contains('*') {
        let problem = expected("a whole name such as `www.example.com`");
        return Err(problem.hint("a wildcard takes the challenge dns-01, which is not spoken here: name each host, or obtain the certificate elsewhere and name it in `certificates`"));
    }
    if !name.is_ascii() {
        return Err(expected("a name in ASCII").hint("write it as DNS has it, with `xn--`"));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(expected("a name such as `www.example.com`, not an address"));
    }
    let fits = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    // RFC 1035 §2.3.4; and no CA vouches for a name without a dot.
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(fits) {
        return Err(expected("a name such as `www.example.com`"));
    }
    Ok(name.into())
}

/// Leaves the challenges that some listener can answer; where that is none, it is a problem.
pub(crate) fn settle(acme: Acme, listeners: &[Arc<Listener>], notes: &Notes) -> AcmePlan {
    let Acme { mut plan, place, challenges } = acme;
    let issued =
        |listener: &Arc<Listener>| listener.tls.as_ref().is_some_and(|tls| !tls.issued_names().is_empty());
    if !listeners.iter().any(issued) {
        notes.warning(place.problem("no listener has `tls = { acme = […] }`: no certificate is obtained"));
        return plan;
    }
    let plain = |listener: &Arc<Listener>| {
        listener.mode == Mode::Http && listener.tls.is_none() && listener.http2 != Http2::PriorKnowledge
    };
    // Whoever wants a certificate ends TLS, so the other one can always be answered.
    if !listeners.iter().any(plain) {
        plan.challenges.retain(|challenge| *challenge != AcmeChallenge::Http01);
    }
    if plan.challenges.is_empty() {
        let place = challenges.unwrap_or(place);
        let problem = place.expected(
            "a challenge that some listener can answer",
            "`http-01` and no http listener without TLS",
        );
        notes.problem(
            problem.hint(
                "add a listener at port 80 with `mode = \"http\"`, or `\"tls-alpn-01\"` to `challenges`",
            ),
        );
    }
    plan
}

/// The CA that everybody can use.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where packages have a folder for it.
const STATE: &str = "/var/lib/foreword/acme";

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::plan::{AcmeChallenge, Plan};

    fn read(acme: &str, listeners: &str) -> Result<Plan, String> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[acme]\nstate = \"state\"\n{acme}\n{listeners}\n\
             [cluster.app]\nendpoints = [\"127.0.0.1:1\"]\n"
        );
        let read = parse(&text, "f", folder.path());
        read.map(|read| read.plan).map_err(|problems| problems.to_string())
    }

    fn https(names: &str) -> String {
        format!(
            "[listener.https]\nbind = [\"127.0.0.1:443\"]\nmode = \"http\"\ncluster = \"app\"\n\
             tls = {{ acme = {names} }}\n"
        )
    }

    const PLAIN: &str = "[listener.http]\nbind = [\"127.0.0.1:80\"]\nmode = \"http\"\ncluster = \"app\"\n";

    const AGREED: &str = "terms = \"agreed\"";

    #[test]
    fn a_challenge_is_taken_only_where_a_listener_can_answer_it() {
        let names = https("[\"www.example.com\", \"Example.com\"]");
        let plan = read(AGREED, &names).unwrap();
        assert_eq!(plan.acme.unwrap().challenges, [AcmeChallenge::TlsAlpn01]);
        assert_eq!(plan.listeners[0].tls.as_ref().unwrap().issued_names().len(), 2);
        let both = read(AGREED, &(names.clone() + PLAIN)).unwrap().acme.unwrap();
        assert_eq!(both.challenges, [AcmeChallenge::Http01, AcmeChallenge::TlsAlpn01]);
        let wanted = format!("{AGREED}\nchallenges = [\"http-01\"]");
        let told = read(&wanted, &names).unwrap_err();
        assert!(told.contains("f:4:14: acme: expected a challenge that some listener can answer"), "{told}");
        let prior = PLAIN.to_owned() + "http2 = \"prior-knowledge\"\n";
        assert!(read(&wanted, &(names.clone() + &prior)).is_err());
        assert!(read(&wanted, &(names + PLAIN)).is_ok());
    }

    #[test]
    fn names_that_no_ca_takes_are_told_with_what_to_do() {
        for (names, told) in [
            ("[]", "expected at least one name"),
            ("[\"*.example.com\"]", "dns-01"),
            ("[\"192.0.2.1\"]", "not an address"),
            ("[\"bücher.example\"]", "with `xn--`"),
            ("[\"localhost\"]", "expected a name such as"),
            ("[\"a..b\"]", "expected a name such as"),
            ("[\"-a.example\"]", "expected a name such as"),
            ("[\"../../etc.passwd\"]", "expected a name such as"),
            ("[\"a.example\", \"A.example\"]", "expected each name once"),
        ] {
            let found = read(AGREED, &https(names)).unwrap_err();
            assert!(found.contains(told), "{names}: {found}");
        }
    }

    #[test]
    fn what_is_missing_or_has_no_effect_is_told() {
        let names = https("[\"www.example.com\"]");
        assert!(read("", &names).unwrap_err().contains("acme: expected the key `terms`"));
        assert!(read("terms = \"yes\"", &names).unwrap_err().contains("expected `agreed`"));
        let directory = |directory: &str| read(&format!("{AGREED}\ndirectory = \"{directory}\""), &names);
        assert!(directory("http://ca.test/dir").unwrap_err().contains("expected an address such as"));
        assert!(directory("https://ca.test/dir").is_ok());
        let contact = format!("{AGREED}\ncontact = [\"ops@example.com\"]");
        assert!(read(&contact, &names).unwrap_err().contains("mailto:ops@example.com"));
        let alone = read(AGREED, PLAIN).unwrap();
        assert!(alone.warnings.iter().any(|warning| warning.contains("no certificate is obtained")));

        let folder = tempfile::tempdir().unwrap();
        let text = names + "[cluster.app]\nendpoints = [\"127.0.0.1:1\"]\n";
        let told = parse(&text, "f", folder.path()).unwrap_err().to_string();
        assert!(told.contains("expected a table `[acme]`") && told.contains("terms"), "{told}");
    }
}
