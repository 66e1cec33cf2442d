//! Rules that ask for passwords.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foreword_gateway::{Gateway, config};

use crate::http2::{CLEAR, ask, get, tell, text};
use crate::support::*;

/// `secret` for both, one in bcrypt with the least cost, one in SHA-512 crypt.
const USERS: &str = "users = { alice = \"$2y$04$XIj8CulQgI35INPsss/7E.bRHW2aiOQXXRJqlp1ECqTS7QfQ21FRi\", \
                     bob = \"$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1\" }";

/// Passwords are asked for below `/private`.
fn guarded(endpoint: &Endpoint, users: &str, more: &str) -> String {
    let rules = format!(
        "[[listener.web.rule]]\nname = \"private\"\nwhen = 'path.under(\"/private\")'\n\
         then = {{ basic_auth = {{ realm = \"the vault\", {users} }}, set_fields = {{ X-User = \"{{auth.user}}\" }} {more} }}\n\
         [[listener.web.rule]]\nwhen = 'path == \"/private/alice\" && auth.user != \"alice\"'\nthen = {{ deny = 403 }}\n\
         [[listener.web.rule]]\nthen = {{ forward = \"app\" }}\n"
    );
    file(&[endpoint.address], &rules, "")
}

fn authorization(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn request(path: &str, user: &str, password: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n", authorization(user, password))
}

#[test]
fn only_who_gives_the_password_of_a_user_passes_and_is_known_by_name() {
    let endpoint = Endpoint::mirror();
    let gateway = gateway(&guarded(&endpoint, USERS, ""));
    let mut client = Wire::to(&gateway);
    let challenge = Some("Basic realm=\"the vault\", charset=\"UTF-8\"");
    for fields in [
        String::new(),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Bearer abc\r\n".to_owned(),
        format!("Authorization: {}\r\n", authorization("alice", "Secret")),
        format!("Authorization: {}\r\n", authorization("eve", "secret")),
        format!("Authorization: {}\r\n", authorization("", "")),
        format!("Authorization: {0}\r\nAuthorization: {0}\r\n", authorization("alice", "secret")),
        format!("Authorization: {}\r\n", authorization("alice", &"x".repeat(2000))),
    ] {
        let answer = client.ask(&format!("GET /private/a HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!((answer.status, answer.field("WWW-Authenticate")), (401, challenge), "{fields}");
        assert!(!answer.text().contains("vault"));
    }
    assert_eq!(endpoint.seen.connections(), 0);
    for _ in 0..2 {
        for (user, own) in [("alice", 200), ("bob", 403)] {
            let answer =
                client.ask(&request("/private/a", user, "secret").replace("Host", "x-user: eve\r\nHost"));
            assert_eq!((answer.status, field(&answer.text(), "X-User")), (200, Some(user)));
            assert_eq!(field(&answer.text(), "Authorization"), Some(&*authorization(user, "secret")));
            assert_eq!(client.ask(&request("/private/alice", user, "secret")).status, own);
        }
    }
    assert_eq!(client.ask(&request("/public", "alice", "wrong")).status, 200, "nobody is asked elsewhere");
}

#[test]
fn the_same_holds_over_http_2() {
    let endpoint = Endpoint::mirror();
    let gateway = gateway(
        &guarded(&endpoint, USERS, "").replace("mode = \"http\"", &format!("mode = \"http\"\n{CLEAR}")),
    );
    tell(&gateway, |mut client| async move {
        let with = |password: &str| {
            let mut request = get("/private/alice");
            request.headers_mut().insert("authorization", authorization("alice", password).parse().unwrap());
            request
        };
        let answer = ask(&mut client, get("/private/alice"), b"").await.unwrap();
        assert!(answer.status() == 401 && answer.headers().contains_key("www-authenticate"));
        assert_eq!(ask(&mut client, with("wrong"), b"").await.unwrap().status(), 401);
        let answer = ask(&mut client, with("secret"), b"").await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(field(&text(answer).await, "X-User"), Some("alice"));
    });
}

#[test]
fn what_is_not_meant_for_servers_is_removed_before_they_see_it() {
    let endpoint = Endpoint::mirror();
    let gateway = gateway(&guarded(&endpoint, USERS, ", remove_fields = [\"Authorization\"]"));
    let answer = Wire::to(&gateway).ask(&request("/private", "alice", "secret"));
    assert_eq!((answer.status, field(&answer.text(), "Authorization")), (200, None));
}

#[test]
fn a_file_of_users_is_read_again_by_a_reload_and_who_is_gone_is_let_in_no_more() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let line = USERS.split('"').nth(1).unwrap();
        fs::write(folder.path().join("users"), format!("# ours\n{name}:{line}\n\n")).unwrap();
    };
    write("alice");
    let file = guarded(&endpoint, "file = \"users\"", "");
    let plan = || config::parse(&file, "test.toml", folder.path()).unwrap().plan;
    let gateway = Gateway::start(plan()).unwrap();
    let status = |user: &str| Wire::to(&gateway).ask(&request("/private", user, "secret")).status;
    assert_eq!((status("alice"), status("carol")), (200, 401));
    write("carol");
    gateway.reload(plan()).unwrap();
    assert_eq!((status("alice"), status("carol")), (401, 200));
}

#[test]
fn guesses_end_at_a_limit_before_they_are_checked() {
    let endpoint = Endpoint::polite();
    let limit = ", rate_limit = { requests = 1, every = \"1h\", burst = 3 }";
    let gateway = gateway(&guarded(&endpoint, USERS, limit));
    let mut client = Wire::to(&gateway);
    let statuses: Vec<u16> =
        (0..5).map(|number| client.ask(&request("/private", "alice", &number.to_string())).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

/// Is set when this goes, by a panic as well.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_flood_of_guesses_holds_up_nobody_else() {
    let endpoint = Endpoint::polite();
    // About a tenth of a second each.
    let slow = "users = { alice = \"$2y$04$XIj8CulQgI35INPsss/7E.bRHW2aiOQXXRJqlp1ECqTS7QfQ21FRi\", \
                zoe = \"$6$rounds=200000$saltsalt$40HMxIslauONjF5D8c83f/vy.mLBzOMeHZK911CHEKYNoZrq7j6gU30IDDKagvvS2Ga6DDF.HiLgnzmS4BEmc.\" }";
    let gateway = gateway(&guarded(&endpoint, slow, ""));
    assert_eq!(Wire::to(&gateway).ask(&request("/private", "alice", "secret")).status, 200);
    let (wrong, busy, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        // However this ends: whoever still guesses is waited for.
        let _over = SetAtEnd(&is_over);
        for guesser in 0..12 {
            let (gateway, wrong, busy, is_over) = (&gateway, &wrong, &busy, &is_over);
            scope.spawn(move || {
                let mut client = Wire::to(gateway);
                for guess in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = client.ask(&request("/private", "zoe", &format!("{guesser}.{guess}")));
                    match (answer.status, answer.field("Retry-After")) {
                        (401, None) => wrong.fetch_add(1, Ordering::Relaxed),
                        (503, Some("1")) => busy.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other:?}"),
                    };
                }
            });
        }
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        let begun = Instant::now();
        while count(&wrong) == 0 || count(&busy) == 0 {
            assert!(begun.elapsed() < PATIENCE, "{} wrong, {} not checked", count(&wrong), count(&busy));
            thread::yield_now();
        }
        let (mut client, before) = (Wire::to(&gateway), count(&wrong));
        for _ in 0..50 {
            for request in [request("/private", "alice", "secret"), request("/public", "", "")] {
                assert_eq!(client.ask(&request).status, 200);
            }
        }
        // Whoever had to wait for a hash each time would have seen as many of them.
        let hashes = count(&wrong) - before;
        assert!(hashes < 50, "{hashes} hashes for 100 requests");
    });
}

