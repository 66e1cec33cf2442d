//! `why`: one decision, told from the peer to the ending.

use std::path::Path;

use foreword::Version;
use foreword_gateway::config;
use foreword_gateway::plan::Plan;
use foreword_gateway::refusal::Code;
use foreword_gateway::trial::{Asked, Explanation, Introduction, Outcome, Trial, TrialError, TrustTold};

const FILE: &str = r#"
[trust.elb]
from = ["10.0.0.0/8", "10.0.9.0/24"]

[trust.inside]
from = ["10.0.10.0/24"]
header = "forbid"

[trust.local]
from = ["127.0.0.0/8", "unix"]
header = "optional"

[list]
office = ["198.51.100.0/24"]

[listener.web]
bind = ["127.0.0.1:8081"]
mode = "http"
trust = ["elb", "inside", "local"]

[[listener.web.rule]]
name = "mark"
then = { set_fields = { X-From = "{client.ip}" } }

[[listener.web.rule]]
name = "admin is for the office"
when = 'path.under("/admin") && !(client.ip in @office)'
then = { deny = 403 }

[[listener.web.rule]]
name = "moved"
when = 'host == "old.example.com"'
then = { redirect = { to = "https://www.example.com{uri}", status = 301 } }

[[listener.web.rule]]
when = 'host == "www.example.com"'
then = { forward = "app" }

[listener.any]
bind = ["127.0.0.1:8082"]
mode = "tcp"
cluster = "app"

[cluster.app]
endpoints = ["127.0.0.1:8080"]
"#;

fn plan() -> Plan {
    config::parse(FILE, "foreword.toml", Path::new("/nowhere"))
        .unwrap_or_else(|problems| panic!("{problems}"))
        .plan
}

fn web(peer: &str, client: Option<&str>, url: &str) -> Trial {
    Trial {
        listener: Some("web".into()),
        peer: config::peer(peer).expect("a peer"),
        introduction: client.map(|client| Introduction {
            version: Version::One,
            client: config::address(client),
            tlvs: Vec::new(),
        }),
        destination: None,
        sni: None,
        request: Some(Asked { method: "GET".into(), url: url.parse().expect("a URL"), fields: Vec::new() }),
    }
}

fn run(trial: &Trial) -> Explanation {
    trial.run(&plan()).unwrap_or_else(|error| panic!("{error}"))
}

fn code(trial: &Trial) -> Option<Code> {
    run(trial).outcome.code()
}

#[test]
fn a_decision_is_told_from_the_peer_to_the_ending() {
    let told = run(&web("10.0.9.5:1000", Some("203.0.113.7:2000"), "http://www.example.com/x/..//%61dmin?y"));
    assert_eq!(
        told.to_string(),
        "listener  web (http)\n\
         peer      10.0.9.5:1000: in trust `elb` by 10.0.9.0/24 (header = \"require\")\n\
         client    203.0.113.7:2000: named by the peer's v1 header\n\
         path      /x/..//%61dmin?y: rules see /admin, forwarded is /admin?y\n\
         rules\n\
         \x20 `mark` holds, makes its changes, and goes on\n\
         \x20   it has no condition\n\
         \x20 `admin is for the office` holds, and ends it\n\
         \x20   yes  path.under(\"/admin\") && !(client.ip in @office)\n\
         \x20     yes  path.under(\"/admin\")   (it is \"/admin\")\n\
         \x20     yes  !(client.ip in @office)\n\
         \x20       no   (client.ip in @office)   (it is 203.0.113.7)\n\
         outcome   answered with 403, by rule `admin is for the office`"
    );
}

#[test]
fn the_rules_behind_the_ending_are_not_told() {
    let told = run(&web("10.0.9.5", Some("198.51.100.1"), "http://old.example.com/admin?a"));
    assert_eq!(told.rules.last().map(|rule| &*rule.name), Some("moved"));
    let location = "https://www.example.com/admin?a".to_owned();
    assert_eq!(told.outcome, Outcome::Redirected { status: 301, location });
}

