//! Flags made a file.

use foreword_import::Draft;
use foreword_import::draft::{Table, Value};
use foreword_import::parts::{Because, Cluster, Health, Listener, Mode, Trust, balance};

use super::flags::{BalanceArg, HealthArgs, RoleArgs};

/// The parts of the file that a role is.
pub(super) struct Parts {
    about: Vec<String>,
    pub(super) listener: Listener,
    pub(super) cluster: Cluster,
}

impl Parts {
    /// What the flags say. `name` is that of the role.
    pub(super) fn of(name: &str, mode: Mode, args: &RoleArgs) -> Self {
        let mode = args.mode.map_or(mode, Into::into);
        let listener = Listener {
            name: name.to_owned(),
            bind: args.bind.clone(),
            mode,
            trust: groups(args).into_iter().map(|group| group.name).collect(),
            certificates: args.certificates.clone(),
            timeouts: args.idle_timeout.iter().map(|idle| ("idle", idle.as_str().into())).collect(),
            header: args.datagrams.iter().map(|every| ("datagrams", every.as_str().into())).collect(),
            max: max(args),
            cluster: Some(CLUSTER.to_owned()),
            ..Listener::default()
        };
        let cluster = Cluster {
            name: CLUSTER.to_owned(),
            endpoints: args.to.iter().map(|to| to.0.clone()).collect(),
            balance: args.balance.as_ref().map(|way| Because::plain(value(way))),
            header: args.send_header.and_then(|header| header.sent()).map(Because::plain),
            placement: args.header_placement.map(|placement| Because::plain(placement.into())),
            tlvs: args.send_tlv.iter().map(|tlv| tlv.as_str().into()).collect(),
            passed: args.pass_tlv.clone(),
            tls: tls(args),
            slow_start: args.slow_start.as_deref().map(|slow| Because::plain(slow.into())),
            health: health(&args.health),
            timeouts: args
                .connect_timeout
                .iter()
                .map(|connect| ("connect", connect.as_str().into()))
                .collect(),
            ..Cluster::default()
        };
        Self {
            about: vec![format!(
                "What the flags of `foreword {name}` mean. Run it with `foreword run -c FILE`."
            )],
            listener,
            cluster,
        }
    }

    /// One more line at the top of the file.
    pub(super) fn say(&mut self, line: impl Into<String>) {
        self.about.push(line.into());
    }

    /// The whole file.
    pub(super) fn draft(self, args: &RoleArgs) -> Draft {
        let mut draft = Draft::new(self.about);
        draft.push(top(args));
        groups(args).into_iter().for_each(|group| group.push(&mut draft));
        self.listener.push(&mut draft);
        self.cluster.push(&mut draft);
        if let Some(format) = &args.access_log {
            let mut table = Table::named("log", "access");
            table.set("to", args.log_to.as_deref().unwrap_or("stdout"));
            table.set("format", format.as_str());
            draft.push(table);
        }
        if let Some(admin) = &args.admin {
            let mut table = Table::plain("admin");
            table.set("bind", admin.as_str());
            draft.push(table);
        }
        draft
    }
}

fn max(args: &RoleArgs) -> Vec<(&'static str, Value)> {
    let counts = [("connections", args.max_connections), ("flows", args.max_flows)];
    counts.into_iter().filter_map(|(key, count)| Some((key, count?.into()))).collect()
}

fn top(args: &RoleArgs) -> Table {
    let mut top = Table::top();
    if let Some(workers) = args.workers {
        top.set("workers", workers);
    }
    if let Some(drain) = &args.drain {
        top.set("drain", drain.as_str());
    }
    top
}

/// The trust groups that were given.
fn groups(args: &RoleArgs) -> Vec<Trust> {
    let group = |name: &str, from: &[String], header, about: &str| {
        (!from.is_empty()).then(|| Trust {
            name: name.to_owned(),
            from: from.to_vec(),
            header,
            about: vec![about.to_owned()],
        })
    };
    [
        group("required", &args.trust, "require", "They must send a PROXY header, and are believed."),
        group(
            "optional",
            &args.trust_optional,
            "optional",
            "They may send a PROXY header; without one they speak for themselves.",
        ),
        group(
            "forbidden",
            &args.trust_forbid,
            "forbid",
            "They speak for themselves, and must send no header.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// TLS to the endpoints, if it was asked for.
fn tls(args: &RoleArgs) -> Option<Vec<(&'static str, Value)>> {
    let texts = [("ca", &args.to_ca), ("sni", &args.to_sni)].into_iter();
    let texts = texts.filter_map(|(key, text)| Some((key, text.as_deref()?.into())));
    let insecure = args.to_insecure.then(|| ("verify", false.into()));
    args.to_tls.then(|| texts.chain(insecure).collect())
}

/// The checks that were asked for.
fn health(args: &HealthArgs) -> Option<Health> {
    if args.health.is_none() && args.detail_of_none().is_none() {
        return None;
    }
    let mut health = Health::default();
    if let Some(asked) = &args.health {
        health.set("check", asked.check);
    }
    let path = args.health.as_ref().and_then(|asked| asked.path.clone());
    let texts = [
        ("path", &path),
        ("header", &args.health_header),
        ("interval", &args.health_interval),
        ("timeout", &args.health_timeout),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            health.set(key, text.as_str());
        }
    }
    for (key, number) in [("port", args.health_port), ("rise", args.health_rise), ("fall", args.health_fall)]
    {
        if let Some(number) = number {
            health.set(key, number);
        }
    }
    Some(health)
}

fn value(way: &BalanceArg) -> Value {
    match way {
        BalanceArg::Named(word) => (*word).into(),
        BalanceArg::Hash(value) => balance::hash(value),
    }
}

const CLUSTER: &str = "endpoints";
