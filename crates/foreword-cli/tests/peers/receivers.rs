//! foreword in front of real receivers: each sees the client that foreword was told of.

use std::net::SocketAddr;

use crate::caller::{Answer, Caller, request};
use crate::gateway::{self, Gateway};
use crate::ground::Ground;
use crate::header::{self, CLIENT};
use crate::program::Program;
use crate::server::{
    apache, caddy, dovecot, gunicorn, haproxy, lighttpd, nats, nghttpx, nginx, postfix, varnish,
};

/// A receiver, and how it tells whom it takes for the client.
struct Receiver {
    start: fn(&Ground) -> Option<(Program, SocketAddr)>,
    ask: fn(&mut Caller, &Program) -> String,
}

/// Asks the receiver who is calling: first with a header written by hand, so that what the receiver says is understood,
/// then through foreword with what is said in `cluster`.
fn is_told(receiver: &Receiver, cluster: &str, expected: &[&str]) {
    let ground = Ground::new();
    let Some((program, address)) = (receiver.start)(&ground) else { return };

    let mut caller = Caller::connect(address, &header::client_v1());
    let by_hand = (receiver.ask)(&mut caller, &program);
    assert!(by_hand.contains(CLIENT), "by hand: {by_hand}\n{}", program.transcript());

    let edge = ground.address();
    let foreword = Gateway::start(&ground, &gateway::edge(edge, address, "", cluster), &[edge]);
    let mut caller = Caller::connect(edge, &header::client_v2());
    let told = (receiver.ask)(&mut caller, &program);
    for expected in expected {
        assert!(
            told.contains(expected),
            "expected {expected:?}, found {told:?}\n{}",
            foreword.program.transcript()
        );
    }
    drop(caller);
    let access = foreword.access_with(CLIENT, 1);
    assert_eq!(access.get("client.ip"), CLIENT);
    assert_eq!(access.get("peer.ip"), "127.0.0.1");
}

const HAPROXY: Receiver = Receiver { start: haproxy::receiver, ask: |caller, _| body(caller) };
const NGINX: Receiver = Receiver { start: nginx::http_receiver, ask: |caller, _| body(caller) };
const NGINX_STREAM: Receiver =
    Receiver { start: nginx::stream_receiver, ask: |caller, _| caller.line().expect("a line from nginx") };
const VARNISH: Receiver = Receiver {
    start: varnish::receiver,
    ask: |caller, _| {
        let answer = caller.get("peers.test", "/");
        ["x-client", "x-destination", "x-tlv"].map(|name| answer.field(name).unwrap_or_default()).join(" ")
    },
};
const APACHE: Receiver = Receiver {
    start: apache::receiver,
    ask: |caller, apache| {
        let before = apache.count("client=");
        caller.get("peers.test", "/");
        apache.lines("client=", before + 1).swap_remove(before)
    },
};
const POSTFIX: Receiver = Receiver {
    start: postfix::receiver,
    ask: |caller, postfix| {
        let before = postfix.count("connect from unknown[203");
        let banner = caller.line().expect("a banner: this server speaks first");
        assert!(banner.starts_with("220 mx.test "), "{banner}");
        caller.write(b"QUIT\r\n").expect("a farewell");
        assert_eq!(caller.line().expect("a farewell"), "221 2.0.0 Bye");
        postfix.lines("connect from unknown[203", before + 1).swap_remove(before)
    },
};

const LIGHTTPD: Receiver = Receiver { start: lighttpd::receiver, ask: |caller, _| body(caller) };
const CADDY: Receiver = Receiver { start: caddy::receiver, ask: |caller, _| body(caller) };
const GUNICORN: Receiver = Receiver { start: gunicorn::receiver, ask: |caller, _| body(caller) };
const NATS: Receiver = Receiver { start: nats::receiver, ask: nats::ask };
const NGINX_MAIL: Receiver = Receiver {
    start: nginx::mail_receiver,
    ask: |caller, _| {
        let greeting = caller.line().expect("a greeting");
        assert!(greeting.starts_with("220 mx.test "), "{greeting}");
        let mut answer = String::new();
        for line in ["HELO peers.test", "MAIL FROM:<a@peers.test>", "RCPT TO:<b@mx.test>"] {
            caller.write(format!("{line}\r\n").as_bytes()).expect("a line of SMTP");
            answer = caller.line().expect("an answer");
        }
        answer
    },
};
const DOVECOT: Receiver = Receiver {
    start: dovecot::receiver,
    ask: |caller, dovecot| {
        let before = dovecot.count("client=203");
        let greeting = caller.line().expect("a greeting: this server speaks first");
        assert!(greeting.starts_with("* OK "), "{greeting}");
        caller.write(b"a LOGOUT\r\n").expect("a farewell");
        dovecot.lines("client=203", before + 1).swap_remove(before)
    },
};
const NGHTTPX: Receiver = Receiver {
    start: nghttpx::receiver,
    ask: |caller, nghttpx| {
        let before = nghttpx.count("client=");
        caller.get("peers.test", "/");
        nghttpx.lines("client=", before + 1).swap_remove(before)
    },
};

