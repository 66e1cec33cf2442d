//! HTTP/2 with real clients and servers: curl, nghttp2's, and gRPC's own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::gateway::Gateway;
use crate::ground::Ground;
use crate::origin::Origin;
use crate::program::{self, Program};
use crate::python;

/// A listener at `web` with these keys in front of `app`, whose cluster has those.
fn file(web: SocketAddr, listener: &str, app: SocketAddr, cluster: &str) -> String {
    format!(
        "[listener.web]\nbind = [\"{web}\"]\nmode = \"http\"\ncluster = \"app\"\n{listener}\n\
         [cluster.app]\nendpoints = [\"{app}\"]\n{cluster}\n\
         [log.access]\nto = \"stdout\"\nformat = \"json\"\n"
    )
}

const CLEAR: &str = "http2 = \"prior-knowledge\"";

/// What the first listener is given to speak TLS, and a second one beside it that speaks HTTP/2 in the clear.
fn secure_and_clear(certificate: &Path, clear: SocketAddr) -> String {
    format!(
        "tls = {{ certificates = [{{ certificate = \"{0}\", key = \"{0}\" }}] }}\n\
         [listener.clear]\nbind = [\"{clear}\"]\nmode = \"http\"\ncluster = \"app\"\n{CLEAR}",
        certificate.display()
    )
}

#[test]
fn curl_speaks_http_2_with_the_gateway_under_tls_and_in_the_clear() {
    let ground = Ground::new();
    let Some(mut curl) = program::peer("curl") else { return };
    let origin = Origin::start(&ground);
    let (secure, clear) = (ground.address(), ground.address());
    let certificate = ground.certificate(&["www.example.com"]);
    let listeners = secure_and_clear(&certificate.file, clear);
    let foreword = Gateway::start(&ground, &file(secure, &listeners, origin.address, ""), &[secure, clear]);
    let told = |curl: &mut std::process::Command| {
        let run = program::run(curl.args([
            "--silent",
            "--show-error",
            "--write-out",
            " %{http_version} %{http_code}",
        ]));
        assert!(run.status.success(), "{}\n{}", run.error, foreword.program.transcript());
        run.out
    };

    let resolve = format!("www.example.com:{}:{}", secure.port(), secure.ip());
    let url = format!("https://www.example.com:{}/by-alpn", secure.port());
    let by_alpn = told(curl.args(["--http2", "--insecure", "--resolve", &resolve, &url]));
    assert!(by_alpn.starts_with("/by-alpn ") && by_alpn.ends_with(" 2 200"), "{by_alpn}");
    assert_eq!(foreword.access_with("/by-alpn", 1).get("http.version"), "2");

    let mut curl = program::peer("curl").expect("it was there before");
    let by_http1 = told(curl.args(["--http1.1", "--insecure", "--resolve", &resolve, &url]));
    assert!(by_http1.ends_with(" 1.1 200"), "{by_http1}");

    let mut curl = program::peer("curl").expect("it was there before");
    let url = format!("http://{clear}/known");
    let known = told(curl.args(["--http2-prior-knowledge", "--data", "body", &url]));
    assert!(known.starts_with("/known ") && known.ends_with(" 2 200"), "{known}");
    assert_eq!(foreword.access_with("/known", 1).get("http.version"), "2");
}

#[test]
fn h2spec_finds_nothing_wrong_under_tls_and_in_the_clear_twenty_times() {
    if std::env::var_os("FOREWORD_NIGHTLY").is_none() {
        // Few machines have it; `scripts/check nightly` says how to come by it.
        return;
    }
    let ground = Ground::new();
    let Some(_) = program::peer("h2spec") else { return };
    let origin = Origin::start(&ground);
    let (secure, clear) = (ground.address(), ground.address());
    let certificate = ground.certificate(&["www.example.com"]);
    let listeners = secure_and_clear(&certificate.file, clear);
    let _foreword = Gateway::start(&ground, &file(secure, &listeners, origin.address, ""), &[secure, clear]);
    for round in 1..=20 {
        for (address, more) in [(clear, &["--strict"][..]), (secure, &["--strict", "--tls", "--insecure"])] {
            let mut h2spec = program::peer("h2spec").expect("it was there before");
            let (ip, port) = (address.ip().to_string(), address.port().to_string());
            let run = program::run(h2spec.args(["--host", &ip, "--port", &port]).args(more));
            let last = run.out.lines().last().unwrap_or_default();
            let is_good = last.ends_with(" 0 skipped, 0 failed") && !last.starts_with("0 ");
            assert!(run.status.success() && is_good, "round {round}, {more:?}\n{}\n{}", run.out, run.error);
        }
    }
}

