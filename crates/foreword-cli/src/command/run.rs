//! `foreword run`: the gateway, from its file, until it is told to end.

use std::io;
use std::os::unix::net::UnixStream;

use clap::Args;
use foreword_gateway::config::Problems;
use foreword_gateway::plan::{Bind, Http2, Listener, Mode, Plan};
use foreword_gateway::refusal::Code;
use foreword_gateway::{Gateway, config};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::problems;
use crate::args::{FileArgs, LogArgs};
use crate::output::{Exit, Failure, Lack, chain, install_logger};

/// Runs the gateway.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 it was told to end, and did; 1 the file is wrong, or what it names cannot be had; \
                        2 the file cannot be read.\n\n\
    Signals:\n  \
    SIGHUP            reads the file again; if anything is wrong with it, nothing changes\n  \
    SIGUSR1           reopens the logs\n  \
    SIGTERM, SIGINT,\n  \
    SIGQUIT           lets connections end, then ends; a second one cuts them off\n  \
    SIGUSR2           nothing: it is told that a reload is SIGHUP\n\n\
    Examples:\n  \
    foreword run -c foreword.toml"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Check the file as `foreword check` does, and run nothing
    #[arg(short = 't', long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the gateway until a signal ends it.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    if args.check {
        return super::check::check(args.file.path());
    }
    install_logger(&args.log).map_err(Lack::Logger)?;
    match config::load(args.file.path()) {
        Ok(plan) => serve(plan, &|| config::load(args.file.path())),
        Err(problems) => Ok(problems::refuse(args.file.path(), &problems)),
    }
}

/// Makes a plan anew, when a signal asks for it.
type Load<'l> = &'l dyn Fn() -> Result<Plan, Problems>;

/// Runs a gateway from `plan` until a signal ends it. SIGHUP asks `load` for another one.
pub(super) fn serve(plan: Plan, load: Load<'_>) -> Result<Exit, Failure> {
    room_for_a_runtime().map_err(Lack::Runtime)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Lack::Runtime)?;
    runtime.block_on(async {
        // Before anything is bound: from here on no signal ends us unasked.
        let mut signals = Signals::new().map_err(Lack::Signals)?;
        let gateway = Gateway::start(plan).map_err(|error| Failure::new(Exit::NO, error))?;
        announce(&gateway);
        while let Some(told) = signals.next().await {
            match told {
                Told::Reload => reload(&gateway, load),
                Told::ReopenLogs => {
                    gateway.reopen_logs();
                    tracing::info!("logs reopened");
                }
                Told::Nothing => tracing::warn!("SIGUSR2 does nothing here: a reload is SIGHUP"),
                Told::End => break,
            }
        }
        end(&gateway, &mut signals).await;
        Ok(Exit::DONE)
    })
}

/// Takes as many descriptors as a runtime does, and gives them back: it panics where it gets none for its signals.
fn room_for_a_runtime() -> io::Result<()> {
    let [one, two, three] = [UnixStream::pair(), UnixStream::pair(), UnixStream::pair()];
    drop((one?, two?, three?));
    Ok(())
}

/// Lets connections end; whoever is told again to end does not wait for them.
async fn end(gateway: &Gateway, signals: &mut Signals) {
    let deadline = gateway.plan().drain.as_secs_f32();
    tracing::info!(
        "ending: {} open, which may take up to {deadline} s; another signal cuts off",
        gateway.open_connections()
    );
    let again = async { while !matches!(signals.next().await, Some(Told::End) | None) {} };
    tokio::select! {
        () = gateway.drain() => {}
        () = again => {
            gateway.cut();
            gateway.drain().await;
        }
    }
    tracing::info!("ended");
}

/// Puts what the file says now into force, or says why not and changes nothing.
fn reload(gateway: &Gateway, load: Load<'_>) {
    let plan = match load() {
        Ok(plan) => plan,
        Err(problems) => {
            gateway.reload_failed();
            for problem in problems.iter() {
                tracing::error!("{}", problems::record(problem));
            }
            tracing::error!("{RELOAD_FAILED} [{}]", Code::ReloadFailed);
            return;
        }
    };
    match gateway.reload(plan) {
        Ok(()) => {
            tracing::info!("the new configuration is in force");
            announce(gateway);
        }
        Err(error) => {
            for line in chain(&error).lines() {
                tracing::error!("{line}");
            }
            tracing::error!("{RELOAD_FAILED} [{}]", Code::ReloadFailed);
        }
    }
}

