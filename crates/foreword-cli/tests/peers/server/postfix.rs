//! Postfix behind PROXY: a server that speaks first.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::process::Command;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts a Postfix of our own, with one SMTP service that takes headers. It logs who called.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("postfix")?;
    let Some(postfix) = postfix_ids() else {
        program::absent("the user postfix");
        return None;
    };
    let front = ground.address();
    let settings = ground.subfolder("postfix");
    let queue = ground.subfolder("postfix-queue");
    let data = ground.subfolder("postfix-data");
    // Postfix refuses a data folder which its own user does not own.
    chown(&data, Some(postfix.0), Some(postfix.1)).expect("a folder for postfix");
    ground.write(
        "postfix/main.cf",
        &format!(
            "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n\
             maillog_file = /dev/stdout\nmyhostname = mx.test\nmydestination =\nlocal_recipient_maps =\n\
             inet_interfaces = all\ninet_protocols = all\nsmtpd_peername_lookup = no\n\
             smtpd_upstream_proxy_timeout = 10s\nsmtpd_relay_restrictions = reject\n\
             smtpd_client_restrictions =\n",
            queue = queue.display(),
            data = data.display(),
        ),
    );
    ground.write(
        "postfix/master.cf",
        &format!(
            "{front} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy\n\
             rewrite unix - - n - - trivial-rewrite\ncleanup unix n - n - 0 cleanup\n\
             anvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n"
        ),
    );
    let postfix = Program::start("postfix", command.arg("-c").arg(&settings).arg("start-fg"));
    Some((postfix.listening(front), front))
}

/// The numbers of the user and the group `postfix`.
fn postfix_ids() -> Option<(u32, u32)> {
    let of = |flag| -> Option<u32> {
        let run = program::run(Command::new("id").args([flag, "postfix"]));
        run.out.trim().parse().ok()
    };
    Some((of("-u")?, of("-g")?))
}
