//! The story: HTTPS ends here, behind a balancer that hides the client, and `/admin` is for the office.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::caller::{Answer, Caller, field, request};
use crate::gateway::Gateway;
use crate::ground::{self, Certificate, Ground};
use crate::header;
use crate::program::{self, Program, Run};
use crate::server::apache;

/// From here the balancer connects, and must send a header.
const BALANCER: &str = "127.66.0.5";
const OUTSIDE: &str = "203.0.113.7";
const OFFICE: &str = "198.51.100.9";

/// The site: Apache, foreword in front of it, and in front of that what the balancer did.
struct Site {
    apache: Program,
    foreword: Gateway,
    /// As `localhost`, where everyone comes to the gateway itself.
    web: SocketAddr,
    edge: SocketAddr,
    plain: SocketAddr,
    certificate: Certificate,
    ground: Ground,
}

impl Site {
    fn open() -> Option<Self> {
        let ground = Ground::new();
        let certificate = ground.certificate(&["localhost", "www.example.com"]);
        let (apache, app) = apache::plain(&ground)?;
        let localhost = || SocketAddr::from((Ipv4Addr::LOCALHOST, ground::localhost_port()));
        let (web, plain) = (localhost(), localhost());
        let edge = ground.address();
        let file = FILE
            .replace("WEB", &web.to_string())
            .replace("EDGE", &edge.to_string())
            .replace("PLAIN", &plain.to_string())
            .replace("APP", &app.to_string());
        let foreword = Gateway::start(&ground, &file, &[web, edge, plain]);
        Some(Self { apache, foreword, web, edge, plain, certificate, ground })
    }

    fn url(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.web.port())
    }

    /// A connection for a client whom the header names.
    fn caller(&self, client: &str) -> Caller {
        let client = SocketAddr::new(client.parse().expect("an address"), header::CLIENT_PORT);
        let header = header::v1(client, header::destination());
        Caller::connect_tls(self.web, &header, &self.certificate, "localhost")
    }

    /// Sends a request as it is, for the client, on a connection of its own.
    fn ask(&self, client: &str, request: &str) -> Answer {
        let mut caller = self.caller(client);
        caller.write(request.as_bytes()).expect("the request is taken");
        caller.answer().unwrap_or_else(|error| {
            panic!("expected an answer to {request:?}: {error}\n{}", self.foreword.program.transcript())
        })
    }

    fn get(&self, client: &str, target: &str) -> Answer {
        self.ask(client, &request("localhost", target))
    }

    fn transcripts(&self) -> String {
        format!("{}\n{}", self.foreword.program.transcript(), self.apache.transcript())
    }
}

fn curl(flags: &[&str], url: &str) -> Option<Run> {
    Some(program::run(program::peer("curl")?.args(["-sS", "--max-time", "30"]).args(flags).arg(url)))
}

fn ppcurlcat(flags: &[&str], url: &str) -> Run {
    program::run(Command::new(env!("CARGO_BIN_EXE_ppcurlcat")).args(flags).arg(url))
}

#[test]
fn ppcurlcat_prints_the_status_line_of_the_site_and_ends_quietly_when_its_reader_does() {
    let Some(site) = Site::open() else { return };
    let piped = format!("'{}' {} | head -1", env!("CARGO_BIN_EXE_ppcurlcat"), site.url("/"));
    let run = program::run(Command::new("sh").args(["-c", &piped]));
    assert_eq!(run.out.trim_end(), "HTTP/1.1 200 OK", "{run:?}\n{}", site.transcripts());
    assert!(!run.error.contains("panicked") && !run.error.contains("Broken pipe"), "{run:?}");

    let whole = ppcurlcat(&[], &site.url("/"));
    assert!(whole.status.success(), "{whole:?}");
    assert!(whole.out.ends_with("It works!"), "{whole:?}");
}

#[test]
fn the_admin_page_is_refused_to_the_outside_and_shown_to_the_office() {
    let Some(site) = Site::open() else { return };
    let outside = ppcurlcat(&["--source", OUTSIDE], &site.url("/admin"));
    assert!(outside.out.starts_with("HTTP/1.1 403 "), "{outside:?}\n{}", site.transcripts());
    let office = ppcurlcat(&["--source", OFFICE], &site.url("/admin"));
    assert!(office.out.starts_with("HTTP/1.1 200 "), "{office:?}\n{}", site.transcripts());
    assert!(office.out.contains(apache::JEWELS.trim_end()), "{office:?}");

    let refused = site.foreword.access_with(OUTSIDE, 1);
    assert_eq!(refused.get("rule"), "admin is for the office");
    assert_eq!(refused.get("http.response.status_code"), "403");
    assert_eq!(site.foreword.access_with(OFFICE, 1).get("http.response.status_code"), "200");
    let seen = site.apache.line("GET /admin");
    assert!(seen.starts_with(&format!("client={OFFICE} peer=127.0.0.1 ")), "{seen}");
}

