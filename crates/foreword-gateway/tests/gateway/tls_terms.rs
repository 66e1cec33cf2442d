//! How TLS is spoken, whoever asks: versions, key exchanges, names that must be known, sessions.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::{HandshakeKind, NamedGroup, RootCertStore};

use crate::support::{Endpoint, Running, client};
use crate::tls::{builder, certificate, echo, tls};

struct Scene {
    folder: tempfile::TempDir,
    roots: RootCertStore,
    endpoint: Endpoint,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut roots = RootCertStore::empty();
        certificate(folder.path(), "a.pem", &["localhost", "*.example.test"], &mut roots);
        Self { folder, roots, endpoint: Endpoint::echo() }
    }

    fn start(&self, terms: &str) -> Running {
        let file = format!(
            "workers = 2\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
             tls = {{ certificates = \".\"{terms} }}\n[cluster.app]\nendpoints = [\"{}\"]\n",
            self.endpoint.address
        );
        Running::start_in(self.folder.path(), &file)
    }
}

/// What `openssl s_client` says of a handshake, its complaints included.
fn s_client(address: SocketAddr, roots: &Path, more: &[&str]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-CAfile"]).arg(roots).args(["-connect", &address.to_string()]).args(more);
    let said = openssl.stdin(Stdio::null()).output().expect("openssl is there");
    String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
}

#[test]
fn a_profile_settles_versions_and_suites() {
    let scene = Scene::new();
    let roots = scene.folder.path().join("a.pem");
    let intermediate = scene.start("");
    let modern = scene.start(", profile = \"modern\"");
    let try_with = |running: &Running, more: &[&str]| {
        let name = &["-servername", "localhost"][..];
        s_client(running.address("web"), &roots, &[name, more].concat())
    };
    for suite in
        ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    {
        let said = try_with(&intermediate, &["-tls1_2", "-cipher", suite]);
        assert!(said.contains(&format!("Cipher is {suite}")), "{said}");
    }
    for weak in ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"] {
        let said = try_with(&intermediate, &["-tls1_2", "-cipher", weak]);
        assert!(said.contains("Cipher is (NONE)"), "{weak}: {said}");
    }
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        for running in [&intermediate, &modern] {
            let said = try_with(running, &["-tls1_3", "-ciphersuites", suite]);
            assert!(said.contains(&format!("Cipher is {suite}")), "{said}");
        }
    }
    let refused = try_with(&modern, &["-tls1_2"]);
    assert!(refused.contains("protocol version") && refused.contains("Cipher is (NONE)"), "{refused}");
    let line = modern.log.line_with("FW303");
    assert!(line.contains("none that is in the `profile` of this listener"), "{line}");
}

#[test]
fn the_key_exchange_withstands_those_who_record_today_and_break_curves_later() {
    let scene = Scene::new();
    let running = scene.start("");
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // The order is the client's own.
    provider
        .kx_groups
        .retain(|group| [NamedGroup::X25519, NamedGroup::X25519MLKEM768].contains(&group.name()));
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(scene.roots.clone())
        .with_no_client_auth();
    let mut hybrid = tls(&Arc::new(config), "localhost", client(running.address("web")));
    hybrid.conn.complete_io(&mut hybrid.sock).unwrap();
    let group = hybrid.conn.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    for curve in ["X25519", "P-256", "P-384"] {
        let roots = scene.folder.path().join("a.pem");
        let said = s_client(running.address("web"), &roots, &["-servername", "localhost", "-curves", curve]);
        assert!(said.contains("Verify return code: 0") && !said.contains("Cipher is (NONE)"), "{said}");
    }
}

#[test]
fn a_name_that_no_certificate_has_is_refused_where_one_must() {
    let scene = Scene::new();
    let roots = scene.folder.path().join("a.pem");
    let strict = scene.start(", strict_sni = true");
    let address = strict.address("web");
    for known in ["localhost", "www.example.test"] {
        let said = s_client(address, &roots, &["-servername", known]);
        assert!(said.contains("Verify return code: 0"), "{said}");
    }
    for (unknown, told) in [
        (&["-servername", "other.test"][..], "found `other.test`"),
        (&["-servername", "a.b.example.test"], "found `a.b.example.test`"),
        (&["-noservername"], "found none"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let before = strict.log.all().len();
            let said = s_client(address, &roots, &[unknown, &[version]].concat());
            assert!(said.contains("unrecognized name"), "{said}");
            let line = strict.log.line_with_after(before, "FW308");
            assert!(line.contains(told), "{line}");
        }
    }
    let config = Arc::new(builder().with_root_certificates(scene.roots.clone()).with_no_client_auth());
    assert_eq!(echo(tls(&config, "localhost", client(address))), Some(HandshakeKind::Full));
    assert_eq!(echo(tls(&config, "localhost", client(address))), Some(HandshakeKind::Resumed));

    let lenient = scene.start("");
    let said = s_client(lenient.address("web"), &roots, &["-servername", "other.test"]);
    assert!(said.contains("Verify return code: 0"), "{said}");
}

#[test]
fn secrets_are_written_where_the_file_says_so_and_nobody_else_reads_them() {
    let scene = Scene::new();
    let log = scene.folder.path().join("keys.log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).unwrap();
    let running = scene.start(", key_log = \"keys.log\"");
    let warnings = running.gateway.plan().warnings.join("\n");
    assert!(warnings.contains("whoever reads it can read all that was said"), "{warnings}");
    let config = builder().with_root_certificates(scene.roots.clone()).with_no_client_auth();
    echo(tls(&Arc::new(config), "localhost", client(running.address("web"))));
    let written = fs::read_to_string(&log).unwrap();
    for label in ["CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "] {
        let line = written.lines().find_map(|line| line.strip_prefix(label)).unwrap();
        let (random, secret) = line.split_once(' ').unwrap();
        let digits = |text: &str| text.len() >= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(digits(random) && digits(secret), "{line}");
    }
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);

    // A link may lead to a file of somebody else's.
    let link = scene.folder.path().join("link");
    symlink(&log, &link).unwrap();
    let running = scene.start(", key_log = \"link\"");
    let config = builder().with_root_certificates(scene.roots.clone()).with_no_client_auth();
    echo(tls(&Arc::new(config), "localhost", client(running.address("web"))));
    running.log.line_with("cannot be written");
    assert_eq!(fs::read_to_string(&log).unwrap(), written);
}

#[test]
fn nothing_is_resumed_where_the_file_says_so() {
    let scene = Scene::new();
    let running = scene.start(", resumption = false");
    let roots = scene.folder.path().join("a.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let said =
            s_client(running.address("web"), &roots, &["-servername", "localhost", "-reconnect", version]);
        assert!(said.contains("New, TLSv1") && !said.contains("Reused, "), "{said}");
    }
    let config = Arc::new(builder().with_root_certificates(scene.roots.clone()).with_no_client_auth());
    for _ in 0..2 {
        assert_eq!(
            echo(tls(&config, "localhost", client(running.address("web")))),
            Some(HandshakeKind::Full)
        );
    }
}
