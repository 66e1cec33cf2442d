//! What rules answer and ask for, with real clients: curl decodes what is made smaller, and gives a password that htpasswd
//! has hashed.

use crate::gateway::Gateway;
use crate::ground::Ground;
use crate::program;

#[test]
fn curl_decodes_every_coding_over_both_versions() {
    let ground = Ground::new();
    if program::peer("curl").is_none() {
        return;
    }
    let page: String = (0..5000).map(|line| format!("<li>line {line}</li>\n")).collect();
    let file = ground.write("page.html", &page);
    let (web, clear, app) = (ground.address(), ground.address(), ground.address());
    let rules = "rule = [{ then = { compress = true, forward = \"app\" } }]";
    let text = format!(
        "[listener.web]\nbind = [\"{web}\"]\nmode = \"http\"\n{rules}\n\
         [listener.clear]\nbind = [\"{clear}\"]\nmode = \"http\"\nhttp2 = \"prior-knowledge\"\n{rules}\n\
         [listener.app]\nbind = [\"{app}\"]\nmode = \"http\"\nrule = [{{ then = {{ respond = {{ file = \"{}\" }} }} }}]\n\
         [cluster.app]\nendpoints = [\"{app}\"]\n",
        file.display()
    );
    let foreword = Gateway::start(&ground, &text, &[web, clear, app]);
    for coding in ["gzip", "br", "zstd"] {
        for (version, address) in [("--http1.1", web), ("--http2-prior-knowledge", clear)] {
            let mut curl = program::peer("curl").expect("it was there before");
            let accept = format!("Accept-Encoding: {coding}");
            let run = program::run(curl.args([
                "--silent",
                "--show-error",
                "--compressed",
                version,
                "--header",
                &accept,
                "--write-out",
                "%{stderr}%header{content-encoding} %{size_download}",
                &format!("http://{address}/"),
            ]));
            assert!(run.status.success(), "{}\n{}", run.error, foreword.program.transcript());
            assert!(run.out == page.trim_end(), "{coding} {version}: {} bytes", run.out.len());
            let (said, size) = run.error.trim().split_once(' ').expect("both are told");
            assert_eq!(said, coding, "{version}");
            assert!(
                size.parse::<usize>().is_ok_and(|size| size < page.len() / 4),
                "{coding} {version}: {size}"
            );
        }
    }
}

#[test]
fn curl_gives_the_password_that_htpasswd_has_hashed() {
    let ground = Ground::new();
    let (Some(mut htpasswd), Some(_)) = (program::peer("htpasswd"), program::peer("curl")) else { return };
    let users = ground.path("htpasswd");
    let made =
        program::run(htpasswd.args(["-cbBC", "5", &users.display().to_string(), "alice", "open sesame"]));
    assert!(made.status.success(), "{}", made.error);
    let web = ground.address();
    let text = format!(
        "[listener.web]\nbind = [\"{web}\"]\nmode = \"http\"\n\
         rule = [{{ then = {{ basic_auth = {{ file = \"{}\" }}, respond = {{ body = \"in\" }} }} }}]\n",
        users.display()
    );
    let _foreword = Gateway::start(&ground, &text, &[web]);
    for (user, expected) in [("alice:open sesame", "in 200"), ("alice:sesame", "401 Unauthorized\n 401")] {
        let mut curl = program::peer("curl").expect("it was there before");
        let url = format!("http://{web}/");
        let run = program::run(curl.args(["--silent", "--user", user, "--write-out", " %{http_code}", &url]));
        assert_eq!(run.out, expected, "{user}");
    }
}
