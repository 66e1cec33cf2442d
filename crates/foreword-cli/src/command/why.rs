//! `foreword why`: one decision, explained from the peer to the ending.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use foreword::{PeerAddr, Version};
use foreword_gateway::config;
use foreword_gateway::plan::Plan;
use foreword_gateway::trial::{Asked, Explanation, Introduction, PartTold, Trial, TrialError, Url};
use serde_json::{Value, json};

use super::problems;
use crate::args::{TlvArg, USUAL};
use crate::output::{Exit, Failure, answer};

/// Explains one decision: which hop gave the client's address, which rule ended the request, and why.
#[derive(Debug, Args)]
#[command(after_help = "Nothing is sent: the request is tried against the file alone.\n\n\
    Examples:\n  \
    foreword why -c foreword.toml --listener web --peer 10.0.0.5 \\\n    \
      --client 203.0.113.7 https://www.example.com/admin\n  \
    foreword why -c foreword.toml --listener smtp --peer 192.0.2.99")]
pub(crate) struct WhyArgs {
    /// What is asked for; not in tcp mode
    #[arg(value_name = "URL", value_parser = url)]
    url: Option<Url>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = USUAL)]
    config: PathBuf,
    /// Where it comes in; may be left out where there is one listener
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The other end of the socket
    #[arg(long, value_name = "IP[:PORT]|unix", value_parser = peer)]
    peer: PeerAddr,
    /// Whom the peer's header names, or `unknown`; without it the peer sends no header
    #[arg(long, value_name = "IP[:PORT]|unknown", value_parser = client)]
    client: Option<Named>,
    /// The header's version; v2 unless told otherwise, for only it says all that a rule can ask for
    #[arg(long, value_name = "VERSION", value_enum, default_value = "v2", requires = "client")]
    header: HeaderVersion,
    /// A TLV of the header, repeatable: a name or number, and text or `hex:` and bytes
    #[arg(long, value_name = "KIND=VALUE", requires = "client")]
    tlv: Vec<TlvArg>,
    /// Whom the client connected to; without it, where the listener listens
    #[arg(long, value_name = "IP:PORT")]
    destination: Option<SocketAddr>,
    /// The name in the TLS handshake; without it, the host of the URL
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The method of the request
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A field of the request, repeatable
    #[arg(short = 'H', long = "field", value_name = "NAME: VALUE", value_parser = field)]
    fields: Vec<(Box<str>, Box<str>)>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Whom a header names.
#[derive(Clone, Copy, Debug)]
struct Named(Option<SocketAddr>);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HeaderVersion {
    /// The line of text
    V1,
    /// The binary format
    V2,
}

pub(crate) fn run(args: &WhyArgs) -> Result<Exit, Failure> {
    let plan = match config::load(&args.config) {
        Ok(plan) => plan,
        Err(problems) => {
            problems::refuse(&args.config, &problems);
            return Ok(Exit::NOT_ASKED);
        }
    };
    let told = trial(args).run(&plan).map_err(|error| unasked(args, &plan, error))?;
    let text = if args.json { format!("{}\n", as_json(&told)) } else { format!("{told}\n") };
    answer(Exit::DONE, &text)
}

/// Where it was left out which listener is meant, the flag that says it.
fn unasked(args: &WhyArgs, plan: &Plan, error: TrialError) -> Failure {
    let nameless = args.listener.is_none() && matches!(error, TrialError::Listener { .. });
    let failure = Failure::new(Exit::NOT_ASKED, error);
    match plan.listeners.first().filter(|_| nameless) {
        Some(listener) => failure.hint(format!("say which one: `--listener {}`", listener.name)),
        None => failure,
    }
}

fn trial(args: &WhyArgs) -> Trial {
    let introduction = args.client.map(|Named(client)| Introduction {
        version: match args.header {
            HeaderVersion::V1 => Version::One,
            HeaderVersion::V2 => Version::Two,
        },
        client,
        tlvs: args.tlv.iter().map(|tlv| (tlv.kind, tlv.value.clone())).collect(),
    });
    let request = args.url.clone().map(|url| Asked {
        method: args.method.as_str().into(),
        url,
        fields: args.fields.clone(),
    });
    Trial {
        listener: args.listener.as_deref().map(Into::into),
        peer: args.peer,
        introduction,
        destination: args.destination,
        sni: args.sni.as_deref().map(Into::into),
        request,
    }
}

fn url(text: &str) -> Result<Url, String> {
    text.parse::<Url>().map_err(|error| match text.ends_with(".toml") {
        true => format!("{error}; the file is named with its flag: `-c {text}`"),
        false => error.to_string(),
    })
}

fn peer(text: &str) -> Result<PeerAddr, String> {
    config::peer(text).ok_or_else(|| "expected an address such as `10.0.0.5`, or `unix`".to_owned())
}

fn client(text: &str) -> Result<Named, String> {
    match text {
        "unknown" => Ok(Named(None)),
        text => match config::address(text) {
            Some(address) => Ok(Named(Some(address))),
            None => Err("expected an address such as `203.0.113.7`, or `unknown`".to_owned()),
        },
    }
}

fn field(text: &str) -> Result<(Box<str>, Box<str>), String> {
    match text.split_once(':') {
        Some((name, value)) if !text.contains(['\r', '\n']) => Ok((name.trim().into(), value.trim().into())),
        _ => Err("expected a field such as `Accept: text/html`".to_owned()),
    }
}

fn as_json(told: &Explanation) -> Value {
    let rules = told
        .rules
        .iter()
        .map(|rule| json!({ "name": rule.name, "holds": rule.holds, "when": rule.when.as_ref().map(part) }));
    json!({
        "listener": told.listener,
        "peer": told.peer.to_string(),
        "trust": told.trust.to_string(),
        "destination": told.destination,
        "sni": told.sni,
        "client": told.client.as_ref().map(|client| json!({ "address": client.address, "by": client.by })),
        "path": told.path.as_ref().map(|path| {
            json!({ "asked": path.asked, "matched": path.matched, "forwarded": path.forwarded })
        }),
        "rules": rules.collect::<Vec<_>>(),
        "rule": told.rule,
        "outcome": told.outcome.to_string(),
        "status": told.outcome.status(),
        "cluster": told.outcome.cluster(),
        "location": told.outcome.location(),
        "code": told.outcome.code().map(|code| code.to_string()),
    })
}

fn part(told: &PartTold) -> Value {
    json!({
        "text": told.text,
        "holds": told.holds,
        "value": told.value,
        "parts": told.parts.iter().map(part).collect::<Vec<_>>(),
    })
}
