//! lighttpd with mod_extforward.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts lighttpd, which answers with the client that it believes in. Its own log waits seconds before it is written.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("lighttpd")?;
    let front = ground.address();
    let root = ground.subfolder("lighttpd");
    ground.write(
        "lighttpd/index.sh",
        "printf 'Content-Type: text/plain\\r\\n\\r\\nclient=%s:%s\\n' \"$REMOTE_ADDR\" \"$REMOTE_PORT\"\n",
    );
    let file = ground.write(
        "lighttpd.conf",
        &format!(
            "server.document-root = \"{root}\"\nserver.bind = \"{ip}\"\nserver.port = {port}\n\
             server.modules = ( \"mod_extforward\", \"mod_cgi\" )\nindex-file.names = ( \"index.sh\" )\n\
             cgi.assign = ( \".sh\" => \"/bin/sh\" )\nextforward.hap-PROXY = \"enable\"\n\
             extforward.forwarder = ( \"127.0.0.1\" => \"trust\" )\n",
            root = root.display(),
            ip = front.ip(),
            port = front.port(),
        ),
    );
    let lighttpd = Program::start("lighttpd", command.arg("-D").arg("-f").arg(file));
    Some((lighttpd.listening(front), front))
}
