//! A browser: a page and a WebSocket over one HTTP/2 connection, as everybody's browser opens them.

use crate::gateway::Gateway;
use crate::ground::Ground;
use crate::program::{self, Program};
use crate::python;

/// Opens a WebSocket, says a word, shows what came back and tells the server of it.
const PAGE: &str = r#"<!doctype html>
<title>foreword</title>
<h1>Through the gateway</h1>
<p id="told">waiting</p>
<script>
  const socket = new WebSocket(`wss://${location.host}/chat`);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = async (message) => {
    document.getElementById("told").textContent = message.data;
    document.title = message.data;
    await fetch("/told?" + encodeURIComponent(message.data));
  };
</script>
"#;

#[test]
fn chromium_loads_a_page_and_talks_over_a_websocket() {
    if std::env::var_os("FOREWORD_NIGHTLY").is_none() {
        // A browser takes its time: `scripts/check nightly` asks for it.
        return;
    }
    let ground = Ground::new();
    let Some(mut chromium) = program::peer("chromium") else { return };
    let Some(mut server) = python::script("websocket_echo.py", "websockets.sync.server") else { return };
    let (app, web) = (ground.address(), ground.address());
    let _server =
        Program::start("websocket server", server.args([app.ip().to_string(), app.port().to_string()]))
            .listening(app);
    let certificate = ground.certificate(&["www.example.com"]);
    let page = ground.write("page.html", PAGE);
    let file = format!(
        "[listener.web]\nbind = [\"{web}\"]\nmode = \"http\"\n\
         tls = {{ certificates = [{{ certificate = \"{0}\", key = \"{0}\" }}] }}\n\
         [[listener.web.rule]]\nwhen = 'path == \"/page.html\"'\nthen = {{ respond = {{ file = \"{1}\" }} }}\n\
         [[listener.web.rule]]\nwhen = 'path == \"/chat\"'\nthen = {{ forward = \"app\" }}\n\
         [[listener.web.rule]]\nthen = {{ respond = {{ status = 200, body = \"noted\" }} }}\n\
         [cluster.app]\nendpoints = [\"{app}\"]\n\
         [log.access]\nto = \"stdout\"\nformat = \"json\"\n",
        certificate.file.display(),
        page.display()
    );
    let foreword = Gateway::start(&ground, &file, &[web]);
    let url = format!("https://www.example.com:{}/page.html", web.port());
    // Whatever else it looks for is not there.
    let resolve = format!("--host-resolver-rules=MAP www.example.com {}, MAP * ~NOTFOUND", web.ip());
    let profile = format!("--user-data-dir={}", ground.subfolder("profile").display());
    let open = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--ignore-certificate-errors",
        resolve.as_str(),
        // Keeps it open until we end it.
        "--remote-debugging-port=0",
        profile.as_str(),
        url.as_str(),
    ];
    let _browser = Program::start("chromium", chromium.args(open));

    let told = foreword.access_with("/told", 1);
    assert_eq!(told.get("url.query"), "127.0.0.1%3A%20HELLO");
    for path in ["/page.html", "/told"] {
        let access = foreword.access_with(path, 1);
        assert_eq!(
            (access.get("http.version").as_str(), access.get("client.ip").as_str()),
            ("2", "127.0.0.1"),
            "{path}"
        );
    }
}
