//! `foreword check`: everything that is wrong with a file, and whether its tests hold.

use std::io::{self, StdoutLock, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use foreword_gateway::config::{self, Configuration, Problem, ProblemKind};
use serde_json::{Value, json};

use crate::output::{Exit, Failure};

/// Checks a configuration file and runs the `[[test]]`s in it.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it is good; 1 it is not; 2 it cannot be read.\n\n\
    Examples:\n  \
    foreword check -c foreword.toml\n  \
    foreword check --print-schema >foreword.schema.json")]
pub(crate) struct CheckArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/foreword/foreword.toml")]
    config: PathBuf,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the file, for editors, and check nothing
    #[arg(long, conflicts_with_all = ["config", "json"])]
    print_schema: bool,
}

pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    if args.print_schema {
        return answer(Exit::DONE, |stdout| stdout.write_all(config::schema().as_bytes()));
    }
    let report = Report::of(&args.config);
    answer(report.exit(), |stdout| match args.json {
        true => writeln!(stdout, "{}", report.json()),
        false => report.write(stdout),
    })
}

fn answer(exit: Exit, write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    write(&mut stdout).and_then(|()| stdout.flush()).map_err(Failure::write)?;
    Ok(exit)
}

/// Checks a file as `foreword run --check` does.
pub(crate) fn check(config: PathBuf) -> Result<Exit, Failure> {
    run(&CheckArgs { config, json: false, print_schema: false })
}

/// What is to be said of a file.
struct Report {
    file: String,
    problems: Vec<Problem>,
    failed: Vec<Problem>,
    good: Option<Configuration>,
}

impl Report {
    fn of(path: &Path) -> Self {
        let file = path.display().to_string();
        match config::read(path) {
            Ok(good) => Self { file, problems: Vec::new(), failed: good.run_tests(), good: Some(good) },
            Err(problems) => {
                Self { file, problems: problems.iter().cloned().collect(), failed: Vec::new(), good: None }
            }
        }
    }

    fn exit(&self) -> Exit {
        // What the file names and cannot be read is its mistake; then it could be asked all the same.
        let unread = |problem: &Problem| {
            problem.kind() == ProblemKind::Unreadable
                && problem.file() == self.file
                && problem.part().is_empty()
        };
        match () {
            () if self.problems.iter().any(unread) => Exit::NOT_ASKED,
            () if self.problems.is_empty() && self.failed.is_empty() => Exit::DONE,
            () => Exit::NO,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for problem in self.problems.iter().chain(&self.failed) {
            writeln!(out, "{problem}")?;
        }
        let Some(good) = &self.good else {
            let codes = codes(self.problems.iter());
            return writeln!(out, "{}: {} [{codes}]", self.file, counted(self.problems.len(), "problem"));
        };
        for warning in &good.plan.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        let (listeners, clusters) = (good.plan.listeners.len(), good.plan.clusters.len());
        let parts = format!("{}, {}", counted(listeners, "listener"), counted(clusters, "cluster"));
        match (good.tests.len(), self.failed.len()) {
            (0, _) => writeln!(out, "{}: good: {parts}", self.file),
            (tests, 0) => writeln!(out, "{}: good: {parts}; {} passed", self.file, counted(tests, "test")),
            (tests, failed) => {
                let differ = counted(failed, "expectation");
                writeln!(out, "{}: {differ} of {} not met", self.file, counted(tests, "test"))
            }
        }
    }

    fn json(&self) -> Value {
        json!({
            "file": self.file,
            "good": self.problems.is_empty() && self.failed.is_empty(),
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
            "warnings": self.good.as_ref().map(|good| &good.plan.warnings[..]).unwrap_or_default(),
            "tests": self.good.as_ref().map_or(0, |good| good.tests.len()),
            "failed": self.failed.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

fn problem(problem: &Problem) -> Value {
    let (line, column) = problem.position().unzip();
    json!({
        "code": code(problem.kind()),
        "file": problem.file(),
        "line": line,
        "column": column,
        "part": problem.part(),
        "message": problem.message(),
        "hint": problem.advice(),
    })
}

fn code(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Unreadable => "FW601",
        ProblemKind::Syntax => "FW602",
        ProblemKind::Wrong => "FW603",
        ProblemKind::Certificate => "FW604",
    }
}

/// The codes of several problems, each once, for `foreword explain`.
pub(super) fn codes<'p>(problems: impl Iterator<Item = &'p Problem>) -> String {
    let mut codes: Vec<&str> = problems.map(|problem| code(problem.kind())).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
