//! Dovecot behind PROXY: an IMAP server, which speaks first.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts a Dovecot of our own that lets nobody in. It logs who called.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("dovecot")?;
    let front = ground.address();
    let base = ground.subfolder("dovecot");
    let file = ground.write(
        "dovecot.conf",
        &format!(
            "base_dir = {base}\nlog_path = /dev/stderr\nprotocols = imap\nssl = no\n\
             haproxy_trusted_networks = 127.0.0.0/8\nhaproxy_timeout = 10s\n\
             login_log_format_elements = client=%r:%{{rport}} destination=%l:%{{lport}}\n\
             passdb {{\n  driver = static\n  args = password=x\n}}\n\
             userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home=/var/empty\n}}\n\
             service imap-login {{\n  inet_listener imap {{\n    address = {ip}\n    port = {port}\n    haproxy = yes\n  }}\n  \
             inet_listener imaps {{\n    port = 0\n  }}\n}}\n",
            base = base.display(),
            ip = front.ip(),
            port = front.port(),
        ),
    );
    let dovecot = Program::start("dovecot", command.arg("-F").arg("-c").arg(file));
    Some((dovecot.listening(front), front))
}
