//! The two roles from flags alone, among real servers.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::Signal;

use crate::caller::Caller;
use crate::ground::Ground;
use crate::program::{PATIENCE, Program};
use crate::server::haproxy;

fn role(flags: &str, front: SocketAddr) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
    command.args(flags.split(' ')).arg("--bind").arg(front.to_string()).env_remove("RUST_LOG");
    Program::start("foreword", &mut command).listening(front)
}

/// HAProxy, behind what AWS would put in front of it, sees who calls, and takes the checks.
fn haproxy_behind(balancer: &str) {
    let ground = Ground::new();
    let Some((haproxy, receiver)) = haproxy::receiver(&ground) else { return };
    let front = ground.address();
    let balancer = role(&format!("balance --as {balancer} --health-interval 200ms --to {receiver}"), front);
    let told = Caller::connect(front, b"").get("roles.test", "/").text();
    assert!(told.contains("client=127.0.0.1:"), "{told}\n{}", haproxy.transcript());
    assert!(told.contains(&format!("destination={front}")), "{told}\n{}", balancer.transcript());
}

#[test]
fn haproxy_sees_the_client_behind_a_classic_elb() {
    haproxy_behind("classic-elb");
}

#[test]
fn haproxy_sees_the_client_behind_an_nlb_whatever_its_header_placement() {
    haproxy_behind("nlb:on_first_ack");
    haproxy_behind("nlb:on_first_ack_with_payload --vpce vpce-08d2bf15fac5001c9");
}

#[test]
fn a_gate_believes_haproxy_and_speaks_to_a_server_that_knows_no_header() {
    let ground = Ground::new();
    let Some((_plain, server)) = haproxy::plain(&ground) else { return };
    let front = ground.address();
    let gate = role(&format!("gate --trust 127.0.0.0/8 --access-log --to {server}"), front);
    let Some((_sender, balancer)) = haproxy::sender(&ground, front, "send-proxy-v2", None) else { return };
    assert_eq!(Caller::connect(balancer, b"").get("roles.test", "/").text(), "plain\n");
    let line = gate.line("roles.test");
    assert!(line.contains("127.0.0.1"), "{line}");
}

#[test]
fn a_role_takes_the_signals_that_a_gateway_takes() {
    let ground = Ground::new();
    let Some((_plain, server)) = haproxy::plain(&ground) else { return };
    let front = ground.address();
    let mut gate = role(&format!("gate --to {server}"), front);
    gate.signal(Signal::HUP);
    gate.line("the new configuration is in force");
    assert_eq!(Caller::connect(front, b"").get("roles.test", "/").text(), "plain\n");
    gate.signal(Signal::TERM);
    assert!(gate.ended(PATIENCE).success(), "{}", gate.transcript());
}
