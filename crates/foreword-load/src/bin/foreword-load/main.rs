//! The `foreword-load` command: the two ends of a measurement, driven by `scripts/bench`.

mod args;
mod report;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use foreword::Version;
use foreword_load::{
    Datagrams, Load, Multiplexed, Origin, OriginSettings, Outcome, Requests, Streams, Suite, Tls,
    TlsSetupError, Until, Way, Work,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::runtime::{Builder, LocalOptions};

use self::args::{
    Arguments, AskedArguments, Command, Header, HoldArguments, OriginArguments, TargetArguments,
    UntilArguments,
};

/// 0: all units were done. 1: some failed. 2: it could not be tried.
fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let told = writeln!(io::stderr(), "foreword-load: {}", report::chain(&error));
            // With nobody to tell it to, the code has to do.
            drop(told);
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("no runtime, or no standard output")]
    System(#[from] io::Error),
    #[error("cannot read {path}")]
    Certificates { path: String, source: rustls_pki_types::pem::Error },
    #[error("cannot set up TLS")]
    Tls(#[from] TlsSetupError),
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot write {path}")]
    Write { path: String, source: io::Error },
}

/// Whether all went well.
fn execute(command: Command) -> Result<bool, CommandError> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    match command {
        Command::Origin(arguments) => runtime.block_on(origin(&arguments)),
        Command::Requests(arguments) => {
            let requests = requests(&arguments.target, arguments.asked, arguments.close);
            let (work, alpn) = match arguments.http2 {
                Some(at_once) => (Work::Multiplexed(Multiplexed { requests, at_once }), "h2"),
                None => (Work::Requests(requests), HTTP1),
            };
            let load = load(arguments.target, until(&arguments.until), work, alpn)?;
            print(runtime.block_on(foreword_load::run(load)))
        }
        Command::Streams(arguments) => {
            let way = match arguments.way {
                args::Way::Down => Way::Down,
                args::Way::Up => Way::Up,
            };
            let work = Work::Streams(Streams { way, bytes: arguments.bytes });
            let load = load(arguments.target, until(&arguments.until), work, HTTP1)?;
            print(runtime.block_on(foreword_load::run(load)))
        }
        Command::Datagrams(arguments) => {
            let work = Work::Datagrams(Datagrams { len: arguments.bytes, at_once: arguments.at_once });
            let load = load(arguments.target, until(&arguments.until), work, HTTP1)?;
            print(runtime.block_on(foreword_load::run(load)))
        }
        Command::Hold(arguments) => runtime.block_on(hold(arguments)),
        Command::Certificate { out } => certificate(&out).map(|()| true),
    }
}

fn print(outcome: Outcome) -> Result<bool, CommandError> {
    report::line(&report::outcome(&outcome))?;
    Ok(outcome.failed() == 0)
}

async fn origin(arguments: &OriginArguments) -> Result<bool, CommandError> {
    let OriginArguments { ip, header, copies, source_bytes } = *arguments;
    let origin = Origin::bind(OriginSettings { ip, header, copies, source_bytes })?;
    report::line(&report::addresses(&origin.addresses()?))?;
    let tally = origin.tally();
    tokio::select! {
        () = origin.serve() => {}
        () = end_of_input() => {}
    }
    report::line(&report::tally(&tally))?;
    Ok(tally.failures().is_empty())
}

async fn hold(arguments: HoldArguments) -> Result<bool, CommandError> {
    let requests = requests(&arguments.target, arguments.asked, false);
    // As many units as connections, which is what holding means.
    let until = Until::Units(arguments.target.connections as u64);
    let load = load(arguments.target, until, Work::Requests(requests.clone()), HTTP1)?;
    let (mut held, outcome) = foreword_load::hold(load, requests).await;
    report::line(&report::outcome(&outcome))?;
    end_of_input().await;
    let lost = held.lost().await;
    report::line(&report::held(held.len(), lost))?;
    Ok(outcome.failed() == 0 && lost == 0)
}

/// Who started us says so by closing our standard input; so does its death.
async fn end_of_input() {
    let ended = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    // However it ended, it ended.
    drop(ended.await);
}

fn requests(target: &TargetArguments, asked: AskedArguments, close: bool) -> Requests {
    let AskedArguments { path, upload, status, len } = asked;
    Requests { host: target.name.clone(), path, upload, close, status, len }
}

/// The parser has seen to it that one of them is there.
fn until(arguments: &UntilArguments) -> Until {
    match arguments.units {
        Some(units) => Until::Units(units),
        None => Until::Passed(arguments.seconds.unwrap_or_default()),
    }
}

fn load(target: TargetArguments, until: Until, work: Work, alpn: &str) -> Result<Load, CommandError> {
    let tls = match &target.ca {
        Some(path) => Some(tls(&target, path, alpn)?),
        None => None,
    };
    Ok(Load {
        target: target.target,
        header: match target.header {
            Header::None => None,
            Header::V1 => Some(Version::One),
            Header::V2 => Some(Version::Two),
        },
        tls,
        connections: target.connections,
        work,
        until,
        timeout: target.timeout,
        max_failures: target.max_failures,
    })
}

fn tls(target: &TargetArguments, ca: &Path, alpn: &str) -> Result<Tls, CommandError> {
    let suite = match target.suite {
        args::Suite::Aes128Gcm => Suite::Aes128Gcm,
        args::Suite::Aes256Gcm => Suite::Aes256Gcm,
        args::Suite::Chacha20Poly1305 => Suite::Chacha20Poly1305,
    };
    let roots = CertificateDer::pem_file_iter(ca)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| CommandError::Certificates { path: ca.display().to_string(), source })?;
    Ok(Tls::new(&target.name, roots, suite, &[alpn])?)
}

/// What is offered where nothing else is asked for.
const HTTP1: &str = "http/1.1";

fn certificate(folder: &Path) -> Result<(), CommandError> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let both = format!("{certificate}{key}");
    for (name, text) in [("bench.crt", &certificate), ("bench.key", &key), ("bench.pem", &both)] {
        let path = folder.join(name);
        fs::write(&path, text)
            .map_err(|source| CommandError::Write { path: path.display().to_string(), source })?;
    }
    Ok(())
}
