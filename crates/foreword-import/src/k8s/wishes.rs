//! What the clouds' annotations ask of a balancer: each has words of its own for the same few things.

use super::annotations::{Annotations, Said};
use crate::attributes::{self, Attribute};
use crate::aws;
use crate::draft::Value;
use crate::fault::{Fault, Note, shown};
use crate::health::{Check, CheckKind};
use crate::parts::{Placement, SentHeader, balance};

/// What is asked of the balancer of a Service.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) header: Vec<PortHeader>,
    pub(super) placement: Option<Placement>,
    /// Seconds, and why.
    pub(super) idle: Option<(u64, &'static str)>,
    /// Ports at which TLS ends, by name or number; `*` is all.
    pub(super) tls: Vec<String>,
    /// Whether requests are read.
    pub(super) http: bool,
    /// Whether endpoints are spoken to in TLS.
    pub(super) endpoint_tls: bool,
    pub(super) balance: Option<(Value, String)>,
    /// Seconds in which an endpoint that leaves may end what it has.
    pub(super) drain: Option<u64>,
    /// Seconds in which one that is usable again gets less.
    pub(super) slow_start: Option<u64>,
    pub(super) check: Option<Check>,
    pub(super) check_header: Option<(&'static str, &'static str)>,
    /// Whether endpoints are pods rather than nodes.
    pub(super) pods: bool,
    /// What of all that is asked has no counterpart here.
    pub(super) left_out: Vec<Note>,
}

/// A header, and the port that gets it; without one, all do.
#[derive(Debug, Clone)]
pub(super) struct PortHeader {
    pub(super) port: Option<String>,
    pub(super) header: SentHeader,
    /// The annotation that asks for it.
    pub(super) why: String,
}

impl Wishes {
    pub(super) fn of(annotations: &Annotations<'_>, class: Option<&str>) -> Result<Self, Fault> {
        let mut wishes = Self::default();
        if annotations.any("service.beta.kubernetes.io/aws-")
            || class.is_some_and(|class| class.contains("aws"))
        {
            ask_aws(annotations, class, &mut wishes)?;
        }
        for (name, header) in SWITCHES {
            if annotations.flag(name)? {
                wishes.all(*header, name);
            }
        }
        for name in VERSIONS {
            if let Some(said) = annotations.get(name) {
                let header = version(annotations, said, name)?;
                header.into_iter().for_each(|header| wishes.all(header, name));
                if said.text.starts_with("v2_ssl") {
                    let message =
                        "the header says nothing of TLS: `send_tlvs = [\"ssl\"]` would, where TLS ends here";
                    let path = annotations.path_of(name);
                    wishes.left_out.push(Note { place: said.place, path, message: message.to_owned() });
                }
            }
        }
        scaleway(annotations, &mut wishes);
        for name in [
            "service.beta.kubernetes.io/do-loadbalancer-algorithm",
            "load-balancer.hetzner.cloud/algorithm-type",
        ] {
            if let Some(said) = annotations.get(name) {
                match said.text {
                    "least_connections" => {
                        wishes.balance = Some((balance::LEAST_CONNECTIONS.into(), name.to_owned()))
                    }
                    "round_robin" => {}
                    _ => return Err(annotations.wrong(said, name, "`round_robin` or `least_connections`")),
                }
            }
        }
        Ok(wishes)
    }

    /// One header for every port.
    pub(super) fn all(&mut self, header: SentHeader, why: &str) {
        self.header.push(PortHeader { port: None, header, why: why.to_owned() });
    }
}

/// What a version is called: by its number, with a `v`, or by the keyword of HAProxy.
fn version(annotations: &Annotations<'_>, said: Said<'_>, name: &str) -> Result<Option<SentHeader>, Fault> {
    match said.text {
        "v1" | "1" | "true" | "send-proxy" => Ok(Some(SentHeader::V1)),
        "v2" | "2" | "send-proxy-v2" | "v2_ssl" | "v2_ssl_cn" => Ok(Some(SentHeader::V2)),
        "none" | "false" | "" => Ok(None),
        _ => Err(annotations.wrong(said, name, "`v1`, `v2` or `none`")),
    }
}