/// Spellings of what lies under `/admin`: settled, and refused for what they are.
const ADMIN: &[&str] = &[
    "/admin",
    "/admin/",
    "/admin/x",
    "/admin?x=1",
    "/admin/?/../..",
    "//admin",
    "///admin///",
    "/./admin",
    "/././/admin/.",
    "/x/../admin",
    "/x/y/../../admin/",
    "/../admin",
    "/../../../admin",
    "/x//../admin",
    "/admin/../admin",
    "/admin/x/..",
    "/admin/./",
    "/%61dmin",
    "/%61%64%6D%69%6e",
    "/adm%69n/secret",
    "/%2e/admin",
    "/x/%2e%2e/admin",
    "/x/%2E./admin",
    "/x/.%2e/%61dmin",
    "/admin;",
    "/admin;x=y",
    "/admin;jsessionid=1/x",
    "/admin/;/",
    "//x/..//admin",
];

/// Spellings that one server reads one way, and the next another: refused, since nobody can say what they are.
const UNSETTLED: &[&str] = &[
    "/%2fadmin",
    "/x%2F..%2fadmin",
    "/x/..%2fadmin",
    "/admin%2f",
    "/admin%00",
    "/%00/admin",
    "/admin%0a",
    "/admin%7f",
    "/..;/admin",
    "/x/..;/admin",
    "/x/..;a=b/admin",
    "/%5cadmin",
    "/x/..%5Cadmin",
    "\\admin",
    "/\\admin",
    "/x/..\\admin",
    "/admin\\",
    "/%c0%ae%c0%ae/admin",
    "/%e0%80%aeadmin",
    "/%c1%a1dmin",
    "/%admin",
    "/%6",
    "/%zz/admin",
    "/%2561dmin",
    "/%252fadmin",
    "/admin%253bx",
    "/admin#x",
    "/#/../admin",
    "admin",
    "*",
];

/// Something else than `/admin`, even where it looks like it.
const ELSEWHERE: &[&str] = &[
    "/administrator",
    "/admin.",
    "/admin%20",
    "/ADMIN",
    "/Admin",
    "/100%25",
    "/x/admin",
    "/admin/..",
    "/?/admin",
    "/?x=/../admin",
    "/xadmin",
    "/%EF%BC%8Fadmin",
];

#[test]
fn no_spelling_of_the_path_brings_the_outside_to_the_admin_page() {
    let Some(site) = Site::open() else { return };
    for target in ADMIN {
        let answer = site.get(OUTSIDE, target);
        assert_eq!(answer.status, 403, "{target}: {answer:?}\n{}", site.transcripts());
    }
    for target in UNSETTLED {
        let answer = site.get(OUTSIDE, target);
        assert_eq!(answer.status, 400, "{target}: {answer:?}\n{}", site.transcripts());
    }
    for target in ELSEWHERE {
        let answer = site.get(OUTSIDE, target);
        assert!(matches!(answer.status, 200 | 404), "{target}: {answer:?}\n{}", site.transcripts());
        assert_ne!(answer.text(), apache::JEWELS, "{target}");
    }
    // What was refused never came as far as Apache; what was not is not what Apache calls the admin page.
    assert!(site.apache.count("client=") <= ELSEWHERE.len(), "{}", site.transcripts());
}

#[test]
fn the_office_reaches_the_admin_page_by_every_spelling_that_can_be_settled() {
    let Some(site) = Site::open() else { return };
    for target in ADMIN {
        let answer = site.get(OFFICE, target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}\n{}", site.transcripts());
        assert_eq!(answer.text(), apache::JEWELS, "{target}: what is matched is what is forwarded");
    }
}

