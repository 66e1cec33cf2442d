//! The header that arrives: where, when, and what it says.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use foreword::{Command as HeaderCommand, Header, Parse};

use crate::peer::tls::Certificate;
use crate::peer::{Chapter, OK, Raw, answer_with, code, foreword, read_head, stderr, stdout};

/// Splits what arrived into the header, parsed by the codec, and the rest.
fn split(bytes: &[u8]) -> (Header<'_>, &[u8]) {
    match Header::parse(bytes) {
        Ok(Parse::Complete { header, len }) => (header, &bytes[len..]),
        other => panic!("expected a header, found {other:?} in {}", bytes.escape_ascii()),
    }
}

/// The first thing that one read brings, and the request's end after it.
fn first_read(tell_port: bool) -> Chapter {
    Box::new(move |mut stream: TcpStream| {
        let port = stream.peer_addr().expect("a peer").port();
        let mut bytes = vec![0; 4096];
        let read = std::io::Read::read(&mut stream, &mut bytes).expect("bytes");
        bytes.truncate(read);
        stream.write_all(OK.as_bytes()).expect("the answer");
        if tell_port { [format!("{port} ").as_bytes(), &bytes].concat() } else { bytes }
    })
}

/// The first line, with the ports of this connection named.
fn line_of(heard: &str, server: &Raw) -> String {
    let (port, rest) = heard.split_once(' ').expect("a port");
    let line = rest.split("\r\n").next().expect("a line");
    line.replace(port, "OURS").replace(&server.address.port().to_string(), "THEIRS")
}

#[test]
fn the_header_and_the_request_leave_in_one_segment_as_curls_do() {
    let ours = Raw::serve(vec![first_read(true)]);
    let output = foreword(&["get", &ours.url("/x")]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()), "{}", stderr(&output));
    let heard = ours.heard_text();
    assert_eq!(line_of(&heard, &ours), "PROXY TCP4 127.0.0.1 127.0.0.1 OURS THEIRS");
    assert!(heard.contains("\r\nGET /x HTTP/1.1\r\n") && heard.ends_with("\r\n\r\n"), "{heard}");

    let curls = Raw::serve(vec![first_read(true)]);
    let curl =
        Command::new("curl").args(["-s", "--noproxy", "*", "--haproxy-protocol", &curls.url("/x")]).output();
    match curl {
        Ok(curl) => {
            assert!(curl.status.success());
            assert_eq!(line_of(&curls.heard_text(), &curls), line_of(&heard, &ours));
        }
        Err(error) => assert!(std::env::var_os("CI").is_none(), "`curl` is not installed: {error}"),
    }
}

#[test]
fn curls_own_flags_mean_what_they_mean_to_curl() {
    let server = Raw::serve(vec![first_read(true), first_read(true)]);
    assert_eq!(code(&foreword(&["get", "--haproxy-protocol", &server.url("/")])), 0);
    assert_eq!(line_of(&server.heard_text(), &server), "PROXY TCP4 127.0.0.1 127.0.0.1 OURS THEIRS");
    assert_eq!(code(&foreword(&["get", "--haproxy-clientip", "192.0.2.10", &server.url("/")])), 0);
    assert_eq!(line_of(&server.heard_text(), &server), "PROXY TCP4 192.0.2.10 192.0.2.10 OURS THEIRS");
}

#[test]
fn given_addresses_take_the_place_of_the_sockets_own() {
    let server = Raw::answering(OK);
    let flags =
        ["get", "--source", "203.0.113.7:4711", "--destination", "198.51.100.20:443", &server.url("/")];
    assert_eq!(code(&foreword(&flags)), 0);
    assert!(server.heard().starts_with(b"PROXY TCP4 203.0.113.7 198.51.100.20 4711 443\r\nGET / "));
}

#[test]
fn a_source_without_a_port_keeps_the_sockets_port() {
    let server = Raw::serve(vec![first_read(true)]);
    assert_eq!(code(&foreword(&["get", "--source", "203.0.113.7", &server.url("/")])), 0);
    assert_eq!(line_of(&server.heard_text(), &server), "PROXY TCP4 203.0.113.7 127.0.0.1 OURS THEIRS");
}

#[test]
fn tlvs_make_the_header_v2_and_arrive_as_they_were_given() {
    let server = Raw::answering(OK);
    let tlvs = [
        "--tlv",
        "authority=www.example.com",
        "--tlv",
        "0xE4=hex:0001",
        "--tlv",
        "aws-vpce=vpce-08d2",
        "--crc32c",
    ];
    assert_eq!(code(&foreword(&[&["get"][..], &tlvs, &[&server.url("/")]].concat())), 0);
    let heard = server.heard();
    let (header, rest) = split(&heard);
    assert_eq!(header.tlvs.authority().map(|name| name.as_bytes()), Some(&b"www.example.com"[..]));
    assert_eq!(header.tlvs.get(0xE4), Some(&[0, 1][..]));
    assert_eq!(header.tlvs.aws_vpce(), Some(Ok("vpce-08d2")));
    assert!(header.tlvs.get(0x03).is_some());
    assert!(rest.starts_with(b"GET / "));
}

