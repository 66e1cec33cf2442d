//! One file per verb. A verb has its `Args` and a `run` that takes them.

mod decode;
mod encode;

use clap::Subcommand;

use crate::output::{Exit, Failure};

/// What `foreword` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a PROXY header
    Encode(Box<encode::EncodeArgs>),
    /// Take a PROXY header apart
    Decode(decode::DecodeArgs),
}

impl Verb {
    /// Carries the verb out.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Encode(args) => encode::run(&args),
            Self::Decode(args) => decode::run(&args),
        }
    }
}