#[test]
fn h2load_gets_every_answer() {
    let ground = Ground::new();
    let Some(mut h2load) = program::peer("h2load") else { return };
    let origin = Origin::start(&ground);
    let web = ground.address();
    let _foreword = Gateway::start(&ground, &file(web, CLEAR, origin.address, ""), &[web]);
    let run = program::run(h2load.args(["-n", "2000", "-c", "5", "-m", "50", &format!("http://{web}/")]));
    assert!(run.out.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{}\n{}", run.out, run.error);
}

#[test]
fn grpc_works_end_to_end_and_knows_its_client() {
    let ground = Ground::new();
    let Some(mut server) = python::script("grpc_echo.py", "grpc") else { return };
    let Some(mut caller) = python::script("grpc_caller.py", "grpc") else { return };
    let (app, web) = (ground.address(), ground.address());
    let _server = Program::start("grpc server", server.args([app.ip().to_string(), app.port().to_string()]))
        .listening(app);
    let foreword = Gateway::start(&ground, &file(web, CLEAR, app, "protocol = \"h2\""), &[web]);

    let talk = program::run(caller.args([web.ip().to_string(), web.port().to_string()]));

    assert_eq!(
        talk.out.lines().collect::<Vec<_>>(),
        [
            "127.0.0.1: hello 5",
            "127.0.0.1: one",
            "127.0.0.1: two",
            "127.0.0.1: three",
            "ended: True OK",
            "refused: NOT_FOUND no such thing",
            "large: True",
            "many: True",
        ],
        "{}\n{}",
        talk.error,
        foreword.program.transcript()
    );
    let access = foreword.access_with("/echo.Echo/Talk", 1);
    assert_eq!((access.get("http.version").as_str(), access.get("client.ip").as_str()), ("2", "127.0.0.1"));
}

/// Whether curl, which sends this body, shows this status and ends well.
fn curl_is_shown(status: &str, version: &str, body: &Path, url: &str) -> Result<(), String> {
    let mut curl = program::peer("curl").expect("it was there before");
    let data = format!("@{}", body.display());
    let run = program::run(curl.args(["--silent", "--show-error", version, "--header", "Expect:"]).args([
        "--data-binary",
        &data,
        "--write-out",
        "%{http_code}",
        url,
    ]));
    let is_shown = run.status.success() && run.out.starts_with(status) && run.out.ends_with(status);
    if is_shown { Ok(()) } else { Err(format!("{version} {url}: {}\n{}", run.error, run.out)) }
}

#[test]
fn curl_shows_the_refusal_of_what_it_is_still_sending() {
    let ground = Ground::new();
    if program::peer("curl").is_none() {
        return;
    }
    let origin = Origin::start(&ground);
    let (clear, plain) = (ground.address(), ground.address());
    let terms = "max = { body = 1000 }\n\
                 rule = [{ when = 'path.under(\"/no\")', then = { deny = 403 } }, { then = { forward = \"app\" } }]";
    let text = format!(
        "[listener.clear]\nbind = [\"{clear}\"]\nmode = \"http\"\n{CLEAR}\n{terms}\n\
         [listener.plain]\nbind = [\"{plain}\"]\nmode = \"http\"\n{terms}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        origin.address
    );
    let foreword = Gateway::start(&ground, &text, &[clear, plain]);
    for length in [2_000, 60_000, 200_000, 5_000_000] {
        let body = ground.write("body", &"x".repeat(length));
        for (version, address) in [("--http1.1", plain), ("--http2-prior-knowledge", clear)] {
            for (path, status) in [("no", "403"), ("large", "413")] {
                let url = format!("http://{address}/{path}");
                let is_shown = |late: &mut Vec<String>| {
                    let (begun, shown) = (Instant::now(), curl_is_shown(status, version, &body, &url));
                    // The gateway's own bound: behind it, what a machine that paused did not send is not heard out.
                    match shown {
                        Err(error) if begun.elapsed() < Duration::from_secs(1) => {
                            panic!("{length}: {error}\n{}", foreword.program.transcript())
                        }
                        shown => shown.map_err(|error| late.push(error)).is_ok(),
                    }
                };
                let mut late = Vec::new();
                assert!((0..5).any(|_| is_shown(&mut late)), "late each time: {late:?}");
            }
        }
    }
}
