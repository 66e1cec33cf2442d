//! Caddy with its listener wrapper for headers.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::Program;
use crate::python;

/// Starts Caddy, which demands a header and answers with the client that it believes in.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = python::wheel("caddy")?;
    let front = ground.address();
    let home = ground.subfolder("caddy");
    let file = ground.write(
        "Caddyfile",
        &format!(
            "{{\n  admin off\n  auto_https off\n  persist_config off\n  servers {front} {{\n    listener_wrappers {{\n      \
             proxy_protocol {{\n        timeout 10s\n        fallback_policy require\n      }}\n    }}\n  }}\n}}\n\
             http://:{port} {{\n  bind {ip}\n  respond \"client={{remote}}\"\n}}\n",
            ip = front.ip(),
            port = front.port(),
        ),
    );
    let caddy = Program::start(
        "caddy",
        command
            .envs([("HOME", &home), ("XDG_DATA_HOME", &home), ("XDG_CONFIG_HOME", &home)])
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(file),
    );
    Some((caddy.listening(front), front))
}
