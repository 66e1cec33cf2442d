//! `foreword gate`: what stands behind a balancer, from flags alone.

use clap::Args;
use foreword_import::parts::Mode;

use super::draft::Parts;
use super::flags::RoleArgs;
use super::{carry_out, no_check};
use crate::output::{Exit, Failure};

/// Stands behind a balancer that sends the header, and in front of servers that never heard of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Without `--trust` and its like, nobody is believed, and everyone is served as its own client.\n\n\
    Exit codes: 0 it was told to end, and did; 1 the flags are wrong, or what they name cannot be had; 2 they cannot be \
    read.\n\n\
    SIGHUP reads certificates again, SIGUSR1 reopens logs, SIGTERM, SIGINT and SIGQUIT let connections end.\n\n\
    Examples:\n  \
    foreword gate --bind [::]:443 --trust 10.0.0.0/16 --certificates certs/ \\\n    \
      --to 127.0.0.1:8080\n  \
    foreword gate --bind [::]:443 --trust 10.0.0.0/16 --trust-optional 127.0.0.1,::1 \\\n    \
      --to 127.0.0.1:8080 --access-log\n  \
    foreword gate --bind [::]:5432 --mode tcp --trust 10.0.0.0/16 --to 127.0.0.1:15432\n  \
    foreword gate --bind [::]:80 --trust 10.0.0.0/16 --to 127.0.0.1:8080 \\\n    \
      --print-config >foreword.toml"
)]
pub(crate) struct GateArgs {
    #[command(flatten)]
    role: RoleArgs,
}

pub(crate) fn run(args: &GateArgs) -> Result<Exit, Failure> {
    if let Some(flag) = args.role.health.detail_of_none() {
        return Err(no_check(flag));
    }
    let parts = Parts::of("gate", Mode::Http, &args.role);
    carry_out(&args.role, &parts.draft(&args.role))
}
