//! Which flag a problem of the file is about: the file was made of flags, and nobody has seen it.

use foreword_gateway::config::{Problem, ProblemKind};

use super::NAME;

/// The flag behind the line that a problem stands at.
pub(super) fn flag(text: &str, problem: &Problem) -> Option<&'static str> {
    let (line, column) = problem.position()?;
    let before: Vec<&str> = text.lines().take(line).collect();
    let table = before.iter().rev().find_map(|line| line.strip_prefix('[')).unwrap_or_default();
    let key = before.last()?.split('=').next()?.trim();
    // What a listener and its cluster do not agree on stands at the head of the listener.
    if key.starts_with("[listener.") && problem.message().contains(" sends ") {
        return Some("--send-header");
    }
    let of_key = |(name, wanted, _): &&(&str, &str, &str)| table.starts_with(name) && key == *wanted;
    let (_, _, flag) = FLAGS.iter().find(of_key)?;
    // A table on one line, and two flags for it.
    match *flag {
        "--max-connections" if problem.message().contains("`flows`") => Some("--max-flows"),
        // Of TLS with endpoints, it is the only file that a flag names.
        "--to-tls" if problem.kind() == ProblemKind::Certificate => Some("--to-ca"),
        "--to-tls" => Some(match key_before(before.last()?, column) {
            "sni" => "--to-sni",
            "verify" => "--to-insecure",
            _ => "--to-tls",
        }),
        flag => Some(flag),
    }
}

/// The key of an inline table whose value begins at a column of its line.
fn key_before(line: &str, column: usize) -> &str {
    let end = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let before = line.get(..end).unwrap_or_default();
    let inner = before.rsplit(['{', ',']).next().unwrap_or_default();
    inner.split('=').next().unwrap_or_default().trim()
}

/// What a problem says, without places in a file that nobody has seen, and with flags for the names of groups.
pub(super) fn message(problem: &Problem) -> String {
    let said = problem.message();
    let said = said.split_once(&format!(" ({NAME}:")).map_or(said, |(said, _)| said);
    GROUPS.iter().fold(said.to_owned(), |said, (name, flag)| said.replace(name, flag))
}

/// Where a range is, and the flag that put it there.
const GROUPS: &[(&str, &str)] = &[
    ("in `required`", "in `--trust`"),
    ("in `optional`", "in `--trust-optional`"),
    ("in `forbidden`", "in `--trust-forbid`"),
];

/// A hint, as it is done with flags.
pub(super) fn in_flags(hint: &str) -> String {
    HINTS.iter().fold(hint.to_owned(), |hint, (key, flag)| hint.replace(key, flag))
}

/// What hints say of keys, and the flags for it.
const HINTS: &[(&str, &str)] = &[
    (
        "take a cluster with `send_header = \"v2\"`, `\"v1\"` or `\"none\"`",
        "give `--send-header v2`, `v1` or `none`",
    ),
    ("write `send_header = \"v2\"` there", "give `--send-header v2`"),
    ("`send_header = \"v2\"`", "`--send-header v2`"),
];

/// How a table begins, a key in it, and the flag that it came from.
const FLAGS: &[(&str, &str, &str)] = &[
    ("cluster.endpoints.health", "check", "--health"),
    ("cluster.endpoints.health", "path", "--health"),
    ("cluster.endpoints.health", "header", "--health-header"),
    ("cluster.endpoints.health", "port", "--health-port"),
    ("cluster.endpoints.health", "interval", "--health-interval"),
    ("cluster.endpoints.health", "timeout", "--health-timeout"),
    ("cluster.endpoints.health", "rise", "--health-rise"),
    ("cluster.endpoints.health", "fall", "--health-fall"),
    ("cluster.", "tls", "--to-tls"),
    ("cluster.", "slow_start", "--slow-start"),
    ("cluster.", "pass_tlvs", "--pass-tlv"),
    ("listener.", "bind", "--bind"),
    ("listener.", "mode", "--mode"),
    ("listener.", "trust", "--trust"),
    ("listener.", "tls", "--certificates"),
    ("listener.", "timeout", "--idle-timeout"),
    ("listener.", "max", "--max-connections"),
    ("listener.", "cluster", "--send-header"),
    ("listener.", "header", "--datagrams"),
    ("cluster.", "endpoints", "--to"),
    ("cluster.", "balance", "--balance"),
    ("cluster.", "send_header", "--send-header"),
    ("cluster.", "send_tlvs", "--send-tlv"),
    ("cluster.", "header_placement", "--header-placement"),
    ("cluster.", "timeout", "--connect-timeout"),
    ("trust.required", "from", "--trust"),
    ("trust.optional", "from", "--trust-optional"),
    ("trust.forbidden", "from", "--trust-forbid"),
    ("log.access", "to", "--log-to"),
    ("log.access", "format", "--access-log"),
    ("admin", "bind", "--admin"),
    ("", "workers", "--workers"),
    ("", "drain", "--drain"),
];
