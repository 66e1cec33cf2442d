//! The `foreword` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    foreword_cli::foreword(std::env::args_os())
}
