//! The two roles from flags alone: `foreword gate` and `foreword balance`. The flags become the text of a file, and the
//! file goes the way that every file goes; what is wrong with it is told of the flags.

pub(crate) mod balance;
mod blame;
mod draft;
mod emulate;
mod flags;
pub(crate) mod gate;

use std::path::Path;

use foreword_gateway::config::{self, Configuration, Problem, Problems};
use foreword_import::Draft;

use self::flags::RoleArgs;
use super::run;
use crate::output::{Exit, Failure, Lack, answer, install_logger, talk};

/// Does with a file made of flags what the flags ask for.
fn carry_out(args: &RoleArgs, draft: &Draft) -> Result<Exit, Failure> {
    let text = draft.to_string();
    let parsed = parse(&text);
    // A file may be printed for another machine, where its certificates are.
    if args.print_config {
        return match parsed {
            Err(problems) if !problems.iter().all(Problem::is_of_this_machine) => {
                Ok(refuse(&text, &problems))
            }
            Ok(_) | Err(_) => answer(Exit::DONE, &text),
        };
    }
    match parsed {
        Err(problems) => Ok(refuse(&text, &problems)),
        Ok(good) if args.check => {
            let warnings = good.plan.warnings.iter().cloned().chain(config::unmet(&good.plan));
            let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
            answer(Exit::DONE, &format!("{warnings}the flags are good\n"))
        }
        Ok(good) => {
            install_logger(&args.log).map_err(Lack::Logger)?;
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

fn refuse(text: &str, problems: &Problems) -> Exit {
    for problem in problems.iter() {
        let flag = blame::flag(text, problem).unwrap_or("the flags");
        let hint =
            problem.advice().map_or(String::new(), |hint| format!("hint: {}\n", blame::in_flags(hint)));
        talk(&format!("foreword: `{flag}`: {} [{}]\n{hint}", blame::message(problem), problem.kind().code()));
    }
    Exit::NO
}

/// Stands where a file's name would.
const NAME: &str = "flags";
