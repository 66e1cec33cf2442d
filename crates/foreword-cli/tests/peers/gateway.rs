//! The real `foreword run`, from a file as an operator writes it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::ground::Ground;
use crate::program::Program;

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) program: Program,
    pub(crate) file: PathBuf,
}

impl Gateway {
    /// Starts `foreword run` and waits until it listens at every address given.
    pub(crate) fn start(ground: &Ground, file: &str, listening: &[SocketAddr]) -> Self {
        let file = ground.write("foreword.toml", file);
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
        command.arg("run").arg("-c").arg(&file).env_remove("RUST_LOG");
        let mut program = Program::start("foreword run", &mut command);
        for &address in listening {
            program = program.listening(address);
        }
        Self { program, file }
    }

    /// Waits for `count` lines of the access log that hold the text, and returns the last of them. The log goes to
    /// standard output as JSON.
    pub(crate) fn access_with(&self, text: &str, count: usize) -> Access {
        let line = self.program.answers_with(text, count).swap_remove(count - 1);
        let value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("expected JSON, found {line}: {error}"));
        Access { line, value }
    }

    /// Writes the file anew and asks for a reload.
    pub(crate) fn reload_with(&self, file: &str) {
        std::fs::write(&self.file, file).expect("the gateway's file");
        self.program.signal(Signal::HUP);
    }
}

/// A line of the access log in JSON.
#[derive(Debug)]
pub(crate) struct Access {
    line: String,
    value: Value,
}

impl Access {
    /// A value as text, numbers included.
    pub(crate) fn get(&self, name: &str) -> String {
        match self.value.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("expected {name} in the access log, found {}", self.line),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value.get(name).is_some()
    }
}

/// An `http` listener at `web` that believes headers from this machine, and forwards to `origin`. `listener` has more
/// keys of its own, and its rules.
pub(crate) fn web(web: SocketAddr, origin: SocketAddr, header: &str, listener: &str) -> String {
    format!(
        r#"
[trust.local]
from   = ["127.0.0.0/8"]
header = "{header}"

[listener.web]
bind    = ["{web}"]
mode    = "http"
trust   = ["local"]
cluster = "app"
{listener}

[cluster.app]
endpoints = ["{origin}"]

[log.access]
to     = "stdout"
format = "json"
"#
    )
}

/// A `tcp` listener at `edge` that believes headers from this machine, and hands connections on with one of its own.
/// `listener` and `cluster` have more keys of theirs.
pub(crate) fn edge(edge: SocketAddr, receiver: SocketAddr, listener: &str, cluster: &str) -> String {
    format!(
        r#"
[trust.local]
from   = ["127.0.0.0/8"]
header = "require"

[listener.edge]
bind    = ["{edge}"]
mode    = "tcp"
trust   = ["local"]
cluster = "receivers"
{listener}

[cluster.receivers]
endpoints = ["{receiver}"]
{cluster}

[log.access]
to     = "stdout"
format = "json"
"#
    )
}
