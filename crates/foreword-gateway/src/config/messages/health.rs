//! What an operator is told of checks and ejection.

use foreword::Version;

use super::{good, told};
use crate::plan::{Check, CheckHeader, HealthCheck};

fn file(send_header: &str, table: &str) -> String {
    format!(
        "[listener.a]\nbind = [\"127.0.0.1:1\"]\nmode = \"tcp\"\ncluster = \"y\"\n\
         [cluster.y]\nendpoints = [\"127.0.0.1:2\"]\nsend_header = \"{send_header}\"\n{table}"
    )
}

fn check(send_header: &str, keys: &str) -> HealthCheck {
    let plan = good(&file(send_header, &format!("[cluster.y.health]\n{keys}"))).plan;
    HealthCheck::clone(plan.clusters[0].health.as_ref().unwrap())
}

#[test]
fn a_check_says_the_header_that_its_cluster_sends_unless_it_says_otherwise() {
    for (send_header, keys, header) in [
        ("none", "", CheckHeader::None),
        ("v2", "", CheckHeader::Local(Version::Two)),
        // Most servers take a v1 line with addresses, and many refuse `UNKNOWN`.
        ("v1", "", CheckHeader::Proxy(Version::One)),
        ("v2", "port = 8080", CheckHeader::None),
        ("v2", "header = \"none\"", CheckHeader::None),
        ("none", "header = \"local-noop\"", CheckHeader::LocalNoop),
        ("v1", "header = \"local-addresses\"", CheckHeader::LocalAddresses),
        ("v1", "header = \"proxy\"\nheader_version = \"v2\"", CheckHeader::Proxy(Version::Two)),
        ("none", "header = \"local\"\nheader_version = \"v1\"", CheckHeader::Local(Version::One)),
    ] {
        assert_eq!(
            check(send_header, &format!("check = \"tcp\"\n{keys}")).header,
            header,
            "{send_header} {keys}"
        );
    }
}

#[test]
fn the_name_in_tls_has_neither_port_nor_brackets() {
    for (host, name) in
        [("App.test:8443", "app.test"), ("[2001:db8::1]:443", "2001:db8::1"), ("192.0.2.1", "192.0.2.1")]
    {
        let check = check("none", &format!("check = \"tls\"\nhost = \"{host}\"")).check;
        assert_eq!(check, Check::Tls { name: Some(name.to_owned().try_into().unwrap()) }, "{host}");
    }
}

#[test]
fn bytes_are_text_or_hexadecimal() {
    let check = check("none", "check = \"send-expect\"\nsend = \"PING\\r\\n\"\nexpect = \"hex:2b 50\"").check;
    assert_eq!(
        check,
        Check::SendExpect { send: b"PING\r\n".as_slice().into(), expect: b"+P".as_slice().into() }
    );
}

#[test]
fn what_has_no_effect_or_no_meaning_is_told() {
    for (table, expected) in [
        ("[cluster.y.health]\n", "foreword.toml:8:1: cluster `y`: expected the key `check`, found none"),
        (
            "[cluster.y.health]\ncheck = \"htpp\"",
            "foreword.toml:9:9: cluster `y`: expected `tcp`, `tls`, `http`, `https` or `send-expect` for `check`, found `htpp`\nhint: did you mean `http`?",
        ),
        (
            "[cluster.y.health]\ncheck = \"tcp\"\npath = \"/\"",
            "foreword.toml:10:1: cluster `y`: `path` has no effect with `check = \"tcp\"`\nhint: it belongs to `http`, `https`",
        ),
        (
            "[cluster.y.health]\ncheck = \"http\"\npath = \"health\"",
            "foreword.toml:10:8: cluster `y`: expected a path for `path`, found `health`\nhint: it begins with a slash: `/health`",
        ),
        (
            "[cluster.y.health]\ncheck = \"http\"\nstatus = [\"399-200\"]",
            "foreword.toml:10:11: cluster `y`: expected a status such as `200`, or a range such as `\"200-399\"` for `status`, found `399-200`",
        ),
        (
            "[cluster.y.health]\ncheck = \"http\"\nbody_matches = \"(\"",
            "foreword.toml:10:16: cluster `y`: expected a pattern, found one that cannot be read: unclosed group",
        ),
        (
            "[cluster.y.health]\ncheck = \"send-expect\"",
            "foreword.toml:8:1: cluster `y`: expected the key `expect`, found none",
        ),
        (
            "[cluster.y.health]\ncheck = \"send-expect\"\nexpect = \"hex:0\"",
            "foreword.toml:10:10: cluster `y`: expected two hex digits for each byte, found an odd number of them",
        ),
        (
            "[cluster.y.health]\ncheck = \"https\"\nhost = \"a~b\"",
            "foreword.toml:10:8: cluster `y`: expected a name such as `app.example.com` for `host`, found `a~b`",
        ),
        (
            "[cluster.y.health]\ncheck = \"tcp\"\nheader_version = \"v1\"",
            "foreword.toml:10:18: cluster `y`: `header_version` has no effect: the check sends no header",
        ),
        (
            "[cluster.y.health]\ncheck = \"tcp\"\ninterval = \"1ms\"",
            "foreword.toml:10:12: cluster `y`: expected an interval of at least `10ms`, found a shorter one",
        ),
        (
            "[cluster.y.ejection]\ntime = \"1m\"\nmax_time = \"1s\"",
            "foreword.toml:10:12: cluster `y`: expected `max_time` to be no shorter than `time`, found a shorter one",
        ),
        (
            "when_all_down = \"fail-open\"",
            "foreword.toml:8:17: cluster `y`: expected `try-all` or `refuse` for `when_all_down`, found `fail-open`",
        ),
    ] {
        assert_eq!(told(&file("none", table)), [expected], "{table}");
    }
}

#[test]
fn statuses_are_numbers_or_texts() {
    let Check::Http(check) = check("none", "check = \"http\"\nstatus = [200, \"301-302\"]").check else {
        panic!("a check over HTTP")
    };
    assert_eq!(check.status.0, [200..=200, 301..=302]);
}
