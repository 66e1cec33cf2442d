//! The logger of the verbs that run a gateway: lines on standard error, coloured only where someone looks at them.

use std::io;
use std::str::FromStr;

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::LogArgs;

/// Installs the logger. The flag decides what is shown, else `RUST_LOG`, else it is `info` and above.
///
/// Only the first call of a process has an effect, which is what a verb that starts twice in a test wants.
pub(crate) fn install(args: &LogArgs) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let filter = match (args.log_level, asked.as_deref().map(meant)) {
        (Some(level), _) => EnvFilter::new(level.directive()),
        (None, Some(Some(filter))) => filter,
        (None, _) => EnvFilter::new("info"),
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
    if let (None, Some(asked)) = (args.log_level, asked.filter(|text| meant(text).is_none())) {
        tracing::warn!(
            "{}: expected a level such as `info`, or `foreword_gateway=debug`, found `{}`; it is `info` now",
            EnvFilter::DEFAULT_ENV,
            asked.escape_debug()
        );
    }
}

/// The filter that a text stands for. A word that is neither a level nor one of our crates would silence everything.
fn meant(text: &str) -> Option<EnvFilter> {
    let means_something = |directive: &str| {
        directive.contains(['=', '['])
            || directive.starts_with("foreword")
            || LevelFilter::from_str(directive).is_ok()
    };
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let filter = EnvFilter::try_new(text).ok()?;
    directives.into_iter().all(means_something).then_some(filter)
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_filter_that_would_silence_everything_is_none() {
        for good in ["info", "WARN", "off", "debug,foreword_gateway=trace", "foreword_cli", "hyper=warn,info"]
        {
            assert!(meant(good).is_some(), "{good}");
        }
        for wrong in ["loud", "inof", "info,loud", "foreword_gateway=loud"] {
            assert!(meant(wrong).is_none(), "{wrong}");
        }
    }
}
