//! What a client may send, and for how long: beyond it there is a status, and the connection ends.

use crate::support::*;

/// A gateway that takes little, within `head`.
fn limited(head: &str) -> (Endpoint, foreword_gateway::Gateway) {
    let endpoint = Endpoint::polite();
    let keys = format!(
        "cluster = \"app\"\ntimeout = {{ head = \"{head}\", idle = \"10s\" }}\nmax = {{ head = \"2KiB\", fields = 10 }}"
    );
    let gateway = gateway(&file(&[endpoint.address], &keys, ""));
    (endpoint, gateway)
}

#[test]
fn a_head_that_is_not_whole_in_time_is_408_however_it_drips() {
    let (endpoint, gateway) = limited("1s");
    let mut client = Wire::to(&gateway);
    client.write(b"GET / HTTP/1.1\r\n");
    let mut dripping = Wire::new(client.stream.try_clone().unwrap());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let drip = std::thread::spawn(move || {
        while stopped.recv_timeout(std::time::Duration::from_millis(10)).is_err() {
            dripping.write(b"X");
        }
    });
    let answer = client.answer("GET").unwrap();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    stop.send(()).unwrap();
    drip.join().unwrap();
    assert_eq!(endpoint.seen.connections(), 0);
}

#[test]
fn a_client_that_never_speaks_is_closed_at_the_deadline_of_its_head() {
    let (_, gateway) = limited("1s");
    assert!(Wire::to(&gateway).is_closed());
}

#[test]
fn heads_targets_and_fields_over_their_limits_have_their_statuses() {
    let (endpoint, gateway) = limited("20s");
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(3000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(11)), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(3000)), 414),
        ("x".repeat(5000), 414),
    ] {
        let mut client = Wire::to(&gateway);
        client.write(request.as_bytes());
        let answer = client.answer("GET").unwrap();
        assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")));
        assert!(client.is_closed());
    }
    assert_eq!(endpoint.seen.connections(), 0);
}

#[test]
fn an_error_reaches_a_client_that_is_still_sending() {
    let (_, gateway) = limited("20s");
    for _ in 0..20 {
        let mut client = Wire::to(&gateway);
        client.write(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(40_000)).as_bytes());
        assert_eq!(client.answer("GET").unwrap().status, 431);
    }
}

#[test]
fn a_large_head_is_taken_where_the_limit_allows_it() {
    let endpoint = Endpoint::mirror();
    let keys = "cluster = \"app\"\nmax = { head = \"64KiB\", fields = 300 }";
    let gateway = gateway(&file(&[endpoint.address], keys, ""));
    let long = "x".repeat(40_000);
    let answer = Wire::to(&gateway).ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"));
    assert_eq!(field(&answer.text(), "X-Long"), Some(long.as_str()));
    let many: String = (0..250).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = Wire::to(&gateway).ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(field(&answer.text(), "X-249"), Some("y"));
}
