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

const HASH: &str = "$2y$04$XIj8CulQgI35INPsss/7E.bRHW2aiOQXXRJqlp1ECqTS7QfQ21FRi";

#[test]
fn users_are_checked_and_no_password_is_ever_told() {
    let place = |column: usize| format!("foreword.toml:6:{column}: listener `w`, rule `rule 1`: ");
    let makes =
        "expected a hash of bcrypt (`$2y$…`), Argon2 (`$argon2id$…`) or SHA-512 crypt (`$6$…`), found";
    let hint = "\nhint: `htpasswd -nBC 10 a` prints one";
    for (keys, expected) in [
        (
            "users = { a = \"hunter2\" }",
            format!("{}{makes} what may be the password itself{hint}", place(39)),
        ),
        ("users = { a = \"{SHA}xx\" }", format!("{}{makes} one of SHA-1{hint}", place(39))),
        ("users = {}", format!("{}expected at least one user, found none", place(33))),
        ("", format!("{}expected the key `users` or `file`, found none", place(23))),
        ("file = \"none\"", format!("{}`/nowhere/none`: expected a file, found none", place(32))),
        (
            "users = { \"a:b\" = \"x\" }",
            format!("{}expected a name without blanks and `:`, found `a:b`", place(35)),
        ),
        (
            &format!("realm = \"a\\\"b\", users = {{ a = \"{HASH}\" }}"),
            format!("{}expected visible text without quotation marks for `realm`, found `a\"b`", place(33)),
        ),
    ] {
        let text = listener("http", "", &format!("basic_auth = {{ {keys} }}, deny = 403"));
        assert_eq!(told(&text), [expected], "{keys}");
    }
    let text = listener("tcp", "", &format!("basic_auth = {{ users = {{ a = \"{HASH}\" }} }}, close = true"));
    assert_eq!(
        told(&text),
        [format!("{}`basic_auth` has no effect: a listener in tcp mode has no requests", place(10))]
    );
}

#[test]
fn a_test_of_the_file_gives_a_password_as_a_client_does() {
    let rule = format!("basic_auth = {{ users = {{ alice = \"{HASH}\" }} }}, respond = {{ body = \"in\" }}");
    // `alice:secret` and `alice:wrong`.
    let test = |field: &str, status: u16| {
        format!(
            "[[test]]\nrequest = {{ peer = \"127.0.0.1\", url = \"http://a/\", fields = {{ {field} }} }}\nexpect = {{ status = {status} }}\n"
        )
    };
    let tests = [
        test("", 401),
        test("Authorization = \"Basic YWxpY2U6c2VjcmV0\"", 200),
        test("Authorization = \"Basic YWxpY2U6d3Jvbmc=\"", 401),
    ];
    let configuration = good(&format!("{}{}", listener("http", "", &rule), tests.concat()));
    let failed: Vec<String> = configuration.run_tests().iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn what_is_made_smaller_is_checked() {
    let place = |column: usize| format!("foreword.toml:6:{column}: listener `w`, rule `rule 1`: ");
    for (then, expected) in [
        (
            "compress = { codings = [\"bz2\"] }, forward = \"c\"",
            format!("{}expected `zstd`, `br` or `gzip` for `codings`, found `bz2`", place(34)),
        ),
        (
            "compress = { codings = [] }, forward = \"c\"",
            format!("{}expected at least one coding for `codings`, found an empty list", place(33)),
        ),
        (
            "compress = { types = [\"html\"] }, forward = \"c\"",
            format!("{}expected a type such as `text/html`, `text/*` or `*+json`, found `html`", place(32)),
        ),
        (
            "compress = true, deny = 403",
            format!("{}`compress` has no effect: with `deny` there is nothing to make smaller", place(10)),
        ),
    ] {
        let cluster =
            if then.contains("forward") { "[cluster.c]\nendpoints = [\"127.0.0.1:2\"]\n" } else { "" };
        assert_eq!(told(&format!("{}{cluster}", listener("http", "", then))), [expected], "{then}");
    }
}
