//! Clients are asked for certificates: who is let in, what is known of them, and why others are refused.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use foreword_gateway::config;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;

use crate::support::{Endpoint, Running, wait_until};
use crate::tls::certificate;

/// Whoever signs certificates of clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, file: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join(file), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key) }
    }

    /// A client's certificate and key in one file.
    fn sign(
        &self,
        folder: &Path,
        name: &str,
        serial: u64,
        change: impl Fn(&mut CertificateParams),
    ) -> PathBuf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let file = folder.join(format!("{name}.client"));
        fs::write(&file, signed.pem() + &key.serialize_pem()).unwrap();
        file
    }

    fn revoke(&self, folder: &Path, serial: u64, next_update: i32) {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(folder.join("list.crl"), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }
}

struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
    alice: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path(), "localhost.pem", &["localhost"], &mut RootCertStore::empty());
        let authority = Authority::new(folder.path(), "clients.ca");
        let alice = authority.sign(folder.path(), "alice", 0xa11ce, |_| {});
        Self { folder, authority, alice }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, client: &str) -> String {
        format!(
            "workers = 2\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\n\
             tls = {{ certificates = \".\", client = {{ {client} }} }}\n\
             rule = [{{ name = \"alice\", when = 'tls.client.cn == \"alice\"', then = {{ \
             set_response_fields = {{ X-Client = \"{{tls.client.cn}} {{tls.client.serial}} {{tls.client.fingerprint}}\" }}, \
             respond = {{ status = 200, body = \"hello alice\\n\" }} }} }}, \
             {{ name = \"others\", then = {{ deny = 403 }} }}]\n\
             [log.access]\nto = \"file:access.log\"\n"
        )
    }

    fn start(&self, client: &str) -> Running {
        Running::start_in(self.path(), &self.file(client))
    }

    /// Asks as `curl` does.
    fn curl(&self, address: SocketAddr, client: Option<&Path>, more: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--include",
            "--max-time",
            "20",
            "--noproxy",
            "*",
            "--cacert",
        ]);
        curl.arg(self.path().join("localhost.pem")).args(more);
        if let Some(client) = client {
            curl.arg("--cert").arg(client);
        }
        curl.arg(format!("https://localhost:{}/", address.port())).output().expect("curl is there")
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What OpenSSL says of a certificate.
fn openssl(file: &Path, what: &[&str]) -> String {
    let said = Command::new("openssl").args(["x509", "-noout", "-in"]).arg(file).args(what).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.trim().split_once('=').unwrap().1.to_owned()
}

#[test]
fn what_a_clients_certificate_says_is_known_to_rules_templates_and_the_log() {
    let scene = Scene::new();
    let running = scene.start("ca = \"clients.ca\"");
    let serial = openssl(&scene.alice, &["-serial"]).to_lowercase();
    let fingerprint = openssl(&scene.alice, &["-fingerprint", "-sha256"]).replace(':', "").to_lowercase();
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let more: &[&str] = if version == "--tlsv1.3" { &[version] } else { &["--tls-max", "1.2"] };
        let answer = out(&scene.curl(running.address("web"), Some(&scene.alice), more));
        assert!(answer.contains(" 200") && answer.ends_with("hello alice\n"), "{version}: {answer}");
        let told = format!("alice {serial} {fingerprint}");
        assert!(answer.lines().any(|line| line.to_lowercase() == format!("x-client: {told}")), "{answer}");
    }
    let log = || fs::read_to_string(scene.path().join("access.log")).unwrap();
    wait_until("both lines are written", || log().matches('\n').count() == 2);
    drop(running);
    let log = log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!(line["tls.client.cn"], "alice");
        assert_eq!(line["tls.client.serial"], serial.as_str());
        assert_eq!(line["tls.client.fingerprint"], fingerprint.as_str());
    }
}

#[test]
fn a_rule_takes_a_fingerprint_as_tools_show_it() {
    let scene = Scene::new();
    let shown = openssl(&scene.alice, &["-fingerprint", "-sha256"]);
    let file = scene.file("ca = \"clients.ca\"");
    let file = file.replace("tls.client.cn == \"alice\"", &format!("tls.client.fingerprint == \"{shown}\""));
    let running = Running::start_in(scene.path(), &file);
    let answer = out(&scene.curl(running.address("web"), Some(&scene.alice), &[]));
    assert!(answer.contains("hello alice"), "{answer}");
}

