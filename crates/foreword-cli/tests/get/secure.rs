//! TLS: what is believed, what is shown, and how it breaks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::peer::tls::Certificate;
use crate::peer::{Chapter, OK, Raw, code, foreword, read_head, stderr, stdout};

/// Reads the header and the request, answers, and ends TLS as it should, or just hangs up.
fn answering(
    certificate: &Arc<Certificate>,
    config: Option<Arc<ServerConfig>>,
    answer: &'static str,
    politely: bool,
) -> Chapter {
    let config = config.unwrap_or_else(|| certificate.config());
    Box::new(move |mut stream: TcpStream| {
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a header");
            header.extend(byte);
        }
        let mut session = StreamOwned::new(ServerConnection::new(config).expect("a session"), stream);
        let mut head = Vec::new();
        // A client whose certificate is refused says so here; there is no request then.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match session.read(&mut byte) {
                Ok(1) => head.extend(byte),
                _ => return header,
            }
        }
        session.write_all(answer.as_bytes()).expect("the answer");
        if politely {
            session.conn.send_close_notify();
        }
        session.flush().expect("sent");
        [header, head].concat()
    })
}

fn url(server: &Raw) -> String {
    format!("https://localhost:{}/", server.address.port())
}

#[test]
fn an_unverified_certificate_is_shown_as_such() {
    let certificate = Arc::new(Certificate::new());
    let server =
        Raw::serve(vec![answering(&certificate, None, OK, true), answering(&certificate, None, OK, true)]);
    let output = foreword(&["get", "-4", "-k", "-v", &url(&server)]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()), "{}", stderr(&output));
    let shown = stderr(&output);
    assert!(shown.contains("* TLS: TLSv1.3 with TLS13_"), "{shown}");
    assert!(shown.contains("* TLS: certificate for localhost, 127.0.0.1 ("), "{shown}");
    assert!(shown.contains("NOT verified"), "{shown}");
    let output = foreword(&["get", "-4", "-v", "--cacert", &certificate.path("cert.pem"), &url(&server)]);
    assert!(stderr(&output).contains("* TLS: the certificate is verified\n"), "{}", stderr(&output));
}

#[test]
fn content_that_ends_without_tls_closing_may_have_been_cut() {
    let certificate = Arc::new(Certificate::new());
    let until_close = "HTTP/1.1 200 OK\r\n\r\npart";
    let server = Raw::serve(vec![
        answering(&certificate, None, until_close, false),
        answering(&certificate, None, until_close, true),
        answering(&certificate, None, OK, false),
    ]);
    let output = foreword(&["get", "-4", "-k", &url(&server)]);
    assert_eq!((code(&output), stdout(&output)), (56, "part".into()), "{}", stderr(&output));
    assert!(stderr(&output).contains("closing alert"), "{}", stderr(&output));
    assert_eq!(code(&foreword(&["get", "-4", "-k", &url(&server)])), 0);
    assert_eq!(code(&foreword(&["get", "-4", "-k", &url(&server)])), 0, "its length says that it is whole");
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_ours() {
    let certificate = Arc::new(Certificate::new());
    let client = Certificate::new();
    let mut roots = RootCertStore::empty();
    roots.add(client.der()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .expect("a verifier");
    let config = Arc::new(certificate.config_with(verifier));
    let chapter = || answering(&certificate, Some(Arc::clone(&config)), OK, true);
    let server = Raw::serve(vec![chapter(), chapter()]);

    let (cert, key) = (client.path("cert.pem"), client.path("key.pem"));
    let output = foreword(&["get", "-4", "-k", "--cert", &cert, "--key", &key, &url(&server)]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()), "{}", stderr(&output));
    let output = foreword(&["get", "-4", "-k", &url(&server)]);
    assert!([35, 56].contains(&code(&output)), "{}", stderr(&output));
    assert!(stderr(&output).contains("--cert and --key"), "{}", stderr(&output));
}

#[test]
fn the_secrets_are_logged_where_the_environment_says() {
    let certificate = Arc::new(Certificate::new());
    let server = Raw::serve(vec![answering(&certificate, None, OK, true)]);
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("keys");
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_foreword"));
    let output = command
        .args(["get", "-4", "-k", &url(&server)])
        .env("SSLKEYLOGFILE", &log)
        .output()
        .expect("it runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(std::fs::read_to_string(log).expect("a log").contains("CLIENT_TRAFFIC_SECRET_0 "));
}

#[test]
fn another_protocol_is_not_taken_for_a_verdict_on_the_header() {
    let banner = || -> Chapter {
        Box::new(|mut stream| {
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").expect("the banner");
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
            Vec::new()
        })
    };
    let server = Raw::serve(vec![banner(), banner(), banner(), banner()]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("found `SSH-2.0-OpenSSH_9.2"), "{}", stderr(&output));
    let output = foreword(&["get", "-k", &format!("https://{}/", server.address)]);
    assert_eq!(code(&output), 35, "{}", stderr(&output));
    assert!(stderr(&output).contains("another protocol"), "{}", stderr(&output));
}

#[test]
fn a_plain_request_to_a_port_that_speaks_tls_is_sent_to_https() {
    // The alert with which a TLS server answers what is no ClientHello: fatal, decode_error.
    let alert: Chapter = Box::new(|mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(&[0x15, 3, 3, 0, 2, 2, 50]).expect("the alert");
        head
    });
    let server = Raw::serve(vec![alert]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("try https:// instead of http://"), "{}", stderr(&output));
}

#[test]
fn a_reset_under_a_400_is_told_for_what_it_is() {
    let rude: Chapter = Box::new(|mut stream| {
        read_head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 99\r\n\r\nbad")
            .expect("the answer");
        stream.shutdown(std::net::Shutdown::Write).expect("shut down");
        Vec::new()
    });
    let good: Chapter = Box::new(|mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(OK.as_bytes()).expect("the answer");
        head
    });
    let server = Raw::serve(vec![rude, good]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (111, "bad".into()), "{}", stderr(&output));
}
