//! Python programs that the tests talk to, with the packages that `scripts/check peers` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;

/// The command for one of our scripts; nothing if Python or the module that the script needs is not there.
pub(crate) fn script(name: &str, needs: &str) -> Option<Command> {
    let mut command = with(needs)?;
    // Lines reach the test as they are printed.
    command.arg("-u").arg(scripts().join(name));
    Some(command)
}

/// The command for a module that is a program.
pub(crate) fn module(name: &str) -> Option<Command> {
    let mut command = with(name)?;
    command.args(["-u", "-m", name]);
    Some(command)
}

/// The command for a program that a package brings along.
pub(crate) fn wheel(name: &str) -> Option<Command> {
    let file = packages().join("bin").join(name);
    if !file.is_file() {
        program::absent(name);
        return None;
    }
    let mut command = Command::new(file);
    command.env("PYTHONPATH", packages());
    Some(command)
}

/// Where our scripts are.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/scripts")
}

/// Python, if it knows the module.
fn with(needs: &str) -> Option<Command> {
    let mut probe = python()?;
    if !program::run(probe.args(["-c", &format!("import {needs}")])).status.success() {
        program::absent(&format!("Python's module {needs}"));
        return None;
    }
    python()
}

fn python() -> Option<Command> {
    let mut command = program::peer("python3")?;
    command.env("PYTHONPATH", packages());
    Some(command)
}

fn packages() -> PathBuf {
    std::env::var_os("FOREWORD_PEERS_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/python"),
        PathBuf::from,
    )
}
