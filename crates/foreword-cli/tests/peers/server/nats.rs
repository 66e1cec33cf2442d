//! NATS behind PROXY: a message server that speaks before it has read the header.

use std::net::SocketAddr;

use crate::caller::Caller;
use crate::ground::Ground;
use crate::program::Program;
use crate::python;

/// Starts a message server, and a web server beside it that tells who is connected.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = python::wheel("nats-server")?;
    let (front, told_at) = (ground.address(), ground.address());
    let file = ground.write(
        "nats.conf",
        &format!("listen: \"{front}\"\nproxy_protocol: true\nhttp: \"{told_at}\"\nlogtime: false\n"),
    );
    let nats = Program::start("nats", command.arg("--config").arg(file));
    Some((nats.listening(told_at).listening(front), front))
}

/// Says that we are here, and asks whom the server takes us for.
pub(crate) fn ask(caller: &mut Caller, nats: &Program) -> String {
    let info = caller.line().expect("a line: this server speaks first");
    assert!(info.starts_with("INFO {"), "{info}");
    caller.write(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("a greeting");
    assert_eq!(caller.line().expect("an answer"), "PONG");
    let told_at = nats.line("Starting http monitor on ");
    let told_at = told_at.rsplit(' ').next().and_then(|address| address.parse().ok()).expect("its address");
    let told = Caller::connect(told_at, b"").get("peers.test", "/connz").text();
    let connections: serde_json::Value = serde_json::from_str(&told).expect("JSON from NATS");
    let ours = &connections["connections"][0];
    format!("client={}:{}", ours["ip"].as_str().expect("an address"), ours["port"])
}