#[test]
fn the_log_tells_the_user() {
    let endpoint = Endpoint::polite();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let written = |format: &str| {
        let _fresh = fs::remove_file(&log);
        let more = format!("[log.access]\nto = \"file:{}\"\nformat = \"{format}\"\n", log.display());
        let gateway = gateway(&format!("{}{more}", guarded(&endpoint, USERS, "")));
        let mut client = Wire::to(&gateway);
        assert_eq!(client.ask(&request("/private", "bob", "secret")).status, 200);
        assert_eq!(client.ask(&request("/private", "bob", "wrong")).status, 401);
        gateway.cut();
        drop(gateway);
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.lines().count() == 2 {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{text}");
            thread::yield_now();
        }
    };
    let json = written("json");
    assert!(json.lines().next().unwrap().contains("\"user.name\":\"bob\""), "{json}");
    assert!(json.lines().nth(1).unwrap().contains("\"refusal.code\":\"FW412\""), "{json}");
    assert_eq!(json.matches("user.name").count(), 1, "{json}");
    let combined = written("combined");
    assert!(combined.starts_with("127.0.0.1 127.0.0.1 bob ["), "{combined}");
    assert!(combined.lines().nth(1).unwrap().starts_with("127.0.0.1 127.0.0.1 - ["), "{combined}");
}
