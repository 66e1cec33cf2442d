//! DNS servers behind PROXY: a v2 header in front of every datagram, and once on a connection.

use std::net::SocketAddr;
use std::process::Command;

use crate::ground::Ground;
use crate::program::{Program, peer};

/// A server, and where it listens for datagrams and connections.
type Started = Option<(Program, SocketAddr)>;

pub(crate) fn unbound(ground: &Ground) -> Started {
    let mut command = peer("unbound")?;
    let at = ground.address();
    let folder = ground.subfolder("unbound");
    let file = ground.write(
        "unbound.conf",
        &format!(
            "server:\n interface: {ip}@{port}\n proxy-protocol-port: {port}\n access-control: 0.0.0.0/0 allow\n \
             do-daemonize: no\n use-syslog: no\n logfile: \"\"\n log-queries: yes\n username: \"\"\n chroot: \"\"\n \
             directory: \"{folder}\"\n pidfile: \"\"\n module-config: \"iterator\"\n local-zone: \"test.\" static\n \
             local-data: 'who.test. TXT \"answered\"'\nremote-control:\n control-enable: no\n",
            ip = at.ip(),
            port = at.port(),
            folder = folder.display(),
        ),
    );
    let program = Program::start("unbound", command.arg("-d").arg("-c").arg(file));
    Some((program.listening(at), at))
}

/// Answers by the client's address, and nobody but the clients of these tests.
pub(crate) fn dnsdist(ground: &Ground) -> Started {
    let at = ground.address();
    let program = dnsdist_with(
        ground,
        &format!(
            "setLocal(\"{at}\")\nsetProxyProtocolACL({{\"127.0.0.0/8\"}})\nlocal g = newNMG()\n\
             g:addMask(\"203.0.113.0/24\")\n\
             addAction(AndRule({{QNameRule(\"who.test.\"), NetmaskGroupRule(g)}}), SpoofRawAction(\"\\006client\"))\n\
             addAction(AllRule(), RCodeAction(DNSRCode.REFUSED))\n"
        ),
    )?;
    Some((program.listening(at), at))
}

/// Sends every question on to `server`, with a header in front that says who asked.
pub(crate) fn dnsdist_before(ground: &Ground, server: SocketAddr) -> Started {
    let at = ground.address();
    let backend =
        format!("setLocal(\"{at}\")\nnewServer({{address=\"{server}\", useProxyProtocol=true}}):setUp()\n");
    let program = dnsdist_with(ground, &backend)?;
    Some((program.listening(at), at))
}

fn dnsdist_with(ground: &Ground, lines: &str) -> Option<Program> {
    let mut command = peer("dnsdist")?;
    let everyone = "setACL({\"0.0.0.0/0\"})\nsetSecurityPollSuffix(\"\")\n";
    let file = ground.write("dnsdist.conf", &format!("{everyone}{lines}"));
    Some(Program::start("dnsdist", command.args(["--supervised", "--disable-syslog", "-C"]).arg(file)))
}

pub(crate) fn powerdns(ground: &Ground) -> Started {
    let mut command = peer("pdns_server")?;
    let at = ground.address();
    let folder = ground.subfolder("pdns");
    let shown = folder.display();
    let zone = ground.write("pdns/test.zone", ZONE);
    ground.write(
        "pdns/named.conf",
        &format!("zone \"test\" {{ type master; file \"{}\"; }};\n", zone.display()),
    );
    ground.write(
        "pdns/pdns.conf",
        &format!(
            "launch=bind\nbind-config={shown}/named.conf\nlocal-address={ip}\nlocal-port={port}\n\
             proxy-protocol-from=127.0.0.0/8\nlog-dns-queries=yes\nloglevel=9\nquery-cache-ttl=0\n\
             cache-ttl=0\nsocket-dir={shown}\nsecurity-poll-suffix=\ndisable-syslog=yes\n",
            ip = at.ip(),
            port = at.port(),
        ),
    );
    let config = format!("--config-dir={shown}");
    let program = Program::start("pdns_server", command.args([&*config, "--daemon=no", "--guardian=no"]));
    Some((program.listening(at), at))
}

pub(crate) fn recursor(ground: &Ground) -> Started {
    let mut command = peer("pdns_recursor")?;
    let at = ground.address();
    let folder = ground.subfolder("recursor");
    let shown = folder.display();
    let zone = ground.write("recursor/test.zone", ZONE);
    ground.write(
        "recursor/recursor.conf",
        &format!(
            "local-address={ip}\nlocal-port={port}\nproxy-protocol-from=127.0.0.0/8\nallow-from=0.0.0.0/0\nquiet=no\n\
             loglevel=9\nauth-zones=test={zone}\nsecurity-poll-suffix=\nhint-file=no\nsocket-dir={shown}\n\
             disable-syslog=yes\nthreads=1\n",
            ip = at.ip(),
            port = at.port(),
            zone = zone.display(),
        ),
    );
    let program = Program::start(
        "pdns_recursor",
        command.args([&*format!("--config-dir={shown}"), "--daemon=no", "--write-pid=no"]),
    );
    Some((program.listening(at), at))
}

/// It reads headers of datagrams alone, and answers with the client's address.
pub(crate) fn knot(ground: &Ground) -> Started {
    let mut command = peer("knotd")?;
    let at = ground.address();
    let folder = ground.subfolder("knot");
    let shown = folder.display();
    ground.write(
        "knot/who.zone",
        "$ORIGIN who.test.\n@ 1 SOA ns.who.test. a.who.test. 1 1 1 1 1\n@ 1 NS ns.who.test.\n",
    );
    let file = ground.write(
        "knot/knot.conf",
        &format!(
            "server:\n  rundir: {shown}\n  listen: {ip}@{port}\n  proxy-allowlist: 127.0.0.0/8\n\
             database:\n  storage: {shown}\nlog:\n  - target: stderr\n    any: info\n\
             zone:\n  - domain: who.test\n    file: {shown}/who.zone\n    module: mod-whoami\n",
            ip = at.ip(),
            port = at.port(),
        ),
    );
    let program = Program::start("knotd", command.arg("-c").arg(file));
    Some((program.listening(at), at))
}

/// The question of these tests, asked by `dig` or `kdig` with what `options` add.
pub(crate) fn question(program: &str, at: SocketAddr, kind: &str, options: &[&str]) -> Option<Command> {
    let mut command = peer(program)?;
    command.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string(), "who.test.", kind]);
    command.args(["+short", "+time=5"]).args(options);
    Some(command)
}

const ZONE: &str = "$ORIGIN test.\n@ 1 IN SOA ns.test. a.test. 1 1 1 1 1\n@ 1 IN NS ns.test.\nns 1 IN A 127.0.0.1\n\
                    who 1 IN TXT \"answered\"\n";