const V1: &str = "send_header = \"v1\"";
const V2: &str = "send_header = \"v2\"";

/// The client with its port, and the destination that it called.
const BOTH: [&str; 2] = ["client=203.0.113.7:50001", "destination=198.51.100.20:443"];

/// The client with its port, of those who do not tell the destination.
const ALONE: [&str; 1] = ["client=203.0.113.7:50001"];

fn body(caller: &mut Caller) -> String {
    caller.get("peers.test", "/").text()
}

#[test]
fn haproxy_sees_the_client_behind_foreword_in_v1() {
    is_told(&HAPROXY, V1, &BOTH);
}

#[test]
fn haproxy_sees_the_client_behind_foreword_in_v2() {
    is_told(&HAPROXY, V2, &BOTH);
}

#[test]
fn nginx_sees_the_client_behind_foreword_in_v1() {
    is_told(&NGINX, V1, &BOTH);
}

#[test]
fn nginx_sees_the_client_behind_foreword_in_v2() {
    is_told(&NGINX, V2, &BOTH);
}

#[test]
fn nginx_stream_sees_the_client_behind_foreword_in_v1() {
    is_told(&NGINX_STREAM, V1, &BOTH);
}

#[test]
fn nginx_stream_sees_the_client_behind_foreword_in_v2() {
    is_told(&NGINX_STREAM, V2, &BOTH);
}

#[test]
fn apache_sees_the_client_behind_foreword_in_v1() {
    is_told(&APACHE, V1, &["client=203.0.113.7:50001 peer=127.0.0.1"]);
}

#[test]
fn apache_sees_the_client_behind_foreword_in_v2() {
    is_told(&APACHE, V2, &["client=203.0.113.7:50001 peer=127.0.0.1"]);
}

#[test]
fn varnish_sees_the_client_behind_foreword_in_v1() {
    is_told(&VARNISH, V1, &["203.0.113.7:50001 198.51.100.20:443"]);
}

#[test]
fn varnish_sees_the_client_behind_foreword_in_v2() {
    is_told(&VARNISH, V2, &["203.0.113.7:50001 198.51.100.20:443"]);
}

#[test]
fn postfix_which_speaks_first_sees_the_client_behind_foreword_in_v1() {
    is_told(&POSTFIX, V1, &["connect from unknown[203.0.113.7]"]);
}

#[test]
fn postfix_which_speaks_first_sees_the_client_behind_foreword_in_v2() {
    is_told(&POSTFIX, V2, &["connect from unknown[203.0.113.7]"]);
}

#[test]
fn lighttpd_sees_the_client_behind_foreword_in_v1() {
    is_told(&LIGHTTPD, V1, &ALONE);
}

#[test]
fn lighttpd_sees_the_client_behind_foreword_in_v2() {
    is_told(&LIGHTTPD, V2, &ALONE);
}

#[test]
fn nghttpx_sees_the_client_behind_foreword_in_v1() {
    is_told(&NGHTTPX, V1, &ALONE);
}

#[test]
fn nghttpx_sees_the_client_behind_foreword_in_v2() {
    is_told(&NGHTTPX, V2, &ALONE);
}

#[test]
fn caddy_sees_the_client_behind_foreword_in_v1() {
    is_told(&CADDY, V1, &ALONE);
}

#[test]
fn caddy_sees_the_client_behind_foreword_in_v2() {
    is_told(&CADDY, V2, &ALONE);
}

#[test]
fn gunicorn_sees_the_client_behind_foreword_in_v1() {
    is_told(&GUNICORN, V1, &ALONE);
}

#[test]
fn gunicorn_sees_the_client_behind_foreword_in_v2() {
    is_told(&GUNICORN, V2, &ALONE);
}

#[test]
fn nats_which_speaks_first_sees_the_client_behind_foreword_in_v1() {
    is_told(&NATS, V1, &ALONE);
}

