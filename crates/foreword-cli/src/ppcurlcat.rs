//! The `ppcurlcat` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    foreword_cli::ppcurlcat(std::env::args_os())
}
