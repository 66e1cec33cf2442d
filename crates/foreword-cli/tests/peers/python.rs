//! Python programs that the tests talk to, with the packages that `scripts/check peers` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;

/// The command for one of our scripts; nothing if Python or the module that the script needs is not there.
pub(crate) fn script(name: &str, needs: &str) -> Option<Command> {
    let mut probe = python()?;
    if !program::run(probe.args(["-c", &format!("import {needs}")])).status.success() {
        program::absent(&format!("Python's module {needs}"));
        return None;
    }
    let mut command = python()?;
    // Lines reach the test as they are printed.
    command.arg("-u").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/scripts").join(name));
    Some(command)
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
