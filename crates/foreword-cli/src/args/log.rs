//! What the verbs that run a gateway say about themselves on standard error.

use clap::{Args, ValueEnum};

/// Flags of the verbs that run a gateway.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// The least severe lines that are shown; without it RUST_LOG decides, and without that, `info`.
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) log_level: Option<LogLevel>,
}

/// How severe a line must be to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The name that `RUST_LOG` has for the level.
    pub(crate) fn directive(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
