//! From the file that the operator wrote to the plan that the gateway runs.
//!
//! A file is read as a whole: every problem is told at once, each with its place, what was expected, what was found and,
//! where it can be told, what was probably meant. Nothing else in the gateway knows TOML.

mod acme;
mod basic_auth;
mod clusters;
mod compress;
mod datagrams;
mod document;
mod endpoint_tls;
mod endpoints;
mod files;
mod health;
mod keepalive;
mod keys;
mod limits;
mod listeners;
mod lists;
mod machine;
#[cfg(test)]
mod messages;
mod observing;
mod pages;
mod problem;
mod reference;
mod resolve;
mod room;
mod rules;
mod schema;
mod source;
mod sticky;
mod syntax;
mod takes;
mod terms;
mod tests;
mod tls;
mod tlvs;
mod trust;
mod units;

use std::path::Path;
use std::sync::Arc;

pub use self::machine::unmet;
pub use self::problem::{Problem, ProblemKind, Problems};
pub use self::reference::reference;
pub use self::resolve::Configuration;
pub use self::schema::schema;
use self::source::Source;
pub use self::tests::{Test, address, peer};
use crate::plan::Plan;

/// Reads a file and makes it a plan.
///
/// # Errors
/// Every problem in the file and in those that it names.
pub fn load(path: &Path) -> Result<Plan, Problems> {
    read(path).map(|configuration| configuration.plan)
}

/// Reads a file, its `[[test]]`s included.
///
/// # Errors
/// Every problem in the file and in those that it names.
pub fn read(path: &Path) -> Result<Configuration, Problems> {
    let source = Source::read(path)?;
    resolve::resolve(&Arc::new(source))
}

/// Makes text a plan. `name` stands for the file in messages; relative paths start at `folder`.
///
/// # Errors
/// Every problem in the text and in the files that it names.
pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Configuration, Problems> {
    resolve::resolve(&Arc::new(Source::new(name, folder, text)))
}