#[test]
fn whoever_is_not_believed_is_refused_under_the_code_of_a_real_connection() {
    let url = "http://www.example.com/";
    assert_eq!(code(&web("192.0.2.1", Some("198.51.100.1"), url)), Some(Code::Stranger));
    assert_eq!(code(&web("10.0.0.1", None, url)), Some(Code::HttpForHeader));
    assert_eq!(code(&web("10.0.0.1", Some("224.0.0.1"), url)), Some(Code::ClaimRefused));
    assert_eq!(code(&web("10.0.10.1", Some("198.51.100.1"), url)), Some(Code::HeaderForbidden));
    assert_eq!(
        code(&web("10.0.0.1", Some("198.51.100.1"), "http://www.example.com/%2f")),
        Some(Code::UnsettledPath)
    );
    let other = run(&web("127.0.0.1", None, "http://other.example.com/"));
    assert_eq!((other.outcome.status(), other.outcome.code()), (Some(404), Some(Code::NoRule)));
    let told = other.to_string();
    assert!(told.contains("found one for host `other.example.com` and path `/`"), "{told}");
}

#[test]
fn a_method_that_reads_like_a_header_is_a_method() {
    let mut trial = web("10.0.10.1", None, "http://www.example.com/");
    trial.request.as_mut().expect("a request").method = "PROXY".into();
    assert_eq!(run(&trial).outcome.cluster(), Some("app"));
}

#[test]
fn a_peer_that_may_come_bare_speaks_for_itself() {
    let told = run(&web("unix", None, "http://www.example.com/"));
    assert!(matches!(&told.trust, TrustTold::Group { range, .. } if range == "unix"));
    assert_eq!(told.outcome.cluster(), Some("app"));
}

#[test]
fn a_listener_without_groups_believes_no_header() {
    let mut trial = web("10.0.0.1", Some("198.51.100.1"), "http://www.example.com/");
    (trial.listener, trial.request) = (Some("any".into()), None);
    let told = run(&trial);
    assert_eq!(told.client.as_ref().map(|client| client.address.as_str()), Some("10.0.0.1:49152"));
    assert_eq!(told.outcome.cluster(), Some("app"));
}

#[test]
fn a_bare_peer_in_tcp_mode_is_told_what_it_lacks_and_no_bytes_of_ours() {
    let file = FILE.replace("mode = \"tcp\"\n", "mode = \"tcp\"\ntrust = [\"elb\"]\n");
    let plan =
        config::parse(&file, "foreword.toml", Path::new("")).unwrap_or_else(|error| panic!("{error}")).plan;
    let trial = Trial {
        listener: Some("any".into()),
        request: None,
        destination: Some("192.0.2.1:25".parse().unwrap()),
        ..web("10.0.0.1:5", None, "http://a/")
    };
    assert_eq!(
        trial.run(&plan).unwrap().to_string(),
        "listener  any (tcp)\n\
         peer      10.0.0.1:5: in trust `elb` by 10.0.0.0/8 (header = \"require\")\n\
         called    192.0.2.1:25\n\
         outcome   closed: expected a PROXY header, found payload without one [FW103]"
    );
}

#[test]
fn a_rule_that_refuses_is_named_once() {
    let file = FILE.replace("then = { deny = 403 }", "then = { close = true }");
    let plan =
        config::parse(&file, "foreword.toml", Path::new("")).unwrap_or_else(|error| panic!("{error}")).plan;
    let told =
        web("10.0.9.5", Some("203.0.113.7"), "http://www.example.com/admin").run(&plan).unwrap().to_string();
    assert_eq!(told.matches("by rule").count(), 1, "{told}");
}

#[test]
fn a_trial_that_does_not_fit_says_so() {
    let fails = |trial: Trial| trial.run(&plan()).expect_err("it does not fit").to_string();
    let good = || web("127.0.0.1", None, "http://www.example.com/");
    assert_eq!(
        fails(Trial { listener: None, ..good() }),
        "expected one of the listeners `web`, `any`, found none named"
    );
    assert_eq!(fails(Trial { request: None, ..good() }), "listener `web`: expected a URL, found none");
    assert_eq!(
        fails(web("127.0.0.1", None, "https://www.example.com/")),
        "listener `web`: expected `http://`, since no TLS ends here, found `https://`"
    );
    assert!(matches!(
        Trial { listener: Some("any".into()), ..good() }.run(&plan()),
        Err(TrialError::Unfit { found: "one", .. })
    ));
}

#[test]
fn a_trial_can_be_run_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let told = runtime.block_on(async { run(&web("127.0.0.1", None, "http://www.example.com/")) });
    assert_eq!(told.outcome.cluster(), Some("app"));
}
