//! WebSocket over HTTP/2, RFC 8441: a stream of the client's is a connection of the endpoint's.

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request};

use crate::http2::*;
use crate::support::*;

fn connect(path: &str) -> Request<()> {
    let mut request = get(path);
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request
}

#[test]
fn a_stream_becomes_a_websocket_of_http_1_and_both_ends_are_passed_on() {
    let endpoint = Endpoint::new(|wire| {
        let head = wire.head().unwrap();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "Upgrade"), Some("websocket"));
        assert_eq!(field(&head, "Sec-WebSocket-Key").map(str::len), Some(24));
        wire.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nwelcome",
        );
        loop {
            let said = std::mem::take(&mut wire.buffer);
            wire.write(&said);
            if wire.fill() == 0 {
                break;
            }
        }
        wire.write(b"bye");
    });
    let gateway = in_clear(&endpoint);
    tell(&gateway, |mut client| async move {
        client = client.ready().await.unwrap();
        let (response, mut stream) = client.send_request(connect("/chat"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        let mut body = response.into_body();
        stream.send_data(Bytes::from_static(b"\x81\x02hi"), false).unwrap();
        let mut said = Vec::new();
        while said.len() < b"welcome\x81\x02hi".len() {
            said.extend_from_slice(&body.data().await.unwrap().unwrap());
        }
        assert_eq!(said, b"welcome\x81\x02hi");
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(content(&mut body).await.unwrap(), b"bye");
    });
}

#[test]
fn an_endpoint_may_refuse_a_websocket_but_not_take_it_for_a_page() {
    for (answer, status, page) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, "no"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage", 502, "502 Bad Gateway\n"),
    ] {
        let gateway = in_clear(&Endpoint::once(answer));
        tell(&gateway, |mut client| async move {
            client = client.ready().await.unwrap();
            let (response, _stream) = client.send_request(connect("/chat"), false).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(text(response).await, page);
        });
    }
}
