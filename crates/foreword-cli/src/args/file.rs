//! Which configuration file is meant.

use std::path::{Path, PathBuf};

use clap::Args;

/// The file of the verbs that read one, with its flag or without.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/foreword/foreword.toml")]
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
