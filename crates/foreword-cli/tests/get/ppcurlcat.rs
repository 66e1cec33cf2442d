//! The story's own client.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::peer::real::Nginx;
use crate::peer::tls::Certificate;
use crate::peer::{OK, Raw, code, program, stderr, stdout};

fn ppcurlcat(arguments: &[&str]) -> std::process::Output {
    program("ppcurlcat", arguments, b"")
}

#[test]
fn the_head_and_the_content_are_printed_as_they_came() {
    let server = Raw::answering(OK);
    let output = ppcurlcat(&[&server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, OK.into()), "{}", stderr(&output));
    assert!(server.heard_text().starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "));
}

#[test]
fn the_first_line_of_the_story_is_printed_and_the_rest_ends_quietly() {
    let certificate = Certificate::new();
    let Some(nginx) = Nginx::start(&certificate) else { return };
    let mut child = Command::new(env!("CARGO_BIN_EXE_ppcurlcat"))
        .arg(format!("https://localhost:{}/", nginx.header_tls))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    assert_eq!(stderr(&output), "ppcurlcat: certificates are not verified\n");
}

#[test]
fn certificates_are_verified_once_their_issuer_is_named() {
    let certificate = Certificate::new();
    let Some(nginx) = Nginx::start(&certificate) else { return };
    let url = format!("https://localhost:{}/", nginx.header_tls);
    let output = ppcurlcat(&["--cacert", &certificate.path("cert.pem"), &url]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    let other = Certificate::new();
    assert_eq!(code(&ppcurlcat(&["--cacert", &other.path("cert.pem"), &url])), 60);
}

#[test]
fn it_takes_the_flags_of_get_and_has_its_exit_codes() {
    let server = Raw::answering(OK);
    assert_eq!(
        code(&ppcurlcat(&["--header", "v2", "--source", "192.0.2.1", "-X", "DELETE", &server.url("/x")])),
        0
    );
    let heard = server.heard();
    assert!(
        heard.starts_with(b"\r\n\r\n\0\r\nQUIT\n") && heard.windows(10).any(|part| part == b"DELETE /x ")
    );
    assert_eq!(code(&ppcurlcat(&[])), 2);
    assert_eq!(code(&ppcurlcat(&["--version"])), 0);
}
