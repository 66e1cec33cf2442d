//! TLS ends here: by SNI, in time, or refused with the cause by name.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::support::{Endpoint, Running, client, client_from, drip, read_all, say_all};

/// A certificate that signs itself, for these names, in `NAME.pem`.
pub(crate) fn certificate(folder: &Path, file: &str, names: &[&str], roots: &mut RootCertStore) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    roots.add(certificate.der().clone()).unwrap();
    fs::write(folder.join(file), certificate.pem() + &key.serialize_pem()).unwrap();
}

struct Scene {
    folder: tempfile::TempDir,
    roots: RootCertStore,
    endpoint: Endpoint,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut roots = RootCertStore::empty();
        certificate(folder.path(), "a.pem", &["default.test"], &mut roots);
        certificate(folder.path(), "b.pem", &["*.example.test"], &mut roots);
        certificate(folder.path(), "c.pem", &["www.example.test"], &mut roots);
        Self { folder, roots, endpoint: Endpoint::echo() }
    }

    fn file(&self, listener: &str) -> String {
        format!(
            "[trust.elb]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n\
             [trust.local]\nfrom = [\"127.0.0.1/32\"]\nheader = \"optional\"\n\
             [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"elb\", \"local\"]\ncluster = \"app\"\n\
             tls = {{ certificates = \".\" }}\n{listener}\n\
             [cluster.app]\nendpoints = [\"{}\"]\n",
            self.endpoint.address
        )
    }

    fn start(&self, listener: &str) -> Running {
        Running::start_in(self.folder.path(), &self.file(listener))
    }

    fn config(&self) -> Arc<ClientConfig> {
        Arc::new(builder().with_root_certificates(self.roots.clone()).with_no_client_auth())
    }
}

pub(crate) fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn tls(config: &Arc<ClientConfig>, name: &'static str, stream: TcpStream) -> Tls {
    let session = ClientConnection::new(Arc::clone(config), ServerName::try_from(name).unwrap()).unwrap();
    StreamOwned::new(session, stream)
}

/// Sends a word through an echoing endpoint, and gives how the handshake went.
pub(crate) fn echo(mut tls: Tls) -> Option<HandshakeKind> {
    tls.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    tls.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    tls.conn.handshake_kind()
}

#[test]
fn the_certificate_is_the_one_of_the_name_that_was_asked_for() {
    let scene = Scene::new();
    let running = scene.start("");
    for name in ["www.example.test", "api.example.test", "default.test"] {
        echo(tls(&scene.config(), name, client(running.address("web"))));
    }
}

#[test]
fn the_handshake_follows_the_header_whole_or_byte_by_byte() {
    let scene = Scene::new();
    let running = scene.start("");
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n";
    let mut together = client_from([127, 0, 0, 2].into(), running.address("web"));
    together.write_all(header).unwrap();
    echo(tls(&scene.config(), "www.example.test", together));

    let mut session =
        ClientConnection::new(scene.config(), ServerName::try_from("www.example.test").unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut dripped = client_from([127, 0, 0, 2].into(), running.address("web"));
    drip(&mut dripped, &[header, &hello[..]].concat()).unwrap();
    echo(StreamOwned::new(session, dripped));
}

#[test]
fn a_half_close_is_passed_through_tls() {
    let scene = Scene::new();
    let running = scene.start("");
    let mut tls = tls(&scene.config(), "www.example.test", client(running.address("web")));
    let question = vec![7; 1 << 20];
    let mut answer = Vec::new();
    tls.write_all(&question[..1000]).unwrap();
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    tls.sock.shutdown(Shutdown::Write).unwrap();
    tls.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, &question[..1000]);
}

#[test]
fn both_versions_are_spoken() {
    let scene = Scene::new();
    let running = scene.start("");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(scene.roots.clone())
                .with_no_client_auth();
        echo(tls(&Arc::new(config), "www.example.test", client(running.address("web"))));
    }
}

#[test]
fn a_session_resumes_on_any_worker_and_after_a_reload_or_an_exchange_of_certificates() {
    let scene = Scene::new();
    let running = Running::start_in(scene.folder.path(), &format!("workers = 4\n{}", scene.file("")));
    let config = scene.config();
    assert_eq!(
        echo(tls(&config, "www.example.test", client(running.address("web")))),
        Some(HandshakeKind::Full)
    );
    for round in 0..24 {
        if round == 8 {
            running.reload(&format!("workers = 4\n{}", scene.file("")));
        }
        if round == 16 {
            certificate(scene.folder.path(), "c.pem", &["www.example.test"], &mut RootCertStore::empty());
            running.log.line_with("the files changed");
        }
        let kind = echo(tls(&config, "www.example.test", client(running.address("web"))));
        assert_eq!(kind, Some(HandshakeKind::Resumed), "round {round}");
    }
}

