//! A CloudFormation template becomes a running balancer: the ELB of the story, in front of HAProxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::caller::Caller;
use crate::ground::Ground;
use crate::program::Program;
use crate::server::haproxy;

/// Imports, checks and runs a template as an operator would, in one line of shell.
fn run(ground: &Ground, template: &str, flags: &[String]) -> Program {
    let programs = Path::new(env!("CARGO_BIN_EXE_foreword")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a path"));
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/import").join(template);
    let file = ground.path("f.toml");
    let line = format!(
        "foreword import cfn {} {} > {file} && foreword check -c {file} && exec foreword run -c {file}",
        template.display(),
        flags.join(" "),
        file = file.display(),
    );
    let mut shell = Command::new("sh");
    Program::start("the shell", shell.args(["-c", &line]).env("PATH", path).env_remove("RUST_LOG"))
}

/// The story's ELB: v1 in front of what goes to instance port 443, nothing in front of what goes to 80.
fn sends_v1_on_instance_port_443_and_only_there(template: &str) {
    let ground = Ground::new();
    let Some((reader, https)) = haproxy::receiver(&ground) else { return };
    // It takes no header: bytes in front of the request would be answered with 400.
    let Some((plain, http)) = haproxy::plain(&ground) else { return };
    let (front_https, front_http) = (ground.address(), ground.address());
    let flags = [
        format!("--endpoint 443={https} --endpoint 80={http}"),
        format!("--listen 443={front_https} --listen 80={front_http}"),
    ];
    let foreword = run(&ground, template, &flags).listening(front_https).listening(front_http);

    let told = |front: SocketAddr| Caller::connect(front, b"").get("story.test", "/");
    let https = told(front_https);
    // The client comes from 127.0.0.1, and called the address of the balancer.
    assert!(https.text().contains("client=127.0.0.1:"), "{}\n{}", https.text(), reader.transcript());
    assert!(https.text().contains(&format!("destination={front_https}")), "{}", https.text());
    let http = told(front_http);
    assert_eq!(http.status, 200, "{}\n{}\n{}", http.head, plain.transcript(), foreword.transcript());
    assert_eq!(http.text(), "plain\n");
}

#[test]
fn the_elb_of_the_story_sends_v1_on_instance_port_443_and_only_there_from_json() {
    sends_v1_on_instance_port_443_and_only_there("elb.json");
}

#[test]
fn the_elb_of_the_story_sends_v1_on_instance_port_443_and_only_there_from_yaml() {
    sends_v1_on_instance_port_443_and_only_there("elb.yaml");
}
