//! `foreword balance`: what stands in front, from flags alone.

use clap::Args;
use foreword_import::parts::Mode;

use super::draft::Parts;
use super::emulate::As;
use super::flags::RoleArgs;
use super::{carry_out, no_check};
use crate::output::{Exit, Failure};

/// Stands in front of servers, as an ELB, an NLB or HAProxy in TCP mode does.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 it was told to end, and did; 1 the flags are wrong, or what they name cannot be had; 2 they \
    cannot be read.\n\n\
    SIGHUP reads certificates again, SIGUSR1 reopens logs, SIGTERM, SIGINT and SIGQUIT let connections end.\n\n\
    Examples:\n  \
    foreword balance --bind [::]:443 --to 10.0.0.1:443 --to 10.0.0.2:443 --send-header v2\n  \
    foreword balance --bind [::]:25 --to 10.0.2.10:25 --send-header v1 \\\n    \
      --balance least-connections\n  \
    foreword balance --as classic-elb --bind 127.0.0.1:9443 --to 127.0.0.1:8443\n  \
    foreword balance --bind [::]:443 --to 10.0.0.1:443 --print-config >foreword.toml"
)]
pub(crate) struct BalanceArgs {
    /// Do as AWS documents of its balancers, faults included: `classic-elb`, or `nlb` with its header placement,
    /// `nlb:on_first_ack` or `nlb:on_first_ack_with_payload` (what `nlb` alone does)
    #[arg(
        long = "as",
        value_name = "BALANCER",
        conflicts_with_all = [
            "send_header", "send_tlv", "pass_tlv", "header_placement", "trust", "trust_optional", "trust_forbid",
        ]
    )]
    emulate: Option<As>,
    /// With `--as nlb`, the VPC endpoint that clients come through: the header tells it in TLV 0xEA
    #[arg(long, value_name = "ID", requires = "emulate")]
    vpce: Option<String>,
    #[command(flatten)]
    role: RoleArgs,
}

pub(crate) fn run(args: &BalanceArgs) -> Result<Exit, Failure> {
    let mut parts = Parts::of("balance", Mode::Tcp, &args.role);
    if let Some(emulate) = args.emulate {
        if parts.listener.mode != Mode::Tcp {
            let message = "expected `--mode tcp` with `--as`: these balancers write headers on TCP only";
            return Err(Failure::new(Exit::NOT_ASKED, message));
        }
        let applied = emulate.apply(args.vpce.as_deref(), &mut parts);
        applied.map_err(|message| Failure::new(Exit::NOT_ASKED, message))?;
    }
    if let (None, Some(flag)) = (args.emulate, args.role.health.detail_of_none()) {
        return Err(no_check(flag));
    }
    carry_out(&args.role, &parts.draft(&args.role))
}
