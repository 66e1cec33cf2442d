//! Clients that come back to the endpoint that answered them, by a cookie.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foreword_gateway::{Gateway, config};

use crate::http2;
use crate::support::*;

const STICKY: &str = "sticky = { cookie = \"fw\", secret = \"0123456789abcdef\" }\n";

/// Answers with its name and the cookies that it was sent, unless it fails: then it closes without a word.
struct Named {
    endpoint: Endpoint,
    fails: Arc<AtomicBool>,
}

fn named(name: &'static str) -> Named {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let endpoint = Endpoint::new(move |wire| {
        while let Some((head, _)) = wire.request() {
            if failing.load(Ordering::SeqCst) {
                return;
            }
            let fields = head.lines().filter_map(|line| line.split_once(": "));
            let cookies = fields.filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
            let cookies: Vec<&str> = cookies.map(|(_, value)| value).collect();
            let body = format!("{name} {}", cookies.join("|"));
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        }
    });
    Named { endpoint, fails }
}

fn three() -> [Named; 3] {
    ["one", "two", "three"].map(named)
}

fn addresses(endpoints: &[Named]) -> Vec<SocketAddr> {
    endpoints.iter().map(|named| named.endpoint.address).collect()
}

fn get(cookies: &str) -> String {
    let cookies = if cookies.is_empty() { String::new() } else { format!("Cookie: {cookies}\r\n") };
    format!("GET / HTTP/1.1\r\nHost: a\r\n{cookies}\r\n")
}

/// Who answered, and the cookie that came with it.
fn who(answer: &Answer) -> (String, Option<String>) {
    let cookie = answer.field("Set-Cookie").map(|set| set.split(';').next().unwrap().to_owned());
    (answer.text().split(' ').next().unwrap().to_owned(), cookie)
}

fn ask(gateway: &Gateway, cookies: &str) -> (String, Option<String>) {
    who(&Wire::to(gateway).ask(&get(cookies)))
}

#[test]
fn a_client_comes_back_to_the_endpoint_that_its_cookie_names_and_nobody_sees_the_cookie() {
    let endpoints = three();
    let gateway = gateway(&file(&addresses(&endpoints), "cluster = \"app\"", STICKY));
    let answer = Wire::to(&gateway).ask(&get(""));
    let set = answer.field("Set-Cookie").unwrap().to_owned();
    assert!(set.starts_with("fw=") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    for address in addresses(&endpoints) {
        assert!(!set.contains(&address.to_string()), "{set}");
    }
    let (first, cookie) = who(&answer);
    let cookie = cookie.unwrap();
    for _ in 0..6 {
        let answer = Wire::to(&gateway).ask(&get(&format!("a=1; {cookie}; b=2")));
        assert_eq!(answer.text(), format!("{first} a=1; b=2"));
        assert_eq!(answer.field("Set-Cookie"), None, "it has it already");
        assert_eq!(Wire::to(&gateway).ask(&get(&cookie)).text(), format!("{first} "));
    }
    let others: HashSet<String> = (0..9).map(|_| ask(&gateway, "").0).collect();
    assert_eq!(others.len(), 3, "newcomers go everywhere");
}

#[test]
fn the_cookie_means_the_same_after_a_restart_and_nothing_with_another_secret() {
    let endpoints = three();
    let text = file(&addresses(&endpoints), "cluster = \"app\"", STICKY);
    let (first, cookie) = ask(&gateway(&text), "");
    let cookie = cookie.unwrap();
    let restarted = gateway(&text);
    for _ in 0..4 {
        assert_eq!(ask(&restarted, &cookie), (first.clone(), None));
    }
    let reloaded = config::parse(&text, "test.toml", Path::new(".")).unwrap();
    restarted.reload(reloaded.plan).unwrap();
    assert_eq!(ask(&restarted, &cookie), (first, None));
    let other = gateway(&text.replace("0123456789abcdef", "another secret of mine"));
    let (_, given) = ask(&other, &cookie);
    assert!(given.is_some_and(|given| given != cookie));
}

#[test]
fn a_cookie_that_names_nobody_is_replaced() {
    let endpoints = three();
    let gateway = gateway(&file(&addresses(&endpoints), "cluster = \"app\"", STICKY));
    let long = format!("fw={}", "x".repeat(4000));
    for forged in ["fw=AAAAAAAAAAAAAAAA", "fw=", "fw=127.0.0.1:80", "fw=%00%00", &long] {
        let (_, cookie) = ask(&gateway, forged);
        assert!(cookie.is_some_and(|cookie| cookie.len() == "fw=".len() + 16), "{forged}");
    }
}

#[test]
fn where_its_endpoint_fails_or_drains_a_client_gets_another_one_and_its_cookie() {
    let endpoints = three();
    let text = file(&addresses(&endpoints), "cluster = \"app\"", STICKY);
    let gateway = gateway(&text);
    let (first, cookie) = ask(&gateway, "");
    let place = ["one", "two", "three"].iter().position(|name| *name == first).unwrap();
    endpoints[place].fails.store(true, Ordering::SeqCst);
    let (second, given) = ask(&gateway, &cookie.clone().unwrap());
    assert_ne!(second, first, "the request was tried again elsewhere");
    assert_eq!(ask(&gateway, &given.clone().unwrap()), (second.clone(), None));

    endpoints[place].fails.store(false, Ordering::SeqCst);
    let address = endpoints[place].endpoint.address;
    let drained =
        text.replace(&format!("\"{address}\""), &format!("{{ address = \"{address}\", drain = true }}"));
    gateway.reload(config::parse(&drained, "test.toml", Path::new(".")).unwrap().plan).unwrap();
    let (third, given) = ask(&gateway, &cookie.unwrap());
    assert!(third != first && given.is_some());
}

#[test]
fn where_its_endpoint_is_ejected_a_client_goes_elsewhere_without_asking_there() {
    let endpoints = three();
    let ejection = "ejection = { failures = 1, time = \"60s\", max_time = \"60s\" }\n";
    let gateway = gateway(&file(&addresses(&endpoints), "cluster = \"app\"", &format!("{STICKY}{ejection}")));
    let (first, cookie) = ask(&gateway, "");
    let place = ["one", "two", "three"].iter().position(|name| *name == first).unwrap();
    let cookie = cookie.unwrap();
    endpoints[place].fails.store(true, Ordering::SeqCst);
    assert_ne!(ask(&gateway, &cookie).0, first, "it failed, and was ejected for that");
    endpoints[place].fails.store(false, Ordering::SeqCst);
    let before = endpoints[place].endpoint.seen.connections();
    for _ in 0..3 {
        let (other, given) = ask(&gateway, &cookie);
        assert!(other != first && given.is_some(), "{other}");
    }
    assert_eq!(endpoints[place].endpoint.seen.connections(), before);
}

#[test]
fn connections_of_one_client_go_where_each_cookie_says_though_they_carry_its_header() {
    let endpoints = ["one", "two"].map(|name| {
        Endpoint::new(move |wire| {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                match wire.exactly(1) {
                    Some(byte) => line.extend(byte),
                    None => return,
                }
            }
            while wire.request().is_some() {
                wire.write(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()).as_bytes(),
                );
            }
        })
    });
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let cluster = format!("send_header = \"v1\"\n{STICKY}");
    let gateway = gateway(&file(&addresses, "cluster = \"app\"", &cluster));
    let cookies: Vec<(String, String)> = (0..2)
        .map(|_| {
            let (who, cookie) = ask(&gateway, "");
            (who, cookie.unwrap())
        })
        .collect();
    assert_ne!(cookies[0].0, cookies[1].0);
    let mut client = Wire::to(&gateway);
    let before: usize = endpoints.iter().map(|endpoint| endpoint.seen.connections()).sum();
    for _ in 0..4 {
        for (named, cookie) in &cookies {
            assert_eq!(who(&client.ask(&get(cookie))), (named.clone(), None));
        }
    }
    let after: usize = endpoints.iter().map(|endpoint| endpoint.seen.connections()).sum();
    assert_eq!(after - before, 2, "one to each, kept for this client");
}

