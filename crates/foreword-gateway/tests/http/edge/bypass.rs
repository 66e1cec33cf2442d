//! Ways around a rule, several thousand: nothing of what is protected comes to a server, however that server reads its targets.

use super::oracle::{Received, Verdict, judge};
use super::servers::{SERVERS, Server, WITHOUT_CASE, is_protected};
use super::*;

const RULES: &str = "[[listener.web.rule]]\nwhen = 'path.under(\"/admin\")'\nthen = { deny = 403 }\n\
    [[listener.web.rule]]\nwhen = 'host == \"secret.example\"'\nthen = { deny = 403 }\n\
    [[listener.web.rule]]\nwhen = 'client.ip in [\"203.0.113.0/24\"]'\nthen = { deny = 403 }\n\
    [[listener.web.rule]]\nthen = { set_fields = { X-Matched = \"{path}\" }, forward = \"app\" }\n";

/// What comes before the name.
const FRONTS: &[&str] = &[
    "/",
    "//",
    "///",
    "/./",
    "/.//",
    "/../",
    "/../../",
    "/x/../",
    "/x/./../",
    "/x/y/../../",
    "/x//../",
    "/%2e/",
    "/%2E/",
    "/.%2e/",
    "/x/%2e%2e/",
    "/x/.%2E/",
    "/x/%2e./",
    "/;/",
    "/;x/",
    "/.;/",
    "/.;x/",
    "/x/..;/",
    "/x/..;y/",
    "/x/%2e%2e;/",
    "/x;/../",
    "/%2f",
    "/%2F/",
    "/x/..%2f",
    "/x%2f../",
    "/x%2f..%2f",
    "/\\",
    "/%5c",
    "/x/..%5c",
    "/x/..\\",
    "/x\\..\\",
    "/%252e/",
    "/x/%252e%252e/",
    "/%252f",
    "/x/..%252f",
    "/%c0%af",
    "/x/..%c0%af",
    "/x/%c0%ae%c0%ae/",
    "/%e0%80%af",
    "/%u002f",
    "/%ef%bc%8f",
    "/%00/",
    "/%20/",
    "/%09/",
    "/ /",
    "/x/..%00/",
    "/x/..%20/",
    "/?/../",
    "/%3f/../",
    "/x?/../",
    "/#/../",
    "/x%23/../",
    "http://a/",
    "http://a//",
    "HTTP://A/./",
    "https://a/x/../",
    "http://a:80/",
    "http://a/%2e/",
    "http://u@a/",
    "http://a?/",
    "//a/",
    "//a/../",
    "/x/../../",
    "/%2e%2e/",
    "/%2e%2e%2f",
    "/..%2f",
    "/.../../",
    "/x/.../../../",
];

/// The name itself.
const NAMES: &[&str] = &[
    "admin",
    "%61dmin",
    "adm%69n",
    "%61%64%6d%69%6e",
    "%61%64%6D%69%6E",
    "%2561dmin",
    "%25%36%31dmin",
    "%c1%a1dmin",
    "%e0%81%a1dmin",
    "%u0061dmin",
    "admi%6E",
    "ADMIN",
    "Admin",
    "%41dmin",
    "admin;x",
    "a;b/../admin",
];

/// What comes behind it.
const ENDS: &[&str] = &[
    "",
    "/",
    "/x",
    "//x",
    ";",
    ";x",
    ";x=y/z",
    "%3b",
    "%3Bx/y",
    "%2f",
    "%2fx",
    "%5c",
    "%5cx",
    "\\",
    "\\x",
    "%00",
    "%00.html",
    "%00/x",
    "/.",
    "/./x",
    "/x/..",
    "/x/%2e%2e",
    "/..;/admin",
    "?x",
    "%3fx",
    "%3f",
    "%23",
    "#",
    "#x",
    ".",
    "%2e",
    "..",
    "%20",
    "%20/",
    "%09",
    "/%2e%2e/admin",
    "/../admin/",
    "/%252e%252e/admin",
];

fn targets() -> Vec<String> {
    let mut targets = Vec::new();
    for front in FRONTS {
        for name in NAMES {
            targets.extend(ENDS.iter().map(|end| format!("{front}{name}{end}")));
        }
    }
    targets
}

/// Whether one of these servers would be reached if the target came to it as it is.
fn is_attempt(servers: &[Server], target: &str) -> bool {
    servers.iter().any(|server| is_protected(server, target))
}

/// All requests that came whole. None of them may be one that nobody can have sent.
fn received(recorder: &Recorder) -> Vec<Received> {
    recorder
        .seen()
        .into_iter()
        .filter_map(|bytes| match judge(&bytes) {
            Verdict::Whole(received) => Some(received),
            Verdict::Beginning => None,
            Verdict::Wrong(why) => panic!("an endpoint was sent {why}: {}", bytes.escape_ascii()),
        })
        .collect()
}

