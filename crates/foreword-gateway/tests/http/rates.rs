//! Rules that let nobody pass too often.

use std::path::Path;
use std::thread;

use foreword_gateway::config;

use crate::support::*;

/// One every hour for each value of `per`, and three at once; the rest is forwarded.
fn limited(endpoint: &Endpoint, more: &str) -> String {
    let rules = format!(
        "[[listener.web.rule]]\nname = \"slow\"\nwhen = 'path == \"/slow\"'\n\
         then = {{ rate_limit = {{ requests = 1, every = \"1h\", burst = 3{more} }}, forward = \"app\" }}\n\
         [[listener.web.rule]]\nthen = {{ forward = \"app\" }}\n"
    );
    file(&[endpoint.address], &rules, "")
}

fn slow(as_whom: &str) -> String {
    format!("GET /slow HTTP/1.1\r\nHost: a\r\nX-Whom: {as_whom}\r\n\r\n")
}

#[test]
fn whoever_comes_too_often_is_told_when_to_come_again_and_keeps_the_connection() {
    let endpoint = Endpoint::polite();
    let gateway = gateway(&limited(&endpoint, ""));
    let mut client = Wire::to(&gateway);
    let statuses: Vec<u16> = (0..5).map(|_| client.ask(&slow("a")).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let refused = client.ask(&slow("a"));
    let seconds: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    assert_eq!(client.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").status, 200, "another rule");
    assert_eq!(Wire::to(&gateway).ask(&slow("a")).status, 429, "another connection of the same client");
}

#[test]
fn each_value_of_the_key_is_counted_apart_and_whoever_has_none_is_not_limited() {
    let endpoint = Endpoint::polite();
    let gateway = gateway(&limited(&endpoint, ", per = 'field[\"x-whom\"]', status = 503"));
    let mut client = Wire::to(&gateway);
    for whom in ["a", "b"] {
        let statuses: Vec<u16> = (0..4).map(|_| client.ask(&slow(whom)).status).collect();
        assert_eq!(statuses, [200, 200, 200, 503]);
    }
    for _ in 0..5 {
        assert_eq!(client.ask("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
}

#[test]
fn all_workers_count_together() {
    let endpoint = Endpoint::polite();
    let gateway = gateway(&limited(&endpoint, "").replace("workers = 1", "workers = 3"));
    let asked = |_| {
        let gateway = &gateway;
        move || (0..5).filter(|_| Wire::to(gateway).ask(&slow("a")).status == 200).count()
    };
    let passed: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|asker| scope.spawn(asked(asker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 3);
}

#[test]
fn a_reload_forgives_nobody_unless_it_changes_the_limit() {
    let endpoint = Endpoint::polite();
    let file = limited(&endpoint, "");
    let gateway = gateway(&file);
    let mut client = Wire::to(&gateway);
    let used = (0..4).filter(|_| client.ask(&slow("a")).status == 200).count();
    assert_eq!(used, 3);
    let reload = |text: &str| {
        let configuration = config::parse(text, "test.toml", Path::new(".")).unwrap();
        gateway.reload(configuration.plan).unwrap();
    };
    reload(&file);
    assert_eq!(Wire::to(&gateway).ask(&slow("a")).status, 429);
    reload(&file.replace("burst = 3", "burst = 4"));
    assert_eq!(Wire::to(&gateway).ask(&slow("a")).status, 200);
}
