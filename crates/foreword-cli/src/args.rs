//! The command line as a whole, and the groups of flags that several verbs share.

mod file;
mod header;
pub(crate) mod hex;
mod log;
mod tlv;

use clap::Parser;

pub(crate) use self::file::FileArgs;
pub(crate) use self::header::{HeaderArgs, HeaderArgsError};
pub(crate) use self::log::LogArgs;
pub(crate) use self::tlv::TlvArg;
use crate::command::Verb;
use crate::command::get::GetArgs;

/// A gateway, a test client and tools for the PROXY protocol.
#[derive(Debug, Parser)]
#[command(
    name = "foreword",
    version,
    about = "A gateway, a test client and tools for the PROXY protocol",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 the answer is no; 2 it could not be asked.\n\
                  `foreword VERB --help` has examples for each verb."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The test client under its own name, and in its own manner.
#[derive(Debug, Parser)]
#[command(
    name = "ppcurlcat",
    version,
    about = "Print what a server behind PROXY answers: status line, fields, content",
    long_about = "Sends a PROXY header (v1 unless told otherwise), asks for each URL over HTTP/1.1, and prints the status \
                  line, the fields and the content. Certificates are not verified, unless --cacert names their issuer. \
                  The flags are those of `foreword get`.",
    max_term_width = 100
)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) get: GetArgs,
}