/// Scaleway names the ports: `*`, `true`, or a list.
fn scaleway(annotations: &Annotations<'_>, wishes: &mut Wishes) {
    for (name, header) in [
        ("service.beta.kubernetes.io/scw-loadbalancer-proxy-protocol-v1", SentHeader::V1),
        ("service.beta.kubernetes.io/scw-loadbalancer-proxy-protocol-v2", SentHeader::V2),
    ] {
        let ports = annotations.get(name).map(|said| said.text).unwrap_or_default();
        for port in ports.split(',').map(str::trim).filter(|port| !port.is_empty() && *port != "false") {
            let port = (!matches!(port, "*" | "true")).then(|| port.to_owned());
            wishes.header.push(PortHeader { port, header, why: name.to_owned() });
        }
    }
}

fn ask_aws(annotations: &Annotations<'_>, class: Option<&str>, wishes: &mut Wishes) -> Result<(), Fault> {
    let name = |end: &str| format!("{AWS}{end}");
    let kind = annotations.get(&name("type"));
    let nlb = kind.is_some() || class.is_some_and(|class| class.ends_with("/nlb"));
    let target = annotations.get(&name("nlb-target-type"));
    wishes.pods =
        kind.is_some_and(|kind| kind.text == "nlb-ip") || target.is_some_and(|target| target.text == "ip");
    let header = ask_target_group(annotations, wishes)?;
    if annotations.flag(&name("connection-draining-enabled"))? {
        wishes.drain = annotations.number(&name("connection-draining-timeout"))?;
    }
    ask_tls(annotations, nlb, wishes)?;
    wishes.check = Some(aws_check(annotations, nlb)?);
    let idle = annotations.number(&name("connection-idle-timeout"))?;
    match nlb {
        true => wishes.idle = Some(aws::NLB_IDLE),
        false => {
            let said = idle.map(|idle| (idle, "aws-load-balancer-connection-idle-timeout"));
            wishes.idle = Some(said.unwrap_or(aws::CLASSIC_IDLE));
        }
    }
    wishes.check_header = Some(match (nlb, &header) {
        (true, Some(_)) => aws::NLB_CHECK_HEADER,
        (true, None) => aws::NO_CHECK_HEADER,
        (false, _) => aws::CLASSIC_CHECK_HEADER,
    });
    match header {
        Some((placement, why)) if nlb => {
            wishes.all(SentHeader::V2, &why);
            wishes.placement = Some(placement);
        }
        Some((_, why)) => wishes.all(SentHeader::V1, &why),
        None => {}
    }
    Ok(())
}

/// What `target-group-attributes` and `proxy-protocol` say; when a header leaves, and the annotation that asks for it.
fn ask_target_group(
    annotations: &Annotations<'_>,
    wishes: &mut Wishes,
) -> Result<Option<(Placement, String)>, Fault> {
    let all = format!("{AWS}proxy-protocol");
    let asked = match annotations.get(&all) {
        None => false,
        Some(said) => match said.text.trim() {
            "*" => true,
            "" => false,
            _ => return Err(annotations.wrong(said, &all, "`*`")),
        },
    };
    let name = format!("{AWS}target-group-attributes");
    let Some(said) = annotations.get(&name) else {
        return Ok(asked.then_some((aws::NLB_PLACEMENT, all)));
    };
    let path = annotations.path_of(&name);
    let pairs = said.text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Fault::expected(said.place, "`KEY=VALUE`", shown(pair)).within(&path));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Ok(Attribute { path: format!("{path}.{key}"), key, value, place: said.place })
    });
    let group = attributes::read(pairs.collect::<Result<Vec<_>, _>>()?)?;
    let header = asked || group.header;
    if group.preserve == Some(true) && !header {
        wishes.left_out.push(Note { place: said.place, path, message: aws::PRESERVED.to_owned() });
    }
    wishes.left_out.extend(group.notes);
    wishes.drain = group.drain;
    wishes.slow_start = group.slow_start;
    if group.by_client {
        wishes.balance = Some((balance::hash("client.ip"), "stickiness.type = source_ip".to_owned()));
    } else if group.least {
        wishes.balance = Some((balance::LEAST_CONNECTIONS.into(), "least_outstanding_requests".to_owned()));
    }
    Ok(header.then_some((group.placement, name)))
}

