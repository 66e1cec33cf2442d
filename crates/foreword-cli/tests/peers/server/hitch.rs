//! hitch, which ends TLS and hands the connection on with a header.

use std::net::SocketAddr;

use crate::ground::{Certificate, Ground};
use crate::program::{self, Program};

/// Starts hitch in front of `server`, with `write-proxy-v1` or `write-proxy-v2` as its setting.
pub(crate) fn sender(
    ground: &Ground,
    server: SocketAddr,
    setting: &str,
    certificate: &Certificate,
) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("hitch")?;
    let front = ground.address();
    let (front_ip, front_port, ip, port) = (front.ip(), front.port(), server.ip(), server.port());
    let file = ground.write(
        "hitch.conf",
        &format!(
            "frontend = \"[{front_ip}]:{front_port}\"\nbackend = \"[{ip}]:{port}\"\npem-file = \"{pem}\"\n\
             workers = 1\ndaemon = off\nuser = \"_hitch\"\ngroup = \"_hitch\"\nalpn-protos = \"http/1.1\"\n{setting} = on\n",
            pem = certificate.file.display(),
        ),
    );
    let hitch = Program::start("hitch", command.arg("--config").arg(file));
    Some((hitch.listening(front), front))
}
