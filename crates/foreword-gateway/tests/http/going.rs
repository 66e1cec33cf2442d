//! A plan that is retired and a gateway that drains: told with the next answer, and nothing in flight is lost.

use std::path::Path;

use foreword_gateway::config;

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_kept_connection_is_told_to_close_with_the_first_answer_after_a_reload() {
    let endpoint = Endpoint::polite();
    let text = file(&[endpoint.address], "cluster = \"app\"", "");
    let gateway = gateway(&text);
    let mut client = Wire::to(&gateway);
    assert_eq!(client.ask(GET).field("Connection"), None);
    gateway.reload(config::parse(&text, "test.toml", Path::new(".")).unwrap().plan).unwrap();
    let answer = client.ask(GET);
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    assert!(client.is_closed());
    assert_eq!(Wire::to(&gateway).ask(GET).field("Connection"), None);
}

#[test]
fn a_request_in_flight_is_answered_while_the_gateway_drains() {
    let (asked, is_asked) = events();
    let (go, may_answer) = events();
    let may_answer = std::sync::Mutex::new(may_answer);
    let endpoint = Endpoint::new(move |wire| {
        while wire.request().is_some() {
            asked.lock().unwrap().send(()).unwrap();
            may_answer.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = in_front_of(&endpoint);
    let mut client = Wire::to(&gateway);
    client.write(GET.as_bytes());
    is_asked.recv_timeout(PATIENCE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let drained = gateway.drain();
        tokio::pin!(drained);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut drained).await.is_err());
        go.lock().unwrap().send(()).unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let answer = client.answer("GET").unwrap();
            (answer.status, answer.field("Connection").map(str::to_owned), client.is_closed())
        });
        drained.await;
        assert_eq!(reading.await.unwrap(), (200, Some("close".to_owned()), true));
    });
}
