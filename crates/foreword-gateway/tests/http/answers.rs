//! Answers of our own: files of the operator's, and the pages that refusals show.

use std::fs;
use std::path::Path;

use foreword_gateway::{Gateway, config};
use tempfile::TempDir;

use crate::http2::{CLEAR, ask, get, tell, text};
use crate::nobody::nobody;
use crate::support::*;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// A gateway whose file lies in `folder`.
fn gateway_in(folder: &TempDir, text: &str) -> Gateway {
    Gateway::start(read(folder, text).plan).unwrap()
}

fn read(folder: &TempDir, text: &str) -> config::Configuration {
    config::parse(text, "test.toml", folder.path()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn responding(keys: &str) -> String {
    format!("rule = [{{ then = {{ respond = {{ {keys} }} }} }}]")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_file_is_answered_whole_with_its_type_and_a_tag_that_saves_asking_again() {
    let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    let folder = folder(&[("a.html", b"<p>hello</p>\n"), ("b.bin", &long)]);
    let rules = "rule = [{ when = 'path == \"/b\"', then = { respond = { file = \"b.bin\" } } }, \
                 { then = { respond = { file = \"a.html\" } } }]";
    let gateway = gateway_in(&folder, &file(&[nobody()], rules, ""));
    let mut client = Wire::to(&gateway);
    let answer = client.ask(GET);
    assert_eq!((answer.status, answer.text().as_str()), (200, "<p>hello</p>\n"));
    assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    let etag = answer.field("ETag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");

    let head = client.ask(&GET.replace("GET", "HEAD"));
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("13")));
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let asked = format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {known}\r\n\r\n");
        let answer = client.ask(&asked);
        assert_eq!((answer.status, answer.field("ETag")), (304, Some(&*etag)), "{known}");
        assert_eq!(client.ask(&asked.replace("GET", "POST")).status, 200, "{known}");
    }
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/\"y\"\r\n\r\n";
    assert_eq!(client.ask(asked).status, 200);
    let answer = client.ask("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.body == long, "{} bytes", answer.body.len());
    assert_eq!(answer.field("Content-Type"), Some("application/octet-stream"));
}

#[test]
fn a_file_is_answered_over_http_2_however_long_it_is() {
    let long = "0123456789".repeat(50_000);
    let folder = folder(&[("a.txt", long.as_bytes())]);
    let keys = format!("{CLEAR}\n{}", responding("file = \"a.txt\", status = 203"));
    let gateway = gateway_in(&folder, &file(&[nobody()], &keys, ""));
    tell(&gateway, |mut client| async move {
        let answer = ask(&mut client, get("/"), b"").await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("etag")), (203, false));
        assert!(text(answer).await == long);
    });
}

#[test]
fn a_reload_reads_files_again() {
    let folder = folder(&[("a.txt", b"old")]);
    let text = file(&[nobody()], &responding("file = \"a.txt\""), "");
    let gateway = gateway_in(&folder, &text);
    let before = Wire::to(&gateway).ask(GET);
    fs::write(folder.path().join("a.txt"), "new").unwrap();
    gateway.reload(read(&folder, &text).plan).unwrap();
    let after = Wire::to(&gateway).ask(GET);
    assert_eq!((before.text().as_str(), after.text().as_str()), ("old", "new"));
    assert_ne!(before.field("ETag"), after.field("ETag"));
}

const PAGES: &str = "error_pages = { 404 = \"404.html\", 5xx = \"sorry.json\", 4xx = \"4xx.html\" }";

fn pages() -> TempDir {
    folder(&[
        ("404.html", b"<h1>{status}</h1> <i>{request.id}</i>"),
        ("sorry.json", b"{\"sorry\": {status}}"),
        ("4xx.html", b"no"),
        ("own.html", b"own"),
    ])
}

#[test]
fn refusals_show_the_pages_of_the_operator() {
    let rules = "[[listener.web.rule]]\nwhen = 'path == \"/deny\"'\nthen = { deny = 403 }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/own\"'\nthen = { error_pages = { 403 = \"own.html\" }, deny = 403 }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/say\"'\nthen = { respond = { status = 404, body = \"said\" } }\n\
                 [[listener.web.rule]]\nwhen = 'path == \"/app\"'\nthen = { forward = \"app\" }\n";
    let folder = pages();
    let gateway = gateway_in(&folder, &file(&[nobody()], &format!("{PAGES}\n{rules}"), ""));
    let ask = |path: &str| Wire::to(&gateway).ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = ask("/none");
    let page = answer.text();
    let id = page.strip_prefix("<h1>404</h1> <i>").and_then(|rest| rest.strip_suffix("</i>"));
    assert!(id.is_some_and(|id| id.len() > 8), "{page}");
    assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    for (path, status, body) in [
        ("/deny", 403, "no"),
        ("/own", 403, "own"),
        ("/say", 404, "said"),
        ("/app", 502, "{\"sorry\": 502}"),
        ("/%zz", 400, "no"),
    ] {
        let answer = ask(path);
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{path}");
    }
    assert_eq!(ask("/app").field("Content-Type"), Some("application/json"));
    let head = Wire::to(&gateway).ask("HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.field("Content-Length")), (502, Some("14")));
    let unread = Wire::to(&gateway).ask("GET / HTTP/1.1\r\n\r\n");
    assert_eq!((unread.status, unread.text().as_str()), (400, "no"));
}

#[test]
fn an_endpoints_own_errors_pass_as_they_are() {
    let endpoint = Endpoint::once("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nits");
    let folder = pages();
    let keys = format!("{PAGES}\ncluster = \"app\"");
    let gateway = gateway_in(&folder, &file(&[endpoint.address], &keys, ""));
    let answer = Wire::to(&gateway).ask(GET);
    assert_eq!((answer.status, answer.text().as_str()), (404, "its"));
}

#[test]
fn pages_are_shown_over_http_2_and_hold_no_markup_of_a_strangers() {
    let folder = pages();
    let keys = format!(
        "{CLEAR}\ntrust = [\"front\"]\n{PAGES}\nrule = [{{ when = 'path == \"/app\"', then = {{ forward = \"app\" }} }}]"
    );
    let trust = "[trust.front]\nfrom = [\"127.0.0.1\"]\nheader = \"forbid\"\nforwarded = true\n";
    let gateway = gateway_in(&folder, &format!("{}{trust}", file(&[nobody()], &keys, "")));
    tell(&gateway, |mut client| async move {
        let mut request = get("/none");
        request.headers_mut().insert("x-request-id", "a<script>b".parse().unwrap());
        let answer = ask(&mut client, request, b"").await.unwrap();
        assert_eq!(answer.status(), 404);
        let page = text(answer).await;
        assert!(page.starts_with("<h1>404</h1> <i>") && !page.contains("<script"), "{page}");
        let answer = ask(&mut client, get("/app"), b"").await.unwrap();
        assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (502, "{\"sorry\": 502}"));
    });
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_place() {
    let text = file(&[nobody()], &responding("file = \"none.html\""), "");
    let problems = config::parse(&text, "test.toml", Path::new("/nowhere")).unwrap_err().to_string();
    assert!(problems.starts_with("test.toml:5:"), "{problems}");
    assert!(problems.contains("`/nowhere/none.html`: expected a file, found none"), "{problems}");
}
