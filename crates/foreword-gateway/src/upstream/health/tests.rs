use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use foreword::{Command, Header, Parse, Version};
use foreword_rule::Matcher;
use rcgen::{CertificateParams, KeyPair};

use super::super::endpoints::Address;
use super::once::check_once;
use crate::policy::health::{Body, Check, CheckHeader, HealthCheck, HttpCheck, Statuses};
use crate::tls::connector::{self, EndpointTlsSource};
use crate::tls::provider;

fn check(check: Check) -> HealthCheck {
    HealthCheck {
        check,
        header: CheckHeader::None,
        port: None,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        rise: 2,
        fall: 3,
    }
}

fn http(body: Option<Body>) -> HttpCheck {
    HttpCheck {
        tls: false,
        method: "GET".into(),
        path: "/health".into(),
        host: None,
        name: None,
        status: Statuses::default(),
        body,
    }
}

fn send_expect(send: &str, expect: &str) -> HealthCheck {
    check(Check::SendExpect { send: send.as_bytes().into(), expect: expect.as_bytes().into() })
}

/// A server that does this with one connection after the other.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = Address::Inet(listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

/// A server that says this once it was said anything, and ends.
fn answering(answer: impl Into<Vec<u8>>) -> Address {
    let answer = answer.into();
    server(move |mut stream| {
        let _len = stream.read(&mut [0; 4096]).unwrap();
        // Whoever has heard enough may be gone.
        let _gone = stream.write_all(&answer).and_then(|()| stream.shutdown(Shutdown::Write));
        let _rest = stream.read_to_end(&mut Vec::new());
    })
}

/// A server that hands over what it was said, up to its end.
fn listening() -> (Address, Receiver<Vec<u8>>) {
    let (tell, heard) = mpsc::channel();
    let address = server(move |mut stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        tell.send(bytes).unwrap();
    });
    (address, heard)
}

/// What is told of an endpoint that does not pass.
async fn told(check: &HealthCheck, address: &Address) -> String {
    check_once(check, None, address).await.expect_err("it does not pass").to_string()
}

#[tokio::test]
async fn a_connection_is_all_that_a_tcp_check_wants() {
    let (address, _heard) = listening();
    check_once(&check(Check::Tcp), None, &address).await.unwrap();
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let told = told(&check(Check::Tcp), &Address::Inet(gone)).await;
    assert!(told.starts_with("Connection refused"), "{told}");
}

#[tokio::test]
async fn another_port_may_be_asked() {
    let (Address::Inet(asked), _heard) = listening() else { panic!("over TCP") };
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let check = HealthCheck { port: Some(asked.port()), ..check(Check::Tcp) };
    check_once(&check, None, &Address::Inet(nobody)).await.unwrap();
}

