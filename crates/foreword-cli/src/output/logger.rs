//! The logger of the verbs that run a gateway: lines on standard error, coloured only where someone looks at them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;
use std::thread;

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::lines;
use crate::args::LogArgs;

/// Installs the logger. The flag decides what is shown, else `RUST_LOG`, else it is `info` and above.
///
/// Only the first call of a process has an effect, which is what a verb that starts twice in a test wants. From then on
/// nobody waits for standard error: neither who logs nor who panics.
///
/// # Errors
///
/// When the machine gives no thread, or no descriptor, for the lines.
pub(crate) fn install(args: &LogArgs) -> io::Result<()> {
    lines::start()?;
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
        .with_writer(lines::Queued)
        .with_ansi(colour)
        .with_target(false)
        .log_internal_errors(false);
    drop(logger.try_init());
    panic::set_hook(Box::new(tell_panic));
    if let (None, Some(asked)) = (args.log_level, asked.filter(|text| meant(text).is_none())) {
        tracing::warn!(
            "{}: expected a level such as `info`, or `foreword_gateway=debug`, found `{}`; it is `info` now",
            EnvFilter::DEFAULT_ENV,
            asked.escape_debug()
        );
    }
    Ok(())
}

/// Tells of a panic as the standard library does, but without waiting for standard error.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let what = panic.payload_as_str().unwrap_or("a value that is no text");
    // Only if RUST_BACKTRACE asks for one.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!("thread `{name}` panicked at {place}: {what}\n{backtrace}");
        }
        _ => tracing::error!("thread `{name}` panicked at {place}: {what}"),
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