#[test]
fn nats_which_speaks_first_sees_the_client_behind_foreword_in_v2() {
    is_told(&NATS, V2, &ALONE);
}

#[test]
fn nginx_mail_sees_the_client_behind_foreword_in_v1() {
    is_told(&NGINX_MAIL, V1, &["nobody, not even 203.0.113.7"]);
}

#[test]
fn nginx_mail_sees_the_client_behind_foreword_in_v2() {
    is_told(&NGINX_MAIL, V2, &["nobody, not even 203.0.113.7"]);
}

#[test]
fn dovecot_which_speaks_first_sees_the_client_behind_foreword_in_v1() {
    is_told(&DOVECOT, V1, &BOTH);
}

#[test]
fn dovecot_which_speaks_first_sees_the_client_behind_foreword_in_v2() {
    is_told(&DOVECOT, V2, &BOTH);
}

/// Asks a receiver through foreword with a header of any kind.
fn told_by(header: &[u8], receiver: &Receiver, cluster: &str) -> Option<String> {
    let ground = Ground::new();
    let (program, address) = (receiver.start)(&ground)?;
    let edge = ground.address();
    let _foreword = Gateway::start(&ground, &gateway::edge(edge, address, "", cluster), &[edge]);
    Some((receiver.ask)(&mut Caller::connect(edge, header), &program))
}

#[test]
fn a_client_of_ipv6_is_seen_behind_foreword_in_both_versions() {
    let from = header::v2(header::client6(), header::destination6(), &[]);
    for version in [V1, V2] {
        let Some(told) = told_by(&from, &HAPROXY, version) else { return };
        assert!(told.contains("client=2001:db8::7:50001 destination=2001:db8::20:443"), "{version}: {told}");
        let Some(told) = told_by(&from, &NGINX, version) else { return };
        assert!(told.contains("client=2001:db8::7:50001 destination=2001:db8::20:443"), "{version}: {told}");
    }
}

#[test]
fn a_local_header_stays_local_and_speaks_for_nobody() {
    let Some(told) = told_by(LOCAL, &HAPROXY, V2) else { return };
    assert!(told.contains("client=127.0.0.1:"), "{told}");
    let Some(told) = told_by(LOCAL, &NGINX, V2) else { return };
    assert!(told.contains("client=127.0.0.1:"), "{told}");
}

#[test]
fn an_unknown_client_of_a_line_is_local_in_version_two_which_receivers_take() {
    // As a client without an address (`21 00`) HAProxy would close the connection.
    let Some(told) = told_by(b"PROXY UNKNOWN\r\n", &HAPROXY, V2) else { return };
    assert!(told.contains("client=127.0.0.1:"), "{told}");
}

#[test]
fn what_came_with_the_client_reaches_the_receiver_that_may_know_it() {
    let tlvs: [(u8, &[u8]); 4] =
        [(0x01, b"h2"), (0x02, b"shop.test"), (0x05, b"order-66"), (0xea, b"\x01vpce-08d2")];
    let from = header::v2(header::client(), header::destination(), &tlvs);
    let passing = "send_header = \"v2\"\npass_tlvs = \"all\"\nsend_tlvs = [\"crc32c\"]";
    let Some(told) = told_by(&from, &VARNISH, passing) else { return };
    assert!(told.contains("authority=shop.test alpn=h2 "), "{told}");
    let Some(told) = told_by(&from, &HAPROXY, passing) else { return };
    assert!(told.contains("authority=shop.test unique_id=order-66"), "{told}");
    // What is not on the list stays behind.
    let some = "send_header = \"v2\"\npass_tlvs = [\"unique_id\"]";
    let Some(told) = told_by(&from, &HAPROXY, some) else { return };
    assert!(told.contains("authority= unique_id=order-66"), "{told}");
}

#[test]
fn requests_of_two_clients_never_share_a_connection_that_carried_a_header() {
    let ground = Ground::new();
    let Some((nginx, address)) = nginx::http_receiver(&ground) else { return };
    let web = ground.address();
    let text = gateway::web(web, address, "require", "")
        .replace("endpoints = [", "send_header = \"v2\"\nendpoints = [");
    // One worker, so that both clients meet the same pool.
    let foreword = Gateway::start(&ground, &format!("workers = 1\n{text}"), &[web]);

    let clients = [header::client(), header::client6()];
    let destinations = [header::destination(), header::destination6()];
    let mut callers =
        [0, 1].map(|one| Caller::connect(web, &header::v2(clients[one], destinations[one], &[])));
    for _ in 0..3 {
        for (caller, client) in callers.iter_mut().zip(clients) {
            let told = body(caller);
            let expected = format!("client={}:{} ", client.ip(), client.port());
            assert!(
                told.contains(&expected),
                "{told}\n{}\n{}",
                foreword.program.transcript(),
                nginx.transcript()
            );
        }
    }
    assert_eq!(foreword.access_with("\"upstream.reused\":true", 4).get("cluster"), "app");
}

