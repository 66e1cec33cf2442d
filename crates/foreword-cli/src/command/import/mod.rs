//! `foreword import`: what describes a balancer elsewhere made a file of ours, and all that it leaves out named.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use foreword_gateway::config::{self, Problem};
use foreword_import::{Assigned, Deployment, Fault, Faults, Imported, Note};

use super::problems::counted;
use crate::output::{Exit, Failure, answer, talk};

/// What can be imported.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportVerb {
    /// A CloudFormation template, JSON or YAML: classic ELBs, NLBs and ALBs
    #[command(after_help = CFN_HELP)]
    Cfn(CfnArgs),
    /// Kubernetes manifests: Services of type LoadBalancer and their annotations
    #[command(after_help = K8S_HELP)]
    K8s(K8sArgs),
}

const CFN_HELP: &str = "The file goes to standard output, and what it leaves out to standard error, each with its place in the \
    template.\n\n\
    Exit codes: 0 done; 1 the template is wrong, or something must be said that it does not say; 2 it cannot be read.\n\n\
    Examples:\n  \
    foreword import cfn elb.json --endpoint 10.0.1.10 >foreword.toml\n  \
    foreword import cfn elb.yaml --param WebServer=10.0.1.10 --param Stage=production\n  \
    foreword import cfn elb.yaml --endpoint 443=127.0.0.1:8443 --listen 443=127.0.0.1:9443";

const K8S_HELP: &str = "The file goes to standard output, and what it leaves out to standard error, each with its place in the \
    manifest. Where nodes or pods are, no manifest says: `--endpoint` does.\n\n\
    Exit codes: 0 done; 1 the manifest is wrong, or something must be said that it does not say; 2 it cannot be read.\n\n\
    Examples:\n  \
    foreword import k8s service.yaml --endpoint 10.0.1.10 --endpoint 10.0.1.11 >foreword.toml\n  \
    foreword import k8s service.yaml --endpoint ingress:443=10.0.1.10:30443";

/// Manifests, and what only their cluster knows.
#[derive(Debug, Args)]
pub(crate) struct K8sArgs {
    /// The manifests, one document or many; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A template, and what only its deployment knows.
#[derive(Debug, Args)]
pub(crate) struct CfnArgs {
    /// The template; `-` is standard input
    file: PathBuf,
    /// The value of a parameter, or the address of a resource such as an instance; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = param)]
    param: Vec<(String, String)>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where things are on this machine.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// Where endpoints are: for all ports, for one port (`443=…`), or for one balancer or group (`Web=…`, `Web:443=…`); repeatable
    #[arg(long, value_name = "[NAME:PORT=]ADDRESS")]
    endpoint: Vec<Assigned>,
    /// Where to listen for a port, if not there on every address; repeatable
    #[arg(long, value_name = "[NAME:]PORT=ADDRESS")]
    listen: Vec<Assigned>,
    /// The certificates of listeners that end TLS: a folder
    #[arg(long, value_name = "FOLDER")]
    certificates: Option<String>,
    /// Print no file if anything must be left out
    #[arg(long)]
    strict: bool,
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

pub(crate) fn run(verb: &ImportVerb) -> Result<Exit, Failure> {
    match verb {
        ImportVerb::Cfn(args) => {
            let text = read(&args.file)?;
            let deployment = deployment(&args.param, &args.place)?;
            tell(&args.file, "cfn", &args.place, foreword_import::cfn(&text, &deployment))
        }
        ImportVerb::K8s(args) => {
            let text = read(&args.file)?;
            let deployment = deployment(&[], &args.place)?;
            tell(&args.file, "k8s", &args.place, foreword_import::k8s(&text, &deployment))
        }
    }
}

fn deployment(params: &[(String, String)], place: &PlaceArgs) -> Result<Deployment, Failure> {
    let mut deployment = Deployment::default();
    deployment.endpoints.clone_from(&place.endpoint);
    deployment.listens.clone_from(&place.listen);
    deployment.certificates.clone_from(&place.certificates);
    for (name, value) in params {
        if deployment.params.insert(name.clone(), value.clone()).is_some() {
            let message = format!("expected each `--param` once, found `{name}` again");
            return Err(Failure::new(Exit::NOT_ASKED, message));
        }
    }
    Ok(deployment)
}

fn read(file: &Path) -> Result<String, Failure> {
    let unread = |error: io::Error| {
        Failure::new(Exit::NOT_ASKED, format!("expected to read `{}`: {error}", file.display()))
    };
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(MAX_LEN).read_to_end(&mut bytes),
        false => File::open(file).and_then(|file| file.take(MAX_LEN).read_to_end(&mut bytes)),
    };
    read.map_err(unread)?;
    String::from_utf8(bytes).map_err(|error| unread(io::Error::other(error.utf8_error())))
}

/// Prints the file and what it leaves out, or why there is none.
fn tell(
    file: &Path,
    kind: &str,
    place: &PlaceArgs,
    imported: Result<Imported, Faults>,
) -> Result<Exit, Failure> {
    let name = if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() };
    let mut imported = match imported {
        Ok(imported) => imported,
        Err(faults) => {
            faults.iter().for_each(|fault| talk(&fault_line(&name, fault)));
            let count = counted(faults.iter().count(), "problem");
            talk(&format!("{name}: {count}, no file made\n"));
            return Ok(Exit::NO);
        }
    };
    introduce(&name, kind, &mut imported);
    let text = imported.draft.to_string();
    for note in &imported.notes {
        talk(&format!("{name}:{}: {note}\n", note.place));
    }
    if let Some(problem) = wrong(&text) {
        let what = problem.part();
        return Err(Failure::new(Exit::NO, format!("expected a sound file: {what}: {}", problem.message())));
    }
    if place.strict && !imported.notes.is_empty() {
        talk(&format!(
            "{name}: {} left out or said otherwise, no file made\n",
            counted(imported.notes.len(), "thing")
        ));
        return Ok(Exit::NO);
    }
    answer(Exit::DONE, &text)
}

fn introduce(name: &str, kind: &str, imported: &mut Imported) {
    imported.draft.say(format!("Made of {name} by `foreword import {kind}`."));
    if imported.notes.is_empty() {
        return;
    }
    imported.draft.say("");
    imported.draft.say("Left out, or said otherwise:");
    for Note { place, path, message } in &imported.notes {
        imported.draft.say(format!("  {place} {path}: {message}"));
    }
}

fn fault_line(name: &str, fault: &Fault) -> String {
    let place = fault.place().map_or(String::new(), |place| format!(":{place}"));
    let hint = fault.advice().map_or(String::new(), |hint| format!("hint: {hint}\n"));
    format!("{name}{place}: {fault}\n{hint}")
}

/// What is wrong with a file that was made, if anything is. What it names need not be on this machine.
fn wrong(text: &str) -> Option<Problem> {
    let problems = config::parse(text, "imported", Path::new("")).err()?;
    problems.iter().find(|problem| !problem.is_of_this_machine()).cloned()
}

/// More than the importer takes, so that it says so.
const MAX_LEN: u64 = 8 * 1024 * 1024;
