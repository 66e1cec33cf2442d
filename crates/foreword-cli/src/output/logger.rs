//! The logger of the verbs that run a gateway: lines on standard error, coloured only where someone looks at them.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::LogArgs;

/// Installs the logger. The flag decides what is shown, else `RUST_LOG`, else it is `info` and above.
///
/// Only the first call of a process has an effect, which is what a verb that starts twice in a test wants.
pub(crate) fn install(args: &LogArgs) {
    let filter = match args.log_level {
        Some(level) => EnvFilter::new(level.directive()),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .log_internal_errors(false);
    drop(logger.try_init());
}
