//! The logger of the verbs that run a gateway: lines on standard error, coloured only where someone looks at them.

use std::io;

use anstream::{AutoStream, ColorChoice};
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
    // NO_COLOR, CLICOLOR_FORCE and TERM=dumb are heard.
    let colour = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .log_internal_errors(false);
    drop(logger.try_init());
}