#[test]
fn who_shows_no_certificate_is_refused_or_let_in_without_a_name() {
    let scene = Scene::new();
    let required = scene.start("ca = \"clients.ca\"");
    for more in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let refused = scene.curl(required.address("web"), None, more);
        assert!(!refused.status.success() && out(&refused).is_empty(), "{refused:?}");
    }
    let lines = required.log.lines_with("FW306", 2);
    assert!(lines[0].contains("expected a certificate of the client, found none"), "{}", lines[0]);
    drop(required);

    let optional = scene.start("ca = \"clients.ca\", verify = \"optional\"");
    let answer = out(&scene.curl(optional.address("web"), None, &[]));
    assert!(answer.contains(" 403"), "{answer}");
    let answer = out(&scene.curl(optional.address("web"), Some(&scene.alice), &[]));
    assert!(answer.contains(" 200"), "{answer}");
}

#[test]
fn a_certificate_that_is_not_accepted_is_refused_by_name_even_where_none_is_required() {
    let scene = Scene::new();
    let others = Authority::new(scene.path(), "others.ca");
    scene.authority.revoke(scene.path(), 0xbad, 2100);
    let optional = scene.start("ca = \"clients.ca\", verify = \"optional\", crl = [\"list.crl\"]");
    let sign = |name: &str, serial, change: fn(&mut CertificateParams)| {
        scene.authority.sign(scene.path(), name, serial, change)
    };
    let cases = [
        (others.sign(scene.path(), "mallory", 1, |_| {}), "nobody in `ca` signed"),
        (sign("bob", 0xbad, |_| {}), "is revoked"),
        (sign("old", 2, |params| params.not_after = date_time_ymd(2021, 1, 1)), "has expired"),
        (sign("early", 3, |params| params.not_before = date_time_ymd(2100, 1, 1)), "is not valid yet"),
        (
            sign("server", 4, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
            }),
            "is not made for clients",
        ),
    ];
    for (client, why) in cases {
        let before = optional.log.all().len();
        let refused = scene.curl(optional.address("web"), Some(&client), &[]);
        assert!(!refused.status.success() && out(&refused).is_empty(), "{why}: {refused:?}");
        let line = optional.log.line_with_after(before, "FW307");
        assert!(line.contains(why), "{why}: {line}");
    }
    let answer = out(&scene.curl(optional.address("web"), Some(&scene.alice), &[]));
    assert!(answer.contains("hello alice"), "{answer}");
}

#[test]
fn a_list_that_is_too_old_lets_nobody_in_and_is_warned_of() {
    let scene = Scene::new();
    scene.authority.revoke(scene.path(), 0xbad, 2021);
    let file = scene.file("ca = \"clients.ca\", crl = [\"list.crl\"]");
    let warnings = config::parse(&file, "f", scene.path()).unwrap().plan.warnings;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|warning| warning.contains("list.crl") && warning.contains("replaced")),
        "{warnings:?}"
    );
    let running = Running::start_in(scene.path(), &file);
    let refused = scene.curl(running.address("web"), Some(&scene.alice), &[]);
    assert!(!refused.status.success(), "{refused:?}");
    let line = running.log.line_with("FW307");
    assert!(line.contains("should have been replaced"), "{line}");
}

#[test]
fn a_session_of_another_listener_or_from_before_a_revocation_lets_nobody_in() {
    let scene = Scene::new();
    let listener = |name: &str, client: &str| {
        format!(
            "[listener.{name}]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\n\
             tls = {{ certificates = \".\"{client} }}\nrule = [{{ then = {{ respond = {{ status = 200 }} }} }}]\n"
        )
    };
    let closed = |crl: &str| listener("closed", &format!(", client = {{ ca = \"clients.ca\"{crl} }}"));
    let running = Running::start_in(scene.path(), &(listener("open", "") + &closed("")));
    let session = scene.path().join("session");
    let connect = |name: &str, take: bool, client: bool, version: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-ign_eof", version, "-servername", "localhost", "-connect"]);
        openssl.arg(running.address(name).to_string()).arg(if take { "-sess_in" } else { "-sess_out" });
        openssl.arg(&session);
        if client {
            openssl.arg("-cert").arg(&scene.alice).arg("-key").arg(&scene.alice);
        }
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let input = scene.path().join("request");
        fs::write(&input, request).unwrap();
        openssl.stdin(fs::File::open(input).unwrap());
        out(&openssl.output().unwrap())
    };
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(connect("open", false, false, version).contains("HTTP/1.1 200"));
        let reused = connect("open", true, false, version);
        assert!(reused.contains("Reused") && reused.contains("HTTP/1.1 200"), "{reused}");
        let refused = connect("closed", true, false, version);
        assert!(!refused.contains("HTTP/1.1"), "{refused}");

        assert!(connect("closed", false, true, version).contains("HTTP/1.1 200"));
        let reused = connect("closed", true, false, version);
        assert!(reused.contains("Reused") && reused.contains("HTTP/1.1 200"), "{reused}");
        scene.authority.revoke(scene.path(), 0xa11ce, 2100);
        running.reload(&(listener("open", "") + &closed(", crl = [\"list.crl\"]")));
        let refused = connect("closed", true, true, version);
        assert!(!refused.contains("HTTP/1.1"), "{refused}");
        running.reload(&(listener("open", "") + &closed("")));
    }
}