/// Says what runs: version, addresses, who is trusted, and what should be seen to.
fn announce(gateway: &Gateway) {
    let plan = gateway.plan();
    tracing::info!("foreword {}, {} workers", env!("CARGO_PKG_VERSION"), gateway.workers());
    for bound in gateway.addresses() {
        let mode = plan.listener(&bound.listener).map_or("", |listener| mode(listener));
        let address = match &bound.address {
            // The mode has said it already.
            Bind::Udp(address) => address.to_string(),
            address => address.to_string(),
        };
        tracing::info!("listener {}: {mode} on {address}", bound.listener);
    }
    if let Some(address) = gateway.admin_address() {
        tracing::info!("admin on {address}");
    }
    for listener in &plan.listeners {
        announce_certificates(listener);
        announce_trust(listener);
        announce_switches(listener);
    }
    announce_acme(&plan);
    for warning in &plan.warnings {
        tracing::warn!("{}", problems::one_line(warning));
    }
}

fn mode(listener: &Listener) -> &'static str {
    match (listener.mode, &listener.tls) {
        (Mode::Tcp, None) => "tcp",
        (Mode::Tcp, Some(_)) => "tcp in TLS",
        (Mode::Http, None) if listener.http2 == Http2::PriorKnowledge => "HTTP/2 without TLS",
        (Mode::Http, None) => "http",
        (Mode::Http, Some(_)) => "https",
        (Mode::TlsPassthrough, _) => "tls-passthrough",
        (Mode::Udp, _) => "udp",
    }
}

fn announce_certificates(listener: &Listener) {
    let Some(tls) = &listener.tls else { return };
    for (index, certificate) in tls.certificates().loaded().iter().enumerate() {
        let names = match certificate.names.join(", ") {
            names if names.is_empty() => "no name".to_owned(),
            names => names,
        };
        let others = if index == 0 { ", and for every other name" } else { "" };
        tracing::info!(
            "listener {}: certificate `{}` for {names}{others}",
            listener.name,
            certificate.file.display()
        );
    }
}

/// Which names a CA is asked for.
fn announce_acme(plan: &Plan) {
    let Some(acme) = &plan.acme else { return };
    for listener in &plan.listeners {
        let names = listener.tls.as_ref().map(|tls| tls.issued_names()).unwrap_or_default();
        if !names.is_empty() {
            let (listener, names, directory) = (&listener.name, names.join(", "), &acme.directory);
            tracing::info!("listener {listener}: certificates for {names} are obtained from {directory}");
        }
    }
}

fn announce_trust(listener: &Listener) {
    let Some(trust) = &listener.trust else {
        tracing::info!("listener {}: trusts nobody: every peer is its own client", listener.name);
        return;
    };
    for group in trust.groups() {
        let unix = group.unix.then(|| "unix".to_owned());
        let from: Vec<String> = group.from.iter().map(ToString::to_string).chain(unix).collect();
        let header = match group.header {
            foreword::HeaderPolicy::Require => "must send a header",
            foreword::HeaderPolicy::Optional => "may send a header",
            foreword::HeaderPolicy::Forbid => "must not send a header",
        };
        let forwarded = if group.forwarded { ", is believed in X-Forwarded-For" } else { "" };
        let (name, from) = (&group.name, from.join(", "));
        tracing::info!("listener {}: trust {name} ({from}) {header}{forwarded}", listener.name);
    }
}

/// What is taken that would be refused by default must not be forgotten.
fn announce_switches(listener: &Listener) {
    let switches: Vec<&str> = listener.header.parser.switches().collect();
    if !switches.is_empty() {
        tracing::info!("listener {}: headers are not read strictly: {}", listener.name, switches.join(", "));
    }
}

/// Said behind the problems, each of which has a line of its own.
const RELOAD_FAILED: &str = "the reload failed, the old configuration goes on";

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Reload,
    ReopenLogs,
    /// What nginx takes for an upgrade and HAProxy's master for a reload, and whose default would end us.
    Nothing,
    End,
}

/// The signals that a gateway obeys. SIGPIPE is ignored by the standard library's start.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one; `None` if no more can come.
    async fn next(&mut self) -> Option<Told> {
        tokio::select! {
            signal = self.terminate.recv() => signal.map(|()| Told::End),
            signal = self.interrupt.recv() => signal.map(|()| Told::End),
            signal = self.quit.recv() => signal.map(|()| Told::End),
            signal = self.hangup.recv() => signal.map(|()| Told::Reload),
            signal = self.user1.recv() => signal.map(|()| Told::ReopenLogs),
            signal = self.user2.recv() => signal.map(|()| Told::Nothing),
        }
    }
}
