//! `foreword check`: everything that is wrong with a file, and whether its tests hold.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use foreword_gateway::config::{self, Configuration, Problem};
use serde_json::{Value, json};

use super::problems::{self, counted};
use crate::args::FileArgs;
use crate::output::{Exit, Failure, answer};

/// Checks a configuration file and runs the `[[test]]`s in it.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it is good; 1 it is not; 2 it cannot be read.\n\n\
    Examples:\n  \
    foreword check -c foreword.toml\n  \
    foreword check --print-schema >foreword.schema.json")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the file, for editors, and check nothing
    #[arg(long, conflicts_with_all = ["config", "file", "json"])]
    print_schema: bool,
}

pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    if args.print_schema {
        return answer(Exit::DONE, &config::schema());
    }
    let report = Report::of(args.file.path());
    tell(&report, args.json)
}

fn tell(report: &Report, json: bool) -> Result<Exit, Failure> {
    let text = if json { format!("{}\n", report.json()) } else { report.to_string() };
    answer(report.exit(), &text)
}

/// Checks a file as `foreword run --check` does.
pub(crate) fn check(file: &Path) -> Result<Exit, Failure> {
    tell(&Report::of(file), false)
}

/// What is to be said of a file.
struct Report {
    file: PathBuf,
    problems: Vec<Problem>,
    failed: Vec<Problem>,
    good: Option<Configuration>,
    /// What was probably not meant, and what a start here and now would miss.
    warnings: Vec<String>,
}

impl Report {
    fn of(path: &Path) -> Self {
        let file = path.to_owned();
        match config::read(path) {
            Ok(good) => {
                let warnings = good.plan.warnings.iter().cloned().chain(config::unmet(&good.plan)).collect();
                let failed = good.run_tests();
                Self { file, problems: Vec::new(), failed, good: Some(good), warnings }
            }
            Err(problems) => Self {
                file,
                problems: problems.iter().cloned().collect(),
                failed: Vec::new(),
                good: None,
                warnings: Vec::new(),
            },
        }
    }

    fn exit(&self) -> Exit {
        match (self.problems.is_empty(), self.failed.is_empty()) {
            (true, true) => Exit::DONE,
            (true, false) => Exit::NO,
            (false, _) => problems::exit(&self.file, &self.problems),
        }
    }

    fn json(&self) -> Value {
        json!({
            "file": self.file.display().to_string(),
            "good": self.problems.is_empty() && self.failed.is_empty(),
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
            "warnings": self.warnings,
            "tests": self.good.as_ref().map_or(0, |good| good.tests.len()),
            "failed": self.failed.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().chain(&self.failed) {
            writeln!(f, "{problem}")?;
        }
        let Some(good) = &self.good else {
            return writeln!(f, "{}", problems::summary(&self.file, &self.problems));
        };
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let file = self.file.display();
        let (listeners, clusters) = (good.plan.listeners.len(), good.plan.clusters.len());
        let parts = format!("{}, {}", counted(listeners, "listener"), counted(clusters, "cluster"));
        match (good.tests.len(), self.failed.len()) {
            (0, _) => writeln!(f, "{file}: good: {parts}"),
            (tests, 0) => writeln!(f, "{file}: good: {parts}; {} passed", counted(tests, "test")),
            (tests, failed) => {
                let differ = counted(failed, "expectation");
                writeln!(f, "{file}: {differ} of {} not met", counted(tests, "test"))
            }
        }
    }
}

fn problem(problem: &Problem) -> Value {
    let (line, column) = problem.position().unzip();
    json!({
        "code": problem.kind().code().to_string(),
        "file": problem.file(),
        "line": line,
        "column": column,
        "part": problem.part(),
        "message": problem.message(),
        "hint": problem.advice(),
    })
}