#[test]
fn local_and_unknown_are_sent_in_their_shortest_forms() {
    let server = Raw::serve(vec![answer_with(OK), answer_with(OK), answer_with(OK), answer_with(OK)]);
    assert_eq!(code(&foreword(&["get", "--local", &server.url("/")])), 0);
    let heard = server.heard();
    assert_eq!(split(&heard).0.command, HeaderCommand::Local);
    assert!(heard.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00GET "));
    assert_eq!(code(&foreword(&["get", "--unknown", &server.url("/")])), 0);
    assert!(server.heard().starts_with(b"PROXY UNKNOWN\r\nGET "));
    assert_eq!(code(&foreword(&["get", "--unknown", "--header", "v2", &server.url("/")])), 0);
    assert!(server.heard().starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00GET "));
    assert_eq!(code(&foreword(&["get", "--header", "none", &server.url("/")])), 0);
    assert!(server.heard().starts_with(b"GET "));
}

#[test]
fn what_a_header_cannot_carry_is_a_usage_error_before_anything_is_sent() {
    let url = "http://127.0.0.1:1/";
    for flags in [
        &["--header", "v1", "--tlv", "alpn=h2"][..],
        &["--header", "none", "--local"],
        &["--local", "--unknown"],
    ] {
        let output = foreword(&[&["get"], flags, &[url]].concat());
        assert_eq!(code(&output), 2, "{flags:?}: {}", stderr(&output));
    }
}

#[test]
fn the_header_goes_before_tls_unless_it_is_to_go_inside() {
    let certificate = std::sync::Arc::new(Certificate::new());
    let chapter = |before: bool| -> Chapter {
        let certificate = std::sync::Arc::clone(&certificate);
        Box::new(move |mut stream: TcpStream| {
            let outside = if before { read_line(&mut stream) } else { Vec::new() };
            let mut session = certificate.accept(stream);
            let inside = read_head(&mut session);
            session.write_all(OK.as_bytes()).expect("the answer");
            session.conn.send_close_notify();
            session.flush().expect("sent");
            [outside, b"|".to_vec(), inside].concat()
        })
    };
    let server = Raw::serve(vec![chapter(true), chapter(false)]);
    let url = format!("https://localhost:{}/", server.address.port());
    let cacert = certificate.path("cert.pem");
    let flags =
        ["get", "-4", "--cacert", &cacert, "--source", "192.0.2.1:1", "--destination", "192.0.2.2:2", &url];

    let output = foreword(&flags);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()), "{}", stderr(&output));
    let heard = server.heard_text();
    assert!(heard.starts_with("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n|GET / "), "{heard}");

    let output = foreword(&[&flags[..], &["--inside-tls"]].concat());
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()), "{}", stderr(&output));
    let heard = server.heard_text();
    assert!(heard.starts_with("|PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / "), "{heard}");
}

fn read_line(stream: &mut TcpStream) -> Vec<u8> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") && std::io::Read::read(stream, &mut byte).expect("a byte") == 1 {
        line.extend(byte);
    }
    line
}

#[test]
fn several_urls_share_a_connection_and_the_header_is_sent_once() {
    let server = Raw::serve(vec![Box::new(|mut stream| {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.extend(read_head(&mut stream));
            stream.write_all(OK.as_bytes()).expect("the answer");
        }
        all
    })]);
    let output =
        foreword(&["get", &server.url("/a"), &server.url("/b"), &server.url("/c"), "-w", "%{num_connects}"]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes1yes0yes0".into()), "{}", stderr(&output));
    let heard = server.heard_text();
    assert_eq!(heard.matches("PROXY ").count(), 1, "{heard}");
    assert_eq!(heard.matches("GET ").count(), 3, "{heard}");
}

#[test]
fn a_new_connection_gets_a_header_of_its_own() {
    let server = Raw::serve(vec![
        answer_with("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na"),
        answer_with("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"),
    ]);
    assert_eq!(stdout(&foreword(&["get", &server.url("/a"), &server.url("/b")])), "ab");
    assert!(server.heard_text().starts_with("PROXY ") && server.heard_text().starts_with("PROXY "));
}

#[test]
fn verbose_shows_the_header_in_bytes_and_in_words() {
    let server = Raw::answering(OK);
    let flags = [
        "get",
        "-v",
        "--header",
        "v2",
        "--tlv",
        "authority=x.example",
        "--source",
        "203.0.113.7:99",
        &server.url("/"),
    ];
    let shown = stderr(&foreword(&flags));
    assert!(
        shown.contains("> 0000  0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 11 00 18  .......QUIT.!..."),
        "{shown}"
    );
    assert!(
        shown.contains("*   v2 PROXY, TCP over IPv4\n*   source 203.0.113.7:99, destination 127.0.0.1:"),
        "{shown}"
    );
    assert!(shown.contains("*   TLV 0x02 AUTHORITY: `x.example`\n"), "{shown}");
    assert!(shown.contains("> GET / HTTP/1.1\n") && shown.contains("< HTTP/1.1 200 OK\n"), "{shown}");
}
