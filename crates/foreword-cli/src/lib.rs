//! The face of foreword: all that stands behind its binaries. Here alone is anything printed, are arguments and
//! environment read, and is an exit code decided.

mod args;
mod command;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cat, Cli};
use crate::command::get;
use crate::output::{Exit, WrittenAtEnd};

/// Runs the `foreword` command with the arguments given, the program's name first.
pub fn foreword(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _written = WrittenAtEnd;
    match Cli::try_parse_from(arguments) {
        Ok(cli) => output::conclude("foreword", cli.verb.run()),
        Err(error) => usage(&error),
    }
}

/// Runs the `ppcurlcat` command with the arguments given, the program's name first.
pub fn ppcurlcat(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cat::try_parse_from(arguments) {
        Ok(cat) => output::conclude("ppcurlcat", get::run("ppcurlcat", get::Manner::Cat, cat.get)),
        Err(error) => usage(&error),
    }
}

/// Help and version are answers and go to standard output; anything else was a question that cannot be asked.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe loses the help text, and whoever closed it did not want it.
    drop(error.print());
    if error.use_stderr() { Exit::NOT_ASKED.into() } else { Exit::DONE.into() }
}
