//! Curl's idiom: what is asked, what is shown, where it goes.

use std::io::Write;

use serde_json::Value;

use crate::peer::{OK, Raw, answer_with, code, foreword, foreword_fed, read_head, stderr, stdout};

#[test]
fn a_head_request_shows_the_head_and_waits_for_no_content() {
    let server = Raw::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let output = foreword(&["get", "-I", &server.url("/x")]);
    assert_eq!((code(&output), stdout(&output)), (0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into()));
    assert!(server.heard_text().contains("\r\nHEAD /x HTTP/1.1\r\n"));
}

#[test]
fn chunks_are_put_together_and_interim_answers_passed_over() {
    let server = Raw::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n",
    );
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, "abcdefg".into()), "{}", stderr(&output));
}

#[test]
fn content_without_a_length_ends_with_the_connection() {
    let server = Raw::answering("HTTP/1.0 200 OK\r\n\r\nto the end");
    assert_eq!(stdout(&foreword(&["get", "-i", &server.url("/")])), "HTTP/1.0 200 OK\r\n\r\nto the end");
}

#[test]
fn data_is_posted_from_text_file_and_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data");
    std::fs::write(&file, "line\r\nbreak\n").expect("written");
    let file = format!("@{}", file.display());
    let posted = |flags: &[&str], input: &[u8], len: usize| {
        let server = Raw::serve(vec![Box::new(move |mut stream| {
            let head = read_head(&mut stream);
            let mut body = vec![0; len];
            std::io::Read::read_exact(&mut stream, &mut body).expect("the content");
            stream.write_all(OK.as_bytes()).expect("the answer");
            [head, body].concat()
        })]);
        let output = foreword_fed(&[&["get", &server.url("/")], flags].concat(), input);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let heard = server.heard_text();
        heard.split_once("\r\n").expect("a header").1.to_owned()
    };
    let form = posted(&["-d", "a=1", "-d", &file], b"", 13);
    assert!(form.starts_with("POST / ") && form.ends_with("\r\n\r\na=1&linebreak"), "{form}");
    assert!(
        form.contains("\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n"),
        "{form}"
    );
    assert!(posted(&["--data-binary", &file], b"", 12).ends_with("\r\n\r\nline\r\nbreak\n"));
    assert!(posted(&["-d", "@-", "-X", "PUT"], b"x\ny", 2).starts_with("PUT / "));
    let json = posted(&["--json", "{}"], b"", 2);
    assert!(
        json.contains("\r\nContent-Type: application/json\r\n")
            && json.contains("\r\nAccept: application/json\r\n")
    );
}

#[test]
fn fields_can_be_added_replaced_and_left_out() {
    let server = Raw::answering(OK);
    let flags = [
        "-H",
        "Host: other.example",
        "-H",
        "Accept:",
        "-H",
        "X-Empty;",
        "-A",
        "me",
        "-u",
        "n:p",
        "-b",
        "c=1",
    ];
    assert_eq!(code(&foreword(&[&["get"], &flags[..], &[&server.url("/")]].concat())), 0);
    let heard = server.heard_text();
    for part in [
        "\r\nHost: other.example\r\n",
        "\r\nX-Empty: \r\n",
        "User-Agent: me\r\n",
        "Authorization: Basic bjpw\r\n",
        "Cookie: c=1\r\n",
    ] {
        assert!(heard.contains(part), "{part:?} in {heard}");
    }
    assert!(!heard.contains("Accept"), "{heard}");
}

#[test]
fn redirects_are_followed_with_the_method_that_the_status_asks_for() {
    let to = |status: &str, place: &str| -> &'static str {
        Box::leak(
            format!("HTTP/1.1 {status} X\r\nLocation: {place}\r\nContent-Length: 4\r\n\r\nmove")
                .into_boxed_str(),
        )
    };
    let answers = [to("307", "/a"), to("302", "b?c"), OK];
    let server = Raw::serve(vec![Box::new(move |mut stream| {
        let mut all = Vec::new();
        for answer in answers {
            let head = read_head(&mut stream);
            if head.windows(5).any(|part| part == b"POST ") {
                std::io::Read::read_exact(&mut stream, &mut [0; 3]).expect("the content");
            }
            all.extend(head);
            stream.write_all(answer.as_bytes()).expect("the answer");
        }
        all
    })]);
    let output = foreword(&[
        "get",
        "-L",
        "-d",
        "x=1",
        "-w",
        " %{num_redirects} %{url_effective}",
        &server.url("/start"),
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("yes 2 {}", server.url("/b?c")));
    let heard = server.heard_text();
    let lines: Vec<_> = heard.lines().filter(|line| line.ends_with(" HTTP/1.1")).collect();
    assert_eq!(lines, ["POST /start HTTP/1.1", "POST /a HTTP/1.1", "GET /b?c HTTP/1.1"]);
}

#[test]
fn a_method_that_was_named_stays_after_a_redirect_and_the_content_does_not() {
    let moved = "HTTP/1.1 303 See Other\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
    let server = Raw::serve(vec![Box::new(move |mut stream| {
        let mut all = Vec::new();
        for answer in [moved, OK] {
            all.extend(read_head(&mut stream));
            stream.write_all(answer.as_bytes()).expect("the answer");
        }
        all
    })]);
    let output = foreword(&["get", "-L", "-X", "DELETE", &server.url("/a")]);
    assert_eq!((code(&output), stdout(&output)), (0, "yes".into()), "{}", stderr(&output));
    let heard = server.heard_text();
    assert!(heard.contains("DELETE /a ") && heard.contains("DELETE /b "), "{heard}");
}