#[test]
fn plain_http_is_told_in_plain_http() {
    let scene = Scene::new();
    let running = scene.start("");
    for dripped in [false, true] {
        let mut plain = client(running.address("web"));
        let request = b"GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n";
        let _refused = if dripped { drip(&mut plain, request) } else { plain.write_all(request) };
        let _refused = plain.shutdown(Shutdown::Write);
        let answer = String::from_utf8(read_all(&mut plain)).unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", content.len())), "{answer}");
    }
    let lines = running.log.lines_with("FW301", 2);
    assert!(lines[0].contains("https://"), "{}", lines[0]);
    assert!(scene.endpoint.is_unvisited());
}

#[test]
fn what_is_no_handshake_is_named() {
    let scene = Scene::new();
    let running = scene.start("");
    for (source, bytes, code) in [
        ([127, 0, 0, 1], &b"SSH-2.0-OpenSSH_9.2 and a bit more\r\n"[..], "FW302"),
        ([127, 0, 0, 1], b"\0\0\0\0", "FW302"),
        ([127, 0, 0, 2], b"PROXY UNKNOWN\r\nPROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n", "FW110"),
        ([127, 0, 0, 2], b"PROXY UNKNOWN\r\n\x16\x03\x01", "FW305"),
        ([127, 0, 0, 1], b"\x16\x03\x01\0\x05hello", "FW303"),
    ] {
        let before = running.log.all().len();
        let mut stream = client_from(source.into(), running.address("web"));
        // An alert may be the answer, and a reset its end.
        say_all(&mut stream, bytes);
        let answer = read_all(&mut stream);
        assert!(answer.is_empty() || answer.starts_with(b"\x15\x03"), "{code}: {answer:?}");
        running.log.line_with_after(before, code);
    }
    assert!(scene.endpoint.is_unvisited());
}

#[test]
fn a_health_check_that_resets_after_its_header_is_no_refusal() {
    let scene = Scene::new();
    let running = scene.start("");
    let mut check = client_from([127, 0, 0, 2].into(), running.address("web"));
    check.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    // Unsent data thrown away at the close is a reset, as HAProxy's checks end.
    socket2::SockRef::from(&check).set_linger(Some(Duration::ZERO)).unwrap();
    drop(check);
    // What comes after it is told after it.
    let mut other = client(running.address("web"));
    say_all(&mut other, b"SSH-2.0-x and a bit more of it\r\n");
    read_all(&mut other);
    running.log.line_with("FW302");
    assert!(!running.log.holds("FW305"), "{}", running.log.all());
}

#[test]
fn whose_doing_a_failed_handshake_was_is_said_in_words() {
    let scene = Scene::new();
    let running = scene.start("");
    let stranger = builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut failed = tls(&Arc::new(stranger), "www.example.test", client(running.address("web")));
    assert_eq!(failed.write_all(b"hello").unwrap_err().kind(), ErrorKind::InvalidData);
    let line = running.log.line_with("FW303");
    assert!(line.contains("the client does not know who signed our certificate"), "{line}");

    let before = running.log.all().len();
    let mut other = builder().with_root_certificates(scene.roots.clone()).with_no_client_auth();
    other.alpn_protocols = vec![b"unheard-of".to_vec()];
    let running_http =
        Running::start_in(scene.folder.path(), &scene.file("").replace("mode = \"tcp\"", "mode = \"http\""));
    let mut failed = tls(&Arc::new(other), "www.example.test", client(running_http.address("web")));
    assert!(failed.write_all(b"hello").is_err());
    let line = running_http.log.line_with("FW303");
    assert!(line.contains("ALPN"), "{line}");
    assert_eq!(before, running.log.all().len());
}

#[test]
fn a_version_that_nobody_should_speak_any_more_is_refused_by_name() {
    let scene = Scene::new();
    let running = scene.start("");
    // A ClientHello of TLS 1.0 that offers nothing newer.
    let mut hello = vec![22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0, 0, 0]);
    let mut stream = client(running.address("web"));
    stream.write_all(&hello).unwrap();
    let answer = read_all(&mut stream);
    assert_eq!(answer.get(..6), Some(&[21, 3, 3, 0, 2, 2][..]), "a fatal alert: {answer:?}");
    let line = running.log.line_with("FW303");
    assert!(line.contains("neither TLS 1.2 nor 1.3"), "{line}");
}

