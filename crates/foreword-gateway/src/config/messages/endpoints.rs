//! What is told of endpoints, and of how they are chosen.

use super::{AROUND, good, told_of};
use crate::plan::{Balance, OwnZone};

#[test]
fn an_endpoint_is_a_text_or_a_table() {
    for (endpoint, expected) in [
        ("3", "2:14: cluster `y`: expected a text or a table for `endpoints`, found `3`"),
        ("{ weight = 2 }", "2:14: cluster `y`: expected the key `address`, found none"),
        (
            "{ address = \"10.0.0.1:80\", weight = 0 }",
            "2:50: cluster `y`: expected a number from 1 to 1000 for `weight`, found `0`",
        ),
        (
            "{ address = \"10.0.0.1\" }",
            "2:26: cluster `y`: expected an endpoint such as `10.0.1.10:443`, `app.internal:8080`, `srv:_http._tcp.app.internal` or `unix:/path`, found `10.0.0.1`\nhint: add the port: `10.0.0.1:443`",
        ),
        (
            "{ address = \"10.0.0.1:80\", wieght = 2 }",
            "2:41: cluster `y`: expected one of the keys `address`, `weight`, `backup`, `zone`, `max_connections` and `drain`, found `wieght`\nhint: did you mean `weight`?",
        ),
        (
            "\"10.0.0.1:80\", { address = \"10.0.0.1:80\" }",
            "2:41: cluster `y`: expected each endpoint once, found `10.0.0.1:80` again",
        ),
        (
            "{ address = \"10.0.0.1:80\", backup = true }",
            "2:13: cluster `y`: expected at least one endpoint that is no backup, found none\nhint: backups are for when no other endpoint is usable",
        ),
    ] {
        let told = told_of(&format!("[cluster.y]\nendpoints = [{endpoint}]"));
        assert_eq!(told, [format!("foreword.toml:{expected}")], "{endpoint}");
    }
}

#[test]
fn a_way_to_balance_is_a_word_or_a_hash() {
    for (balance, expected) in [
        (
            "\"round_robin\"",
            "3:11: cluster `y`: expected `round-robin`, `least-connections`, `random-of-two` or `first` for `balance`, found `round_robin`\nhint: did you mean `round-robin`?",
        ),
        ("{}", "3:11: cluster `y`: expected the key `hash`, found none"),
        (
            "{ hash = \"clint.ip\" }",
            "3:21: cluster `y`: expected a variable, found `clint.ip`; did you mean `client.ip`?",
        ),
    ] {
        let told = told_of(&format!("[cluster.y]\nendpoints = [\"10.0.0.1:80\"]\nbalance = {balance}"));
        assert_eq!(told, [format!("foreword.toml:{expected}")], "{balance}");
    }
    let queue = told_of("[cluster.y]\nendpoints = [\"10.0.0.1:80\"]\nmax = { queue = 3 }");
    let expected = "foreword.toml:3:17: cluster `y`: `queue` has no effect: nothing limits connections to this cluster\nhint: add `connections` beside it, or `max_connections` to endpoints";
    assert_eq!(queue, [expected]);
}

#[test]
fn what_is_never_hashed_and_zones_that_nobody_is_in_are_warned_of() {
    let text = "[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"tcp\"\ncluster = \"a\"\n[cluster.a]\n\
                endpoints = [{ address = \"10.0.0.1:80\", zone = \"a\" }]\nbalance = { hash = \"path\" }";
    assert_eq!(
        good(&format!("{text}\n{AROUND}")).plan.warnings,
        [
            "foreword.toml:4:11: listener `a`: cluster `a` hashes `path`, which has no value here: a listener in tcp mode reads no requests",
            "foreword.toml:6:48: cluster `a`: `zone` has no effect: nothing says in which zone this gateway is\nhint: add `zone = \"…\"` to the top of the file, or to the cluster",
        ]
    );
}

#[test]
fn a_cluster_is_in_the_zone_of_the_gateway_unless_it_says_otherwise() {
    let text = "zone = \"a\"\n[cluster.own]\nendpoints = [\"10.0.0.1:80\"]\nzone = { name = \"b\", needs = 70 }\nbalance = \"first\"";
    let plan = good(&format!("{text}\n{AROUND}")).plan;
    let own = plan.cluster("own").unwrap();
    assert_eq!(own.zone, Some(OwnZone { name: "b".into(), needs: 70 }));
    assert_eq!(own.balance, Balance::First);
    assert_eq!(plan.cluster("z").unwrap().zone, Some(OwnZone { name: "a".into(), needs: 1 }));
}
