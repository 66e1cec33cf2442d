//! foreword asks real servers whether they are up, each with the header that it takes, and real name servers where they are.

use std::net::SocketAddr;

use crate::caller::Caller;
use crate::gateway::{self, Gateway};
use crate::ground::Ground;
use crate::origin::Origin;
use crate::program::Program;
use crate::server::{apache, dovecot, haproxy, nginx, postfix, unbound, varnish};

/// Something that starts a server on the ground, if it is installed.
type Start = fn(&Ground) -> Option<(Program, SocketAddr)>;

/// Runs checks against a server: those of `good` pass, those of `bad` do not, and what is told of them holds a text.
fn is_checked(start: Start, check: &str, good: &[&str], bad: &[(&str, &str)]) {
    let ground = Ground::new();
    let Some((program, address)) = start(&ground) else { return };
    let admin = ground.address();
    let expected = good.iter().map(|header| (*header, None));
    for (header, told) in expected.chain(bad.iter().map(|(header, told)| (*header, Some(*told)))) {
        let edge = ground.address();
        let cluster = format!(
            "[cluster.receivers.health]\n{check}\n{header}\ninterval = \"50ms\"\ntimeout = \"2s\"\n\
             [admin]\nbind = \"{admin}\""
        );
        let file = gateway::edge(edge, address, "", &cluster);
        let mut foreword = Gateway::start(&ground, &file, &[edge, admin]);
        match told {
            Some(told) => {
                let line = foreword.program.line("is down: its check failed once: ");
                assert!(line.contains(told), "{header}: {line}\n{}", program.transcript());
            }
            None => {
                passes_twice(admin, &foreword.program);
                assert_eq!(
                    foreword.program.count("is down"),
                    0,
                    "{header}\n{}",
                    foreword.program.transcript()
                );
            }
        }
        foreword.program.signal(rustix::process::Signal::TERM);
        foreword.program.ended(crate::program::PATIENCE);
    }
}

/// Waits until two checks have passed, or one has not.
fn passes_twice(admin: SocketAddr, foreword: &Program) {
    let deadline = std::time::Instant::now() + crate::program::PATIENCE;
    loop {
        let metrics = Caller::connect(admin, b"").get("admin", "/metrics").text();
        let count = |result: &str| -> f64 {
            let end = format!("result=\"{result}\"}} ");
            let lines = metrics.lines().filter(|line| line.starts_with("foreword_endpoint_checks_total"));
            lines.filter_map(|line| line.split_once(&end)?.1.parse::<f64>().ok()).sum()
        };
        if count("passed") >= 2.0 {
            return;
        }
        assert_eq!(count("failed") + count("timed_out"), 0.0, "{}", foreword.transcript());
        assert!(std::time::Instant::now() < deadline, "{}", foreword.transcript());
    }
}

const LOCAL: &str = "header = \"local\"";
const LOCAL_NOOP: &str = "header = \"local-noop\"";
const UNKNOWN: &str = "header = \"local\"\nheader_version = \"v1\"";
const PROXY_V1: &str = "header = \"proxy\"\nheader_version = \"v1\"";
const PROXY_V2: &str = "header = \"proxy\"";
const NONE: &str = "header = \"none\"";

const CLOSED: &str = "expected an HTTP answer, found ";

#[test]
fn haproxy_is_checked_with_every_header_and_not_without_one() {
    let good = [LOCAL, LOCAL_NOOP, UNKNOWN, PROXY_V1, PROXY_V2];
    is_checked(haproxy::receiver, "check = \"http\"", &good, &[(NONE, CLOSED)]);
}

#[test]
fn nginx_is_checked_with_every_header_and_not_without_one() {
    let good = [LOCAL, LOCAL_NOOP, "header = \"local-addresses\"", UNKNOWN, PROXY_V1, PROXY_V2];
    is_checked(nginx::http_receiver, "check = \"http\"", &good, &[(NONE, CLOSED)]);
    let check = "check = \"send-expect\"\nexpect = \"client=\"";
    is_checked(nginx::stream_receiver, check, &[LOCAL, PROXY_V1, PROXY_V2], &[]);
}

#[test]
fn apache_and_varnish_take_local_and_no_unknown() {
    is_checked(
        apache::receiver,
        "check = \"http\"\nstatus = [\"200-499\"]",
        &[LOCAL, PROXY_V1],
        &[(UNKNOWN, CLOSED)],
    );
    is_checked(
        varnish::receiver,
        "check = \"http\"\nstatus = [\"200-599\"]",
        &[LOCAL, PROXY_V1],
        &[(UNKNOWN, CLOSED)],
    );
}

#[test]
fn mail_servers_are_checked_by_their_greeting() {
    let check = "check = \"send-expect\"\nexpect = \"220 \"";
    is_checked(
        postfix::receiver,
        check,
        &[LOCAL, PROXY_V1, PROXY_V2],
        &[(UNKNOWN, "expected `220 `, found `421 ")],
    );
    is_checked(dovecot::receiver, "check = \"send-expect\"\nexpect = \"* OK\"", &[LOCAL, PROXY_V2], &[]);
}

#[test]
fn names_and_services_are_where_a_real_name_server_says() {
    let ground = Ground::new();
    let origin = Origin::start(&ground);
    let (ip, port) = (origin.address.ip(), origin.address.port());
    let records = [
        format!("app.test. 60 IN A {ip}"),
        format!("_http._tcp.test. 60 IN SRV 10 5 {port} app.test."),
        format!("_http._tcp.test. 60 IN SRV 20 5 {port} gone.test."),
    ];
    let records = records.each_ref().map(String::as_str);
    let Some((unbound, servers)) = unbound::server(&ground, &records) else { return };
    for endpoint in [format!("app.test:{port}"), "srv:_http._tcp.test".to_owned()] {
        let edge = ground.address();
        let file = format!(
            "name_servers = [\"{servers}\"]\n[listener.edge]\nbind = [\"{edge}\"]\nmode = \"http\"\ncluster = \"app\"\n\
             [cluster.app]\nendpoints = [\"{endpoint}\", \"none.test:80\"]\n[log.access]\nto = \"stdout\"\n"
        );
        let mut foreword = Gateway::start(&ground, &file, &[edge]);
        foreword
            .program
            .line("`none.test` does not resolve: there is no such name; endpoints of this name are left out");
        for _ in 0..3 {
            let answer = Caller::connect(edge, b"").get("peers.test", "/whoever");
            assert_eq!(
                answer.text(),
                "/whoever 0 bytes\n",
                "{}\n{}",
                foreword.program.transcript(),
                unbound.transcript()
            );
        }
        let access = foreword.access_with("/whoever", 3);
        assert_eq!(access.get("endpoint"), origin.address.to_string());
        foreword.program.signal(rustix::process::Signal::TERM);
        foreword.program.ended(crate::program::PATIENCE);
    }
}
