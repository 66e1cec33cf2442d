//! What an operator is told of limits.

use super::{good, told};
use crate::policy::rules::Change;

fn file(mode: &str, listener: &str, then: &str) -> String {
    format!(
        "[listener.a]\nbind = [\"127.0.0.1:1\"]\nmode = \"{mode}\"\n{listener}\n\
         [[listener.a.rule]]\nthen = {{ {then}, forward = \"y\" }}\n\
         [cluster.y]\nendpoints = [\"127.0.0.1:2\"]\n"
    )
}

#[test]
fn limits_may_stand_in_rules_and_on_listeners_of_every_mode() {
    for mode in ["http", "tcp", "udp", "tls-passthrough"] {
        let listener = "rate_limit = { connections = 5, every = \"2s\", burst = 9, keys = 10 }\nlimit_connections = { max = 3 }";
        let then = "rate_limit = { requests = 5 }, limit_connections = { max = 3, per = \"client.ip\" }";
        let plan = good(&file(mode, listener, then)).plan;
        let listener = plan.listener("a").unwrap();
        assert_eq!(listener.bounds.len(), 2);
        assert_eq!(listener.rules.iter().map(|rule| rule.limits.len()).collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn what_is_wrong_with_a_limit_is_told_with_its_place() {
    for (mode, listener, then, problem) in [
        ("http", "", "limit_connections = { per = \"host\" }", "expected the key `max`, found none"),
        (
            "http",
            "",
            "limit_connections = { max = 0 }",
            "expected a number from 1 to 1000000000 for `max`, found `0`",
        ),
        (
            "tcp",
            "",
            "limit_connections = { max = 1, status = 503 }",
            "`status` has no effect: only a listener in http mode has answers",
        ),
        (
            "udp",
            "",
            "rate_limit = { requests = 1, status = 503 }",
            "`status` has no effect: only a listener in http mode has answers",
        ),
        (
            "tcp",
            "",
            "limit_connections = { max = 1, per = \"host\" }",
            "expected a variable that has a value here, found `host`: a listener in tcp mode reads no requests",
        ),
        (
            "http",
            "limit_connections = { max = 1, per = \"{host}\" }",
            "close = false",
            "expected a value that is known before TLS and the first request, found `host`",
        ),
        (
            "http",
            "rate_limit = { requests = 1 }",
            "set_fields = { A = \"b\" }",
            "expected one of the keys `connections`, `every`, `burst`, `per` and `keys`, found `requests`",
        ),
    ] {
        let told = told(&file(mode, listener, then));
        assert!(told.iter().any(|told| told.contains(problem)), "{problem}\n{told:?}");
    }
}

#[test]
fn rules_may_say_how_somebody_is_served_where_it_has_an_effect() {
    for (mode, then) in [
        ("http", "max_body = \"1MiB\", timeout = { idle = \"5m\", response = \"5m\" }, log = \"1/100\""),
        ("http", "max_body = 0, log = { sample = \"1/2\", errors = false }"),
        ("tcp", "timeout = { idle = \"5m\", total = \"2h\" }, log = false"),
        ("tls-passthrough", "timeout = { total = \"2h\" }, log = true"),
        ("udp", "timeout = { idle = \"5m\" }, log = {}"),
    ] {
        let plan = good(&file(mode, "", then)).plan;
        let rule = plan.listener("a").unwrap().rules.iter().next().unwrap();
        assert!(matches!(rule.changes[..], [Change::Terms(_)]), "{then}");
    }
    good(
        "[listener.a]\nbind = [\"127.0.0.1:1\"]\nmode = \"http\"\nmax = { body = \"10MiB\" }\ncluster = \"y\"\n[cluster.y]\nendpoints = [\"127.0.0.1:2\"]\n",
    );
}

#[test]
fn terms_without_effect_or_sense_are_problems() {
    let (no_tcp, no_udp) =
        ("a listener in tcp mode has no requests", "a listener in udp mode has flows, not connections");
    for (mode, then, problem) in [
        ("tcp", "max_body = 1", format!("`max_body` has no effect: {no_tcp}")),
        ("tcp", "timeout = { response = \"1s\" }", format!("`response` has no effect: {no_tcp}")),
        ("udp", "timeout = { total = \"1s\" }", format!("`total` has no effect: {no_udp}")),
        (
            "http",
            "timeout = { total = \"1s\" }",
            "`total` has no effect: in http mode `idle` and `response` bound each request".into(),
        ),
        ("http", "timeout = {}", "expected at least one time, found none, which has no effect".into()),
        ("http", "log = \"1%\"", "expected a share such as `\"1/100\"` for `log`, found `1%`".into()),
        ("http", "log = \"1/0\"", "expected a share such as `\"1/100\"` for `log`, found `1/0`".into()),
        (
            "http",
            "log = 3",
            "expected `true`, `false`, a share such as `\"1/100\"`, or a table for `log`, found `3`".into(),
        ),
        ("http", "log = { errors = 1 }", "expected `true` or `false` for `errors`, found `1`".into()),
        ("http", "max_body = \"1 MB\"", "expected a size such as `4096` or `\"16KiB\"` for `max_body`, found `1 MB`\nhint: did you mean `1MiB`?".into()),
    ] {
        let told = told(&file(mode, "", then));
        assert!(told.iter().any(|told| told.contains(&problem)), "{problem}\n{told:?}");
    }
}