/// Checks that nothing protected came, and that what came is what rules have seen.
fn check(recorder: &Recorder, servers: &[Server]) -> usize {
    let all = received(recorder);
    for request in &all {
        let by = servers.iter().find(|server| is_protected(server, &request.target));
        assert!(by.is_none(), "{} came to a server that {}", request.target, by.map_or("", |by| by.0));
        let path = request.target.split('?').next().unwrap_or_default();
        assert_eq!(request.field("x-matched"), Some(path.as_bytes()), "{}", request.target);
    }
    all.len()
}

/// One of several attempts by any door but in the nightly set.
fn sample(targets: Vec<String>) -> Vec<String> {
    let each = if is_nightly() { 1 } else { 13 };
    targets.into_iter().step_by(each).collect()
}

#[test]
fn no_spelling_of_a_path_gets_past_a_rule() {
    let strict: Vec<Server> = SERVERS.to_vec();
    let lax: Vec<Server> = [SERVERS, WITHOUT_CASE].concat();
    for (keys, servers) in [("", &strict), ("ignore_case = true", &lax)] {
        let attempts: Vec<String> =
            sample(targets().into_iter().filter(|target| is_attempt(servers, target)).collect());
        assert!(attempts.len() >= 600, "{}", attempts.len());
        let recorder = Recorder::start();
        let gateway = gateway(&file(&[recorder.address], &format!("{TIMES}\n{keys}\n{RULES}"), ""));
        let address = address(&gateway);
        let statuses = outcomes(&attempts, |target, id| {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Case: {id}\r\n\r\n");
            send(address, Door::Plain, &Case::new("a path", Must::Safe, request.into_bytes()), id).statuses
        });
        check(&recorder, servers);
        let denied = statuses.iter().filter(|statuses| matches!(statuses[..], [400 | 403])).count();
        assert_eq!(denied, attempts.len(), "{:?}", told(&attempts, &statuses));
    }
}

/// The attempts that were answered otherwise than with a refusal.
fn told<'a, S>(attempts: &'a [String], statuses: &'a [Vec<S>]) -> Vec<(&'a String, &'a Vec<S>)>
where
    S: PartialEq<u16>,
{
    attempts
        .iter()
        .zip(statuses)
        .filter(|(_, statuses)| !statuses.iter().all(|status| *status == 400 || *status == 403))
        .collect()
}

#[test]
fn no_spelling_of_a_path_gets_past_a_rule_over_http_2() {
    let attempts: Vec<String> =
        sample(targets().into_iter().filter(|target| is_attempt(SERVERS, target)).collect());
    assert!(attempts.len() >= 600, "{}", attempts.len());
    let recorder = Recorder::start();
    let gateway = gateway(&file(&[recorder.address], &format!("{TIMES}\n{CLEAR}\n{RULES}"), ""));
    let address = address(&gateway);
    outcomes(&attempts, |target, id| {
        send_stream(address, Door::Plain, &streams::Case::asking(target, &[(":authority", "a")]), id)
    });
    check(&recorder, SERVERS);
}

#[test]
fn no_spelling_of_a_host_gets_past_a_rule() {
    const NAMES: &[&str] =
        &["secret.example", "SECRET.example", "Secret.Example", "secret.example.", "SECRET.EXAMPLE."];
    const PORTS: &[&str] = &["", ":80", ":443", ":8080", ":", ":080", ":0", ":65536", ":x"];
    const OTHERS: &[&str] = &[
        "",
        "Host: a\r\n",
        "X-Forwarded-Host: a\r\n",
        "Forwarded: host=a\r\n",
        "X-Host: a\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
        "Host\t: a\r\n",
    ];
    let mut attempts = Vec::new();
    for name in NAMES {
        for port in PORTS {
            for other in OTHERS {
                let host = format!("{name}{port}");
                attempts.push(format!("GET /case HTTP/1.1\r\nHost: {host}\r\n{other}"));
                attempts.push(format!("GET /case HTTP/1.1\r\n{other}Host: {host}\r\n"));
                attempts.push(format!(
                    "GET http://{host}/case HTTP/1.1\r\n{}",
                    if other.is_empty() { "Host: a\r\n" } else { other }
                ));
                attempts.push(format!("GET http://a@{host}/case HTTP/1.1\r\nHost: {host}\r\n{other}"));
                attempts.push(format!("GET http://{host}@a/case HTTP/1.1\r\nHost: a\r\n"));
                attempts.push(format!("GET http://a/case HTTP/1.1\r\nHost: {host}\r\n"));
                attempts.push(format!("GET http://{host}/case HTTP/1.0\r\n"));
                attempts.push(format!("GET //{host}/case HTTP/1.1\r\nHost: {host}\r\n"));
            }
        }
    }
    assert!(attempts.len() >= 300, "{}", attempts.len());
    let recorder = Recorder::start();
    let gateway = gateway(&file(&[recorder.address], &format!("{TIMES}\n{RULES}"), ""));
    let address = address(&gateway);
    outcomes(&attempts, |head, id| {
        let request = format!("{head}Connection: close\r\nX-Case: {id}\r\n\r\n");
        send(address, Door::Plain, &Case::new("a host", Must::Safe, request.into_bytes()), id)
    });
    let secret = |host: &[u8]| {
        let host = String::from_utf8_lossy(host).to_ascii_lowercase();
        let name = host.split(':').next().unwrap_or_default();
        name.trim_end_matches('.') == "secret.example"
    };
    for request in received(&recorder) {
        assert!(!request.field("host").is_some_and(secret), "{request:?}");
    }
}

