//! HAProxy, in front of foreword and behind it.

use std::net::SocketAddr;

use crate::ground::{Certificate, Ground};
use crate::program::{self, Program};

/// HAProxy ends TLS, and asks for a client certificate if one is known.
pub(crate) struct Tls<'t> {
    pub(crate) certificate: &'t Certificate,
    pub(crate) client: Option<&'t Certificate>,
}

impl Tls<'_> {
    fn keywords(&self) -> String {
        let own = format!("ssl crt {} alpn http/1.1", self.certificate.file.display());
        match self.client {
            Some(client) => format!("{own} verify optional ca-file {}", client.file.display()),
            None => own,
        }
    }
}

/// Starts HAProxy as a balancer that hands connections on to `server`, with the keywords given, as
/// `send-proxy-v2`. It ends TLS where there is a certificate.
pub(crate) fn sender(
    ground: &Ground,
    server: SocketAddr,
    keywords: &str,
    tls: Option<&Tls<'_>>,
) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    let tls = tls.map(Tls::keywords).unwrap_or_default();
    start(
        ground,
        "sender",
        front,
        &format!("listen sender\n  mode tcp\n  bind {front} {tls}\n  server foreword {server} {keywords}\n"),
    )
}

/// Starts HAProxy with a health check of `server` that sends `send-proxy-v2`, hence a LOCAL header, five times a second.
pub(crate) fn checker(ground: &Ground, server: SocketAddr) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    start(
        ground,
        "checker",
        front,
        &format!(
            "listen checker\n  mode http\n  bind {front}\n  option httpchk\n  \
             http-check send meth GET uri /health ver HTTP/1.1 hdr Host checker.test\n  \
             http-check expect status 200\n  \
             server foreword {server} send-proxy-v2 check inter 200ms\n"
        ),
    )
}

/// Starts HAProxy as a receiver which answers with what the header told it.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    start(
        ground,
        "receiver",
        front,
        &format!(
            "frontend receiver\n  mode http\n  bind {front} accept-proxy\n  \
             http-request return status 200 content-type text/plain lf-string \
             \"client=%[src]:%[src_port] destination=%[dst]:%[dst_port] \
             authority=%[fc_pp_authority] unique_id=%[fc_pp_unique_id]\\n\"\n"
        ),
    )
}

/// Starts HAProxy as a web server that knows no header.
pub(crate) fn plain(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    start(
        ground,
        "plain",
        front,
        &format!(
            "frontend plain\n  mode http\n  bind {front}\n  \
             http-request return status 200 content-type text/plain string \"plain\\n\"\n"
        ),
    )
}

fn start(ground: &Ground, name: &str, front: SocketAddr, sections: &str) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("haproxy")?;
    let file = ground.write(
        &format!("haproxy-{name}.cfg"),
        &format!(
            "global\n  log stdout format raw local0\n\
             defaults\n  log global\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n{sections}"
        ),
    );
    let haproxy = Program::start(&format!("haproxy {name}"), command.arg("-db").arg("-f").arg(file));
    Some((haproxy.listening(front), front))
}
