//! Real senders in front of `foreword run`: the client that they saw is the one that foreword logs and forwards.

use std::net::SocketAddr;
use std::path::Path;

use crate::caller::{Caller, field, request};
use crate::gateway::{self, Gateway};
use crate::ground::{Certificate, Ground};
use crate::header::{self, CLIENT_PORT, CLIENT6};
use crate::origin::Origin;
use crate::program::{self, Run};
use crate::server::{haproxy, hitch, nginx};

/// The client's own address. What stands between it and foreword connects from 127.0.0.1, so the two cannot be confused.
const CALLER: &str = "127.66.7.8";

/// A gateway which only takes connections with a header, and the origin behind it.
struct Chain {
    foreword: Gateway,
    origin: Origin,
    web: SocketAddr,
    certificate: Certificate,
    /// Last, so that its address is ours until all that listens there has ended.
    ground: Ground,
}

impl Chain {
    /// `listener` has more keys of the gateway's listener.
    fn start(listener: &str) -> Self {
        let ground = Ground::new();
        let certificate = ground.certificate(&["localhost"]);
        let origin = Origin::start(&ground);
        let web = ground.address();
        let foreword =
            Gateway::start(&ground, &gateway::web(web, origin.address, "require", listener), &[web]);
        Self { foreword, origin, web, certificate, ground }
    }

    /// The gateway ends TLS itself.
    fn with_tls() -> Self {
        Self::start("tls = { certificates = \"certs/\" }")
    }

    /// Checks what foreword believed of the one request that curl sent, and what it told the origin.
    fn saw_curl(&self, curl: &Run, version: &str) {
        assert!(curl.status.success(), "{curl:?}\n{}", self.foreword.program.transcript());
        let port = curl.out.lines().last().expect("the port that curl called from");
        let access = self.foreword.access_with(CALLER, 1);
        assert_eq!(access.get("client.ip"), CALLER);
        assert_eq!(access.get("client.port"), port);
        assert_eq!(access.get("peer.ip"), "127.0.0.1");
        assert_eq!(access.get("header.version"), version);
        let head = self.origin.last();
        assert_eq!(field(&head, "x-forwarded-for"), Some(CALLER), "{head}");
        assert_eq!(field(&head, "x-real-ip"), Some(CALLER), "{head}");
    }
}

/// Asks with curl, from the caller's address; the last line of what it prints is the port that it called from.
fn curl(url: &str, flags: &[&str]) -> Option<Run> {
    let mut command = program::peer("curl")?;
    command.args(["-sSk", "--max-time", "30", "--interface", CALLER, "-w", "\n%{local_port}"]);
    Some(program::run(command.args(flags).arg(url)))
}

#[test]
fn the_client_that_haproxy_names_in_v1_in_front_of_tls_is_logged_and_forwarded() {
    let chain = Chain::with_tls();
    let Some((_haproxy, front)) = haproxy::sender(&chain.ground, chain.web, "send-proxy", None) else {
        return;
    };
    let Some(curl) = curl(&format!("https://{front}/"), &[]) else { return };
    chain.saw_curl(&curl, "1");
    assert_eq!(field(&chain.origin.last(), "x-forwarded-proto"), Some("https"));
}

#[test]
fn the_client_that_haproxy_names_in_v2_in_front_of_tls_is_logged_and_forwarded() {
    let chain = Chain::with_tls();
    let Some((_haproxy, front)) = haproxy::sender(&chain.ground, chain.web, "send-proxy-v2", None) else {
        return;
    };
    let Some(curl) = curl(&format!("https://{front}/"), &[]) else { return };
    chain.saw_curl(&curl, "2");
}

#[test]
fn the_client_certificate_that_haproxy_saw_reaches_the_rules_in_the_ssl_tlv() {
    let chain = Chain::start(
        r#"
[[listener.web.rule]]
name = "alice"
when = 'tlv.ssl.cn == "alice" && tlv.ssl.version.starts_with("TLSv1")'
then = { respond = { status = 200, body = "hello alice" } }
"#,
    );
    let alice = chain.ground.certificate(&["alice"]);
    let tls = haproxy::Tls { certificate: &chain.certificate, client: Some(&alice) };
    let Some((_haproxy, address)) =
        haproxy::sender(&chain.ground, chain.web, "send-proxy-v2-ssl-cn", Some(&tls))
    else {
        return;
    };
    let url = format!("https://{address}/");

    let Some(anonymous) = curl(&url, &[]) else { return };
    assert!(anonymous.out.starts_with("/ 0 bytes"), "{anonymous:?}\n{}", chain.foreword.program.transcript());
    chain.saw_curl(&anonymous, "2");

    let Some(known) = curl(&url, &["--cert", &text(&alice.file)]) else { return };
    assert!(known.out.starts_with("hello alice"), "{known:?}\n{}", chain.foreword.program.transcript());
    assert_eq!(chain.foreword.access_with(CALLER, 2).get("rule"), "alice");
}

