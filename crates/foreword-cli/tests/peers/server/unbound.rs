//! Unbound: a name server that knows a few names of its own.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts a name server that knows these records, and says that no other name is there.
pub(crate) fn server(ground: &Ground, records: &[&str]) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("unbound")?;
    let front = ground.address();
    let data: String = records.iter().map(|record| format!("  local-data: '{record}'\n")).collect();
    let file = ground.write(
        "unbound.conf",
        &format!(
            "server:\n  interface: {ip}@{port}\n  port: {port}\n  do-daemonize: no\n  username: ''\n  chroot: ''\n  \
             directory: '{folder}'\n  pidfile: ''\n  use-syslog: no\n  access-control: 127.0.0.0/8 allow\n  \
             local-zone: 'test.' static\n{data}remote-control:\n  control-enable: no\n",
            ip = front.ip(),
            port = front.port(),
            folder = ground.subfolder("unbound").display(),
        ),
    );
    let unbound = Program::start("unbound", command.arg("-d").arg("-c").arg(file));
    Some((unbound.listening(front), front))
}