/// A health check's header, §2.2: a command, no addresses.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A listener that ends TLS has something to say in each of these.
const TLVS: &str = "send_header = \"v2\"\nsend_tlvs = [\"authority\", \"unique_id\", \"crc32c\", \"ssl\"]";

/// Asks the receiver through a foreword that ends TLS and sends every TLV that it can.
fn told_with_tlvs(start: fn(&Ground) -> Option<(Program, SocketAddr)>) -> Option<(Answer, Gateway)> {
    let ground = Ground::new();
    let certificate = ground.certificate(&["shop.test"]);
    let (program, address) = start(&ground)?;

    // The peer does look at the checksum: it refuses a wrong one.
    let wrong = header::v2(header::client(), header::destination(), &[(0x03, &[0xde, 0xad, 0xbe, 0xef])]);
    let mut caller = Caller::connect(address, &wrong);
    // A peer that has closed already may refuse the request, too.
    let _ = caller.write(request("shop.test", "/").as_bytes());
    assert!(caller.answer().is_err(), "a wrong checksum was taken\n{}", program.transcript());

    let edge = ground.address();
    let tls = "tls = { certificates = \"certs/\" }";
    let foreword = Gateway::start(&ground, &gateway::edge(edge, address, tls, TLVS), &[edge]);
    let mut caller = Caller::connect_tls(edge, &header::client_v1(), &certificate, "shop.test");
    caller.write(request("shop.test", "/").as_bytes()).expect("the request is taken");
    let answer = caller.answer().unwrap_or_else(|error| {
        panic!("expected an answer: {error}\n{}\n{}", foreword.program.transcript(), program.transcript())
    });
    drop(caller);
    Some((answer, foreword))
}

#[test]
fn haproxy_finds_the_checksum_right_and_shows_the_authority_and_the_unique_id() {
    let Some((answer, foreword)) = told_with_tlvs(haproxy::receiver) else { return };
    let text = answer.text();
    assert!(text.contains("client=203.0.113.7:50001 destination=198.51.100.20:443"), "{text}");
    assert!(text.contains(" authority=shop.test "), "{text}");
    let id = text.trim_end().rsplit_once("unique_id=").map(|(_, id)| id.to_owned()).unwrap_or_default();
    assert_eq!(foreword.access_with(CLIENT, 1).get("connection.id"), id, "{text}");
}

#[test]
fn the_unique_id_that_a_connection_came_with_goes_on_to_the_receiver_and_into_the_log() {
    let ground = Ground::new();
    let Some((haproxy, address)) = haproxy::receiver(&ground) else { return };
    let web = ground.address();
    let text = gateway::web(web, address, "require", "")
        .replace("endpoints = [", "send_header = \"v2\"\nsend_tlvs = [\"unique_id\"]\nendpoints = [");
    let foreword = Gateway::start(&ground, &text, &[web]);
    let from = header::v2(header::client(), header::destination(), &[(0x05, b"order-66")]);
    let told = body(&mut Caller::connect(web, &from));
    assert!(told.contains("unique_id=order-66"), "{told}\n{}", haproxy.transcript());
    assert_eq!(foreword.access_with(CLIENT, 1).get("connection.id"), "order-66");
}

#[test]
fn varnish_finds_the_checksum_right_and_shows_the_authority_and_tls() {
    let Some((answer, _foreword)) = told_with_tlvs(varnish::receiver) else { return };
    assert_eq!(answer.field("x-client"), Some("203.0.113.7:50001"), "{}", answer.head);
    let tlv = answer.field("x-tlv").unwrap_or_default();
    assert!(tlv.starts_with("authority=shop.test "), "{tlv}");
    assert!(tlv.ends_with("ssl=true version=TLSv1.3"), "{tlv}");
    let parts = answer.field("x-tls").unwrap_or_default();
    assert!(parts.starts_with("cipher=TLS_"), "{parts}");
    assert!(parts.ends_with(" key=EC256 signed=ecdsa-with-SHA256"), "{parts}");
}
