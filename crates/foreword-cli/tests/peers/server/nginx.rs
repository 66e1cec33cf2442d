//! nginx: its stream module in front of foreword, its http and stream modules behind it.

use std::net::SocketAddr;
use std::path::Path;

use crate::ground::Ground;
use crate::program::{self, Program};

/// Starts nginx as a TCP balancer which writes a v1 line.
pub(crate) fn sender(ground: &Ground, server: SocketAddr) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    let blocks =
        format!("stream {{\n  server {{ listen {front}; proxy_pass {server}; proxy_protocol on; }}\n}}\n");
    start(ground, "sender", front, &blocks)
}

/// Starts nginx as a balancer which itself stands behind PROXY, and writes on the client that it was told of.
pub(crate) fn relay(ground: &Ground, server: SocketAddr) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    let blocks = format!(
        "stream {{\n  server {{ listen {front} proxy_protocol; set_real_ip_from 127.0.0.0/8; proxy_pass {server}; \
         proxy_protocol on; }}\n}}\n"
    );
    start(ground, "relay", front, &blocks)
}

/// Starts nginx as a web server behind PROXY, which answers with the client that it believes in.
pub(crate) fn http_receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    let blocks = format!(
        "http {{\n  access_log off;\n  server {{\n    listen {front} proxy_protocol;\n    \
         set_real_ip_from 127.0.0.0/8;\n    real_ip_header proxy_protocol;\n    \
         location / {{ return 200 \"client=$remote_addr:$remote_port \
         destination=$proxy_protocol_server_addr:$proxy_protocol_server_port\\n\"; }}\n  }}\n}}\n"
    );
    start(ground, "http", front, &blocks)
}

/// Starts nginx as a TCP server behind PROXY, which tells the client that it believes in, and closes.
pub(crate) fn stream_receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    let front = ground.address();
    let blocks = format!(
        "stream {{\n  server {{\n    listen {front} proxy_protocol;\n    set_real_ip_from 127.0.0.0/8;\n    \
         return \"client=$remote_addr:$remote_port \
         destination=$proxy_protocol_server_addr:$proxy_protocol_server_port\\n\";\n  }}\n}}\n"
    );
    start(ground, "stream", front, &blocks)
}

/// Starts nginx as a mail proxy behind PROXY. It lets nobody through, and says for whom it asked.
pub(crate) fn mail_receiver(ground: &Ground) -> Option<(Program, SocketAddr)> {
    if !Path::new(MAIL_MODULE).exists() {
        program::absent("nginx's mail module");
        return None;
    }
    let (front, doorkeeper) = (ground.address(), ground.address());
    let blocks = format!(
        "http {{\n  access_log off;\n  server {{\n    listen {doorkeeper};\n    location / {{\n      \
         add_header Auth-Status \"nobody, not even $http_client_ip\";\n      return 204;\n    }}\n  }}\n}}\n\
         mail {{\n  auth_http {doorkeeper}/;\n  server_name mx.test;\n  server {{\n    listen {front} proxy_protocol;\n    \
         set_real_ip_from 127.0.0.0/8;\n    protocol smtp;\n    smtp_auth none;\n    xclient off;\n  }}\n}}\n"
    );
    start(ground, "mail", front, &blocks)
}

fn start(ground: &Ground, name: &str, front: SocketAddr, blocks: &str) -> Option<(Program, SocketAddr)> {
    let mut command = program::peer("nginx")?;
    // Builds of nginx's own come with the modules inside, Debian's with a file for each.
    let modules = [STREAM_MODULE, MAIL_MODULE].into_iter().filter(|module| Path::new(module).exists());
    let load: String = modules.map(|module| format!("load_module {module};\n")).collect();
    let folder = ground.subfolder(&format!("nginx-{name}"));
    let file = ground.write(
        &format!("nginx-{name}.conf"),
        &format!(
            "{load}daemon off;\nmaster_process off;\npid {pid};\nerror_log stderr info;\nevents {{ }}\n{blocks}",
            pid = folder.join("pid").display(),
        ),
    );
    let nginx = Program::start(
        &format!("nginx {name}"),
        command.arg("-p").arg(&folder).arg("-e").arg("stderr").arg("-c").arg(file),
    );
    Some((nginx.listening(front), front))
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
const MAIL_MODULE: &str = "/usr/lib/nginx/modules/ngx_mail_module.so";
