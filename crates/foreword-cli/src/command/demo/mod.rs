//! `foreword demo`: the whole chain on loopback, with nothing to configure.

mod app;
mod chain;
mod page;
mod request;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::chain::{Chain, Ports};
use crate::args::LogArgs;
use crate::output::{Exit, Failure, Lack, answer, chain as told, install_logger};

/// Runs the whole chain on loopback: client, balancer, gateway, web app.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    foreword demo\n  \
    foreword demo --once\n  \
    foreword demo --gateway-port 8443")]
pub(crate) struct DemoArgs {
    /// End after the first request.
    #[arg(long)]
    once: bool,
    /// Where the balancer listens; 0 for a free port.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    balancer_port: u16,
    /// Where the gateway listens; 0 for a free port.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    gateway_port: u16,
    /// Where the web app listens; 0 for a free port.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    app_port: u16,
    #[command(flatten)]
    log: LogArgs,
}

/// How long the gateway may take to write the line of a request that was answered.
const LOG_LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds the chain, makes one request, and stays up unless told otherwise.
pub(crate) fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    install_logger(&args.log).map_err(Lack::Logger)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(Lack::Runtime)?;
    runtime.block_on(demonstrate(args))
}

async fn demonstrate(args: &DemoArgs) -> Result<Exit, Failure> {
    let ports = Ports { balancer: args.balancer_port, gateway: args.gateway_port, app: args.app_port };
    // Before there is anything that a signal could leave behind.
    let mut ends = Ends::new().map_err(Lack::Signals)?;
    let (chain, log) = Chain::start(ports).await.map_err(|error| Failure::new(Exit::NO, error))?;
    let mut log = BufReader::new(log).lines();

    let shown = tokio::select! {
        shown = show(&chain, &mut log, args.once) => shown,
        () = ends.wait() => Ok(()),
    };
    chain.stop().await;
    shown.map(|()| Exit::DONE)
}

/// The signals that end the demo: Ctrl-C, Ctrl-\, a polite kill, and a terminal that was closed.
struct Ends([Signal; 4]);

impl Ends {
    fn new() -> io::Result<Self> {
        let [interrupt, quit] = [SignalKind::interrupt(), SignalKind::quit()].map(signal);
        let [terminate, hangup] = [SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, quit?, terminate?, hangup?]))
    }

    async fn wait(&mut self) {
        let [interrupt, quit, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The demo as the reader sees it, from the picture to the last line of the log.
async fn show(chain: &Chain, log: &mut Lines<BufReader<Receiver>>, once: bool) -> Result<(), Failure> {
    say(&page::picture(chain))?;
    let url = format!("https://localhost:{}/", chain.balancer.port());
    say(&page::request(&url))?;
    let answer = request::get(&url).await.map_err(|error| Failure::new(Exit::NO, error))?;
    say(&page::answer(&answer))?;

    let line = tokio::time::timeout(LOG_LINE_TIMEOUT, log.next_line()).await;
    match line.map_err(io::Error::from).flatten() {
        Ok(Some(line)) => say(&page::log_line(&line))?,
        Ok(None) => return Err(Failure::new(Exit::NO, "expected a line of the access log, found its end")),
        Err(error) => {
            return Err(Failure::new(
                Exit::NO,
                format!("expected a line of the access log: {}", told(&error)),
            ));
        }
    }
    if once {
        return Ok(());
    }
    say(&page::try_it(chain, &programs()))?;
    while let Some(line) = log.next_line().await.map_err(|error| Failure::new(Exit::NO, error))? {
        say(&format!("{line}\n"))?;
    }
    Ok(())
}

/// Where `foreword` and `ppcurlcat` are, as short as it can be said.
fn programs() -> PathBuf {
    let folder =
        env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)).unwrap_or_default();
    match env::current_dir() {
        Ok(here) => folder.strip_prefix(here).map(Path::to_path_buf).unwrap_or(folder),
        Err(_) => folder,
    }
}

fn say(text: &str) -> Result<(), Failure> {
    answer(Exit::DONE, text).map(drop)
}
