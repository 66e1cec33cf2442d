//! The command line as a whole, and the groups of flags that several verbs share.

mod log;

use clap::Parser;

pub(crate) use self::log::LogArgs;
use crate::command::Verb;

/// A gateway, a test client and tools for the PROXY protocol.
#[derive(Debug, Parser)]
#[command(
    name = "foreword",
    version,
    about = "A gateway, a test client and tools for the PROXY protocol",
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 the answer is no; 2 it could not be asked.\n\
                  `foreword VERB --help` has examples for each verb."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}
