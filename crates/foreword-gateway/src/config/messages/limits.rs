//! What an operator is told of limits.

use super::{good, told};

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
        ("http", "rate_limit = { requests = 1 }", "set_fields = { A = \"b\" }", "unknown key `requests`"),
    ] {
        let told = told(&file(mode, listener, then));
        assert!(told.iter().any(|told| told.contains(problem)), "{problem}\n{told:?}");
    }
}