#[test]
fn a_redirect_to_nowhere_is_an_answer_and_one_to_another_scheme_is_told() {
    let to = |place: &str| -> &'static str {
        Box::leak(
            format!("HTTP/1.1 302 X\r\nLocation: {place}\r\nContent-Length: 4\r\n\r\nmove").into_boxed_str(),
        )
    };
    let server = Raw::answering(to(""));
    let output = foreword(&["get", "-L", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (0, "move".into()), "{}", stderr(&output));
    let server = Raw::answering(to("gopher://h/"));
    let output = foreword(&["get", "-L", "-s", "-w", "%{redirect_url}", &server.url("/")]);
    assert_eq!((code(&output), stdout(&output)), (1, "gopher://h/".into()));
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = Raw::answering(OK);
    let first = Box::leak(
        format!("HTTP/1.1 302 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url("/"))
            .into_boxed_str(),
    );
    let server = Raw::serve(vec![answer_with(first)]);
    let flags =
        ["get", "-L", "-u", "me:secret", "-H", "Authorization: Bearer x", "-b", "c=1", &server.url("/")];
    assert_eq!(code(&foreword(&flags)), 0);
    assert!(server.heard_text().contains("Authorization: "));
    let heard = other.heard_text();
    assert!(!heard.contains("Authorization") && !heard.contains("Cookie"), "{heard}");
}

#[test]
fn a_name_can_be_sent_elsewhere_and_stays_in_the_host_field() {
    let server = Raw::serve(vec![answer_with(OK), answer_with(OK)]);
    let port = server.address.port();
    let resolve = format!("www.example.com:{port}:127.0.0.1");
    assert_eq!(
        code(&foreword(&["get", "--resolve", &resolve, &format!("http://www.example.com:{port}/")])),
        0
    );
    assert!(server.heard_text().contains(&format!("\r\nHost: www.example.com:{port}\r\n")));
    let detour = format!("www.example.com:80:127.0.0.1:{port}");
    assert_eq!(code(&foreword(&["get", "--connect-to", &detour, "http://www.example.com/"])), 0);
    assert!(server.heard_text().contains("\r\nHost: www.example.com\r\n"));
}

#[test]
fn a_path_is_sent_as_it_is_when_asked() {
    let server = Raw::serve(vec![answer_with(OK), answer_with(OK)]);
    foreword(&["get", &server.url("/a/../b/./c")]);
    assert!(server.heard_text().contains("GET /b/c "));
    foreword(&["get", "--path-as-is", &server.url("/a/../b/./c%2e;x")]);
    assert!(server.heard_text().contains("GET /a/../b/./c%2e;x "));
}

#[test]
fn each_output_is_for_one_url() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("first");
    let server = Raw::serve(vec![
        answer_with("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none"),
        answer_with("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ntwo"),
    ]);
    let output = foreword(&["get", "-o", &file.display().to_string(), &server.url("/1"), &server.url("/2")]);
    assert_eq!((code(&output), stdout(&output)), (0, "two".into()));
    assert_eq!(std::fs::read_to_string(file).expect("a file"), "one");
}

#[test]
fn write_out_tells_a_machine_everything() {
    let server =
        Raw::answering("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nyes");
    let output = foreword(&[
        "get",
        "-s",
        "-o",
        "/dev/null",
        "--source",
        "203.0.113.7",
        "-w",
        "%{json}\\n",
        &server.url("/"),
    ]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!((told["http_code"].as_u64(), told["exitcode"].as_u64()), (Some(200), Some(0)));
    assert_eq!((told["remote_ip"].as_str(), told["size_download"].as_u64()), (Some("127.0.0.1"), Some(3)));
    assert_eq!(
        (told["content_type"].as_str(), told["http_version"].as_str()),
        (Some("text/plain"), Some("1.1"))
    );
    assert_eq!(told["remote_port"].as_u64(), Some(server.address.port().into()));
    assert!(
        told["proxy_header"]["says"][1].as_str().expect("words").starts_with("source 203.0.113.7:"),
        "{told}"
    );
    assert!(told["time_total"].as_f64().expect("seconds") >= told["time_connect"].as_f64().expect("seconds"));
}

#[test]
fn write_out_tells_of_failures_too() {
    let port = crate::peer::real::free_port();
    let output = foreword(&[
        "get",
        "-s",
        "-w",
        "%{exitcode} %{http_code} %{errormsg}",
        &format!("http://127.0.0.1:{port}/"),
    ]);
    assert!(stdout(&output).starts_with("7 000 could not connect to "), "{}", stdout(&output));
}

#[test]
fn a_connection_that_ended_meanwhile_is_opened_anew() {
    let server = Raw::serve(vec![answer_with(OK), answer_with(OK)]);
    let output = foreword(&["get", &server.url("/1"), &server.url("/2")]);
    assert_eq!((code(&output), stdout(&output)), (0, "yesyes".into()), "{}", stderr(&output));
}

#[test]
fn a_big_answer_streams_through() {
    const SIZE: usize = 8 << 20;
    let server = Raw::serve(vec![Box::new(|mut stream| {
        read_head(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").expect("the head");
        for _ in 0..SIZE / 65536 {
            stream.write_all(&[b'x'; 65536]).expect("content");
        }
        Vec::new()
    })]);
    let output = foreword(&["get", &server.url("/")]);
    assert_eq!((code(&output), output.stdout.len()), (0, SIZE));
}
