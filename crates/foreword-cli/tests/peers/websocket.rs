//! WebSocket through the gateway, with a real client and a real server.

use crate::gateway::{self, Gateway};
use crate::ground::Ground;
use crate::header::{self, CLIENT};
use crate::program::{self, Program};
use crate::python;

#[test]
fn a_websocket_client_behind_a_header_talks_through_the_gateway_to_a_websocket_server() {
    let ground = Ground::new();
    let Some(mut server) = python::script("websocket_echo.py", "websockets.sync.server") else { return };
    let Some(mut caller) = python::script("websocket_caller.py", "websockets.sync.client") else { return };
    let app = ground.address();
    let web = ground.address();
    let _server =
        Program::start("websocket server", server.args([app.ip().to_string(), app.port().to_string()]))
            .listening(app);
    let foreword = Gateway::start(&ground, &gateway::web(web, app, "require", ""), &[web]);

    let talk =
        program::run(caller.args([web.ip().to_string(), web.port().to_string(), hex(&header::client_v2())]));

    assert_eq!(
        talk.out.lines().collect::<Vec<_>>(),
        [
            &format!("{CLIENT}: HELLO"),
            &format!("{CLIENT}: ARE YOU THERE"),
            "large: True",
            "pong: True",
            "closed: 1000"
        ],
        "{}\n{}",
        talk.error,
        foreword.program.transcript()
    );
    let access = foreword.access_with(CLIENT, 1);
    assert_eq!(access.get("http.response.status_code"), "101");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
