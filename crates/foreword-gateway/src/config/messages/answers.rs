//! What is told of answers of our own.

use super::{good, told};

fn listener(mode: &str, keys: &str, then: &str) -> String {
    format!(
        "[listener.w]\nbind = [\"127.0.0.1:1\"]\nmode = \"{mode}\"\n{keys}\n[[listener.w.rule]]\nthen = {{ {then} }}\n"
    )
}

#[test]
fn pages_and_files_are_checked_where_they_are_named() {
    let none = "`/nowhere/a.html`: expected a file, found none";
    for (keys, then, expected) in [
        ("", "respond = { file = \"a.html\" }", format!("6:29: listener `w`, rule `rule 1`: {none}")),
        (
            "",
            "respond = { body = \"a\", file = \"/dev/null\" }",
            "6:41: listener `w`, rule `rule 1`: expected either `body` or `file`, found both".to_owned(),
        ),
        (
            "error_pages = { 200 = \"/dev/null\" }",
            "deny = 403",
            "4:17: listener `w`: expected a status from 400 to 599, `4xx` or `5xx`, found `200`".to_owned(),
        ),
        ("error_pages = { 404 = \"a.html\" }", "deny = 403", format!("4:23: listener `w`: {none}")),
        (
            "error_pages = { 404 = \"/\" }",
            "deny = 403",
            "4:23: listener `w`: `/`: expected a file, found a directory".to_owned(),
        ),
        (
            "error_pages = {}",
            "deny = 403",
            "4:15: listener `w`: expected at least one page, found none".to_owned(),
        ),
        (
            "",
            "error_pages = { 404 = \"/dev/null\" }, respond = {}",
            "6:10: listener `w`, rule `rule 1`: `error_pages` has no effect: with `respond` no other page is shown"
                .to_owned(),
        ),
        (
            "",
            "respond = { file = \"/dev/zero\" }",
            "6:29: listener `w`, rule `rule 1`: `/dev/zero`: expected at most 16384 KiB, found more".to_owned(),
        ),
    ] {
        assert_eq!(told(&listener("http", keys, then)), [format!("foreword.toml:{expected}")], "{keys} {then}");
    }
    good(&listener("http", "error_pages = { 404 = \"/dev/null\", 5xx = \"/dev/null\" }", "deny = 403"));
}