#[test]
fn a_health_check_of_haproxy_is_a_local_header_and_speaks_for_haproxy_itself() {
    let chain = Chain::start("");
    let Some((haproxy, _front)) = haproxy::checker(&chain.ground, chain.web) else { return };
    let access = chain.foreword.access_with("/health", 2);
    assert_eq!(access.get("client.ip"), "127.0.0.1");
    assert_eq!(access.get("peer.ip"), "127.0.0.1");
    assert_eq!(access.get("client.port"), access.get("peer.port"));
    assert_eq!(access.get("header.version"), "2");
    let head = chain.origin.last();
    assert!(head.starts_with("GET /health "), "{head}");
    assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"), "{head}");
    assert_eq!(haproxy.count("is DOWN"), 0, "{}", haproxy.transcript());
}

#[test]
fn the_client_that_nginx_stream_names_is_logged_and_forwarded() {
    let chain = Chain::with_tls();
    let Some((_nginx, front)) = nginx::sender(&chain.ground, chain.web) else { return };
    let Some(curl) = curl(&format!("https://{front}/"), &[]) else { return };
    chain.saw_curl(&curl, "1");
}

#[test]
fn the_line_of_two_families_that_nginx_writes_is_refused_unless_the_listener_takes_it() {
    // `PROXY TCP6 2001:db8::7 127.…`: the client is of IPv6, and nginx's own address is of IPv4.
    let strict = Chain::start("");
    let Some((_nginx, front)) = nginx::relay(&strict.ground, strict.web) else { return };
    let to_nginx = header::v1(header::client6(), header::destination6());
    let mut caller = Caller::connect(front, &to_nginx);
    caller.write(request("peers.test", "/").as_bytes()).expect("the request is taken");
    assert!(caller.answer().is_err(), "{}", strict.foreword.program.transcript());
    strict.foreword.program.line("[FW104");
    assert_eq!(strict.origin.heads().len(), 0);

    let lenient = Chain::start("header = { ipv4_in_tcp6 = true }");
    let Some((_nginx, front)) = nginx::relay(&lenient.ground, lenient.web) else { return };
    let answer = Caller::connect(front, &to_nginx).get("peers.test", "/");
    assert_eq!(answer.status, 200, "{answer:?}");
    let access = lenient.foreword.access_with(CLIENT6, 1);
    assert_eq!(access.get("client.ip"), CLIENT6);
    assert_eq!(access.get("client.port"), CLIENT_PORT.to_string());
    assert_eq!(field(&lenient.origin.last(), "x-forwarded-for"), Some(CLIENT6));
}

#[test]
fn curl_with_its_own_header_is_taken_at_its_word() {
    let chain = Chain::start("");
    // curl's header names its own socket, so this peer and this client are one.
    let Some(mut command) = program::peer("curl") else { return };
    let url = format!("http://{}/", chain.web);
    let curl = program::run(command.args(["-sS", "--haproxy-protocol", "-w", "\n%{local_port}", &url]));
    assert!(curl.status.success(), "{curl:?}\n{}", chain.foreword.program.transcript());
    let access = chain.foreword.access_with("GET", 1);
    assert_eq!(access.get("header.version"), "1");
    assert_eq!(access.get("client.ip"), "127.0.0.1");
    assert_eq!(Some(access.get("client.port").as_str()), curl.out.lines().last());
}

#[test]
fn curl_writes_its_header_in_front_of_tls_and_is_served() {
    let chain = Chain::with_tls();
    let Some(curl) = curl(&format!("https://{}/", chain.web), &["--haproxy-protocol"]) else { return };
    assert!(curl.status.success(), "{curl:?}\n{}", chain.foreword.program.transcript());
    let access = chain.foreword.access_with(CALLER, 1);
    assert_eq!(access.get("client.ip"), CALLER);
    assert_eq!(access.get("header.version"), "1");
}

#[test]
fn the_client_that_hitch_names_in_v1_is_logged_and_forwarded() {
    hitch_names_the_client("write-proxy-v1", "1");
}

#[test]
fn the_client_that_hitch_names_in_v2_is_logged_and_forwarded() {
    hitch_names_the_client("write-proxy-v2", "2");
}

fn hitch_names_the_client(setting: &str, version: &str) {
    let chain = Chain::start("");
    let Some((_hitch, front)) = hitch::sender(&chain.ground, chain.web, setting, &chain.certificate) else {
        return;
    };
    let resolve = format!("localhost:{}:{}", front.port(), front.ip());
    let url = format!("https://localhost:{}/", front.port());
    let Some(curl) = curl(&url, &["--resolve", &resolve]) else { return };
    chain.saw_curl(&curl, version);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
