//! What rules do to requests, and what paths they see.

use crate::support::*;

/// A gateway with these rules in front of an endpoint that answers with the head that it was sent.
fn ruled(rules: &str) -> (Endpoint, foreword_gateway::Gateway) {
    let endpoint = Endpoint::mirror();
    let gateway = gateway(&file(&[endpoint.address], rules, ""));
    (endpoint, gateway)
}

const ADMIN: &str = "[[listener.web.rule]]\nname = \"admin\"\nwhen = 'path.under(\"/admin\")'\nthen = { deny = 403 }\n\
                     [[listener.web.rule]]\nthen = { forward = \"app\" }\n";

#[test]
fn no_trick_gets_past_a_rule_on_a_path() {
    let (endpoint, gateway) = ruled(ADMIN);
    let mut tricks: Vec<String> = [
        "/admin",
        "/admin/",
        "/admin/x",
        "//admin",
        "///admin",
        "/./admin",
        "/.//admin",
        "/x/../admin",
        "/x/./../admin",
        "/x/y/../../admin",
        "/../admin",
        "/../../admin",
        "/admin/.",
        "/admin/./x",
        "/admin//x",
        "/admin;x",
        "/admin;x=y/z",
        "/admin;",
        "/;x/admin",
        "/;/admin",
        "/admin/;x",
        "/%61dmin",
        "/%61%64%6d%69%6e",
        "/%61%64%6D%69%6E",
        "/adm%69n",
        "/admin%3b",
        "/admin%3Bx",
        "/admin%3bx/y",
        "/%2e/admin",
        "/%2E/admin",
        "/x/%2e%2e/admin",
        "/x/.%2e/admin",
        "/x/%2E./admin",
        "/%2fadmin",
        "/%2Fadmin",
        "/x/..%2fadmin",
        "/x/..%2Fadmin",
        "/x%2f../admin",
        "/x%2f..%2fadmin",
        "/admin%2fx",
        "/admin%2f",
        "/%5cadmin",
        "/x/..%5cadmin",
        "/x/..%5Cadmin",
        "/\\admin",
        "/x/..\\admin",
        "/x\\..\\admin",
        "/admin\\x",
        "/admin%5cx",
        "/x/..;/admin",
        "/x/..;a=b/admin",
        "/x/%2e%2e;/admin",
        "/x/..%3b/admin",
        "/.;/admin",
        "/admin%00",
        "/admin%00.png",
        "/%00/admin",
        "/admin%0a",
        "/admin%0d%0a",
        "/admin%09",
        "/admin%7f",
        "/admin#",
        "/admin#x",
        "/x#/../admin",
        "/%2561dmin",
        "/%252e%252e/admin",
        "/x/%252e%252e/admin",
        "/%252fadmin",
        "/x/..%252fadmin",
        "/x/..%255cadmin",
        "/%25%32%65/admin",
        "/%25%36%31dmin",
        "/%c0%afadmin",
        "/x/%c0%ae%c0%ae/admin",
        "/x/%c0%2e%c0%2e/admin",
        "/%c1%a1dmin",
        "/%e0%80%afadmin",
        "/%f0%80%80%afadmin",
        "/%u0061dmin",
        "/%u002fadmin",
        "/admin%",
        "/admin%6",
        "/admin%zz",
        "/%%61dmin",
        "/%2%66admin",
        "/admin?x",
        "/admin/?x",
        "/admin;x?y",
        "/./%61dmin?",
        "//%61dmin//",
        "/x/..//admin",
        "/x//..//admin",
        "/x/..///./admin",
        "/.//..//admin",
        "/a/b/c/../../../admin",
        "/a/..;/../admin",
        "/admin/../admin",
        "/admin/x/..",
        "/admin/x/../",
        "/%61dmin/%2e",
        "/x/%2e%2e/%61dmin",
    ]
    .map(str::to_owned)
    .to_vec();
    let absolute: Vec<String> = tricks
        .iter()
        .flat_map(|trick| {
            [format!("http://a{trick}"), format!("HTTP://A.:80{trick}"), format!("/public/..{trick}")]
        })
        .collect();
    tricks.extend(absolute);
    assert!(tricks.len() >= 300, "{}", tricks.len());
    for trick in &tricks {
        let answer = Wire::to(&gateway).ask(&format!("GET {trick} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(matches!(answer.status, 400 | 403), "{trick} was let through: {}", answer.text());
    }
    assert_eq!(endpoint.seen.connections(), 0);
}

#[test]
fn what_rules_match_is_what_is_forwarded() {
    let (_endpoint, gateway) = ruled(ADMIN);
    for (sent, forwarded) in [
        ("/", "/"),
        ("/a/../b", "/b"),
        ("//a///b//", "/a/b/"),
        ("/%7euser/%61", "/~user/a"),
        ("/a;x=1/b?q=%2F..//", "/a;x=1/b?q=%2F..//"),
        ("/%c3%a9", "/%C3%A9"),
        ("/a|b", "/a%7Cb"),
        ("/administrator", "/administrator"),
        ("/admin/../public", "/public"),
        ("http://a/x/../y?z", "/y?z"),
        ("http://a", "/"),
        ("http://a?z", "/?z"),
    ] {
        let answer = Wire::to(&gateway).ask(&format!("GET {sent} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status, 200, "{sent}");
        assert!(
            answer.text().starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")),
            "{sent}: {}",
            answer.text()
        );
    }
}

#[test]
fn servers_without_case_and_with_encoded_slashes_have_their_options() {
    let endpoint = Endpoint::mirror();
    let keys = format!("encoded_slash = \"keep\"\nignore_case = true\n{ADMIN}");
    let gateway = gateway(&file(&[endpoint.address], &keys, ""));
    for path in
        ["/ADMIN", "/Admin/x", "/%41dmin", "/admin%2fx", "/%2Fadmin", "/x%2f..%2fadmin", "/x%5c../admin"]
    {
        let answer = Wire::to(&gateway).ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(matches!(answer.status, 400 | 403), "{path}");
    }
    let answer = Wire::to(&gateway).ask("GET /A%2fb HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.text().starts_with("GET /A%2Fb HTTP/1.1\r\n"), "{}", answer.text());
}

#[test]
fn the_host_that_rules_see_is_the_one_that_is_meant() {
    let (_endpoint, gateway) =
        ruled("[[listener.web.rule]]\nwhen = 'host == \"www.example.com\"'\nthen = { forward = \"app\" }\n");
    for (target, host, status) in [
        ("/", "www.example.com", 200),
        ("/", "WWW.Example.COM:8080", 200),
        ("/", "www.example.com.", 200),
        ("http://www.example.com/", "www.example.com", 200),
        ("http://www.example.com/", "evil.example", 400),
        ("http://evil.example/", "www.example.com", 400),
        ("/", "evil.example", 404),
        ("/", "www.example.com.evil.example", 404),
        ("/", "www.example.com@evil.example", 400),
        ("/", "www.example.com, evil.example", 400),
        ("/", "", 400),
    ] {
        let answer = Wire::to(&gateway).ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, status, "{target} {host}");
    }
}

#[test]
fn a_rule_answers_by_itself_and_the_connection_goes_on() {
    let (endpoint, gateway) = ruled(
        "[[listener.web.rule]]\nwhen = 'path == \"/deny\"'\nthen = { deny = 418 }\n\
         [[listener.web.rule]]\nwhen = 'path == \"/move\"'\nthen = { redirect = \"https://{host}{uri}\" }\n\
         [[listener.web.rule]]\nwhen = 'path == \"/say\"'\nthen = { respond = { status = 200, body = \"hello\\n\" } }\n\
         [[listener.web.rule]]\nwhen = 'path == \"/close\"'\nthen = { close = true }\n",
    );
    let mut client = Wire::to(&gateway);
    let answer = client.ask("GET /deny HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (418, "418 I'm a teapot\n"));
    assert!(answer.field("Date").is_some_and(|date| date.ends_with(" GMT")));
    let answer = client.ask("GET /move?x=%0d%0aSet-Cookie:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (answer.status / 100, answer.field("Location")),
        (3, Some("https://a/move?x=%0d%0aSet-Cookie:1"))
    );
    let answer = client.ask("GET /say HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello\n"));
    let answer = client.ask("HEAD /say HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.field("Content-Length")), (200, Some("6")));
    let answer = client.ask("POST /say HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((answer.status, answer.field("Connection")), (200, None));
    let answer = client.ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (404, "404 Not Found\n"));
    client.write(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.is_closed());
    assert_eq!(endpoint.seen.connections(), 0);
}

#[test]
fn an_answer_of_ours_to_a_body_that_is_still_coming_ends_the_connection() {
    let (_endpoint, gateway) = ruled(ADMIN);
    for _ in 0..20 {
        let mut client = Wire::to(&gateway);
        client.write(b"POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
        client.write(&[b'x'; 60_000]);
        let answer = client.answer("POST").unwrap();
        assert_eq!(answer.status, 403);
        assert_eq!(answer.field("Connection"), Some("close"));
        assert!(client.is_closed());
    }
}

#[test]
fn a_rule_asks_for_a_field_however_some_server_may_read_its_name() {
    let (_endpoint, gateway) = ruled(
        "[[listener.web.rule]]\nwhen = 'field[\"x-debug\"] == \"1\"'\nthen = { deny = 403 }\n\
         [[listener.web.rule]]\nthen = { forward = \"app\" }\n",
    );
    for (name, status) in [("X-Debug", 403), ("x_debug", 403), ("X-DEBUG", 403), ("X-Debugs", 200)] {
        let answer = Wire::to(&gateway).ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n"));
        assert_eq!(answer.status, status, "{name}");
    }
}

#[test]
fn rules_set_and_remove_fields_both_ways() {
    let (_endpoint, gateway) = ruled(
        "[[listener.web.rule]]\nthen = { set_fields = { \"X-Client\" = \"{client.ip}\", \"X-Forwarded-Proto\" = \"gopher\", \"Host\" = \"inner\" }, remove_fields = [\"X-Secret\"], set_response_fields = { \"Strict-Transport-Security\" = \"max-age=1\" } }\n\
         [[listener.web.rule]]\nwhen = 'path == \"/deny\"'\nthen = { deny = 403 }\n\
         [[listener.web.rule]]\nthen = { forward = \"app\" }\n",
    );
    let mut client = Wire::to(&gateway);
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nx-client: 6.6.6.6\r\nX_Client: 6.6.6.6\r\nX_Secret: 6.6.6.6\r\nx-secret: 1\r\n\r\n");
    let head = answer.text();
    assert_eq!(field(&head, "X-Client"), Some("127.0.0.1"));
    assert_eq!(field(&head, "X-Forwarded-Proto"), Some("gopher"));
    assert_eq!(field(&head, "Host"), Some("inner"));
    assert!(!head.contains("6.6.6.6") && field(&head, "X-Secret").is_none(), "{head}");
    assert_eq!(answer.field("Strict-Transport-Security"), Some("max-age=1"));
    let answer = client.ask("GET /deny HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.field("Strict-Transport-Security")), (403, Some("max-age=1")));
}
