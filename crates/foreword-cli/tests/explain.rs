//! `foreword explain`, as a real program.

use assert_cmd::Command;

fn explain(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("foreword").unwrap().arg("explain").args(args).assert()
}

fn printed(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_code_is_explained_however_it_is_written() {
    let whole = explain(&["FW101"]).success().get_output().stdout.clone();
    assert!(printed(&whole).starts_with("FW101: a bare TLS ClientHello where a PROXY header is expected\n"));
    for spelling in ["fw101", "101"] {
        assert_eq!(explain(&[spelling]).success().get_output().stdout, whole);
    }
}

#[test]
fn without_a_code_all_are_listed() {
    let list = printed(&explain(&[]).success().get_output().stdout);
    assert!(list.lines().count() > 50);
    assert!(list.lines().all(|line| line.starts_with("FW")));
}

#[test]
fn an_unknown_code_is_a_question_that_cannot_be_asked() {
    let output = explain(&["FW118"]).code(2).get_output().clone();
    assert!(output.stdout.is_empty());
    let said = printed(&output.stderr);
    assert!(said.contains("expected a code such as FW101, found `FW118`"), "{said}");
    assert!(said.contains("hint: did you mean FW116"), "{said}");
}

#[test]
fn programs_are_answered_in_json() {
    let output = explain(&["FW104", "--json"]).success().get_output().stdout.clone();
    let page: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(page["code"], "FW104");
    assert!(page["requirement"].is_null() && page["remedy"].is_string());
}
