//! The same flags to curl and to `foreword get`, against the same answers: the same bytes, and the same exit code.

use std::process::{Command, Output, Stdio};

use crate::peer::{OK, Raw, answer_with, foreword};

/// Answers, and what is done with them. Each answer serves one connection.
const ANSWERS: [&str; 12] = [
    OK,
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
    "HTTP/1.1 204 No Content\r\nX: 1\r\nx: 2\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nmove",
    "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nyes",
    "no answer of HTTP\r\n\r\n",
    "",
];

const FLAGS: [&[&str]; 9] = [
    &[],
    &["-i"],
    &["-f"],
    &["--fail-with-body", "-i"],
    &["-d", "a=1", "--data-raw", "@b", "-X", "PUT"],
    &["-w", "%{http_code} %{response_code} %{http_version} %{num_connects} %{num_headers} %{size_header}\\n"],
    &[
        "-w",
        "%{content_type}|%{method}|%{scheme}|%{size_download}|%{exitcode}|%{redirect_url}|%{num_redirects}",
    ],
    &["-w", "%{header_json} %header{location} %{onerror}only when it fails: %{exitcode} %{urlnum}%%\\t\\q"],
    &["-w", "a%{stderr}b%{stdout}c"],
];

fn curl(arguments: &[&str]) -> Option<Output> {
    let mut curl = Command::new("curl");
    match curl.args(["-s", "--noproxy", "*"]).args(arguments).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "`curl` is not installed: {error}");
            None
        }
    }
}

/// What both made of it: exit code and standard output, with the server's port hidden.
fn told(output: &Output, server: &Raw) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), text.replace(&server.address.to_string(), "SERVER"))
}

fn same(answer: &'static str, flags: &[&str]) {
    let (theirs, ours) = (Raw::serve(vec![answer_with(answer)]), Raw::serve(vec![answer_with(answer)]));
    let Some(expected) = curl(&[flags, &[&theirs.url("/")]].concat()) else { return };
    let found = foreword(&[&["get", "--header", "none", "-s"], flags, &[&ours.url("/")]].concat());
    assert_eq!(told(&found, &ours), told(&expected, &theirs), "{flags:?} for {answer:?}");
    let content = |heard: Vec<u8>| {
        let text = String::from_utf8_lossy(&heard).into_owned();
        text.split("\r\n").next().unwrap_or_default().to_owned()
    };
    assert_eq!(content(ours.heard()), content(theirs.heard()), "{flags:?} for {answer:?}");
}

#[test]
fn every_answer_is_shown_and_counted_as_curl_shows_and_counts_it() {
    for answer in ANSWERS {
        for flags in FLAGS {
            same(answer, flags);
        }
    }
}

#[test]
fn a_head_alone_is_shown_as_curl_shows_it() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n"] {
        for flags in [&["-I"][..], &["-I", "-i"], &["-I", "-f"], &["-I", "-L", "-w", "%{method}"]] {
            same(answer, flags);
        }
    }
}

#[test]
fn what_cannot_be_asked_has_curls_exit_code() {
    let unbound = format!("http://127.0.0.1:{}/", crate::peer::real::free_port());
    let questions: [&[&str]; 6] = [
        &[&unbound],
        &["-m", "x", &unbound],
        &["http://127.0.0.1:99999/"],
        &["foo://127.0.0.1/"],
        &["--nonsense", &unbound],
        &["--resolve", "nonsense", &unbound],
    ];
    for question in questions {
        let Some(expected) = curl(question) else { return };
        let found = foreword(&[&["get", "--header", "none", "-s"], question].concat());
        assert_eq!(found.status.code(), expected.status.code(), "{question:?}");
    }
}
