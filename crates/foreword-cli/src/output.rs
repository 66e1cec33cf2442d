//! Answers go to standard output, talk goes to standard error, and neither ever panics on a closed pipe.

pub(crate) mod anatomy;
mod lines;
mod logger;

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) use self::lines::WrittenAtEnd;
pub(crate) use self::logger::install as install_logger;

/// How a verb that could be carried out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// It is done, or the answer is yes.
    pub(crate) const DONE: Self = Self(0);
    /// The answer is no.
    pub(crate) const NO: Self = Self(1);
    /// The question could not be asked: wrong usage, unreadable input.
    pub(crate) const NOT_ASKED: Self = Self(2);
    /// What a shell reports of a tool that SIGPIPE ended: nobody reads on.
    pub(crate) const PIPE_CLOSED: Self = Self(128 + 13);

    /// A number that means something to whoever asks for it.
    pub(crate) const fn code(code: u8) -> Self {
        Self(code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// Why a verb could not be carried out, with the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Nothing is left to say, or nobody to say it to.
    said: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with the error that explains it; the error's sources are printed too.
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, said: Some(error.into()), hint: None }
    }

    /// What to do about it, in one sentence.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Writing the answer failed. A closed pipe is no news to whoever closed it.
    pub(crate) fn write(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::PIPE_CLOSED, said: None, hint: None };
        }
        Self::new(Exit::NOT_ASKED, Unwritten(error))
    }
}

/// What a verb cannot do without, and the machine did not give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lack {
    #[error("expected an event loop of this machine, found none")]
    Runtime(#[source] io::Error),
    #[error("expected to be told of signals")]
    Signals(#[source] io::Error),
    #[error("expected a thread that writes what is logged, found none")]
    Logger(#[source] io::Error),
}

impl From<Lack> for Failure {
    fn from(lack: Lack) -> Self {
        let hint = "`ulimit -n` tells how many files may be open, `ulimit -u` how many threads there may be";
        Self::new(Exit::NO, lack).hint(hint)
    }
}

#[derive(Debug)]
struct Unwritten(io::Error);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected standard output to take the answer")
    }
}

impl Error for Unwritten {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Tells what went wrong, if anything did, and gives the process its exit code.
pub(crate) fn conclude(program: &str, outcome: Result<Exit, Failure>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let Some(text) = describe(program, &failure) {
                talk(&text);
            }
            failure.exit.into()
        }
    }
}

/// Writes a whole answer to standard output.
pub(crate) fn answer(exit: Exit, text: &str) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::write)?;
    Ok(exit)
}

/// Writes to standard error; if that is closed, there is nobody left to tell.
pub(crate) fn talk(text: &str) {
    if !lines::queue(text) {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// The error, its sources behind it, and the hint on a line of its own.
fn describe(program: &str, failure: &Failure) -> Option<String> {
    let error = failure.said.as_deref()?;
    let mut text = format!("{program}: {}\n", chain(error));
    if let Some(hint) = &failure.hint {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "hint: {hint}");
    }
    Some(text)
}

/// An error and its sources, joined by colons.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_sources_and_its_hint() {
        let failure =
            Failure::new(Exit::NOT_ASKED, Unwritten(io::Error::other("disk full"))).hint("free some room");
        assert_eq!(
            describe("foreword", &failure).as_deref(),
            Some("foreword: expected standard output to take the answer: disk full\nhint: free some room\n")
        );
    }

    #[test]
    fn a_closed_pipe_ends_without_a_word() {
        let failure = Failure::write(io::ErrorKind::BrokenPipe.into());
        assert_eq!(describe("foreword", &failure), None);
        assert_eq!(failure.exit, Exit::PIPE_CLOSED);
    }
}
