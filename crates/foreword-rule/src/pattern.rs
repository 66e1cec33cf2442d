//! Patterns, compiled whole: matching is one table step per byte, whatever the pattern.

use std::sync::Arc;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

pub(crate) type Pattern = Arc<dense::DFA<Vec<u32>>>;

/// Compiles a pattern over bytes: classes as `\w` and `\d` are of ASCII, `^` and `$` are the ends of the text.
///
/// # Errors
/// What is wrong with it, or that its table would be too large.
pub(crate) fn compile(pattern: &str, ignore_case: bool) -> Result<Pattern, String> {
    if pattern.len() > MAX_LEN {
        return Err(format!("expected a pattern of at most {MAX_LEN} bytes, found {}", pattern.len()));
    }
    let dfa = dense::Builder::new()
        .syntax(
            syntax::Config::new()
                .unicode(false)
                .utf8(false)
                .case_insensitive(ignore_case)
                .nest_limit(MAX_DEPTH),
        )
        .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_NFA)))
        .configure(
            dense::Config::new()
                .start_kind(StartKind::Unanchored)
                .match_kind(MatchKind::All)
                .dfa_size_limit(Some(MAX_TABLE))
                .determinize_size_limit(Some(MAX_WORK)),
        )
        .build(pattern)
        .map_err(|error| explain(&error))?;
    Ok(Arc::new(dfa))
}

/// Whether a pattern fits anywhere in `bytes`.
pub(crate) fn is_in(pattern: &dense::DFA<Vec<u32>>, bytes: &[u8]) -> bool {
    // The search can give up only at bytes that a pattern was told to quit at, and none is told so.
    matches!(pattern.try_search_fwd(&Input::new(bytes).earliest(true)), Ok(Some(_)))
}

fn explain(error: &dense::BuildError) -> String {
    if error.is_size_limit_exceeded() {
        return "expected a pattern whose table fits in 1 MiB, found a larger one".to_owned();
    }
    // The cause that knows the syntax draws the pattern again; its last line says what is wrong.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let last = text.lines().last().unwrap_or_default();
    let reason = last.strip_prefix("error: ").unwrap_or(last).trim();
    format!("expected a pattern, found one that cannot be read: {reason}")
}

const MAX_LEN: usize = 1024;
const MAX_DEPTH: u32 = 50;
const MAX_NFA: usize = 1024 * 1024;
/// Such a table stays in a processor's second cache, and is reached by patterns that few would care to read.
const MAX_TABLE: usize = 1024 * 1024;
/// What may be used on the way; it keeps a hostile pattern from holding up the start.
const MAX_WORK: usize = 4 * 1024 * 1024;
