//! gunicorn, which reads both versions since its release 23.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::Program;
use crate::python;

/// Starts gunicorn with a small application that answers with the client that it is told of.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = python::module("gunicorn")?;
    let front = ground.address();
    let gunicorn = Program::start(
        "gunicorn",
        command
            .args(["--bind", &front.to_string(), "--workers", "1", "--proxy-protocol", "auto"])
            .args(["--proxy-allow-from", "127.0.0.1", "--worker-tmp-dir"])
            .arg(ground.subfolder("gunicorn"))
            .arg("--chdir")
            .arg(python::scripts())
            .arg("whose:answer"),
    );
    Some((gunicorn.listening(front), front))
}
