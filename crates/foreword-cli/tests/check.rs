//! `foreword check`, `foreword run --check` and `foreword why`, as they are called.

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

const GOOD: &str = r#"
[trust.balancer]
from = ["10.0.0.0/8"]

[listener.web]
bind = ["127.0.0.1:8081"]
mode = "http"
trust = ["balancer"]

[[listener.web.rule]]
name = "no admin"
when = 'path.under("/admin")'
then = { deny = 403 }

[[listener.web.rule]]
name = "all"
then = { forward = "app" }

[cluster.app]
endpoints = ["127.0.0.1:8080"]

[[test]]
request = { peer = "10.0.0.1", client = "203.0.113.7", url = "http://localhost/admin" }
expect = { status = 403 }
"#;

fn folder_with(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("foreword.toml"), text).expect("written");
    folder
}

fn foreword(folder: &Path, args: &[&str]) -> Output {
    assert_cmd::Command::cargo_bin("foreword")
        .expect("it is built")
        .current_dir(folder)
        .args(args)
        .output()
        .expect("it runs")
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

#[test]
fn a_good_file_passes_with_its_tests() {
    let folder = folder_with(GOOD);
    for args in [
        &["check", "-c", "foreword.toml"][..],
        &["check", "foreword.toml"],
        &["run", "-t", "-c", "foreword.toml"],
        &["run", "-t", "foreword.toml"],
    ] {
        let output = foreword(folder.path(), args);
        assert_eq!(stdout(&output), "foreword.toml: good: 1 listener, 1 cluster; 1 test passed\n");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn every_problem_is_told_and_the_answer_is_no() {
    let folder =
        folder_with(&GOOD.replace("forward = \"app\"", "forward = \"apo\"").replace("\"http\"", "\"htp\""));
    let output = foreword(folder.path(), &["check", "-c", "foreword.toml"]);
    assert_eq!(
        stdout(&output),
        "foreword.toml:7:8: listener `web`: expected `http`, `tcp`, `tls-passthrough` or `udp` for `mode`, found `htp`\n\
         hint: did you mean `http`?\n\
         foreword.toml:17:20: listener `web`, rule `all`: expected one of the clusters `app`, found `apo`\n\
         hint: did you mean `app`?\n\
         foreword.toml: 2 problems [FW603]\n"
    );
    assert_eq!(output.status.code(), Some(1));

    let output = foreword(folder.path(), &["check", "--json", "-c", "foreword.toml"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["problems"][1]["line"], 17);
    assert_eq!(told["problems"][1]["hint"], "did you mean `app`?");
    assert_eq!(told["good"], false);
}

#[test]
fn a_test_that_fails_is_told_with_what_was_instead() {
    let folder = folder_with(&GOOD.replace("status = 403 }", "rule = \"all\" }"));
    let output = foreword(folder.path(), &["check", "-c", "foreword.toml"]);
    assert_eq!(
        stdout(&output),
        "foreword.toml:24:19: test `test 1`: expected rule `all`, found `no admin`\n\
         hint: it was answered with 403, by rule `no admin`\n\
         foreword.toml: 1 expectation of 1 test not met\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_schema_is_printed_without_a_file() {
    let folder = folder_with("");
    let output = foreword(folder.path(), &["check", "--print-schema"]);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/foreword.schema.json");
    assert_eq!(stdout(&output), fs::read_to_string(page).expect("it is in the repository"));
    assert_eq!(output.status.code(), Some(0));
    let output = foreword(folder.path(), &["check", "--print-schema", "--json"]);
    assert_eq!(output.status.code(), Some(2), "one answer at a time");
}

#[test]
fn a_file_that_is_not_there_cannot_be_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = foreword(folder.path(), &["check", "-c", "gone.toml"]);
    assert_eq!(stdout(&output), "gone.toml: expected a file, found none\ngone.toml: 1 problem [FW601]\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_include_beside_a_file_that_is_named_without_a_folder_is_read() {
    let folder = folder_with("include = [\"*.toml\"]");
    fs::write(folder.path().join("web.toml"), GOOD).expect("written");
    let output = foreword(folder.path(), &["check", "-c", "foreword.toml"]);
    assert_eq!(stdout(&output), "foreword.toml: good: 1 listener, 1 cluster; 1 test passed\n");
}

#[test]
fn a_file_where_why_expects_a_url_is_told_its_flag() {
    let folder = folder_with(GOOD);
    let output = foreword(folder.path(), &["why", "--peer", "10.0.0.1", "foreword.toml"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the file is named with its flag: `-c foreword.toml`"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn why_among_several_listeners_names_the_flag_that_says_which() {
    let folder = folder_with(
        &(GOOD.to_owned() + "[listener.b]\nbind = [\"[::1]:9\"]\nmode = \"tcp\"\ncluster = \"app\"\n"),
    );
    let output = foreword(folder.path(), &["why", "-c", "foreword.toml", "--peer", "10.0.0.1"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("found none named\nhint: say which one: `--listener "), "{told}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_is_given_for_a_verb_in_either_order() {
    let folder = folder_with("");
    for args in [&["help", "run"][..], &["run", "--help"]] {
        let output = foreword(folder.path(), args);
        assert!(stdout(&output).contains("Exit codes: 0 it was told to end"), "{}", stdout(&output));
    }
}

#[test]
fn why_tells_one_decision() {
    let folder = folder_with(GOOD);
    let ask = ["why", "-c", "foreword.toml", "--peer", "10.0.0.1:5", "--client", "203.0.113.7:6"];
    let output = foreword(folder.path(), &[&ask[..], &["http://localhost/x"]].concat());
    assert_eq!(
        stdout(&output),
        "listener  web (http)\n\
         peer      10.0.0.1:5: in trust `balancer` by 10.0.0.0/8 (header = \"require\")\n\
         client    203.0.113.7:6: named by the peer's v2 header\n\
         path      /x: rules see /x, forwarded is /x\n\
         rules\n\
         \x20 `no admin` does not hold\n\
         \x20   no   path.under(\"/admin\")   (it is \"/x\")\n\
         \x20 `all` holds, and ends it\n\
         \x20   it has no condition\n\
         outcome   forwarded to cluster `app`, by rule `all`\n"
    );
    let output =
        foreword(folder.path(), &["why", "-c", "foreword.toml", "--peer", "192.0.2.1", "http://localhost/"]);
    assert!(stdout(&output).ends_with("closed unread [FW201]\n"), "{}", stdout(&output));
}
