//! The command line as a whole, and the groups of flags that several verbs share.

mod file;
mod header;
pub(crate) mod hex;
mod log;
mod tlv;

use clap::Parser;

pub(crate) use self::file::{FileArgs, USUAL};
pub(crate) use self::header::{HeaderArgs, HeaderArgsError};
pub(crate) use self::log::LogArgs;
pub(crate) use self::tlv::TlvArg;
use crate::command::Verb;
use crate::command::get::GetArgs;

/// A gateway, a test client and tools for the PROXY protocol.
#[derive(Debug, Parser)]
#[command(
    name = "foreword",
    version,
    about = "A gateway, a test client and tools for the PROXY protocol",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 the answer is no; 2 it could not be asked.\n\
                  `foreword VERB --help` has examples for each verb."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The test client under its own name, and in its own manner.
#[derive(Debug, Parser)]
#[command(
    name = "ppcurlcat",
    version,
    about = "Print what a server behind PROXY answers: status line, fields, content",
    long_about = "Sends a PROXY header (v1 unless told otherwise), asks for each URL over HTTP/1.1, and prints the status \
                  line, the fields and the content. Certificates are not verified, unless --cacert names their issuer. \
                  The flags are those of `foreword get`.",
    max_term_width = 100
)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) get: GetArgs,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The words of a command as a shell splits them; nothing if it is one of another program.
    fn words(command: &str) -> Option<Vec<String>> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for letter in command.chars() {
            match (quote, letter) {
                (None, '\'' | '"') => quote = Some(letter),
                (Some(open), letter) if open == letter => quote = None,
                (None, '#' | '|' | '>') => break,
                (None, ' ') => words.push(String::new()),
                (_, letter) => words.last_mut()?.push(letter),
            }
        }
        words.retain(|word| !word.is_empty());
        matches!(words.first()?.as_str(), "foreword" | "ppcurlcat").then_some(words)
    }

    fn is_a_command(command: &str) -> bool {
        let command = command.replace("cargo run --release --", "foreword");
        let Some(words) = words(&command) else { return false };
        let parsed = match words.first().map(String::as_str) {
            Some("ppcurlcat") => Cat::try_parse_from(&words).map(drop),
            _ => Cli::try_parse_from(&words).map(drop),
        };
        parsed.unwrap_or_else(|error| panic!("{command}: {error}"));
        true
    }

    #[test]
    fn examples_are_not_wrapped_so_they_can_be_copied() {
        let mut cli = <Cli as clap::CommandFactory>::command().term_width(100);
        cli.build();
        let mut open: Vec<clap::Command> = cli.get_subcommands().cloned().collect();
        let mut count = 0;
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().cloned());
            let Some(help) = command.get_after_help().map(ToString::to_string) else { continue };
            let Some((_, examples)) = help.split_once("Examples:\n") else { continue };
            for line in examples.lines().filter(|line| line.starts_with(' ')) {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
                count += 1;
            }
        }
        assert!(count >= 20, "{count} lines");
    }

    #[test]
    fn every_command_that_the_documents_show_is_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut pages = vec![root.join("README.md")];
        for folder in ["docs/guide", "docs/reference"] {
            let entries = fs::read_dir(root.join(folder)).expect("a folder");
            pages.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        let mut count = 0;
        for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
            let text = fs::read_to_string(page).expect("a page").replace("\\\n", "");
            // Behind a prompt, whoever's it is, and behind a pipe.
            let lines = text.lines().filter_map(|line| {
                line.trim_start()
                    .strip_prefix("$ ")
                    .or_else(|| line.strip_prefix("# foreword ").map(|_| &line[2..]))
            });
            for line in lines {
                count += line.split(" | ").filter(|command| is_a_command(command)).count();
            }
        }
        assert!(count >= 20, "{count} commands");
    }
}