#[test]
fn no_field_that_a_client_writes_makes_it_the_office() {
    let Some(site) = Site::open() else { return };
    let fields = [
        format!("X-Forwarded-For: {OFFICE}"),
        format!("x_forwarded_for: {OFFICE}"),
        format!("X-Real-IP: {OFFICE}"),
        format!("Forwarded: for={OFFICE}"),
        format!("Client-IP: {OFFICE}\r\nTrue-Client-IP: {OFFICE}\r\nCF-Connecting-IP: {OFFICE}"),
        "X-Original-URL: /\r\nX-Rewrite-URL: /".to_owned(),
        format!("PROXY: TCP4 {OFFICE} 198.51.100.20 50001 443"),
    ];
    for fields in &fields {
        let answer =
            site.ask(OUTSIDE, &format!("GET /admin HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"));
        assert_eq!(answer.status, 403, "{fields}: {answer:?}");
        let answer = site.ask(OUTSIDE, &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{fields}: {answer:?}");
    }
    let told = site.apache.lines("\"GET / ", fields.len());
    assert!(told.iter().all(|line| line.starts_with(&format!("client={OUTSIDE} "))), "{told:#?}");
}

#[test]
fn no_form_of_the_request_brings_the_outside_to_the_admin_page() {
    let Some(site) = Site::open() else { return };
    let refused = [
        ("GET https://localhost/admin HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("GET https://localhost/x/../admin HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("GET /admin HTTP/1.0\r\n\r\n", 403),
        ("HEAD /admin HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("POST /admin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 403),
        ("OPTIONS /admin HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("GET /admin HTTP/1.1\r\nHost: LOCALHOST.\r\n\r\n", 403),
        ("GET https://localhost/admin HTTP/1.1\r\nHost: other.test\r\n\r\n", 400),
        ("GET /admin HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET /admin HTTP/1.1\r\n\r\n", 400),
        ("GET\t/admin HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /admin\u{b} HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (" GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /admin\r\nHost: localhost\r\n\r\n", 505),
    ];
    for (request, status) in refused {
        let mut caller = site.caller(OUTSIDE);
        caller.write(request.as_bytes()).expect("the request is taken");
        // HTTP/0.9 has no status line, and HEAD no body: the answer's first line is enough.
        let line = caller.line().expect("an answer");
        let found = line.split(' ').nth(1).and_then(|found| found.parse::<u16>().ok());
        let fits = found == Some(status) || (status == 505 && found == Some(400));
        assert!(fits, "{request:?}: {line}\n{}", site.transcripts());
    }

    // Behind a request that is allowed, in the same segment.
    let both = request("localhost", "/") + &request("localhost", "/admin");
    let mut caller = site.caller(OUTSIDE);
    caller.write(both.as_bytes()).expect("the requests are taken");
    assert_eq!(caller.answer().expect("the first answer").status, 200);
    assert_eq!(caller.answer().expect("the second answer").status, 403);
    assert_eq!(site.apache.count("/admin"), 0, "{}", site.transcripts());
}

#[test]
fn bare_tls_from_where_the_header_is_required_is_refused_with_a_line_that_says_what_to_do() {
    let Some(site) = Site::open() else { return };
    let Some(curl) = curl(&["-k", "-I", "--interface", BALANCER], &site.url("/")) else { return };
    // 35: the handshake failed, all that curl can know of it.
    assert_eq!(curl.status.code(), Some(35), "{curl:?}\n{}", site.transcripts());
    let line = site.foreword.program.line("[FW101");
    let expected = "expected a PROXY header, found a TLS ClientHello (SNI localhost); \
                    the peer is in trust \"elb\" (header = \"require\"). \
                    Traffic from inside that skips the balancer looks like this: \
                    list its source with header = \"optional\".";
    assert!(line.contains(expected), "{line}");
    assert!(line.contains(&format!("web {} ← {BALANCER}:", site.web)), "{line}");
}

#[test]
fn bare_tls_from_this_machine_is_answered_where_trust_is_optional() {
    let Some(site) = Site::open() else { return };
    let Some(curl) = curl(&["-k", "-I"], &site.url("/")) else { return };
    // Over HTTP/2, if this curl speaks it.
    assert_eq!(curl.out.split(' ').nth(1), Some("200"), "{curl:?}\n{}", site.transcripts());
    let access = site.foreword.access_with("HEAD", 1);
    assert_eq!(access.get("client.ip"), "127.0.0.1");
    assert!(!access.has("header.version"), "{access:?}");
}

#[test]
fn browsers_are_sent_to_https_and_told_to_stay_there() {
    let Some(site) = Site::open() else { return };
    let url = format!("http://localhost:{}/shop?item=1", site.plain.port());
    let Some(plain) = curl(&["-i"], &url) else { return };
    let status = plain.out.split(' ').nth(1).unwrap_or_default();
    assert!(matches!(status, "301" | "308"), "{plain:?}\n{}", site.transcripts());
    let head = plain.out.replace('\n', "\r\n").replace("\r\r", "\r");
    assert_eq!(field(&head, "location"), Some("https://localhost/shop?item=1"), "{plain:?}");

    let answer = site.get(OUTSIDE, "/");
    assert_eq!(answer.field("strict-transport-security"), Some("max-age=31536000"), "{}", answer.head);
}

#[test]
fn what_the_balancer_did_brings_the_right_client_to_the_gateway() {
    let Some(site) = Site::open() else { return };
    let resolve = format!("localhost:{}:{}", site.edge.port(), site.edge.ip());
    let url = format!("https://localhost:{}/", site.edge.port());
    let flags = ["-k", "--resolve", &resolve, "--interface", "127.99.1.2"];
    let Some(curl) = curl(&flags, &url) else { return };
    assert_eq!(curl.out, "It works!", "{curl:?}\n{}", site.transcripts());
    let seen = site.apache.line("\"GET / ");
    assert!(seen.starts_with("client=127.99.1.2 peer=127.0.0.1 "), "{seen}");
}

#[test]
fn a_large_file_comes_whole_from_apache_however_often_apache_ends_its_connections() {
    let Some(site) = Site::open() else { return };
    // Every byte tells where it was.
    let large: Vec<u8> = (0..LARGE).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(site.ground.path("htdocs/large.bin"), &large).expect("a large file");
    let fetched = site.ground.path("fetched");
    let fetched_by_curl = fetched.display().to_string();
    let flags = ["-k", "--haproxy-protocol", "-o", &fetched_by_curl];
    // More often than Apache answers over one connection, `MaxKeepAliveRequests`.
    for _ in 0..4 {
        let Some(curl) = curl(&flags, &site.url("/large.bin")) else { return };
        assert!(curl.status.success(), "{curl:?}\n{}", site.transcripts());
        assert!(std::fs::read(&fetched).expect("what came") == large, "the file came changed");
    }
    let mut caller = site.caller(OFFICE);
    for _ in 0..10 {
        assert_eq!(caller.get("localhost", "/").text(), "It works!\n");
    }
}

#[test]
fn check_passes_the_file_and_fails_it_with_a_test_that_expects_what_does_not_happen() {
    let Some(site) = Site::open() else { return };
    let file = &site.foreword.file;
    let check = || program::run(foreword().args(["check", "-c"]).arg(file));
    let passed = check();
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");

    let text = std::fs::read_to_string(file).expect("the file");
    std::fs::write(file, text.replace("status = 403 }", "status = 200 }")).expect("the file");
    let failed = check();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(format!("{}{}", failed.out, failed.error).contains("403"), "{failed:?}");
}

#[test]
fn why_tells_of_the_rule_that_the_running_gateway_applies() {
    let Some(site) = Site::open() else { return };
    let why = program::run(
        foreword()
            .args(["why", "-c"])
            .arg(&site.foreword.file)
            .args(["--listener", "web", "--peer", BALANCER, "--client", OUTSIDE])
            .arg("https://localhost/x/%2e%2e/%61dmin"),
    );
    assert!(why.out.contains("admin is for the office") && why.out.contains("403"), "{why:?}");
    assert_eq!(site.get(OUTSIDE, "/x/%2e%2e/%61dmin").status, 403);
    assert_eq!(site.foreword.access_with(OUTSIDE, 1).get("rule"), "admin is for the office");
}

fn foreword() -> Command {
    Command::new(env!("CARGO_BIN_EXE_foreword"))
}

/// The file of the guide, with its addresses on loopback.
const FILE: &str = r#"
[trust.elb]
from   = ["127.66.0.0/16"]
header = "require"

[trust.local]
from   = ["127.0.0.0/8", "::1"]
header = "optional"

[list]
office = ["198.51.100.0/24", "2001:db8:42::/48"]

[listener.edge]
bind    = ["EDGE"]
mode    = "tcp"
cluster = "gateways"

[listener.web]
bind  = ["WEB"]
mode  = "http"
trust = ["elb", "local"]
tls   = { certificates = "certs/" }

[[listener.web.rule]]
name = "tell browsers to stay on HTTPS"
then = { set_response_fields = { Strict-Transport-Security = "max-age=31536000" } }

[[listener.web.rule]]
name = "admin is for the office"
when = 'path.under("/admin") && !(client.ip in @office)'
then = { deny = 403 }

[[listener.web.rule]]
when = 'host in ["www.example.com", "localhost"]'
then = { forward = "app" }

[listener.redirect]
bind  = ["PLAIN"]
mode  = "http"
trust = ["elb", "local"]

[[listener.redirect.rule]]
then = { redirect = "https://{host}{uri}" }

[cluster.gateways]
endpoints   = ["WEB"]
send_header = "v2"

[cluster.app]
endpoints = ["APP"]

[log.access]
to     = "stdout"
format = "json"

[[test]]
request = { listener = "web", peer = "127.66.0.5", client = "203.0.113.7", url = "https://www.example.com/admin" }
expect  = { rule = "admin is for the office", status = 403 }
"#;

/// Words of four bytes: sixteen megabytes, more than all buffers on the way together.
const LARGE: u32 = 4 << 20;
