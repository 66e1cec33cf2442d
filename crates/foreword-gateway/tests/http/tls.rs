//! Requests inside TLS: the same promises, in records.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::*;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A gateway that ends TLS for `localhost`, and how to connect to it.
fn secure(folder: &Path, endpoint: &Endpoint) -> (foreword_gateway::Gateway, Arc<ClientConfig>) {
    let (keys, config) = certificate(folder);
    let keys = format!("cluster = \"app\"\n{keys}");
    (gateway(&file(&[endpoint.address], &keys, "")), Arc::new(config))
}

/// A certificate for `localhost` in `folder`: the keys of a listener with it, and a client that trusts it.
pub(crate) fn certificate(folder: &Path) -> (String, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = folder.join("localhost.pem");
    std::fs::write(&pem, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (format!("tls = {{ certificates = \"{}\" }}", folder.display()), config)
}

fn connect(gateway: &foreword_gateway::Gateway, config: &Arc<ClientConfig>) -> Tls {
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = Wire::to(gateway).stream;
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), tcp)
}

/// Reads a head and as many bytes of body as it says.
fn answer(tls: &mut Tls) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 4]).into_owned();
            let length: usize = field(&head, "Content-Length").unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return (head, bytes.split_off(end + 4));
            }
        }
        let len = tls.read(&mut chunk).unwrap();
        assert!(len > 0, "the end came early");
        bytes.extend_from_slice(&chunk[..len]);
    }
}

#[test]
fn requests_and_large_bodies_come_across_inside_tls() {
    let endpoint = Endpoint::new(|wire| {
        while let Some((head, body)) = wire.request() {
            assert_eq!(field(&head, "X-Forwarded-Proto"), Some("https"));
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            wire.write(&body);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (gateway, config) = secure(folder.path(), &endpoint);
    let mut client = connect(&gateway, &config);
    for len in [0, 5, 16 * 1024, 2_000_000] {
        let body: Vec<u8> = (0..len).map(|n: usize| (n % 251) as u8).collect();
        write!(client, "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n").unwrap();
        client.write_all(&body).unwrap();
        client.flush().unwrap();
        let (head, echoed) = answer(&mut client);
        assert!(head.starts_with("HTTP/1.1 200 ") && echoed == body, "{len}");
    }
    assert_eq!(endpoint.seen.connections(), 1);
}

/// A handshake up to where the client has yet to say that it is finished.
fn almost_agreed(gateway: &foreword_gateway::Gateway, config: &Arc<ClientConfig>) -> Tls {
    let mut tls = connect(gateway, config);
    tls.conn.write_tls(&mut tls.sock).unwrap();
    while tls.conn.is_handshaking() {
        tls.conn.read_tls(&mut tls.sock).unwrap();
        tls.conn.process_new_packets().unwrap();
    }
    assert!(tls.conn.wants_write());
    tls
}

/// Sends all that the session has to say in one write, and takes what comes with one read.
fn exchange(tls: &mut Tls) {
    let mut said = Vec::new();
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut said).unwrap();
    }
    tls.sock.write_all(&said).unwrap();
    let mut came = vec![0; 1 << 16];
    let len = tls.sock.read(&mut came).unwrap();
    let mut came = &came[..len];
    while !came.is_empty() {
        tls.conn.read_tls(&mut came).unwrap();
        tls.conn.process_new_packets().unwrap();
    }
}

#[test]
fn tickets_the_last_answer_and_the_end_leave_in_one_piece() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let (gateway, config) = secure(folder.path(), &endpoint);
    let mut client = almost_agreed(&gateway, &config);
    client.conn.writer().write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    exchange(&mut client);
    assert_eq!(client.conn.tls13_tickets_received(), 2);
    let mut answered = String::new();
    // It says that this was the end, too.
    client.conn.reader().read_to_string(&mut answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    assert_eq!(client.sock.read(&mut [0]).unwrap(), 0);
}

#[test]
fn tickets_wait_for_no_request() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let (gateway, config) = secure(folder.path(), &endpoint);
    let mut client = almost_agreed(&gateway, &config);
    exchange(&mut client);
    assert_eq!(client.conn.tls13_tickets_received(), 2);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(answer(&mut client).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_error_inside_tls_ends_with_the_alert_that_says_so() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let (gateway, config) = secure(folder.path(), &endpoint);
    let mut client = connect(&gateway, &config);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").unwrap();
    let mut answered = String::new();
    // Without a close_notify this would be an error: rustls takes a cut stream for an attack.
    client.read_to_string(&mut answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 400 "), "{answered}");
    assert!(answered.ends_with("400 Bad Request\n"), "{answered}");
}

#[test]
fn an_answer_that_breaks_off_ends_without_an_alert() {
    let endpoint = Endpoint::once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let folder = tempfile::tempdir().unwrap();
    let (gateway, config) = secure(folder.path(), &endpoint);
    let mut client = connect(&gateway, &config);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_request_for_a_name_of_another_certificate_is_misdirected() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let mut roots = RootCertStore::empty();
    for (file, names) in
        [("a.pem", &["localhost", "same.test"][..]), ("b.pem", &["other.test", "*.wild.test"])]
    {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(folder.path().join(file), made.cert.pem() + &made.signing_key.serialize_pem())
            .unwrap();
        roots.add(made.cert.der().clone()).unwrap();
    }
    let keys = format!("cluster = \"app\"\ntls = {{ certificates = \"{}\" }}", folder.path().display());
    let gateway = gateway(&file(&[endpoint.address], &keys, ""));
    let port = address(&gateway).port();
    let bundle: String =
        ["a.pem", "b.pem"].map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap()).concat();
    std::fs::write(folder.path().join("roots"), bundle).unwrap();
    let ask = |sni: &str, host: &str, version: &str| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--noproxy", "*", "--max-time", "20", "--output", "/dev/null", version]);
        curl.args(["--write-out", "%{http_version} %{http_code}", "--cacert"])
            .arg(folder.path().join("roots"));
        curl.args(["--resolve", &format!("{sni}:{port}:127.0.0.1"), "--header", &format!("Host: {host}")]);
        // An address is no name: there is no SNI.
        if sni == "127.0.0.1" {
            curl.arg("--insecure");
        }
        let said = curl.arg(format!("https://{sni}:{port}/")).output().expect("curl is there");
        String::from_utf8(said.stdout).unwrap()
    };
    for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for (sni, host, status) in [
            ("localhost", "localhost", 200),
            ("localhost", "LOCALHOST.:8443", 200),
            ("localhost", "same.test", 200),
            ("localhost", "other.test", 421),
            ("localhost", "x.wild.test:8443", 421),
            ("x.wild.test", "other.test", 200),
            ("x.wild.test", "y.wild.test", 200),
            ("x.wild.test", "localhost", 421),
            ("other.test", "nobody.test", 421),
            // The first certificate answers for names that none has.
            ("localhost", "nobody.test", 200),
            ("127.0.0.1", "other.test", 200),
        ] {
            assert_eq!(ask(sni, host, version), format!("{spoken} {status}"), "{sni} then {host}");
        }
    }
    let seen = endpoint.seen.text();
    assert!(!seen.contains("Host: x.wild.test:8443"), "{seen}");
}
