//! Another protocol on the same connection: WebSocket and its like.

use crate::support::*;

const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// Changes the protocol and then says everything back, until the client has no more to say.
fn chat() -> Endpoint {
    Endpoint::new(|wire| {
        let head = wire.head().unwrap();
        assert_eq!(field(&head, "Upgrade"), Some("websocket"));
        wire.write(&[SWITCH, b"welcome"].concat());
        loop {
            let said = std::mem::take(&mut wire.buffer);
            wire.write(&said);
            if wire.fill() == 0 {
                break;
            }
        }
        wire.write(b"bye");
    })
}

#[test]
fn after_101_bytes_go_both_ways_and_a_half_close_is_passed_on() {
    let gateway = in_front_of(&chat());
    let mut client = Wire::to(&gateway);
    client.write(&[UPGRADE, b"early"].concat());
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!((field(&head, "Upgrade"), field(&head, "Connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!(client.exactly(12).unwrap(), b"welcomeearly");
    for word in ["GET / HTTP/1.1\r\n\r\n", "\0\r\n\n"] {
        client.write(word.as_bytes());
        assert_eq!(client.exactly(word.len()).unwrap(), word.as_bytes());
    }
    client.finish();
    assert_eq!(client.exactly(3).unwrap(), b"bye");
    assert!(client.is_closed());
}

#[test]
fn a_quiet_tunnel_ends_when_its_time_is_over() {
    let endpoint = chat();
    let gateway =
        gateway(&file(&[endpoint.address], "cluster = \"app\"\ntimeout = { idle = \"150ms\" }", ""));
    let mut client = Wire::to(&gateway);
    client.write(UPGRADE);
    client.head().unwrap();
    assert_eq!(client.exactly(7).unwrap(), b"welcome");
    assert!(client.is_closed());
}

#[test]
fn an_endpoint_may_decline_and_http_goes_on() {
    let endpoint = Endpoint::mirror();
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    for _ in 0..2 {
        client.write(UPGRADE);
        let head = client.answer("GET").unwrap().text();
        assert_eq!(
            (field(&head, "Connection"), field(&head, "Upgrade")),
            (Some("upgrade"), Some("websocket"))
        );
    }
}

#[test]
fn http_2_is_never_asked_for_behind_the_rules() {
    let gateway = in_front_of(&Endpoint::mirror());
    for upgrade in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0"] {
        let head = Wire::to(&gateway)
            .ask(&format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            ))
            .text();
        for name in ["Upgrade", "Connection", "HTTP2-Settings"] {
            assert_eq!(field(&head, name), None, "{upgrade}: {head}");
        }
    }
}

#[test]
fn a_protocol_that_nobody_asked_for_is_no_answer() {
    let gateway = in_front_of(&Endpoint::once(SWITCH));
    let answer = Wire::to(&gateway).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 502);
}
