//! Which configuration file is meant.

use std::path::{Path, PathBuf};

use clap::Args;

/// Where the file is if nobody says otherwise.
pub(crate) const USUAL: &str = "/etc/foreword/foreword.toml";

/// The file of the verbs that read one, with its flag or without.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,
    /// The same, without its flag
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
}

impl FileArgs {
    pub(crate) fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(&self.config)
    }
}
