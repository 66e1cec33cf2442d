//! What an operator is told of sticky clusters.

use std::fs;

use super::{good, told};
use crate::config::parse;

fn file(mode: &str, sticky: &str) -> String {
    format!(
        "[listener.a]\nbind = [\"127.0.0.1:1\"]\nmode = \"{mode}\"\ncluster = \"y\"\n\
         [cluster.y]\nendpoints = [\"127.0.0.1:2\"]\nsticky = {sticky}\n"
    )
}

#[test]
fn a_secret_is_asked_for_and_never_shown() {
    for (sticky, problem) in [
        (
            "{ cookie = \"fw\" }",
            "expected the key `secret`, found none\nhint: `openssl rand -hex 32` makes one",
        ),
        ("{ cookie = \"fw\", secret = \"hunter2\" }", "expected at least 16 bytes for `secret`, found fewer"),
        ("{ cookie = \"f w\", secret = \"0123456789abcdef\" }", "expected the name of a cookie, found `f w`"),
        ("{ secret = \"0123456789abcdef\" }", "cookie"),
        ("{ cookie = \"fw\", secret = { file = \"none.key\" } }", "none.key"),
        (
            "{ cookie = \"fw\", secret = \"0123456789abcdef\", same_site = \"Lax\" }",
            "expected `lax`, `strict` or `none`",
        ),
    ] {
        let told = told(&file("http", sticky)).join("\n");
        assert!(told.contains(problem) && !told.contains("hunter2"), "{problem}\n{told}");
    }
}

#[test]
fn a_secret_may_be_in_a_file_and_blanks_around_it_do_not_count() {
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("sticky.key"), "0123456789abcdef\n").unwrap();
    let of = |secret: &str| {
        let text = file("http", &format!("{{ cookie = \"fw\", secret = {secret} }}"));
        parse(&text, "foreword.toml", folder.path()).unwrap().plan.clusters[0].sticky.clone()
    };
    assert_eq!(of("{ file = \"sticky.key\" }"), of("\"0123456789abcdef\""));
    assert!(of("\"0123456789abcdef\"").is_some());
}

#[test]
fn in_tcp_mode_there_are_no_cookies() {
    let warnings = good(&file("tcp", "{ cookie = \"fw\", secret = \"0123456789abcdef\" }")).plan.warnings;
    assert_eq!(
        warnings,
        [
            "foreword.toml:4:11: listener `a`: `sticky` of cluster `y` has no effect here: a listener in tcp mode has no requests"
        ]
    );
}
