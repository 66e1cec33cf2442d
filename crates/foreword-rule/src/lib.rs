//! Rule text to a typed predicate over a connection and a request, without I/O.
//!
//! A [`Predicate`] is compiled once, when the file is read: names, types, lists, patterns and addresses are settled
//! then, and every mistake points at its place in the text. Afterwards [`Predicate::holds`] asks a [`Facts`] for what it
//! needs, cannot fail, and allocates nothing. A [`Template`] does the same for text that is written: redirects, fields,
//! log lines.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod canonical;
mod doubt;
mod error;
mod facts;
mod index;
mod lexer;
mod list;
mod matcher;
mod named;
mod parser;
mod pattern;
mod program;
mod scope;
mod suggest;
mod template;
mod types;
mod variable;

pub use error::RuleError;
pub use facts::Facts;
pub use index::{Index, MayHold};
pub use list::{EntryProblem, IpSet, List, TextSet, parse_network};
pub use matcher::Matcher;
pub use named::{ListError, NamedList};
pub use program::{Explained, Predicate};
pub use scope::Scope;
pub use suggest::suggest;
pub use template::{Part, Template};
pub use variable::{Kind, Variable};
