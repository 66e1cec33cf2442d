//! What an operator is told, word for word.

mod answers;
mod endpoints;
mod files;
mod health;
mod limits;
mod sticky;

use std::path::Path;

use super::{Configuration, parse};

fn told(text: &str) -> Vec<String> {
    let problems = parse(text, "foreword.toml", Path::new("/nowhere")).expect_err("something is wrong");
    problems.iter().map(ToString::to_string).collect()
}

fn good(text: &str) -> Configuration {
    super::schema::tests::assert_fits(text);
    parse(text, "foreword.toml", Path::new("/nowhere")).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A file that is good with `more` in it is wrong for that reason only.
fn told_of(more: &str) -> Vec<String> {
    told(&format!("{more}\n{AROUND}"))
}

const AROUND: &str = r#"
[listener.z]
bind = ["127.0.0.1:1"]
mode = "tcp"
cluster = "z"
[cluster.z]
endpoints = ["127.0.0.1:2"]
"#;

#[test]
fn everything_is_told_at_once_and_in_order() {
    let text = r#"
workerz = 4
drain = 30

[trust.elb]
from = ["10.0.0.1/16", "balancer"]
header = "required"

[listener.web]
bind = ["localhost:80", "*:81"]
mode = "htpp"
trust = ["elb", "lb"]

[[listener.web.rule]]
when = 'path.under("/admin") && !(client.ip in @offce)'
then = { forward = "apo" }

[cluster.api]
endpoints = ["10.0.0.1"]

[cluster.static]
endpoints = ["10.0.0.2:80"]
"#;
    assert_eq!(
        told(text),
        [
            "foreword.toml:2:1: expected one of the keys `workers`, `name_servers`, `drain`, `max_memory`, `include`, `watch`, `request_id`, `zone`, `trust`, `list`, \
             `listener`, `cluster`, `log`, `acme`, `admin` and `test`, found `workerz`\nhint: did you mean `workers`?",
            "foreword.toml:3:9: expected a duration such as `\"3s\"` for `drain`, found `30`\nhint: add the unit: `\"30s\"`",
            "foreword.toml:6:9: trust `elb`: expected the first address of a range, found `10.0.0.1/16`; its range is `10.0.0.0/16`",
            "foreword.toml:6:24: trust `elb`: expected an address or CIDR such as `10.0.0.0/8`, found `balancer`",
            "foreword.toml:7:10: trust `elb`: expected `require`, `optional` or `forbid` for `header`, found `required`\nhint: did you mean `require`?",
            "foreword.toml:10:9: listener `web`: expected an address such as `[::]:443`, `10.0.1.10:443` or `unix:/path`, found `localhost:80`\nhint: did you mean `127.0.0.1:80` or `[::1]:80`?",
            "foreword.toml:10:25: listener `web`: expected an address such as `[::]:443`, `10.0.1.10:443` or `unix:/path`, found `*:81`\nhint: `[::]:81` takes IPv4 and IPv6",
            "foreword.toml:11:8: listener `web`: expected `http`, `tcp`, `tls-passthrough` or `udp` for `mode`, found `htpp`\nhint: did you mean `http`?",
            "foreword.toml:12:17: listener `web`: expected one of the trust groups `elb`, found `lb`\nhint: did you mean `elb`?",
            "foreword.toml:15:48: listener `web`, rule `rule 1`: expected a list of the file, which has none, found `@offce`\nhint: add `offce = [\"198.51.100.0/24\"]` below a `[list]`",
            "foreword.toml:16:20: listener `web`, rule `rule 1`: expected one of the clusters `api`, `static`, found `apo`\nhint: did you mean `api`?",
            "foreword.toml:19:14: cluster `api`: expected an endpoint such as `10.0.1.10:443`, `app.internal:8080`, `srv:_http._tcp.app.internal` or `unix:/path`, found `10.0.0.1`\nhint: add the port: `10.0.0.1:443`",
        ]
    );
}

#[test]
fn the_first_error_of_the_grammar_is_told_with_its_place() {
    let told = told("a = \n[b\nc = 'd'\n");
    assert_eq!(told, ["foreword.toml:1:5: not TOML: string values must be quoted, expected literal string"]);
}

#[test]
fn a_file_with_nothing_in_it_says_so() {
    for text in ["", "\n# later\n"] {
        assert_eq!(
            told(text),
            ["foreword.toml: expected a configuration, found nothing in it\n\
              hint: a file needs a `[listener.NAME]` and usually a `[cluster.NAME]`"]
        );
    }
}

#[test]
fn keys_without_effect_are_problems() {
    let listener = |more: &str| {
        format!("[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"tcp\"\ncluster = \"z\"\n{more}")
    };
    for (more, expected) in [
        (
            "timeout = { tls = \"3s\" }",
            "foreword.toml:5:13: listener `a`: `tls` has no effect: this listener ends no TLS",
        ),
        (
            "timeout = { head = \"3s\" }",
            "foreword.toml:5:13: listener `a`: `head` has no effect: a listener in tcp mode has no requests",
        ),
        (
            "ignore_case = true",
            "foreword.toml:5:1: listener `a`: `ignore_case` has no effect: a listener in tcp mode has no requests",
        ),
        (
            "header = { max = 4096 }",
            "foreword.toml:5:1: listener `a`: `header` has no effect: a listener without a trust group that may send a header reads none",
        ),
        (
            "[[listener.a.rule]]\nthen = { set_fields = { A = \"b\" } }",
            "foreword.toml:6:10: listener `a`, rule `rule 1`: `set_fields` has no effect: a listener in tcp mode has no requests",
        ),
        (
            "[[listener.a.rule]]\nwhen = 'peer.port == 1'\nthen = { deny = 403 }",
            "foreword.toml:7:10: listener `a`, rule `rule 1`: `deny` has no effect: a listener in tcp mode has no requests\nhint: write `close = true`",
        ),
        (
            "[[listener.a.rule]]\nthen = { close = true }",
            "foreword.toml:4:11: listener `a`: `cluster` has no effect: the rule at foreword.toml:5:1 always ends it before",
        ),
    ] {
        assert_eq!(told_of(&listener(more)), [expected]);
    }
    assert_eq!(
        told_of("[cluster.z2]\nendpoints = [\"a:1\"]\nsend_tlvs = [\"crc32c\"]"),
        [
            "foreword.toml:3:13: cluster `z2`: `send_tlvs` has no effect: only a v2 header carries TLVs\nhint: add `send_header = \"v2\"`"
        ]
    );
}

#[test]
fn rules_are_checked_in_their_strings() {
    let rule = |rule: &str| {
        format!("[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"http\"\n[[listener.a.rule]]\n{rule}")
    };
    for (text, expected) in [
        (
            "when = 'hots == \"a\"'\nthen = { close = true }",
            "5:9: listener `a`, rule `rule 1`: expected a variable such as `client.ip` or `host`, found `hots`\nhint: did you mean `host`?",
        ),
        (
            "when = \"host == \\\"a\\\" && hots == \\\"b\\\"\"\nthen = { close = true }",
            "5:26: listener `a`, rule `rule 1`: expected a variable such as `client.ip` or `host`, found `hots`\nhint: did you mean `host`?",
        ),
        (
            "when = '''\nhost == \"a\"\n&& hots == \"b\"'''\nthen = { close = true }",
            "7:4: listener `a`, rule `rule 1`: expected a variable such as `client.ip` or `host`, found `hots`\nhint: did you mean `host`?",
        ),
        (
            "then = { deny = 200 }",
            "5:17: listener `a`, rule `rule 1`: expected a number from 400 to 599 for `deny`, found `200`",
        ),
        (
            "then = { deny = 403, forward = \"z\" }",
            "5:22: listener `a`, rule `rule 1`: expected at most one ending, found `deny` and `forward`",
        ),
        (
            "then = {}",
            "5:8: listener `a`, rule `rule 1`: expected at least one key, found none, which has no effect",
        ),
        ("name = \"x\"", "4:1: listener `a`, rule `x`: expected the key `then`, found none"),
        (
            "then = { redirect = \"https://{hots}{uri}\" }",
            "5:31: listener `a`, rule `rule 1`: expected a variable, found `hots`; did you mean `host`?",
        ),
        (
            "then = { redirect = \"www.example.com\" }",
            "5:21: listener `a`, rule `rule 1`: expected an address such as `https://{host}{uri}`, found `www.example.com`\nhint: begin with `https://`, `http://` or `/`",
        ),
        (
            "then = { set_fields = { Content-Length = \"1\" } }",
            "5:25: listener `a`, rule `rule 1`: expected a field that does not belong to the connection, found `Content-Length`\nhint: framing, `Connection`, `Keep-Alive`, `TE`, `Upgrade` and `Proxy-…` are written by the gateway itself",
        ),
        (
            "then = { set_response_fields = { proxy_authenticate = \"1\" } }",
            "5:34: listener `a`, rule `rule 1`: expected a field that does not belong to the connection, found `proxy_authenticate`\nhint: framing, `Connection`, `Keep-Alive`, `TE`, `Upgrade` and `Proxy-…` are written by the gateway itself",
        ),
        (
            "then = { deny = 403, set_fields = { X-A = \"b\" } }",
            "5:22: listener `a`, rule `rule 1`: `set_fields` has no effect: with `deny` no request goes upstream",
        ),
        (
            "then = { close = true, remove_response_fields = [\"X-A\"] }",
            "5:24: listener `a`, rule `rule 1`: `remove_response_fields` has no effect: with `close` no response goes to the client",
        ),
        (
            "then = { set_fields = { X-A = \"b\" }, remove_fields = [\"x_a\"] }",
            "5:55: listener `a`, rule `rule 1`: expected each field set or removed, found `x_a` in both",
        ),
        (
            "when = 'tls.client.cn == \"a\"'\nthen = { close = true }",
            "5:9: listener `a`, rule `rule 1`: expected a variable that has a value here, found `tls.client.cn`\nhint: this listener asks no client for a certificate (`tls = { client = … }` does); what a proxy saw of it is `tlv.ssl.cn`",
        ),
        (
            "when = 'scheme == \"https\"'\nthen = { close = true }",
            "5:19: listener `a`, rule `rule 1`: expected `http`, since this listener ends no TLS and takes nobody's word for it, found `https`",
        ),
        (
            "then = { remove_fields = [\"Host\"] }",
            "5:27: listener `a`, rule `rule 1`: expected a field that a request can do without, found `Host`\nhint: `set_fields` can change it",
        ),
        (
            "then = { set_fields = { X-A = \"{tls.sni}\" } }",
            "5:33: listener `a`, rule `rule 1`: expected a variable that has a value here, found `tls.sni`: this listener ends no TLS and lets none pass through",
        ),
        (
            "then = { set_fields = { X-A = \"a\\nb\" } }",
            "5:33: listener `a`, rule `rule 1`: expected no control character, found `\\n`",
        ),
        (
            "then = { close = true }\n[[listener.a.rule]]\nthen = { deny = 403 }",
            "6:1: listener `a`: never reached: the rule at foreword.toml:4:1 always ends it\nhint: move it up, or give that rule a `when`",
        ),
    ] {
        let told = told_of(&rule(text));
        assert!(told.contains(&format!("foreword.toml:{expected}")), "{text}: {told:#?}");
    }
}

#[test]
fn binds_that_want_the_same_are_told_apart() {
    let two = |one: &str, other: &str| {
        told_of(&format!(
            "[listener.a]\nbind = [\"{one}\"]\nmode = \"tcp\"\ncluster = \"z\"\n[listener.b]\nbind = [\"{other}\"]\nmode = \"tcp\"\ncluster = \"z\""
        ))
    };
    assert_eq!(
        two("127.0.0.1:80", "127.0.0.1:80"),
        [
            "foreword.toml:6:9: listener `b`: expected an address that no other bind takes, found `127.0.0.1:80` at foreword.toml:2:9"
        ]
    );
    assert_eq!(
        two("[::]:80", "0.0.0.0:80"),
        [
            "foreword.toml:6:9: listener `b`: expected an address that no other bind takes, found `[::]:80` at foreword.toml:2:9\nhint: `[::]` takes IPv4 as well"
        ]
    );
}

#[test]
fn trust_is_checked_within_a_listener() {
    let text = r#"
[trust.a]
from = ["10.0.0.0/8", "10.1.0.0/16"]
[trust.b]
from = ["::ffff:10.1.0.0/112"]
[listener.w]
bind = ["127.0.0.1:9"]
mode = "tcp"
trust = ["a", "b", "a"]
cluster = "z""#;
    assert_eq!(
        told_of(text),
        [
            "foreword.toml:9:15: listener `w`: expected each range in one group, found `10.1.0.0/16` in `a` and in `b` (foreword.toml:5:9)",
            "foreword.toml:9:20: listener `w`: expected each group once, found `a` again",
        ]
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = r#"
[trust.everyone]
from = ["0.0.0.0/0"]
[list]
unused = ["a"]
[cluster.y]
endpoints = ["app:80"]
[trust.lb]
from = ["10.0.0.1"]
[listener.hasty]
bind = ["127.0.0.1:3"]
mode = "tcp"
cluster = "z"
trust = ["lb"]
header = { deadline = "500ms" }
"#;
    assert_eq!(
        good(&format!("{text}{AROUND}")).plan.warnings,
        [
            "foreword.toml:2:8: trust `everyone`: no listener uses it",
            "foreword.toml:3:9: trust `everyone`: everyone who can connect is believed, so anyone can forge an address\nhint: name the addresses of the balancer",
            "foreword.toml:5:1: list `unused`: no rule asks it",
            "foreword.toml:6:10: cluster `y`: nothing forwards to it",
            "foreword.toml:15:23: listener `hasty`: a header whose first segment was lost comes later than this\nhint: leave it at `\"3s\"` or more",
        ]
    );
}

#[test]
fn what_leads_back_lets_nobody_in_or_shows_too_much_is_a_warning() {
    let text = r#"
[trust.elb]
from = ["10.0.0.0/8"]
[listener.a]
bind = ["[::]:8080", "unix:a.sock"]
mode = "tcp"
trust = ["elb"]
cluster = "a"
[cluster.a]
endpoints = ["127.0.0.1:8080"]
[admin]
bind = "0.0.0.0:9100"
"#;
    assert_eq!(
        good(&format!("{text}{AROUND}")).plan.warnings,
        [
            "foreword.toml:5:9: listener `a`: cluster `a` leads back here by `127.0.0.1:8080`: a connection comes round until none is left",
            "foreword.toml:5:22: listener `a`: no trust group of this listener holds `unix`: whoever comes here is closed unread\nhint: add `\"unix\"` to the `from` of the group that is meant",
            "foreword.toml:12:8: admin: everyone who can reach this machine can read its metrics, and drain every endpoint\nhint: bind `127.0.0.1`, an address that no stranger can reach, or `unix:/run/foreword/admin.sock`",
        ]
    );
}

#[test]
fn the_admin_socket_takes_no_listeners_address() {
    assert_eq!(
        told_of("[admin]\nbind = \"127.0.0.1:1\""),
        [
            "foreword.toml:2:8: admin: expected an address that no listener takes, found `127.0.0.1:1` at foreword.toml:5:9"
        ]
    );
}

#[test]
fn numbers_keys_and_binds_out_of_their_place_come_with_the_right_form() {
    for (text, expected) in [
        (
            "[listener.a]\nbind = [443]\nmode = \"tcp\"\ncluster = \"z\"",
            "foreword.toml:2:9: listener `a`: expected text for `bind`, found `443`\nhint: `\"[::]:443\"` takes IPv4 and IPv6 at port 443",
        ),
        (
            "[listener.a]\nbind = [\"[::1]:1\"]\nmode = \"http\"\ncluster = \"z\"\nmax = { fields = \"100\" }",
            "foreword.toml:5:18: listener `a`: expected a number from 1 to 1000 for `fields`, found `\"100\"`\nhint: write it without quotes: `100`",
        ),
        (
            "[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"http\"\ncluster = \"z\"\nmin = { workers = 2 }",
            "foreword.toml:5:9: listener `a`: expected one of the keys `body_rate`, found `workers`\nhint: `workers` belongs to the top of the file, above the first `[…]`",
        ),
        (
            "[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"http\"\ncluster = \"z\"\nmin = { send_header = \"v2\" }",
            "foreword.toml:5:9: listener `a`: expected one of the keys `body_rate`, found `send_header`\nhint: `send_header` belongs to `[cluster.NAME]`",
        ),
        (
            "[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"http\"\ncluster = \"z\"\nmin = { accept-proxy = true }",
            "foreword.toml:5:9: listener `a`: expected one of the keys `body_rate`, found `accept-proxy`\nhint: `send_header` of `[cluster.NAME]` sends a PROXY header, and `[trust.NAME]` says from whom one is read",
        ),
    ] {
        assert_eq!(told_of(text), [expected]);
    }
}

#[test]
fn a_header_that_nobody_may_send_is_not_read() {
    let text = "[trust.inside]\nfrom = [\"10.0.0.0/8\"]\nheader = \"forbid\"\n[listener.a]\nbind = [\"127.0.0.1:9\"]\n\
                mode = \"tcp\"\ntrust = [\"inside\"]\ncluster = \"z\"\nheader = { max = 4096 }";
    assert_eq!(
        told_of(text),
        [
            "foreword.toml:9:1: listener `a`: `header` has no effect: a listener without a trust group that may send a header reads none"
        ]
    );
}

#[test]
fn the_log_and_its_template_are_checked() {
    for (access, expected) in [
        (
            "to = \"/var/log/x\"",
            "foreword.toml:2:6: log.access: expected `stdout`, `file:PATH` or `syslog:ADDRESS` for `to`, found `/var/log/x`\nhint: did you mean `file:/var/log/x`?",
        ),
        (
            "format = \"jsn\"",
            "foreword.toml:2:10: log.access: expected `json`, `combined`, `haproxy` or a template such as `{client.ip} {rule}` for `format`, found `jsn`\nhint: did you mean `json`?",
        ),
        (
            "format = \"{client.ip} {ruel}\"",
            "foreword.toml:2:24: log.access: expected one of the access log's names, found `ruel`; did you mean `rule`? docs/reference/access-log.md lists them",
        ),
        (
            "format = \"{client.ip} {status}\"",
            "foreword.toml:2:24: log.access: expected one of the access log's names, found `status`; did you mean `http.response.status_code`? docs/reference/access-log.md lists them",
        ),
        (
            "redact = [\"cookie\"]",
            "foreword.toml:2:11: log.access: expected `query`, `cookies` or `authorization` for `redact`, found `cookie`\nhint: did you mean `cookies`?",
        ),
    ] {
        assert_eq!(told_of(&format!("[log.access]\n{access}")), [expected]);
    }
}

#[test]
fn the_id_of_a_request_takes_no_field_that_means_something_else() {
    for name in ["Content-Length", "host", "Transfer-Encoding", "X_Forwarded_For", "Expect"] {
        let expected = format!(
            "1:14: expected a field that the gateway does not use for anything else, found `{name}`\nhint: take one such as `X-Request-Id`"
        );
        let told = told(&format!("request_id = \"{name}\"{AROUND}"));
        assert_eq!(told, [format!("foreword.toml:{expected}")]);
    }
    let told = told(&format!("request_id = \"X Y\"{AROUND}"));
    assert_eq!(told, ["foreword.toml:1:14: expected the name of a field, found `X Y`"]);
}

#[test]
fn defaults_are_safe() {
    let plan = good(AROUND).plan;
    let listener = &plan.listeners[0];
    assert!(listener.trust.is_none());
    assert_eq!(listener.header.deadline.as_secs(), 3);
    assert_eq!(
        (listener.header.max_len, listener.header.waiting, listener.header.chain.get()),
        (4096, 1024, 1)
    );
    assert_eq!(
        (listener.timeout.tls.as_secs(), listener.timeout.head.as_secs(), listener.timeout.idle.as_secs()),
        (10, 10, 60)
    );
    assert_eq!((listener.max.head, listener.max.fields), (16 * 1024, 100));
    assert_eq!(listener.min.body_rate, 64);
    let timeout = plan.clusters[0].timeout;
    assert_eq!((timeout.connect.as_secs(), timeout.response.as_secs()), (5, 60));
    assert_eq!(plan.drain.as_secs(), 30);
    assert!(plan.access_log.is_none() && plan.admin.is_none() && plan.warnings.is_empty());
}

#[test]
fn tests_of_the_file_are_checked_like_the_rest() {
    let test =
        |request: &str, expect: &str| format!("[[test]]\nrequest = {{ {request} }}\nexpect = {{ {expect} }}");
    for (request, expect, told) in [
        (
            "listener = \"zz\", peer = \"10.0.0.1\"",
            "cluster = \"z\"",
            "2:24: test `test 1`: expected one of the listeners `z`, found `zz`",
        ),
        (
            "peer = \"ten\"",
            "cluster = \"z\"",
            "2:20: test `test 1`: expected an address such as `10.0.0.5`, or `unix` for `peer`, found `ten`",
        ),
        (
            "peer = \"10.0.0.1\"",
            "cluster = \"y\"",
            "3:22: test `test 1`: expected one of the clusters `z`, found `y`",
        ),
        (
            "peer = \"10.0.0.1\"",
            "refused = \"FW999\"",
            "3:22: test `test 1`: expected a code such as `FW201` for `refused`, found `FW999`",
        ),
        (
            "peer = \"10.0.0.1\"",
            "",
            "3:10: test `test 1`: expected at least one key, found none, so nothing is tried",
        ),
        (
            "peer = \"10.0.0.1\", header = \"v1\"",
            "cluster = \"z\"",
            "2:32: test `test 1`: `header` has no effect: without `client` no header is sent",
        ),
        (
            "peer = \"10.0.0.1\", method = \"PUT\"",
            "cluster = \"z\"",
            "2:32: test `test 1`: `method` has no effect: without `url` there is no request",
        ),
        (
            "peer = \"10.0.0.1\", url = \"/x\"",
            "cluster = \"z\"",
            "2:38: test `test 1`: expected a URL such as `https://www.example.com/` for `url`, found `/x`",
        ),
    ] {
        assert_eq!(told_of(&test(request, expect)), [format!("foreword.toml:{told}")]);
    }
}

#[test]
fn names_that_could_deceive_a_reader_are_refused() {
    let told = told_of("[cluster.\"a\\nb\"]\nendpoints = [\"a:1\"]");
    assert_eq!(
        told,
        ["foreword.toml:1:10: expected a name of letters, digits, `_`, `-` and `.`, found `a\\nb`"]
    );
}

#[test]
fn a_path_with_a_star_is_a_warning_that_says_what_asks_for_all_below() {
    let rule = "[[listener.a.rule]]\nwhen = 'path == \"/x/*\"'\nthen = { deny = 403 }\n";
    let listener = "[listener.a]\nbind = [\"127.0.0.1:80\"]\nmode = \"http\"\ncluster = \"z\"\n";
    assert_eq!(
        good(&format!("{listener}{rule}{AROUND}")).plan.warnings,
        [
            "foreword.toml:6:9: listener `a`, rule `rule 1`: `*` in `/x/*` stands for itself: only a value with this very letter \
             fits\nhint: write `path.under(\"/x\")`"
        ]
    );
}

#[test]
fn what_others_write_for_a_mode_or_a_port_comes_with_our_word_for_it() {
    let file = |bind: &str, mode: &str| {
        told(&format!("[listener.a]\nbind = [\"{bind}\"]\nmode = \"{mode}\"\ncluster = \"z\"\n{AROUND}"))
    };
    let mode = file("127.0.0.1:8443", "https").remove(0);
    assert!(
        mode.ends_with("hint: it is `mode = \"http\"` with `tls = { certificates = [\"DIR/*.crt\"] }`"),
        "{mode}"
    );
    let bind = file("8443", "http").remove(0);
    assert!(bind.ends_with("hint: add the colon: `[::]:8443` takes IPv4 and IPv6"), "{bind}");
}
