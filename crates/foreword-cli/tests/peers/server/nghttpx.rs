//! nghttpx, a proxy for HTTP/2 that reads headers.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts nghttpx in front of nobody: it answers 502, and its log has the client that it believes in.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("nghttpx")?;
    let (front, nobody) = (ground.address(), ground.address());
    let file = ground.write(
        "nghttpx.conf",
        &format!(
            "frontend={},{};no-tls;proxyproto\nbackend={},{};;proto=http/1.1\naccesslog-file=/dev/stdout\n\
             accesslog-format=client=$remote_addr:$remote_port \"$request\" $status\nworkers=1\nsingle-process=yes\n",
            front.ip(),
            front.port(),
            nobody.ip(),
            nobody.port(),
        ),
    );
    let nghttpx = Program::start("nghttpx", command.arg(format!("--conf={}", file.display())));
    Some((nghttpx.listening(front), front))
}