#[test]
fn no_spelling_of_an_authority_gets_past_a_rule_over_http_2() {
    let recorder = Recorder::start();
    let gateway = gateway(&file(&[recorder.address], &format!("{TIMES}\n{CLEAR}\n{RULES}"), ""));
    let address = address(&gateway);
    let names = [
        "secret.example",
        "SECRET.example",
        "secret.example.",
        "secret.example:80",
        "a@secret.example",
        "secret.example:",
        "secret.example@a",
    ];
    let mut attempts = Vec::new();
    for name in names {
        attempts.push(vec![(":authority", name)]);
        attempts.push(vec![("host", name)]);
        for other in ["a", "A", "secret.example", "b.example", ""] {
            attempts.push(vec![(":authority", name), ("host", other)]);
            attempts.push(vec![(":authority", other), ("host", name)]);
            attempts.push(vec![(":authority", other), (":authority", name)]);
            attempts.push(vec![("host", other), ("host", name)]);
            attempts.push(vec![(":authority", name), ("x-forwarded-host", other)]);
        }
    }
    outcomes(&attempts, |fields, id| {
        send_stream(address, Door::Plain, &streams::Case::asking("/case", fields), id)
    });
    for request in received(&recorder) {
        let host = request.field("host").unwrap_or_default().to_ascii_lowercase();
        assert!(find(&host, b"secret").is_none(), "{request:?}");
    }
}

#[test]
fn no_spelling_of_a_client_gets_past_a_rule() {
    let recorder = Recorder::start();
    let trust = "[trust.lb]\nfrom = [\"127.0.0.1\"]\nheader = \"require\"\n";
    let keys = format!("{TIMES}\ntrust = [\"lb\"]\n{RULES}{trust}");
    let gateway = gateway(&file(&[recorder.address], &keys, ""));
    let address = address(&gateway);
    let mapped = [
        "::ffff:203.0.113.7",
        "::ffff:cb00:7107",
        "0:0:0:0:0:ffff:203.0.113.7",
        "::FFFF:CB00:7107",
        "0000:0000:0000:0000:0000:ffff:cb00:7107",
        "::ffff:cb00:71ff",
    ];
    let mut headers: Vec<Vec<u8>> = vec![b"PROXY TCP4 203.0.113.7 192.0.2.1 1234 80\r\n".to_vec()];
    headers.extend(mapped.map(|client| format!("PROXY TCP6 {client} 2001:db8::1 1234 80\r\n").into_bytes()));
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    v2.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7]);
    v2.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0xd2, 0, 80]);
    headers.push(v2);
    headers.push(Door::BehindV2.header().to_vec());
    let claims = [
        "",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Real-IP: 192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1\r\n",
        "True-Client-IP: 192.0.2.1\r\n",
        "X_Forwarded_For: 192.0.2.1\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nConnection: X-Forwarded-For\r\n",
        "CF-Connecting-IP: 192.0.2.1\r\n",
    ];
    let mut attempts = Vec::new();
    for header in &headers {
        for claim in claims {
            let request = format!(
                "GET /case HTTP/1.1\r\nHost: a\r\n{claim}Connection: close\r\nX-Case: {{id}}\r\n\r\n"
            );
            attempts.push([header, request.as_bytes()].concat());
        }
    }
    let outcomes = outcomes(&attempts, |bytes, id| {
        send(address, Door::Plain, &Case::new("a client", Must::Safe, bytes.clone()), id)
    });
    for (attempt, outcome) in attempts.iter().zip(outcomes) {
        assert_eq!(outcome.statuses, [403], "{}", attempt.escape_ascii());
    }
    assert_eq!(received(&recorder), []);
}