#[test]
fn a_list_that_changes_counts_without_a_reload() {
    let scene = Scene::new();
    scene.authority.revoke(scene.path(), 1, 2100);
    let running = scene.start("ca = \"clients.ca\", crl = [\"list.crl\"]");
    let ask = || out(&scene.curl(running.address("web"), Some(&scene.alice), &[]));
    assert!(ask().contains("hello alice"));
    fs::write(scene.path().join("list.crl"), "not a list").unwrap();
    let line = running.log.line_with("FW606");
    assert!(line.contains("list.crl") && line.contains("certificates of clients"), "{line}");
    assert!(ask().contains("hello alice"));
    scene.authority.revoke(scene.path(), 0xa11ce, 2100);
    running.log.line_with("certificates of clients: the files changed");
    assert_eq!(ask(), "");
    assert!(running.log.line_with("FW307").contains("revoked"));
}

#[test]
fn the_certificate_goes_to_the_endpoint_in_the_header() {
    let scene = Scene::new();
    let (endpoint, heard) = Endpoint::recording();
    let file = format!(
        "[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         tls = {{ certificates = \".\", client = {{ ca = \"clients.ca\" }} }}\n\
         [cluster.app]\nendpoints = [\"{}\"]\nsend_header = \"v2\"\nmax_header = 4096\n\
         send_tlvs = [{{ kind = \"ssl\", parts = [\"cn\", \"client_cert\"] }}]\n",
        endpoint.address
    );
    let running = Running::start_in(scene.path(), &file);
    scene.curl(running.address("web"), Some(&scene.alice), &["--max-time", "1"]);
    let heard = heard.recv().unwrap();
    let Ok(foreword::Parse::Complete { header, .. }) = foreword::Header::parse(&heard) else {
        panic!("{heard:?}")
    };
    let ssl = header.tlvs.ssl().unwrap();
    assert!(ssl.client_verified() && ssl.verify() == 0);
    assert_eq!(ssl.cn(), Some(Ok("alice")));
    let (_, pem) = x509_parser::pem::parse_x509_pem(&fs::read(&scene.alice).unwrap()).unwrap();
    assert_eq!(ssl.client_cert(), Some(Ok(&*pem.contents)));
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let scene = Scene::new();
    fs::write(scene.path().join("empty.crl"), "nothing\n").unwrap();
    fs::write(scene.path().join("broken.crl"), "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n")
        .unwrap();
    for (client, told) in [
        ("", "expected the key `ca`"),
        ("ca = \"gone.ca\"", "gone.ca`: cannot be read"),
        ("ca = \"empty.crl\"", "empty.crl`: expected a certificate, found none"),
        ("ca = \"clients.ca\", crl = []", "expected at least one path"),
        ("ca = \"clients.ca\", crl = [\"empty.crl\"]", "empty.crl`: expected a revocation list, found none"),
        ("ca = \"clients.ca\", crl = [\"broken.crl\"]", "broken.crl`: revocation list 1 cannot be used"),
        ("ca = \"clients.ca\", verify = \"none\"", "expected `require` or `optional`"),
    ] {
        let problems = config::parse(&scene.file(client), "f", scene.path()).unwrap_err().to_string();
        assert!(problems.contains(told), "{client}: {problems}");
        assert!(problems.contains("f:5:"), "{client}: {problems}");
    }
}
