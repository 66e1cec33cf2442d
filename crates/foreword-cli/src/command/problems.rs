//! What is wrong with a file, said alike by every verb that reads one.

use std::path::Path;

use foreword_gateway::config::{Problem, ProblemKind, Problems};

use crate::args::USUAL;
use crate::output::{Exit, talk};

/// Says on standard error all that is wrong with a file, and how the verb ends for it.
pub(crate) fn refuse(file: &Path, problems: &Problems) -> Exit {
    let problems: Vec<Problem> = problems.iter().cloned().collect();
    for problem in &problems {
        talk(&format!("{problem}\n"));
    }
    talk(&format!("{}\n", summary(file, &problems)));
    exit(file, &problems)
}

/// How a verb ends for a file with these problems: it is wrong, or it could not be read.
pub(crate) fn exit(file: &Path, problems: &[Problem]) -> Exit {
    let file = file.display().to_string();
    // What the file names and cannot be read is its mistake; then it could be asked all the same.
    let unread = |problem: &Problem| {
        problem.kind() == ProblemKind::Unreadable && problem.file() == file && problem.part().is_empty()
    };
    if problems.iter().any(unread) { Exit::NOT_ASKED } else { Exit::NO }
}

/// How many there are, and their codes, for `foreword explain`.
pub(crate) fn summary(file: &Path, problems: &[Problem]) -> String {
    let mut codes: Vec<String> = problems.iter().map(|problem| problem.kind().code().to_string()).collect();
    codes.sort_unstable();
    codes.dedup();
    let hint = match file == Path::new(USUAL) && exit(file, problems) == Exit::NOT_ASKED {
        true => "\nhint: another file is named with `-c FILE`",
        false => "",
    };
    format!("{}: {} [{}]{hint}", file.display(), counted(problems.len(), "problem"), codes.join(", "))
}

/// A problem as one line of a log, with its code at the end.
pub(crate) fn record(problem: &Problem) -> String {
    format!("{} [{}]", one_line(&problem.to_string()), problem.kind().code())
}

/// Text and its hint as one line of a log.
pub(crate) fn one_line(text: &str) -> String {
    text.replace("\nhint: ", "; ").replace('\n', ", ")
}

pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