/// Where TLS ends and begins, and whether requests are read in between.
fn ask_tls(annotations: &Annotations<'_>, nlb: bool, wishes: &mut Wishes) -> Result<(), Fault> {
    let name = format!("{AWS}backend-protocol");
    if let Some(said) = annotations.get(&name) {
        let (http, tls) = match said.text.to_ascii_lowercase().as_str() {
            "" | "tcp" => (false, false),
            "ssl" | "tls" => (false, true),
            "http" => (true, false),
            "https" => (true, true),
            _ => return Err(annotations.wrong(said, &name, "`tcp`, `ssl`, `http` or `https`")),
        };
        // An NLB reads no requests, whatever it is told of them.
        wishes.http = http && !nlb;
        wishes.endpoint_tls = tls;
    }
    if annotations.get(&format!("{AWS}ssl-cert")).is_some() {
        let ports = annotations.get(&format!("{AWS}ssl-ports")).map_or("*", |said| said.text);
        wishes.tls = ports.split(',').map(|port| port.trim().to_owned()).collect();
    }
    Ok(())
}

/// With the defaults of the controllers, which are not those of AWS.
fn aws_check(annotations: &Annotations<'_>, nlb: bool) -> Result<Check, Fault> {
    let name = |end: &str| format!("{AWS}healthcheck-{end}");
    let number = |end, default| annotations.number(&name(end)).map(|number| number.unwrap_or(default));
    let kind = match annotations.get(&name("protocol")) {
        Some(said) => CheckKind::of(said.text, said.place)
            .map_err(|fault| fault.within(&annotations.path_of(&name("protocol"))))?,
        None => CheckKind::Tcp,
    };
    let port = match annotations.get(&name("port")) {
        Some(said) if said.text != "traffic-port" => {
            let port = said.text.parse().ok().filter(|&port: &u16| port > 0);
            Some(port.ok_or_else(|| annotations.wrong(said, &name("port"), "a port or `traffic-port`"))?)
        }
        _ => None,
    };
    let codes = annotations.get(&name("success-codes")).map_or("200-399", |said| said.text);
    Ok(Check {
        kind,
        port,
        path: annotations.get(&name("path")).map(|said| said.text.to_owned()),
        statuses: codes.split(',').map(|code| code.trim().to_owned()).collect(),
        interval: number("interval", 10)?,
        timeout: number("timeout", if nlb { 10 } else { 5 })?,
        rise: number("healthy-threshold", if nlb { 3 } else { 2 })?,
        fall: number("unhealthy-threshold", if nlb { 3 } else { 6 })?,
    })
}

const AWS: &str = "service.beta.kubernetes.io/aws-load-balancer-";

/// Annotations that are on or off, and the header that their cloud then sends.
const SWITCHES: &[(&str, SentHeader)] = &[
    ("service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol", SentHeader::V1),
    ("load-balancer.hetzner.cloud/uses-proxyprotocol", SentHeader::V2),
    ("service.beta.kubernetes.io/azure-pls-proxy-protocol", SentHeader::V2),
    ("service.beta.kubernetes.io/alibaba-cloud-loadbalancer-proxy-protocol", SentHeader::V2),
    ("oci-network-load-balancer.oraclecloud.com/is-ppv2-enabled", SentHeader::V2),
];

/// Annotations that name the version.
const VERSIONS: &[&str] = &[
    "loadbalancer.openstack.org/proxy-protocol",
    "service.beta.kubernetes.io/ovh-loadbalancer-proxy-protocol",
    "service.beta.kubernetes.io/linode-loadbalancer-default-proxy-protocol",
    "service.beta.kubernetes.io/oci-load-balancer-connection-proxy-protocol-version",
    "kubernetes.civo.com/loadbalancer-enable-proxy-protocol",
];
