//! Varnish with a PROXY listener.

use std::net::SocketAddr;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts Varnish, which answers with the client that it believes in and with the TLVs that it knows.
pub(crate) fn receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("varnishd")?;
    let front = ground.address();
    let folder = ground.subfolder("varnish");
    let vcl = ground.write(
        "varnish.vcl",
        r#"vcl 4.1;
import std;
import proxy;
backend default none;
sub vcl_recv { return (synth(200, "OK")); }
sub vcl_synth {
  set resp.http.x-client = client.ip + ":" + std.port(client.ip);
  set resp.http.x-destination = server.ip + ":" + std.port(server.ip);
  set resp.http.x-tlv = "authority=" + proxy.authority() + " alpn=" + proxy.alpn()
    + " ssl=" + proxy.is_ssl() + " version=" + proxy.ssl_version();
  set resp.http.x-tls = "cipher=" + proxy.ssl_cipher() + " key=" + proxy.cert_key() + " signed=" + proxy.cert_sign();
  return (deliver);
}
"#,
    );
    let varnish = Program::start(
        "varnish",
        command
            .arg("-F")
            .arg("-n")
            .arg(&folder)
            .args(["-a", &format!("pp={front},PROXY"), "-s", "malloc,16m", "-T", "none", "-f"])
            .arg(vcl),
    );
    Some((varnish.listening(front), front))
}
