//! One file per verb. A verb has its `Args` and a `run` that takes them.

mod check;
mod decode;
mod demo;
mod encode;
mod explain;
pub(crate) mod get;
mod import;
mod problems;
mod role;
mod run;
mod why;

use clap::Subcommand;

use crate::output::{Exit, Failure};

/// What `foreword` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the whole chain on loopback, with nothing to configure
    Demo(demo::DemoArgs),
    /// Run the gateway
    Run(run::RunArgs),
    /// Stand behind a balancer that sends the header, from flags alone
    Gate(Box<role::gate::GateArgs>),
    /// Stand in front of servers as a balancer does, from flags alone
    Balance(Box<role::balance::BalanceArgs>),
    /// Say what a refusal's code means, why it happens, and what to do
    Explain(explain::ExplainArgs),
    /// Check a configuration file and run the tests in it
    Check(check::CheckArgs),
    /// Explain one decision of a configuration
    Why(Box<why::WhyArgs>),
    /// Ask for a URL as a proxy would: header, TLS, HTTP
    Get(Box<get::GetArgs>),
    /// Make a PROXY header
    Encode(Box<encode::EncodeArgs>),
    /// Take a PROXY header apart
    Decode(decode::DecodeArgs),
    /// Make a file of what describes a balancer elsewhere
    #[command(subcommand)]
    Import(import::ImportVerb),
}

impl Verb {
    /// Carries the verb out.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Demo(args) => demo::run(&args),
            Self::Run(args) => run::run(&args),
            Self::Gate(args) => role::gate::run(&args),
            Self::Balance(args) => role::balance::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Why(args) => why::run(&args),
            Self::Get(args) => get::run("foreword", get::Manner::Get, *args),
            Self::Encode(args) => encode::run(&args),
            Self::Decode(args) => decode::run(&args),
            Self::Import(verb) => import::run(&verb),
        }
    }
}
