//! One file per verb. A verb has its `Args` and a `run` that takes them.

use clap::Subcommand;

use crate::output::{Exit, Failure};

/// What `foreword` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {}

impl Verb {
    /// Carries the verb out.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {}
    }
}