#[tokio::test]
async fn each_header_is_what_some_server_needs() {
    let cases: [(CheckHeader, &[u8], usize); 4] = [
        (CheckHeader::None, b"", 0),
        (CheckHeader::Local(Version::One), b"PROXY UNKNOWN\r\n", 15),
        (CheckHeader::Local(Version::Two), b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", 16),
        (CheckHeader::LocalNoop, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x03\x04\x00\x00", 19),
    ];
    for (header, bytes, len) in cases {
        let (address, heard) = listening();
        check_once(&HealthCheck { header, ..check(Check::Tcp) }, None, &address).await.unwrap();
        let heard = heard.recv().unwrap();
        assert_eq!((heard.as_slice(), heard.len()), (bytes, len), "{header:?}");
    }
}

#[tokio::test]
async fn local_with_addresses_has_a_block_of_twelve_bytes_and_proxy_names_us() {
    let (address, heard) = listening();
    let header = CheckHeader::LocalAddresses;
    check_once(&HealthCheck { header, ..check(Check::Tcp) }, None, &address).await.unwrap();
    let bytes = heard.recv().unwrap();
    assert_eq!((&bytes[12..16], bytes.len()), (&[0x20, 0x11, 0x00, 0x0c][..], 28));
    let Ok(Parse::Complete { header, .. }) = Header::parse(&bytes) else { panic!("a header") };
    assert_eq!(header.command, Command::Local);

    for version in [Version::One, Version::Two] {
        let (address, heard) = listening();
        let header = CheckHeader::Proxy(version);
        check_once(&HealthCheck { header, ..check(Check::Tcp) }, None, &address).await.unwrap();
        let bytes = heard.recv().unwrap();
        let Ok(Parse::Complete { header, len }) = Header::parse(&bytes) else { panic!("a header") };
        assert_eq!((header.command, len), (Command::Proxy, bytes.len()));
        assert_eq!(header.source().unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(Address::Inet(header.destination().unwrap()), address);
    }
}

#[tokio::test]
async fn header_and_request_come_as_one() {
    let (tell, heard) = mpsc::channel();
    let address = server(move |mut stream| {
        let mut bytes = [0; 4096];
        let len = stream.read(&mut bytes).unwrap();
        tell.send(bytes[..len].to_vec()).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let header = CheckHeader::Local(Version::One);
    let check = HealthCheck { header, ..check(Check::Http(Box::new(http(None)))) };
    check_once(&check, None, &address).await.unwrap();
    let expected = format!(
        "PROXY UNKNOWN\r\nGET /health HTTP/1.1\r\nHost: {address}\r\nUser-Agent: foreword-health\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(String::from_utf8(heard.recv().unwrap()).unwrap(), expected);
}

#[tokio::test]
async fn good_answers_pass() {
    let holds = || Some(Body::Holds("all is well".into()));
    let matches = |pattern| Some(Body::Matches(Matcher::compile(pattern).unwrap()));
    let cases: [(Option<Body>, &str); 7] = [
        (None, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all of it"),
        (None, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 302 Found\r\n\r\n"),
        (holds(), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall is well, as far as has come"),
        (
            holds(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n",
        ),
        (holds(), "HTTP/1.0 200 OK\r\n\r\nall is well"),
        (matches("^all .* well$"), "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well"),
        (matches("well$"), "HTTP/1.0 200 OK\r\n\r\nall is well"),
    ];
    for (body, answer) in cases {
        let address = answering(answer);
        check_once(&check(Check::Http(Box::new(http(body)))), None, &address)
            .await
            .unwrap_or_else(|fault| panic!("{answer:?}: {fault}"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_good_is_told_with_what_was_expected() {
    let holds = || Some(Body::Holds("all is well".into()));
    let matches = |pattern| Some(Body::Matches(Matcher::compile(pattern).unwrap()));
    let long = "HTTP/1.0 200 OK\r\n\r\n".to_owned() + &"x".repeat(1 << 20);
    let cases: [(Option<Body>, &str, &str); 10] = [
        (None, "HTTP/1.1 500 No\r\n\r\n", "expected status 200-399, found 500"),
        (None, "", "expected an HTTP answer, found the connection closed after 0 bytes"),
        (None, "HTTP/1.1 20", "expected an HTTP answer, found the connection closed after 11 bytes"),
        (None, "SSH-2.0-OpenSSH\r\n\r\n", "expected an HTTP answer: byte 0: "),
        (
            holds(),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
            "expected `all is well` in the body, found `bad`",
        ),
        (
            holds(),
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbad",
            "expected the whole body, found the connection closed after 3 bytes",
        ),
        (holds(), "HTTP/1.1 204 No\r\n\r\nall is well", "expected `all is well` in the body, found ``"),
        (holds(), &long, "expected `all is well` in the body, found `xxx"),
        (holds(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz", "expected a sound body, found "),
        (
            matches("^all.*well$"),
            "HTTP/1.0 200 OK\r\n\r\nall is well, or not\x1b",
            "expected what fits `^all.*well$` in the body, found `all is well, or not\\x1b`",
        ),
    ];
    for (body, answer, expected) in cases {
        let told = told(&check(Check::Http(Box::new(http(body)))), &answering(answer)).await;
        assert!(told.starts_with(expected), "{answer:.60}: {told}");
    }
}

#[tokio::test]
async fn bytes_are_looked_for_anywhere_in_what_comes() {
    let greeting = server(|mut stream| stream.write_all(b"220 mail.test ESMTP\r\n").unwrap());
    check_once(&send_expect("", "220 "), None, &greeting).await.unwrap();
    check_once(&send_expect("PING\r\n", "+PONG"), None, &answering("+PONG\r\n")).await.unwrap();
    let cases = [
        ("-ERR\r\n".to_owned(), "expected `+PONG`, found `-ERR\\r\\n`"),
        (String::new(), "expected the bytes of `expect`, found the connection closed after 0 bytes"),
        ("x".repeat(1 << 20), "expected `+PONG`, found `xxxxxxxxxxxxxxxx"),
    ];
    for (answer, expected) in cases {
        let told = told(&send_expect("PING\r\n", "+PONG"), &answering(answer)).await;
        assert!(told.starts_with(expected) && told.len() < 200, "{told}");
    }
}

#[tokio::test]
async fn whoever_keeps_silent_is_told_with_what_was_waited_for() {
    let (address, _heard) = listening();
    let quick = |check| HealthCheck { timeout: Duration::from_millis(50), ..check };
    let cases = [
        (send_expect("", "220 "), "expected the bytes of `expect` within 0.05 s, found none"),
        (check(Check::Http(Box::new(http(None)))), "expected an HTTP answer within 0.05 s, found none"),
        (check(Check::Tls { name: None }), "expected a TLS handshake within 0.05 s, found none"),
    ];
    for (check, expected) in cases {
        assert_eq!(told(&quick(check), &address).await, expected);
    }
}

#[tokio::test]
async fn tls_is_spoken_behind_the_header_and_whoever_answers_is_good_enough() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["app.test".into()]).unwrap().self_signed(&key).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let (tell, names) = mpsc::channel();
    let address = server(move |mut stream| {
        let mut line = [0; 15];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"PROXY UNKNOWN\r\n");
        let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        // A handshake alone may end right behind it.
        let _gone = tls.complete_io(&mut stream);
        tell.send(tls.server_name().map(str::to_owned)).unwrap();
        let mut tls = rustls::StreamOwned::new(tls, stream);
        let mut request = [0; 4096];
        if tls.read(&mut request).is_ok_and(|len| request[..len].starts_with(b"GET ")) {
            tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let with_header = |what| HealthCheck { header: CheckHeader::Local(Version::One), ..check(what) };
    check_once(&with_header(Check::Tls { name: None }), None, &address).await.unwrap();
    assert_eq!(names.recv().unwrap(), None, "an address is not a name");
    let asked = HttpCheck {
        tls: true,
        host: Some("app.test:8443".into()),
        name: Some("app.test".try_into().unwrap()),
        ..http(None)
    };
    check_once(&with_header(Check::Http(Box::new(asked))), None, &address).await.unwrap();
    assert_eq!(names.recv().unwrap().as_deref(), Some("app.test"));
    let source = EndpointTlsSource { anyone: true, pins: vec![[7; 32]], ..EndpointTlsSource::default() };
    let of_cluster = connector::settle(source).unwrap();
    let fault = check_once(&with_header(Check::Tls { name: None }), Some(&of_cluster), &address).await;
    let told_of_pins = fault.expect_err("the cluster believes another key").to_string();
    let expected = "the TLS handshake failed: expected one of the keys in `pins`, found sha256/";
    assert!(told_of_pins.starts_with(expected), "{told_of_pins}");
    let told = told(&check(Check::Tls { name: None }), &answering("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    assert!(told.starts_with("the TLS handshake failed: it does not answer with TLS"), "{told}");
}
