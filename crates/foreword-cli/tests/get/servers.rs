//! The client against real servers, with and without PROXY.

use crate::peer::real::{Apache, Haproxy, Nginx};
use crate::peer::tls::Certificate;
use crate::peer::{code, foreword, stderr, stdout};

#[test]
fn nginx_sees_the_client_of_the_header_plain_and_under_tls() {
    let certificate = Certificate::new();
    let Some(nginx) = Nginx::start(&certificate) else { return };
    let cacert = certificate.path("cert.pem");
    for version in ["v1", "v2"] {
        for url in [
            format!("http://127.0.0.1:{}/", nginx.header),
            format!("https://localhost:{}/", nginx.header_tls),
        ] {
            let output =
                foreword(&["get", "--cacert", &cacert, "--header", version, "--source", "203.0.113.7", &url]);
            assert_eq!(
                (code(&output), stdout(&output)),
                (0, "remote=203.0.113.7\n".into()),
                "{}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn nginx_without_proxy_did_not_expect_a_header() {
    let certificate = Certificate::new();
    let Some(nginx) = Nginx::start(&certificate) else { return };
    for version in ["v1", "v2"] {
        for url in
            [format!("http://127.0.0.1:{}/", nginx.plain), format!("https://127.0.0.1:{}/", nginx.plain_tls)]
        {
            let output = foreword(&["get", "-k", "--header", version, &url]);
            assert_eq!(code(&output), 111, "{version} {url}: {}", stderr(&output));
        }
    }
}

#[test]
fn nginx_that_expects_a_header_is_recognised_when_asked_without() {
    let certificate = Certificate::new();
    let Some(nginx) = Nginx::start(&certificate) else { return };
    for url in
        [format!("http://127.0.0.1:{}/", nginx.header), format!("https://127.0.0.1:{}/", nginx.header_tls)]
    {
        let output = foreword(&["get", "-k", "--header", "none", &url]);
        assert!([35, 52, 56].contains(&code(&output)), "{}", stderr(&output));
        assert!(stderr(&output).contains("requires a PROXY header: try --header v1"), "{}", stderr(&output));
    }
    let output = foreword(&["get", "-k", &format!("https://127.0.0.1:{}/", nginx.header)]);
    assert_eq!(code(&output), 35);
    assert!(stderr(&output).contains("try http://"), "{}", stderr(&output));
}

#[test]
fn haproxy_sees_client_and_authority_or_did_not_expect_them() {
    let certificate = Certificate::new();
    let Some(haproxy) = Haproxy::start(&certificate) else { return };
    let url = format!("http://127.0.0.1:{}/", haproxy.header);
    let flags = [
        "--source",
        "203.0.113.7",
        "--destination",
        "198.51.100.20:443",
        "--tlv",
        "authority=a.example",
        "--crc32c",
    ];
    let output = foreword(&[&["get"], &flags[..], &[&url]].concat());
    assert_eq!(stdout(&output), "src=203.0.113.7 dst=198.51.100.20 auth=a.example\n", "{}", stderr(&output));
    assert_eq!(stdout(&foreword(&["get", "--local", &url])), "src=127.0.0.1 dst=127.0.0.1 auth=\n");

    for url in
        [format!("http://127.0.0.1:{}/", haproxy.plain), format!("https://127.0.0.1:{}/", haproxy.plain_tls)]
    {
        let output = foreword(&["get", "-k", &url]);
        assert_eq!(code(&output), 111, "{url}: {}", stderr(&output));
    }
}

#[test]
fn apache_logs_the_client_of_the_header_or_did_not_expect_it() {
    let Some(apache) = Apache::start() else { return };
    for (version, source) in [("v1", "203.0.113.7"), ("v2", "203.0.113.8")] {
        let url = format!("http://127.0.0.1:{}/", apache.header);
        let output =
            foreword(&["get", "-s", "-o", "/dev/null", "--header", version, "--source", source, &url]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let log = apache.logged(source);
        assert!(log.contains(&format!("{source} peer=127.0.0.1 ")), "{log}");
        let output =
            foreword(&["get", "-s", "--header", version, &format!("http://127.0.0.1:{}/", apache.plain)]);
        assert_eq!(code(&output), 111, "{}", stderr(&output));
    }
}
