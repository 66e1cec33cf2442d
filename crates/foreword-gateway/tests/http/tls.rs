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
    let keys = format!("cluster = \"app\"\ntls = {{ certificates = \"{}\" }}", folder.display());
    (gateway(&file(&[endpoint.address], &keys, "")), Arc::new(config))
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
