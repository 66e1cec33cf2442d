//! Apache: a plain web server, and one behind mod_remoteip.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::{self, Program};

/// What Apache answers to everything under `/admin`.
pub(crate) const JEWELS: &str = "The crown jewels.\n";

/// Starts Apache as a web server which never heard of PROXY. Its log has the client as `X-Forwarded-For` names it.
pub(crate) fn plain(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    ground.subfolder("htdocs");
    ground.write("htdocs/index.html", "It works!\n");
    let jewels = ground.write("jewels.html", JEWELS);
    let lines = format!(
        "LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so\n\
         AliasMatch \"^/+admin([;/].*)?$\" \"{}\"\n\
         LogFormat \"client=%{{X-Forwarded-For}}i peer=%a \\\"%r\\\" %>s\" seen\n",
        jewels.display()
    );
    start(ground, "plain", front, &lines)
}

/// Starts Apache with mod_remoteip, which logs the client that the header named.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    ground.subfolder("htdocs");
    let lines = format!(
        "LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so\n\
         LogFormat \"client=%a:%{{remote}}p peer=%{{c}}a \\\"%r\\\" %>s\" seen\n\
         <VirtualHost {front}>\n  RemoteIPProxyProtocol On\n</VirtualHost>\n"
    );
    start(ground, "remoteip", front, &lines)
}

fn start(ground: &Ground, name: &str, front: SocketAddr, lines: &str) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("apache2")?;
    let root = ground.subfolder(&format!("apache-{name}"));
    let file = ground.write(
        &format!("apache-{name}.conf"),
        &format!(
            "ServerRoot {root}\nServerName peers.test\nPidFile {root}/pid\nListen {front}\n\
             LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
             LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
             LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so\n\
             StartServers 1\nThreadsPerChild 25\nMinSpareThreads 5\nMaxRequestWorkers 50\nDirectoryIndex index.html\n\
             KeepAlive On\nMaxKeepAliveRequests 3\n\
             User www-data\nGroup www-data\nErrorLog /dev/stderr\n{lines}\
             CustomLog /dev/stdout seen\nDocumentRoot {htdocs}\n",
            root = root.display(),
            htdocs = ground.path("htdocs").display(),
        ),
    );
    let apache = Program::start(&format!("apache {name}"), command.arg("-DFOREGROUND").arg("-f").arg(file));
    Some((apache.listening(front), front))
}
