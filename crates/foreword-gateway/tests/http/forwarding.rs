//! What an endpoint is told about the client, and what it is not.

use crate::support::*;

const TRUSTING: &str =
    "[trust.proxies]\nfrom = [\"127.0.0.1\", \"10.0.0.0/8\"]\nheader = \"optional\"\nforwarded = true\n";

/// The head that an endpoint gets of a request with these fields. `trust` is more of the file.
fn told(trust: &str, listener: &str, fields: &str) -> String {
    let endpoint = Endpoint::mirror();
    let text = format!("{}{trust}", file(&[endpoint.address], &format!("cluster = \"app\"\n{listener}"), ""));
    let gateway = gateway(&text);
    Wire::to(&gateway).ask(&format!("GET /a?b HTTP/1.1\r\nHost: Example.com:81\r\n{fields}\r\n")).text()
}

#[test]
fn the_endpoint_is_told_who_asks_and_for_what() {
    let head = told("", "", "Accept: */*\r\n");
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\nHost: Example.com:81\r\nAccept: */*\r\n"), "{head}");
    assert_eq!(field(&head, "X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(field(&head, "X-Real-IP"), Some("127.0.0.1"));
    assert_eq!(field(&head, "X-Forwarded-Proto"), Some("http"));
    assert_eq!(field(&head, "X-Forwarded-Host"), Some("Example.com:81"));
    assert!(field(&head, "X-Forwarded-Port").unwrap().parse::<u16>().is_ok());
    assert_eq!(field(&head, "Forwarded"), Some("for=127.0.0.1;host=\"Example.com:81\";proto=http"));
    assert_eq!(field(&head, "X-Request-Id").unwrap().len(), 32);
    assert_eq!(field(&head, "Connection"), None);
}

#[test]
fn no_claim_of_a_stranger_survives_in_any_spelling() {
    for name in [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X_Forwarded_For",
        "X-Forwarded_For",
        "x_forwarded-for",
        "X-FORWARDED-FOR",
        "X-Forwarded-Proto",
        "X_Forwarded_Proto",
        "X-Forwarded-Host",
        "X-Forwarded_Host",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "X_FORWARDED_SSL",
        "Forwarded",
        "FORWARDED",
        "X-Real-IP",
        "X_Real_IP",
        "x-real_ip",
        "X-Request-Id",
        "x-request-id",
        "X_Request_Id",
        "Proxy",
        "Proxy-Connection",
        "Proxy_Connection",
        "Keep-Alive",
        "Proxy-Authorization",
    ] {
        for untrusted in ["", "[trust.lb]\nfrom = [\"127.0.0.1\"]\nheader = \"optional\"\n"] {
            let listener = if untrusted.is_empty() { "" } else { "trust = [\"lb\"]" };
            let head = told(untrusted, listener, &format!("{name}: 6.6.6.6\r\n"));
            assert!(!head.contains("6.6.6.6"), "{name}: {head}");
        }
        // Naming a field in `Connection` is no way to have ours removed.
        let head = told("", "", &format!("Connection: {name}, X-Forwarded-For, Host\r\n{name}: 6.6.6.6\r\n"));
        assert!(!head.contains("6.6.6.6"), "{name}: {head}");
        assert_eq!(field(&head, "X-Forwarded-For"), Some("127.0.0.1"), "{name}");
        assert_eq!(field(&head, "Host"), Some("Example.com:81"), "{name}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_as_far_as_its_kind_reaches() {
    for (fields, client) in [
        ("X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
        ("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.2.3\r\n", "203.0.113.7"),
        ("X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"),
        ("X-Forwarded-For: 10.1.2.3\r\n", "10.1.2.3"),
        ("X_Forwarded_For: 6.6.6.6\r\n", "127.0.0.1"),
        ("X-Real-IP: 6.6.6.6\r\n", "127.0.0.1"),
        ("Forwarded: for=6.6.6.6\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let head = told(TRUSTING, "trust = [\"proxies\"]", fields);
        assert_eq!(field(&head, "X-Forwarded-For"), Some(client), "{fields}");
        assert_eq!(field(&head, "X-Real-IP"), Some(client), "{fields}");
        assert!(!head.contains("6.6.6.6"), "{head}");
    }
    let fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 8443\r\n";
    let head = told(TRUSTING, "trust = [\"proxies\"]", fields);
    assert_eq!(field(&head, "X-Forwarded-Proto"), Some("https"));
    assert_eq!(field(&head, "X-Forwarded-Host"), Some("shop.example"));
    assert_eq!(field(&head, "X-Forwarded-Port"), Some("8443"));
    assert_eq!(field(&head, "Forwarded"), Some("for=127.0.0.1;host=shop.example;proto=https"));
}

#[test]
fn a_client_behind_a_balancer_that_only_forwards_tcp_cannot_choose_its_address() {
    let head = |header: &str| {
        let endpoint = Endpoint::mirror();
        let text = format!(
            "{}{TRUSTING}",
            file(&[endpoint.address], "cluster = \"app\"\ntrust = [\"proxies\"]", "")
        );
        let gateway = gateway(&text);
        let mut client = Wire::to(&gateway);
        client.write(header.as_bytes());
        client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n").text()
    };
    let direct = head("PROXY TCP4 203.0.113.7 192.0.2.1 1234 443\r\n");
    assert_eq!(field(&direct, "X-Forwarded-For"), Some("203.0.113.7"));
    assert_eq!(field(&direct, "X-Forwarded-Port"), Some("443"));
    // Another proxy of ours behind the balancer may say whom it serves.
    let through = head("PROXY TCP4 10.1.1.1 192.0.2.1 1234 443\r\n");
    assert_eq!(field(&through, "X-Forwarded-For"), Some("6.6.6.6"));
    let unknown = head("PROXY UNKNOWN\r\n");
    assert_eq!(field(&unknown, "X-Forwarded-For"), Some("6.6.6.6"));
}

#[test]
fn the_request_id_of_a_trusted_proxy_is_kept_and_traceparent_passes() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = format!("X-Request-Id: abc-123\r\ntraceparent: {trace}\r\n");
    let head = told(TRUSTING, "trust = [\"proxies\"]", &fields);
    assert_eq!(field(&head, "X-Request-Id"), Some("abc-123"));
    assert_eq!(field(&head, "traceparent"), Some(trace));
    let head = told("", "", &fields);
    assert_ne!(field(&head, "X-Request-Id"), Some("abc-123"));
    assert_eq!(field(&head, "traceparent"), Some(trace));
}

#[test]
fn fields_for_this_hop_stay_here() {
    let head = told(
        "",
        "",
        "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: gzip\r\nUpgrade: x\r\nX-Other: 2\r\n",
    );
    for name in ["Connection", "X-Mine", "TE", "Upgrade"] {
        assert_eq!(field(&head, name), None, "{name}: {head}");
    }
    assert_eq!(field(&head, "X-Other"), Some("2"));

    let endpoint = Endpoint::once(
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Other: 2\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = Wire::to(&in_front_of(&endpoint)).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for name in ["Connection", "X-Mine", "Keep-Alive", "Upgrade"] {
        assert_eq!(answer.field(name), None, "{name}: {}", answer.head);
    }
    assert_eq!(answer.field("X-Other"), Some("2"));
}

#[test]
fn a_connection_that_carried_a_header_serves_one_client_alone() {
    let endpoint = Endpoint::new(|wire| {
        let header = {
            while find(&wire.buffer, b"\r\n").is_none() && wire.fill() > 0 {}
            let end = find(&wire.buffer, b"\r\n").unwrap();
            wire.exactly(end + 2).unwrap()
        };
        while wire.request().is_some() {
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", header.len()).as_bytes());
            wire.write(&header);
        }
    });
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", "send_header = \"v1\""));
    for clients in 1..=3 {
        let mut client = Wire::to(&gateway);
        let port = client.stream.local_addr().unwrap().port();
        for _ in 0..3 {
            let told = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text();
            assert!(told.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} ")), "{told}");
        }
        assert_eq!(endpoint.seen.connections(), clients);
    }
}

#[test]
fn the_access_log_names_the_client_that_a_trusted_proxy_names() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let text = format!(
        "{}{TRUSTING}[log.access]\nto = \"file:{}\"\nformat = \"{{client.ip}} {{client.port}} {{peer.ip}}\"\n",
        file(&[endpoint.address], "cluster = \"app\"\ntrust = [\"proxies\"]", ""),
        path.display()
    );
    let gateway = gateway(&text);
    for forwarded in ["203.0.113.7", "203.0.113.8:99", ""] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
        assert_eq!(Wire::to(&gateway).ask(&request).status, 200);
    }
    let patience = std::time::Instant::now() + PATIENCE;
    let lines = loop {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        if log.lines().count() == 3 {
            break log;
        }
        assert!(std::time::Instant::now() < patience, "{log}");
        std::thread::yield_now();
    };
    let mut lines = lines.lines();
    assert_eq!(lines.next(), Some("203.0.113.7 - 127.0.0.1"));
    assert_eq!(lines.next(), Some("203.0.113.8 99 127.0.0.1"));
    assert!(lines.next().unwrap().starts_with("127.0.0.1 "));
}

#[test]
fn the_header_leaves_in_one_write_with_the_request_that_it_introduces() {
    let (tell, heard) = events();
    let endpoint = Endpoint::new(move |wire| {
        let mut first = [0; 4096];
        let len = std::io::Read::read(&mut wire.stream, &mut first).unwrap();
        tell.lock().unwrap().send(String::from_utf8_lossy(&first[..len]).into_owned()).unwrap();
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let gateway = gateway(&file(&[endpoint.address], "cluster = \"app\"", "send_header = \"v1\""));
    let answer = Wire::to(&gateway).ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.status, 200);
    let first = heard.recv().unwrap();
    assert!(first.starts_with("PROXY TCP4 127.0.0.1 ") && first.ends_with("\r\n\r\nhi"), "{first:?}");
}