#[test]
fn under_tls_the_cookie_stays_there_and_endpoints_may_see_it_if_they_should() {
    let endpoints = three();
    let listener = "cluster = \"app\"\ntrust = [\"edge\"]";
    let trust = "[trust.edge]\nfrom = [\"127.0.0.0/8\"]\nheader = \"optional\"\nforwarded = true\n";
    let sticky = STICKY.replace(" }", ", max_age = \"1h\", same_site = \"none\", forward = true }");
    let gateway = gateway(&format!("{}{trust}", file(&addresses(&endpoints), listener, &sticky)));
    let answer = Wire::to(&gateway).ask("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
    let set = answer.field("Set-Cookie").unwrap();
    assert!(set.ends_with("; Path=/; HttpOnly; Max-Age=3600; SameSite=None; Secure"), "{set}");
    let (first, cookie) = who(&answer);
    let cookie = cookie.unwrap();
    let answer = Wire::to(&gateway).ask(&get(&format!("a=1; {cookie}")));
    assert_eq!(answer.text(), format!("{first} a=1; {cookie}"));
}

#[test]
fn over_http_2_cookies_in_crumbs_are_read_and_set_alike() {
    let endpoints = three();
    let listener = format!("cluster = \"app\"\n{}", http2::CLEAR);
    let gateway = gateway(&file(&addresses(&endpoints), &listener, STICKY));
    http2::tell(&gateway, |mut client| async move {
        let answer = http2::ask(&mut client, http2::get("/"), b"").await.unwrap();
        let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        let first = http2::text(answer).await;
        let cookie = set.split(';').next().unwrap();
        for _ in 0..6 {
            let mut request = http2::get("/");
            for crumb in ["a=1", cookie, "b=2"] {
                request.headers_mut().append("cookie", crumb.parse().unwrap());
            }
            let answer = http2::ask(&mut client, request, b"").await.unwrap();
            assert!(!answer.headers().contains_key("set-cookie"));
            let text = http2::text(answer).await;
            assert!(text.starts_with(first.trim_end()) && !text.contains("fw="), "{text}");
            assert!(text.contains("a=1") && text.contains("b=2"), "{text}");
        }
    });
}
