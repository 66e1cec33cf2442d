//! How transfers end: curl's exit codes, our own two, and what is said about it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::peer::tls::Certificate;
use crate::peer::{
    Chapter, OK, Raw, answer_with, code, foreword, foreword_fed, read_head, reset, stderr, stdout,
};

fn hang_up() -> Chapter {
    Box::new(|mut stream| read_head(&mut stream))
}

fn hang_up_rudely() -> Chapter {
    Box::new(|mut stream| {
        let head = read_head(&mut stream);
        reset(stream);
        head
    })
}

fn say_nothing_until_it_gives_up() -> Chapter {
    Box::new(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok();
        all
    })
}

/// The head of a TLS record and a piece of what it announces.
fn begin_the_handshake_and_stop() -> Chapter {
    Box::new(|mut stream| {
        stream.write_all(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76").ok();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok();
        all
    })
}

/// A server that knows nothing of headers: what comes first is its request line.
fn web_server() -> Chapter {
    Box::new(|mut stream| {
        let head = read_head(&mut stream);
        let answer = if head.starts_with(b"GET ") {
            OK
        } else {
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad"
        };
        stream.write_all(answer.as_bytes()).expect("the answer");
        head
    })
}

#[test]
fn usage_and_urls_are_judged_before_anything_is_sent() {
    for (arguments, expected) in [
        (&["get"][..], 2),
        (&["get", "--no-such-flag", "http://127.0.0.1/"], 2),
        (&["get", "http://"], 3),
        (&["get", "http://127.0.0.1:99999/"], 3),
        (&["get", "ftp://127.0.0.1/"], 1),
        (&["get", "-d", "@/no/such/file", "http://127.0.0.1:1/"], 26),
        (&["get", "--cacert", "/no/such/file", "https://127.0.0.1:1/"], 77),
        (&["get", "--cert", "/no/such/file", "https://127.0.0.1:1/"], 58),
    ] {
        let output = foreword(arguments);
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn a_name_that_does_not_resolve_is_6_and_a_port_that_nobody_listens_on_7() {
    let output = foreword(&["get", "http://nowhere.invalid/"]);
    assert_eq!(code(&output), 6);
    assert!(stderr(&output).contains("could not resolve host `nowhere.invalid`"), "{}", stderr(&output));

    let port = crate::peer::real::free_port();
    let output = foreword(&["get", &format!("http://127.0.0.1:{port}/")]);
    assert_eq!(code(&output), 7);
    assert!(
        stderr(&output).contains(&format!("could not connect to 127.0.0.1:{port}")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_status_fails_a_transfer_only_when_asked_to() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
    let server = Raw::serve(vec![answer_with(answer), answer_with(answer), answer_with(answer)]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, "gone".into()));
    let output = foreword(&["get", "-f", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (22, String::new()));
    assert!(stderr(&output).contains("404"));
    let output = foreword(&["get", "--fail-with-body", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (22, "gone".into()));
}

#[test]
fn silence_ends_with_28_when_the_time_is_up() {
    let server = Raw::serve(vec![say_nothing_until_it_gives_up()]);
    let output = foreword(&["get", "--max-time", "0.4", &server.url("/")]);
    assert_eq!(code(&output), 28, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("peer said nothing for ") && stderr(&output).contains("hint: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn silence_inside_the_tls_handshake_ends_with_28_too() {
    let server = Raw::serve(vec![say_nothing_until_it_gives_up()]);
    let url = format!("https://{}/", server.address);
    let output = foreword(&["get", "-k", "--connect-timeout", "0.4", &url]);
    assert_eq!(code(&output), 28, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("peer said nothing to our ClientHello within 0.4 s"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_handshake_that_stops_half_way_is_no_silence() {
    let server = Raw::serve(vec![begin_the_handshake_and_stop(), begin_the_handshake_and_stop()]);
    let url = format!("https://{}/", server.address);
    for header in ["v1", "none"] {
        let args = ["get", "-k", "--connect-timeout", "0.4", "--header", header, &url];
        let output = foreword(&args);
        assert_eq!(code(&output), 28, "{}", stderr(&output));
        let told = stderr(&output);
        assert!(told.contains("began the TLS handshake and stopped after 9 bytes"), "{told}");
        assert!(told.contains("hint: it speaks TLS") && !told.contains("said nothing"), "{told}");
    }
}

/// A port of this machine whose queue is full, for as long as the sockets live: it takes nobody, and refuses nobody.
fn port_that_takes_nobody(address: [u8; 4]) -> (SocketAddr, socket2::Socket, Vec<TcpStream>) {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from((address, 0)).into()).expect("bound");
    listener.listen(0).expect("listening");
    let address = listener.local_addr().expect("an address").as_socket().expect("an address");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    (address, listener, queue)
}

#[test]
fn a_connection_that_does_not_come_about_is_told_with_where_and_for_how_long() {
    let (address, _listener, _queue) = port_that_takes_nobody([127, 0, 0, 2]);
    let port = address.port();
    let url = format!("http://two.example:{port}/");
    let resolve = format!("two.example:{port}:127.0.0.3,127.0.0.2");
    for (flag, hint) in [("--connect-timeout", "`--connect-timeout SECONDS`"), ("-m", "`--max-time SECONDS`")]
    {
        let output = foreword(&["get", flag, "1", "--resolve", &resolve, &url]);
        assert_eq!(code(&output), 28, "{}", stderr(&output));
        let told = stderr(&output);
        assert!(
            told.contains(&format!("a connection to `two.example` port {port} (127.0.0.2:{port})")),
            "{told}"
        );
        assert!(told.contains(" s, found none") && (flag == "-m" || told.contains("within 1 s")), "{told}");
        // What became of the other address is part of it.
        assert!(
            told.contains(&format!("could not connect to 127.0.0.3:{port}: Connection refused")),
            "{told}"
        );
        assert!(told.contains(hint), "{told}");
    }
}

#[test]
fn silence_inside_the_content_is_told_with_how_much_came() {
    let server = Raw::serve(vec![Box::new(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").expect("the answer");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok();
        all
    })]);
    let output = foreword(&["get", "--max-time", "2", &server.url("/")]);
    assert_eq!(code(&output), 28, "{}", stderr(&output));
    let told = stderr(&output);
    let expected = format!("the rest of the content from {}, found 5 bytes and then silence", server.address);
    assert!(told.contains(&expected) && told.contains("`--max-time SECONDS`"), "{told}");
}

#[test]
fn a_server_that_broke_off_inside_its_answer_is_not_told_of_headers() {
    for start in ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 2", "HTT"] {
        // Asked again, it would answer: that it broke off once says nothing of what it expects.
        let server = Raw::serve(vec![answer_with(start)]);
        let output = foreword(&["get", &server.url("/")]);
        assert_eq!(code(&output), 56, "{}", stderr(&output));
        let told = stderr(&output);
        let found = format!("expected a whole response head, found {} bytes", start.len());
        assert!(told.contains(&found) && !told.contains("hint"), "{told}");
    }
    // Half of a refusal is one all the same.
    let server = Raw::serve(vec![answer_with("HTTP/1.1 400 Bad Request\r\nConn"), web_server()]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!(code(&output), 111, "{}", stderr(&output));
}

#[test]
fn an_end_without_an_answer_and_without_a_header_is_52_or_56() {
    let server = Raw::serve(vec![hang_up(), hang_up_rudely()]);
    let output = foreword(&["get", "--header", "none", &server.url("/")]);
    assert_eq!(code(&output), 52, "{}", stderr(&output));
    assert!(stderr(&output).contains("requires a PROXY header: try --header v1"), "{}", stderr(&output));
    let output = foreword(&["get", "--header", "none", &server.url("/")]);
    assert_eq!(code(&output), 56, "{}", stderr(&output));
}

#[test]
fn a_peer_that_hangs_up_with_and_without_a_header_refused_it() {
    for end in [hang_up as fn() -> Chapter, hang_up_rudely] {
        let server = Raw::serve(vec![end(), end()]);
        let output = foreword(&["get", &server.url("/")]);
        assert_eq!(code(&output), 110, "{}", stderr(&output));
        let said = stderr(&output);
        assert!(
            said.contains("-byte v1 header, peer ")
                && said.contains(" after 0 bytes: it probably does not expect"),
            "{said}"
        );
        assert!(said.contains("hint: try --header none or --header v2"), "{said}");
        assert!(server.heard_text().starts_with("PROXY "));
        assert!(server.heard_text().starts_with("GET "), "asked once more, bare");
    }
}

#[test]
fn a_peer_that_answers_without_a_header_did_not_expect_one() {
    for flags in [&["get"][..], &["get", "--header", "v2"], &["get", "-I"]] {
        let head_too: Chapter = Box::new(|mut stream| {
            let head = read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").expect("the answer");
            head
        });
        let server = Raw::serve(vec![hang_up(), head_too]);
        let output = foreword(&[flags, &[&server.url("/")]].concat());
        assert_eq!(code(&output), 111, "{}", stderr(&output));
        assert!(stderr(&output).contains("without a header it answers 200"), "{}", stderr(&output));
    }
}

#[test]
fn a_400_to_the_header_is_111_and_a_400_to_the_request_is_an_answer() {
    let server = Raw::serve(vec![web_server(), web_server()]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (111, "bad".into()), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("peer answered 400 and closed; without a header it answers 200"),
        "{}",
        stderr(&output)
    );

    let bad = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad";
    let server = Raw::serve(vec![answer_with(bad), answer_with(bad)]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, "bad".into()), "{}", stderr(&output));
    let server = Raw::serve(vec![answer_with(bad), hang_up()]);
    assert_eq!(
        code(&foreword(&["get", &server.url("/")])),
        0,
        "a peer that wants its header, and dislikes the request"
    );
}

/// Reads `a=1` too: bytes left unread would reset the connection under the answer.
fn answering_post(answer: &'static str) -> Raw {
    Raw::serve(vec![Box::new(move |mut stream| {
        read_head(&mut stream);
        stream.read_exact(&mut [0; 3]).expect("the content");
        stream.write_all(answer.as_bytes()).expect("the answer");
        Vec::new()
    })])
}

#[test]
fn a_request_that_changes_something_is_never_asked_twice() {
    let server =
        answering_post("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad");
    assert_eq!(code(&foreword(&["get", "-d", "a=1", &server.url("/")])), 0);
    let quoting = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nwhat is `PROXY TCP4 127.0.0.1`?";
    let server = answering_post(quoting);
    let output = foreword(&["get", "-d", "a=1", &server.url("/")]);
    assert_eq!(code(&output), 111, "{}", stderr(&output));
    assert!(stderr(&output).contains("its answer quotes the header"), "{}", stderr(&output));
}

#[test]
fn plain_text_in_place_of_a_server_hello_is_told_apart_by_asking_without_a_header() {
    let certificate = std::sync::Arc::new(Certificate::new());
    let plain_text = || -> Chapter {
        Box::new(|mut stream| {
            let mut start = [0; 6];
            stream.read_exact(&mut start).expect("bytes");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("the answer");
            start.to_vec()
        })
    };
    let speaks_tls: Chapter = {
        let certificate = std::sync::Arc::clone(&certificate);
        Box::new(move |stream| {
            let mut session = certificate.accept(stream);
            session.read_to_end(&mut Vec::new()).ok();
            Vec::new()
        })
    };
    let server = Raw::serve(vec![plain_text(), speaks_tls, plain_text(), plain_text()]);
    let url = format!("https://{}/", server.address);
    let output = foreword(&["get", "-k", &url]);
    assert_eq!(code(&output), 111, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("`HTTP/1.1 400 Bad Request`; without a header it speaks TLS"),
        "{}",
        stderr(&output)
    );
    let output = foreword(&["get", "-k", &url]);
    assert_eq!(code(&output), 35, "{}", stderr(&output));
    assert!(stderr(&output).contains("plain HTTP: try http://"), "{}", stderr(&output));
}

#[test]
fn a_certificate_that_is_not_believed_is_60_and_says_what_to_do() {
    let certificate = std::sync::Arc::new(Certificate::new());
    let chapter = |certificate: &std::sync::Arc<Certificate>| -> Chapter {
        let certificate = std::sync::Arc::clone(certificate);
        Box::new(move |stream: TcpStream| {
            let mut session = certificate.accept(stream);
            session.read_to_end(&mut Vec::new()).ok();
            Vec::new()
        })
    };
    let other = Certificate::new().path("cert.pem");
    let own = certificate.path("cert.pem");
    let server = Raw::serve(vec![chapter(&certificate), chapter(&certificate)]);
    let url = format!("https://{}/", server.address);
    let output = foreword(&["get", "--header", "none", "--cacert", &other, &url]);
    assert_eq!(code(&output), 77, "the folder is gone with its certificate");
    let another = Certificate::new();
    let output = foreword(&["get", "--header", "none", "--cacert", &another.path("cert.pem"), &url]);
    assert_eq!(code(&output), 60, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("issuer is not trusted here") && stderr(&output).contains("--cacert"),
        "{}",
        stderr(&output)
    );
    let elsewhere = format!("https://wrong.example:{}/", server.address.port());
    let resolve = format!("wrong.example:{}:127.0.0.1", server.address.port());
    let output = foreword(&["get", "--header", "none", "--cacert", &own, "--resolve", &resolve, &elsewhere]);
    assert_eq!(code(&output), 60, "{}", stderr(&output));
    assert!(stderr(&output).contains("it is for another name"), "{}", stderr(&output));
}

#[test]
fn content_that_stops_short_is_18_and_broken_coding_56() {
    let server = Raw::serve(vec![
        answer_with("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        answer_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        answer_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (18, "short".into()), "{}", stderr(&output));
    assert!(stderr(&output).contains("expected 10 bytes of content, found 5"), "{}", stderr(&output));
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (18, "abc".into()), "{}", stderr(&output));
    assert_eq!(code(&foreword(&["get", &server.url("/")])), 56);
}

#[test]
fn garbage_is_no_answer() {
    let server = Raw::answering("SSH-2.0-OpenSSH_9.2\r\n");
    let output = foreword(&["get", "--header", "none", &server.url("/")]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("SSH-2.0-OpenSSH_9.2"), "{}", stderr(&output));
    let server = Raw::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
    let output = foreword(&["get", "--header", "none", &server.url("/")]);
    assert_eq!(code(&output), 8, "{}", stderr(&output));
}

#[test]
fn redirects_without_end_are_47() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    let server = Raw::serve(vec![Box::new(move |mut stream| {
        for _ in 0..4 {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).expect("the answer");
        }
        Vec::new()
    })]);
    let output = foreword(&["get", "-L", "--max-redirs", "3", &server.url("/")]);
    assert_eq!(code(&output), 47, "{}", stderr(&output));
}

#[test]
fn an_answer_that_cannot_be_written_is_23() {
    let server = Raw::answering(OK);
    let output = foreword(&["get", "-o", "/no/such/folder/file", &server.url("/")]);
    assert_eq!(code(&output), 23, "{}", stderr(&output));
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let server = Raw::serve(vec![Box::new(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst line\n").expect("the answer");
        // Until the client, told by its closed pipe, hangs up.
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
        Vec::new()
    })]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_foreword"))
        .args(["get", &server.url("/")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut first = [0; 10];
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_exact(&mut first).expect("the first line");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(&first, b"first line");
    assert_eq!((code(&output), stderr(&output)), (23, String::new()));
}

#[test]
fn silent_says_nothing_and_show_error_says_it_after_all() {
    let port = crate::peer::real::free_port();
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(stderr(&foreword(&["get", "-s", &url])), "");
    let said = stderr(&foreword(&["get", "-s", "-S", &url]));
    assert!(said.starts_with("foreword: (7) could not connect to "), "{said}");
    assert_eq!(said, stderr(&foreword(&["get", "-sS", &url])));
}

#[test]
fn the_last_transfer_gives_the_exit_code_as_in_curl() {
    let port = crate::peer::real::free_port();
    let nowhere = format!("http://127.0.0.1:{port}/");
    let server = Raw::answering(OK);
    let output = foreword(&["get", &nowhere, &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()));
    assert!(stderr(&output).contains("foreword: (7) "), "{}", stderr(&output));
    let server = Raw::answering(OK);
    assert_eq!(code(&foreword(&["get", "-s", &server.url("/"), &nowhere])), 7);
    let output = foreword(&["get", "-s", "--fail-early", &nowhere, &nowhere, "-w", "%{exitcode} "]);
    assert_eq!((code(&output), stdout(&output)), (7, "7 ".into()));
}

#[test]
fn a_failure_leaves_no_file_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out");
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    for answer in ["", "no answer at all", missing, "HTTP/1.1 304 Not Modified\r\n\r\n"] {
        let server = Raw::answering(answer);
        foreword(&[
            "get",
            "--header",
            "none",
            "-s",
            "-f",
            "-o",
            &file.display().to_string(),
            &server.url("/"),
        ]);
        assert!(!file.exists(), "{answer:?}");
    }
    let server = Raw::answering("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(code(&foreword(&["get", "-o", &file.display().to_string(), &server.url("/")])), 0);
    assert!(file.exists());
}

#[test]
fn an_entry_of_resolve_that_cannot_be_read_is_49_and_no_time_is_no_limit() {
    let output = foreword(&["get", "--resolve", "example.com", "http://example.com/"]);
    assert_eq!(code(&output), 49);
    assert!(stderr(&output).contains("expected `HOST:PORT:ADDRESS[,ADDRESS]…`"), "{}", stderr(&output));
    let server = Raw::answering(OK);
    let output = foreword(&["get", "-m", "0", "--connect-timeout", "0", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()));
}

#[test]
fn an_answer_before_the_end_of_an_upload_is_heard() {
    let server = Raw::serve(vec![Box::new(|mut stream| {
        read_head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .expect("the answer");
        stream.shutdown(std::net::Shutdown::Write).expect("shut down");
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
        Vec::new()
    })]);
    let body = vec![b'x'; 32 << 20];
    let output = foreword_fed(&["get", "--data-binary", "@-", &server.url("/")], &body);
    assert_eq!((code(&output), stdout(&output)), (0, "big".into()), "{}", stderr(&output));
}