#[test]
fn a_handshake_that_drips_ends_at_its_deadline() {
    let scene = Scene::new();
    let running = scene.start("timeout = { tls = \"1s\" }");
    for first in [&b""[..], b"\x16", b"\x16\x03\x01\x02\0\x01\0"] {
        let begun = Instant::now();
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("web"));
        stream.write_all(&[b"PROXY UNKNOWN\r\n", first].concat()).unwrap();
        assert_eq!(read_all(&mut stream), b"");
        assert!((900..4000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }
    running.log.lines_with("FW304", 3);
}

#[test]
fn what_the_handshake_settled_goes_to_the_endpoint_in_the_header() {
    let scene = Scene::new();
    let (endpoint, heard) = Endpoint::recording();
    let file = scene.file("").replace(&scene.endpoint.address.to_string(), &endpoint.address.to_string());
    let file = file + "send_header = \"v2\"\nsend_tlvs = [\"authority\", \"ssl\"]\n";
    let running = Running::start_in(scene.folder.path(), &file);
    let address: SocketAddr = running.address("web");
    let mut tls = tls(&scene.config(), "www.example.test", client(address));
    tls.write_all(b"hello").unwrap();
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    drop(tls);
    let heard = heard.recv().unwrap();
    let Ok(foreword::Parse::Complete { header, len }) = foreword::Header::parse(&heard) else {
        panic!("{heard:?}")
    };
    assert_eq!(&heard[len..], b"hello");
    assert_eq!(header.tlvs.authority().unwrap().as_bytes(), b"www.example.test");
    let ssl = header.tlvs.ssl().unwrap();
    assert_eq!(ssl.version(), Some(Ok("TLSv1.3")));
    assert!(ssl.over_tls() && !ssl.client_verified() && ssl.verify() != 0);
    assert_eq!(ssl.sig_alg(), Some(Ok("ecdsa-with-SHA256")));
    assert_eq!(ssl.key_alg(), Some(Ok("EC256")));
    let group = ssl.group().unwrap().unwrap();
    assert!(["x25519", "X25519MLKEM768", "secp256r1"].contains(&group), "{group}");
}

#[test]
fn pairs_that_the_file_names_are_served_like_those_of_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut roots = RootCertStore::empty();
    for (file, name) in [("one.pem", "one.test"), ("two.pem", "two.test")] {
        certificate(folder.path(), file, &[name], &mut roots);
    }
    let endpoint = Endpoint::echo();
    let pair = |file| format!("{{ certificate = \"{file}\", key = \"{file}\" }}");
    let file = format!(
        "[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         tls = {{ certificates = [{}, {}] }}\n[cluster.app]\nendpoints = [\"{}\"]\n",
        pair("one.pem"),
        pair("two.pem"),
        endpoint.address
    );
    let running = Running::start_in(folder.path(), &file);
    let config = Arc::new(builder().with_root_certificates(roots).with_no_client_auth());
    for name in ["one.test", "two.test"] {
        echo(tls(&config, name, client(running.address("web"))));
    }
}

#[test]
fn a_certificate_that_cannot_be_used_changes_nothing() {
    let scene = Scene::new();
    let running = scene.start("");
    fs::write(scene.folder.path().join("d.pem"), "no certificate").unwrap();
    let file = scene.file("");
    let problems = foreword_gateway::config::parse(&file, "test.toml", scene.folder.path()).unwrap_err();
    assert!(problems.to_string().contains("d.pem"), "{problems}");
    echo(tls(&scene.config(), "www.example.test", client(running.address("web"))));
}

#[test]
fn a_header_inside_tls_is_refused_by_name_where_nobody_may_send_one_and_behind_another() {
    let scene = Scene::new();
    let file =
        scene.file("").replace("mode = \"tcp\"", "mode = \"http\"").replace("\"optional\"", "\"forbid\"");
    let running = Running::start_in(scene.folder.path(), &file);
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n";
    for (peer, before_it, code) in [(1, &b""[..], "FW113"), (2, &header[..], "FW110")] {
        let mut stream = client_from([127, 0, 0, peer].into(), running.address("web"));
        stream.write_all(before_it).unwrap();
        let mut tls = tls(&scene.config(), "www.example.test", stream);
        tls.write_all(header).unwrap();
        let mut answer = Vec::new();
        tls.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
        running.log.line_with(code);
    }
    assert!(scene.endpoint.is_unvisited());
}
