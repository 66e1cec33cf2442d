//! The two roles from flags alone: `foreword gate` and `foreword balance`. The flags become the text of a file, and the
//! file goes the way that every file goes; what is wrong with it is told of the flags.

pub(crate) mod balance;
mod blame;
mod draft;
mod emulate;
mod flags;
pub(crate) mod gate;

use std::io::{self, Write};
use std::path::Path;

use foreword_gateway::config::{self, Configuration, Problems};
use foreword_import::Draft;

use self::flags::RoleArgs;
use super::{problems, run};
use crate::output::{Exit, Failure, install_logger, talk};

/// Does with a file made of flags what the flags ask for.
fn carry_out(args: &RoleArgs, draft: &Draft) -> Result<Exit, Failure> {
    let text = draft.to_string();
    let parsed = parse(&text);
    // A file may be printed for another machine, where its certificates are.
    if args.print_config {
        return match parsed
            .map_err(|problems| problems.iter().any(|problem| !elsewhere(problem.kind())).then_some(problems))
        {
            Err(Some(problems)) => Ok(refuse(&text, &problems)),
            Ok(_) | Err(None) => print(&text),
        };
    }
    match parsed {
        Err(problems) => Ok(refuse(&text, &problems)),
        Ok(good) if args.check => {
            let warnings = good.plan.warnings.iter().cloned().chain(config::unmet(&good.plan));
            let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
            print(&format!("{warnings}the flags are good\n"))
        }
        Ok(good) => {
            install_logger(&args.log).map_err(|error| Failure::new(Exit::NO, error))?;
            // SIGHUP reads certificates and lists again; the flags stay what they were.
            run::serve(good.plan, &|| parse(&text).map(|again| again.plan))
        }
    }
}

/// A flag that says more of checks where there are none.
fn no_check(flag: &str) -> Failure {
    Failure::new(Exit::NOT_ASKED, format!("expected `--health` with `{flag}`"))
}

/// Relative paths start where the command was given.
fn parse(text: &str) -> Result<Configuration, Problems> {
    config::parse(text, NAME, Path::new(""))
}

fn elsewhere(kind: config::ProblemKind) -> bool {
    matches!(kind, config::ProblemKind::Certificate | config::ProblemKind::Unreadable)
}

fn refuse(text: &str, problems: &Problems) -> Exit {
    for problem in problems.iter() {
        let flag = blame::flag(text, problem).unwrap_or("the flags");
        let hint =
            problem.advice().map_or(String::new(), |hint| format!("hint: {}\n", blame::in_flags(hint)));
        talk(&format!(
            "foreword: `{flag}`: {} [{}]\n{hint}",
            problem.message(),
            problems::code(problem.kind())
        ));
    }
    Exit::NO
}

fn print(text: &str) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::write)?;
    Ok(Exit::DONE)
}

/// Stands where a file's name would.
const NAME: &str = "flags";
